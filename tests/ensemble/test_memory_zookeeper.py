"""The in-memory ZooKeeper held to the real one: whatever a run of operations tells on one, it tells on the other."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from golea_async.testing import MemoryZooKeeper, _host
from tests.support.ensemble import Ensemble, version_of
from tests.support.lockstep import (
    ADD_WATCH,
    GET_ACL,
    GET_ALL_CHILDREN_NUMBER,
    GET_EPHEMERALS,
    REMOVE_WATCHES,
    SET_ACL,
    SET_WATCHES2,
    LockstepClient,
    Scale,
    Told,
    pack_optional_buffer,
    pack_texts,
)
from tests.support.wire import AUTH_XID, OpCode, pack_buffer, pack_text

# Long enough that no session expires by itself: when, is up to the clock.
TICK, MIN_TIMEOUT, MAX_TIMEOUT = 2.0, 30.0, 60.0
SESSIONS = 3
LONG_ENOUGH = 40_000
NEVER = 2**31 - 1
NO_AUTH = -102
UNKNOWN_OPCODES = (10, 99, 200, -7)

_run_numbers = itertools.count(1)
Entry: TypeAlias = tuple[int, str, str]


@dataclass(frozen=True)
class Ports:
    real: int
    memory: int
    version: tuple[int, ...]
    """Of the real one."""
    is_alike: bool
    """Whether the one in memory is of that version: 3.8.0."""

    @property
    def events_have_zxids(self) -> bool:
        return self.version >= (3, 9)

    @property
    def exists_needs_read(self) -> bool:
        """As `getData` always has; and nobody is told of a znode that may not be read (CVE-2024-23944)."""
        return self.version >= (3, 9, 2) or (3, 8, 4) <= self.version < (3, 9)


@pytest.fixture(scope="module")
def ports() -> Iterator[Ports]:
    """A real server and one in memory, with the same settings, which only these tests use."""
    with pytest.MonkeyPatch.context() as patch:
        # Both delete used-up containers once a minute, each at its own time: not while they are compared.
        patch.setenv("JAVA_TOOL_OPTIONS", f"-Dznode.container.checkIntervalMs={NEVER}")
        patch.setattr(_host, "CONTAINER_INTERVAL", NEVER)
        with new_real() as real, new_memory() as memory:
            yield Ports(
                real.servers[0].port, memory.servers[0].port, version_of(real), version_of(real) == version_of(memory)
            )


def new_real() -> Ensemble:
    return Ensemble(1, tick=TICK, min_session_timeout=MIN_TIMEOUT, max_session_timeout=MAX_TIMEOUT)


def new_memory() -> MemoryZooKeeper:
    return MemoryZooKeeper(1, tick=TICK, min_session_timeout=MIN_TIMEOUT, max_session_timeout=MAX_TIMEOUT)


@dataclass(frozen=True)
class Step:
    """What one session does; `kind` is the name of a method of `Run`."""

    session: int
    kind: str
    arguments: tuple[Any, ...]


class Run:
    """The same steps on one server, below a znode of the run's own."""

    def __init__(
        self, port: int, root: str, *, events_have_zxids: bool = False, asks_before_exists: bool = False
    ) -> None:
        self._root = root
        self._asks_before_exists = asks_before_exists
        self._scale = Scale(events_have_zxids=events_have_zxids)
        self._clients = [LockstepClient(port, self._scale) for _ in range(SESSIONS)]

    def begin(self) -> list[Told]:
        told = [told for client in self._clients for told in client.connect(timeout=LONG_ENOUGH)]
        first = self._clients[0]
        first.request(OpCode.CREATE, _create(self._root, b"", (ALL,), 0))
        self._scale.first_zxid = first.last_zxid
        return told

    def step(self, step: Step) -> list[Any]:
        """What the session is told, and what all of them hear of it."""
        client = self._clients[step.session]
        reconnected = [] if client.is_connected else client.connect(timeout=LONG_ENOUGH)
        told = getattr(self, step.kind)(client, *step.arguments)
        heard = [each.ping() for each in self._clients]
        if step.kind == "close":  # the ephemeral znodes of a session go in no settled order
            told, *heard = (sorted(each, key=repr) for each in (told, *heard))
        return [reconnected, told, heard]

    def end(self) -> list[Any]:
        """The tree, as those see it who know all passwords."""
        reader = self._clients[0]
        if not reader.is_connected:
            reader.connect(timeout=LONG_ENOUGH)
        for credentials in CREDENTIALS:
            self.authenticate(reader, "digest", credentials)
        told: list[Any] = []
        waiting = [self._root]
        while waiting:
            path = waiting.pop(0)
            children = reader.request(OpCode.GET_CHILDREN2, pack_text(path) + b"\0")
            told += [path, children]
            told.append(self._exists(reader, path, b"\0"))
            for opcode, suffix in ((OpCode.GET_DATA, b"\0"), (GET_ACL, b"")):
                told.append(reader.request(opcode, pack_text(path) + suffix))
            if children[-1][2] == 0:
                waiting += [f"{path}/{name}" for name in children[-1][3]]
        return told

    def clean_up(self) -> None:
        """Leave nothing that happens later, in another run's time."""
        for client in self._clients:
            client.drop()
        self._clients[0].end_sessions()

    # The steps.

    def plain(self, client: LockstepClient, opcode: int, path: str, *parts: bytes) -> list[Told]:
        if opcode == OpCode.EXISTS:
            return self._exists(client, self._at(path), *parts)
        return client.request(opcode, pack_text(self._at(path)) + b"".join(parts))

    def _exists(self, client: LockstepClient, path: str, watch: bytes) -> list[Told]:
        """With `asks_before_exists`: on a server that needs no permission for it, as on one that needs READ."""
        told: list[Told] = []
        if self._asks_before_exists:
            *told, reply = client.request(OpCode.GET_DATA, pack_text(path) + b"\0")
            if reply[2] == NO_AUTH:
                return [*told, reply]
        return told + client.request(OpCode.EXISTS, pack_text(path) + watch)

    def create(self, client: LockstepClient, opcode: int, path: str, *rest: Any) -> list[Told]:
        return client.request(opcode, _create(self._at(path), *rest))

    def multi(self, client: LockstepClient, *operations: tuple[int, str, tuple[Any, ...]]) -> list[Told]:
        parts = []
        for opcode, path, rest in operations:
            is_create = opcode in (OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER)
            payload = _create(self._at(path), *rest) if is_create else pack_text(self._at(path)) + b"".join(rest)
            parts.append(struct.pack("!i?i", opcode, False, -1) + payload)
        return client.request(OpCode.MULTI, b"".join(parts) + struct.pack("!i?i", -1, True, -1))

    def truncated(self, client: LockstepClient, opcode: int, path: str, length: int) -> list[Told]:
        payload = _create(self._at(path), b"data", (ALL,), 0)
        return client.request(opcode, payload[:length])

    def unknown(self, client: LockstepClient, opcode: int) -> list[Told]:
        return client.request(opcode, b"", ends=True)

    def authenticate(self, client: LockstepClient, scheme: str, credentials: bytes) -> list[Told]:
        payload = struct.pack("!i", 0) + pack_text(scheme) + pack_buffer(credentials)
        return client.request(OpCode.AUTH, payload, xid=AUTH_XID, ends=scheme not in ("digest", "ip"))

    def set_watches(self, client: LockstepClient, opcode: int, ago: int, *lists: list[str]) -> list[Told]:
        paths = [pack_texts([self._at(path) for path in each]) for each in lists]
        payload = struct.pack("!q", client.last_zxid - ago) + b"".join(paths)
        return client.request(opcode, payload, xid=-8)

    def close(self, client: LockstepClient) -> list[Told]:
        told = client.request(OpCode.CLOSE_SESSION, b"", ends=True)
        client.forget_session()
        return told

    def reconnect(self, client: LockstepClient, timeout: int, password: bytes | None, zxid_ahead: int) -> list[Told]:
        client.drop()
        return client.connect(timeout=timeout, password=password, zxid_ahead=zxid_ahead)

    def replace(self, client: LockstepClient, password: bytes | None) -> list[Told]:
        return client.until_closed_by(lambda: client.connect(timeout=LONG_ENOUGH, password=password))

    def expired(self, client: LockstepClient, session_id: int) -> list[Told]:
        client.drop()
        client.session_id = session_id
        return client.connect(timeout=LONG_ENOUGH)

    def _at(self, path: str) -> str:
        return path.replace("$", self._root)


