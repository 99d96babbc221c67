"""Which answers say that ZooKeeper has touched the session: the lease rests on those, and on no others.

A server touches the session of each request that passes ``submitRequestNow`` (ZooKeeperServer.java:1262), whatever
becomes of the request then. What ``processPacket`` answers itself (ZooKeeperServer.java:1686) never gets there:

- an ``auth`` packet, accepted or refused (1720, 1732);
- a ``sasl`` packet (1831, 1846);
- any request, on a server that requires authentication and has not got it (AuthenticationHelper.java:124).
"""

from __future__ import annotations

AUTH, SASL = 100, 102
AUTH_FAILED, AUTHENTICATION_REQUIRED = -115, -124


def is_touch(opcode: int, error_code: int) -> bool:
    """Whether the answer to such a request, with such an error code (0: none), says that the session was touched."""
    return opcode not in (AUTH, SASL) and error_code not in (AUTH_FAILED, AUTHENTICATION_REQUIRED)
