"""`golea run`: what it passes on, what it exits with."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

import pytest

from golea_async import AsyncElection, ZKClient, end_election
from golea_async.cli.exits import Exit
from golea_async.testing import Ensemble, MemoryZooKeeper
from tests.support.command import GOLEA, PATIENCE, ask, environment, golea
from tests.support.ports import choose_free_ports
from tests.support.tracer import ThreadThatTraces

BEATING = Path(__file__).parents[1] / "support" / "beating.py"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 128 + signal.SIGKILL),
        (["nosuch-command"], Exit.NO_COMMAND),
        (["/etc/passwd"], Exit.NOT_EXECUTABLE),
    ],
)
async def test_the_commands_exit_code_is_golea_s(
    memory: MemoryZooKeeper, client: ZKClient, election: str, command: list[str], code: int
) -> None:
    assert (await ask(memory.hosts, "run", election, "--", *command))[0] == code
    assert await client.get_children(election) == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_without_a_standard_stream(memory: MemoryZooKeeper, election: str, closed: str) -> None:
    prefix = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    async with golea(memory.hosts, "run", election, "--", "sh", "-c", "echo x; exit 7", prefix=prefix) as running:
        assert await running.ends() == 7


async def test_standard_error_that_nobody_reads_holds_up_nothing(memory: MemoryZooKeeper, election: str) -> None:
    """A full pipe blocks whoever writes: golea would not renew its lease, and not hear SIGTERM."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writes, bytes(4096))
    os.set_blocking(writes, True)
    process = await asyncio.create_subprocess_exec(
        *GOLEA, "run", election, "--", "sh", "-c", "exit 7", stderr=writes, env=environment(memory.hosts)
    )
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 7
    os.close(reads)
    os.close(writes)


@pytest.mark.parametrize("stream", ["2>/dev/full", ">/dev/full", ">/dev/full 2>/dev/full"])
async def test_a_full_disk_does_not_keep_the_command_from_running(
    memory: MemoryZooKeeper, election: str, stream: str
) -> None:
    prefix = ["sh", "-c", f'exec "$@" {stream}', "sh"]
    async with golea(memory.hosts, "run", election, "--", "sh", "-c", "exit 7", prefix=prefix) as running:
        assert await running.ends() == 7


