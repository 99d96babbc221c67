"""The task that resigns, and the bodies of leadership() that it must not wait for, since they wait for it.

    called by                      the body is cancelled    the body is awaited
    a task outside of the body     yes                      yes
    the body's own task            no                       no: it goes on, and is to end soon
    anything else in its context   yes                      yes, until the body's stopping cancels the caller

"Anything else" is a child task, and whatever was set up inside the body: signal handlers, timers, servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from .leadership import Body, current_bodies


def release_own(bodies: Iterable[Body]) -> list[Body]:
    """Release the bodies that run in the current task; return the others."""
    task, others = asyncio.current_task(), []
    for body in bodies:
        if body.is_run_by(task):
            body.release()
        else:
            others.append(body)
    return others


class Caller:
    """The current task, which is about to have a candidate leave; to be made before the bodies are cancelled."""

    def __init__(self, bodies: Iterable[Body]) -> None:
        self._task = asyncio.current_task()
        self._bodies = release_own(bodies)
        if self._task is not None and self._task.cancelling() > 0:
            around = current_bodies.get()
            for body in self._bodies:
                if body in around:
                    self._was_cancelled_within(body)

    def _was_cancelled_within(self, body: Body) -> None:
        """Decide about a body whose stopping may be what has cancelled this task before it called.

        A task group cancels its children once. If the body was not cancelled from here it may as well be at work, and
        somebody else has cancelled this task. It is stopped then, and waited for until it would be cancelled again.
        """
        if body.cancellation.count:  # leadership was lost, so it is stopping
            body.wait_no_more()
        else:
            body.is_waited_for_once = True

    def bodies_are_stopped(self) -> None:
        """Let go of the bodies whose cancellation has cancelled this task: they await it. To be called behind that."""
        for body in self._bodies:
            if self._task is not None and body.cancellation.has_cancelled is self._task:
                body.wait_no_more()

    @property
    def on_cancel(self) -> Callable[[], None] | None:
        """What is to be called by whoever cancels this task while it waits, in the call itself; None without bodies."""
        return self._cancelled if self._bodies else None

    def _cancelled(self) -> None:
        """See who cancels: a task group of a body's, or a body that awaits this task, waits until this task has ended.

        A timer of this task's own, or a stranger, does not. Timers run in no task.
        """
        if self._task is None:
            return
        # Of this loop: at the end of `asyncio.run` it does not run, and all tasks are cancelled from outside of it.
        canceller, around = asyncio.current_task(self._task.get_loop()), current_bodies.get()
        is_a_task = canceller is not None and canceller is not self._task
        for body in self._bodies:
            if body.cancellation.is_under_way or (is_a_task and body in around):
                body.wait_no_more()