def _create(path: str, data: bytes | None, acl: tuple[Entry, ...], flags: int) -> bytes:
    return pack_text(path) + pack_optional_buffer(data) + _acl(acl) + struct.pack("!i", flags)


def _acl(acl: tuple[Entry, ...]) -> bytes:
    entries = [
        struct.pack("!i", permissions) + pack_text(scheme) + pack_text(name) for permissions, scheme, name in acl
    ]
    return struct.pack("!i", len(acl)) + b"".join(entries)


ALL: Entry = (31, "world", "anyone")
CREDENTIALS = (b"alice:secret", b"bob:other")
ALICE = "alice:XuOR0RjQmGVD9S/g0Jdqw/UTyHA="

# $ is the run's root. Few paths, so that operations meet.
valid_paths = st.sampled_from(
    ["$/a", "$/a", "$/a", "$/b", "$/a/x", "$/a/y", "$/b/x", "$/a/x/z", "$", "$/a/.hidden", "$/\u00fc"]
)
odd_paths = st.sampled_from(
    [
        *("", "/", "a", "$/a/", "$//b", "$/a/.", "$/..", "$/a\0", "$/\x01", "$/\U0001f600", "$/\ue000", "$/nowhere/x"),
        *("/zookeeper", "/zookeeper/config", "/zookeeper/quota/q/.."),
    ]
)
paths = st.one_of(*[valid_paths] * 6, odd_paths)
below_the_run = paths.filter(lambda path: path not in ("", "/"))  # the root has seen other runs
# Watches that stay have a place of their own: 3.8 lets a watch of one mode replace one of another (ZOOKEEPER-4466).
lasting_paths = st.sampled_from(["$/l", "$/l/x", "$/l/x/y"])
versions = st.sampled_from([-1, -1, 0, 1, 2])
data = st.sampled_from([None, b"", b"d", b"data"])
permissions = st.sampled_from([31, 31, 1, 2, 3, 4, 8, 16, 17, 0])
entries = st.one_of(
    *[st.just(ALL)] * 2,
    st.builds(
        lambda permissions, identity: (permissions, *identity),
        permissions,
        st.sampled_from(
            [
                *(("world", "anyone"), ("auth", ""), ("digest", ALICE), ("ip", "127.0.0.1"), ("ip", "10.0.0.0/8")),
                *(("digest", "alice"), ("digest", "a:b:c"), ("digest", "a:"), ("world", "nobody"), ("ip", "127.0.0")),
                *(("sasl", "alice"), ("ip", "127.0.0.1/16"), ("ip", "127.0.0.1/33"), ("", "")),
            ]
        ),
    ),
)
acls = st.one_of(*[st.just((ALL,))] * 4, st.lists(entries, max_size=3).map(tuple))
flags = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 7, -1])
create_opcodes = st.sampled_from([OpCode.CREATE, OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER])
creates = st.tuples(create_opcodes, paths | lasting_paths, data, acls, flags)


