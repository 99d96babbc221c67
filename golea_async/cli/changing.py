"""``golea create``, ``end``, ``delete`` and ``depose``: each says what it is going to do, and asks."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from golea_async import ZKClient, create_election, delete_election, depose, end_election

from .exits import Exit, Problem
from .options import Json, Resource, Seconds, Yes, ZooKeeperOptions
from .output import aside, printable, remark, say, say_json, shortened
from .picture import LONGEST_NAME
from .session import connected, run_async
from .snapshot import Snapshot, Standing, State, take_snapshot

_DEFAULTS = ZooKeeperOptions()
_NAMED = 10

ForceAfter = Annotated[
    float | None,
    Parameter(
        help="Seconds after which candidates that are left are deleted, 0: at once. Then two may lead: one that is cut "
        "off believes for what is left of its lease. Without it: wait for as long as it takes."
    ),
]


def create(
    resource: Resource, /, *, yes: Yes = False, json: Json = False, zookeeper: ZooKeeperOptions = _DEFAULTS
) -> int:
    """Make the election node, and its parents where they are missing; already there is fine.

    It takes nothing from anybody, so it does not ask; `--yes` is taken as elsewhere.

    Example: `golea create /my-service/scheduler`

    Exit code: 0 it is there, 73 it is being ended, 77 not authorized, 69 no ZooKeeper.
    """
    del yes

    async def work() -> int:
        async with connected(zookeeper) as zk:
            before = await take_snapshot(zk, resource)
            await create_election(zk, resource)
        was_there = before.state is not State.NO_ELECTION
        _done(f"{resource} {'was there already' if was_there else 'is made'}", json, created=not was_there)
        return Exit.DONE

    return run_async(work)


def end(
    resource: Resource,
    /,
    *,
    force_after: ForceAfter = None,
    yes: Yes = False,
    json: Json = False,
    zookeeper: ZooKeeperOptions = _DEFAULTS,
) -> int:
    """End an election for everybody; its node stays, and can be used again.

    Every candidate is told, stops its work and leaves by itself; it returns when the last one has.

    Example: `golea end /my-service/scheduler --yes`

    Exit code: 0 ended, 1 you said no, 65 persistent candidates, 66 no election, 69 no ZooKeeper.
    """

    async def ending(zk: ZKClient) -> None:
        await end_election(zk, resource, force_after=force_after)

    what = "ends it for everybody: each candidate stops its work and leaves. The election node stays"
    change = Change(resource, what, "is ended", f"golea end {resource}", ending)
    return _ask_and_do(change, yes=yes, json=json, zookeeper=zookeeper)


def delete(
    resource: Resource,
    /,
    *,
    force_after: ForceAfter = None,
    yes: Yes = False,
    json: Json = False,
    zookeeper: ZooKeeperOptions = _DEFAULTS,
) -> int:
    """End an election for everybody, and delete its node; missing is fine.

    Every candidate is told, stops its work and leaves by itself; it returns when the last one has.

    Example: `golea delete /my-service/scheduler --yes`

    Exit code: 0 deleted, 1 you said no, 65 foreign children, 69 no ZooKeeper.
    """

    async def deleting(zk: ZKClient) -> None:
        await delete_election(zk, resource, force_after=force_after)

    what = "ends it for everybody: each candidate stops its work and leaves. Then the election node is deleted"
    change = Change(resource, what, "is deleted", f"golea delete {resource}", deleting, may_be_missing=True)
    return _ask_and_do(change, yes=yes, json=json, zookeeper=zookeeper)


def depose_candidate(
    candidate: Annotated[str, Parameter(help="Path of the candidate, such as /my-service/scheduler/le_0000000012.")],
    /,
    *,
    within: Annotated[float, Seconds, Parameter(help="Seconds for it to stop its work and leave (30).")] = 30,
    force: Annotated[bool, Parameter(negative=(), help="Delete its znode at once.")] = False,
    yes: Yes = False,
    json: Json = False,
    zookeeper: ZooKeeperOptions = _DEFAULTS,
) -> int:
    """Have one candidate stop its work and leave, which is final for it.

    With `--force` its znode is deleted at once, and its follower leads at once. So two may lead until the deposed one
    has heard, and while its work stops: for up to 5/6 of its session timeout when it is cut off.

    Example: `golea depose /my-service/scheduler/le_0000000012 --yes`

    Exit code: 0 it is gone, 1 you said no, 66 no such election or candidate, 69 no ZooKeeper.
    """
    resource, _, znode = candidate.rpartition("/")
    if not resource or re.fullmatch(r"le_-?[0-9]+", znode) is None:
        text = f"{candidate} is no candidate's path, such as /my-service/scheduler/le_0000000012"
        raise Problem(f"{text}.\nWho stands in an election: golea status /my-service/scheduler", Exit.USAGE)

    async def deposing(zk: ZKClient) -> None:
        await depose(zk, candidate, timeout=within, force=force)

    what, command = "has it stop its work and leave", f"golea depose {candidate}"
    if force:
        what = "deletes its znode. Who is behind it leads at once, while the work of the deposed one may still go on"
        command = f"{command} --force"
    change = Change(resource, what, "is deposed", command, deposing, candidate=candidate, forces=force)
    return _ask_and_do(change, yes=yes, json=json, zookeeper=zookeeper)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done to an election, or to one candidate in it.

    :ivar what: says of the subject "this" what is done.
    :ivar outcome: what is said when it is done.
    :ivar command: the command that does it.
    :ivar forces: whether a candidate that no session takes away may be meant.
    """

    resource: str
    what: str
    outcome: str
    command: str
    work: Callable[[ZKClient], Awaitable[None]]
    candidate: str | None = None
    may_be_missing: bool = False
    forces: bool = False

    @property
    def subject(self) -> str:
        """The path that is meant."""
        return self.candidate or self.resource


