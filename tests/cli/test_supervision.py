"""golea's side of the supervisor, against supervisors that behave in ways that take luck with a real one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from unittest import mock

import pytest
from blockbuster import BlockBuster

from golea_async import Leadership, LeadershipLostError
from golea_async.cli import descendants, supervision
from golea_async.cli.exits import Exit, Problem
from golea_async.cli.supervision import Ending, Supervision, Timing
from golea_async.testing import MemoryZooKeeper
from tests.support.command import PATIENCE, environment

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
def as_golea(never_blocks: BlockBuster) -> Iterator[None]:
    """What holds in golea's process alone: its event loop waits for the supervisor's start, and it inherits orphans."""
    never_blocks.deactivate()
    with mock.patch.dict(os.environ):
        yield
    descendants._prctl(descendants._SUBREAPER, 0)
    never_blocks.activate()


class Lapsing:
    """A leadership whose lease is not renewed any more."""

    is_valid = True

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())


@pytest.mark.usefixtures("as_golea")
async def test_a_command_that_takes_long_to_die_is_no_fault_of_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two gigabytes take longer to give back than the margin: the end is the deadline's, and nothing is broken."""
    monkeypatch.setattr(supervision, "_PROGRAM", SLOW)
    supervisor = Supervision(["true"], lambda _: None)
    await supervisor.ready()
    timing = Timing(timeout=12, grace=0)
    ending = await supervisor.run(cast("Leadership", Lapsing(LEASED_FOR)), {}, timing)
    assert (ending, supervisor.broken.is_set()) == (Ending(137, "deadline"), False)
    await supervisor.close()


@pytest.mark.usefixtures("as_golea")
async def test_a_system_without_pidfd_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(Problem, match=r"golea run needs Linux 5\.3 or newer") as problem:
        Supervision(["true"], lambda _: None)
    assert problem.value.code is Exit.CONFIGURATION


# ------------------------------------------------------------------ orders that are read late

ORDERS_AND_DIES = """
import asyncio, os, signal, sys
from golea_async import ZKClient
from golea_async.cli.supervision import Supervision, Timing


class Leading:
    is_valid, remaining = True, 1000.0


async def main():
    supervision = Supervision(sys.argv[2:], print)
    await supervision.ready()
    async with ZKClient(sys.argv[1], guardian=True) as zk:
        print(supervision._process.pid, flush=True)
        os.kill(supervision._process.pid, signal.SIGSTOP)
        running = asyncio.create_task(supervision.run(Leading(), {}, Timing(10, 0)))
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(main())
"""


# The supervisor's new parent is of its own session. Else its process group would be orphaned, and the kernel has one
# that is stopped go on (SIGCONT) while golea is dying, and not dead yet.
OUTLIVES = """
import os, signal, subprocess, sys
from golea_async.cli.descendants import become_subreaper

become_subreaper()
with subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE, text=True) as golea:
    supervisor = int(golea.stdout.readline())
    assert golea.wait() == -signal.SIGKILL
    os.kill(supervisor, signal.SIGCONT)
    os.waitpid(supervisor, 0)
"""


def test_nothing_is_started_for_a_dead_golea(memory: MemoryZooKeeper, tmp_path: Path) -> None:
    """The supervisor did not run between golea's order to start and its death: another one leads by now."""
    program = ("-c", ORDERS_AND_DIES, memory.hosts, "touch", str(tmp_path / "began"))
    command = [sys.executable, "-c", OUTLIVES, *program]
    subprocess.run(command, env=environment(memory.hosts), timeout=PATIENCE, check=True)
    assert not (tmp_path / "began").exists()


class Leading:
    """A leadership that is lost when the test says so."""

    def __init__(self, remaining: float = 1000.0) -> None:
        self.is_valid, self.remaining = True, remaining

    def check(self) -> None:
        if not self.is_valid:
            raise LeadershipLostError("lost")


@pytest.mark.usefixtures("as_golea")
async def test_nothing_is_started_when_the_end_was_ordered_before_it_began(tmp_path: Path) -> None:
    supervision = Supervision(["touch", str(tmp_path / "began")], lambda _: None)
    await supervision.ready()
    os.kill(supervision._process.pid, signal.SIGSTOP)
    running = asyncio.create_task(supervision.run(cast("Leadership", Leading()), {}, Timing(timeout=60, grace=0)))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    os.kill(supervision._process.pid, signal.SIGCONT)
    await asyncio.wait([running])
    assert (running.cancelled(), supervision.ending) == (True, Ending(0, "order"))
    await supervision.close()
    assert not (tmp_path / "began").exists()


def test_a_command_that_would_begin_after_the_deadline_does_not() -> None:
    """The supervisor was frozen after it had looked at the deadline: the command's process looks once more."""
    program = "from golea_async.cli.supervisor import become; become(['true'], {}, 0, [], not_after=0.0)"
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL


BREAKS = """
import asyncio, os, signal
from golea_async.cli.supervision import Supervision, Timing


async def main():
    supervision = Supervision(["true"], print)
    await supervision.ready()
    os.kill(supervision._process.pid, signal.SIGKILL)
    await supervision.broken.wait()
    await supervision._killing
    print((await supervision.run(None, {}, Timing(60, 0))).cause)
    await supervision.close()


asyncio.run(main())
"""


def test_a_supervisor_that_died_before_the_command_began_is_said() -> None:
    """In a process of its own: golea then kills whatever is below it."""
    done = subprocess.run([sys.executable, "-c", BREAKS], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.stdout, done.returncode) == ("broken\n", 0), done.stderr


HOPS = """
import os, time
from golea_async.cli import descendants

descendants.become_subreaper()
if os.fork() == 0:
    while True:
        time.sleep(0.002)
        if os.fork():
            os._exit(0)
look = descendants._processes


def look_slowly():
    processes = list(look())
    time.sleep(0.03)
    return processes


descendants._processes = look_slowly
descendants.kill_all_descendants(lambda _: None, reap=lambda *_: None)
"""


def test_what_forks_and_ends_all_the_time_is_killed() -> None:
    """By the time that all processes have been looked at, on a busy machine, it is another one."""
    subprocess.run([sys.executable, "-c", HOPS], check=True, timeout=PATIENCE)


def test_what_is_started_by_a_dead_parent_dies() -> None:
    """The parent may end between the fork and the child's asking to be killed then."""
    program = f"import os; from golea_async.cli.descendants import die_with; die_with({os.getpid()} + 1)"
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == 128 + signal.SIGKILL
