"""ZooKeeper operations that are carried out only while a candidate stands."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import cache
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiozk
from aiozk import exc

from ._protocol.refusals import NotDoneError, accept, pause_before, require_done
from ._protocol.steps import ConnectionLostError
from ._shared.channel import Channel
from ._shared.client_context import ClientContext, waiting_noted
from ._zookeeper.replies import ResponseError, first_failure, is_refused
from ._zookeeper.requests import Request
from ._zookeeper.suspects import is_large
from .exceptions import ElectionError, LeadershipLostError


class _Operation(NamedTuple):
    """One operation, with the name of the method that has added it."""

    name: str
    path: str
    request: Callable[[Channel], Any]


class Transaction:
    """Operations that ZooKeeper carries out together, and only while the leader's own znode is there.

    ``async with leadership.transaction() as transaction:`` commits at the end of the block, all or nothing. A block
    that raises sends nothing. ZooKeeper itself checks the leader's znode, in the same transaction: a former leader
    writes nothing, however late its request arrives. The check goes by the znode's path. So it ends where the same
    path was issued again, which takes an election that was deleted and made anew in between.

    :raises LeadershipLostError: by the end of the block, when leadership is lost; nothing was written.
    :raises aiozk.exc.ResponseError: what ZooKeeper says of one of the operations (``NoNode``, ``BadVersion``, ...),
        with its name and path in the text; nothing was written.
    :raises ElectionError: when the connection ended before the answer: it may have been written or not.
    :raises NotAuthorizedError: when the access control list of the own znode says no.
    :raises TypeError: when a path is no ``str`` or data are no ``bytes``; from the call itself, as the next one.
    :raises ValueError: when a path is not absolute; by the end of the block, when there are no operations.

    When it is cancelled while it commits, it may have been written or not.
    """

    def __init__(
        self,
        client: aiozk.ZKClient,
        path: str,
        check_leadership: Callable[[], None],
        lost_error: Callable[[], LeadershipLostError],
    ) -> None:
        self._client = client
        self._path = path
        self._check_leadership = check_leadership
        self._lost_error = lost_error
        self._operations: list[_Operation] = []
        self.results: list[Any] = []
        """What ZooKeeper answered to each operation, in order, after the commit (aiozk's responses).

        A created znode's ``path`` is within the client's chroot, as all paths are.
        """

    def create(
        self,
        path: str,
        data: bytes = b"",
        *,
        acl: Sequence[aiozk.ACL] | None = None,
        ephemeral: bool = False,
        sequential: bool = False,
    ) -> None:
        """Create a znode."""
        _check(path, data)
        self._add(
            "create",
            path,
            lambda connection: connection.create(path, data, acl, ephemeral=ephemeral, sequential=sequential),
        )

    def set_data(self, path: str, data: bytes, *, version: int = -1) -> None:
        """Set a znode's data, at this version of it (-1: at any)."""
        _check(path, data)
        self._add("set_data", path, lambda connection: connection.set_data(path, data, version))

    def delete(self, path: str, *, version: int = -1) -> None:
        """Delete a znode, at this version of it (-1: at any)."""
        _check(path)
        self._add("delete", path, lambda connection: connection.delete(path, version))

    def check_version(self, path: str, *, version: int = -1) -> None:
        """Require a znode to be there, at this version of it (-1: at any)."""
        _check(path)
        self._add("check_version", path, lambda connection: connection.check_operation(path, version))

    def _add(self, name: str, path: str, request: Callable[[Channel], Any]) -> None:
        self._operations.append(_Operation(name, path, request))

    async def __aenter__(self) -> Self:
        self._check_leadership()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self._commit()

    async def _commit(self) -> None:
        if not self._operations:
            raise ValueError("a transaction without operations: call create(), set_data(), delete() or check_version()")
        self._check_leadership()
        context = ClientContext.attach(self._client)
        try:
            reply = await self._reply(context)
        finally:
            context.detach()
        self._judge(reply)

    async def _reply(self, context: ClientContext) -> Any:
        """Send it, as often as ZooKeeper has too much to do for it, while this leads; return the answer."""
        tries = 0
        while True:
            connection = await self._connected(context)
            request = self._request(connection)
            try:
                (reply,) = await connection.send(request)
                require_done(reply)
            except ConnectionLostError:
                raise self._in_doubt(request) from None
            except NotDoneError:
                tries += 1
                await asyncio.sleep(pause_before(tries) * random.uniform(0.5, 1))
            else:
                return reply

    def _in_doubt(self, request: Request) -> ElectionError:
        size = len(request.serialize(1))
        doubt = "it may have been carried out or not; read what it writes to find out"
        if is_large(size):
            doubt += f" (most likely not: its {size} bytes are more than jute.maxbuffer lets a server take by default)"
        return ElectionError(
            f"the connection ended before the answer to a transaction of {self._path}: {doubt}",
            candidate_id=self._path,
        )

    async def _connected(self, context: ClientContext) -> Channel:
        """Wait for a connection, as long as this leads."""
        changed = asyncio.Event()
        with context.listening(changed.set), waiting_noted(self._client):
            while (connection := context.channel) is None:
                self._check_leadership()
                changed.clear()
                await changed.wait()
        self._check_leadership()
        return connection

    def _request(self, connection: Channel) -> Request:
        operations = [operation.request(connection) for operation in self._operations]
        return connection.multi(connection.check_operation(self._path), *operations)

    def _judge(self, reply: Any) -> None:
        failure = first_failure(reply)
        if failure is None:
            self.results = [self._within_chroot(result) for result in reply.responses[1:]]
            return
        if is_refused(reply):
            accept(reply, path=self._path, candidate_id=self._path)
        own = reply.responses[0]
        if isinstance(own, exc.NoNode):
            raise self._lost_error()
        if isinstance(own, exc.NoAuth):
            accept(own, path=self._path, candidate_id=self._path)
        raise self._named(failure, reply)

    def _within_chroot(self, result: Any) -> Any:
        """Take the chroot off the path of what was created."""
        chroot = (self._client.chroot or "").rstrip("/")
        path = getattr(result, "path", None)
        if chroot and path is not None:
            result.path = path.removeprefix(chroot)
        return result

    def _named(self, failure: ResponseError, reply: Any) -> Any:
        """Return ZooKeeper's error with the operation and the path in its text, which is the bare name else."""
        place = next((place for place, result in enumerate(reply.responses) if result is failure), 0)
        if not 0 < place <= len(self._operations):
            return failure
        name, path, _ = self._operations[place - 1]
        where = f"operation {place} of {len(self._operations)} in a transaction of {self._path}"
        kind: Any = type(failure)
        named = _named_kind(kind)(f"{kind.__name__}: {name} of {path}, {where}; nothing was written")
        named.error_code = failure.error_code
        return named


@cache
def _named_kind(kind: Any) -> Any:
    """Return a subclass that says what it is made with.

    Made as usual, it would be what aiozk raises for that error from then on: its metaclass keeps the latest class.
    """
    spoken = {"__init__": Exception.__init__, "__str__": Exception.__str__, "__module__": __name__}
    return type.__new__(type(kind), kind.__name__, (kind,), spoken)


def _check(path: object, data: object = b"") -> None:
    """Refuse what aiozk would send all the same, as something else."""
    if not isinstance(path, str):
        raise TypeError(f"a path must be a str, not {type(path).__name__}")
    if not path.startswith("/"):
        raise ValueError(f"a path must be absolute within the client's chroot, not {path!r}")
    if not isinstance(data, bytes):
        raise TypeError(f"data must be bytes, not {type(data).__name__}")