async def test_it_says_why_a_command_cannot_be_run(memory: MemoryZooKeeper, election: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    said = {"nosuch-command": "not found in PATH", "./nosuch": "no such file", str(script): "the interpreter"}
    answers = await asyncio.gather(*(ask(memory.hosts, "run", election, "--", command) for command in said))
    for (code, _, err), (command, words) in zip(answers, said.items(), strict=True):
        assert (code, f"cannot run {command}: " in err, words in err) == (Exit.NO_COMMAND, True, True), err


@pytest.mark.parametrize("command", [os.fsdecode(b"nosuch-\xe9\xff"), ""])
@pytest.mark.parametrize("how", ["run", "guard"])
async def test_a_command_without_a_name_that_can_be_read(
    memory: MemoryZooKeeper, election: str, how: str, command: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *GOLEA, how, *([election] * (how == "run")), "--", command, stderr=PIPE, env=environment(memory.hosts)
    )
    _, err = await process.communicate()
    assert process.returncode == Exit.NO_COMMAND, err
    assert b"cannot run " + os.fsencode(command) in err


async def test_the_environment_says_what_it_leads(memory: MemoryZooKeeper, election: str) -> None:
    show = "import json,os,sys; json.dump({k: v for k, v in os.environ.items() if k.startswith('GOLEA')}, sys.stdout)"
    code, out, err = await ask(
        memory.hosts, "run", election, "--name", "ada", "--json", "--", sys.executable, "-c", show
    )
    assert code == 0, err
    (leads,) = [event for line in err.splitlines() if (event := json.loads(line))["event"] == "leads"]
    assert json.loads(out) == {
        "GOLEA_HOSTS": memory.hosts,
        "GOLEA_RESOURCE": election,
        "GOLEA_CANDIDATE_ID": leads["candidate_id"],
        "GOLEA_FENCING_TOKEN": str(leads["fencing_token"]),
    }


async def test_no_election_and_a_longer_session_than_is_granted(memory: MemoryZooKeeper, election: str) -> None:
    code, _, err = await ask(memory.hosts, "run", f"{election}/none", "--", "true")
    assert code == Exit.NOT_FOUND
    assert f"golea create {election}/none" in err
    code, _, err = await ask(memory.hosts, "run", election, "--session-timeout", "60", "--", "true")
    assert (code, "session timeout of 40 s, not 60 s" in err) == (0, True)
    code, _, err = await ask(memory.hosts, "run", election, "--session-timeout", "60", "--grace", "8", "--", "true")
    assert (code, "at most 6.66667 s" in err) == (Exit.USAGE, True)


async def test_who_does_not_lead_in_time_gives_up(memory: MemoryZooKeeper, leader: AsyncElection) -> None:
    code, _, err = await ask(memory.hosts, "run", leader.resource, "--wait", "1", "--", "true")
    assert code == Exit.GAVE_UP
    assert "--wait" in err


@pytest.mark.parametrize("timeout", [(), ("--timeout", "0"), ("--timeout", "600")])
async def test_who_reaches_no_zookeeper_in_time_gives_up(timeout: tuple[str, ...]) -> None:
    (port,) = choose_free_ports(1)
    code, _, err = await ask(f"127.0.0.1:{port}", "run", "/a", "--wait", "0.5", *timeout, "--", "true")
    assert (code, "Gave up after 0.5 s (--wait)" in err) == (Exit.GAVE_UP, True), err


async def test_a_shorter_time_for_reaching_zookeeper_counts() -> None:
    (port,) = choose_free_ports(1)
    code, _, err = await ask(f"127.0.0.1:{port}", "run", "/a", "--wait", "600", "--timeout", "0.5", "--", "true")
    assert (code, "Gave up after 0.5 s (--timeout)" in err) == (Exit.UNREACHABLE, True), err


async def test_it_leads_at_once_or_not_at_all(memory: MemoryZooKeeper, client: ZKClient, election: str) -> None:
    run = ("run", election, "--wait", "0", "--", "sh", "-c", "exit 7")
    assert (await ask(memory.hosts, *run))[0] == 7
    async with AsyncElection(client, election):
        code, _, err = await ask(memory.hosts, *run)
    assert (code, "did not lead in time" in err) == (Exit.GAVE_UP, True), err
    assert await client.get_children(election) == []


async def test_signals_are_passed_on(memory: MemoryZooKeeper, election: str) -> None:
    shell = "trap 'echo USR1' USR1; trap 'echo TERM; exit 3' TERM; echo runs; while :; do sleep 0.05; done"
    async with golea(memory.hosts, "run", election, "--", "sh", "-c", shell, stdout=subprocess.PIPE) as command:
        out = command.process.stdout
        assert out is not None
        for number, line in [(0, b"runs\n"), (signal.SIGUSR1, b"USR1\n"), (signal.SIGTERM, b"TERM\n")]:
            os.kill(command.pid, number)
            assert await asyncio.wait_for(out.readline(), 30) == line
        assert await command.ends() == 3


async def test_a_signal_while_it_follows_ends_it(
    memory: MemoryZooKeeper, client: ZKClient, leader: AsyncElection
) -> None:
    async with golea(memory.hosts, "run", leader.resource, "--", "true") as command:
        await command.says("follows")
        os.kill(command.pid, signal.SIGTERM)
        assert await command.ends() == Exit.SIGNALLED + signal.SIGTERM
    assert await client.get_children(leader.resource) == [str(leader.status.candidate_id).rpartition("/")[2]]


async def test_it_runs_again_until_a_signal_ends_it(memory: MemoryZooKeeper, election: str, tmp_path: Path) -> None:
    count = f"echo >> {tmp_path}/runs; test $(wc -l < {tmp_path}/runs) -lt 2 || {{ echo last; exec sleep 100; }}"
    run = ("run", election, "--restart", "--", "sh", "-c", count)
    async with golea(memory.hosts, *run, stdout=subprocess.PIPE) as command:
        assert command.process.stdout is not None
        assert await asyncio.wait_for(command.process.stdout.readline(), 30) == b"last\n"
        os.kill(command.pid, signal.SIGTERM)
        assert await command.ends() == Exit.SIGNALLED + signal.SIGTERM
    assert any("--restart" in line for line in command.said)


async def test_the_command_has_its_grace_when_the_election_is_ended(
    memory: MemoryZooKeeper, client: ZKClient, election: str
) -> None:
    shell = "trap 'sleep 0.3; echo stopped; exit 0' TERM; echo runs; while :; do sleep 0.05; done"
    async with golea(memory.hosts, "run", election, "--", "sh", "-c", shell, stdout=subprocess.PIPE) as command:
        assert command.process.stdout is not None
        assert await command.process.stdout.readline() == b"runs\n"
        await end_election(client, election)
        assert await command.process.stdout.readline() == b"stopped\n"
        assert await command.ends() == Exit.OVER


async def test_a_supervisor_that_does_not_start_is_said(memory: MemoryZooKeeper, election: str) -> None:
    golea = "from golea_async.cli import main, supervision; supervision._PROGRAM = ''; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        golea,
        "run",
        election,
        "--",
        "true",
        stderr=subprocess.PIPE,
        env=environment(memory.hosts),
    )
    _, err = await process.communicate()
    assert (process.returncode, err) == (Exit.CONFIGURATION, b"golea: golea's supervisor has not started\n")


