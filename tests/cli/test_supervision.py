"""golea's side of the supervisor, against supervisors that behave in ways that take luck with a real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import cast

import pytest
from blockbuster import BlockBuster

from golea_async import Leadership
from golea_async.cli import supervision
from golea_async.cli.exits import Exit, Problem
from golea_async.cli.supervision import Ending, Supervision, Timing

LEASED_FOR = 1.5
"""Seconds: a supervisor that a busy machine has not let run by then is taken for a dead one, rightly."""
IS_LATE_AFTER = 0.5
"""Seconds after the end of the lease at which the command has ended."""
SLOW = f"""
import json, socket, sys, time

orders = socket.socket(fileno=int(sys.argv[4]))


def say(**what):
    orders.send(json.dumps(what).encode())


say(ready=1)
while "start" not in (order := json.loads(orders.recv(100_000))):
    pass
say(heard=order["number"])
say(killing=True)
time.sleep(order["deadline"] + {IS_LATE_AFTER} - time.clock_gettime(time.CLOCK_BOOTTIME))
say(ended=137, cause="deadline", left=0)
while orders.recv(100_000):
    pass
"""


@pytest.fixture
def may_block(never_blocks: BlockBuster) -> Iterator[None]:
    """A supervisor is started before anything else goes on in golea's event loop."""
    never_blocks.deactivate()
    yield
    never_blocks.activate()


class Lapsing:
    """A leadership whose lease is not renewed any more."""

    is_valid = True

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())


@pytest.mark.usefixtures("may_block")
async def test_a_command_that_takes_long_to_die_is_no_fault_of_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two gigabytes take longer to give back than the margin: the end is the deadline's, and nothing is broken."""
    monkeypatch.setattr(supervision, "_PROGRAM", SLOW)
    supervisor = Supervision(["true"], lambda _: None)
    await supervisor.ready()
    timing = Timing(timeout=12, grace=0)
    ending = await supervisor.run(cast("Leadership", Lapsing(LEASED_FOR)), {}, timing)
    assert (ending, supervisor.broken.is_set()) == (Ending(137, "deadline"), False)
    await supervisor.close()


@pytest.mark.usefixtures("may_block")
async def test_a_system_without_pidfd_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(Problem, match=r"golea run needs Linux 5\.3 or newer") as problem:
        Supervision(["true"], lambda _: None)
    assert problem.value.code is Exit.CONFIGURATION


def test_what_is_started_by_a_dead_parent_dies() -> None:
    """The parent may end between the fork and the child's asking to be killed then."""
    program = f"import os; from golea_async.cli.descendants import die_with; die_with({os.getpid()} + 1)"
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == 128 + signal.SIGKILL
