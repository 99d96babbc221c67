"""How long nobody leads after a SIGKILL: with a guardian, without one, and with aiozk's recipe and kazoo's, in one run.

    python -m tests.benchmarks.guardian --kills 1000     # T = 6 s and 30 s; a quarter of an hour

With a guardian one leader is killed after the other; each next one is a new process. Without one a kill takes a
session timeout, so that several elections are measured side by side. Time runs from the SIGKILL to the first moment at
which the next process believes to lead (it looks each millisecond); that no two believe at once is the fault suite's to
show.
Then: what a guardian weighs, what it adds to `ZKClient.start()`, and what it does while nothing happens.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from golea_async import ZKClient, create_election
from golea_async.testing import Ensemble
from tests.faults.contenders import Library, make_contender
from tests.support.guarded import guardians_of, proc

TIMEOUTS = (6.0, 30.0)
SIDE_BY_SIDE = 8
SETTLED = 0.15
"""Seconds after which a candidate that stands has a guardian that knows of its session."""
STARTS = 60
IDLE = 20.0


alive: list[Candidate] = []
"""Those that would go on when something fails here."""


@dataclass
class Candidate:
    """A process that stands in an election, as its parent sees it."""

    pid: int
    pipe: int

    def until(self, word: str) -> float:
        """Return the time at which it says so."""
        said = b""
        while not said.endswith(b"\n"):
            said += os.read(self.pipe, 1)
            assert said, "the candidate has died"
        spoken, at = said.decode().split()
        assert spoken == word, f"it has said {spoken}"
        return float(at)

    def kill(self) -> float:
        at = time.monotonic()
        os.kill(self.pid, signal.SIGKILL)
        return at

    def bury(self) -> None:
        alive.remove(self)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pipe)


def spawn(library: Library, hosts: str, resource: str, session_timeout: float) -> Candidate:
    """Fork a candidate, and return when it stands."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(stand(writing, library, hosts, resource, session_timeout))
        finally:
            os._exit(1)
    os.close(writing)
    candidate = Candidate(pid, reading)
    alive.append(candidate)
    candidate.until("stands")
    return candidate


async def stand(writing: int, library: Library, hosts: str, resource: str, session_timeout: float) -> None:
    contender = make_contender(library, hosts, resource, f"{os.getpid()}", session_timeout, lambda _: None)
    await contender.open()
    joining = asyncio.create_task(contender.join())
    if library is not Library.AIOZK:  # whose call returns only when it leads
        await joining
    else:
        await asyncio.sleep(1)
    os.write(writing, f"stands {time.monotonic()}\n".encode())
    while not contender.believes():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    os.write(writing, f"leads {time.monotonic()}\n".encode())
    await asyncio.Event().wait()


def with_guardian(hosts: str, resource: str, session_timeout: float, kills: int) -> tuple[list[float], list[int]]:
    """Return the seconds without a leader after each kill, and what the guardians weighed (KiB)."""
    asyncio.run(make(hosts, resource))
    pauses, weights = [], []
    leader = spawn(Library.GOLEA_GUARDED, hosts, resource, session_timeout)
    leader.until("leads")
    for _ in range(kills):
        follower = spawn(Library.GOLEA_GUARDED, hosts, resource, session_timeout)
        while not (guardians := guardians_of(leader.pid)):
            time.sleep(SETTLED)
        time.sleep(SETTLED)
        weights += [weight for guardian in guardians if (weight := resident(guardian))]
        killed_at = leader.kill()
        pauses.append(follower.until("leads") - killed_at)
        leader.bury()
        leader = follower
    leader.bury()
    return pauses, weights


def resident(pid: int) -> int:
    """Return the KiB of memory that a process occupies; 0 when it has just ended."""
    with suppress(OSError):
        return int(proc(pid, "status").partition("VmRSS:")[2].partition("kB")[0] or 0)
    return 0


def side_by_side(library: Library, hosts: str, resource: str, session_timeout: float) -> list[float]:
    """Return the seconds without a leader after a kill in each of several elections."""
    pairs = []
    for number in range(SIDE_BY_SIDE):
        asyncio.run(make(hosts, f"{resource}-{number}"))
        pair = [spawn(library, hosts, f"{resource}-{number}", session_timeout) for _ in range(2)]
        pair[0].until("leads")
        pairs.append(pair)
    time.sleep(session_timeout / 3)  # as far from the last sign of life as it may be
    killed_at = [leader.kill() for leader, _ in pairs]
    pauses = [follower.until("leads") - at for (_, follower), at in zip(pairs, killed_at, strict=True)]
    for pair in pairs:
        for candidate in pair:
            candidate.bury()
    return pauses


async def make(hosts: str, resource: str) -> None:
    async with ZKClient(hosts) as zk:
        await create_election(zk, resource)


async def starts(hosts: str, *, guardian: bool) -> float:
    """Return the median of a client's start, in seconds."""
    took = []
    for _ in range(STARTS):
        gc.collect()
        began = time.perf_counter()
        async with ZKClient(hosts, guardian=guardian):
            took.append(time.perf_counter() - began)
            await asyncio.sleep(SETTLED)
    return statistics.median(took)


async def idle(hosts: str, session_timeout: float) -> float:
    """Return the share of a processor that a guardian takes while nothing happens."""
    async with ZKClient(hosts, session_timeout=session_timeout, guardian=True):
        await asyncio.sleep(1)
        (guardian,) = guardians_of(os.getpid())
        before = int(proc(guardian, "schedstat").split()[0])
        await asyncio.sleep(IDLE)
        return (int(proc(guardian, "schedstat").split()[0]) - before) / 1e9 / IDLE


def bury_all() -> None:
    for candidate in alive:
        candidate.bury()


def show(what: str, session_timeout: float, pauses: Sequence[float]) -> None:
    ordered = sorted(pauses)
    latest = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(
        f"{what:<22} T = {session_timeout:>4g} s {len(ordered):>6} kills"
        f"   median {statistics.median(ordered) * 1000:>8.1f} ms"
        f"   99 % {latest * 1000:>8.1f} ms   longest {ordered[-1] * 1000:>8.1f} ms",
        flush=True,
    )


def main(kills: int) -> None:
    with Ensemble(3, max_session_timeout=60) as ensemble, ExitStack() as stack:
        stack.callback(bury_all)  # the ensemble's end waits for what they hold
        hosts = ensemble.hosts
        weights = []
        for number, session_timeout in enumerate(TIMEOUTS):
            pauses, weighed = with_guardian(hosts, f"/guarded-{number}", session_timeout, kills)
            weights += weighed
            show("golea_async, guardian", session_timeout, pauses)
            for library in (Library.GOLEA, Library.AIOZK, Library.KAZOO):
                resource = f"/{library.name.lower()}-{number}"
                show(library.value, session_timeout, side_by_side(library, hosts, resource, session_timeout))
        print(f"a guardian weighs {statistics.median(weights) / 1024:.1f} MiB (VmRSS, median of {len(weights)})")
        plain, guarded = (asyncio.run(starts(hosts, guardian=guardian)) for guardian in (False, True))
        print(f"ZKClient.start(): {plain * 1000:.1f} ms, with a guardian {guarded * 1000:.1f} ms (medians of {STARTS})")
        for session_timeout in TIMEOUTS:
            share = asyncio.run(idle(hosts, session_timeout))
            print(f"idle, T = {session_timeout:g} s: {share:.4%} of a processor")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="for each session timeout (default: 1000)")
    main(parser.parse_args().kills)
