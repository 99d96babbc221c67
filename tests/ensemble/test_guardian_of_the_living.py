"""The guardian never ends the session of a program that lives, whatever becomes of the program or of the guardian."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.elections import children, eventually, soon, until_gone
from tests.support.ensemble import SharedEnsemble
from tests.support.guarded import (
    LATEST,
    ROOT,
    Nursery,
    closed_in_time,
    guarded,
    guardians_of,
    live,
    nursery,
)
from tests.support.namespaces import unshare
from tests.support.ports import choose_free_ports
from tests.support.proxy import Action, Frame, Proxy
from tests.support.tracer import ThreadThatTraces
from tests.support.wire import OpCode, WireClient

ALIVE = 1.0
"""For so long a test looks on while a program lives; a guardian that were wrong would act within milliseconds."""


async def test_what_programs_do(ensemble: SharedEnsemble, wire: WireClient, programs: Nursery) -> None:
    deeds = ["close descriptors", "end the main thread", "exec", "exec in a thread", "fork", "trace", "freeze", "pipe"]
    started = {
        deed: await programs.start(deed.replace(" ", "-"), ensemble.hosts, deed, default_sigpipe=deed == "pipe")
        for deed in deeds
    }
    await guarded(*started.values())
    await live(wire, *started.values())
    for deed in deeds[:5]:
        started[deed].kill(signal.SIGUSR1)
    with ThreadThatTraces(started["trace"].pid):
        started["freeze"].kill(signal.SIGSTOP)
        for _ in range(2):
            for guardian in guardians_of(started["pipe"].pid):
                os.kill(guardian, signal.SIGKILL)
            await asyncio.sleep(ALIVE)
        await live(wire, *started.values())
        started["freeze"].kill(signal.SIGCONT)
    await asyncio.sleep(ALIVE / 2)
    await live(wire, *started.values())
    for program in started.values():
        program.kill()
    await closed_in_time(wire, *started.values())


async def test_without_a_standard_stream(ensemble: SharedEnsemble, wire: WireClient, programs: Nursery) -> None:
    """What such a program opens next gets the stream's number, under which its guardian has ``/dev/null``."""
    started = [
        await programs.start(f"without-{'-'.join(map(str, closed))}", ensemble.hosts, closed=closed)
        for closed in ([0], [2], [0, 2])
    ]
    for _ in range(2):
        for guardian in await guarded(*started):
            os.kill(guardian, signal.SIGKILL)  # the next one is started with what is open by then
        await asyncio.sleep(ALIVE)
        await live(wire, *started)
    await guarded(*started)
    for program in started:
        program.kill()
    await closed_in_time(wire, *started)


async def test_what_becomes_of_guardians(ensemble: SharedEnsemble, wire: WireClient, programs: Nursery) -> None:
    """Stopped, told to end as all processes are told, or killed: then another one is started."""
    stopped, told, killed = [
        await programs.start(f"guardian-is-{what}", ensemble.hosts) for what in ("stopped", "told", "killed")
    ]
    guardians = await guarded(stopped, told, killed)
    os.kill(guardians[0], signal.SIGSTOP)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(guardians[1], number)
    os.kill(guardians[2], signal.SIGKILL)
    await asyncio.sleep(ALIVE)
    await live(wire, stopped, told, killed)
    os.kill(guardians[0], signal.SIGCONT)
    await asyncio.sleep(ALIVE / 4)
    await live(wire, stopped, told, killed)
    assert (await guarded(stopped, told))[:2] == guardians[:2]
    assert guardians[2] not in await guarded(killed)
    assert [text.partition(";")[0] for text in killed.warnings] == ["the guardian has ended"]
    for program in (stopped, told, killed):
        program.kill()
    await closed_in_time(wire, stopped, told, killed)


async def test_a_blocked_loop(ensemble: SharedEnsemble, programs: Nursery) -> None:
    """For three session timeouts the session is not kept alive; but the guardian connects only after a death."""
    async with Proxy(ensemble.servers[0].port) as proxy:
        program = await programs.start("blocked", proxy.address, "block", timeout=1)
        await guarded(program)
        by_the_guardian = proxy.on_request(is_from_a_guardian, Action.FORWARD)
        program.kill(signal.SIGUSR1)
        await soon(program.is_done.wait())
        await eventually(lambda: proxy.connections > 1)  # it has a new session
        await asyncio.sleep(ALIVE / 4)
        assert not by_the_guardian.happened.done()
        program.kill()
        await soon(by_the_guardian)


def is_from_a_guardian(frame: Frame) -> bool:
    """Whether it asks for a session of 1 ms."""
    return frame.opcode == OpCode.CREATE_SESSION and frame.payload[12:16] == b"\0\0\0\1"


async def test_a_pid_namespace(ensemble: SharedEnsemble, wire: WireClient) -> None:
    async with nursery(*unshare()) as programs:
        program = await programs.start("in-a-namespace", ensemble.hosts, "kill")
        await eventually(lambda: len(guardians_of(program.pid)) == 1)
        await asyncio.sleep(ALIVE)
        await live(wire, program)
        # Its process id is the namespace's: outside it would be another process's.
        programs.tell(program)
        await closed_in_time(wire, program)


# ---------------------------------------------------------------------- golea guard

GUARD = (sys.executable, "-m", "golea_async.guardian", "--")


PASS_ON = """
import os, subprocess, sys
sys.exit(subprocess.run(sys.argv[1:], pass_fds=[int(os.environ["GOLEA_GUARD"].partition(":")[0])]).returncode)
"""


