"""Reading who stands in an election."""

from __future__ import annotations

from dataclasses import dataclass

from aiozk import exc

from ._protocol.oddities import other_recipes
from ._protocol.refusals import accept, require_done
from ._protocol.znodes import in_order
from ._shared.channel import Channel
from ._shared.said import warn_once
from ._zookeeper.replies import Reply, is_missing
from .exceptions import election_not_found

MOST_LISTS = 20
"""So often the children are listed for one answer, when candidates come and go faster than they can be read."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who stands in an election.

    :ivar id: full path of the candidate's znode.
    :ivar name: the name it gave itself.
    :ivar fencing_token: the znode's ``czxid``: it grows with every nomination.
    :ivar is_persistent: whether it is a znode that no session takes away: nobody's candidate, yet in everybody's way.
        Whoever stands behind it never leads, and no ending gets rid of it; remove it by hand, if it may be removed.
    """

    id: str
    name: str
    fencing_token: int
    is_persistent: bool = False


def require_election(node: Reply, resource: str) -> None:
    if is_missing(accept(node, exc.NoNode, path=resource, resource=resource)):
        raise election_not_found(resource)


async def list_ids(connection: Channel, resource: str) -> list[str]:
    """Return the candidates' paths in order, as of now: behind a quorum write, since ``sync`` is no barrier.

    A server that leads ZooKeeper and is cut off from the others goes on answering it.
    """
    return (await _list(connection, resource))[0]


async def _list(connection: Channel, resource: str) -> tuple[list[str], int]:
    """Return the candidates' paths in order, and the election node's ``czxid``."""
    barrier, listed = await connection.send(connection.check(resource), connection.children(resource))
    require_done(barrier)
    require_election(listed, resource)
    warn_once(connection.client, other_recipes(resource, listed.children), f"others in {resource}")
    return [f"{resource}/{name}" for name in in_order(listed.children)], listed.stat.created_zxid


async def read_candidates(connection: Channel, resource: str) -> list[Candidate]:
    """Return who stands, in order: all that one list shows.

    A list and what its znodes show are of two moments. A znode that is gone by the second one may be a candidate that
    has left, or one that stands on at the end of the line: so the children are listed again. What was read is not read
    again, since nobody writes to a candidate. So a list fails only by a candidate that has come since the list before,
    and is gone already. After so many lists in a row what comes and goes like that is left out: it ends in any case.
    """
    known: dict[str, Candidate] = {}
    ids: list[str] = []
    for _ in range(MOST_LISTS):
        ids, node_czxid = await _list(connection, resource)
        # Only when the election node is made anew do names come again.
        known = {path: known[path] for path in ids if path in known and known[path].fencing_token > node_czxid}
        unread = [path for path in ids if path not in known]
        replies = await connection.send(*map(connection.get, unread)) if unread else []
        read = [candidate_of(path, resource, reply) for path, reply in zip(unread, replies, strict=True)]
        known |= {candidate.id: candidate for candidate in read if candidate is not None}
        if len(known) == len(ids):
            break
    return [known[path] for path in ids if path in known]


def candidate_of(path: str, resource: str, reply: Reply) -> Candidate | None:
    """Read a candidate; None when it has left since it was listed."""
    if is_missing(accept(reply, exc.NoNode, path=path, resource=resource, candidate_id=path)):
        return None
    name, stat = (reply.data or b"").decode(errors="replace"), reply.stat
    return Candidate(path, name, stat.created_zxid, stat.ephemeral_owner == 0)
