"""Others' clients work with the in-memory ZooKeeper unchanged: kazoo, and ZooKeeper's own shell (`zkCli.sh`)."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import BadVersionError, NoNodeError, NotEmptyError, RolledBackError
from kazoo.protocol.states import EventType, WatchedEvent
from kazoo.security import make_digest_acl

from golea_async.testing import MemoryZooKeeper
from golea_async.testing._server_process import JVM_OPTIONS
from tests.support.zookeeper import find_class_path, find_java

PATIENCE = 20.0


@pytest.fixture
def kazoo(zookeeper: MemoryZooKeeper) -> Iterator[KazooClient]:
    client = KazooClient(zookeeper.hosts, timeout=2.0)
    client.start()
    yield client
    client.stop()
    client.close()


def test_znodes(kazoo: KazooClient) -> None:
    assert kazoo.create("/a", b"data") == "/a"
    path, stat = kazoo.create("/a/s-", ephemeral=True, sequence=True, include_data=True)
    assert (path, stat.ephemeralOwner) == ("/a/s-0000000000", kazoo.client_id[0])
    data, stat = kazoo.get("/a")
    assert (data, stat.version, stat.numChildren, stat.cversion) == (b"data", 0, 1, 1)
    assert kazoo.set("/a", b"new", version=0).version == 1
    with pytest.raises(BadVersionError):
        kazoo.set("/a", b"", version=0)
    with pytest.raises(NotEmptyError):
        kazoo.delete("/a")
    with pytest.raises(NoNodeError):
        kazoo.get("/missing")
    kazoo.delete("/a", recursive=True)
    assert kazoo.exists("/a") is None


def test_the_version_by_which_kazoo_goes(kazoo: KazooClient) -> None:
    assert kazoo.server_version() == (3, 8, 0)
    assert "Environment:" in kazoo.command(b"envi")


def test_transactions(kazoo: KazooClient) -> None:
    transaction = kazoo.transaction()
    transaction.create("/t", b"")
    transaction.check("/t", version=1)
    transaction.delete("/t")
    results = transaction.commit()
    assert isinstance(results[0], RolledBackError)
    assert isinstance(results[1], BadVersionError)
    assert kazoo.exists("/t") is None


def test_access_control(zookeeper: MemoryZooKeeper, kazoo: KazooClient) -> None:
    kazoo.add_auth("digest", "alice:secret")
    kazoo.create("/secret", b"data", acl=[make_digest_acl("alice", "secret", all=True)])
    assert kazoo.get("/secret")[0] == b"data"
    stranger = KazooClient(zookeeper.hosts)
    stranger.start()
    with pytest.raises(Exception, match=r"^$") as error:
        stranger.get("/secret")
    assert type(error.value).__name__ == "NoAuthError"
    stranger.stop()
    stranger.close()


def test_watches_and_reconnects(zookeeper: MemoryZooKeeper, kazoo: KazooClient) -> None:
    changed, connected, watched = threading.Event(), threading.Event(), threading.Event()
    kazoo.add_listener(lambda state: connected.set() if state == KazooState.CONNECTED else connected.clear())
    kazoo.create("/w")

    def watch(event: WatchedEvent) -> None:
        if event.type == EventType.CHANGED:  # kazoo also calls it, with NONE, when the connection is lost
            changed.set()
        else:
            kazoo.get_async("/w", watch=watch).rawlink(lambda _: watched.set())

    kazoo.get("/w", watch=watch)
    session = kazoo.client_id
    connected.clear()
    zookeeper.drop_connections()
    assert connected.wait(PATIENCE)
    assert watched.wait(PATIENCE)
    assert kazoo.client_id == session
    kazoo.set("/w", b"new")
    assert changed.wait(PATIENCE)


def test_recipes(zookeeper: MemoryZooKeeper, kazoo: KazooClient) -> None:
    other = KazooClient(zookeeper.hosts, timeout=2.0)
    other.start()
    leads = threading.Event()
    with kazoo.Lock("/lock", "1"):
        assert not other.Lock("/lock", "2").acquire(blocking=False)
    waiting = threading.Thread(target=other.Election("/e", "2").run, args=(leads.set,))
    waiting.start()
    assert leads.wait(PATIENCE)
    waiting.join(PATIENCE)
    other.stop()
    other.close()


def test_the_shell_of_zookeeper(zookeeper: MemoryZooKeeper) -> None:
    commands = [
        *("create /x data", "create -s -e /x/e- mine", "getEphemerals", "get -w /x", "set /x new", "create -c /c"),
        *("addauth digest alice:secret", "getAcl /x", "addWatch /x", "set /x newer", "removewatches /x", "sync /x"),
        *("getAllChildrenNumber /x", "delete /x/e-0000000000", "create /x/y", "deleteall /x", "stat /c", "quit"),
    ]
    java = [find_java(), *JVM_OPTIONS, "-cp", ":".join(find_class_path()), "org.apache.zookeeper.ZooKeeperMain"]
    shell = subprocess.run(
        [*java, "-server", zookeeper.hosts],
        check=True,
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    for expected in (
        "[/x/e-0000000000]",
        "NodeDataChanged path:/x",
        "PersistentWatchRemoved",
        "'world,'anyone",
        "Sync is OK",
    ):
        assert expected in shell.stdout, shell.stdout + shell.stderr
    assert "Disconnected" not in shell.stdout
    assert zookeeper.znodes()["/c"] is None
    assert "/x" not in zookeeper.znodes()
