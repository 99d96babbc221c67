"""The znodes: what a write would change, and the change itself. Pure: no I/O, no clock, no sessions.

A write goes through two steps, as in ZooKeeper. `prepare` checks it against the znodes as they are and gives a
`Change` in which everything is decided: the number of a sequential znode, the versions, the access control list.
`apply` carries the change out, and cannot fail. Changes applied in the same order to another tree give the same tree.

References are to ZooKeeper's `PrepRequestProcessor` (the checks) and `DataTree` (the changes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from . import _acl, _paths
from ._changes import (
    Applied,
    Author,
    Change,
    Checked,
    Creation,
    Deletion,
    Event,
    Moment,
    MultiError,
    NewAcl,
    NewData,
)
from ._model import (
    OPEN_ACL,
    Acl,
    Check,
    Create,
    Delete,
    ErrorCode,
    EventType,
    OpCode,
    Permission,
    RequestError,
    SetAcl,
    SetData,
    Stat,
    Write,
)

ANY_VERSION = -1
CONTAINER_OWNER = -(2**63)
EPHEMERAL_FLAGS, SEQUENTIAL_FLAGS, TTL_FLAGS, LAST_FLAG = (1, 3), (2, 3), (5, 6), 6
LAST_NUMBER = 2**31 - 1
SPECIAL_PATHS = ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config")
READ_ONLY_ACL = (Acl(Permission.READ, _acl.ANYONE),)


@dataclass(slots=True)
class Znode:
    """One znode. `cversion` counts creations of children only; clients are told another number (`stat`)."""

    data: bytes | None = None
    acl: tuple[Acl, ...] = OPEN_ACL
    czxid: int = 0
    mzxid: int = 0
    ctime: int = 0
    mtime: int = 0
    version: int = 0
    cversion: int = 0
    aversion: int = 0
    owner: int = 0
    pzxid: int = 0
    children: dict[str, None] = field(default_factory=dict)

    @property
    def is_ephemeral(self) -> bool:
        return self.owner not in (0, CONTAINER_OWNER)

    def stat(self) -> Stat:
        return Stat(
            czxid=self.czxid,
            mzxid=self.mzxid,
            ctime=self.ctime,
            mtime=self.mtime,
            version=self.version,
            # Every creation counts, and every deletion: all that were created and are not there any more.
            cversion=_as_int32(self.cversion * 2 - len(self.children)),
            aversion=self.aversion,
            ephemeral_owner=self.owner if self.is_ephemeral else 0,
            data_length=len(self.data or b""),
            number_of_children=len(self.children),
            pzxid=self.pzxid,
        )


class Tree:
    """All znodes of one server."""

    def __init__(self) -> None:
        root = Znode(data=b"", children={"zookeeper": None})
        # ZooKeeper has the root under both names: so a read of "" is one of "/", but a watch on it is not.
        self._znodes = {
            "": root,
            "/": root,
            "/zookeeper": Znode(data=b"", children={"quota": None, "config": None}),
            "/zookeeper/quota": Znode(data=b""),
            "/zookeeper/config": Znode(data=b"", acl=READ_ONLY_ACL, aversion=-1),
        }
        self._ephemerals: dict[int, dict[str, None]] = {}
        self._containers: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._znodes) - 1

    @property
    def number_of_ephemerals(self) -> int:
        return sum(map(len, self._ephemerals.values()))

    @property
    def data_size(self) -> int:
        return sum(len(path) + len(znode.data or b"") for path, znode in self._znodes.items())

    def find(self, path: str) -> Znode | None:
        return self._znodes.get(path)

    def get(self, path: str) -> Znode:
        """:raises RequestError: NO_NODE"""
        znode = self._znodes.get(path)
        if znode is None:
            raise RequestError(ErrorCode.NO_NODE)
        return znode

    def contents(self) -> dict[str, bytes | None]:
        """Every path with its data, sorted."""
        return {path: znode.data for path, znode in sorted(self._znodes.items()) if path}

    def count_below(self, path: str) -> int:
        """How many znodes there are below this one."""
        if path == "/":
            return len(self._znodes) - 2  # the root itself has two entries
        return sum(each.startswith(f"{path}/") for each in self._znodes)

    def ephemerals_of(self, session_id: int) -> list[str]:
        return list(self._ephemerals.get(session_id, ()))

    def used_up_containers(self) -> list[str]:
        """Containers that had children and have none left: ZooKeeper deletes them once a minute."""
        return [path for path in self._containers if self._is_used_up(self._znodes[path])]

    def write(self, write: Write, author: Author, moment: Moment) -> Applied:
        """:raises RequestError: nothing was done"""
        return self.apply(self.prepare(write, author), moment)

    def write_all(self, writes: Sequence[Write], author: Author, moment: Moment) -> list[Applied]:
        """One transaction.

        :raises MultiError: nothing was done
        """
        applied: list[Applied] = []
        for index, write in enumerate(writes):
            try:
                applied.append(self.write(write, author, moment))
            except RequestError as error:
                for done in reversed(applied):
                    done.undo()
                raise MultiError(index, error.code) from None
        return applied

    def prepare(self, write: Write, author: Author) -> Change:
        """What the write would change.

        :raises RequestError: it may not be done
        """
        match write:
            case Check(path, version):
                znode = self._get_valid(path)
                _acl.require(znode.acl, Permission.READ, author.identities)
                _next_version(znode.version, version)
                return Checked(path)
            case Create():
                return self._prepare_create(write, author)
            case Delete(path, version):
                return self._prepare_delete(path, version, author)
            case SetData(path, data, version):
                znode = self._get_valid(path)
                _acl.require(znode.acl, Permission.WRITE, author.identities)
                return NewData(path, data, _next_version(znode.version, version))
            case SetAcl(path, acl, version):
                _paths.validate(path)
                resolved = _acl.resolve(acl, author.identities)
                znode = self.get(path)
                _acl.require(znode.acl, Permission.ADMIN, author.identities)
                return NewAcl(path, resolved, _next_version(znode.aversion, version))

    def apply(self, change: Change, moment: Moment) -> Applied:
        """Make a prepared change."""
        match change:
            case Checked():
                return Applied(change, None, None, _do_nothing)
            case Creation():
                return self._create(change, moment)
            case Deletion(path):
                return self._delete(path, moment)
            case NewData(path, data, version):
                new = {"data": data, "version": version, "mzxid": moment.zxid, "mtime": moment.time}
                return self._set(change, Event(EventType.DATA_CHANGED, path, self._znodes[path].acl), new)
            case NewAcl(path, acl, version):
                return self._set(change, None, {"acl": acl, "aversion": version})

    def _prepare_create(self, write: Create, author: Author) -> Creation:
        if write.flags in TTL_FLAGS:
            raise RequestError(ErrorCode.UNIMPLEMENTED)  # as a server on which they are not enabled
        if not 0 <= write.flags <= LAST_FLAG:
            raise RequestError(ErrorCode.BAD_ARGUMENTS)
        parent_path = _paths.parent(write.path)
        acl = _acl.resolve(write.acl, author.identities)
        parent = self.get(parent_path)
        _acl.require(parent.acl, Permission.CREATE, author.identities)
        path = f"{write.path}{parent.cversion:010d}" if write.flags in SEQUENTIAL_FLAGS else write.path
        _paths.validate(path)
        if path in self._znodes:
            raise RequestError(ErrorCode.NODE_EXISTS)
        if parent.is_ephemeral:
            raise RequestError(ErrorCode.NO_CHILDREN_FOR_EPHEMERALS)
        # The operation makes a container, not the flag: with plain create 3.8 makes a persistent znode of flag 4.
        if write.opcode is OpCode.CREATE_CONTAINER:
            owner = CONTAINER_OWNER
        else:
            owner = author.session_id if write.flags in EPHEMERAL_FLAGS else 0
        return Creation(write.opcode, path, write.data, acl, owner)

    def _prepare_delete(self, path: str, version: int, author: Author) -> Deletion:
        parent_path = _paths.parent(path)
        if path in SPECIAL_PATHS:
            raise RequestError(ErrorCode.BAD_ARGUMENTS)
        _acl.require(self.get(parent_path).acl, Permission.DELETE, author.identities)
        znode = self.get(path)
        _next_version(znode.version, version)
        if znode.children:
            raise RequestError(ErrorCode.NOT_EMPTY)
        return Deletion(path)

    def _get_valid(self, path: str) -> Znode:
        _paths.validate(path)
        return self.get(path)

    def _create(self, creation: Creation, moment: Moment) -> Applied:
        path = creation.path
        parent, name = self._znodes[_paths.parent(path)], _paths.name(path)
        before = (parent.cversion, parent.pzxid)
        znode = Znode(
            creation.data, creation.acl, moment.zxid, moment.zxid, moment.time, moment.time, owner=creation.owner
        )
        znode.pzxid = moment.zxid
        # Beyond the last number the counter stays where it is, and so does what goes with it: the sum that
        # PrepRequestProcessor (681) makes is a negative one then, and DataTree (475) takes it only when it is greater.
        if parent.cversion < LAST_NUMBER:
            parent.cversion += 1
            parent.pzxid = moment.zxid
        parent.children[name] = None
        self._add(path, znode)
        event = Event(EventType.CREATED, path, znode.acl, parent.acl)
        return Applied(creation, znode.stat(), event, partial(self._take_back, path, parent, before))

    def _take_back(self, path: str, parent: Znode, before: tuple[int, int]) -> None:
        self._remove(path)
        del parent.children[_paths.name(path)]
        parent.cversion, parent.pzxid = before

    def _delete(self, path: str, moment: Moment) -> Applied:
        parent, name = self._znodes[_paths.parent(path)], _paths.name(path)
        before = parent.pzxid
        znode = self._remove(path)
        del parent.children[name]
        parent.pzxid = moment.zxid

        def undo() -> None:
            self._add(path, znode)
            parent.children[name] = None
            parent.pzxid = before

        return Applied(Deletion(path), None, Event(EventType.DELETED, path, znode.acl, parent.acl), undo)

    def _set(self, change: NewData | NewAcl, event: Event | None, new: Mapping[str, object]) -> Applied:
        znode = self._znodes[change.path]
        before = {name: getattr(znode, name) for name in new}
        for name, value in new.items():
            setattr(znode, name, value)

        def undo() -> None:
            for name, value in before.items():
                setattr(znode, name, value)

        return Applied(change, znode.stat(), event, undo)

    def _add(self, path: str, znode: Znode) -> None:
        self._znodes[path] = znode
        if znode.owner == CONTAINER_OWNER:
            self._containers[path] = None
        elif znode.is_ephemeral:
            self._ephemerals.setdefault(znode.owner, {})[path] = None

    def _remove(self, path: str) -> Znode:
        znode = self._znodes.pop(path)
        self._containers.pop(path, None)
        if znode.is_ephemeral:
            owned = self._ephemerals[znode.owner]
            del owned[path]
            if not owned:
                del self._ephemerals[znode.owner]
        return znode

    @staticmethod
    def _is_used_up(znode: Znode) -> bool:
        return znode.cversion > 0 and not znode.children


def _next_version(current: int, expected: int) -> int:
    if expected not in (ANY_VERSION, current):
        raise RequestError(ErrorCode.BAD_VERSION)
    return current + 1


def _as_int32(number: int) -> int:
    """As Java's sum comes out."""
    return (number + 2**31) % 2**32 - 2**31


def _do_nothing() -> None:
    """There is nothing to take back."""
