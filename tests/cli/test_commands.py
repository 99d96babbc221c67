"""The command in a pipe: what it prints, what it exits with, and that nothing is a traceback."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from pathlib import Path

import aiozk
import pytest

from golea_async import AsyncElection, ZKClient, create_election, list_candidates
from golea_async.cli.app import run_app
from golea_async.cli.exits import Exit
from golea_async.testing import Ensemble, MemoryZooKeeper
from tests.support.command import GOLEA, PATIENCE, ROOT, ask, ask_json, environment, golea
from tests.support.ports import choose_free_ports

EVERY_COMMAND = (
    "status",
    "watch",
    "doctor",
    "create",
    "depose",
    "transfer",
    "end",
    "delete",
    "server",
    "demo",
    "run",
    "guard",
)
ESCAPE = "\x1b]0;title\x07\x1b[31m[bold]x"


# ------------------------------------------------------------------ the frame


async def test_help_names_every_command() -> None:
    code, out, _ = await ask("", "--help")
    assert code == Exit.DONE
    for command in EVERY_COMMAND:
        assert re.search(rf"^│ {command} ", out, re.MULTILINE), command


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_the_help_of_each_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app([command, "--help"]) == Exit.DONE
    text = capsys.readouterr().out
    assert f"golea {command}" in text
    assert "Example:" in text
    assert "Exit code:" in text


async def test_help_loads_neither_the_library_nor_asyncio() -> None:
    probe = "import sys\nfrom golea_async.cli.app import run_app\nrun_app(['--help'])\n"
    probe += "print([name for name in sys.modules if name in ('asyncio', 'aiozk', 'golea_async._api')])"
    process = await asyncio.create_subprocess_exec(GOLEA[0], "-c", probe, stdout=subprocess.PIPE, env=environment(""))
    out, _ = await process.communicate()
    assert out.decode().splitlines()[-1] == "[]"


def test_the_docs_have_every_exit_code() -> None:
    table = (ROOT / "docs" / "command.md").read_text()
    rows = re.findall(r"^\| (\d+)", table, re.MULTILINE)
    assert rows == [str(int(code)) for code in Exit]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status"], "RESOURCE"),
        (["stat", "/a"], "status"),
        (["status", "a"], "must"),
        (["status", "/a", "--hosts", "zk1:port"], "zk1:port"),
        (["status", "/a", "--hosts", "zk1:2181,zk2:2181/b"], "write --hosts zk1:2181,zk2:2181 --chroot /b"),
        (["status", "/a", "--hosts", "zk1:2181/b,zk2:2181/b"], "give the path as --chroot"),
        (["status", "/a", "--hosts", "me:pw@zk1:2181"], "give --auth digest:user:pw"),
        (["status", "/a", "--hosts", "ssl://zk1:2181"], "--tls for TLS"),
        (["status", "/a", "--session-timeout", "soon"], "soon"),
        (["status", "/a", "--tls-ca", "/no/such/file"], "/no/such/file"),
        (["status", "/a", "--auth-file", "/no/such/file"], "/no/such/file"),
        (["run", "/a"], "golea run /a -- COMMAND"),
        (["run", "/a", "--grace", "9", "--", "true"], "--grace"),
        (["run", "/a", "--when", "now", "--", "true"], "--when"),
        (["guard"], "golea guard -- COMMAND"),
        (["guard", "--when", "--", "true"], "--when"),
        (["demo", "--candidates", "1"], "two candidates"),
        (["status", "/a", "--timeout", "-1"], "from 0 on"),
        (["run", "/a", "--session-timeout", "0", "--", "true"], "more than 0"),
        (["status", "/a", "--chroot", "b"], "must begin with a slash: /b"),
        (["depose", "/a", "--yes"], "no candidate's path"),
        (["depose", "ada", "--yes"], "no candidate's path"),
        (["server", "--port", "99999"], "--port"),
    ],
)
async def test_a_wrong_command_line_is_said(arguments: list[str], said: str) -> None:
    code, out, err = await ask("127.0.0.1:1", *arguments)
    assert (code, out) == (Exit.USAGE, "")
    assert err.startswith("golea: ")
    assert said in err
    assert "Traceback" not in err


async def test_a_wrong_level_of_logging_is_said() -> None:
    code, _, err = await ask("127.0.0.1:1", "status", "/a", GOLEA_LOG="loud")
    assert (code, err) == (Exit.USAGE, "golea: GOLEA_LOG=loud: write DEBUG, INFO, WARNING or ERROR\n")


async def test_tls_to_a_port_without_it_is_said(memory: MemoryZooKeeper) -> None:
    answers = await asyncio.gather(
        ask(memory.hosts, "status", "/a", "--tls", "--timeout", "1"),
        ask(memory.hosts, "doctor", "--tls", "--timeout", "1"),
    )
    for code, out, err in answers:
        assert code == Exit.UNREACHABLE
        assert "it may not speak TLS on this port" in out + err


async def test_secrets_are_never_echoed(memory: MemoryZooKeeper, tmp_path: Path) -> None:
    wrong = tmp_path / "credentials"
    wrong.write_text("s3cr3t\n")
    attempts = await asyncio.gather(
        ask(memory.hosts, "status", "/a", "--auth", "s3cr3t"),
        ask(memory.hosts, "status", "/a", "--auth-file", str(wrong)),
        ask(memory.hosts, "status", "/a", "--help", GOLEA_AUTH="digest:me:s3cr3t"),
        ask(memory.hosts, "doctor", GOLEA_AUTH="nosuch:s3cr3t"),
        ask(f"me:s3cr3t@{memory.hosts}", "status", "/a"),
        ask(memory.hosts, "status", "--wrong", GOLEA_AUTH="digest:me:s3cr3t"),
    )
    for code, out, err in attempts:
        assert "s3cr3t" not in out + err, (code, out, err)


async def test_no_zookeeper_is_said_and_then_given_up() -> None:
    (port,) = choose_free_ports(1)
    async with golea(f"127.0.0.1:{port}", "status", "/a", "--timeout", "4") as command:
        await command.says("trying until 4 s are over")
        assert await command.ends() == Exit.UNREACHABLE
    assert re.search(rf"127.0.0.1:{port}.*Gave up after 4 s", "\n".join(command.said))


async def test_watch_waits_for_zookeeper_for_ever(memory: MemoryZooKeeper) -> None:
    del memory
    (port,) = choose_free_ports(1)
    async with golea(f"127.0.0.1:{port}", "watch", "/a") as command:
        await command.says("trying until it does")
        command.process.send_signal(signal.SIGTERM)
        assert await command.ends() == Exit.SIGNALLED + signal.SIGTERM


async def test_a_reader_that_has_enough_is_no_error(memory: MemoryZooKeeper, election: str) -> None:
    shell = f"{' '.join(GOLEA)} watch {election} | head -n 1; echo ${{PIPESTATUS[0]}}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(memory.hosts)
    )
    while b"nobody stands" not in await process.stdout.readline():  # type: ignore[union-attr]
        pass
    async with ZKClient(memory.hosts) as zk, AsyncElection(zk, election):
        out, err = await process.communicate()
    assert (out.decode().split(), err) == ([str(Exit.SIGNALLED + signal.SIGPIPE)], b"")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("status", "ELECTION"),
        ("watch", "ELECTION"),
        ("status", "ELECTION", "--json"),
        ("server", "--port=0"),
    ],
)
async def test_a_full_disk_is_said(memory: MemoryZooKeeper, election: str, arguments: tuple[str, ...]) -> None:
    prefix = ["sh", "-c", 'exec "$@" >/dev/full', "sh"]
    words = [election if word == "ELECTION" else word for word in arguments]
    async with golea(memory.hosts, *words, prefix=prefix) as command:
        assert await command.ends() == Exit.OUTPUT
    assert command.said == ["golea: cannot write to standard output: No space left on device"]


async def test_where_nothing_can_be_said_the_exit_code_says_it(memory: MemoryZooKeeper) -> None:
    prefix = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"]
    answers = {"/a": Exit.NOT_FOUND, "a": Exit.USAGE}
    for resource, code in answers.items():
        async with golea(memory.hosts, "status", resource, prefix=prefix) as command:
            assert await command.ends() == code


async def test_what_was_not_said_is_said_later() -> None:
    """In the background nothing waits for a reader, and what does not fit is left out."""
    program = (
        "import sys, time\nfrom golea_async.cli import output\noutput.speak_in_background()\n"
        "for _ in range(5000): output.remark('word' * 50)\nprint('full', flush=True)\n"
        "while output._waiting.qsize(): time.sleep(.01)\noutput.remark('later')\noutput.settle()"
    )
    process = await asyncio.create_subprocess_exec(
        GOLEA[0], "-c", program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment("")
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"full\n"
    _, err = await process.communicate()
    *said, later = err.decode().splitlines()
    assert later == "golea: later"
    missing = re.compile(r"golea: (\d+) lines are missing here: nobody read standard error")
    numbers = [int(found[1]) for line in said if (found := missing.fullmatch(line))]
    words = [line for line in said if not missing.fullmatch(line)]
    assert numbers
    assert (len(words) + sum(numbers), set(words)) == (5000, {"golea: " + "word" * 50})


async def test_ctrl_c_while_it_is_being_loaded_ends_it_silently(tmp_path: Path) -> None:
    (tmp_path / "cyclopts.py").write_text("import time\nprint('loads', flush=True)\ntime.sleep(1000)\n")
    async with golea("", "status", "/a", stdout=subprocess.PIPE, PYTHONPATH=f"{tmp_path}:{ROOT}") as command:
        assert command.process.stdout is not None
        assert await command.process.stdout.readline() == b"loads\n"
        command.process.send_signal(signal.SIGINT)
        assert await command.ends() == Exit.SIGNALLED + signal.SIGINT
    assert command.said == []


async def test_an_empty_variable_is_an_unset_one() -> None:
    (port,) = choose_free_ports(1)
    names = ("CHROOT", "SESSION_TIMEOUT", "AUTH", "AUTH_FILE", "TLS", "TLS_CA", "TLS_CERT", "TLS_KEY", "LOG", "DEBUG")
    empty = {f"GOLEA_{name}": "" for name in names}
    code, _, err = await ask(f"127.0.0.1:{port}", "status", "/a", "--timeout", "0.1", **empty)
    assert (code, f"127.0.0.1:{port}" in err) == (Exit.UNREACHABLE, True), err
    code, _, err = await ask("", "status", "/a", "--chroot", "b", GOLEA_TIMEOUT="")
    assert (code, "must begin with a slash: /b" in err) == (Exit.USAGE, True), err


async def test_doctor_says_it_in_options_too() -> None:
    _, out, _ = await ask("", "doctor", "--hosts", "zk1:2181/b")
    assert "write --hosts zk1:2181 --chroot /b" in out


@pytest.mark.parametrize("lines", [1, 5, 9])
async def test_the_demo_ends_when_nobody_reads_it(lines: int) -> None:
    """Whatever it is about to say then: where ZooKeeper is, who follows, who leads."""
    shell = f"{' '.join(GOLEA)} demo --candidates 2 --rounds 1 | head -n {lines}; echo ${{PIPESTATUS[0]}}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment("")
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (out.decode().split()[-1], err) == (str(Exit.SIGNALLED + signal.SIGPIPE), b"")


def files_below(directory: Path) -> list[Path]:
    return [file for file in directory.rglob("*") if file.is_file()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_installs(tmp_path: Path, shell: str) -> None:
    code, out, err = await ask("", "--install-completion", HOME=str(tmp_path), SHELL=f"/bin/{shell}")
    assert code == Exit.DONE, err
    installed = [file for file in files_below(tmp_path) if "golea" in file.name]
    assert installed, out
    assert "status" in installed[0].read_text()


# ------------------------------------------------------------------ looking


async def test_status_of_each_state(memory: MemoryZooKeeper, client: ZKClient, election: str) -> None:
    code, _, err = await ask(memory.hosts, "status", "/none", "--chroot", election)
    assert (code, f"no election /none below the chroot {election}" in err) == (Exit.NOT_FOUND, True)
    code, out, _ = await ask(memory.hosts, "status", election)
    assert (code, out) == (Exit.NO, f"{election}: nobody stands\n")
    await client.create(f"{election}/notes")
    async with AsyncElection(client, election, "ada") as ada, AsyncElection(client, election, ESCAPE) as second:
        code, out, err = await ask(memory.hosts, "status", election)
        assert (code, err) == (Exit.DONE, ""), "nothing is said twice"
        summary, header, *rows, remark = out.splitlines()
        token = ada.status.fencing_token
        assert summary.startswith(f"{election}: ada leads, fencing token {token}, standing for ")
        assert header.split() == ["role", "candidate", "token", "standing", "for", "session", "name"]
        assert [row.split()[0] for row in rows] == ["leader", "follower"]
        assert "foreign children, which keep golea delete from working: notes." in remark
        assert "\x1b" not in out
        assert r"\x1b]0;title\x07\x1b[31m[bold]x" in rows[1]

        seen = await ask_json(memory.hosts, "status", election)
        assert seen["state"] == "led"
        assert seen["foreign_children"] == ["notes"]
        assert seen["leader"]["fencing_token"] == token
        assert seen["leader"]["session"] == f"0x{client.session.session_id:x}"
        assert [each["id"] for each in seen["followers"]] == [second.status.candidate_id]
        assert seen["followers"][0]["name"] == ESCAPE
        await client.create(f"{election}/DONE")
    code, out, _ = await ask(memory.hosts, "status", election)
    assert code == Exit.OVER
    assert f"golea end {election}" in out


async def test_watch_prints_each_change(memory: MemoryZooKeeper, client: ZKClient, election: str) -> None:
    async with golea(memory.hosts, "watch", election, stdout=subprocess.PIPE) as command:
        assert command.process.stdout is not None

        async def line() -> str:
            assert command.process.stdout is not None
            return (await asyncio.wait_for(command.process.stdout.readline(), 30)).decode()

        assert "nobody stands" in await line()
        async with AsyncElection(client, election, "ada"):
            assert re.match(r"\d{4}-\d\d-\d\dT\S+ .*: ada leads, fencing token \d+, .*, 0 followers", await line())
            async with AsyncElection(client, election, "eve"):
                assert "ada leads" in await line()
        assert "nobody stands" in await line()
        await client.delete(election)
        assert "no election" in await line()
        await create_election(client, election)
        assert "nobody stands" in await line()
        command.process.send_signal(signal.SIGINT)
        assert await command.ends() == Exit.SIGNALLED + signal.SIGINT
        assert command.said == []


async def test_watch_prints_lines_of_json(memory: MemoryZooKeeper, leader: AsyncElection) -> None:
    async with golea(memory.hosts, "watch", leader.resource, "--json", stdout=subprocess.PIPE) as command:
        assert command.process.stdout is not None
        seen = json.loads(await command.process.stdout.readline())
    assert (seen["state"], seen["leader"]["name"]) == ("led", "ada")


async def test_doctor_finds_nothing_wrong(real_ensemble: Ensemble) -> None:
    async with ZKClient(real_ensemble.hosts) as zk:
        await create_election(zk, "/cli/doctor")
    code, out, err = await ask(real_ensemble.hosts, "doctor", "/cli/doctor")
    assert code == Exit.DONE, out + err
    for server in real_ensemble.servers:
        assert f"{server.address} answers" in out
    assert len(re.findall(", (leader|follower), ZooKeeper 3", out)) == len(real_ensemble.servers)
    assert "session timeout 10 s, as asked" in out
    assert "CREATE, READ and DELETE" in out


async def test_doctor_finds_what_is_wrong(memory: MemoryZooKeeper, client: ZKClient, election: str) -> None:
    (port,) = choose_free_ports(1)
    await client.create(f"{election}/notes")
    await client.create(f"{election}/le_0000000000")
    await client.create(f"{election}/DONE")
    await client.set_acl(election, [aiozk.ACL.make(scheme="world", id="anyone", read=True)])
    hosts = f"{memory.hosts},127.0.0.1:{port}"
    code, out, _ = await ask(hosts, "doctor", election, "--session-timeout", "60", "--timeout", "2")
    assert code == Exit.NO
    wrong = [line for line in out.splitlines() if line.startswith("WRONG")]
    for words in (f"127.0.0.1:{port}", "40 s granted", "notes", "persistent", "DONE is there", "CREATE is not granted"):
        assert any(words in line for line in wrong), (words, out)
    assert f"{election}/golea-doctor" not in memory.znodes()
    seen = await ask_json(memory.hosts, "doctor", "/none")
    assert (seen["is_well"], seen["election"]["state"]) == (False, "no election")
    assert seen["problems"] == ["there is no election /none. To make it: golea create /none"]
    assert (await ask(f"127.0.0.1:{port}", "doctor", "--timeout", "1"))[0] == Exit.UNREACHABLE


# ------------------------------------------------------------------ changing


async def test_an_election_is_made_ended_and_deleted(real_ensemble: Ensemble) -> None:
    hosts, path = real_ensemble.hosts, "/cli/made/here"
    assert (await ask(hosts, "create", path))[:2] == (Exit.DONE, f"{path} is made\n")
    assert (await ask(hosts, "create", path))[:2] == (Exit.DONE, f"{path} was there already\n")
    assert await ask_json(hosts, "create", path) == {"created": False}
    async with ZKClient(hosts) as zk:
        standing = AsyncElection(zk, path, "ada")
        await standing.start()
        code, out, err = await ask(hosts, "end", path)
        assert (code, out) == (Exit.USAGE, "")
        assert "Concerned: ada (leader)." in err
        assert f"To do it: golea end {path} --yes" in err
        assert standing.is_leader
        code, out, err = await ask(hosts, "end", path, "--yes")
        assert (code, out) == (Exit.DONE, f"{path} is ended\n"), err
        assert await list_candidates(zk, path) == []
    assert (await ask(hosts, "delete", path, "--yes"))[:2] == (Exit.DONE, f"{path} is deleted\n")
    assert (await ask(hosts, "delete", path, "--yes"))[:2] == (Exit.DONE, f"{path} was not there\n")
    assert (await ask(hosts, "end", path, "--yes"))[0] == Exit.NOT_FOUND


async def test_one_candidate_is_deposed(memory: MemoryZooKeeper, leader: AsyncElection) -> None:
    candidate = leader.status.candidate_id
    assert candidate is not None
    code, _, err = await ask(memory.hosts, "depose", f"{leader.resource}/le_0000000099", "--yes")
    assert code == Exit.NOT_FOUND
    assert f"golea status {leader.resource}" in err
    assert (await ask(memory.hosts, "depose", candidate, "--yes"))[0] == Exit.DONE
    async with asyncio.timeout(10):
        async for _ in leader.statuses():
            pass
    assert not leader.is_leader


async def test_a_persistent_candidate_is_removed_by_force(
    memory: MemoryZooKeeper, client: ZKClient, election: str
) -> None:
    await client.create(candidate := f"{election}/le_0000000000")
    code, _, err = await ask(memory.hosts, "depose", candidate, "--yes")
    assert (code, f"golea depose {candidate} --force" in err) == (Exit.UNFIT, True)
    code, _, err = await ask(memory.hosts, "depose", candidate, "--force", "--yes")
    assert (code, "Concerned: le_0000000000 (leader)." in err) == (Exit.DONE, True)
    assert candidate not in memory.znodes()


async def test_what_zookeeper_refuses_has_an_exit_code(
    memory: MemoryZooKeeper, client: ZKClient, election: str
) -> None:
    await client.create(f"{election}/notes")
    assert (await ask(memory.hosts, "delete", election, "--yes"))[0] == Exit.UNFIT
    await client.set_acl(election, [aiozk.ACL.make(scheme="world", id="anyone", read=True, admin=True)])
    code, _, err = await ask(memory.hosts, "end", election, "--yes")
    assert code == Exit.REFUSED
    assert f"golea doctor {election}" in err
    await client.set_acl(election, [aiozk.ACL.make(scheme="ip", id="10.1.2.3", read=True)], force=True)
    code, out, _ = await ask(memory.hosts, "doctor", election)
    assert (code, f"may not read {election}" in out) == (Exit.NO, True)


async def test_credentials_of_the_environment(memory: MemoryZooKeeper) -> None:
    """Several have commas between them, as none of them has one."""
    async with ZKClient(memory.hosts, auth=[("digest", "ada:pa ss:word")]) as owner:
        owners = [aiozk.ACL.make("auth", "", create=True, read=True, write=True, delete=True, admin=True)]
        await create_election(owner, "/of-ada", acl=owners)
    environments = {"digest:eve:1": Exit.REFUSED, "digest:eve:1,digest:ada:pa ss:word": Exit.NO}
    for credentials, code in environments.items():
        assert (await ask(memory.hosts, "status", "/of-ada", GOLEA_AUTH=credentials))[0] == code


# ------------------------------------------------------------------ developing


async def test_a_server_in_memory_serves() -> None:
    (port,) = choose_free_ports(1)
    async with golea("", "server", "--port", str(port), stdout=subprocess.PIPE) as command:
        assert command.process.stdout is not None
        assert await command.process.stdout.readline() == f"GOLEA_HOSTS=127.0.0.1:{port}\n".encode()
        assert (await ask(f"127.0.0.1:{port}", "create", "/a"))[0] == Exit.DONE
        code, _, err = await ask("", "server", "--port", str(port))
        assert code == Exit.UNFIT
        assert "--port 0" in err
        command.process.send_signal(signal.SIGTERM)
        assert await command.ends() == Exit.DONE


async def test_a_server_without_java_says_what_to_do(tmp_path: Path) -> None:
    nothing = str(tmp_path)
    code, _, err = await ask("", "server", "--ensemble", "3", PATH=nothing, JAVA_HOME=nothing, ZOOKEEPER_HOME=nothing)
    assert code == Exit.CONFIGURATION
    assert "golea server" in err


async def test_without_its_packages_it_says_how_to_install_them() -> None:
    program = "import sys\nsys.modules['cyclopts'] = None\nfrom golea_async.cli import main\nmain()"
    process = await asyncio.create_subprocess_exec(GOLEA[0], "-c", program, stderr=subprocess.PIPE, env=environment(""))
    _, err = await process.communicate()
    assert process.returncode == Exit.CONFIGURATION
    assert b"pip install 'golea-async[cli]'" in err