async def test_a_killed_supervisor_takes_everything_with_it(
    memory: MemoryZooKeeper, client: ZKClient, election: str
) -> None:
    shell = "setsid sleep 1000 & echo $PPID; sleep 1000"
    async with golea(memory.hosts, "run", election, "--", "sh", "-c", shell, stdout=subprocess.PIPE) as command:
        assert command.process.stdout is not None
        supervisor = int(await command.process.stdout.readline())
        os.kill(supervisor, signal.SIGKILL)
        assert await command.ends() == Exit.BUG
        assert await command.process.stdout.read() == b""  # nobody holds the pipe any more
    assert await client.get_children(election) == []


async def test_a_frozen_supervisor_is_replaced_in_time(
    memory: MemoryZooKeeper, client: ZKClient, election: str
) -> None:
    run = ("run", election, "--session-timeout", "4", "--", "sh", "-c", "echo $PPID; sleep 1000")
    async with golea(memory.hosts, *run, stdout=subprocess.PIPE) as command:
        assert command.process.stdout is not None
        os.kill(int(await command.process.stdout.readline()), signal.SIGSTOP)
        assert await command.ends() == Exit.BUG
        assert await command.process.stdout.read() == b""
    assert await client.get_children(election) == []


async def test_who_has_not_ended_is_named(memory: MemoryZooKeeper, client: ZKClient, election: str) -> None:
    """A killed process that a debugger holds, or the kernel, may still do something: golea goes on leading for it."""
    shell = "sleep 1000 & echo $!; read line"
    run = ("run", election, "--", "sh", "-c", shell)
    async with golea(memory.hosts, *run, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as command:
        assert command.process.stdout is not None
        assert command.process.stdin is not None
        held = int(await command.process.stdout.readline())
        with ThreadThatTraces(held):
            command.process.stdin.write(b"\n")
            said = await command.says("waits for processes that were killed and have not ended: ")
            assert said.string.endswith(f": {held}")
            assert await client.get_children(election) == ["le_0000000000"]
        assert await command.ends() == 0
    assert await client.get_children(election) == []


async def test_guard_runs_a_program(real_ensemble: Ensemble) -> None:
    code, out, _ = await ask(real_ensemble.hosts, "guard", "--", "sh", "-c", "echo guarded; exit 4")
    assert (code, out) == (4, "guarded\n")


async def test_a_frozen_golea_s_group_gets_no_sighup(memory: MemoryZooKeeper, election: str) -> None:
    """The kernel sends it to a process group with a stopped process that the command's end leaves orphaned."""
    golea_s_pid = "cut -d' ' -f4 /proc/$PPID/stat; sleep 1000"
    run = f"{' '.join(GOLEA)} run {election} --session-timeout 2 -- sh -c {shlex.quote(golea_s_pid)}; echo after $?"
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", run, stdout=subprocess.PIPE, env=environment(memory.hosts), start_new_session=True
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(30):
        while memory.sessions() and f"{election}/le_0000000000" in memory.znodes():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    os.kill(pid, signal.SIGCONT)
    assert await asyncio.wait_for(process.stdout.read(), 30) == b"after 76\n"
    assert await process.wait() == 0
