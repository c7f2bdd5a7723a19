"""Sessions that come from a log: by whose time they are silent, what they hold of it, and what becomes of them."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from streams.coordinates import Coordinates, Partition
from streams.delivery.checkpoint import session_digest
from streams.delivery.ledger import Ledger, PartitionAssignment
from streams.events import Event, Line
from streams.records import MEDIA, Modality
from tests.streams.making import Stage, config, line, ns, picture, seconds, sound, span_ns

pytestmark = pytest.mark.unit

PARTITIONS = {modality: Partition(modality, 0) for modality in MEDIA}


class LogStage(Stage):
    """A stage whose events lie in the three partitions of number 0; windows are delivered when the test says so."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ledger: Ledger = self.sessions.ledger
        self.offsets = dict.fromkeys(PARTITIONS.values(), 0)
        self.assignment = self.assign()

    def assign(self, through: dict[str, int] | None = None) -> PartitionAssignment:
        emitted = {session_digest(session): index for session, index in (through or {}).items()}
        assignment = self.ledger.assigned(0, dict(self.offsets), emitted)
        self.sessions.assigned(assignment)
        return assignment

    def log(self, *events: Event, written_s: float | None = None) -> None:
        """Events as they are read of the log; written when they happened, unless said otherwise."""
        for event in events:
            partition = PARTITIONS[event.modality]
            offset = self.offsets[partition]
            self.offsets[partition] = offset + 1
            self.ledger.read(partition, [(offset, 1)])
            written_ns = event.time_ns if written_s is None else ns(written_s)
            self._took(self.sessions.add_logged(event, "kafka", Coordinates(partition, offset, written_ns)))

    def partition_idle(self, modality: Modality, for_s: float) -> None:
        self.sessions.partition_idle(PARTITIONS[modality], span_ns(for_s))
        self.tick()

    def deliver(self) -> None:
        for window in self.windows:
            if window.lease is not None:
                self.ledger.delivered(window.lease, window.index)

    def committed(self, modality: Modality) -> int:
        return self.ledger.checkpoint()[PARTITIONS[modality]].offset


@pytest.fixture
def stage() -> LogStage:
    return LogStage()


def test_while_nothing_is_known_of_a_log_the_clock_closes_no_window(stage: LogStage) -> None:
    stage.log(*(picture(at) for at in range(6)))
    before = stage.starts()
    stage.wait(60)
    assert stage.starts() == before


def test_confirmed_silence_closes_windows_as_the_clock_does_for_a_device(stage: LogStage) -> None:
    stage.log(picture(0))
    for _ in range(14):
        stage.partition_idle(Modality.VIDEO, 0.5)
    assert stage.starts()[0] == -3
    assert stage.windows[0].closed_by == "idle"
    assert stage.starts()[-1] == 0


def test_a_silent_modality_is_passed_by_the_time_of_the_log_and_not_by_the_clock(stage: LogStage) -> None:
    stage.log(line(0), *(picture(at) for at in range(12)))
    assert stage.windows == []
    stage.partition_idle(Modality.TEXT, 2.9)
    assert stage.windows == []
    stage.partition_idle(Modality.TEXT, 0.2)
    assert seconds(stage.windows[-1].end_ns) == 10


def talk(stage: LogStage, ahead: dict[int, float]) -> None:
    """A line a second for 20 s, written when it is said; those of `ahead` are stamped so much later."""
    for at in range(20):
        stage.log(line(at + ahead.get(at, 0.0), f"{at}"), written_s=at)


def lines_scored(stage: LogStage) -> set[str]:
    units = [unit for window in stage.windows for unit in window.units[Modality.TEXT]]
    return {unit.payload.text for unit in units if isinstance(unit.payload, Line)}


def test_a_line_from_a_clock_that_is_ahead_makes_no_other_late_and_waits_for_its_window(stage: LogStage) -> None:
    talk(stage, ahead={3: 50.0})
    assert stage.counts.of["missed a window", Modality.TEXT] == 0
    assert seconds(stage.windows[-1].end_ns) == 18
    stage.partition_idle(Modality.TEXT, 30)
    assert "3" not in lines_scored(stage)
    stage.partition_idle(Modality.TEXT, 30)
    assert lines_scored(stage) == {f"{at}" for at in range(20)}
    ahead = [seconds(window.start_ns) for window in stage.windows if seconds(window.end_ns) > 40]
    assert ahead == [50, 51, 52, 53]


def test_a_person_whose_clock_is_fast_takes_no_line_from_another(stage: LogStage) -> None:
    talk(stage, ahead=dict.fromkeys(range(0, 20, 2), 20.0))
    stage.partition_idle(Modality.TEXT, 60)
    assert stage.counts.of["missed a window", Modality.TEXT] == 0
    assert lines_scored(stage) == {f"{at}" for at in range(20)}


