"""Who watches what on one server (ZooKeeper's `WatchManager`). Pure: events are returned, not sent."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Generic, TypeVar

from ._changes import Event
from ._model import EventType, WatchKind, WatchMode
from ._paths import parent_of

W = TypeVar("W", bound=Hashable)


class _Table(Generic[W]):
    """Watches of one kind: of znodes and their data, or of their children."""

    def __init__(self) -> None:
        self._modes: dict[str, dict[W, WatchMode]] = {}
        self._paths: dict[W, dict[str, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._modes.values()))

    def add(self, path: str, watcher: W, mode: WatchMode) -> None:
        modes = self._modes.setdefault(path, {})
        # A watch that stays covers one that fires once.
        if mode is not WatchMode.STANDARD or watcher not in modes:
            modes[watcher] = mode
        self._paths.setdefault(watcher, {})[path] = None

    def has(self, path: str, watcher: W) -> bool:
        return watcher in self._modes.get(path, ())

    def remove(self, path: str, watcher: W) -> bool:
        if not self.has(path, watcher):
            return False
        del self._modes[path][watcher]
        if not self._modes[path]:
            del self._modes[path]
        del self._paths[watcher][path]
        if not self._paths[watcher]:
            del self._paths[watcher]
        return True

    def forget(self, watcher: W) -> None:
        for path in list(self._paths.get(watcher, ())):
            self.remove(path, watcher)

    def fire(self, event_type: EventType, path: str) -> list[W]:
        """Who hears of this event; a standard watch is gone with it."""
        heard: dict[W, None] = {}
        for watcher, mode in list(self._modes.get(path, {}).items()):
            if mode is WatchMode.PERSISTENT_RECURSIVE and event_type is EventType.CHILDREN_CHANGED:
                continue
            heard[watcher] = None
            if mode is WatchMode.STANDARD:
                self.remove(path, watcher)
        if event_type is not EventType.CHILDREN_CHANGED:
            for ancestor in _ancestors(path):
                modes = self._modes.get(ancestor, {})
                heard |= {who: None for who, mode in modes.items() if mode is WatchMode.PERSISTENT_RECURSIVE}
        return list(heard)

    def items(self) -> Iterator[tuple[str, W]]:
        for path, modes in self._modes.items():
            for watcher in modes:
                yield path, watcher


class Watches(Generic[W]):
    """The watches of all connections of one server; a watcher is a connection."""

    def __init__(self) -> None:
        self._data: _Table[W] = _Table()
        self._children: _Table[W] = _Table()

    def __len__(self) -> int:
        return len(self._data) + len(self._children)

    def on_data(self, path: str, watcher: W) -> None:
        """`getData` of a znode, or `exists` of one that may be missing."""
        self._data.add(path, watcher, WatchMode.STANDARD)

    def on_children(self, path: str, watcher: W) -> None:
        self._children.add(path, watcher, WatchMode.STANDARD)

    def add(self, path: str, watcher: W, mode: WatchMode) -> None:
        """A watch that stays (`addWatch`)."""
        self._data.add(path, watcher, mode)
        self._children.add(path, watcher, mode)

    def has(self, path: str, watcher: W, kind: WatchKind) -> bool:
        return any(table.has(path, watcher) for table in self._tables(kind))

    def remove(self, path: str, watcher: W, kind: WatchKind) -> bool:
        removed = [table.remove(path, watcher) for table in self._tables(kind)]
        return any(removed)

    def forget(self, watcher: W) -> None:
        """The connection is gone, and its watches with it."""
        self._data.forget(watcher)
        self._children.forget(watcher)

    def fire(self, event: Event) -> list[tuple[W, Event]]:
        """What is to be told to whom, in this order, when this happened to a znode."""
        heard = self._data.fire(event.type, event.path)
        told = [(watcher, event) for watcher in heard]
        if event.type is EventType.DELETED:
            # One event tells a connection of both its watches.
            told += [(watcher, event) for watcher in _others(self._children.fire(event.type, event.path), heard)]
        if event.type in (EventType.CREATED, EventType.DELETED):
            change = Event(EventType.CHILDREN_CHANGED, parent_of(event.path), event.parent_acl)
            told += [(watcher, change) for watcher in self._children.fire(change.type, change.path)]
        return told

    def items(self) -> Iterator[tuple[str, W]]:
        """Path and watcher of every watch."""
        yield from self._data.items()
        yield from self._children.items()

    def _tables(self, kind: WatchKind) -> list[_Table[W]]:
        return {
            WatchKind.DATA: [self._data],
            WatchKind.CHILDREN: [self._children],
            WatchKind.ANY: [self._children, self._data],
        }[kind]


def _others(watchers: Collection[W], but: Collection[W]) -> list[W]:
    return [watcher for watcher in watchers if watcher not in but]


def _ancestors(path: str) -> Iterator[str]:
    while path not in ("", "/"):
        path = parent_of(path)
        yield path
