"""Recognition of synthesised utterances: words, times, batches, languages, inventions, and bad input."""

import difflib
import threading
from collections.abc import Callable

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.transcription.recognition import Recognition, Rejection
from models.transcription.recognizer import PreparedUtterance, Recognizer
from tests.models.recognizers import base, cut, plain, spoken, tiny, utterance
from tests.speech import noise
from tests.speech.non_speech import non_speech
from tests.speech.sentences import SENTENCES
from tests.speech.synthesis import RATE_HZ, Samples, synthesize

pytestmark = pytest.mark.unit

ENGLISH = tuple(range(0, 210, 30))


def recognized(recognizer: Recognizer, sounds: list[Samples]) -> list[Recognition]:
    return recognizer.recognize([("a session", recognizer.prepare(sound)) for sound in sounds])


def error_rate(said: list[str], read: list[Recognition]) -> float:
    return float(jiwer.wer([plain(text) for text in said], [plain(found.text) or "-" for found in read]))


def test_what_a_synthesiser_says_is_read_with_times_inside_the_utterance() -> None:
    numbers = ENGLISH
    read = recognized(tiny(), [cut(spoken("en", number)) for number in numbers])
    assert error_rate([SENTENCES["en"][number] for number in numbers], read) < 0.25
    for number, found in zip(numbers, read, strict=True):
        assert found.rejected is None
        assert found.language == "en"
        assert 0.3 < found.confidence <= 1
        times = [time for word in found.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= len(cut(spoken("en", number))) / RATE_HZ + 0.02
        assert all(word.text == word.text.strip() != "" and 0 <= word.probability <= 1 for word in found.words)


@pytest.mark.parametrize("recognizer", [tiny, base])
def test_words_begin_and_end_where_the_synthesiser_says(recognizer: Callable[[], Recognizer]) -> None:
    starts, ends = [], []
    for number in ENGLISH[:5]:
        truth = [(plain(word.text.split()[0]), word) for word in spoken("en", number).words]
        (found,) = recognized(recognizer(), [cut(spoken("en", number))])
        read = [plain(word.text) for word in found.words]
        matcher = difflib.SequenceMatcher(None, [word for word, _ in truth], read, autojunk=False)
        for block in matcher.get_matching_blocks():
            for (_, theirs), ours in zip(
                truth[block.a : block.a + block.size], found.words[block.b : block.b + block.size], strict=True
            ):
                starts.append(abs(ours.start_s - theirs.start_s))
                if " " not in theirs.text:
                    ends.append(abs(ours.end_s - theirs.end_s))
    assert len(starts) > 30
    assert np.median(starts) < 0.08
    assert np.median(ends) < 0.08


def test_a_word_before_a_pause_is_not_stretched_over_it() -> None:
    first, second = synthesize("I waited for the bus."), synthesize("Nobody came.")
    sound = np.concatenate([cut(first), np.zeros(RATE_HZ, np.float32), cut(second)])
    (found,) = recognized(tiny(), [sound])
    assert [plain(found.words[index].text) for index in (3, 5)] == ["the", "nobody"]
    before, after = found.words[4], found.words[5]
    assert before.end_s == pytest.approx(first.words[-1].end_s, abs=0.15)
    assert after.start_s == pytest.approx(len(cut(first)) / RATE_HZ + 1 + second.words[0].start_s, abs=0.15)


@settings(max_examples=4)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=5))
def test_a_row_is_what_the_row_alone_would_give(picked: list[int]) -> None:
    batch = [("a session", mixture(number)) for number in picked]
    together = tiny().recognize(batch)
    assert together == [alone(number) for number in picked]


def mixture(number: int) -> PreparedUtterance:
    """Utterances of several lengths, clean and noisy, and one that nobody says."""
    if number == 5:
        return tiny().prepare(non_speech("music", 3, 3.0))
    sound = cut(spoken("en", 7 * number))
    sound = noise.mixed(sound, noise.pink(len(sound), number), 8.0) if number % 2 else sound
    return tiny().prepare(np.tile(sound, 2) if number == 4 else sound)


_ALONE: dict[int, Recognition] = {}


def alone(number: int) -> Recognition:
    if number not in _ALONE:
        (_ALONE[number],) = tiny().recognize([("a session", mixture(number))])
    return _ALONE[number]


def test_the_same_sound_gives_the_same_words_each_time() -> None:
    one = utterance(tiny(), "en", 3)
    assert tiny().recognize([("a", one)]) == tiny().recognize([("b", one)])


