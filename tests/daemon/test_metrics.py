"""The metrics: what each call counts, and the conventions that every metric keeps."""

import re
from enum import StrEnum

import pytest
from prometheus_client import Metric

from daemon.http.view import RefusalReason
from daemon.lifecycle import LifecycleState
from daemon.telemetry.metrics import Metrics
from models.scores import Abstention, RiskLevel
from streams.reasons import ClosedBy, DeadLetterReason, DropReason, UntoldReason, UtteranceOutcome
from streams.records import Modality
from streams.source_state import SourceState
from streams.telemetry import CommitOutcome, OffsetResetReason, SequenceFault, SoundFault, Telemetry

pytestmark = pytest.mark.unit

UNITS = ("seconds", "bytes", "ratio", "rows", "info", "state")
COUNTS_OF_THINGS = {
    f"affectd_{name}"
    for name in (
        "sessions_active",
        "streams_idle",
        "windows_open",
        "channel_depth",
        "source_lag_records",
        "uncommitted_records",
        "partitions_paused",
    )
}
LABELS = {
    "source",
    "modality",
    "reason",
    "state",
    "closed_by",
    "stage",
    "lane",
    "phase",
    "kind",
    "level",
    "worker",
    "outcome",
    "fault",
}
INFO_LABELS = {"version", "name", "digest", "device"}


def everything_happened() -> Metrics:
    metrics = Metrics()
    metrics.record("front", Modality.VIDEO, 1000)
    for state in SourceState:
        metrics.source_state("front", state)
    metrics.source_state("front", SourceState.RUNNING)
    metrics.reconnect("front")
    metrics.event(Modality.VIDEO)
    metrics.decoded(Modality.VIDEO, 0.004)
    for drop in DropReason:
        metrics.dropped(Modality.VIDEO, drop, 3)
    for untold in UntoldReason:
        metrics.untold(untold, 2)
    for defect in DeadLetterReason:
        metrics.dead_letter(defect)
    for refusal in RefusalReason:
        metrics.http_refused(refusal)
    metrics.late(Modality.TEXT)
    metrics.window_dropped("inference")
    for closer in ClosedBy:
        metrics.window_closed(closer)
    metrics.coverage(Modality.VIDEO, 1.0)
    metrics.coverage(Modality.TEXT, 0.0)
    metrics.channel_wait("decode", 0.01)
    metrics.batch("face", 8, 0.02)
    metrics.inference("face", "encode", 0.03)
    metrics.inference_failed("out_of_memory")
    for became in UtteranceOutcome:
        metrics.utterance(became)
    metrics.recognizer("base", "sha256:0")
    for level in RiskLevel:
        metrics.prediction(level, None)
    for abstention in Abstention:
        metrics.prediction(RiskLevel.NONE, abstention)
    metrics.delivered(0.6, 0.1)
    metrics.published(0.001)
    metrics.publish_failed()
    metrics.publish_blocked()
    metrics.lag("kafka", Modality.TEXT, 40, 2.5)
    metrics.paused(3)
    for fault in SequenceFault:
        metrics.sequence(Modality.VIDEO, fault, 4)
    for discontinuity in SoundFault:
        metrics.discontinuity(discontinuity)
    for outcome in CommitOutcome:
        metrics.commit(outcome)
    for reason in OffsetResetReason:
        metrics.offset_reset("kafka", reason)
    metrics.uncommitted(120)
    metrics.lifecycle(LifecycleState.WARMING)
    metrics.lifecycle(LifecycleState.RUNNING)
    metrics.model("default", "1", "sha256:0", "cpu")
    metrics.watch_timeline(
        watermark_lag_s=lambda: 0.5, sessions=lambda: 2, idle_streams=lambda: 1, open_windows=lambda: 8
    )
    metrics.watch_channel("decode", lambda: 4)
    metrics.watch_worker("timeline", lambda: 0.25)
    metrics.watch_device_memory("allocated", lambda: 1024)
    return metrics


@pytest.fixture(name="metrics")
def _metrics() -> Metrics:
    return everything_happened()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"affectd_{name}", labels)


def test_it_is_the_telemetry_that_the_streams_report_to(metrics: Metrics) -> None:
    telemetry: Telemetry = metrics
    telemetry.record("front", Modality.VIDEO, 500)
    assert value(metrics, "source_records_total", source="front", modality="video") == 2
    assert value(metrics, "source_bytes_total", source="front", modality="video") == 1500


def test_each_happening_is_counted_under_its_labels(metrics: Metrics) -> None:
    assert value(metrics, "source_reconnects_total", source="front") == 1
    assert value(metrics, "events_total", modality="video") == 1
    assert value(metrics, "events_dropped_total", modality="video", reason="overrun") == 3
    assert value(metrics, "participants_untold_total", reason="too_many") == 2
    assert value(metrics, "dead_letters_total", reason="oversized") == 1
    assert value(metrics, "late_events_total", modality="text") == 1
    assert value(metrics, "windows_closed_total", closed_by="watermark") == 1
    assert value(metrics, "inference_failures_total", reason="out_of_memory") == 1
    assert value(metrics, "predictions_total") == len(RiskLevel) + len(Abstention)
    assert value(metrics, "abstentions_total", reason="no_evidence") == 1
    assert value(metrics, "risk_level_total", level="low") == 1
    assert value(metrics, "publish_errors_total") == 1


