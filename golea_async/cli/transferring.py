"""``golea transfer``: have somebody else lead."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from golea_async import Candidate, TransferError, list_candidates, transfer_leadership

from .exits import Exit, Problem
from .options import Json, Resource, Seconds, ZooKeeperOptions
from .output import say, say_json
from .session import connected, run_async

_DEFAULTS = ZooKeeperOptions()
YOUNGEST = "youngest"


def transfer(
    resource: Resource,
    /,
    *,
    to: Annotated[
        str | None, Parameter(help="Name or path of who is to lead, or youngest; else the leader's follower.")
    ] = None,
    within: Annotated[float, Seconds, Parameter(help="Seconds for those that are asked to answer (30).")] = 30,
    json: Json = False,
    zookeeper: ZooKeeperOptions = _DEFAULTS,
) -> int:
    """Have the leader stop its work and step down; with `--to`, exactly that candidate leads next, in one move.

    For a rolling update: start the new copies, transfer to the youngest, then stop the old ones. Who leads already is
    fine, so in a preStop hook it may run on every copy.

    Example: `golea transfer /my-service/scheduler --to youngest`

    Exit code: 0 it leads, 65 leadership has not moved by this, 66 no election or no such candidate, 69 no ZooKeeper.
    """

    async def work() -> int:
        async with connected(zookeeper) as zk:
            standing = await list_candidates(zk, resource)
            target = to if to != YOUNGEST else max(standing, key=_number).id if standing else None
            try:
                leader = await transfer_leadership(zk, resource, target, timeout=within)
            except TransferError as error:
                is_known = target is None or any(target in (each.id, each.name) for each in standing)
                text = f"{error}.\nWho stands: golea status {resource}"
                raise Problem(text, Exit.UNFIT if is_known or not standing else Exit.NOT_FOUND) from None
        if json:
            say_json({"id": leader.id, "name": leader.name, "fencing_token": leader.fencing_token})
        else:
            say(f"{leader.name or leader.id} leads {resource}, fencing token {leader.fencing_token}")
        return Exit.DONE

    return run_async(work)


def _number(candidate: Candidate) -> int:
    return candidate.fencing_token
