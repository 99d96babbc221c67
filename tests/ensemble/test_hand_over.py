"""Handing over on a real ZooKeeper: by its own history nobody ever leaves the line, or stands twice."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from itertools import count

import pytest

from golea_async import AsyncElection, Role, ZKClient, create_election, depose, list_candidates, transfer_leadership
from tests.support.elections import eventually, soon
from tests.support.ensemble import Ensemble
from tests.support.proxy import Proxy
from tests.support.transaction_log import Transaction, read_history
from tests.support.wire import OpCode

from .test_lost_replies import LOSSES, lose_nth

NAMES = ("a", "b", "c", "d")
STEPS = 12


async def test_the_line_is_never_left(real_ensemble: Ensemble) -> None:
    """Candidates step down at the same time and are asked to, and replies, requests and connections are lost."""
    resource, chance = "/never-left", random.Random(21)
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(Proxy(each.port)) for each in real_ensemble.servers]
        clients = [
            await stack.enter_async_context(ZKClient(proxy.address, session_timeout=10))
            for proxy in (*proxies, proxies[0])
        ]
        operator = await stack.enter_async_context(ZKClient(real_ensemble.hosts, session_timeout=10))
        await create_election(operator, resource)
        elections = [AsyncElection(zk, resource, name) for zk, name in zip(clients, NAMES, strict=True)]
        for election in elections:
            await soon(election.start())
        for _ in range(STEPS):
            proxy = chance.choice(proxies)
            lose = chance.choice([proxy.lose_next_reply, proxy.lose_next_request])
            lose({OpCode.MULTI})
            *_, last = await list_candidates(operator, resource)
            hand_overs = [transfer_leadership(operator, resource, last.id), chance.choice(elections).step_down()]
            await soon(asyncio.gather(*hand_overs, return_exceptions=True))  # the target may be who steps down
            await eventually(lambda: sum(each.is_leader for each in elections) == 1)
        await eventually(lambda: all(each.status.role in (Role.LEADER, Role.FOLLOWER) for each in elections))
        history = read_history(real_ensemble.leader().directory, resource)
        assert len(history) > len(NAMES) + STEPS
        check(history)
        await soon(asyncio.gather(*(election.resign() for election in elections)))


@pytest.mark.long
@pytest.mark.parametrize("what", LOSSES)
async def test_every_frame_of_the_operators_is_lost(server: Ensemble, what: str) -> None:
    """The first one of a transfer, or the second, and so on until there is none to lose; then those of a removal."""
    resource = f"/lost-{what}"
    async with (
        Proxy(server.leader().port) as proxy,
        ZKClient(proxy.address, session_timeout=2) as operator,  # which waits for a lost answer for a part of that
        ZKClient(server.hosts, session_timeout=10) as theirs,
    ):
        await create_election(operator, resource)
        elections = [AsyncElection(theirs, resource, name) for name in ("a", "b")]
        for election in elections:
            await soon(election.start())
        for number in count():
            loss = lose_nth(proxy, what, number)
            leader = await soon(transfer_leadership(operator, resource))
            assert next(each.id for each in await list_candidates(theirs, resource)) == leader.id
            assert not await theirs.exists(f"{resource}/step_down")
            if not loss.happened.done():
                break
        assert number > 5
        for number in count():
            loss = lose_nth(proxy, what, number)
            await soon(depose(operator, str(elections[0].status.candidate_id)))
            assert [each.name for each in await list_candidates(theirs, resource)] == ["b"]
            await soon(elections[0].start())
            if not loss.happened.done():
                break
        assert number > 4
        for election in elections:
            await soon(election.resign())


def check(history: list[Transaction]) -> None:
    """See that whoever has come into the line is in it at each moment from then on, and once."""
    line: dict[str, str] = {}
    most = 0
    for transaction in history:
        line |= {path: data.decode() for path, data in transaction.created.items() if "/le_" in path}
        for path in transaction.deleted:
            line.pop(path, None)
        assert len(set(line.values())) == len(line), transaction
        assert len(line) >= most, transaction
        most = len(line)
    assert sorted(line.values()) == sorted(NAMES)


def test_the_check_finds_who_has_left_the_line_or_stands_twice() -> None:
    joined = [Transaction(number, {f"/e/le_{number}": name.encode()}, []) for number, name in enumerate(NAMES)]
    check([*joined, Transaction(4, {"/e/le_4": b"a"}, ["/e/le_0"])])
    with pytest.raises(AssertionError):
        check([*joined, Transaction(4, {}, ["/e/le_0"]), Transaction(5, {"/e/le_5": b"a"}, [])])
    with pytest.raises(AssertionError):
        check([*joined, Transaction(4, {"/e/le_4": b"a"}, []), Transaction(5, {}, ["/e/le_0"])])