def test_durations_and_shares_are_distributions_not_averages(metrics: Metrics) -> None:
    assert value(metrics, "decode_seconds_sum", modality="video") == pytest.approx(0.004)
    assert value(metrics, "window_coverage_ratio_bucket", modality="text", le="0.0") == 1
    assert value(metrics, "window_coverage_ratio_bucket", modality="video", le="0.9") == 0
    assert value(metrics, "batch_rows_bucket", lane="face", le="8.0") == 1
    assert value(metrics, "batch_wait_seconds_count", lane="face") == 1
    assert value(metrics, "inference_seconds_sum", lane="face", phase="encode") == pytest.approx(0.03)
    assert value(metrics, "channel_wait_seconds_count", stage="decode") == 1
    assert value(metrics, "end_to_end_seconds_sum") == pytest.approx(0.6)
    assert value(metrics, "processing_seconds_sum") == pytest.approx(0.1)
    assert value(metrics, "publish_seconds_count") == 1


def test_exactly_one_state_is_set_at_a_time(metrics: Metrics) -> None:
    assert value(metrics, "source_state", source="front", state="opening") == 0
    assert value(metrics, "source_state", source="front", state="running") == 1
    assert value(metrics, "lifecycle_state", state="running") == 1
    assert value(metrics, "lifecycle_state", state="warming_up") is None


def test_depths_and_ages_are_read_when_they_are_asked_for(metrics: Metrics) -> None:
    depth = [4]
    metrics.watch_channel("decode", lambda: depth[0])
    depth[0] = 7
    assert value(metrics, "channel_depth", stage="decode") == 7
    assert value(metrics, "worker_heartbeat_age_seconds", worker="timeline") == 0.25
    assert value(metrics, "sessions_active") == 2
    assert value(metrics, "device_memory_bytes", kind="allocated") == 1024


def test_how_far_a_log_is_ahead_and_what_a_crash_would_cost_is_shown(metrics: Metrics) -> None:
    assert value(metrics, "source_lag_records", source="kafka", modality="text") == 40
    assert value(metrics, "source_lag_seconds", source="kafka", modality="text") == 2.5
    assert value(metrics, "partitions_paused") == 3
    assert value(metrics, "uncommitted_records") == 120
    assert value(metrics, "commits_total", outcome="committed") == 1
    assert value(metrics, "sequence_faults_total", modality="video", fault="gap") == 4


def test_two_daemons_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.event(Modality.AUDIO)
    assert value(other, "events_total", modality="audio") is None


def test_those_who_accept_openmetrics_get_it(metrics: Metrics) -> None:
    text, plain = metrics.render("text/plain")
    opened, openmetrics = metrics.render("application/openmetrics-text;version=1.0.0")
    assert plain.startswith("text/plain")
    assert openmetrics.startswith("application/openmetrics-text")
    assert b"affectd_events_total" in text
    assert opened.endswith(b"# EOF\n")


@pytest.mark.parametrize("metric", list(everything_happened().registry.collect()), ids=lambda metric: metric.name)
def test_every_metric_has_the_prefix_a_unit_a_sentence_and_bounded_labels(metric: Metric) -> None:
    assert re.fullmatch(r"affectd_[a-z][a-z0-9_]*", metric.name)
    assert metric.documentation
    assert metric.samples, "nothing feeds it"
    if metric.type == "counter":
        assert not metric.name.endswith(UNITS[0]), "time is a histogram here"
    else:
        unit = "info" if metric.type == "info" else metric.name.rpartition("_")[2]
        assert unit in UNITS or metric.name in COUNTS_OF_THINGS
    allowed = LABELS | {"le"} | (INFO_LABELS if metric.type == "info" else set())
    assert {label for sample in metric.samples for label in sample.labels} <= allowed


@pytest.mark.parametrize(
    ("name", "label", "kinds"),
    [
        ("commits", "outcome", CommitOutcome),
        ("source_offset_resets", "reason", OffsetResetReason),
        ("events_dropped", "reason", DropReason),
        ("dead_letters", "reason", DeadLetterReason),
        ("sequence_faults", "fault", SequenceFault),
        ("sound_discontinuities", "fault", SoundFault),
        ("source_state", "state", SourceState),
        ("http_refused", "reason", RefusalReason),
        ("windows_closed", "closed_by", ClosedBy),
        ("abstentions", "reason", Abstention),
        ("risk_level", "level", RiskLevel),
    ],
)
def test_what_is_counted_by_kind_names_all_its_kinds_in_its_help(
    metrics: Metrics, name: str, label: str, kinds: type[StrEnum]
) -> None:
    (counter,) = (each for each in metrics.registry.collect() if each.name == f"affectd_{name}")
    counted = {sample.labels[label] for sample in counter.samples}
    named = set(re.split(r",? ", counter.documentation.rpartition(": ")[2]))
    assert counted == named == set(kinds)


def test_the_life_cycle_names_all_its_states_in_its_help_and_shows_the_present_one(metrics: Metrics) -> None:
    (gauge,) = (each for each in metrics.registry.collect() if each.name == "affectd_lifecycle_state")
    assert set(gauge.documentation.rpartition(": ")[2].split(", ")) == set(LifecycleState)
    assert [sample.labels["state"] for sample in gauge.samples] == [LifecycleState.RUNNING]