def integer(value: int) -> bytes:
    return struct.pack("!i", value)


deletes = st.tuples(st.just(OpCode.DELETE), paths | lasting_paths, versions.map(integer))
set_datas = st.tuples(
    st.just(OpCode.SET_DATA), paths | lasting_paths, data.map(pack_optional_buffer), versions.map(integer)
)
set_acls = st.tuples(st.just(SET_ACL), paths, acls.map(_acl), versions.map(integer))
read_opcodes = st.sampled_from([OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2])
reads = st.tuples(read_opcodes, below_the_run, st.sampled_from([b"\0", b"\1", b"\1", b"\1"]))
others = st.tuples(st.sampled_from([GET_ACL, GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER]), below_the_run)
syncs = st.tuples(st.just(OpCode.SYNC), valid_paths)  # ZooKeeper's echo of characters beyond 16 bits is no UTF-8
checks = st.tuples(st.just(OpCode.CHECK), paths, versions.map(integer))
watch_kinds = st.integers(0, 4).map(integer)
# Not checkWatches: 3.8 answers it from everybody's watches, later versions from one's own, as the in-memory one does.
remove_watches = st.tuples(st.just(REMOVE_WATCHES), paths | lasting_paths, watch_kinds)
add_watches = st.tuples(st.just(ADD_WATCH), lasting_paths, st.integers(0, 2).map(integer))
within_multi = st.one_of(creates, deletes, set_datas, checks).map(lambda each: (each[0], each[1], each[2:]))
multis = st.lists(within_multi, max_size=4).map(tuple)
# Many writes that are fine, and one that takes them all back.
simple_creates = st.builds(
    lambda path, flags: (OpCode.CREATE, path, (b"", (ALL,), flags)), valid_paths, st.sampled_from([0, 1, 2, 3])
)
simple_writes = st.one_of(
    simple_creates,
    simple_creates,
    st.builds(lambda path: (OpCode.DELETE, path, (integer(-1),)), valid_paths),
    st.builds(lambda path: (OpCode.SET_DATA, path, (pack_optional_buffer(b"new"), integer(-1))), valid_paths),
)
failing_check = (OpCode.CHECK, "$/nowhere", (integer(-1),))
failing_multis = st.lists(simple_writes, min_size=2, max_size=6).map(lambda writes: (*writes, failing_check))
passwords = st.sampled_from([None, None, b"wrong"])  # None: the right one
path_lists = st.lists(valid_paths, max_size=3)
cuttable = st.sampled_from([OpCode.CREATE, OpCode.DELETE, OpCode.MULTI, OpCode.EXISTS, OpCode.SET_WATCHES, GET_ACL])

