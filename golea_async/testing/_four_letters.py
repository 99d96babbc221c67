"""The four-letter words that a server answers. Pure."""

from __future__ import annotations

import platform
from collections.abc import Callable

from ._engine import Engine

# The version that it is held to; what stands behind it tells people what they talk to.
VERSION = "3.8.0-golea_async.MemoryZooKeeper, in memory"


def answer(word: str, engine: Engine, server: int) -> str:
    """What ZooKeeper answers to this word; to one that this server does not know: nothing."""
    return _ANSWERS[word](engine, server) if word in _ANSWERS else ""


def _ruok(_: Engine, __: int) -> str:
    return "imok"


def _isro(_: Engine, __: int) -> str:
    return "rw"


def _envi(_: Engine, __: int) -> str:
    """Clients go by the version (kazoo, of what a server can); what there is not (a Java, its paths) is not told."""
    values = {
        "zookeeper.version": VERSION,
        "host.name": platform.node(),
        "os.name": platform.system(),
        "os.arch": platform.machine(),
        "os.version": platform.release(),
    }
    return "Environment:\n" + "".join(f"{name}={value}\n" for name, value in values.items())


def _srvr(engine: Engine, server: int) -> str:
    return "".join([f"Zookeeper version: {VERSION}\n", *_statistics(engine, server)])


def _stat(engine: Engine, server: int) -> str:
    version = f"Zookeeper version: {VERSION}\n"
    return "".join([version, "Clients:\n", _cons(engine, server), "\n", *_statistics(engine, server)])


def _cons(engine: Engine, server: int) -> str:
    connections = [each for each in engine.connections if each.server == server and each.session is not None]
    return "".join(f" /{each.identities[0].name}[1](sid=0x{each.session_id:x})\n" for each in connections)


def _wchp(engine: Engine, server: int) -> str:
    sessions: dict[str, dict[int, None]] = {}
    for path, connection in engine.replicas[server].watches.items():
        sessions.setdefault(path, {})[connection.session_id] = None
    return "".join(f"{path}\n" + "".join(f"\t0x{each:x}\n" for each in ids) for path, ids in sessions.items())


def _mntr(engine: Engine, server: int) -> str:
    values = {
        "version": VERSION,
        "server_state": _mode(engine, server),
        "num_alive_connections": sum(each.server == server for each in engine.connections),
        "znode_count": len(engine.tree),
        "watch_count": len(engine.replicas[server].watches),
        "ephemerals_count": engine.tree.number_of_ephemerals,
        "approximate_data_size": engine.tree.data_size,
        "global_sessions": len(engine.sessions),
    }
    return "".join(f"zk_{name}\t{value}\n" for name, value in values.items())


def _statistics(engine: Engine, server: int) -> list[str]:
    return [
        f"Connections: {sum(each.server == server for each in engine.connections)}\n",
        f"Zxid: 0x{engine.last_zxid:x}\n",
        f"Mode: {_mode(engine, server)}\n",
        f"Node count: {len(engine.tree)}\n",
    ]


def _mode(engine: Engine, server: int) -> str:
    if len(engine.replicas) == 1:
        return "standalone"
    return "follower" if server else "leader"


_ANSWERS: dict[str, Callable[[Engine, int], str]] = {
    "ruok": _ruok,
    "isro": _isro,
    "envi": _envi,
    "srvr": _srvr,
    "stat": _stat,
    "cons": _cons,
    "wchp": _wchp,
    "mntr": _mntr,
}
