"""`golea run` in a container: what is process 1 there takes all others with it when it ends."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from golea_async import AsyncElection, ZKClient, create_election
from golea_async.testing import Ensemble
from tests.support.command import GOLEA, golea
from tests.support.elections import eventually
from tests.support.namespaces import below, unshare

TIMEOUT = 10.0
"""A session of ten seconds cannot end by itself in less than half of them."""
AWHILE = 0.3
"""Process 1 would end within milliseconds."""


@pytest.mark.parametrize("in_front", [(), (*GOLEA, "guard", "--")], ids=["golea run", "golea guard"])
async def test_process_1_waits_until_a_killed_golea_s_session_is_closed(
    real_ensemble: Ensemble, in_front: tuple[str, ...]
) -> None:
    resource = f"/cli/process-1-{len(in_front)}"
    run = ("run", resource, "--session-timeout", f"{TIMEOUT:g}", "--", "sleep", "1000")
    async with ZKClient(real_ensemble.hosts) as zk:
        await create_election(zk, resource)
        async with golea(real_ensemble.hosts, *run, prefix=(*unshare(), *in_front)) as first:
            await first.says("leads")
            await eventually(lambda: len(below(first.pid)) == 4)
            process_1, killed, supervisor, command = [process for process, _ in below(first.pid)]
            async with AsyncElection(zk, resource) as second:
                os.kill(supervisor, signal.SIGSTOP)
                os.kill(killed, signal.SIGKILL)
                await eventually(lambda: killed not in dict(below(first.pid)))
                await asyncio.sleep(AWHILE)
                assert process_1 in dict(below(first.pid))
                os.kill(supervisor, signal.SIGCONT)
                async with asyncio.timeout(TIMEOUT / 2):
                    await second.wait_for_leadership()
                with pytest.raises(ProcessLookupError):
                    os.kill(command, 0)
            assert await first.ends() == 128 + signal.SIGKILL
