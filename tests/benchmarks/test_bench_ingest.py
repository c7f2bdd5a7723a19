"""`affectd bench ingest` in small, on a real broker: its figures have one form, and it leaves nothing behind."""

import json
from collections.abc import Iterator

import pytest

from daemon.bench import bench
from daemon.bench.measure import Effort, Figure
from daemon.cli.main import main
from daemon.exit_codes import ExitCode
from streams.kafka.connection import Connection
from tests.kafka.broker import Cluster
from tests.kafka.conftest import broker

__all__ = ["broker"]
pytestmark = pytest.mark.kafka

_FRAMES, _LINES, _SESSIONS = 20, 500, 5
_TINY = Effort(scored_rounds=1, sessions=_SESSIONS, frames=_FRAMES, lines=_LINES, live_s=3)


@pytest.fixture(scope="module")
def figures(broker: Cluster) -> Iterator[dict[str, Figure]]:
    """Every figure by its name."""
    yield {str(figure["figure"]): figure for figure in bench(("ingest",), _TINY, Connection((broker.bootstrap,)))}
    with broker.admin() as admin:
        assert not [name for name in admin.list_topics() if name.startswith("affectd-bench")]


def test_every_figure_is_a_flat_json_object(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        assert json.loads(json.dumps(figure)) == figure
        assert {"bench", "figure", "value", "unit"} <= figure.keys()
        assert not any(isinstance(value, dict | list) for value in figure.values())
        assert ("ratio" in figure) == ("against" in figure)


def test_frames_and_chat_are_held_against_a_bare_poll_loop_over_the_same_records(figures: dict[str, Figure]) -> None:
    for name, count in (("frames of 75 KB", _FRAMES), ("chat of 200 bytes", _LINES)):
        figure = figures[f"{name}, into the timeline"]
        assert figure["against"] == "a bare poll loop"
        assert figure["records"] == count
        assert float(str(figure["ratio"])) > 0


def test_of_sessions_as_they_happen_lag_delay_and_cpu_are_told(figures: dict[str, Figure]) -> None:
    told = {name.removeprefix("as it happens, "): figure for name, figure in figures.items() if "as it" in name}
    assert {figure["sessions"] for figure in told.values()} == {_SESSIONS}
    assert told.keys() == {
        "taken",
        "CPU",
        "lag p50",
        "lag at most",
        "processing_seconds p50",
        "processing_seconds p99",
        "line written to taken p50",
        "line written to taken p99",
    }
    assert all(float(str(figure["value"])) > 0 for name, figure in told.items() if not name.startswith("lag"))


def test_without_a_kafka_it_says_which_one_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AFFECTD_TEST_KAFKA", raising=False)
    assert main(["bench", "ingest"]) == ExitCode.UNAVAILABLE
    heard = capsys.readouterr()
    assert "AFFECTD_TEST_KAFKA" in heard.err
    assert heard.out == ""


def test_a_kafka_that_cannot_be_reached_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "ingest", "--bootstrap-servers", "127.0.0.1:1"]) == ExitCode.UNAVAILABLE
    assert "127.0.0.1:1 cannot be reached" in capsys.readouterr().err
