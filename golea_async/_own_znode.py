"""A candidate's own znode: what makes it this one and no other, and how it is deleted without deleting another one.

Numbers start again when an election node is deleted and made anew, so a path says nothing of whose znode is there.
ZooKeeper cannot delete "this znode, if it is still the one that I made": candidates are never written to, so all have
version 0. So whoever deletes one knows that it is the own one from an answer on this connection, with nothing unread
in the socket and no pause since. What is on its way by then cannot be known.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiozk import exc

from ._protocol.refusals import accept, require_done
from ._shared.channel import Channel
from ._shared.watch_table import Event
from ._zookeeper.replies import Reply, is_missing, is_refused
from ._zookeeper.wire import WatchKind


@dataclass(frozen=True, slots=True)
class Nomination:
    """A candidate's znode: what makes it this one and no other."""

    path: str
    czxid: int
    session_id: int

    @property
    def resource(self) -> str:
        """The election node's path."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The znode's name without its parents."""
        return self.path.rpartition("/")[2]

    def is_shown_by(self, reply: Reply) -> bool:
        """Whether the reply to a ``get`` shows this very znode."""
        return (
            not is_refused(reply)
            and reply.stat.created_zxid == self.czxid
            and reply.stat.ephemeral_owner == self.session_id
        )


async def stands(nomination: Nomination, channel: Channel, *, watch: bool = False) -> bool:
    """Ask, behind a barrier, whether this very znode is there.

    Of a znode that may not be read nothing is shown but that there is one. It is this one if the election node is
    older: within the life of an election node no number is given out twice.
    """
    path, resource = nomination.path, nomination.resource
    barrier, shown, node = await channel.send(
        channel.check(path), channel.get(path, watch=watch), channel.exists(resource)
    )
    require_done(barrier)
    accept(shown, exc.NoNode, exc.NoAuth, path=path, candidate_id=path)
    if isinstance(shown, exc.NoAuth):
        accept(node, exc.NoNode, path=resource, candidate_id=path)
        return not is_missing(node) and bool(node.stat.created_zxid < nomination.czxid)
    return nomination.is_shown_by(shown)


class _Gone:
    """Listens to the watch of a znode that is about to be deleted."""

    def __init__(self) -> None:
        self.is_set = False

    def on_event(self, _event: Event, _path: str) -> None:
        """Hear that the znode, or the connection, has gone."""
        self.is_set = True


async def delete(nomination: Nomination, channel: Channel) -> None:
    """Delete this very znode where it stands, and no other one of its path.

    :raises ConnectionLostError: when the connection ended before the answer.
    :raises ElectionError: when ZooKeeper has refused that.
    """
    path, gone = nomination.path, _Gone()
    try:
        while True:
            gone.is_set = False
            channel.watches.listen(path, WatchKind.DATA, gone.on_event)
            if not await stands(nomination, channel, watch=True):
                return
            await channel.catch_up()
            if not gone.is_set and channel.has_recent_answer:
                break
        (deleted,) = await channel.send(channel.delete(path))
        accept(deleted, exc.NoNode, path=path, candidate_id=path)
    finally:
        channel.unwatch(gone.on_event, (path, WatchKind.DATA))
