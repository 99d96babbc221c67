"""Elections from outside: make, end, delete them; see who stands and leads; remove a candidate, have another one lead.

A client that was started but is out of touch makes all of these wait; a time limit is the caller's
(``asyncio.timeout``). A client that was never started, or is closed, is a :class:`ValueError`; a path that cannot be
an election's too. Where ZooKeeper says no, each raises :class:`NotAuthorizedError` with the path.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import socket
from collections.abc import AsyncIterator, Sequence
from typing import TypedDict

import aiozk
from aiozk import exc

from ._action_driver import carry_through, end
from ._arguments import check_timeout
from ._candidates import Candidate, candidate_of, list_ids, read_candidates
from ._observer import LeaderObserver
from ._own_work import OwnWork
from ._protocol.asking import Asking
from ._protocol.paths import check_candidate_id, check_resource
from ._protocol.refusals import accept, is_present
from ._protocol.transfer import Removal, Transfer
from ._protocol.znodes import DONE
from ._shared.channel import Channel, check_client
from ._shared.client_context import on_connection
from ._zookeeper.arguments import check_flag
from ._zookeeper.replies import Reply, is_missing, is_refused
from .exceptions import ElectionError, ElectionOverError, election_not_found


async def create_election(zk: aiozk.ZKClient, resource: str, *, acl: Sequence[aiozk.ACL] | None = None) -> None:
    """Make the election node, and its parents where they are missing, as persistent znodes.

    A node that is there already is fine. When it is cancelled, some of the znodes may have been made: call it again.

    :param acl: access control list of the znodes that it makes; the client's ``default_acl`` when not given. Parents
        get it, too: the right to delete a znode is in its parent's list.
    :raises ElectionOverError: when the election is being ended or deleted.
    :raises ElectionError: when there is an ephemeral znode in its place.
    """
    check_resource(resource)
    _check_acl(acl)
    await on_connection(zk, lambda connection: _create_election(connection, zk, resource, acl))


async def delete_election(zk: aiozk.ZKClient, resource: str, *, force_after: float | None = None) -> None:
    """End the election for everybody and delete its node. A node that is missing is fine.

    It returns when all candidates have left: as :func:`end_election`, with the same ``force_after``.

    :raises ElectionError: when the node has children that are not an election's, or persistent ones with a candidate's
        name; then the election goes on.
    """
    await _end(zk, resource, force_after, deletes_election=True)


async def end_election(zk: aiozk.ZKClient, resource: str, *, force_after: float | None = None) -> None:
    """End the election for everybody. The election node stays and can be used again.

    Every candidate is told, stops its work and leaves by itself. This returns when the last one has left: so nobody
    leads beside the work of a former leader. A leader that is cut off has left when its session is over. While
    somebody is left, a WARNING every 10 s names who. When a leader's own work calls this, that work is cancelled only
    when the ending is through.

    Call it twice, from two processes, or again after a crash half-way. When it is cancelled before anybody was told,
    nothing has happened. When it is cancelled later, it is carried through in the background, and the client's
    ``close()`` waits for that, at most its session timeout.

    :param force_after: seconds after which candidates that are left are deleted (0: at once). Then two may lead. One
        that is cut off believes for what is left of its lease (up to 5/6 of its session timeout), and its work goes on
        for as long as it takes to stop. None: wait for as long as it takes.
    :raises ElectionNotFoundError: when the election node does not exist.
    :raises ElectionError: when there are persistent children with a candidate's name; then the election goes on.
    """
    await _end(zk, resource, force_after, deletes_election=False)


async def transfer_leadership(
    zk: aiozk.ZKClient, resource: str, to: str | None = None, *, timeout: float | None = 30
) -> Candidate:
    """Have the leader stop its work and step down; return who leads then. With ``to`` it is exactly that candidate.

    Candidates are asked, and none is deleted: nobody leads beside work that is still stopping. The followers between
    the leader and ``to`` go to the end of the line first, so leadership moves once. A target that goes there by itself
    meanwhile is followed, up to ten times. When ``to`` leads already, this returns at once. A target that is dead may
    get leadership while its session lasts: then the next one leads when that has expired.

    When it is cancelled, it may have happened, and the request is taken back in the background. When the leader's own
    work called it, that work is cancelled by it, and the transfer is carried through.

    :param to: the id or the name of a candidate that stands; None: the leader's follower.
    :param timeout: seconds for those that are asked to answer; None: no limit.
    :raises TransferError: by this request leadership has not moved, and will not. It says why, and names who has not
        answered. Followers that did may stand at the end of the line.
    :raises ValueError: when several candidates have that name.
    :raises ElectionNotFoundError: when the election node does not exist.
    :raises ElectionOverError: when the election is being ended.
    """
    check_client(zk)
    check_resource(resource)
    _check_target(to)
    check_timeout(timeout)
    transfer = Transfer(resource, to, **_request(timeout))
    await _ask(zk, transfer)
    candidate = candidate_of(f"{resource}/{transfer.target}", resource, transfer.shown)
    assert candidate is not None, "it was shown"
    return candidate


async def depose(zk: aiozk.ZKClient, candidate_id: str, *, timeout: float | None = 30, force: bool = False) -> None:
    """Have one candidate stop its work and leave; that is final for it. A candidate that is gone is fine.

    The candidate deletes its own znode when its work has stopped, and ends with a :class:`CandidateDeletedError`. If it
    steps down meanwhile, it is asked at its new place, too. It is known there by its session and its name: one that is
    started again at once, in the same session, is asked as well.

    With ``force`` its znode is deleted at once, and its follower leads at once. So two may lead. A leader that is well
    believes until it has heard: a round trip, or two if it has just joined. One that is cut off, or whose event loop
    is blocked, believes for what is left of its lease: up to 5/6 of its session timeout. The work of either goes on
    for as long as it takes to stop. ``force`` is also the way to remove a persistent znode with a candidate's name.

    When it is cancelled, it may have happened; the request is taken back in the background.

    :param candidate_id: full path of the candidate's znode, such as ``/election/le_0000000012``. One that stepped down
        before the call has another one by now.
    :param timeout: seconds for it to answer, unless ``force`` is set; None: no limit.
    :raises ElectionNotFoundError: when there is no such election.
    :raises NotAuthorizedError: also when this client may not read the candidate, and it may have stepped down.
    :raises TransferError: when the candidate has not left in time. The error names it. It leaves later only if it has
        read the request already, and its work is slow to stop.
    """
    check_client(zk)
    resource, name = check_candidate_id(candidate_id)
    check_timeout(timeout)
    check_flag("force", force)
    if force:
        await _delete_candidate(zk, resource, candidate_id)
    else:
        await _ask(zk, Removal(resource, name, **_request(timeout)))


async def list_candidates(zk: aiozk.ZKClient, resource: str) -> list[Candidate]:
    """Return who stands, in order: the leader first, then each candidate behind the one that it follows.

    This is as of now. It reads behind a quorum write, so a server that is cut off from the others tells nothing stale.

    It returns what was so at one moment: when a candidate has left, or has gone to the end of the line, before it was
    read, this lists again. Only after 20 lists in a row, in each of which a newcomer was gone within a round trip, are
    such newcomers left out.

    :raises ElectionNotFoundError: when the election node does not exist.
    """
    check_resource(resource)
    return await on_connection(zk, lambda connection: read_candidates(connection, resource))


async def get_leader(zk: aiozk.ZKClient, resource: str) -> Candidate | None:
    """Return the first of the candidates, None when nobody stands.

    ZooKeeper says that this one should lead, as of now: it reads behind a quorum write. Only that process knows
    whether it believes so.

    :raises ElectionNotFoundError: when the election node does not exist.
    """
    check_resource(resource)

    async def work(connection: Channel) -> Candidate | None:
        while ids := await list_ids(connection, resource):
            (reply,) = await connection.send(connection.get(ids[0]))
            leader = candidate_of(ids[0], resource, reply)
            if leader is not None:
                return leader
        return None

    return await on_connection(zk, work)


def observe_leader(zk: aiozk.ZKClient, resource: str) -> AsyncIterator[Candidate | None]:
    """Follow who leads, without standing: the leader now, then each change (None: nobody stands).

    A cancelled read loses nothing. Changes that come faster than they are read merge into the latest. When the
    election is deleted, that reads as None, and it goes on when somebody makes it again.

    :raises ElectionNotFoundError: by the first read, when the election node does not exist.
    """
    check_client(zk)
    return LeaderObserver(zk, check_resource(resource))


# ---------------------------------------------------------------------- ask


class _Request(TypedDict):
    by: str
    request_id: str
    deadline: float


def _request(timeout: float | None) -> _Request:
    deadline = math.inf if timeout is None else asyncio.get_running_loop().time() + timeout
    return _Request(
        by=f"{socket.gethostname()}:{os.getpid()}", request_id=f"{random.getrandbits(64):016x}", deadline=deadline
    )


async def _ask(zk: aiozk.ZKClient, asking: Asking) -> None:
    """Ask, in the background. Cancelled: take back what was asked, but not within the work that is to stop for it."""

    def take_back() -> None:
        asking.is_given_up = True

    is_own_work = bool(OwnWork.here(zk, asking.resource).candidates)
    await carry_through(zk, asking, take_back=None if is_own_work else take_back)


def _check_target(to: object) -> None:
    if to is not None and not isinstance(to, str):
        raise TypeError(f"to must be None, or the id or name of a candidate, a str, not {type(to).__name__}")
    if to == "":
        raise ValueError("to must not be empty: leave it out for whoever is next")


async def _delete_candidate(zk: aiozk.ZKClient, resource: str, candidate_id: str) -> None:
    meant: int | None = None

    async def work(connection: Channel) -> None:
        nonlocal meant
        node, parent = await connection.send(connection.exists(candidate_id), connection.exists(resource))
        if not is_present(parent, path=resource, resource=resource):
            raise election_not_found(resource)
        accept(node, exc.NoNode, path=candidate_id, resource=resource, candidate_id=candidate_id)
        if is_missing(node) or meant not in (None, node.stat.created_zxid):
            return  # gone, and the path may be another candidate's since
        meant = node.stat.created_zxid
        (deleted,) = await connection.send(connection.delete(candidate_id))
        accept(deleted, exc.NoNode, path=candidate_id, resource=resource, candidate_id=candidate_id)

    await on_connection(zk, work)


# ---------------------------------------------------------------------- end


async def _end(zk: aiozk.ZKClient, resource: str, force_after: float | None, *, deletes_election: bool) -> None:
    check_client(zk)
    check_resource(resource)
    _check_force_after(force_after)
    with OwnWork.here(zk, resource) as work:
        await end(zk, resource, work, deletes_election=deletes_election, force_after=force_after)


def _check_force_after(force_after: object) -> None:
    if force_after is None:
        return
    if isinstance(force_after, bool) or not isinstance(force_after, (int, float)):
        raise TypeError(f"force_after must be None or seconds, not {type(force_after).__name__}")
    if not 0 <= force_after < math.inf:
        raise ValueError(f"force_after must be None or seconds from 0 on, not {force_after!r}")


# ---------------------------------------------------------------------- create


async def _create_election(
    connection: Channel,
    zk: aiozk.ZKClient,
    resource: str,
    acl: Sequence[aiozk.ACL] | None,
) -> None:
    about = {"path": resource, "resource": resource}
    created, node, done = await connection.send(
        connection.create(resource, b"", acl),
        connection.exists(resource),
        connection.exists(f"{resource}/{DONE}"),
    )
    if is_missing(node) or not isinstance(created, exc.NoAuth):  # one that is there takes no permission to create
        accept(created, exc.NodeExists, exc.NoNode, exc.NoChildrenForEphemerals, **about)
    _refuse_ephemeral_parent(created, resource, resource)
    if is_missing(created):
        await _create_parents(connection, zk, resource, acl)
        await _create_election(connection, zk, resource, acl)
        return
    if is_present(done, path=f"{resource}/{DONE}", resource=resource):
        raise ElectionOverError(
            f"the election {resource} is being ended: `await delete_election(zk, ...)` or "
            "`await end_election(zk, ...)` carries that through",
            resource=resource,
        )
    if not is_present(node, **about):
        await _create_election(connection, zk, resource, acl)  # deleted between the two requests
        return
    if not is_refused(node) and node.stat.ephemeral_owner:
        raise ElectionError(f"{resource} is an ephemeral znode, which cannot have candidates", resource=resource)


async def _create_parents(
    connection: Channel,
    zk: aiozk.ZKClient,
    resource: str,
    acl: Sequence[aiozk.ACL] | None,
) -> None:
    """Make what is missing above the election node, the chroot too: aiozk makes that as a container, which vanishes."""
    segments = str(zk.normalize_path(resource))[1:].split("/")[:-1]
    parents = ["/" + "/".join(segments[: depth + 1]) for depth in range(len(segments))]
    replies = await connection.send(*(connection.create_parent(path, acl) for path in parents))
    for path, reply in zip(parents, replies, strict=True):
        # Without the right to create there, one that is there already is answered by NoAuth, too.
        accept(
            reply,
            exc.NodeExists,
            exc.NoNode,
            exc.NoAuth,
            exc.NoChildrenForEphemerals,
            path=path,
            resource=resource,
        )
    for path, reply in zip(parents, replies, strict=True):
        _refuse_ephemeral_parent(reply, path, resource)
        if isinstance(reply, exc.NoAuth):
            (there,) = await connection.send(connection.exists_parent(path))
            if not is_present(there, path=path, resource=resource):
                accept(reply, path=path, resource=resource)


def _refuse_ephemeral_parent(created: Reply, path: str, resource: str) -> None:
    if isinstance(created, exc.NoChildrenForEphemerals):
        raise ElectionError(f"the parent of {path} is an ephemeral znode, which has no children", resource=resource)


def _check_acl(acl: object) -> None:
    if acl is None:
        return
    if isinstance(acl, (str, bytes)) or not isinstance(acl, Sequence):
        raise TypeError(f"acl must be a sequence of aiozk.ACL, not {type(acl).__name__}")
    if not acl:
        raise ValueError("acl must not be empty: leave it out for the client's default_acl")
    for entry in acl:
        if not isinstance(entry, aiozk.ACL):
            raise TypeError(f"acl must have entries of aiozk.ACL, not {type(entry).__name__}")