def test_a_record_ahead_of_its_time_is_held_until_its_own_windows_are_delivered(stage: LogStage) -> None:
    talk(stage, ahead={3: 50.0})
    stage.deliver()
    assert stage.committed(Modality.TEXT) == 3


def test_a_session_with_something_ahead_is_not_over_before_that(stage: LogStage) -> None:
    stage.sessions.session_timeout_ns = span_ns(5)
    stage.log(line(50), written_s=0)
    stage.partition_idle(Modality.TEXT, 20)
    stage.log(line(20), written_s=20)
    assert stage.counts.of["missed a window", Modality.TEXT] == 0
    stage.partition_idle(Modality.TEXT, 40)
    assert stage.starts() == [17, 18, 19, 20, 47, 48, 49, 50]
    stage.partition_idle(Modality.TEXT, 0.5)
    assert len(stage.sessions) == 0


def test_lateness_is_told_once_a_session_with_how_much_and_where_and_without_its_name(stage: LogStage) -> None:
    stage.log(line(10), line(20))
    with capture_logs() as logs:
        stage.log(line(12.5), line(11), line(10))
    assert logs == [
        {
            "event": "events of a session come after windows that they are in have closed; the first is told, "
            "all are counted",
            "log_level": "warning",
            "source": "kafka",
            "modality": "text",
            "behind_s": 7.0,
            "topic": "text",
            "partition": 0,
            "offset": 2,
        }
    ]


def test_a_backlog_read_in_a_moment_closes_the_windows_it_would_have_closed_live(stage: LogStage) -> None:
    """The words of another session show that text was read past those of this one."""
    for at in range(20):
        stage.log(picture(at), line(at, session="other"))
        if at == 0:
            stage.log(line(0))
    room = [seconds(window.end_ns) for window in stage.windows if window.session == "room"]
    assert room[-1] == 18


def test_a_record_is_held_until_the_windows_it_matters_to_are_delivered(stage: LogStage) -> None:
    stage.log(*(sound(at, 1) for at in range(8)))
    assert stage.starts()[-1] == 3
    assert stage.committed(Modality.AUDIO) == 0
    stage.deliver()
    assert stage.committed(Modality.AUDIO) == 4  # second 3 lies in windows up to that which starts then


def test_a_picture_is_held_as_long_as_it_may_keep_another_of_its_cell_out() -> None:
    """Cells of 0.4 s: that from 2.8 reaches into the window from 3, which has no picture of it."""
    stage = LogStage(replace(config(), sample_hz=2.5))
    stage.log(*(picture(at) for at in (2.4, 2.8, 3.1, 6.6)))
    stage.deliver()
    assert stage.starts()[-1] == 2
    assert stage.committed(Modality.VIDEO) == 1


def test_late_and_repeated_records_are_not_held(stage: LogStage) -> None:
    stage.log(*(picture(at) for at in range(0, 20, 2)))
    stage.deliver()
    held = stage.committed(Modality.VIDEO)
    stage.log(line(0))
    assert stage.counts.of["late", Modality.TEXT] == 1
    stage.log(replace(line(19), sequence=4), replace(line(19), sequence=4))
    assert stage.counts.of["repeat", Modality.TEXT] == 1
    assert stage.committed(Modality.VIDEO) == held
    assert stage.committed(Modality.TEXT) == 1


def test_a_session_that_ends_by_silence_lets_go_of_all_it_held(stage: LogStage) -> None:
    stage.log(*(picture(at) for at in range(6)))
    for _ in range(140):
        stage.partition_idle(Modality.VIDEO, 0.5)
    assert len(stage.sessions) == 0
    stage.deliver()
    assert stage.committed(Modality.VIDEO) == 6


def test_revoked_sessions_are_dropped_and_their_windows_have_no_force(stage: LogStage) -> None:
    stage.encodes = False
    stage.log(*(picture(at) for at in range(8)))
    stage.ledger.revoked([0])
    stage.sessions.revoked({0})
    assert len(stage.sessions) == 0
    assert stage.sessions.ended_sessions() == ["room"]
    stage.log(picture(9))
    assert len(stage.sessions) == 0


def test_draining_drops_sessions_of_a_log_and_closes_those_of_devices(stage: LogStage) -> None:
    stage.log(picture(0), picture(1))
    stage.live(line(0, session="desk"))
    stage.sessions.leave_logs()
    stage.drain()
    assert {window.session for window in stage.windows} == {"desk"}


