"""The people of a session: who names them, that they do not compete or mix, and who is left out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from streams.decoding.decode import Limits, decode_record
from streams.events import EncodingUnit, Event, SoundPieces, Task
from streams.participants import (
    NamedBy,
    Participant,
    ParticipantRules,
    are_channel_names,
    is_participant_name,
    merged,
)
from streams.reasons import BadRecord, DeadLetterReason, UntoldReason
from streams.records import Modality, Record
from streams.sources.stored.chat_script import read_script
from streams.speech.session_speech import SpeechConfig
from streams.telemetry import NullTelemetry
from tests.streams.making import Counts, Stage, config, line, ns, picture, seconds, sound, span_ns
from tests.streams.speaking import SpeechStage, said, spoken

pytestmark = pytest.mark.unit

VIDEO, AUDIO, TEXT = Modality.VIDEO, Modality.AUDIO, Modality.TEXT
ANN = Participant("ann", NamedBy.HEADER)
BEN = Participant("ben", NamedBy.HEADER)
AGENT, CUSTOMER = (Participant(name, NamedBy.CHANNEL, name) for name in ("agent", "customer"))
PCM = np.arange(1600, dtype="<i2")


class Untold(Counts):
    """Counts who is not told apart, too."""

    def untold(self, reason: UntoldReason, count: int = 1) -> None:
        self.of["untold", reason] += count


def stage(**rules: object) -> Stage:
    settings = replace(config(), participants=ParticipantRules(**rules))  # type: ignore[arg-type]
    return Stage(settings, counts=Untold())


def of(participant: Participant | None, event: Event) -> Event:
    return replace(event, participant=participant)


def stereo(at_s: float, for_s: float = 1.0, channels: tuple[str, ...] = ("agent", "customer")) -> Event:
    """Sound whose first channel is at 0.1, its second at 0.2."""
    made = sound(at_s, for_s)
    samples = np.stack([np.full(round(for_s * 16_000), level, np.float32) for level in (0.1, 0.2)], axis=1)
    return replace(made, payload=replace(made.payload, samples=samples), channels=channels)  # type: ignore[arg-type]


def whose(units: list[EncodingUnit]) -> list[tuple[str, str | None, float]]:
    """Of each unit: modality, participant, and when it starts."""
    named = [(u.modality.value, u.participant.id if u.participant else None, seconds(u.start_ns)) for u in units]
    return sorted(named, key=str)


def levels(unit: EncodingUnit) -> set[float]:
    assert isinstance(unit.payload, SoundPieces)
    return {round(float(piece.samples.max()), 3) for _, piece in unit.payload.pieces}


def record(modality: Modality, kind: str, payload: bytes, **named: object) -> Record:
    return Record("room", modality, kind, payload, ns(0), ns(0), **named)  # type: ignore[arg-type]


def json_line(**fields: object) -> Record:
    return record(TEXT, "application/json", json.dumps({"text": "hi", **fields}).encode())


def pcm(count: int, **named: object) -> Record:
    return record(AUDIO, f"audio/L16;channels={count}", PCM.tobytes(), **named)


@pytest.mark.parametrize(
    ("sent", "participant"),
    [
        (json_line(), None),
        (json_line(author="ann"), Participant("ann", NamedBy.AUTHOR)),
        (json_line(author="Ann K.", participant="u-17"), Participant("u-17", NamedBy.AUTHOR)),
        (replace(json_line(author="ann"), participant=BEN), BEN),
        (pcm(1), None),
        (pcm(1, participant=ANN), ANN),
        (pcm(1, channels=("agent",)), AGENT),
        (pcm(2, channels=("agent",)), AGENT),
        (pcm(1, participant=ANN, channels=("agent",)), replace(ANN, role="agent")),
        (pcm(2, participant=ANN, channels=("agent", "customer")), ANN),
    ],
)
def test_the_surest_name_of_a_record_counts(sent: Record, participant: Participant | None) -> None:
    event = decode_record(sent, Limits(), live=False)
    assert (event.participant, event.channels) == (participant, ())


def test_several_names_of_channels_are_left_to_the_timeline() -> None:
    event = decode_record(pcm(2, channels=("agent", "customer")), Limits(), live=False)
    assert (event.participant, event.channels) == (None, ("agent", "customer"))


@pytest.mark.parametrize("name", ["", " ", "x" * 257, "x" * 1000, "tab\t", "line\n", "\x00", "\u200b", "\u202eevil"])
@pytest.mark.parametrize("field", ["author", "participant"])
def test_a_line_whose_author_cannot_be_named_is_refused_and_the_field_is_told(field: str, name: str) -> None:
    assert not is_participant_name(name)
    with pytest.raises(BadRecord, match=f"^{field}: a participant's name has 1 to 256") as refused:
        decode_record(json_line(**{field: name}), Limits(), live=False)
    assert refused.value.reason is DeadLetterReason.INVALID_PARTICIPANT


@pytest.mark.parametrize("name", ["ann", "x" * 256, "Ann O'Neil", "安　妮", "می‌نا", "👩‍👩‍👧", "a\u00a0b", "ann,ben"])
def test_names_of_all_scripts_and_emoji_are_names(name: str) -> None:
    assert is_participant_name(name)
    event = decode_record(json_line(author=name), Limits(), live=False)
    assert event.participant == Participant(name, NamedBy.AUTHOR)


def test_names_of_channels_are_different_names_without_a_comma() -> None:
    assert are_channel_names(("agent", "customer"))
    assert not any(are_channel_names(names) for names in [(), ("a", "a"), ("a,b",), ("",), tuple("abc" * 30)])


def test_a_bad_author_in_a_chat_file_is_told_by_file_line_and_key_and_the_rest_is_read(tmp_path: Path) -> None:
    chat = tmp_path / "room.chat.jsonl"
    lines = [{"text": "a", "author": "ann"}, {"text": "b", "author": "x" * 1000}, {"text": "c", "participant": "u"}]
    chat.write_text("".join(json.dumps({"at_s": at, **each}) + "\n" for at, each in enumerate(lines)))
    with capture_logs() as logs:
        read = read_script(chat, NullTelemetry())
    assert [json.loads(found.payload)["text"] for found in read] == ["a", "c"]
    [told] = logs
    assert told["at"] == f"{chat}:2"
    assert told["reason"] == "invalid_participant"
    assert told["error"].startswith("author: ")


def test_who_is_named_twice_is_one_person_named_by_the_surest_with_the_first_role() -> None:
    twice = [Participant("ann", NamedBy.CHANNEL, "customer"), Participant("ann", NamedBy.AUTHOR)]
    assert merged(twice) == merged(twice[::-1]) == Participant("ann", NamedBy.AUTHOR, "customer")


def test_each_channel_with_a_name_is_a_stream_of_its_own() -> None:
    on = stage()
    on.stored(*(stereo(at) for at in range(3)))
    on.end()
    assert whose(on.units) == [("audio", name, at) for name in ("agent", "customer") for at in (0.0, 1.0, 2.0)]
    assert {unit.participant: levels(unit) for unit in on.units} == {AGENT: {0.1}, CUSTOMER: {0.2}}
    assert len(on.windows[0].units[AUDIO]) % 2 == 0
    assert on.counts.of["event", AUDIO] == 3


def test_sound_of_another_number_of_channels_than_names_is_mixed_and_counted() -> None:
    on = stage()
    on.stored(
        stereo(0, channels=("agent", "customer", "other")), replace(sound(1, 1.0), channels=("agent", "customer"))
    )
    on.end()
    assert whose(on.units) == [("audio", None, 0.0), ("audio", None, 1.0)]
    assert on.counts.of["untold", "channels"] == 2


def test_pictures_of_different_people_do_not_compete_for_a_place_in_the_sample() -> None:
    on = stage()
    on.stored(*(of(whom, picture(at / 10)) for at in range(10) for whom in (ANN, BEN)))
    on.end()
    assert len(on.units) == 10
    assert on.counts.of["sampled_out", VIDEO] == 10


def test_people_whose_records_have_one_time_and_one_number_are_not_each_others_repeats() -> None:
    on = stage()
    on.stored(*(replace(of(whom, sound(at, 1.0)), sequence=at) for at in range(3) for whom in (ANN, BEN)))
    on.stored(replace(of(ANN, sound(2, 1.0)), sequence=2))
    on.end()
    assert len(on.units) == 6
    assert on.counts.of["repeat", AUDIO] == 1


def test_lines_of_authors_are_numbered_together_by_whoever_wrote_them_down() -> None:
    on = stage()
    names = [Participant(name, NamedBy.AUTHOR) for name in ("ann", "ben")]
    on.stored(*(replace(of(names[at % 2], line(at)), sequence=at) for at in range(4)))
    on.stored(replace(of(names[0], line(2)), sequence=2))
    assert on.counts.of["repeat", TEXT] == 1


def test_only_who_is_to_be_scored_becomes_units_and_all_others_are_counted() -> None:
    on = stage(score=frozenset({"customer"}), roles={"ben": "customer"})
    on.stored(stereo(0), of(ANN, line(0.1)), of(BEN, line(0.2)), line(0.3), of(ANN, picture(0.4)), sound(1, 1.0))
    on.end()
    assert whose(on.units) == [("audio", "customer", 0.0), ("text", "ben", 0.2)]
    assert {unit.participant.role for unit in on.units if unit.participant} == {"customer"}
    assert {key[1]: count for key, count in on.counts.of.items() if key[0] == "masked"} == {AUDIO: 2, TEXT: 2, VIDEO: 1}


def test_a_window_with_nobody_to_score_is_none_and_time_goes_on() -> None:
    on = stage(score=frozenset({"customer"}))
    on.stored(*(of(ANN, line(at)) for at in range(20)))
    assert on.windows == []
    on.stored(*(of(CUSTOMER, line(at)) for at in range(20, 30)))
    assert on.starts()[0] == 17


def test_a_role_is_the_configured_one_and_else_the_channels_name() -> None:
    on = stage(roles={"agent": "staff"})
    on.stored(stereo(0), of(ANN, line(0)))
    on.end()
    named = {unit.participant.id: unit.participant.role for unit in on.units if unit.participant}
    assert named == {"agent": "staff", "customer": "customer", "ann": None}


def test_who_has_left_is_not_kept() -> None:
    on = stage()
    for at in range(300):
        on.stored(of(Participant(f"guest {at}", NamedBy.HEADER), sound(at, 1.0)), picture(at))
        on.stored(replace(of(Participant(f"guest {at}", NamedBy.HEADER), picture(at + 0.5)), sequence=at))
    (timeline,) = on.sessions._live.values()
    assert len(timeline.streams._assemblers) < 40
    assert len(timeline.streams._sequences) < 40


def speech(**rules: object) -> SpeechStage:
    made = replace(config(size_s=4, step_s=2, bound_s=0), speech=SpeechConfig())
    return SpeechStage(replace(made, participants=ParticipantRules(**rules)))  # type: ignore[arg-type]


def test_people_who_speak_at_once_are_understood_each_by_themselves() -> None:
    on = speech()
    ann = [of(ANN, event) for event in spoken((3.0, 5.0), until_s=12)]
    ben = [of(BEN, event) for event in spoken((4.0, 6.0), until_s=12)]
    on.stored(*(event for both in zip(ann, ben, strict=True) for event in both))
    on.end()
    words = {
        name: sorted({word for w in on.windows for word in said(u for u in w.units[TEXT] if u.participant == whom)})
        for name, whom in (("ann", ANN), ("ben", BEN))
    }
    assert words == {"ann": ["3.0", "3.5", "4.0", "4.5"], "ben": ["4.0", "4.5", "5.0", "5.5"]}
    assert {unit.task for unit in on.units if unit.participant is None} == set()


def test_windows_wait_for_the_words_of_everybody() -> None:
    on = speech()
    on.slow = (Task.TRANSCRIBE,)
    on.stored(*(of(whom, event) for event in spoken((1.0, 2.0), until_s=20) for whom in (ANN, BEN)))
    assert max(on.starts(), default=-9) < -1
    assert len(on.waiting) == 2
    on.answer()
    assert max(on.starts()) > 0


def test_speech_of_who_is_not_to_be_scored_is_not_transcribed() -> None:
    on = speech(score=frozenset({"ann"}))
    on.stored(*(of(whom, event) for event in spoken((1.0, 2.0), until_s=20) for whom in (ANN, BEN, None)))
    on.end()
    assert {unit.participant for unit in on.units} == {ANN}


def test_speech_of_who_has_left_is_not_kept() -> None:
    on = speech()
    for number in range(20):
        guest = Participant(f"guest {number}", NamedBy.HEADER)
        begin = number * 10.0
        there = [event for event in spoken((begin, begin + 1), until_s=begin + 5) if event.time_ns >= ns(begin)]
        on.stored(*(of(guest, event) for event in there))
    (timeline,) = on.sessions._live.values()
    assert timeline.speech is not None
    assert len(timeline.speech._speech) <= 3


def test_whoever_comes_late_to_a_session_takes_no_time_back() -> None:
    """Sound of before what was looked at belongs to nobody's utterance, whoever it is of."""
    on = speech()
    on.stored(*(of(ANN, event) for event in spoken((1.0, 2.0), until_s=60)))
    before = len(on.units)
    on.stored(of(BEN, sound(3, 1.0)))
    assert on.counts.of["late", AUDIO] == 1
    assert len(on.units) == before


def test_a_stream_is_named_by_its_session_and_its_participant() -> None:
    on = stage()
    on.stored(of(ANN, line(0)), line(1))
    assert {unit.stream for unit in on.units} == {"room\0ann", "room"}
    assert span_ns(1) == 10**9
