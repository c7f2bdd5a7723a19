"""From sound to words in windows, and windows that wait for the words said in them."""

import pytest

from streams.alignment.closed_window import ClosedWindow
from streams.clock import NS_PER_S
from streams.events import EncodingUnit, Task
from streams.reasons import ClosedBy
from streams.records import Modality
from streams.speech.session_speech import SOUND_REACH_NS, SpeechConfig
from tests.streams.making import config, line, picture, seconds, sound
from tests.streams.speaking import CONFIDENCE, SpeechStage, said, spoken

pytestmark = pytest.mark.unit

PATIENT = SpeechConfig()
HASTY = SpeechConfig(max_delay_ns=2 * NS_PER_S)


def stage(
    speech: SpeechConfig = PATIENT, slow: tuple[Task, ...] = (), bound_s: float = 0, grace_s: float = 0
) -> SpeechStage:
    return SpeechStage(config(size_s=4, step_s=2, bound_s=bound_s, speech=speech, grace_s=grace_s), slow=slow)


def window_at(on: SpeechStage, start_s: float) -> ClosedWindow:
    (found,) = [window for window in on.windows if seconds(window.start_ns) == start_s]
    return found


def utterances(on: SpeechStage) -> list[EncodingUnit]:
    return [unit for unit in on.units if unit.task is Task.TRANSCRIBE]


def test_a_window_has_the_words_that_are_said_in_it() -> None:
    on = stage()
    on.stored(*spoken((3.0, 5.0), until_s=10))
    on.end()
    assert [(start, len(words)) for start, words in on.words()] == [(-2, 0), (0, 2), (2, 4), (4, 2), (6, 0), (8, 0)]
    assert on.words()[2][1] == ["3.0", "3.5", "4.0", "4.5"]


def test_a_word_weighs_its_share_of_the_confidence_in_its_utterance() -> None:
    on = stage()
    on.stored(*spoken((3.0, 5.0), until_s=10))
    on.end()
    shares = [unit.share for unit in window_at(on, 2).units[Modality.TEXT]]
    assert shares == [CONFIDENCE / 4] * 4
    assert len({unit.result for unit in window_at(on, 2).units[Modality.TEXT]}) == 1


def test_words_stand_beside_lines_of_chat_in_the_order_of_time() -> None:
    on = stage()
    events = [*spoken((3.0, 4.0), until_s=10), line(3.2, "typed")]
    on.stored(*sorted(events, key=lambda event: event.time_ns))
    on.end()
    times = [seconds(unit.start_ns) for unit in window_at(on, 2).units[Modality.TEXT]]
    assert times == sorted(times)
    assert len(times) == 3
    assert said(window_at(on, 2).units[Modality.TEXT]) == ["3.0", "3.5"]


def test_a_window_does_not_close_without_the_words_said_in_it() -> None:
    on = stage(slow=(Task.TRANSCRIBE,))
    on.stored(*spoken((3.0, 5.0), until_s=20))
    assert on.starts() == [-2]
    on.answer()
    assert on.starts() == [-2, 0, 2, 4, 6, 8, 10, 12, 14]
    assert window_at(on, 2).transcribed_fraction == 1
    assert window_at(on, 8).transcribed_fraction is None


@pytest.mark.parametrize("slow", [Task.DETECT_VOICE, Task.ENCODE])
def test_a_window_waits_for_every_step_of_the_way_to_its_words(slow: Task) -> None:
    on = stage(slow=(slow,))
    on.stored(*spoken((3.0, 5.0), until_s=20))
    assert 2 not in on.starts()
    while on.waiting:
        on.answer()
    assert len(said(window_at(on, 2).units[Modality.TEXT])) == 4


def test_speech_that_goes_on_holds_the_windows_it_is_in_and_no_others() -> None:
    on = stage()
    on.stored(*spoken((5.0, 30.0), until_s=9))
    assert on.starts() == [-2, 0]


def test_speech_that_goes_on_for_long_gives_words_while_it_does() -> None:
    on = stage()
    on.stored(*spoken((0.0, 60.0), until_s=40))
    assert max(on.starts()) >= 40 - 4 - 2 - SOUND_REACH_NS / NS_PER_S
    assert all(words for _, words in on.words()[1:])
    on.end()
    texts = [text for unit in utterances(on) for text in unit.order[2:]]
    assert len(texts) == len(utterances(on)) >= 4


def test_silence_holds_nothing_for_long() -> None:
    on = stage()
    on.stored(*spoken(until_s=10))
    assert on.starts() == [-2, 0, 2, 4]
    assert utterances(on) == []


def test_without_sound_nothing_waits() -> None:
    on = stage()
    on.stored(*(picture(at / 5) for at in range(51)))
    assert on.starts() == [-2, 0, 2, 4, 6]


def test_speech_ends_where_sound_ends_though_the_session_goes_on() -> None:
    on = stage()
    talk = spoken((3.0, 5.0), until_s=5)
    on.stored(*sorted([*talk, *(picture(at / 5) for at in range(80))], key=lambda e: e.time_ns))
    on.live()
    assert len(utterances(on)) == 0  # the sound may go on
    on.promise(Modality.AUDIO, 15)
    assert len(utterances(on)) == 1
    assert len(said(window_at(on, 2).units[Modality.TEXT])) == 4


