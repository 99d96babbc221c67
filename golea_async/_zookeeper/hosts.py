"""Which server is tried next.

- All in random order. The server that the client was connected to last comes last, where :mod:`.connecting` says so:
  in the first round after a connection has ended, and when the client leaves a read-only server.
- An address that is known is tried at once; the name is looked up meanwhile, for the case that it has moved.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Collection, Sequence
from concurrent.futures import Future

from .host_list import Address, Host, is_address
from .names import Found, look_up, unknown


class Hosts:
    """The servers of one client, and what it knows of their names.

    :param hosts: the list; it may change from round to round.
    """

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = hosts
        self._known: dict[Host, list[Address]] = {}

    async def in_random_order(
        self, last: Address | None, timeout: float
    ) -> AsyncGenerator[Address | tuple[Host, Exception], None]:
        """Yield every address of every host, or the error that there was instead of them. ``last`` comes last.

        Where no address of a host is known its name has ``timeout`` seconds to be looked up.
        """
        lookups = {host: self._look_up(host) for host in self._hosts if not is_address(host.name)}
        shuffled = random.sample(self._hosts, len(self._hosts))
        for host in sorted(shuffled, key=lambda host: last is not None and host == last.host):
            lookup = lookups.get(host)
            if lookup is not None and host not in self._known:
                await asyncio.wait({asyncio.wrap_future(lookup)}, timeout=timeout)
            if lookup is not None and host not in self._known:
                yield host, unknown(lookup)
                continue
            tried: set[Address] = set()
            # Once more when the lookup has found more addresses while these were tried.
            while addresses := self._untried(host, tried):
                random.shuffle(addresses)
                for address in sorted(addresses, key=lambda address: address == last):
                    tried.add(address)
                    yield address

    def _look_up(self, host: Host) -> Future[Found]:
        lookup = look_up(host)
        lookup.add_done_callback(lambda done: self._learn(host, done.result()))
        return lookup

    def _learn(self, host: Host, found: Found) -> None:
        """Keep what was found, until something else is found; to be called by the lookup's thread."""
        if isinstance(found, list) and found:
            self._known[host] = found

    def _untried(self, host: Host, tried: Collection[Address]) -> list[Address]:
        known = [Address(host, host.name)] if is_address(host.name) else self._known[host]
        return [address for address in known if address not in tried]
