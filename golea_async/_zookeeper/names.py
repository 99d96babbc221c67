"""The addresses behind the names of servers, looked up beside everything else.

- A name is looked up by one thread at a time in the whole process, and by a thread of its own: not in the event loop's
  executor, which the application's blocked jobs may fill, and which hanging lookups would fill for the application.
- These threads are daemons: neither the end of ``asyncio.run`` nor that of the process waits for a name server.
"""

from __future__ import annotations

import socket
from concurrent.futures import Future
from threading import Thread
from typing import TypeAlias

from .host_list import Address, Host, UnknownNameError
from .process import ProcessId, this_process

Found: TypeAlias = list[Address] | Exception

# By process, too: a forked child has its parent's entries, and not its threads.
_under_way: dict[tuple[ProcessId, Host], Future[Found]] = {}


def look_up(host: Host) -> Future[Found]:
    """Return the lookup of a name that is under way, or begin one. Its result is an error where it fails."""
    key = (this_process(), host)
    lookup = _under_way.get(key)
    if lookup is None:
        lookup = _under_way[key] = Future()
        lookup.set_running_or_notify_cancel()  # of several that wait for it none can cancel it
        try:
            Thread(target=_finish, args=(key, lookup), name=f"golea_async looks up {host.name}", daemon=True).start()
        except RuntimeError as error:  # there are too many threads
            del _under_way[key]
            lookup.set_result(OSError(str(error)))
    return lookup


def _finish(key: tuple[ProcessId, Host], lookup: Future[Found]) -> None:
    _, host = key
    found: Found
    try:
        infos = socket.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
        found = list({Address(host, str(sockaddr[0])) for *_, sockaddr in infos})
    except Exception as error:  # noqa: BLE001  # UnicodeError: a name that IDNA cannot encode
        found = error
    del _under_way[key]
    lookup.set_result(found)


def unknown(lookup: Future[Found]) -> UnknownNameError:
    """Return what is to be said of a name that has no address."""
    if not lookup.done():
        return UnknownNameError("the name was not resolved in time")
    return UnknownNameError(f"the name is unknown ({lookup.result()})")
