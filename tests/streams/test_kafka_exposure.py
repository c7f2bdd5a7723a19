"""Notes about secrets of a Kafka connection that others can read."""

from pathlib import Path

import pytest

from streams.findings import Verdict
from streams.kafka.checks import ClusterRequirements, diagnose_cluster
from streams.kafka.connection import Connection, Security
from streams.kafka.secret_exposure import exposed_secrets

pytestmark = pytest.mark.unit


def secret(folder: Path, mode: int, name: str = "password") -> str:
    file = folder / name
    file.write_text("hunter2\n", encoding="utf-8")
    file.chmod(mode)
    return str(file)


def notes(security: Security) -> dict[str, str]:
    found = list(exposed_secrets(security))
    assert all(finding.verdict is Verdict.NOTE for finding in found)
    return {finding.subject: finding.sentence for finding in found}


@pytest.mark.parametrize(
    ("mode", "done"), [(0o666, "read"), (0o644, "read"), (0o604, "read"), (0o620, "replaced"), (0o602, "replaced")]
)
def test_a_file_that_others_can_read_or_replace_is_noted_with_its_mode(tmp_path: Path, mode: int, done: str) -> None:
    file = secret(tmp_path, mode)
    security = Security("sasl_tls", mechanism="SCRAM-SHA-512", username="u", password_file=file)
    assert notes(security) == {file: f"holds a secret and can be {done} by other users (mode {mode:04o}); chmod 600"}


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_file_of_its_owner_and_group_is_not(tmp_path: Path, mode: int) -> None:
    file = secret(tmp_path, mode)
    assert notes(Security("sasl_tls", mechanism="PLAIN", username="u", password_file=file)) == {}


def test_tokens_keys_and_their_passwords_are_secrets_too(tmp_path: Path) -> None:
    token, key, password = (secret(tmp_path, 0o644, name) for name in ("token", "key", "key password"))
    assert set(notes(Security("sasl_tls", mechanism="OAUTHBEARER", token_file=token))) == {token}
    certificate = secret(tmp_path, 0o644, "certificate")
    both = Security("tls", certificate_file=certificate, key_file=key, key_password_file=password)
    assert set(notes(both)) == {key, password}
    assert set(notes(Security("tls", certificate_file=certificate))) == {certificate}


def test_credentials_of_systemd_are_looked_at_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    secret(tmp_path, 0o644)
    security = Security("sasl_tls", mechanism="PLAIN", username="u", password_file="credential:password")
    assert set(notes(security)) == {"credential:password"}


@pytest.mark.parametrize(("mechanism", "what"), [("PLAIN", "password"), ("OAUTHBEARER", "token")])
def test_a_log_in_that_gives_its_secret_away_without_tls_is_noted(mechanism: str, what: str) -> None:
    bare = Security("sasl_plaintext", mechanism=mechanism)  # type: ignore[arg-type]
    assert notes(bare) == {
        "kafka": f"log-in {mechanism} without TLS sends the {what} as it is; set protocol to sasl_tls"
    }
    assert notes(Security("sasl_plaintext", mechanism="SCRAM-SHA-512")) == {}
    assert notes(Security("sasl_tls", mechanism=mechanism)) == {}  # type: ignore[arg-type]


def test_a_file_that_is_not_there_is_left_to_whoever_reads_it() -> None:
    assert notes(Security("sasl_tls", mechanism="PLAIN", username="u", password_file="/nowhere/password")) == {}


def test_the_doctor_notes_it_though_the_cluster_is_away(tmp_path: Path) -> None:
    file = secret(tmp_path, 0o666)
    security = Security("sasl_plaintext", mechanism="PLAIN", username="u", password_file=file)
    found = list(
        diagnose_cluster(Connection(("127.0.0.1:1",), security), ClusterRequirements(inputs=("affectd.text",)))
    )
    assert [finding.subject for finding in found if finding.verdict is Verdict.NOTE] == [file, "kafka"]
    assert found[-1].verdict is Verdict.BAD
