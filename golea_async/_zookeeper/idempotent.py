"""Which requests may be sent again when it is not known whether they were carried out: those that only read."""

from __future__ import annotations

from typing import Any

from aiozk import protocol

_READS = (
    protocol.ExistsRequest,
    protocol.GetDataRequest,
    protocol.GetChildrenRequest,
    protocol.GetChildren2Request,
    protocol.GetACLRequest,
    protocol.SyncRequest,
    protocol.CheckVersionRequest,
    protocol.CheckWatchesRequest,
    protocol.SetWatchesRequest,
)


def only_reads(request: Any) -> bool:
    """Whether it changes nothing."""
    if isinstance(request, protocol.TransactionRequest):
        return all(isinstance(part, protocol.CheckVersionRequest) for part in request.requests)
    return isinstance(request, _READS)
