"""The addresses behind the names of servers, looked up beside everything else.

- An address that is known is tried at once; the name is looked up meanwhile, for the case that it has moved.
- A name is looked up by one thread at a time in the whole process, and by a thread of its own: not in the event loop's
  executor, which the application's blocked jobs may fill, and which hanging lookups would fill for the application.
- These threads are daemons: neither the end of ``asyncio.run`` nor that of the process waits for a name server.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, Collection
from concurrent.futures import Future
from threading import Thread
from typing import TypeAlias

from .hosts import Address, Host, UnknownNameError, is_address
from .process import ProcessId, this_process

Found: TypeAlias = list[Address] | Exception

# By process, too: a forked child has its parent's entries, and not its threads.
_under_way: dict[tuple[ProcessId, Host], Future[Found]] = {}


def _look_up(host: Host) -> Future[Found]:
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


class Names:
    """What one client knows of its servers' names."""

    def __init__(self) -> None:
        self._known: dict[Host, list[Address]] = {}

    async def in_random_order(
        self, hosts: list[Host], last: Address | None, timeout: float
    ) -> AsyncGenerator[Address | tuple[Host, Exception], None]:
        """Yield every address of every host, or the error that there was instead of them. ``last`` comes last.

        Where no address of a host is known its name has ``timeout`` seconds to be looked up.
        """
        lookups = {host: self._look_up(host) for host in hosts if not is_address(host.name)}
        shuffled = random.sample(hosts, len(hosts))
        for host in sorted(shuffled, key=lambda host: last is not None and host == last.host):
            lookup = lookups.get(host)
            if lookup is not None and host not in self._known:
                await asyncio.wait({asyncio.wrap_future(lookup)}, timeout=timeout)
            if lookup is not None and host not in self._known:
                yield host, _unknown(lookup)
                continue
            tried: set[Address] = set()
            # Again when the lookup has found others meanwhile.
            while addresses := self._untried(host, tried):
                random.shuffle(addresses)
                for address in sorted(addresses, key=lambda address: address == last):
                    tried.add(address)
                    yield address

    def _look_up(self, host: Host) -> Future[Found]:
        lookup = _look_up(host)
        lookup.add_done_callback(lambda done: self._learn(host, done.result()))
        return lookup

    def _learn(self, host: Host, found: Found) -> None:
        """Keep what was found, until something else is found; to be called by the lookup's thread."""
        if isinstance(found, list) and found:
            self._known[host] = found

    def _untried(self, host: Host, tried: Collection[Address]) -> list[Address]:
        known = [Address(host, host.name)] if is_address(host.name) else self._known[host]
        return [address for address in known if address not in tried]


def _unknown(lookup: Future[Found]) -> UnknownNameError:
    if not lookup.done():
        return UnknownNameError("the name was not resolved in time")
    return UnknownNameError(f"the name is unknown ({lookup.result()})")
