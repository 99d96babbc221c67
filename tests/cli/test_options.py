"""What the options of TLS and credentials make, and what is said where ZooKeeper, or a file, does not go along."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from aiozk import exc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from golea_async import ElectionError, ElectionNotFoundError, ElectionOverError, NotAuthorizedError, TLSFiles
from golea_async.cli import app
from golea_async.cli.exits import Exit, Problem
from golea_async.cli.options import ZooKeeperOptions
from golea_async.cli.session import explained
from golea_async.client import AuthenticationError
from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A key with a passphrase."""
    key = tmp_path / "locked.pem"
    encryption = serialization.BestAvailableEncryption(b"secret")
    private, traditional = ec.generate_private_key(ec.SECP256R1()), serialization.PrivateFormat.TraditionalOpenSSL
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, traditional, encryption))
    return key


class TestTLS:
    def test_it_is_not_talked_unless_an_option_says_so(self) -> None:
        options = ZooKeeperOptions()
        assert (options.context(), options.files()) == (None, None)

    def test_a_certificate_of_ones_own(self, authority: Authority) -> None:
        """A client has a context; where there is a guardian it has the files, since that makes its own."""
        own = authority.sign("client", "client")
        options = ZooKeeperOptions(tls_ca=authority.certificate, tls_cert=own)
        context = options.client_arguments(10)["ssl"]
        assert isinstance(context, ssl.SSLContext)
        (trusted,) = context.get_ca_certs()
        assert trusted["subject"] == ((("commonName", "authority"),),)
        assert context.verify_mode is ssl.CERT_REQUIRED
        files = options.client_arguments(10, guardian=True)["ssl"]
        assert files == TLSFiles(authority.certificate, own, None)

    def test_a_key_without_a_certificate(self, authority: Authority) -> None:
        with pytest.raises(Problem, match="--tls-key needs --tls-cert") as problem:
            ZooKeeperOptions(tls_key=authority.certificate).context()
        assert problem.value.code is Exit.USAGE

    def test_a_file_without_a_certificate(self, tmp_path: Path) -> None:
        (empty := tmp_path / "empty.pem").touch()
        with pytest.raises(Problem, match=rf"--tls-ca: {empty}: no certificate or crl found"):
            ZooKeeperOptions(tls_ca=empty).context()

    def test_a_certificate_that_is_not_there(self, authority: Authority) -> None:
        options = ZooKeeperOptions(tls_ca=authority.certificate, tls_cert=Path("/no/such/file"))
        with pytest.raises(Problem, match="/no/such/file: No such file or directory"):
            options.context()

    def test_a_key_with_a_passphrase(self, authority: Authority, locked: Path) -> None:
        """Python would ask for it, in the middle of whatever the command does."""
        own = authority.sign("client", "client")
        options = ZooKeeperOptions(tls_ca=authority.certificate, tls_cert=own, tls_key=locked)
        with pytest.raises(Problem, match="the key has a passphrase: give one without") as problem:
            options.context()
        assert problem.value.code is Exit.USAGE

    def test_a_guardian_needs_a_file_of_trusted_certificates(self, monkeypatch: pytest.MonkeyPatch) -> None:
        paths = ssl.get_default_verify_paths()
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths._replace(cafile=None))  # type: ignore[arg-type]
        with pytest.raises(Problem, match="--tls-ca is needed"):
            ZooKeeperOptions(tls=True).files()


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ElectionNotFoundError("gone", resource="/a"), Exit.NOT_FOUND, "no election /a below /b. .*golea create /a"),
        (ElectionOverError("over", resource="/a"), Exit.OVER, "election /a below /b is being ended or deleted"),
        (NotAuthorizedError("no", path="/a", resource="/a"), Exit.REFUSED, "not authorized on /a below /b"),
        (AuthenticationError("digest is refused"), Exit.REFUSED, "digest is refused.\nCredentials: --auth-file"),
        (ssl.SSLCertVerificationError("unknown"), Exit.REFUSED, "See the options --tls-ca and --tls-cert"),
        (ElectionError("foreign children", resource="/a"), Exit.UNFIT, "foreign children"),
        (ValueError("a wrong path"), Exit.USAGE, "a wrong path"),
        (exc.NoAuth(), Exit.REFUSED, "ZooKeeper says: not authorized. Credentials: --auth-file"),
        (exc.NotEmpty(), Exit.UNFIT, "ZooKeeper: NotEmpty"),
    ],
)
def test_what_goes_wrong_has_words_and_an_exit_code(error: Exception, code: Exit, text: str) -> None:
    with pytest.raises(Problem, match=text) as problem, explained(" below /b"):
        raise error
    assert problem.value.code is code


@pytest.mark.parametrize("error", [ZeroDivisionError(), BrokenPipeError(), Problem("is said already")])
def test_what_is_no_answer_of_zookeeper_s_is_left_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, explained():
        raise error
    assert raised.value is error


class TestEnd:
    """How the command ends that could not go on."""

    @pytest.fixture
    def run(self, monkeypatch: pytest.MonkeyPatch) -> type[Fails]:
        monkeypatch.setattr(app, "make_app", lambda _: Fails())
        return Fails

    def test_a_bug_is_called_one(
        self, run: type[Fails], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run.error = ZeroDivisionError("by zero")
        monkeypatch.delenv("GOLEA_DEBUG", raising=False)
        assert app.run_app(["status"]) == Exit.BUG
        assert "golea: a bug in golea: ZeroDivisionError: by zero\nGOLEA_DEBUG=1 shows where" in capsys.readouterr().err
        monkeypatch.setenv("GOLEA_DEBUG", "1")
        with pytest.raises(ZeroDivisionError):
            app.run_app(["status"])

    def test_ctrl_c_before_anything_listens(self, run: type[Fails], capsys: pytest.CaptureFixture[str]) -> None:
        run.error = KeyboardInterrupt()
        assert app.run_app(["status"]) == Exit.SIGNALLED + 2
        assert capsys.readouterr().err == "golea: interrupted\n"


class Fails:
    """An app whose commands fail."""

    error: BaseException

    def __call__(self, _arguments: list[str], **_settings: object) -> None:
        raise self.error
