"""The fencing example: a store of its own refuses the write of a leader of the past."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from examples.fencing_sqlite import FencedStore, StaleTokenError
from golea_async import AsyncElection, ZKClient
from tests.support.elections import soon
from tests.support.ensemble import Ensemble
from tests.support.leading import depose, leading
from tests.support.wire import WireClient

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[FencedStore]:
    with closing(FencedStore(path)) as opened:
        yield opened


def test_a_token_may_write_again_and_a_greater_one_too(store: FencedStore) -> None:
    store.put("/e", 5, "key", "a")
    store.put("/e", 5, "key", "b")
    store.put("/e", 2**63 - 1, "key", "c")
    assert store.get("key") == "c"
    assert store.get("other") is None


def test_a_smaller_token_is_refused_and_nothing_is_written(store: FencedStore) -> None:
    store.put("/e", 6, "key", "new")
    with pytest.raises(StaleTokenError):
        store.put("/e", 5, "key", "late")
    assert store.get("key") == "new"
    store.put("/e", 6, "key", "newer")
    assert store.get("key") == "newer"


def test_a_leader_that_has_only_announced_itself_counts(store: FencedStore) -> None:
    store.put("/e", 5, "key", "old")
    store.announce("/e", 6)
    with pytest.raises(StaleTokenError):
        store.put("/e", 5, "key", "late")
    with pytest.raises(StaleTokenError):
        store.announce("/e", 5)
    assert store.get("key") == "old"


def test_each_election_has_its_own_tokens(store: FencedStore) -> None:
    store.put("/a", 9, "key", "a")
    store.put("/b", 1, "key", "b")
    assert store.get("key") == "b"


def test_the_greatest_token_outlives_the_process(path: Path, store: FencedStore) -> None:
    store.put("/e", 6, "key", "new")
    store.close()
    with closing(FencedStore(path)) as opened, pytest.raises(StaleTokenError):
        opened.put("/e", 5, "key", "late")


def test_a_write_that_fails_moves_no_token(path: Path, store: FencedStore) -> None:
    """Both or neither."""
    with pytest.raises(sqlite3.IntegrityError):
        store.put("/e", 9, "key", None)  # type: ignore[arg-type]
    store.put("/e", 5, "key", "value")
    with closing(FencedStore(path)) as other:
        assert other.get("key") == "value"


def test_of_many_writers_at_once_the_greatest_token_has_the_last_word(path: Path, store: FencedStore) -> None:
    def write(token: int) -> bool:
        with closing(FencedStore(path, timeout=60)) as own:
            try:
                own.put("/e", token, "key", str(token))
            except StaleTokenError:
                return False
            return True

    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(write, [7, 3, 9, 1, 8, 2, 10, 4, 6, 5]))
    assert any(written)
    assert store.get("key") == "10"


async def test_a_deposed_leader_of_a_real_election_is_refused(
    ensemble: Ensemble, resource: str, wire: WireClient, path: Path, store: FencedStore
) -> None:
    """Its thread knows nothing of the loss: it writes with the token that it was given."""
    async with ZKClient(ensemble.hosts) as first_client, ZKClient(ensemble.hosts) as second_client:
        first = AsyncElection(first_client, resource, "first")
        second = AsyncElection(second_client, resource, "second")
        old = await leading(first)
        await soon(second.start())
        store.put(resource, old.fencing_token, "job", "first")
        await depose(wire, first)
        new = await leading(second)

        def write_late() -> None:
            with closing(FencedStore(path)) as own:
                own.put(resource, old.fencing_token, "job", "late")

        store.put(resource, new.fencing_token, "job", "second")
        with pytest.raises(StaleTokenError):
            await asyncio.to_thread(write_late)
        assert store.get("job") == "second"
        await second.resign()


def test_the_demonstration_runs() -> None:
    script = ROOT / "examples" / "fencing_sqlite.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    *_, refused, last = done.stdout.splitlines()
    assert "refused" in refused
    assert last == "the store still has: step 2, by the second"
