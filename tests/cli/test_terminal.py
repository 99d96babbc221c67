"""The command in a terminal."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import pytest

from golea_async import AsyncElection, ZKClient, create_election
from golea_async.cli.exits import Exit
from golea_async.testing import Ensemble, MemoryZooKeeper
from tests.support.command import GOLEA, ask, environment
from tests.support.terminal import CTRL_BACKSLASH, CTRL_C, CTRL_Z, terminal

BEATING = Path(__file__).parents[1] / "support" / "beating.py"
LONG_NAME = "a-very-long-name-" * 12


@pytest.mark.parametrize("columns", [80, 200])
async def test_status_fits_the_screen(memory: MemoryZooKeeper, client: ZKClient, election: str, columns: int) -> None:
    async with AsyncElection(client, election, LONG_NAME), AsyncElection(client, election, "\x1b[31mred[bold]"):
        shown = environment(memory.hosts)
        async with terminal(*GOLEA, "status", election, environment=shown, columns=columns) as screen:
            assert await screen.ends() == Exit.DONE
            text = await screen.shows(r"red\[b")
    assert max(map(len, text.splitlines())) <= columns
    names = "".join(re.findall(r"(\S+)\s*$", text, re.MULTILINE))
    assert LONG_NAME in names  # nothing of it is cut, however it is folded
    assert r"\x1b[31mred" in text
    assert "\x1b[31mred" not in screen.raw
    assert "\x1b[32mleader" in screen.raw  # that word is green, the row is bold: no bold green, as bright as white


async def test_doctor_shows_no_control_either(memory: MemoryZooKeeper, client: ZKClient, election: str) -> None:
    async with AsyncElection(client, election, "\x1b]0;title\x07"):
        shown = environment(memory.hosts)
        async with terminal(*GOLEA, "doctor", election, environment=shown) as screen:
            assert await screen.ends() == Exit.DONE
            text = await screen.shows("CREATE, READ and DELETE")
    assert r"\x1b]0;title\x07 leads" in text
    assert "\x1b]" not in screen.raw


async def test_no_color_is_heeded(memory: MemoryZooKeeper, leader: AsyncElection) -> None:
    async with terminal(
        *GOLEA, "status", leader.resource, environment=environment(memory.hosts, NO_COLOR="1")
    ) as screen:
        assert await screen.ends() == Exit.DONE
        await screen.shows("ada")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", screen.raw)


async def test_watch_follows_hundreds_of_candidates(
    memory: MemoryZooKeeper, client: ZKClient, leader: AsyncElection
) -> None:
    resource = leader.resource
    async with terminal(*GOLEA, "watch", resource, environment=environment(memory.hosts)) as screen:
        await screen.shows("ada leads")
        others = [AsyncElection(client, resource, f"other {number}") for number in range(200)]
        await asyncio.gather(*(other.start() for other in others))
        await screen.shows("more: golea status")
        await leader.resign()
        await screen.shows("other 0 leads")
        screen.press(CTRL_C)
        assert await screen.ends() == Exit.SIGNALLED + 2
    assert "Traceback" not in screen.text
    assert screen.raw.rstrip().endswith("\x1b[?25h\x1b[?1049l")  # the cursor, and what was there before, are back
    await asyncio.gather(*(other.resign() for other in others))


async def test_watch_says_that_zookeeper_is_away(memory: MemoryZooKeeper, leader: AsyncElection) -> None:
    async with terminal(*GOLEA, "watch", leader.resource, environment=environment(memory.hosts)) as screen:
        await screen.shows("ada leads")
        with memory.outage():
            await screen.shows("OUT OF TOUCH")
        screen.press(CTRL_C)
        assert await screen.ends() == Exit.SIGNALLED + 2


@pytest.mark.parametrize(("answer", "code"), [(b"n\r", Exit.NO), (b"\r", Exit.NO), (b"y\r", Exit.DONE)])
async def test_a_change_asks_first(memory: MemoryZooKeeper, leader: AsyncElection, answer: bytes, code: Exit) -> None:
    async with terminal(*GOLEA, "end", leader.resource, environment=environment(memory.hosts)) as screen:
        await screen.shows(r"Do it\? \[y/N\]")
        assert leader.is_leader
        screen.press(answer)
        assert await screen.ends() == code
    assert leader.is_leader is (code == Exit.NO)


async def test_who_moves_while_it_asks_is_not_said_to_be_deposed(
    memory: MemoryZooKeeper, leader: AsyncElection
) -> None:
    candidate = str(leader.status.candidate_id)
    async with terminal(*GOLEA, "depose", candidate, environment=environment(memory.hosts)) as screen:
        await screen.shows(r"Do it\?")
        await leader.step_down()
        screen.press(b"y\r")
        assert await screen.ends() == Exit.NOT_FOUND
        await screen.shows("Who stands: golea status")
    await leader.wait_for_leadership()


async def test_ctrl_c_at_the_question_changes_nothing(memory: MemoryZooKeeper, leader: AsyncElection) -> None:
    async with terminal(*GOLEA, "end", leader.resource, environment=environment(memory.hosts)) as screen:
        await screen.shows(r"Do it\?")
        screen.press(CTRL_C)
        assert await screen.ends() == Exit.SIGNALLED + 2
    assert leader.is_leader


async def test_the_demo_is_a_live_table() -> None:
    command = (*GOLEA, "demo", "--candidates", "2", "--rounds", "1")
    async with terminal(*command, environment=environment(""), columns=120) as screen:
        assert await screen.ends() == Exit.DONE
        text = await screen.shows("At no moment did two lead")
    assert "candidate-1 leads, for" in text
    assert "kill -9" in text


# ------------------------------------------------------------------ run


async def test_each_signal_of_the_terminal_comes_once(memory: MemoryZooKeeper, election: str) -> None:
    """The terminal sends it to the command and to golea: golea does not pass it on, unlike others."""
    counting = (
        "import os,signal,sys,collections\nn=collections.Counter()\n"
        "def count(number, _):\n n[number]+=1; os.write(1, b'%d: %d\\n' % (number, n[number]))\n"
        "for number in 2, 3, 28: signal.signal(number, count)\n"
        "signal.signal(10, lambda *_: sys.exit(n.total()))\nos.write(1, b'runs\\n')\nwhile True: signal.pause()\n"
    )
    run = ("run", election, "--", sys.executable, "-c", counting)
    async with terminal(*GOLEA, *run, environment=environment(memory.hosts)) as screen:
        await screen.shows("runs\n")
        for times in 1, 2, 3:
            screen.press(CTRL_C)
            await screen.shows(f"2: {times}")
            screen.press(CTRL_BACKSLASH)
            await screen.shows(f"3: {times}")
            screen.resize(columns=80 + times)
            await screen.shows(f"28: {times}")
        screen.process.send_signal(signal.SIGUSR1)  # behind whatever golea has passed on before
        assert await screen.ends() == 9


@pytest.mark.parametrize("wrapper", [(), ("setsid", "--wait")], ids=["in golea's group", "in a session of its own"])
async def test_the_command_is_told_of_a_hangup(
    memory: MemoryZooKeeper, election: str, wrapper: tuple[str, ...]
) -> None:
    """With `ssh -t` golea is the session's leader, and the kernel tells that one alone."""
    told = "import signal,sys\nsignal.signal(1, lambda *_: sys.exit(5))\nprint('runs', flush=True)\nsignal.pause()"
    run = ("run", election, "--", *wrapper, sys.executable, "-c", told)
    async with terminal(*GOLEA, *run, environment=environment(memory.hosts)) as screen:
        await screen.shows("runs\n")
        screen.hang_up()
        assert await screen.ends() == 5


