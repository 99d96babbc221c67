"""Where one candidate stands, for an operator who waits for it while it may go to the end of the line.

A candidate that steps down has another znode from then on, so that its znode is gone says nothing: it may have left, or
stand on. What it was nominated with stays: the session and the data. Its move is one transaction, so a list that does
not show the former znode shows the new one, and that one's number is greater than all that were listed with the former.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiozk import exc

from golea_async._zookeeper.replies import Reply, is_missing, is_refused
from golea_async._zookeeper.requests import Requests

from .refusals import accept
from .steps import ask


class Whereabouts:
    """The present znode of one candidate.

    A candidate that leaves, and is started again in the same session and with the same name before this looks again,
    cannot be told from one that has moved.

    :ivar name: the name of the znode.
    :ivar shown: what it has shown; an error where it may not be read.
    :ivar moves: how often the candidate was seen to have another one.
    """

    def __init__(self, name: str, shown: Reply) -> None:
        self.name = name
        self.shown = shown
        self.moves = 0
        self._last = name  # of the latest list in which it stood

    async def find(self, zk: Requests, resource: str, names: Sequence[str]) -> bool | None:
        """Return whether it stands, of these candidates, listed in order just now; take note of where.

        None: that cannot be told, since one that came after it has gone before it was read. List again.

        :raises NotAuthorizedError: when it may not be read, nor one that it may have become.
        """
        if self.name in names:
            self._last = names[-1]
            return True
        newer = [name for name in names if name > self._last]
        nodes = await ask(*(zk.get(f"{resource}/{name}") for name in newer)) if newer else []
        # Who may read it may read what it becomes: a client gives all its znodes the same access control list.
        tolerated = (exc.NoNode,) if is_refused(self.shown) else (exc.NoNode, exc.NoAuth)
        for name, node in zip(newer, nodes, strict=True):
            accept(node, *tolerated, path=f"{resource}/{name}", resource=resource)
            if self._is_shown_by(node):
                self.name, self.shown, self._last = name, node, names[-1]
                self.moves += 1
                return True
        return None if any(map(is_missing, nodes)) else False

    def _is_shown_by(self, node: Reply) -> bool:
        if is_refused(node) or is_refused(self.shown):
            return False
        return bool((node.stat.ephemeral_owner, node.data) == (self.shown.stat.ephemeral_owner, self.shown.data))
