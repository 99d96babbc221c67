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
    barrier, listed = await connection.send(connection.check(resource), connection.children(resource))
    require_done(barrier)
    require_election(listed, resource)
    warn_once(connection.client, other_recipes(resource, listed.children), f"others in {resource}")
    return [f"{resource}/{name}" for name in in_order(listed.children)]


def candidate_of(path: str, resource: str, reply: Reply) -> Candidate | None:
    """Read a candidate; None when it has left since it was listed."""
    if is_missing(accept(reply, exc.NoNode, path=path, resource=resource, candidate_id=path)):
        return None
    name, stat = (reply.data or b"").decode(errors="replace"), reply.stat
    return Candidate(path, name, stat.created_zxid, stat.ephemeral_owner == 0)
