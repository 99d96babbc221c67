"""The files of which a TLS context is made, where a context itself cannot be handed over."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from .guardian_talk import tls_context


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """The files from which client and guardian each make a TLS context: a context itself cannot be handed over.

    :ivar ca: certificates of the authorities that sign the servers' certificates (PEM).
    :ivar certificate: the client's own certificate, with its chain (PEM), where servers ask for one.
    :ivar key: the private key of that, without a passphrase (PEM); None: it is in the same file.
    """

    ca: str | os.PathLike[str]
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None

    def context(self) -> ssl.SSLContext:
        """Return a context made of the files.

        :raises OSError: when a file cannot be read or used.
        :raises ValueError: when the key has a passphrase.
        """
        context: ssl.SSLContext = tls_context(*self.absolute())
        return context

    def absolute(self) -> tuple[str, str | None, str | None]:
        """Return the paths as another process can use them: of ``ca``, ``certificate`` and ``key``."""
        paths = (self.certificate, self.key)
        certificate, key = (None if path is None else str(Path(path).absolute()) for path in paths)
        return str(Path(self.ca).absolute()), certificate, key
