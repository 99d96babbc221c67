"""One candidate in one election: it begins to stand, leaves, and is taken out of ZooKeeper.

What the candidate does is decided by the coroutine in :mod:`golea_async._protocol.candidacy`, and driven by
:mod:`golea_async._driver`. A background task in the client context holds it. When that is cancelled, which nobody does
but the end of the event loop, belief ends and the coroutine with it; a later resignation drives what is left to do.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary, ref

import aiozk

from ._driver import Driver
from ._history import History
from ._protocol.candidacy import live
from ._protocol.candidate import Candidate
from ._protocol.claims import ClientClaims
from ._protocol.departure import withdraw
from ._protocol.identity import Identity
from ._protocol.steps import Step
from ._publication import Publication
from ._shared.client_context import ClientContext
from ._shared.said import SEEN_TOKENS, election_key
from ._zookeeper.requests import Requests
from .exceptions import ElectionError
from .leadership import Body


class Runner:
    """One candidate in one election, from its start until nothing of it is left in ZooKeeper.

    :ivar identity: whose candidacy it is.
    :ivar public: what others see of it.
    :ivar task: the background task; None before the start.
    :ivar is_leaving: whether it resigns or has resigned.
    """

    def __init__(
        self, zk: aiozk.ZKClient, resource: str, name: str, data: bytes, history: History, *, rejoin: bool
    ) -> None:
        self.client = zk
        self.identity = Identity(resource, name)
        self.public = Publication(zk, self.identity, history)
        self.task: asyncio.Task[None] | None = None
        self.is_leaving = False
        self._data = data
        self._rejoin = rejoin
        self._me: Candidate | None = None
        self._driver: Driver | None = None

    def anew(self) -> Runner:
        """Return one for another candidacy of the same candidate."""
        name, history = self.identity.name, self.public.history
        return Runner(self.client, self.identity.resource, name, self._data, history, rejoin=self._rejoin)

    # ------------------------------------------------------------------ what the election calls

    def start(self) -> None:
        """Begin to stand.

        :raises ValueError: when the client is not running.
        """
        claims = _claims_of(self.client)
        context = ClientContext.attach(self.client)
        self.public.history.begins()
        me = self._me = Candidate(self.identity, self._data, claims, rejoins=self._rejoin)
        me.belief.join()
        self._run(context, me, live(me), f"golea_async {self.identity.resource} {self.identity.name[:100]}")

    def leave(self) -> None:
        """Believe in nothing any more, and take the candidate out of ZooKeeper: the deletion is sent in this call."""
        if self.is_leaving:
            return
        self.is_leaving = True
        self.public.history.resigns()
        if self._me is None:
            self.public.board.end(None)
            return
        self._me.leave()
        self._hear_news()

    def step_down(self, bodies: Sequence[Body]) -> asyncio.Future[None]:
        """Believe in leading no more, and go to the end of the line; return what is done when it has.

        :param bodies: the work within leadership; before that has ended it does not lead again.
        """
        assert self._me is not None, "it stands"
        moved = self.public.move(bodies)
        self._me.step_down()
        self._hear_news()
        return moved

    def end(self) -> None:
        """Stand no longer, since the election was ended by this process."""
        if self._me is not None:
            self._me.hear_of_end()
            self._hear_news()

    def _hear_news(self) -> None:
        if self._driver is not None:
            self._driver.hear_news()

    @property
    def is_withdrawn(self) -> bool:
        """Whether nothing of this candidate can be in ZooKeeper."""
        return self._me is None or self._me.is_withdrawn

    @property
    def withdrawal_error(self) -> ElectionError | None:
        """Why deleting it was given up, or None."""
        return None if self._me is None else self._me.withdrawal_error

    @property
    def has_ended_for_good(self) -> bool:
        """Whether it stands no more, and never will; its znode may still be there."""
        return self.public.board.has_ended

    def withdraw_again(self) -> bool:
        """Take the candidate out of ZooKeeper after the background task was cancelled, or refused.

        Return whether there is a background task that does it.
        """
        me, driver = self._me, self._driver
        if self.task is None or me is None or driver is None or me.is_withdrawn:
            return False
        if not self.task.done():
            return True  # another resign() has begun to
        me.withdrawal_error = None
        if driver.context.is_closed_in_order:
            me.is_withdrawn = True
            return False
        if driver.context.is_closed:
            me.withdrawal_error = self.identity.closed_too_early()
            return False
        self._run(ClientContext.attach(self.client), me, withdraw(me), f"golea_async resign {self.identity.resource}")
        return True

    async def closed(self) -> None:
        """Wait until nothing is left on the client, if this was the last that used it."""
        driver = self._driver
        if driver is None or self.task is None or not self.task.done():
            return
        if driver.uses_client:  # the task ended in this very turn of the loop; its done-callback comes in the next one
            await asyncio.sleep(0)
        await driver.context.closed()

    # ------------------------------------------------------------------ the background task

    def _run(self, context: ClientContext, me: Candidate, life: Coroutine[Step, Any, None], name: str) -> None:
        """Drive a coroutine to its end, with a task that holds it."""
        if self._driver is not None:
            self._driver.stop()  # what a background task that was cancelled has left
        driver = self._driver = Driver(context, me, self.public, life)
        try:
            self.task = driver.begin(name, partial(self._has_ended, driver))
        except BaseException:
            driver.stop()
            context.detach()
            raise

    def _has_ended(self, driver: Driver, task: asyncio.Task[None]) -> None:
        """Take leave of the client; to be called at the end of the background task."""
        driver.stop()
        if driver is self._driver and self._me is not None:  # else resign() was faster, and withdraws again
            self._me.belief.end(None)
            self._me.belief.explain(None)
            driver.tell()
            if self.is_withdrawn:
                self.public.history.withdrawn()
        driver.leave_client()
        if task.cancelled() and not self.is_leaving:  # last: where warnings are errors it raises
            what = self.identity.about("was cancelled and has not resigned")
            warnings.warn(what, ResourceWarning, stacklevel=1)


_claims: WeakKeyDictionary[aiozk.ZKClient, ClientClaims] = WeakKeyDictionary()


def _claims_of(client: aiozk.ZKClient) -> ClientClaims:
    """Return the claims of a client's candidates: they live as long as the client, and longer than any candidate."""
    claims = _claims.get(client)
    if claims is None:
        requests = Requests("" if client.chroot in (None, "/") else str(client.chroot), client.default_acl)
        requests.create("/", b"").serialize(0)  # a default_acl that cannot be written fails here
        reference = ref(client)  # what is held by the client must not hold the client
        claims = _claims[client] = ClientClaims(
            requests, SEEN_TOKENS, lambda resource: election_key(cast(aiozk.ZKClient, reference()), resource)
        )
    return claims