kinds: list[tuple[int, str, st.SearchStrategy[tuple[Any, ...]]]] = [
    (8, "create", creates),
    (8, "plain", reads),
    (5, "plain", st.one_of(deletes, set_datas)),
    (3, "plain", st.one_of(set_acls, others, syncs)),
    (3, "multi", multis),
    (2, "multi", st.lists(simple_writes, max_size=6).map(tuple)),
    (2, "multi", failing_multis),
    (1, "plain", st.one_of(remove_watches, add_watches)),
    (1, "authenticate", st.tuples(st.just("digest"), st.sampled_from(CREDENTIALS))),
    (1, "authenticate", st.tuples(st.sampled_from(["ip", "sasl"]), st.just(b""))),
    (1, "truncated", st.tuples(cuttable, valid_paths, st.integers(0, 20))),
    (1, "unknown", st.tuples(st.sampled_from(UNKNOWN_OPCODES))),
    (2, "set_watches", st.tuples(st.just(OpCode.SET_WATCHES), st.integers(0, 4), *[path_lists] * 3)),
    (
        1,
        "set_watches",
        st.tuples(st.just(SET_WATCHES2), st.integers(0, 4), *[path_lists] * 3, st.just([]), st.just([])),
    ),
    (2, "close", st.just(())),
    (
        1,
        "reconnect",
        st.tuples(st.sampled_from([-1, 0, 35_123, 100_000]), st.sampled_from([None, None, b"wrong"]), st.just(0)),
    ),
    (1, "reconnect", st.tuples(st.just(LONG_ENOUGH), st.just(None), st.just(1_000_000))),
    (1, "replace", st.tuples(passwords)),
    (1, "expired", st.tuples(st.just(4711))),
]
steps = st.one_of(
    *(
        st.builds(Step, st.integers(0, SESSIONS - 1), st.just(kind), arguments)
        for weight, kind, arguments in kinds
        for _ in range(weight)
    )
)


# Lists of lists, since Hypothesis draws short lists and shrinks them well.
runs = st.lists(st.lists(steps, min_size=1, max_size=12), min_size=1, max_size=8).map(
    lambda parts: [step for part in parts for step in part]
)


def read(opcode: OpCode, path: str) -> tuple[OpCode, str, bytes]:
    return (opcode, path, b"\1")


BOTH_WATCHES_AND_A_DELETION = [
    Step(0, "create", (OpCode.CREATE, "$/a", b"", (ALL,), 0)),
    Step(1, "plain", read(OpCode.GET_DATA, "$/a")),
    Step(1, "plain", read(OpCode.GET_CHILDREN, "$/a")),
    Step(1, "plain", read(OpCode.GET_CHILDREN, "$")),
    Step(2, "plain", read(OpCode.GET_CHILDREN, "$/a")),
    Step(0, "plain", (OpCode.DELETE, "$/a", integer(-1))),
]
DIGESTS_SEEN_BY_OTHERS = [
    Step(0, "create", (OpCode.CREATE, "$/a", b"", ((31, "digest", ALICE), (1, "world", "anyone")), 0)),
    Step(1, "plain", (GET_ACL, "$/a")),
    Step(1, "authenticate", ("digest", CREDENTIALS[0])),
    Step(1, "plain", (GET_ACL, "$/a")),
]
NO_EVENTS_FOR_STRANGERS = [  # ZooKeeper's CVE-2024-23944, of which Debian's 3.8.0 has repaired this part
    Step(1, "plain", read(OpCode.EXISTS, "$/a")),
    Step(0, "authenticate", ("digest", CREDENTIALS[0])),
    Step(0, "create", (OpCode.CREATE, "$/a", b"", ((31, "digest", ALICE),), 0)),
    Step(1, "plain", read(OpCode.EXISTS, "$/a")),
    Step(0, "plain", (SET_ACL, "$/a", _acl((ALL,)), integer(-1))),
    Step(0, "plain", (OpCode.SET_DATA, "$/a", pack_optional_buffer(b""), integer(-1))),
]
WATCHES_TAKEN_ALONG = [
    Step(1, "plain", read(OpCode.EXISTS, "$/a")),
    *(Step(0, "create", (OpCode.CREATE, path, b"", (ALL,), 0)) for path in ("$/a", "$/b")),
    *(Step(0, "set_watches", (OpCode.SET_WATCHES, ago, ["$/b"], ["$/b/x"], ["$/b"])) for ago in (0, 1)),
    Step(0, "create", (OpCode.CREATE, "$/b/x", b"", (ALL,), 0)),
    *(Step(1, "set_watches", (OpCode.SET_WATCHES, ago, ["$/b"], [], ["$/b"])) for ago in (0, 1, 2)),
]
OLD_VERSIONS = [
    Step(0, "create", (OpCode.CREATE, "$/a", b"", (ALL,), 0)),
    *(Step(0, "plain", (OpCode.SET_DATA, "$/a", pack_optional_buffer(b""), integer(each))) for each in (0, 0, 2, 1)),
    Step(0, "plain", (SET_ACL, "$/a", _acl((ALL,)), integer(1))),
    *(Step(0, "plain", (OpCode.DELETE, "$/a", integer(version))) for version in (1, 3, 2)),
]


