"""How a session stays connected: one task that connects, waits until that connection is over, and connects again.

- A try goes to one address at a time (:mod:`golea_async._zookeeper.opening`), and each address is tried once in a round
  (:mod:`golea_async._zookeeper.hosts`). A server that accepts and never answers costs 0.4 s (of a short session timeout
  T: T/10) in the first round and twice as much in each later one, up to T/2: a slow ensemble must be reachable, too.
  Where it is known to be slow a try begins with what the last ones took, and with three times what requests took lately
  on the connection that has ended. Never two tries at once: a session must not move back and forth between servers.
- No single server's word is final. A server that refuses TLS or a credential is passed over; only when all refuse, and
  none ever served this client, is that an error. A client that was connected once never gives up.
- From a server that only answers reads the client goes to one that writes as soon as there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiozk import exc

from .arguments import check_seconds
from .backoff import Backoff
from .connection import Connection
from .errors import AuthenticationError, GarbageError
from .host_list import Address, Host
from .hosts import Hosts
from .log import Log
from .opening import Opener
from .session_record import SessionRecord
from .waiting import HungUpError, Waiting

log = Log(logging.getLogger("golea_async.client"))

FIRST_TRY_TIMEOUT = 0.4
FIRST_TRY_SHARE = 1 / 10
TRY_TIMEOUT_SHARE = 1 / 2
LEAST_TRY_TIMEOUT_CAP = 1.0
SLOW_FACTOR = 3
"""The handshake is a request, too, and TCP's comes before it."""

SHORT_LIFE = 1.0
SHORT_LIFE_SHARE = 1 / 4
"""A connection that lived for less does not end the backoff: a server that takes us in only to hang up."""

READS_ONLY = "it is cut off from the ensemble and answers reads only"

_FAILED = (OSError, GarbageError, exc.SessionLost, AuthenticationError)


class Connecting:
    """Keeps one session connected.

    :param allow_read_only: whether a server will do that only answers reads, until one that writes can be reached.
    :param read_timeout: the most that a try may take, in seconds.
    """

    def __init__(
        self,
        record: SessionRecord,
        opener: Opener,
        hosts: Hosts,
        waiting: Waiting,
        allow_read_only: bool,
        read_timeout: float | None,
    ) -> None:
        self._record = record
        self._opener = opener
        self._hosts = hosts
        self._waiting = waiting
        self._allow_read_only = allow_read_only
        self._read_timeout = None if read_timeout is None else check_seconds("read_timeout", read_timeout)
        self._unserved_since = 0.0
        self._tried = self._silent = 0  # servers, in the present round; which of them did not answer in time
        self._doublings = 0  # of the time for a try
        self._usual = 0.0  # seconds that a request took lately on the latest connection that has answered any

    async def stay_connected(self) -> None:
        """Connect again and again, until cancelled.

        :raises ssl.SSLError: every server is refused by TLS or refuses it, and none ever served this client.
        :raises AuthenticationError: the same for the credentials.
        """
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            self._unserved_since = loop.time()
            self._waiting.begin()
            connection = await self._connect(backoff)
            since = loop.time()
            if connection.start_read_only:
                connection = await self._leave_read_only(connection)
            if not connection.start_read_only:
                self._waiting.end()
            await asyncio.wait({connection.closed})  # which leaves it alone when this task is cancelled
            self._usual = connection.acknowledgements.usual or self._usual
            if loop.time() - since < min(SHORT_LIFE, SHORT_LIFE_SHARE * self._record.timeout):
                self._waiting.begin()
                await backoff.pause(self._record.timeout)
            else:
                backoff.reset()

    async def _connect(self, backoff: Backoff) -> Connection:
        """Go round until a server has taken us in."""
        rounds = self._doublings = 0
        while (connection := await self._go_round(rounds)) is None:
            if not self._opener.was_connected and (refusal := self._waiting.refusal) is not None:
                raise refusal
            log.log(logging.DEBUG if rounds else logging.INFO, "no server takes us in: %s", self._waiting.describe())
            rounds += 1
            await backoff.pause(self._record.timeout)
        return connection

    async def _leave_read_only(self, connection: Connection) -> Connection:
        """Look for a server that writes; return its connection, or this one when it has ended."""
        backoff, rounds, self._doublings = Backoff(), 0, 0
        self._waiting.failed(Host(connection.host, connection.port), READS_ONLY)
        while connection.failure is None:
            await backoff.pause(self._record.timeout)
            found = await self._go_round(rounds, leaving=connection)
            rounds += 1
            if found is not None:
                return found
        return connection

    async def _go_round(self, rounds: int, leaving: Connection | None = None) -> Connection | None:
        """Try every address once; when leaving a server that only reads, every other one, and only if it writes."""
        timeout = self._try_timeout()
        self._tried = self._silent = 0
        self._waiting.begin_round()
        last = None if rounds and leaving is None else self._opener.last_address
        order = self._hosts.in_random_order(last, timeout)
        async with contextlib.aclosing(order) as addresses:  # else the event loop makes a task to close it
            async for address in addresses:
                if leaving is not None and leaving.failure is not None:
                    return None
                self._tried += 1
                if not isinstance(address, Address):
                    self._waiting.failed(*address)
                elif leaving is None or address != self._opener.last_address:
                    connection = await self._attempt(address, timeout, leaving)
                    if connection is not None:
                        return connection
        self._note_silence()
        return None

    def _note_silence(self) -> None:
        """Give those more time that were silent; twice as much when all were: there is little to find that out in.

        None, where all have refused: one that begins to listen may leave its first connections without an answer.
        """
        if self._silent:
            self._doublings += 2 if self._silent == self._tried else 1
        else:
            self._doublings = 0

    async def _attempt(self, address: Address, timeout: float, leaving: Connection | None) -> Connection | None:
        """Try one address, and take note of what became of it."""
        self._waiting.trying(address.host)
        try:
            read_only = self._allow_read_only and leaving is None
            return await self._opener.open(address, timeout, read_only=read_only)
        except HungUpError as error:
            self._waiting.failed(address.host, error)
            unserved = asyncio.get_running_loop().time() - self._unserved_since
            if leaving is None and self._record.session_id and unserved >= self._record.timeout:
                await self._opener.ask_without_past(address, timeout, unserved)
        except _FAILED as error:
            self._silent += isinstance(error, TimeoutError)
            self._waiting.failed(address.host, error)
        return None

    def _try_timeout(self) -> float:
        """Return seconds for a try: doubled while servers are silent, up to half of the session timeout."""
        timeout = self._record.timeout
        cap = self._read_timeout or max(LEAST_TRY_TIMEOUT_CAP, TRY_TIMEOUT_SHARE * timeout)
        least = min(FIRST_TRY_TIMEOUT, FIRST_TRY_SHARE * timeout)
        first = max(least, 2 * min(self._opener.took, default=0.0), SLOW_FACTOR * self._usual)
        return min(first * 2.0 ** min(self._doublings, 16), cap)
