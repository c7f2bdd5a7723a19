"""An outage is reported once, and its end once.

Both are in the log, the metrics and readiness.
"""

import io
import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from daemon.telemetry import logs
from streams.records import MEDIA
from tests.kafka.broker import Broker
from tests.kafka.conftest import Topics
from tests.kafka.in_process import configured, daemon

pytestmark = pytest.mark.kafka

AWAY_S = 12.0
PATIENCE_S = 60.0
MOST_LINES_OF_THE_CLIENT = 4  # errors and warnings, each with a count of those held back


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """Where the log goes."""
    root = logging.getLogger()
    before = root.handlers, root.level
    out = io.StringIO()
    logs.configure("info", "json", out)
    yield out
    root.handlers = before[0]
    root.setLevel(before[1])
    logging.captureWarnings(False)
    structlog.reset_defaults()


def wait(until: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.1)


def test_a_broker_that_is_away_is_two_lines_and_metrics_that_say_so(
    own_broker: Callable[..., Broker], out: io.StringIO
) -> None:
    broker = own_broker()
    topics = Topics(broker, "outage").create(partitions=2)
    with daemon(configured(topics, {"size_s": 2.0, "step_s": 1.0})) as running:

        def state(name: str) -> float:
            return running.metric("source_state", source="kafka", state=name)

        def lags() -> list[float]:
            return [running.metric("source_lag_records", source="kafka", modality=each) for each in MEDIA]

        wait(lambda: running.numbers == (0, 1) and lags() == [0, 0, 0], "all to be read")
        begun = len(out.getvalue().splitlines())
        broker.stop()
        time.sleep(AWAY_S)
        assert (state("running"), state("waiting")) == (0, 1)
        assert all(math.isnan(lag) for lag in lags())
        assert running.metric("source_lag_seconds", source="kafka", modality="text") > AWAY_S / 2
        broker.start()
        wait(lambda: state("running") == 1 and lags() == [0, 0, 0], "the source to be back")
        assert running.metric("source_reconnects_total", source="kafka") == 1
        lines: list[dict[str, Any]] = [json.loads(line) for line in out.getvalue().splitlines()[begun:]]
    ours = Counter(line["event"] for line in lines if not line["logger"].startswith("kafka"))
    assert ours["the source is interrupted"] == ours["the source is back"] == 1
    assert next(line for line in lines if line["event"] == "the source is back")["away_s"] >= AWAY_S - 1
    assert sum(count for event, count in ours.items() if "partitions" not in event and event != "lifecycle") <= 4, ours
    assert sum(line["logger"].startswith("kafka") for line in lines) <= MOST_LINES_OF_THE_CLIENT
