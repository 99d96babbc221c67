"""An election for members only: `ZKClient(auth=...)` and an access control list of their digest."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    NotAuthorizedError,
    ZKClient,
    create_election,
    delete_election,
    depose,
    end_election,
    list_candidates,
)
from tests.support.elections import soon, sync
from tests.support.ensemble import Ensemble

MEMBER = ("digest", "member:secret")
OUTSIDER = ("digest", "outsider:guess")


def members_only() -> list[aiozk.ACL]:
    digest = base64.b64encode(hashlib.sha1(MEMBER[1].encode()).digest()).decode()
    permissions = dict.fromkeys(("read", "write", "create", "delete", "admin"), True)
    return [aiozk.ACL.make("digest", f"member:{digest}", **permissions)]


async def test_only_members_can_do_anything(ensemble: Ensemble, resource: str) -> None:
    """An outsider gets `NotAuthorizedError` from each operation and changes nothing; a member may do all of them."""
    guarded = f"{resource}/members"
    async with (
        ZKClient(ensemble.hosts, session_timeout=4, auth=[MEMBER], default_acl=members_only()) as member,
        ZKClient(ensemble.hosts, session_timeout=4, auth=[OUTSIDER]) as outsider,
    ):
        await create_election(member, guarded, acl=members_only())
        async with AsyncElection(member, guarded, "member") as leader:
            await sync(outsider)
            own = str(leader.status.candidate_id)
            refused: list[Callable[[], Awaitable[object]]] = [
                lambda: AsyncElection(outsider, guarded).start(),
                lambda: list_candidates(outsider, guarded),
                lambda: depose(outsider, own),
                lambda: end_election(outsider, guarded),
                lambda: delete_election(outsider, guarded),
            ]
            for operation in refused:
                with pytest.raises(NotAuthorizedError) as caught:
                    await soon(operation())
                assert caught.value.path.startswith(guarded)
                assert "secret" not in str(caught.value)
            assert leader.is_leader
            assert [candidate.id for candidate in await list_candidates(member, guarded)] == [own]
            await depose(member, own)
        await end_election(member, guarded)
        await delete_election(member, guarded)
        assert not await member.exists(guarded)
