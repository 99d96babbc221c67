"""One candidate's coroutine, driven by hand: what it asks, in the words of docs/protocol.md, and what is replied.

    asks("create le_ + get /election + exists DONE (w)")     requests in one arrow; what travels behind follows a "|"
    answer(created(7), node(), missing())                    the replies to what it waits for, in order

Nothing is sent, and no event loop runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from aiozk import exc, protocol

from golea_async import Role, Status
from golea_async._protocol.appeal import Appeal
from golea_async._protocol.candidacy import QUIET, live
from golea_async._protocol.candidate import Candidate
from golea_async._protocol.claims import ClientClaims
from golea_async._protocol.departure import withdraw
from golea_async._protocol.identity import Identity
from golea_async._protocol.role import Ceased, Ended, Moved, Notice
from golea_async._protocol.steps import Ask, CatchUp, ConnectionLostError, NextEvent, Pause, Step, WorkStopped
from golea_async._zookeeper.requests import Requests
from golea_async._zookeeper.wire import Create, Created, Listed, Shown, kind_of_watch

from . import script
from .script import NODE_CZXID, RESOURCE, SESSION, describe, results, stat, there

DONE = f"{RESOURCE}/DONE"
REQUEST = f"{RESOURCE}/step_down"
FIRST_CZXID = 100
"""The candidate with number 0 has this `czxid`, number 1 the next one, and so on."""

CREATED, DELETED = protocol.WatchEvent.CREATED, protocol.WatchEvent.DELETED
DATA_CHANGED = protocol.WatchEvent.DATA_CHANGED


def path(number: int) -> str:
    return f"{RESOURCE}/le_{number:010d}"


def czxid(number: int) -> int:
    return FIRST_CZXID + number


def created(number: int, session: int = SESSION) -> Created:
    return Created(path(number), stat(czxid(number), owner=session))


def shown(number: int, data: bytes = b"one", session: int = SESSION) -> Shown:
    return script.shown(data, czxid(number), owner=session)


def node(children: int = 2, newest: int = 0) -> Shown:
    """The election node: so many children, the newest candidate of which has this number."""
    return Shown(b"", stat(NODE_CZXID, children=children, modified=czxid(newest)))


def listed(*numbers: int, others: Sequence[str] = (), node_czxid: int = NODE_CZXID) -> Listed:
    return script.listed(*(path(number).rpartition("/")[2] for number in numbers), *others, czxid=node_czxid)


def missing() -> exc.NoNode:
    return exc.NoNode()


def checked(result: Any = None) -> protocol.TransactionResponse:
    """The reply to `multi[check]`: carried out, or failed by this error."""
    return results(protocol.CheckVersionResponse() if result is None else result)


def moved(number: int, conditions: int = 0) -> protocol.TransactionResponse:
    """The reply to the move to this number: of a create within a transaction ZooKeeper tells only the path."""
    new = SimpleNamespace(path=path(number))
    return results(*[protocol.CheckVersionResponse()] * conditions, new, deleted())


def asks_for(*numbers: int, to: int | None = None, leave: bool = False, version: int = 0) -> Shown:
    """What an operator asks of the candidates with these numbers."""
    names = tuple(path(number).rpartition("/")[2] for number in numbers)
    appeal = Appeal(names, None if to is None else path(to).rpartition("/")[2], "ops:1", leave, "id")
    return script.shown(appeal.encode(), 700, version=version)


def deleted() -> protocol.DeleteResponse:
    return protocol.DeleteResponse()


class Life:
    """A candidate, and what its coroutine waits for.

    :ivar step: what it waits for; None when it has ended.
    :ivar is_blocked: something may have come that was not read.
    :ivar sent: what it has asked without waiting for the answers, and was not asserted.
    :ivar request_watches: how often it has asked for the watch of `step_down`.
    :ivar told: what it believed, in order: statuses, and where belief and statuses ended.
    """

    def __init__(self, name: str = "one", *, rejoins: bool = True, claims: ClientClaims | None = None) -> None:
        self.claims = claims or ClientClaims(Requests("", []))
        self.me = Candidate(Identity(RESOURCE, name), name.encode(), self.claims, rejoins=rejoins)
        self.me.belief.join()
        self.step: Step | None = None
        self.told: list[Any] = []
        self.sent: list[str] = []
        self.request_watches = 0
        self.is_blocked = False
        self._coroutine = live(self.me)

    def begin(self, session: int = SESSION, *, lease: int | None = 1) -> None:
        """Start while the client is connected."""
        self.me.view.lease = lease
        self._connect(session)
        self._resume()

    def withdraw_again(self) -> None:
        """Have a second resignation drive what the first one has left."""
        self.me.view.reconnected()
        self._coroutine = withdraw(self.me)
        self._resume()

    # What it asks.

    def asks(self, arrow: str) -> None:
        """Assert what it asks for in one arrow, and waits for."""
        assert isinstance(self.step, Ask), self.step
        behind = " | " + " + ".join(map(describe, self.step.behind)) if self.step.behind else ""
        assert " + ".join(map(describe, self.step.requests)) + behind == arrow
        created = [each for one in self.step.requests for each in getattr(one, "requests", [one])]
        assert all(each.data == self.me.data for each in created if isinstance(each, Create)), "its name, and no more"

    def watches(self, arrow: str) -> None:
        """Assert what it has asked, as the next thing, whose answers are news: it does not wait for them."""
        assert self.sent.pop(0) == arrow

    def notices(self) -> list[str]:
        """Return what operators are told."""
        return [each.text for each in self.told if isinstance(each, Notice)]

    def waits(self) -> None:
        """Assert that it waits for news."""
        assert isinstance(self.step, NextEvent), self.step

    def has_ended(self) -> None:
        assert self.step is None, self.step

    # What comes of it.

    def answer(self, *replies: Any) -> None:
        """Answer what it waits for; the watches among that are read first, as the runner does it."""
        assert isinstance(self.step, Ask), self.step
        assert len(replies) == len(self.step.requests)
        for request, reply in zip(self.step.requests, replies, strict=True):
            if kind_of_watch(request) is not None:
                self.me.read(request.path, reply)
        self._resume(list(replies))

    def finds_its_znode(self, number: int) -> None:
        """See it look whether its znode stands, which it is about to delete; it does."""
        self._looks(number, checked(), shown(number))

    def misses_its_znode(self, number: int) -> None:
        """See it look whether its znode stands, which it is about to delete; it has gone."""
        self._looks(number, checked(missing()), missing())

    def _looks(self, number: int, checked: Any, shown: Any) -> None:
        self.asks(f"check le_{number} + get le_{number} (w) + exists /election")
        self.answer(checked, shown, there())

    def join(self, created: Any, node: Any = None, done: Any = None) -> None:
        """Answer a nomination, and then what travels behind it: what shows the election node, and `DONE`."""
        self.answer(created)
        if node is not None:
            self.show(RESOURCE, node)
        if done is not None:
            self.show(DONE, done)

    def show(self, path: str, reply: Any) -> None:
        """Answer a request that travelled behind."""
        self.me.read(path, reply)
        self._news()

    def event(self, event: int, path: str) -> None:
        self.me.hear(event, path)
        self._news()

    def lose_connection(self) -> None:
        self.me.view.in_touch = False
        if isinstance(self.step, Ask):
            self._resume(error=ConnectionLostError())
        else:
            self._news()

    def reconnect(self, session: int = SESSION) -> None:
        """Be connected again: to another server, in the same session or in another one."""
        self._connect(session)
        self._news()

    def lease(self, stretch: int | None) -> None:
        """Have the lease lapse (None), or be in another stretch."""
        self.me.view.lease = stretch
        self.me.belief.reconsider(self.me.view)
        self._news()

    def close_client(self) -> None:
        self.me.view.in_touch, self.me.view.is_closed, self.me.is_closing = False, True, True
        self.me.belief.reconsider(self.me.view)
        self._news()

    def client_is_closed(self) -> None:
        self.me.is_closing, self.me.is_closed_in_order = False, True
        self._news()

    def resign(self) -> None:
        self.me.leave()
        self._news()

    def step_down(self) -> None:
        self.me.step_down()
        self._news()

    def hear_of_request(self, request: Any) -> None:
        """Hear that an operator asks for something, and read it."""
        self.me.hear(CREATED, REQUEST)
        self._news()
        self.show(REQUEST, there())
        self.asks("get step_down")
        self.answer(request)

    def moves(self) -> list[str | None]:
        """Return, for each step_down() that is through, the class of what ZooKeeper had against it."""
        told = [each for each in self.told if isinstance(each, Moved)]
        return [None if each.refusal is None else type(each.refusal).__name__ for each in told]

    def work_has_stopped(self) -> None:
        assert isinstance(self.step, WorkStopped), self.step
        self._resume(True)

    def has_caught_up(self, *, is_recent: bool) -> None:
        assert isinstance(self.step, CatchUp), self.step
        self._resume(is_recent)

    def time_is_over(self) -> None:
        assert isinstance(self.step, Pause), self.step
        self._resume(True)

    def cancel(self) -> None:
        """Drive it no longer."""
        self._coroutine.close()
        self.step = None

    # What it believes.

    @property
    def status(self) -> Status:
        return self.me.belief.latest

    def statuses(self) -> list[tuple[Role, str | None]]:
        """Return the role and the error's class of each status since the last call."""
        told, self.told = self.told, []
        statuses = [each for each in told if isinstance(each, Status)]
        return [(each.role, None if each.error is None else type(each.error).__name__) for each in statuses]

    def ceased(self) -> list[str | None]:
        """Return the class of each cause for which belief ended."""
        return [
            None if each.cause is None else type(each.cause).__name__ for each in self.told if isinstance(each, Ceased)
        ]

    def ended(self) -> list[str | None]:
        """Return the class of the error with which the statuses ended."""
        return [
            None if each.error is None else type(each.error).__name__ for each in self.told if isinstance(each, Ended)
        ]

    # Driving.

    def _connect(self, session: int) -> None:
        self.me.view.reconnected()
        self.me.view.in_touch, self.me.session_id = True, session
        if self.me.claims is not None:
            self.me.view.is_session_lost = self.me.claims.session_id != session
        self.me.belief.reconsider(self.me.view)

    def _news(self) -> None:
        self._collect()
        if isinstance(self.step, NextEvent):
            self._resume()
        elif isinstance(self.step, Pause) or (isinstance(self.step, WorkStopped) and self.step.or_news):
            self._resume(False)

    def _resume(self, value: Any = None, *, error: Exception | None = None) -> None:
        try:
            self.step = self._coroutine.send(value) if error is None else self._coroutine.throw(error)
            while True:
                if self._has_come_at_once():
                    self.step = self._coroutine.send(True)
                elif isinstance(self.step, Ask) and not self.step.requests:
                    self._note_sent(self.step)
                    self.step = self._coroutine.send([])
                else:
                    break
        except StopIteration:
            self.step = None
        self._collect()

    def _has_come_at_once(self) -> bool:
        return (isinstance(self.step, WorkStopped) and not self.me.is_working) or (
            (isinstance(self.step, CatchUp) and not self.is_blocked)
            or (isinstance(self.step, Pause) and self.step.seconds == QUIET)
        )

    def _note_sent(self, step: Ask) -> None:
        """Count apart the watch of what operators ask, which every candidate sets beside whatever else it watches."""
        others = [each for each in step.behind if each.path != REQUEST]
        self.request_watches += len(step.behind) - len(others)
        if others:
            self.sent.append(" + ".join(map(describe, others)))

    def _collect(self) -> None:
        self.told += self.me.belief.changes
        self.me.belief.changes.clear()
