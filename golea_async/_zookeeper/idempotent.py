"""Which requests may be sent again when it is not known whether they were carried out.

Those that only read, and deletes: a znode that the second one does not find is gone, which is what was asked for. What
somebody else has made at the path in between goes with it, as it would with a delete that was sent a little later.
"""

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


def may_be_repeated(request: Any) -> bool:
    """Whether it may be sent again within the session."""
    return isinstance(request, protocol.DeleteRequest) or only_reads(request)