NEWER_OPCODES = (ADD_WATCH, SET_WATCHES2, GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER)
"""Of 3.6."""


def is_answered_alike(step: Step, *, events_need_read: bool) -> bool:
    """Return whether other versions answer this step as 3.8.0 does; what no client sends they refuse in their own ways.

    :param events_need_read: whether they tell nobody of a znode that may not be read, as Debian's 3.8.0.
    """
    first, *rest = step.arguments or (None,)
    if step.kind == "multi":
        return all(_is_alike_within_multi(*each, events_need_read=events_need_read) for each in step.arguments)
    if first == REMOVE_WATCHES:
        return rest[1] in map(integer, (1, 2, 3))  # 3.9 can remove those that stay by their mode
    if not events_need_read and (step.kind == "create" or first == SET_ACL):
        return bool(rest[2 if step.kind == "create" else 1] in ((ALL,), _acl((ALL,))))
    return step.kind != "truncated" and first not in NEWER_OPCODES


def _is_alike_within_multi(opcode: int, _: str, rest: tuple[Any, ...], *, events_need_read: bool) -> bool:
    """Return the same of one operation: 3.9 fails all of them for unknown flags, and has a stat in Create2's result."""
    if opcode in (OpCode.CREATE2, OpCode.CREATE_CONTAINER):
        return False
    return opcode != OpCode.CREATE or (rest[2] in range(5) and (events_need_read or rest[1] == (ALL,)))


@pytest.mark.long
@example(run=WATCHES_TAKEN_ALONG)
@example(run=OLD_VERSIONS)
@example(run=NO_EVENTS_FOR_STRANGERS)
@example(run=BOTH_WATCHES_AND_A_DELETION)
@example(run=DIGESTS_SEEN_BY_OTHERS)
@given(run=runs)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), phases=tuple(Phase)[:-1])
def test_same_as_the_real_one(ports: Ports, run: list[Step]) -> None:
    root = f"/run-{next(_run_numbers)}"
    real = Run(ports.real, root, events_have_zxids=ports.events_have_zxids)
    memory = Run(ports.memory, root, asks_before_exists=ports.exists_needs_read)
    try:
        assert memory.begin() == real.begin()
        for step in run:
            if not (ports.is_alike or is_answered_alike(step, events_need_read=ports.exists_needs_read)):
                continue
            expected, got = real.step(step), memory.step(step)
            assert got == expected, step
        assert memory.end() == real.end()
    finally:
        real.clean_up()
        memory.clean_up()


def test_same_beginning() -> None:
    """What is there before anybody has written anything."""
    with new_real() as real, new_memory() as memory:
        told = [list(look_at_the_beginning(port)) for port in (real.servers[0].port, memory.servers[0].port)]
    assert told[0] == told[1]


def look_at_the_beginning(port: int) -> Iterator[list[Told]]:
    client = LockstepClient(port, Scale())
    yield client.connect(timeout=LONG_ENOUGH)
    for path in ("", "/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"):
        for opcode, suffix in ((OpCode.GET_DATA, b"\0"), (OpCode.GET_CHILDREN2, b"\0"), (GET_ACL, b"")):
            yield client.request(opcode, pack_text(path) + suffix)
    yield client.request(OpCode.CREATE, _create("/sequence-", b"", (ALL,), 2))
    yield client.request(OpCode.EXISTS, pack_text("/") + b"\0")
    yield client.request(OpCode.CLOSE_SESSION, b"", ends=True)