def test_read_again_after_a_crash_the_same_windows_come_and_none_twice() -> None:
    events = [made for at in range(24) for made in (picture(at / 2), sound(at / 2, 0.5), line(at / 2))]
    undisturbed = LogStage()
    undisturbed.log(*events)
    before = LogStage()
    before.log(*events[:40])
    before.deliver()
    committed = before.ledger.checkpoint()
    published = before.starts()
    through = before.windows[-1].index + 1
    after = LogStage()
    after.offsets = {partition: position.offset for partition, position in committed.items()}
    after.assign({"room": through})
    seen = dict.fromkeys(Modality, 0)
    for event in events:
        if seen[event.modality] >= committed[PARTITIONS[event.modality]].offset:
            after.log(event)
        seen[event.modality] += 1
    assert published + after.starts() == undisturbed.starts()
    contents = {window.start_ns: content(window) for window in undisturbed.windows}
    assert all(content(window) == contents[window.start_ns] for window in after.windows)
    assert after.counts.of["late", Modality.TEXT] == 0


def content(window: object) -> list[tuple[int, int, float]]:
    units = window.units  # type: ignore[attr-defined]
    return [(u.start_ns, u.end_ns, u.received_fraction) for placed in units.values() for u in placed]


def test_what_is_sent_again_after_it_was_published_is_counted_and_not_held() -> None:
    stage = LogStage()
    stage.assignment = stage.assign({"room": stage.sessions.config.grid.first_open(ns(12))})
    stage.log(*(sound(at, 1) for at in range(6)), *(picture(at) for at in range(6)), line(5))
    assert stage.counts.of["already_scored", Modality.AUDIO] == 6
    assert stage.counts.of["already_scored", Modality.VIDEO] == 6
    assert stage.counts.of["already_scored", Modality.TEXT] == 1
    assert stage.counts.of["late", Modality.AUDIO] == 0
    assert stage.ledger.uncommitted == 0
    assert stage.windows == []


@pytest.mark.parametrize(
    ("happened_s", "written_s", "live"),
    [(990, 990, True), (945, 950, True), (1000, 990, True), (100, 100, False), (100, 990, False), (100, 930, False)],
    ids=["now", "half a minute ago", "ahead", "a backlog", "a replay into the log", "a backlog of a replay"],
)
def test_only_what_happens_now_tells_how_far_the_service_is_behind(
    stage: LogStage, happened_s: float, written_s: float, live: bool
) -> None:
    stage.clock.set_wall(ns(1000))
    stage.log(replace(line(happened_s), received_ns=ns(1000)), written_s=written_s)
    stage.partition_idle(Modality.TEXT, 3600)
    assert {window.live for window in stage.windows} == {live}
    assert (stage.sessions.state().watermark_lag_s == 0) is not live


def test_a_session_happens_now_once_its_backlog_is_read(stage: LogStage) -> None:
    stage.clock.set_wall(ns(1000))
    for at_s in range(100, 1000, 2):
        stage.log(replace(line(at_s, f"{at_s}"), received_ns=ns(1000)))
    assert {window.live for window in stage.windows if window.end_ns <= ns(900)} == {False}
    assert {window.live for window in stage.windows if window.end_ns > ns(960)} == {True}
    assert stage.sessions.state().watermark_lag_s == pytest.approx(2.5)


def test_an_old_event_in_between_makes_no_session_one_of_the_past(stage: LogStage) -> None:
    stage.clock.set_wall(ns(1000))
    for at_s in (995, 400, 996):
        stage.log(replace(line(at_s), received_ns=ns(1000)), written_s=1000)
    assert stage.sessions.state().watermark_lag_s > 0


def test_of_a_file_no_delay_is_told_whenever_its_time_is(stage: LogStage) -> None:
    stage.clock.set_wall(ns(0))
    stage.stored(line(0), line(10))
    assert [window.live for window in stage.windows] == [False] * len(stage.windows)
    assert stage.windows
    assert stage.sessions.state().watermark_lag_s == 0


def test_a_session_that_comes_back_while_its_last_windows_are_scored_does_not_open_them_again(stage: LogStage) -> None:
    stage.log(line(0.5))
    stage.partition_idle(Modality.TEXT, 70)
    stage.tick()
    assert stage.sessions.ended_sessions() == ["room"]
    submitted = stage.starts()
    assert submitted == [-3, -2, -1, 0]
    stage.log(line(0.7), line(80), written_s=80)  # nothing is delivered yet
    stage.partition_idle(Modality.TEXT, 70)
    assert stage.starts() == [*submitted, 77, 78, 79, 80]
    assert stage.counts.of["late", "text"] == 1