def test_a_window_of_now_closes_without_words_that_take_too_long_and_says_so() -> None:
    on = stage(HASTY, slow=(Task.TRANSCRIBE,))
    for at in range(80):  # the window ends at 6 s, and waits for two seconds
        on.clock.advance(0.1)
        on.live(*spoken((3.0, 5.0), until_s=10)[at : at + 1])
        on.tick()
    assert 2 not in on.starts()
    on.clock.advance(0.2)
    on.tick()
    assert window_at(on, 2).transcribed_fraction == 0
    assert said(window_at(on, 2).units[Modality.TEXT]) == []
    on.answer()
    assert on.counts.of["late", "text"] == 2


def test_a_stored_session_waits_for_words_for_ever() -> None:
    on = stage(HASTY, slow=(Task.TRANSCRIBE,))
    on.stored(*spoken((3.0, 5.0), until_s=20))
    on.wait(100)
    assert on.starts() == [-2]
    on.answer()
    assert len(said(window_at(on, 2).units[Modality.TEXT])) == 4


@pytest.mark.parametrize("speech", [PATIENT, HASTY])
def test_an_utterance_may_expire_where_it_happens_now_and_windows_may_close_without_it(speech: SpeechConfig) -> None:
    on, stored = stage(speech), stage(speech)
    on.live(*spoken((3.0, 5.0), until_s=10))
    stored.stored(*spoken((3.0, 5.0), until_s=10))
    assert [unit.may_expire for unit in utterances(on)] == [speech is HASTY]
    assert [unit.may_expire for unit in utterances(stored)] == [False]


def test_what_closed_a_window_is_what_came_first_though_its_words_come_later() -> None:
    on = stage(slow=(Task.TRANSCRIBE,))
    on.stored(*spoken((3.0, 5.0), until_s=8.1))
    on.end()
    on.answer()
    assert {seconds(w.start_ns): w.closed_by for w in on.windows} == {
        -2: ClosedBy.WATERMARK,
        0: ClosedBy.WATERMARK,
        2: ClosedBy.WATERMARK,
        4: ClosedBy.WATERMARK,
        6: ClosedBy.END,
        8: ClosedBy.END,
    }


def test_a_session_ends_when_its_last_words_are_known() -> None:
    on = stage(slow=(Task.TRANSCRIBE,))
    on.stored(*spoken((3.0, 5.0), until_s=5))
    on.end()
    on.tick()
    assert on.sessions.ended_sessions() == []
    assert 2 not in on.starts()
    on.answer()
    on.tick()
    assert on.sessions.ended_sessions() == ["room"]
    assert len(said(window_at(on, 2).units[Modality.TEXT])) == 4


def test_a_drain_waits_for_words_too() -> None:
    on = stage(slow=(Task.TRANSCRIBE,))
    on.stored(*spoken((3.0, 5.0), until_s=5))
    on.drain()
    assert 2 not in on.starts()
    on.answer()
    assert len(said(window_at(on, 2).units[Modality.TEXT])) == 4
    assert window_at(on, 2).closed_by is ClosedBy.DRAIN


def test_a_session_that_goes_on_after_its_end_closes_what_waits_and_hears_on() -> None:
    on = stage(slow=(Task.TRANSCRIBE,))
    talk = spoken((3.0, 5.0), (21.0, 22.0), until_s=30)
    on.stored(*talk[:50])
    on.end()
    on.stored(*talk[200:])
    assert window_at(on, 2).transcribed_fraction == 0
    on.answer()
    on.end()
    on.answer()
    assert said(window_at(on, 20).units[Modality.TEXT]) == ["21.0", "21.5"]


def test_an_utterance_without_words_holds_no_window_and_counts_as_transcribed() -> None:
    on = stage(slow=(Task.TRANSCRIBE,))
    on.stored(*spoken((3.0, 5.0), until_s=20))
    (unit,) = on.waiting
    unit.finish()
    unit.result = None  # dropped
    on.sessions.finish(unit)
    on.take()
    assert window_at(on, 2).transcribed_fraction == 0
    assert window_at(on, 2).units[Modality.TEXT] == ()


def test_words_within_grace_revise_the_window() -> None:
    on = stage(HASTY, slow=(Task.TRANSCRIBE,), grace_s=30)
    for at in range(120):
        on.clock.advance(0.1)
        on.live(*spoken((3.0, 5.0), until_s=12)[at : at + 1])
        on.tick()
    assert [w.revision for w in on.windows if seconds(w.start_ns) == 2] == [0]
    on.answer()
    last = [w for w in on.windows if seconds(w.start_ns) == 2][-1]
    assert last.revision > 0
    assert len(said(last.units[Modality.TEXT])) == 4


def test_late_sound_changes_no_utterance() -> None:
    on = stage()
    on.stored(*spoken((3.0, 5.0), until_s=10))
    before = len(on.units)
    on.stored(sound(3.5, 0.1, level=0.9))
    assert [unit for unit in on.units[before:] if unit.task is not Task.ENCODE] == []


def test_where_speech_is_not_transcribed_sound_makes_nothing_but_segments() -> None:
    on = SpeechStage(config(size_s=4, step_s=2, bound_s=0))
    on.stored(*spoken((3.0, 5.0), until_s=10))
    assert {unit.task for unit in on.units} == {Task.ENCODE}


def test_no_sound_is_kept_beyond_its_utterance() -> None:
    on = stage()
    on.stored(*spoken((3.0, 5.0), until_s=60))
    (timeline,) = on.sessions._live.values()
    assert timeline.speech is not None
    (nobodys,) = timeline.speech._speech.values()
    assert len(nobodys._sounds._sounds) <= 10
