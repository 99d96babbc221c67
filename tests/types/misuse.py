"""What must fail a user's `mypy --strict`: where it does not, mypy says that an "ignore" is not needed."""

from __future__ import annotations

import aiozk

from golea_async import ACL, AsyncElection, Leadership, ZKClient, create_election, depose


async def misspell(zk: ZKClient, plain: aiozk.ZKClient, election: AsyncElection) -> None:
    """Call what is not there."""
    await zk.strat()  # type: ignore[attr-defined]
    await plain.strat()  # type: ignore[attr-defined]
    await election.resing()  # type: ignore[attr-defined]
    zk.sesion  # type: ignore[attr-defined] # noqa: B018


async def give_what_is_not_wanted(zk: ZKClient) -> None:
    """Call with arguments of the wrong type."""
    AsyncElection(None, "/service")  # type: ignore[arg-type]
    AsyncElection("zk1:2181", "/service")  # type: ignore[arg-type]
    AsyncElection(zk, b"/service")  # type: ignore[arg-type]
    AsyncElection(zk, "/service", rejoin="no")  # type: ignore[arg-type]
    await create_election(zk, "/service", acl="world")  # type: ignore[arg-type]
    await create_election(zk, "/service", acl=ACL.make("world", "anyone"))  # type: ignore[arg-type]
    await depose(None, "/service/le_0000000001")  # type: ignore[arg-type]
    ZKClient(["zk1:2181"])  # type: ignore[arg-type]
    ZKClient("zk1:2181", default_acl="world")  # type: ignore[arg-type]
    ZKClient("zk1:2181", ssl=True)  # type: ignore[arg-type]
    await zk.create("/job", {"data": 1})  # type: ignore[arg-type]


async def run_what_cannot_be_run(election: AsyncElection) -> None:
    """Give `run()` work that does not take a leadership, or cannot be awaited."""

    async def without_leadership() -> None: ...

    def not_async(leadership: Leadership) -> None: ...

    await election.run(without_leadership)  # type: ignore[arg-type]
    await election.run(not_async)  # type: ignore[arg-type]


async def take_what_is_not_given(zk: ZKClient, election: AsyncElection) -> None:
    """Use results as what they are not."""
    text: str = await zk.get_data("/job")  # type: ignore[assignment]
    token: int = election.status.fencing_token  # type: ignore[assignment]
    election.is_leader = True  # type: ignore[misc]
    del text, token
