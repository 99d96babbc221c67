"""What goes wrong on the way between clients and an in-memory ZooKeeper. Pure: which frames wait, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from ._model import OpCode


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """While this is in force, frames of these connections wait. None stands for every session, or every server."""

    session_id: int | None = None
    server: int | None = None
    requests: bool = True
    replies: bool = True

    def covers(self, session_id: int, server: int) -> bool:
        return self.session_id in (None, session_id) and self.server in (None, server)


@dataclass(frozen=True, slots=True, eq=False)
class Delay:
    """While this is in force, replies and watch events take so many seconds longer."""

    seconds: float
    session_id: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LostReply:
    """The next such request is carried out; instead of its reply, the client gets the end of its connection."""

    opcodes: frozenset[OpCode]
    session_id: int | None = None

    def covers(self, opcode: OpCode, session_id: int) -> bool:
        return opcode in self.opcodes and self.session_id in (None, session_id)


@dataclass(frozen=True, slots=True, eq=False)
class Throttled:
    """The next such request is not carried out; its answer is THROTTLEDOP."""

    opcodes: frozenset[OpCode]
    session_id: int | None = None

    def covers(self, opcode: int, session_id: int) -> bool:
        return opcode in self.opcodes and self.session_id in (None, session_id)


Fault: TypeAlias = Hold | Delay | LostReply | Throttled


class Faults:
    """All that is in force at the moment."""

    def __init__(self) -> None:
        self._active: list[Fault] = []

    def begin(self, fault: Fault) -> None:
        if fault not in self._active:
            self._active.append(fault)

    def end(self, fault: Fault) -> None:
        """Nothing happens if it is over already."""
        if fault in self._active:
            self._active.remove(fault)

    def holds_requests(self, session_id: int, server: int) -> bool:
        return any(hold.requests and hold.covers(session_id, server) for hold in self._holds())

    def holds_replies(self, session_id: int, server: int) -> bool:
        return any(hold.replies and hold.covers(session_id, server) for hold in self._holds())

    def delay(self, session_id: int) -> float:
        """In seconds: what all delays of this session add up to."""
        delays = (fault for fault in self._active if isinstance(fault, Delay))
        return sum(delay.seconds for delay in delays if delay.session_id in (None, session_id))

    def take_lost_reply(self, opcode: OpCode, session_id: int) -> bool:
        """Whether this reply gets lost; each such fault happens once."""
        for fault in self._active:
            if isinstance(fault, LostReply) and fault.covers(opcode, session_id):
                self._active.remove(fault)
                return True
        return False

    def take_throttled(self, opcode: int, session_id: int) -> bool:
        """Whether this request is not carried out; each such fault happens once."""
        for fault in self._active:
            if isinstance(fault, Throttled) and fault.covers(opcode, session_id):
                self._active.remove(fault)
                return True
        return False

    def _holds(self) -> Iterator[Hold]:
        return (fault for fault in self._active if isinstance(fault, Hold))
