"""Options of a Kafka connection, and errors of its files."""

import logging
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.kafka.connection import Connection, ConnectionProblem, Security
from streams.kafka.token_file import TokenFile
from tests.kafka.certificates import make_certificates

pytestmark = pytest.mark.unit

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return to


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command makes the certificates")
    folder = tmp_path_factory.mktemp("tls")
    make_certificates(folder, "127.0.0.1")
    encrypt = ("openssl", "pkcs8", "-topk8", "-in", "client.key", "-out", "encrypted.key", "-passout", "pass:hunter2")
    subprocess.run(encrypt, cwd=folder, check=True, capture_output=True)
    (folder / "right").write_text("hunter2\n", encoding="utf-8")
    (folder / "wrong").write_text("hunter3\n", encoding="utf-8")
    return folder


@pytest.fixture
def kafka_log() -> Iterator[logging.Logger]:
    log = logging.getLogger("kafka")
    before = log.level
    yield log
    log.setLevel(before)


def with_password(file: str) -> Connection:
    return Connection(("a:1",), Security("sasl_plaintext", mechanism="PLAIN", username="u", password_file=file))


def test_without_security_a_connection_is_its_servers() -> None:
    options = Connection(("a:1", "b:2")).options()
    assert options == {"bootstrap_servers": ["a:1", "b:2"], "client_id": "affectd", "security_protocol": "PLAINTEXT"}


def test_a_password_is_what_its_file_holds_when_a_client_is_made(write: Write) -> None:
    connection = with_password(write("password", " first \n"))
    assert connection.options()["sasl_plain_password"] == " first "
    write("password", "second")
    assert connection.options()["sasl_plain_password"] == "second"


def test_a_password_shows_in_nothing_that_prints_the_options(write: Write) -> None:
    connection = with_password(write("password", "hunter2"))
    options = connection.options()
    assert "hunter2" not in f"{options} {connection} {connection.security}"
    assert options["sasl_plain_password"].encode() == b"hunter2"


def test_a_token_is_read_again_whenever_one_is_needed(write: Write) -> None:
    security = Security("sasl_plaintext", mechanism="OAUTHBEARER", token_file=write("token", "one\n"))
    provider = Connection(("a:1",), security).options()["sasl_oauth_token_provider"]
    assert isinstance(provider, TokenFile)
    write("token", "two\n")
    assert provider.token() == "two"


def test_a_credential_is_a_file_of_the_folder_that_systemd_names(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("kafka-password", "hunter2\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert with_password("credential:kafka-password").options()["sasl_plain_password"] == "hunter2"


def test_a_credential_outside_a_unit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConnectionProblem, match=r"credential:x cannot be read: there are no credentials here"):
        with_password("credential:x").options()


def test_a_secret_that_is_missing_empty_or_no_text_is_refused_by_its_file(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ConnectionProblem, match=r"/absent cannot be read: No such file or directory"):
        with_password(f"{tmp_path}/absent").options()
    with pytest.raises(ConnectionProblem, match=r"/empty is empty"):
        with_password(write("empty", "\n")).options()
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(ConnectionProblem, match=r"/binary is not UTF-8 text \(byte 0\)"):
        with_password(f"{tmp_path}/binary").options()


def test_tls_checks_the_cluster_and_its_name(certificates: Path) -> None:
    context = Connection(("a:1",), Security("tls", ca_file=f"{certificates}/ca.pem")).options()["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    (authority,) = context.get_ca_certs()
    assert authority["subject"] == ((("commonName", "affectd-test-ca"),),)


def test_without_a_file_the_authorities_of_the_system_are_trusted() -> None:
    context = Connection(("a:1",), Security("tls")).options()["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_the_key_of_a_certificate_may_lie_beside_it_in_it_or_be_encrypted(certificates: Path, tmp_path: Path) -> None:
    beside = Security("tls", certificate_file=f"{certificates}/client.pem", key_file=f"{certificates}/client.key")
    both = tmp_path / "both.pem"
    both.write_bytes((certificates / "client.pem").read_bytes() + (certificates / "client.key").read_bytes())
    encrypted = Security(
        "tls",
        certificate_file=f"{certificates}/client.pem",
        key_file=f"{certificates}/encrypted.key",
        key_password_file=f"{certificates}/right",
    )
    for security in (beside, Security("tls", certificate_file=str(both)), encrypted):
        assert "ssl_context" in Connection(("a:1",), security).options()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"certificate_file": "client.pem", "key_file": "stranger.key"}, r"stranger\.key is not the key of .*client"),
        ({"certificate_file": "client.pem", "key_file": "encrypted.key"}, r"encrypted\.key .* password is .* missing"),
        (
            {"certificate_file": "client.pem", "key_file": "encrypted.key", "key_password_file": "wrong"},
            r"encrypted\.key cannot be used: its password is wrong or missing \(key_password_file\)",
        ),
        ({"certificate_file": "client.pem"}, r"client\.pem cannot be used: one of them is no PEM"),
        ({"certificate_file": "client.pem", "key_file": "absent"}, r"absent cannot be read: No such file"),
        ({"certificate_file": "right", "key_file": "client.key"}, r"right with the key .* one of them is no PEM"),
        ({"ca_file": "client.key"}, r"client\.key holds no certificates of authorities \(PEM\)"),
        ({"ca_file": "absent"}, r"absent cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_tls_cannot_use_is_named(certificates: Path, files: dict[str, str], message: str) -> None:
    paths = {key: f"{certificates}/{name}" for key, name in files.items()}
    security = Security("tls", **paths)  # type: ignore[arg-type]  # none of the keys is a mechanism
    with pytest.raises(ConnectionProblem, match=message) as raised:
        Connection(("a:1",), security).options()
    assert "hunter" not in str(raised.value)


def test_the_client_library_never_logs_its_requests_whole(kafka_log: logging.Logger) -> None:
    kafka_log.setLevel(logging.DEBUG)
    Connection(("a:1",)).options()
    assert not kafka_log.isEnabledFor(logging.DEBUG)


def test_a_quieter_log_of_the_client_library_stays_as_quiet(kafka_log: logging.Logger) -> None:
    kafka_log.setLevel(logging.ERROR)
    Connection(("a:1",)).options()
    assert kafka_log.level == logging.ERROR