@pytest.mark.parametrize("between", [(), (sys.executable, "-c", PASS_ON)], ids=["", "subprocess"])
async def test_golea_guard_as_process_1(ensemble: SharedEnsemble, wire: WireClient, between: tuple[str, ...]) -> None:
    async with nursery(*unshare(), *GUARD, *between) as programs:
        killed, left = [
            await programs.start(f"container-{len(between)}{word}", ensemble.hosts, "kill") for word in "ab"
        ]
        await asyncio.sleep(ALIVE)
        await live(wire, killed, left)
        assert guardians_of(killed.pid) == []
        programs.tell(killed)
        await closed_in_time(wire, killed)
        await live(wire, left)
        assert killed.warnings == left.warnings == []
    # The command has ended, and with it the container: its last process closes the sessions of all others.
    await closed_in_time(wire, left)
    assert programs.exit_code == 0


async def test_golea_guard_runs_a_command() -> None:
    """Its exit codes are the command's; signals reach the command, with the meaning that they had."""
    cases = {
        "exit 7": 7,
        "kill -TERM $$": 128 + signal.SIGTERM,
        "kill -PIPE $$": 128 + signal.SIGPIPE,  # Python ignores it, and a command must not inherit that
        "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done": 3,
        "(sleep 0.2; exit 1) & exit 4": 4,
    }
    running = [await asyncio.create_subprocess_exec(*GUARD, "sh", "-c", script, stdout=-1) for script in cases]
    for process, (script, code) in zip(running, cases.items(), strict=True):
        assert process.stdout is not None
        if "ready" in script:
            await soon(process.stdout.readline())
            process.terminate()
        await soon(process.stdout.read())
        assert await soon(process.wait()) == code, script
    for command, code in {"/nowhere/to/be/found": 127, "/etc/passwd": 126}.items():
        process = await asyncio.create_subprocess_exec(*GUARD, command, stderr=-1)
        _, said = await soon(process.communicate())
        assert (process.returncode, said.startswith(f"golea guard: cannot run {command}: ".encode())) == (code, True)


async def test_golea_guard_at_a_terminal() -> None:
    """Ctrl-C reaches the command once: it has the terminal."""
    script = "import signal, time; signal.signal(2, lambda *_: print('caught', flush=True)); print('ready', flush=True)"
    ours, theirs = os.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = await asyncio.create_subprocess_exec(
        *GUARD,
        sys.executable,
        "-c",
        f"{script}; time.sleep(1); time.sleep(0.2)",
        stdin=theirs,
        stdout=theirs,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    output = b""
    while b"ready" not in output:
        output += await soon(asyncio.to_thread(os.read, ours, 1000))
    os.write(ours, b"\x03")
    with suppress(OSError):  # EIO: nobody has the terminal any more
        while part := await soon(asyncio.to_thread(os.read, ours, 1000)):
            output += part
    os.close(ours)
    assert await soon(process.wait()) == 0
    assert output.count(b"caught") == 1


async def test_golea_guard_that_is_killed(ensemble: SharedEnsemble, wire: WireClient) -> None:
    """Its programs have guardians beside them then."""
    async with nursery(*GUARD) as programs:
        program = await programs.start("guard-is-killed", ensemble.hosts)
        assert guardians_of(program.pid) == []
        programs.kill()
        await eventually(lambda: len(guardians_of(program.pid)) == 1)
        await asyncio.sleep(ALIVE / 4)
        await live(wire, program)
        program.kill()
        await closed_in_time(wire, program)


# ---------------------------------------------------------------------- servers of web applications

SERVERS = {
    "uvicorn-workers": ["uvicorn", "--workers", "4", "--port", "{port}", "tests.support.guarded_app:application"],
    "uvicorn-reload": [
        "uvicorn",
        "--reload",
        "--reload-dir",
        "{directory}",
        "--port",
        "{port}",
        "tests.support.guarded_app:application",
    ],
    "gunicorn-preload": [
        "gunicorn",
        "--preload",
        "--workers",
        "2",
        "--bind",
        "127.0.0.1:{port}",
        "--config",
        "python:tests.support.guarded_app",
        "tests.support.guarded_app:wsgi",
    ],
}


async def test_servers_of_web_applications(
    ensemble: SharedEnsemble, wire: WireClient, resource: str, tmp_path: Path
) -> None:
    """Each worker has its own guardian: killed it loses its session at once, and no other worker loses anything."""
    await asyncio.gather(*(a_server(name, ensemble, wire, resource, tmp_path) for name in SERVERS))


async def a_server(name: str, ensemble: SharedEnsemble, wire: WireClient, resource: str, directory: Path) -> None:
    (port,) = choose_free_ports(1)
    parent = await wire.create(f"{resource}/{name}")
    arguments = [part.format(port=port, directory=directory) for part in SERVERS[name]]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        cwd=ROOT,
        env=os.environ | {"GUARDED_APP": f"{ensemble.hosts} {parent}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    workers = {"uvicorn-workers": 4, "uvicorn-reload": 1, "gunicorn-preload": 2}[name]
    try:
        async with asyncio.timeout(60):
            while len(found := await children(wire, parent)) < workers:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        pids = [int(znode) for znode in found]
        await eventually(lambda: all(len(guardians_of(pid)) == 1 for pid in pids))
        await asyncio.sleep(ALIVE)
        assert set(found) <= set(await children(wire, parent))
        os.kill(pids[0], signal.SIGKILL)
        async with asyncio.timeout(LATEST):
            await until_gone(wire, f"{parent}/{found[0]}")
        assert set(found[1:]) <= set(await children(wire, parent))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    async with asyncio.timeout(LATEST):
        for znode in found[1:]:  # the worker in place of the first may have had no time to have a guardian
            await until_gone(wire, f"{parent}/{znode}")
