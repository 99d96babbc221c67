"""What a client waits for while no server serves it, and what it says meanwhile.

Waiting is never silent: after :data:`FIRST_WARNING` seconds, and then each minute, one WARNING names every host with
what became of it. A time limit that strikes while somebody waits has the same text as a note.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import Any

from .errors import AuthenticationError
from .host_list import Host
from .log import Log

log = Log(logging.getLogger("golea_async.client"))

FIRST_WARNING = 3.0
WARNING_INTERVAL = 60.0

# Python's own words for a TLS connection that was cut; any other ssl.SSLError is TLS that says no.
_TLS_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


class HungUpError(ConnectionError):
    """A server closed the connection instead of answering the ConnectRequest."""


class Waiting:
    """What became of each host since the client was last connected."""

    def __init__(self, hosts: Sequence[Host], *, tls: bool) -> None:
        self._hosts = hosts
        self._tls = tls
        self._outcomes: dict[Host, Exception | str] = {}
        self._others: set[Host] = set()  # with an outcome in this round that is no refusal: a name may have addresses
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Wait from now on; nothing happens if that has begun."""
        if self._since is None:
            loop = asyncio.get_running_loop()
            self._since = loop.time()
            self._outcomes.clear()
            self._timer = loop.call_later(FIRST_WARNING, self._warn)

    def end(self) -> None:
        """Wait no more: a server serves the client, or the client was closed."""
        self._since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def lasts(self) -> float:
        """For how many seconds the client has waited."""
        return 0.0 if self._since is None else asyncio.get_running_loop().time() - self._since

    def begin_round(self) -> None:
        """Take note that every address is going to be tried once more."""
        self._others.clear()

    def trying(self, host: Host) -> None:
        """Take note that a host is being tried; what became of it before is still what is known."""
        self._outcomes.setdefault(host, "no answer yet")

    def failed(self, host: Host, outcome: Exception | str) -> None:
        """Take note of what became of a host."""
        if not is_refusal(outcome):
            self._others.add(host)
        elif not is_refusal(self._outcomes.get(host)):
            what = (
                f"TLS refuses a server, {host}" if isinstance(outcome, ssl.SSLError) else "a server refuses this client"
            )
            log.warning("%s: it is passed over: %s", what, outcome)
        self._outcomes[host] = outcome

    @property
    def refusal(self) -> Exception | None:
        """Return what a start is to raise: an error of the last host when every host has refused for good."""
        outcomes = [self._outcomes.get(host) for host in self._hosts]
        refusals = [outcome for outcome in outcomes if is_refusal(outcome)]
        if self._others or not refusals or len(refusals) < len(outcomes):
            return None
        refusal = refusals[-1]
        assert isinstance(refusal, Exception)
        if len(refusals) > 1:
            add_note(refusal, f"every server refuses: {self._described()}")
        return refusal

    def describe(self) -> str | None:
        """Return for whom the client waits, and what became of each; None while it does not wait."""
        if self._since is None:
            return None
        return f"no ZooKeeper server serves this client, for {self.lasts:.1f} s now: {self._described()}"

    def _described(self) -> str:
        return "; ".join(
            f"{host}: {describe(self._outcomes.get(host, 'not tried yet'), tls=self._tls)}"
            for host in dict.fromkeys(self._hosts)
        )

    def _warn(self) -> None:
        log.warning("%s; it goes on trying", self.describe())
        self._timer = asyncio.get_running_loop().call_later(WARNING_INTERVAL, self._warn)

    def __enter__(self) -> None:
        """Have the end of a wait say what was waited for: a time limit is a cancellation at first."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, asyncio.CancelledError | TimeoutError):
            add_note(error, self.describe())


def add_note(error: BaseException, note: str | None) -> None:
    """Add a note once."""
    if note is not None and not any(note[:40] == earlier[:40] for earlier in getattr(error, "__notes__", ())):
        error.add_note(note)


def is_refusal(outcome: Any) -> bool:
    """Whether a server has refused for good: TLS that says no, or a credential that is not taken."""
    if isinstance(outcome, ssl.SSLError):
        return not isinstance(outcome, _TLS_CUT)
    return isinstance(outcome, AuthenticationError)


def describe(outcome: Exception | str, *, tls: bool) -> str:
    """Say what became of a try."""
    said = str(outcome) or type(outcome).__name__
    match outcome:
        case TimeoutError():
            what = "no answer in time"
        case ConnectionRefusedError():
            what = "connection refused: nobody listens there"
        case ssl.SSLError() if is_refusal(outcome):
            what = f"TLS refused: {said}"
        case HungUpError():
            what = f"it closed the connection instead of answering{_reasons(tls)} ({said})"
        case ConnectionError() | ssl.SSLError() if tls:
            what = f"TLS was cut ({said}): it may not speak TLS on this port, or may want a client's certificate"
        case _:
            what = said
    return what


def _reasons(tls: bool) -> str:
    others = "a TLS port wants ssl=" if not tls else "it may want a client's certificate"
    return f": it has no quorum, or is behind what this client has seen, or {others}"
