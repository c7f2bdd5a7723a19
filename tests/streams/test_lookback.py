"""Windows that look back: when they are ready, what is late, and what a session that comes back is given again."""

from dataclasses import replace

import pytest

from streams.alignment.closed_window import ClosedWindow
from streams.delivery.ledger import PartitionAssignment
from streams.records import MEDIA, Modality
from tests.streams.making import Stage, config, line, ns, picture, sound, span_ns, starts_of
from tests.streams.test_log_sessions import PARTITIONS, LogStage

pytestmark = pytest.mark.unit

LOOKING = config(lookback_s=3)
"""Windows of 4 s that start every second."""

TEXT, VIDEO, AUDIO = Modality.TEXT, Modality.VIDEO, Modality.AUDIO


def log_stage(published_through_s: float | None = None, grace_s: float = 0) -> LogStage:
    """A log's session; windows that start before `published_through_s` were published before."""
    stage = LogStage(config(lookback_s=3, grace_s=grace_s))
    if published_through_s is not None:
        stage.assignment = restored(stage, published_through_s)
    return stage


def restored(stage: LogStage, through_s: float) -> PartitionAssignment:
    return stage.assign({"room": ns(through_s) // stage.config.grid.step_ns})


def of(stage: Stage, start_s: float) -> ClosedWindow:
    """The last revision of a window."""
    return [window for window in stage.windows if window.start_ns == ns(start_s)][-1]


def test_a_window_comes_with_what_lies_in_the_windows_before() -> None:
    stage = Stage(LOOKING)
    stage.stored(*(line(at) for at in range(12)))
    window = of(stage, 6)
    assert starts_of(window.units[TEXT]) == [6, 7, 8, 9]
    assert starts_of(window.lookback[TEXT]) == [3, 4, 5]
    assert [starts_of(units[TEXT]) for units in window.preceding(3, stage.config.grid.step_ns)] == [
        [3, 4, 5, 6],
        [4, 5, 6, 7],
        [5, 6, 7, 8],
    ]


def test_sound_that_lasts_is_looked_back_on_where_it_lies_whole_in_a_window() -> None:
    stage = Stage(config(size_s=2.5, step_s=0.5, lookback_s=1))
    stage.stored(*(sound(at, 1) for at in range(10)))
    [one, half] = of(stage, 3.5).preceding(2, stage.config.grid.step_ns)
    assert (starts_of(one[AUDIO]), starts_of(half[AUDIO])) == ([3, 4], [3, 4])
    assert starts_of(of(stage, 3.5).units[AUDIO]) == [4, 5]
    assert starts_of(of(stage, 3.5).lookback[AUDIO]) == [3]


def test_a_window_waits_until_what_it_looks_back_on_is_encoded_too() -> None:
    """As after a session came back: nobody waited for the windows before."""
    stage = log_stage(published_through_s=6)
    stage.encodes = False
    stage.log(*(line(at) for at in range(3, 13)))
    for unit in stage.units:
        unit.done = unit.start_ns >= ns(6)
    stage.take()
    assert stage.windows == []
    for unit in stage.units:
        unit.done = True
    stage.take()
    assert stage.starts() == [6, 7]


def test_what_only_closed_windows_contain_is_late_though_others_look_back_on_it() -> None:
    stage = Stage(LOOKING)
    stage.stored(*(picture(at) for at in range(13)), line(7))
    assert stage.counts.of["late", TEXT] == 1
    stage.end()
    assert all(not window.lookback[TEXT] and not window.units[TEXT] for window in stage.windows)


def test_within_grace_windows_that_look_back_on_a_late_event_are_revised_too() -> None:
    stage = Stage(config(lookback_s=2, grace_s=4))
    stage.stored(*(picture(at) for at in range(12)))
    assert stage.starts()[-1] == 6
    stage.stored(line(4))
    revised = [window for window in stage.windows if window.revision == 1]
    assert [window.start_ns for window in revised] == [ns(at) for at in (3, 4, 5, 6)]
    assert [starts_of(window.units[TEXT]) for window in revised] == [[4], [4], [], []]
    assert [starts_of(window.lookback[TEXT]) for window in revised] == [[], [], [4], [4]]


def test_a_window_with_nothing_in_it_is_not_revised_for_what_it_looks_back_on() -> None:
    stage = Stage(config(lookback_s=8, grace_s=20))
    stage.stored(picture(0), picture(20))
    stage.stored(line(2))
    assert {window.start_ns for window in stage.windows if window.revision == 1} == {ns(at) for at in (-1, 0)}
    assert max(stage.starts()) == 2


def test_a_record_is_held_for_as_long_as_a_window_may_look_back_on_it() -> None:
    stage = log_stage()
    stage.log(*(line(at) for at in range(13)))
    assert stage.starts()[-1] == 7
    stage.deliver()
    assert stage.committed(TEXT) == 5  # the window from 8 looks back to 5


def test_a_session_that_comes_back_is_given_what_its_first_window_looks_back_on_and_publishes_nothing_twice() -> None:
    events = [made for at in range(14) for made in (picture(at), sound(at, 1), line(at))]
    undisturbed, before = log_stage(), log_stage()
    undisturbed.log(*events)
    before.log(*events[:30])
    before.deliver()
    committed = before.ledger.checkpoint()
    after = log_stage()
    after.offsets = {partition: position.offset for partition, position in committed.items()}
    after.assignment = restored(after, before.starts()[-1] + 1)
    seen = dict.fromkeys(Modality, 0)
    for event in events:
        if seen[event.modality] >= committed[PARTITIONS[event.modality]].offset:
            after.log(event)
        seen[event.modality] += 1
    assert before.starts() + after.starts() == undisturbed.starts()
    for window in after.windows:
        expected = next(each for each in undisturbed.windows if each.index == window.index)
        for modality in MEDIA:
            assert starts_of(window.units[modality]) == starts_of(expected.units[modality])
            assert starts_of(window.lookback[modality]) == starts_of(expected.lookback[modality])
    assert sum(after.counts.of["window", by] for by in ("watermark", "idle")) == len(after.windows)
    assert after.counts.of["late", TEXT] == after.counts.of["missed a window", TEXT] == 0


def test_what_was_too_late_to_be_looked_back_on_is_so_again_when_the_session_comes_back() -> None:
    """The windows before the first are rebuilt in their time: the line of second 4 comes when they are closed."""
    events = [*(picture(at) for at in range(3, 9)), line(3), *(picture(at) for at in range(9, 14))]
    undisturbed, after = log_stage(), log_stage(published_through_s=6)
    undisturbed.log(*events)
    after.log(*events)
    assert undisturbed.counts.of["late", TEXT] == 1
    assert after.counts.of["late", TEXT] == 0
    assert after.counts.of["already_scored", TEXT] == 1
    assert after.starts() == [start for start in undisturbed.starts() if start >= 6]
    assert not any(window.lookback[TEXT] for window in after.windows)


def test_what_lies_before_all_that_is_looked_back_on_is_counted_and_not_held() -> None:
    stage = log_stage(published_through_s=6)
    stage.log(*(line(at) for at in range(6)))
    assert stage.counts.of["already_scored", TEXT] == 3
    assert stage.ledger.checkpoint()[PARTITIONS[TEXT]].offset == 3


def test_a_session_of_a_device_that_comes_back_takes_nothing_of_before() -> None:
    stage = Stage(LOOKING, timeout_s=5)
    stage.live(*(line(at) for at in range(6)))
    stage.wait(12)
    assert len(stage.sessions) == 0
    stage.live(line(4), line(9))
    stage.wait(12)
    assert stage.counts.of["late", TEXT] == 1
    assert of(stage, 9).lookback[TEXT] == ()


def test_a_repeated_record_of_what_is_looked_back_on_is_left_out_again() -> None:
    stage = log_stage(published_through_s=6)
    stage.log(replace(line(4), sequence=4), replace(line(4), sequence=4), *(line(at) for at in range(5, 12)))
    assert stage.counts.of["repeat", TEXT] == 1
    assert starts_of(of(stage, 6).lookback[TEXT]) == [4, 5]


@pytest.mark.parametrize("lookback_s", [-1, 0.5])
def test_a_lookback_is_whole_steps(lookback_s: float) -> None:
    with pytest.raises(ValueError, match="whole steps"):
        config(lookback_s=lookback_s)
    assert config(lookback_s=2).lookback_windows == 2
    assert config(lookback_s=2).lookback_ns == span_ns(2)
