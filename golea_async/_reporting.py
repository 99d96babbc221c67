"""Putting a report together: from a candidate's history, its latest status, its lease and its client."""

from __future__ import annotations

import aiozk
from aiozk.states import States

from ._history import History
from ._runner import Runner
from .exceptions import CrashedError
from .report import ElectionReport, Reason


def report_on(zk: aiozk.ZKClient, runner: Runner, history: History) -> ElectionReport:
    """Return what there is to say of a candidate by now. Nothing is sent, and nothing is changed."""
    status, leadership = runner.public.board.latest, runner.public.leadership
    remaining = 0.0 if leadership is None else leadership.remaining
    is_leader = remaining > 0
    session, connection = zk.session, zk.session.conn
    connected = bool(session.state.current_state == States.CONNECTED and not session.closing)
    changes, losses = history.counts
    crash = _crash(runner)
    problem = crash or _problem(history, connected=connected, session_timeout=float(session.timeout))
    return ElectionReport(
        resource=runner.identity.resource,
        name=runner.identity.name,
        role=status.role,
        is_leader=is_leader,
        candidate_id=status.candidate_id,
        fencing_token=leadership.fencing_token if is_leader and leadership is not None else None,
        following=status.now_following,
        lease_remaining=remaining,
        connected=connected,
        server=f"{connection.host}:{connection.port}" if connected and connection is not None else None,
        session_timeout=float(session.timeout),
        since=history.since,
        role_changes=sum(changes.values()),
        changes=changes,
        recent_changes=history.recent_changes,
        losses=losses,
        last_loss=history.last_loss,
        leaderships=history.leaderships,
        time_to_lead=history.time_to_lead,
        leaderless_time=history.leaderless_time,
        reconnects=history.reconnects,
        session_losses=sum(count for (_, reason), count in changes.items() if reason is Reason.SESSION_LOST),
        resignations=history.resignations,
        resignation_time=history.resignation_time,
        crashed=crash is not None,
        healthy=problem is None,
        problem=problem,
    )


def _crash(runner: Runner) -> str | None:
    for error in (runner.public.board.latest.error, runner.withdrawal_error):
        if isinstance(error, CrashedError):
            return str(error)
    return None


def _problem(history: History, *, connected: bool, session_timeout: float) -> str | None:
    """Say what is wrong with a candidate that has not crashed; None: nothing is."""
    if history.dead_work is not None:
        return f"its work has died for good: {history.dead_work!r}"
    seconds = history.seconds_without_lease()
    if connected and seconds > session_timeout:
        return (
            f"it has been the first in line for {seconds:.0f} s and has no lease, though ZooKeeper answers: "
            "look for slow writes on the ensemble"
        )
    return None
