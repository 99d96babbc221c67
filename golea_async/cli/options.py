"""The options that every command has which talks to ZooKeeper."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from golea_async import TLSFiles

from .exits import Exit, Problem

ZOOKEEPER: Group = Group("ZooKeeper", sort_key=50)

Json = Annotated[bool, Parameter(negative=(), help="Print JSON.")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), help="Do it without asking.")]


def _absolute(_type: object, path: str | None) -> None:
    if path is not None and not path.startswith("/"):
        raise ValueError(f"a path must begin with a slash: /{path}")


def _positive(_type: object, seconds: float | None) -> None:
    if seconds is not None and not seconds > 0:
        raise ValueError("it takes seconds, more than 0")


def _not_negative(_type: object, seconds: float | None) -> None:
    if seconds is not None and not seconds >= 0:
        raise ValueError("it takes seconds, from 0 on")


Seconds: Parameter = Parameter(validator=_not_negative)
Resource = Annotated[
    str, Parameter(help="Path of the election node, such as /my-service/scheduler.", validator=_absolute)
]


@Parameter(name="*", group=ZOOKEEPER)
@dataclass(frozen=True, kw_only=True)
class ZooKeeperOptions:
    """Where ZooKeeper is, and how to talk to it."""

    hosts: Annotated[str, Parameter(env_var="GOLEA_HOSTS", help="host:port,host:port,... (127.0.0.1:2181)")] = (
        "127.0.0.1:2181"
    )
    chroot: Annotated[
        str | None, Parameter(env_var="GOLEA_CHROOT", help="All paths are below this one.", validator=_absolute)
    ] = None
    session_timeout: Annotated[
        float | None,
        Parameter(env_var="GOLEA_SESSION_TIMEOUT", help="Session timeout to ask for, in seconds.", validator=_positive),
    ] = None
    timeout: Annotated[
        float | None,
        Parameter(
            env_var="GOLEA_TIMEOUT",
            help="Seconds to try to reach ZooKeeper (10), 0: for ever.",
            validator=_not_negative,
        ),
    ] = None
    auth: Annotated[
        tuple[str, ...],
        Parameter(
            env_var="GOLEA_AUTH",
            env_var_split=lambda _type, value, **_: value.split(","),
            negative=(),
            help="SCHEME:CREDENTIAL, such as digest:user:password. On a command line others of this machine can read "
            "it: better in the environment, or in a file.",
        ),
    ] = ()
    auth_file: Annotated[
        Path | None, Parameter(env_var="GOLEA_AUTH_FILE", help="A file with such credentials, one a line.")
    ] = None
    tls: Annotated[
        bool, Parameter(env_var="GOLEA_TLS", negative=(), help="Talk with TLS; implied by the following.")
    ] = False
    tls_ca: Annotated[
        Path | None, Parameter(env_var="GOLEA_TLS_CA", help="Trusted certificates (PEM); else the system's.")
    ] = None
    tls_cert: Annotated[Path | None, Parameter(env_var="GOLEA_TLS_CERT", help="Own certificate (PEM).")] = None
    tls_key: Annotated[
        Path | None, Parameter(env_var="GOLEA_TLS_KEY", help="Its key (PEM), when it is in another file.")
    ] = None

    @property
    def where(self) -> str:
        """What to add to an election's path in a message: below which chroot it is."""
        return f" below the chroot {self.chroot}" if self.chroot not in (None, "/") else ""

    def credentials(self) -> list[tuple[str, str]]:
        """Return (scheme, credential) pairs. No error repeats a credential.

        :raises Problem: one cannot be read.
        """
        lines: Sequence[str] = self.auth
        if self.auth_file is not None:
            try:
                lines = [*lines, *self.auth_file.read_text().splitlines()]
            except (OSError, UnicodeDecodeError) as error:
                raise Problem(f"--auth-file: {_why(error, self.auth_file)}", Exit.USAGE) from None
        pairs = [line.strip().partition(":") for line in lines if line.strip()]
        if any(not (scheme and credential) for scheme, _, credential in pairs):
            raise Problem("--auth, GOLEA_AUTH: write SCHEME:CREDENTIAL, such as digest:user:password", Exit.USAGE)
        return [(scheme, credential) for scheme, _, credential in pairs]

    def context(self) -> ssl.SSLContext | None:
        """Return the context for TLS, if it is to be talked.

        :raises Problem: a file cannot be used.
        """
        if not (self.tls or self.tls_ca or self.tls_cert or self.tls_key):
            return None
        if self.tls_key and not self.tls_cert:
            raise Problem("--tls-key needs --tls-cert", Exit.USAGE)
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
        except OSError as error:
            raise Problem(f"--tls-ca: {_why(error, self.tls_ca)}", Exit.USAGE) from None
        if self.tls_cert is not None:
            try:
                context.load_cert_chain(self.tls_cert, self.tls_key, _passphrase)
            except (OSError, ValueError) as error:
                raise Problem(f"--tls-cert, --tls-key: {_why(error, self.tls_cert)}", Exit.USAGE) from None
        return context

    def files(self) -> TLSFiles | None:
        """Return the same for a guardian, which makes a context of its own.

        :raises Problem: there are no trusted certificates.
        """
        if self.context() is None:
            return None
        trusted = self.tls_ca or ssl.get_default_verify_paths().cafile
        if trusted is None:
            raise Problem("--tls-ca is needed: this system has no file of trusted certificates", Exit.USAGE)
        return TLSFiles(trusted, self.tls_cert, self.tls_key)

    def client_arguments(self, session_timeout: float, *, guardian: bool = False) -> dict[str, Any]:
        """Return what ``ZKClient`` takes."""
        return {
            "servers": self.hosts,
            "chroot": self.chroot,
            "session_timeout": session_timeout if self.session_timeout is None else self.session_timeout,
            "auth": self.credentials(),
            "ssl": self.files() if guardian else self.context(),
            "guardian": guardian,
        }


def _passphrase() -> str:
    raise ValueError("the key has a passphrase: give one without")


def _why(error: Exception, file: Path | None) -> str:
    """Say what is wrong with a file: of TLS's words only those that are for people."""
    reason = getattr(error, "reason", None)  # such as NO_CERTIFICATE_OR_CRL_FOUND
    words = reason.replace("_", " ").lower() if reason else getattr(error, "strerror", None) or str(error)
    return f"{file}: {words}"
