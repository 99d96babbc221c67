"""The bodies of the replies to writes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from . import _wire
from ._changes import Applied, MultiError
from ._model import Check, Create, Delete, ErrorCode, Multi, OpCode, SetAcl, SetData, Write


def result_of(opcode: OpCode, applied: Applied) -> bytes:
    """The reply's body, alone or within a multi."""
    stat = b"" if applied.stat is None else _wire.encode_stat(applied.stat)
    match opcode:
        case OpCode.CREATE:
            return _wire.encode_text(applied.change.path)
        case OpCode.CREATE2 | OpCode.CREATE_CONTAINER:
            return _wire.encode_text(applied.change.path) + stat
    return stat


def multi_result(request: Multi, applied: Sequence[Applied]) -> bytes:
    """The reply's body to a transaction that was carried out."""
    results = []
    for write, done in zip(request.writes, applied, strict=True):
        opcode = _result_opcode(write)
        results.append(_wire.encode_multi_result(opcode, ErrorCode.OK, result_of(opcode, done)))
    return b"".join(results) + _wire.END_OF_MULTI


def failed_multi_result(request: Multi, error: MultiError) -> bytes:
    """The same where one failed: those before it read OK (rolled back), those behind it were not tried."""
    behind = len(request.writes) - error.index - 1
    rolled_back, failed, not_tried = map(_error, (ErrorCode.OK, error.code, ErrorCode.RUNTIME_INCONSISTENCY))
    return rolled_back * error.index + failed + not_tried * behind + _wire.END_OF_MULTI


def _error(code: ErrorCode) -> bytes:
    return _wire.encode_multi_result(OpCode.ERROR, code, _wire.encode_integer(code))


def _result_opcode(write: Write) -> OpCode:
    """How a multi's result is marked."""
    match write:
        case Create(opcode):
            return OpCode.CREATE2 if opcode is OpCode.CREATE_CONTAINER else opcode
        case Delete():
            return OpCode.DELETE
        case SetData():
            return OpCode.SET_DATA
        case SetAcl():
            return OpCode.SET_ACL
        case Check():
            return OpCode.CHECK