@pytest.mark.parametrize("language", ["en", "de", "es", "fr"])
def test_the_language_of_a_session_is_found_and_read(language: str) -> None:
    said = [SENTENCES[language][number] for number in range(3)]
    read = base().recognize([(f"speaks {language}", utterance(base(), language, number)) for number in range(3)])
    base().forget(f"speaks {language}")
    assert read[-1].language == language
    in_it = [(letters(text), letters(found.text)) for text, found in zip(said, read, strict=True) if found.words]
    assert min(jiwer.cer(text, found) for text, found in in_it) < 0.6  # a voice of few words is hard for base


def test_chinese_is_read_in_characters_where_the_language_is_set() -> None:
    recognizer = Recognizer(base()._network, "base", base().digest, "zh")  # the synthesiser's is often taken for Thai
    read = recognizer.recognize([("a session", utterance(recognizer, "zh", number)) for number in (1, 3)])
    assert {found.language for found in read} == {"zh"}
    assert min(jiwer.cer(letters(SENTENCES["zh"][n]), letters(f.text)) for n, f in zip((1, 3), read, strict=True)) < 0.6
    words = [word for found in read for word in found.words]
    assert len(words) > 6
    assert all(" " not in found.text for found in read)


def letters(text: str) -> str:
    return plain(text).replace(" ", "") or "-"


def test_sessions_of_several_languages_are_read_in_one_call() -> None:
    mixed = [("g", utterance(base(), "de", 0)), ("e", utterance(base(), "en", 0)), ("s", utterance(base(), "es", 1))]
    together = base().recognize(mixed)
    assert [found.language for found in together] == ["de", "en", "es"]
    for session, _ in mixed:
        base().forget(session)
    assert base().recognize([mixed[0]]) == [together[0]]
    base().forget("g")


@pytest.mark.parametrize("kind", ["silence", "music", "breath", "dtmf", "babble", "siren", "white"])
def test_sound_without_words_gives_none(kind: str) -> None:
    (found,) = recognized(tiny(), [non_speech(kind, 11, 4.0)])
    assert found.words == ()
    assert found.text == ""
    assert found.confidence == 0
    assert isinstance(found.rejected, Rejection)


def test_telephone_sound_and_clipped_sound_are_read() -> None:
    numbers = ENGLISH[:4]
    clean = [cut(spoken("en", number)) for number in numbers]
    said = [SENTENCES["en"][number] for number in numbers]
    assert error_rate(said, recognized(tiny(), [noise.telephone(sound) for sound in clean])) < 0.5
    assert error_rate(said, recognized(tiny(), [noise.clipped(sound) for sound in clean])) < 0.4


@pytest.mark.parametrize(
    ("pcm", "message"),
    [
        (np.zeros((16000, 1), np.float32), r"wanted \(samples,\) float32, got \(16000, 1\) float32"),
        (np.zeros(16000, np.int16), "got .* int16"),
        (np.zeros(1599, np.float32), "wanted 0.1 to 30 s, got 0.0999"),
        (np.zeros(480_001, np.float32), "wanted 0.1 to 30 s"),
        (np.zeros(0, np.float32), "wanted 0.1 to 30 s, got 0 s"),
        (np.full(16000, np.nan, np.float32), "finite and in -1..1"),
        (np.full(16000, np.inf, np.float32), "finite and in -1..1"),
        (np.full(16000, 3000, np.float32), "the greatest is 3000"),
    ],
)
def test_sound_of_another_kind_is_refused_with_what_was_wanted(pcm: Samples, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny().prepare(pcm)


@pytest.mark.parametrize("seconds", [0.1, 30.0])
def test_the_shortest_and_the_longest_utterance_are_answered(seconds: float) -> None:
    (found,) = recognized(tiny(), [non_speech("room", 1, seconds)])
    assert found.words == ()


def test_an_empty_call_and_the_example_are_answered() -> None:
    assert tiny().recognize([]) == []
    assert tiny().recognize([("", tiny().example())])[0].words == ()


def test_utterances_are_prepared_in_any_thread() -> None:
    found = []
    sound = cut(spoken("en", 0))
    threads = [threading.Thread(target=lambda: found.append(tiny().prepare(sound))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = tiny().prepare(sound)
    assert all(np.array_equal(one.mel, expected.mel) for one in found)
    assert len(found) == 4
