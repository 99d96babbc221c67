"""What must pass a user's `mypy --strict`, with the types that come out."""

from __future__ import annotations

from typing import assert_type

import aiozk

from golea_async import (
    ACL,
    AsyncElection,
    Candidate,
    Leadership,
    Status,
    ZKClient,
    create_election,
    get_leader,
    list_candidates,
    observe_leader,
)


async def work(leadership: Leadership) -> bytes:
    """Do what one process at a time may do."""
    leadership.check()
    async with leadership.transaction() as transaction:
        transaction.set_data("/job", str(leadership.fencing_token).encode())
    return b"done"


async def stand(zk: ZKClient) -> None:
    """Use the client and an election on it."""
    acl = [ACL.make("world", "anyone", read=True), ACL.make("auth", "", create=True, delete=True)]
    await create_election(zk, "/service", acl=acl)
    async with AsyncElection(zk, "/service") as election:
        assert_type(await election.wait_for_leadership(), Leadership)
        assert_type(await election.run(work), bytes)
        async for status in election.statuses():
            assert_type(status, Status)
    async for leader in observe_leader(zk, "/service"):
        assert_type(leader, Candidate | None)
    assert_type(await get_leader(zk, "/service"), Candidate | None)
    assert_type(await list_candidates(zk, "/service"), list[Candidate])


async def use_the_client() -> None:
    """Call what applications call."""
    async with ZKClient("zk1:2181", default_acl=[ACL.make("world", "anyone", read=True)]) as zk:
        assert_type(await zk.get_data("/job"), bytes)
        assert_type(await zk.get_children("/"), list[str])
        assert_type(await zk.create("/job", b"data", ephemeral=True), str)
        assert_type(zk.session.timeout, float)


async def use_a_plain_client(zk: aiozk.ZKClient) -> None:
    """Stand on aiozk's own client."""
    await zk.start()
    await AsyncElection(zk, "/service").run(work)