def _ask_and_do(change: Change, *, yes: bool, json: bool, zookeeper: ZooKeeperOptions) -> int:
    """Say what is to be done to whom, ask, do it, and say that it is done."""

    async def work() -> int:
        async with connected(zookeeper) as zk:
            snapshot = await take_snapshot(zk, change.resource)
            outcome = change.outcome
            if snapshot.state is not State.NO_ELECTION:
                meant = _meant(snapshot, change)
                await _confirm(f"{change.subject}: this {change.what}.", _who(snapshot, meant), change.command, yes=yes)
                if change.candidate is not None and not yes:  # it may have stepped down while somebody read that
                    _meant(await take_snapshot(zk, change.resource), change)
            elif change.may_be_missing:
                outcome = "was not there"
            else:
                text = f"there is no election {change.resource}{zookeeper.where}: is that the path?"
                raise Problem(text, Exit.NOT_FOUND)
            await change.work(zk)
        _done(f"{change.subject} {outcome}", json, resource=change.resource, outcome=outcome.removeprefix("is "))
        return Exit.DONE

    return run_async(work)


def _meant(snapshot: Snapshot, change: Change) -> list[Standing]:
    """Return the candidates that are meant, all where none is named.

    :raises Problem: the one that is named does not stand, or has nobody who could answer for it.
    """
    if change.candidate is None:
        return list(snapshot.candidates)
    meant = [each for each in snapshot.candidates if each.id == change.candidate]
    if not meant:
        text = f"there is no candidate {change.candidate}. Who stands: golea status {snapshot.resource}"
        raise Problem(text, Exit.NOT_FOUND)
    if not (meant[0].session or change.forces):
        text = f"{change.candidate} is persistent: nobody answers for it. To remove it: {change.command} --force"
        raise Problem(text, Exit.UNFIT)
    return meant


def _who(snapshot: Snapshot, meant: list[Standing]) -> str:
    named = [(shortened(each.label, LONGEST_NAME), each is snapshot.leader) for each in meant[:_NAMED]]
    names = [f"{name} ({'leader' if is_leader else 'follower'})" for name, is_leader in named]
    if len(meant) > _NAMED:
        names.append(f"and {len(meant) - _NAMED} more")
    return f"Concerned: {', '.join(names)}." if names else "Nobody stands."


async def _confirm(what: str, who: str, command: str, *, yes: bool) -> None:
    """Say what is to be done; go on if that is wanted.

    :raises Problem: it is not.
    """
    remark(what)
    remark(who)
    if yes:
        return
    if not sys.stdin.isatty():
        raise Problem(f"nothing was done: there is no terminal to ask. To do it: {command} --yes", Exit.USAGE)
    aside("Do it? [y/N] ")
    if (await _line()).strip().lower() not in {"y", "yes"}:
        raise Problem("nothing was done", Exit.NO)


async def _line() -> str:
    """Read a line of the terminal; Ctrl-C goes on working meanwhile."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()


def _done(text: str, json: bool, **values: Any) -> None:
    if json:
        say_json(values)
    else:
        say(printable(text))
