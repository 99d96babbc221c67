"""What the guardian says to a server: it takes up the session of a dead program, and closes it.

On the standard library alone, as the guardian's process is: :mod:`golea_async._zookeeper.guardian_process`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time

TYPE_CHECKING = False  # as `typing` has it, without its weight
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

_LENGTH = struct.Struct("!i")
# A server matches a commit with a request by (session, number) alone: a write of the program's may still be under way.
_NUMBERS, _CLOSE, _AUTH_XID, _AUTH, _AUTH_REQUIRED = 2**31, -11, -4, 100, -124


def addresses(servers: list[tuple[str, int, str]]) -> Iterator[tuple[int, Any, str]]:
    """Yield each server's addresses, none twice; a name is looked up when all before it have been tried."""
    seen = set()
    for name, port, hostname in servers:
        with contextlib.suppress(OSError, UnicodeError):
            for family, _, _, _, address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM):
                if address not in seen:
                    seen.add(address)
                    yield family, address, hostname


def ask_to_close(session: dict[str, Any], family: int, address: Any, hostname: str, limit: float) -> bool:
    """Ask one server; return whether asking others is of no use.

    :raises TimeoutError: it was asked, and has not answered in time.
    :raises OSError: it was not asked, or refuses.
    """
    deadline = time.monotonic() + limit
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(limit)
        try:
            connection.connect(address)
            if session["tls"] is not None:  # with TLS where the program talked with TLS, and never without
                connection = session["context"].wrap_socket(connection, server_hostname=hostname)  # noqa: PLW2901
        except TimeoutError:
            raise ConnectionError from None
        with connection:
            talk, answer = conversation(session), None
            while True:
                try:
                    request = talk.send(answer)
                except StopIteration as done:
                    return bool(done.value)
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                connection.sendall(request)
                (length,) = _LENGTH.unpack(read_exactly(connection, 4, deadline))
                answer = read_exactly(connection, length, deadline)


def conversation(session: dict[str, Any]) -> Generator[bytes, Any, bool]:
    """Take up a session and close it: yield what is to be sent, each time for one frame of the server's.

    :returns: whether other servers would answer the same.
    """
    password = bytes.fromhex(session["password"])
    number = session["number"] = session.get("number", _NUMBERS) - 1  # another one for each server that is asked
    # Protocol 0, last zxid 0 (any server will do), 1 ms, the session, not read-only.
    reply = yield framed(struct.pack("!iqiqi", 0, 0, 1, session["session"], len(password)) + password + b"\0")
    if struct.unpack_from("!i", reply, 4)[0] <= 0:
        return True  # the session is over
    requests = b""
    for scheme, credential in session["auth"]:  # with enforced authentication a server takes nothing else before them
        secret, kind = bytes.fromhex(credential), scheme.encode()
        head = struct.pack("!iiii", _AUTH_XID, _AUTH, 0, len(kind)) + kind
        requests += framed(head + struct.pack("!i", len(secret)) + secret)
    requests += framed(struct.pack("!ii", number, _CLOSE))
    while True:
        xid, _, error = struct.unpack_from("!iqi", (yield requests))
        if xid == number:
            return error in (0, _AUTH_REQUIRED)
        if xid == _AUTH_XID and error:
            return True
        requests = b""


def framed(content: bytes) -> bytes:
    """Return a frame of the wire protocol."""
    return _LENGTH.pack(len(content)) + content


def read_exactly(connection: socket.socket, length: int, deadline: float) -> bytes:
    """Read so many bytes.

    :raises OSError: they do not come in time.
    :raises EOFError: they do not come at all.
    """
    content = b""
    while len(content) < length:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(length - len(content))
        if not part:
            raise EOFError
        content += part
    return content


def tls_context(ca: str, certificate: str | None, key: str | None) -> Any:
    """Return an ``ssl.SSLContext`` made of files.

    :raises OSError: when a file cannot be read or used.
    :raises ValueError: when the key has a passphrase.
    """
    import ssl  # noqa: PLC0415  # 4 MB, which only TLS needs

    def passphrase() -> str:
        raise ValueError(f"the key in {key or certificate} has a passphrase: give one without")

    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        context.load_cert_chain(certificate, key, passphrase)
    return context
