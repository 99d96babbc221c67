"""The requests that elections send, built from paths within the client's chroot. Pure: nothing is sent here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import aiozk
from aiozk import protocol

from . import wire

Request: TypeAlias = Any


class Requests:
    """Builds requests for one client: its chroot goes before each path, its default ACL on each new znode."""

    def __init__(self, chroot: str, default_acl: Sequence[aiozk.ACL]) -> None:
        self._chroot = chroot
        self._default_acl = default_acl

    def get(self, path: str, *, watch: bool = False) -> Request:
        """Ask for data and stat. Of a missing znode it leaves no watch."""
        return wire.Get(self._absolute(path), watch)

    def exists(self, path: str, *, watch: bool = False) -> Request:
        """Ask for the stat. The watch is set whether the znode is there or not."""
        return wire.Exists(self._absolute(path), watch)

    def children(self, path: str, *, watch: bool = False) -> Request:
        """Ask for the children's names and the stat."""
        return wire.Children(self._absolute(path), watch)

    def create(
        self,
        path: str,
        data: bytes,
        acl: Sequence[aiozk.ACL] | None = None,
        *,
        ephemeral: bool = False,
        sequential: bool = False,
    ) -> Request:
        """Ask for a new znode; the reply has its path and stat."""
        flags = ephemeral * wire.Create.EPHEMERAL_FLAG | sequential * wire.Create.SEQUENTIAL_FLAG
        return wire.Create(self._absolute(path), data, acl or self._default_acl, flags)

    def create_parent(self, absolute_path: str, acl: Sequence[aiozk.ACL] | None = None) -> Request:
        """Ask for an empty persistent znode at a path outside the chroot, or of the chroot itself."""
        return wire.Create(absolute_path, b"", acl or self._default_acl, flags=0)

    def exists_parent(self, absolute_path: str) -> Request:
        """Ask for the stat of such a znode."""
        return wire.Exists(absolute_path, watch=False)

    def delete(self, path: str, version: int = -1) -> Request:
        """Ask for a deletion, at this version of the znode (-1: at any)."""
        return wire.Delete(self._absolute(path), version)

    def set_data(self, path: str, data: bytes, version: int) -> Request:
        """Ask for other data, at this version of the znode (-1: at any)."""
        return wire.SetData(self._absolute(path), data, version)

    def check(self, path: str) -> Request:
        """Ask the quorum whether a znode is there: a transaction that changes nothing.

        It is ordered with all writes by ZooKeeper's leader, and this connection's later reads see what was written
        before it, so it is also the barrier (``sync`` is none when the server is ZooKeeper's leader itself).
        """
        return self.multi(self.check_operation(path))

    def check_operation(self, path: str, version: int = -1) -> Request:
        """The same as an operation of a transaction, at this version of the znode (-1: at any)."""
        return wire.CheckVersion(self._absolute(path), version)

    def multi(self, *operations: Request) -> Request:
        """Ask for a transaction. Look for what failed with :func:`first_failure`."""
        return wire.Multi(operations)

    def sync(self, path: str) -> Request:
        """Ask the server to catch up with ZooKeeper's leader before it answers what is sent behind."""
        return protocol.SyncRequest(path=self._absolute(path))

    def _absolute(self, path: str) -> str:
        if "//" in path or path.endswith("/"):  # an application's, in a transaction
            return "/" + "/".join(part for part in (self._chroot + path).split("/") if part)
        return self._chroot + path
