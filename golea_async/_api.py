"""What `golea_async` offers: all of it is imported from there."""

from aiozk import ACL

from ._candidates import Candidate
from .admin import (
    create_election,
    delete_election,
    depose,
    end_election,
    get_leader,
    list_candidates,
    observe_leader,
    transfer_leadership,
)
from .client import Guardian, TLSFiles, ZKClient
from .election import AsyncElection
from .exceptions import (
    CandidateDeletedError,
    ElectionError,
    ElectionNotFoundError,
    ElectionOverError,
    HandedOverError,
    LeadershipLostError,
    LeaseExpiredError,
    NotAuthorizedError,
    NotStandingError,
    ResignError,
    SessionExpiredError,
    TransferError,
)
from .leadership import Leadership
from .report import ElectionReport, LeadershipLoss, Reason, RoleChange
from .status import Role, Status
from .transaction import Transaction

__all__ = [
    "ACL",
    "AsyncElection",
    "Candidate",
    "CandidateDeletedError",
    "ElectionError",
    "ElectionNotFoundError",
    "ElectionOverError",
    "ElectionReport",
    "Guardian",
    "HandedOverError",
    "Leadership",
    "LeadershipLoss",
    "LeadershipLostError",
    "LeaseExpiredError",
    "NotAuthorizedError",
    "NotStandingError",
    "Reason",
    "ResignError",
    "Role",
    "RoleChange",
    "SessionExpiredError",
    "Status",
    "TLSFiles",
    "Transaction",
    "TransferError",
    "ZKClient",
    "create_election",
    "delete_election",
    "depose",
    "end_election",
    "get_leader",
    "list_candidates",
    "observe_leader",
    "transfer_leadership",
]
