"""``golea doctor``: find out what is wrong with a ZooKeeper, or with an election."""

from __future__ import annotations

import asyncio
import re
import secrets
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any

from aiozk import exc
from cyclopts import Parameter

from golea_async import NotAuthorizedError, ZKClient

from .exits import Exit
from .options import Json, ZooKeeperOptions
from .output import console, is_terminal, printable, say, say_json
from .picture import remarks, summary
from .session import PATIENCE, as_options, connected, run_async
from .snapshot import State, take_snapshot

_DEFAULTS = ZooKeeperOptions()
_WRITES = 8
_NEVER = 2**31 - 1
"""A version that no znode has."""
SHORTEST = 1.0
"""Seconds of a session that servers make longer, as a rule: to two ticks. A shorter one would leave a try no time."""
PROBE = "golea-doctor-probe"


@dataclass
class Findings:
    """What was found, in order: (whether it is well, text)."""

    found: list[tuple[bool, str]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def well(self, text: str) -> None:
        """Note something that is as it should be."""
        self.found.append((True, text))

    def wrong(self, text: str) -> None:
        """Note something that is not."""
        self.found.append((False, text))

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return all(well for well, _ in self.found)


def doctor(
    resource: Annotated[str | None, Parameter(help="Path of an election node to look at, too.")] = None,
    /,
    *,
    json: Json = False,
    zookeeper: ZooKeeperOptions = _DEFAULTS,
) -> int:
    """Find out what is wrong with a ZooKeeper, or with an election. It changes nothing.

    Each host by itself; which session timeout is granted, against ticks and the latency of writes; for an election also
    the permissions, foreign children, persistent candidates, and a DONE that is left over.

    Example: `golea doctor /my-service/scheduler`

    Exit code: 0 nothing is wrong, 1 something is, 69 no host answers.
    """

    async def work() -> int:
        findings = Findings()
        hosts = [host.strip() for host in zookeeper.hosts.split(",") if host.strip()]
        limit = zookeeper.timeout or PATIENCE / 2
        await asyncio.gather(*(_look_at_host(host, zookeeper, findings, limit) for host in hosts))
        if any(each["answers"] for each in findings.figures.get("hosts", {}).values()):
            await _look_at_all(resource, zookeeper, findings)
            code = Exit.DONE if findings.is_well else Exit.NO
        else:
            code = Exit.UNREACHABLE
        _print(findings, json=json)
        return code

    return run_async(work)


def _print(findings: Findings, *, json: bool) -> None:
    if json:
        problems = [text for well, text in findings.found if not well]
        say_json({"is_well": findings.is_well, "problems": problems, **findings.figures})
    elif is_terminal():
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for well, text in findings.found:
            mark = Text("ok", style="green") if well else Text("WRONG", style="bold red")
            table.add_row(mark, Text(printable(text), overflow="fold"))
        console().print(table)
    else:
        for well, text in findings.found:
            say(f"{'ok    ' if well else 'WRONG '} {text}")


# ------------------------------------------------------------------ hosts


async def _look_at_host(host: str, zookeeper: ZooKeeperOptions, findings: Findings, limit: float) -> None:
    """Connect to one host; ask for a session that is as short as the server has them: that tells the tick."""
    seen: dict[str, Any] = {"answers": False}
    findings.figures.setdefault("hosts", {})[host] = seen
    began = time.monotonic()
    try:
        async with _client(zookeeper, limit, servers=host, session_timeout=SHORTEST, read_timeout=limit) as zk:
            seen |= {"answers": True, "connected_in": round(time.monotonic() - began, 3)}
            seen["shortest_session"] = zk.session.timeout
    except TimeoutError as error:
        notes = [note for each in (error, error.__cause__) for note in getattr(each, "__notes__", ())]
        findings.wrong(f"{host}: {as_options(notes[0]) if notes else f'no answer within {limit:g} s'}")
        return
    except (OSError, exc.ZKError, ValueError) as error:
        findings.wrong(f"{host}: {as_options(str(error))}")
        return
    text = f"{host} answers, connected in {seen['connected_in'] * 1000:.0f} ms"
    if zookeeper.context() is None and (mode := await _mode(host, limit)):
        seen |= mode
        text += f", {mode['mode']}, ZooKeeper {mode['version']}"
    findings.well(text)


@asynccontextmanager
async def _client(zookeeper: ZooKeeperOptions, limit: float, **more: Any) -> AsyncIterator[ZKClient]:
    client = ZKClient(**zookeeper.client_arguments(10) | {"chroot": None} | more)
    async with asyncio.timeout(limit):
        await client.start()
    try:
        yield client
    finally:
        await client.close()


async def _mode(host: str, limit: float) -> dict[str, str] | None:
    """Return what the server says of itself to ``srvr``, if it may."""
    name, _, port = host.rpartition(":")
    answer = b""
    with suppress(OSError, ValueError, TimeoutError):
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_connection(name.strip("[]"), int(port))
            writer.write(b"srvr")
            answer = await reader.read(10_000)
            writer.close()
    text = answer.decode(errors="replace")
    mode = re.search(r"^Mode: (\S+)", text, re.MULTILINE)
    version = re.search(r"version: ([^\s,-]+)", text)
    return {"mode": mode[1], "version": version[1]} if mode and version else None


# ------------------------------------------------------------------ sessions, writes, an election


async def _look_at_all(resource: str | None, zookeeper: ZooKeeperOptions, findings: Findings) -> None:
    asked = zookeeper.session_timeout or 10.0
    async with connected(zookeeper, session_timeout=asked) as zk:
        await _look_at_timeouts(zk, asked, findings)
        if resource is not None:
            await _look_at_election(zk, resource, findings)


async def _look_at_timeouts(zk: ZKClient, asked: float, findings: Findings) -> None:
    granted = float(zk.session.timeout)
    findings.figures["session_timeout"] = {"asked": asked, "granted": granted}
    if abs(granted - asked) > 0.001:
        findings.wrong(f"a session timeout of {asked:g} s was asked for, and {granted:g} s granted: see tickTime, "
                       "minSessionTimeout and maxSessionTimeout of the servers")  # fmt: skip
    else:
        findings.well(f"session timeout {granted:g} s, as asked")
    shortest = [host["shortest_session"] for host in findings.figures["hosts"].values() if host["answers"]]
    if max(shortest) != min(shortest):
        findings.wrong(f"the servers have different limits of session timeouts, from {min(shortest):g} s to "
                       f"{max(shortest):g} s: the lease assumes the same on all")  # fmt: skip
    latencies = sorted([await _timed_write(zk) for _ in range(_WRITES)])
    median, slowest = statistics.median(latencies), latencies[-1]
    findings.figures["write_latency"] = {"median": round(median, 4), "slowest": round(slowest, 4)}
    text = f"a quorum write takes {median * 1000:.1f} ms (the slowest of {_WRITES}: {slowest * 1000:.1f} ms)"
    if slowest > granted / 5:
        findings.wrong(f"{text}: more than a fifth of the session timeout, so leaders lose their lease")
    else:
        findings.well(text)


async def _timed_write(zk: ZKClient) -> float:
    """Write nothing, through the quorum; return how long that took."""
    began = time.monotonic()
    transaction = zk.begin_transaction()
    transaction.check_version("/", -1)
    await transaction.commit()
    return time.monotonic() - began


async def _look_at_election(zk: ZKClient, resource: str, findings: Findings) -> None:
    try:
        snapshot = await take_snapshot(zk, resource)
    except NotAuthorizedError:
        findings.wrong(f"this client may not read {resource}: see its access control list, and golea's --auth-file")
        return
    findings.figures["election"] = snapshot.as_json()
    if snapshot.state is State.NO_ELECTION:
        findings.wrong(f"there is no election {resource}. To make it: golea create {resource}")
        return
    if snapshot.state is State.BEING_ENDED:
        findings.wrong(summary(snapshot))
    else:
        findings.well(summary(snapshot))
    for remark in remarks(snapshot):
        findings.wrong(remark)
    refusal = await _may_stand(zk, resource)
    if refusal is None:
        findings.well("this client may stand there: CREATE, READ and DELETE")
    else:
        findings.wrong(refusal)


async def _may_stand(zk: ZKClient, resource: str) -> str | None:
    """Return what this client may not do there. Nothing is applied, and no watch fires: the last operation fails."""
    probe = f"{resource}/{PROBE}-{secrets.token_hex(4)}"
    transaction = zk.begin_transaction()
    transaction.create(probe, ephemeral=True)
    transaction.delete(probe)
    transaction.check_version(resource, _NEVER)
    replies = (await zk.send(transaction.request)).responses
    for right, reply in zip(("CREATE", "DELETE"), replies, strict=False):
        if isinstance(reply, exc.NoAuth):
            return f"this client may not stand there: {right} is not granted to it on {resource} (golea's --auth-file)"
    return None