async def test_ctrl_z_and_fg_in_a_shell(real_ensemble: Ensemble, tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = " ".join(
        [*GOLEA, "run", f"/cli/{tmp_path.name}", "--create", "--", sys.executable, str(BEATING), str(log), "plain"]
    )
    shell = ("bash", "--norc", "--noprofile", "-i")
    async with terminal(*shell, environment=environment(real_ensemble.hosts, PS1="$ "), columns=200) as screen:
        await screen.shows(r"\$ ")
        screen.press(f"{run}\n".encode())
        await screen.shows("leads, fencing token")
        await _grows(log)
        screen.press(CTRL_Z)
        await screen.shows("Stopped")
        size = _size(log)
        screen.press(b"sleep 0.5; echo slept\n")
        await screen.shows("slept", times=2)
        assert _size(log) == size
        screen.press(b"fg\n")
        await _grows(log)
        screen.press(CTRL_C)
        screen.press(b"echo ended with $?\n")
        await screen.shows("ended with 130")
        screen.press(b"exit\n")
        await screen.ends()


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


async def _grows(log: Path) -> None:
    before = _size(log)
    async with asyncio.timeout(30):
        while _size(log) <= before:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)


async def test_a_pipeline_in_a_terminal_works(real_ensemble: Ensemble, tmp_path: Path) -> None:
    run = " ".join([*GOLEA, "run", f"/cli/{tmp_path.name}", "--create", "--", "echo", "through"])
    async with terminal("bash", "-c", f"{run} | tr a-z A-Z", environment=environment(real_ensemble.hosts)) as screen:
        assert await screen.ends() == 0
        await screen.shows("THROUGH")


async def test_a_name_with_escapes_reaches_no_pipe_either(
    memory: MemoryZooKeeper, client: ZKClient, election: str
) -> None:
    await create_election(client, election)
    async with AsyncElection(client, election, "\x1b]0;title\x07"):
        _, out, _ = await ask(memory.hosts, "status", election)
    assert "\x1b" not in out
