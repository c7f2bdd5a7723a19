"""Logs: one JSON object per line for machines, a line for people, and never what was said."""

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from daemon.runtime import process
from daemon.telemetry import logs
from streams.sources.base import SourceError

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_json_lines_carry_the_fields_the_level_the_time_and_the_thread() -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    structlog.get_logger("streams.sources").info("source opened", source="front")
    entry = json.loads(out.getvalue())
    assert entry["event"] == "source opened"
    assert (entry["source"], entry["level"], entry["logger"]) == ("front", "info", "streams.sources")
    assert entry["thread_name"] == "MainThread"
    assert entry["timestamp"].endswith("Z")


def test_loggers_of_other_packages_are_written_in_the_same_form() -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    logging.getLogger("elsewhere").warning("%d frames lost", 3)
    entry = json.loads(out.getvalue())
    assert (entry["event"], entry["level"], entry["logger"]) == ("3 frames lost", "warning", "elsewhere")


def test_an_exception_is_part_of_its_entry() -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    try:
        raise SourceError("camera gone")
    except SourceError:
        structlog.get_logger("x").exception("source broke")
    told = json.loads(out.getvalue())["exception"]
    assert "SourceError: camera gone" in told
    assert "test_logs.py" in told


@pytest.mark.parametrize("form", ["json", "human"])
def test_an_exception_shows_the_way_to_it_and_neither_values_nor_the_words_of_others(form: str) -> None:
    def fails(said: str) -> None:
        try:
            raise ValueError(f"cannot read {said}")
        except ValueError as error:
            raise SourceError("no text") from error

    out = io.StringIO()
    logs.configure("info", form, out)  # type: ignore[arg-type]
    for log in (structlog.get_logger("ours"), logging.getLogger("elsewhere")):
        try:
            fails("my secret")
        except SourceError as error:
            log.exception("failed")
            log.error("failed", exc_info=error)
    structlog.get_logger("ours").error("failed", error=ValueError("my secret"))
    assert "my secret" not in out.getvalue()
    assert "in fails" in out.getvalue()
    assert "ValueError" in out.getvalue()
    assert "SourceError: no text" in out.getvalue()


@pytest.mark.parametrize("form", ["json", "human"])
def test_no_address_is_logged_with_its_password(form: str) -> None:
    out = io.StringIO()
    logs.configure("info", form, out)  # type: ignore[arg-type]
    structlog.get_logger("ours").info(
        "rtsp://me:s3cr/et@w0rd@host/1 is away", error=SourceError("http://s3cr@host: no")
    )
    logging.getLogger("elsewhere").warning("cannot open '%s'", "rtsp://me:s3cr@host/1")
    assert "s3cr" not in out.getvalue()
    assert "w0rd" not in out.getvalue()
    assert "rtsp://...@host/1" in out.getvalue()


def test_what_ends_a_thread_is_logged_like_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    out = io.StringIO()
    logs.configure("info", "json", out)
    process.log_uncaught()
    thread = threading.Thread(target=lambda: int("what was said"), name="worker")
    thread.start()
    thread.join()
    entry = json.loads(out.getvalue())
    assert (entry["thread"], entry["level"]) == ("worker", "error")
    assert "ValueError" in entry["exception"]
    assert "what was said" not in out.getvalue()


def test_what_is_below_the_level_is_left_out() -> None:
    out = io.StringIO()
    logs.configure("warning", "json", out)
    structlog.get_logger("x").info("quiet")
    logging.getLogger("y").info("quiet")
    assert out.getvalue() == ""


def test_auto_is_json_where_nobody_looks_and_human_is_one_readable_line() -> None:
    out = io.StringIO()
    logs.configure("info", "auto", out)
    structlog.get_logger("x").info("first")
    logs.configure("info", "human", out)
    structlog.get_logger("x").info("second", source="front")
    first, second = out.getvalue().splitlines()
    assert json.loads(first)["event"] == "first"
    assert "second" in second
    assert "source=front" in second


@pytest.mark.parametrize("key", sorted(logs.PAYLOAD_KEYS))
@pytest.mark.parametrize("form", ["json", "human"])
def test_payload_never_reaches_the_log(key: str, form: str) -> None:
    out = io.StringIO()
    logs.configure("info", form, out)  # type: ignore[arg-type]
    structlog.get_logger("x").info("chat line refused", **{key: "what was said"})
    logging.getLogger("y").info("chat line refused", extra={key: "what was said"})
    assert "what was said" not in out.getvalue()
    assert "(removed)" in out.getvalue()


def entries(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def at(moment_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the logging package reads this time."""
    monkeypatch.setattr(logging.time, "time", lambda: moment_s)  # type: ignore[attr-defined]
    monkeypatch.setattr(logging.time, "time_ns", lambda: round(moment_s * 1e9))  # type: ignore[attr-defined]


def test_a_flood_of_warnings_of_one_kind_is_a_few_lines_and_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    at(1000.0, monkeypatch)
    for number in range(1000):
        structlog.get_logger("x").warning("a record is set aside", reason="corrupt", why=f"byte {number}")
    structlog.get_logger("x").warning("a record is set aside", reason="oversized")
    assert [entry["reason"] for entry in entries(out)] == ["corrupt"] * 5 + ["oversized"]
    at(1031.0, monkeypatch)
    structlog.get_logger("x").info("anything else")
    *_, counted, other = entries(out)
    assert (counted["reason"], counted["repeated"]) == ("corrupt", 995)
    assert other["event"] == "anything else"


def test_warnings_that_come_now_and_then_and_what_is_no_warning_are_all_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    for number in range(20):
        at(1000.0 + 10 * number, monkeypatch)
        structlog.get_logger("x").warning("a sink is blocked")
    for _ in range(20):
        structlog.get_logger("x").info("lifecycle")
    assert len(entries(out)) == 40
    assert not any("repeated" in entry for entry in entries(out))


def test_other_packages_cannot_flood_either(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    at(1000.0, monkeypatch)
    for number in range(50):
        logging.getLogger("client.net").warning("node %d is not ready", number)
    at(1031.0, monkeypatch)
    logging.getLogger("client.net").warning("node %d is not ready", 50)
    assert [entry["event"] for entry in entries(out)[5:]] == [
        "node 49 is not ready (the last of 45 held back)",
        "node 50 is not ready",
    ]


def test_all_that_the_kafka_client_says_of_one_level_is_one_line_and_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    at(1000.0, monkeypatch)
    for number in range(50):
        logging.getLogger("kafka.net.connection").error("connection %d is lost", number)
        logging.getLogger("kafka.cluster").error("no metadata, attempt %d", number)
        logging.getLogger("kafka.coordinator").warning("the coordinator is dead")
    assert [entry["event"] for entry in entries(out)] == ["connection 0 is lost", "the coordinator is dead"]
    at(1031.0, monkeypatch)
    logging.getLogger("daemon").info("lifecycle")
    assert [entry["event"] for entry in entries(out)[2:]] == [
        "no metadata, attempt 49 (the last of 99 held back)",
        "the coordinator is dead (the last of 49 held back)",
        "lifecycle",
    ]
