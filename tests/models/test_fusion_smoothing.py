"""Smoothed answers keep to what was named, and follow what is plain or lasts."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.fusion.smoothing import KEEP_ODDS, Smoothing
from models.labels import EMOTIONS

pytestmark = pytest.mark.property

_MANY = 12
_SIZES = st.sampled_from([(4.0, 1.0), (4.0, 0.5), (2.0, 0.5), (4.0, 4.0), (10.0, 2.0)])
smoothings = _SIZES.map(lambda size_step: Smoothing(*size_step))
labels = st.integers(0, len(EMOTIONS) - 1)
answers = st.lists(st.floats(-300, 300), min_size=len(EMOTIONS), max_size=len(EMOTIONS)).map(
    lambda row: torch.tensor(row, dtype=torch.float64).log_softmax(dim=-1)
)
windows = st.tuples(answers, st.booleans())
rows_of_windows = st.integers(1, 6).flatmap(
    lambda count: st.lists(st.lists(windows, min_size=count, max_size=count), min_size=1, max_size=4)
)
probabilities = st.floats(0.3, 0.8)
"""Of the best label; a window that is surer may overturn all before it, and should."""

Rows = list[list[tuple[torch.Tensor, bool]]]


def tensors(rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    answer = torch.stack([torch.stack([answer for answer, _ in row]) for row in rows])
    return answer, torch.tensor([[evident for _, evident in row] for row in rows])


def saying(label: int, probability: float) -> torch.Tensor:
    """An answer that is so sure of one label, and of no other more than the rest."""
    answer = torch.full((len(EMOTIONS),), (1 - probability) / (len(EMOTIONS) - 1), dtype=torch.float64)
    answer[label] = probability
    return answer.log()


def smoothed_label(smoothing: Smoothing, *answers: torch.Tensor) -> int:
    stream = torch.stack(answers)[None]
    return int(smoothing.smooth(stream, torch.ones(stream.shape[:2], dtype=torch.bool)).argmax())


@given(smoothings, rows_of_windows)
def test_smoothed_answers_are_finite_and_sum_to_one(smoothing: Smoothing, rows: Rows) -> None:
    smoothed = smoothing.smooth(*tensors(rows))
    assert smoothed.shape == (len(rows), len(EMOTIONS))
    assert smoothed.dtype == torch.float64
    assert smoothed.isfinite().all()
    assert (smoothed >= 0).all()
    assert smoothed.sum(dim=-1).tolist() == pytest.approx([1.0] * len(rows))


@given(smoothings, rows_of_windows)
def test_a_row_in_a_batch_is_the_row_alone(smoothing: Smoothing, rows: Rows) -> None:
    together = smoothing.smooth(*tensors(rows))
    for i, row in enumerate(rows):
        assert together[i : i + 1].equal(smoothing.smooth(*tensors([row])))


@given(smoothings, answers)
def test_one_window_is_answered_as_it_is(smoothing: Smoothing, answer: torch.Tensor) -> None:
    assert torch.allclose(smoothing.smooth(*tensors([[(answer, True)]]))[0], answer.exp(), rtol=0, atol=1e-12)


@given(smoothings, answers, st.integers(1, 6), answers)
def test_windows_without_evidence_say_nothing_whatever_stands_in_them(
    smoothing: Smoothing, answer: torch.Tensor, count: int, anything: torch.Tensor
) -> None:
    smoothed = smoothing.smooth(*tensors([[(anything, False)] * count + [(answer, True)]]))
    assert torch.allclose(smoothed[0], answer.exp(), rtol=0, atol=1e-12)
    flat = smoothing.smooth(*tensors([[(anything, False)] * count]))
    assert flat[0].tolist() == pytest.approx([1 / len(EMOTIONS)] * len(EMOTIONS))


@given(smoothings, labels, st.lists(st.floats(0.2, 0.999), min_size=1, max_size=_MANY))
def test_a_label_that_every_window_gives_is_kept(smoothing: Smoothing, label: int, sure: list[float]) -> None:
    assert smoothed_label(smoothing, *(saying(label, probability) for probability in sure)) == label


@given(st.sampled_from([(4.0, 1.0), (4.0, 0.5), (2.0, 0.5)]), labels, labels, probabilities, st.integers(1, 24))
def test_one_contrary_window_among_many_changes_nothing(
    size_step: tuple[float, float], label: int, other: int, probability: float, at: int
) -> None:
    """As sure as each of them, the newest or an older one; the past goes back three times a window's length."""
    size_s, step_s = size_step
    stream = [saying(label, probability)] * round(3 * size_s / step_s)
    stream[-min(at, len(stream))] = saying(other, probability)
    assert smoothed_label(Smoothing(size_s, step_s), *stream) == label


@given(smoothings, labels, labels, probabilities)
def test_a_lasting_change_is_followed_within_the_length_of_a_window_and_a_step(
    smoothing: Smoothing, label: int, other: int, probability: float
) -> None:
    per_window = round(smoothing.size_s / smoothing.step_s)
    stream = [saying(label, probability)] * (8 * per_window) + [saying(other, probability)] * (per_window + 1)
    assert smoothed_label(smoothing, *stream) == other


@given(st.lists(st.tuples(labels, probabilities), min_size=40, max_size=60), labels)
def test_a_steady_mood_with_noise_that_is_shorter_than_a_window_keeps_its_label(
    noise: list[tuple[int, float]], label: int
) -> None:
    """Every third window says something else, as surely as the others say the mood."""
    smoothing = Smoothing(4, 1)
    stream = [saying(*noise[at]) if at % 3 == 2 else saying(label, 0.6) for at in range(len(noise))]
    assert {smoothed_label(smoothing, *stream[at - 31 : at]) for at in range(31, len(stream) + 1)} == {label}


def test_a_label_that_no_window_bears_out_for_longer_than_one_lasts_is_given_up_though_others_take_turns() -> None:
    smoothing, label = Smoothing(4, 1), 1
    others = [saying(2 + at % 3, 0.5) for at in range(5)]
    before = [saying(label, 0.999)] * 20
    found = [smoothed_label(smoothing, *before, *others[: at + 1]) for at in range(len(others))]
    assert found[0] == label
    assert found[-1] != label


def test_a_label_is_easier_to_keep_than_to_regain() -> None:
    """The window between is sure enough to name a label in one reading, and abstained from in the other."""
    smoothing, stream = Smoothing(4, 1, dwell_s=1), torch.stack([saying(1, 0.999), saying(1, 1 / 7), saying(1, 0.2)])
    evident = torch.ones(1, 3, dtype=torch.bool)
    kept, regained = (smoothing.smooth(stream[None], evident, least)[0, 1] for least in (0.5, 0.99))
    assert kept > regained


@given(smoothings, labels, labels)
def test_a_window_that_is_plain_is_followed_at_once(smoothing: Smoothing, label: int, other: int) -> None:
    odds = KEEP_ODDS * smoothing.stay * (len(EMOTIONS) - 1) / (1 - smoothing.stay)  # the most that the past can weigh
    stream = [saying(label, 0.999)] * _MANY + [saying(other, 1 - 1 / (2 * odds))]
    assert smoothed_label(smoothing, *stream) == other


def test_time_passes_in_windows_without_evidence() -> None:
    """A past is believed less, the longer ago it is."""
    smoothing = Smoothing(4, 1)
    happy, unsure, nothing = (saying(1, 0.9), True), (saying(4, 0.3), True), (saying(0, 0.9), False)
    recent, longer_ago = tensors(
        [[nothing] * 6 + [happy] * 4 + [nothing] * 4 + [unsure], [happy] * 4 + [nothing] * 10 + [unsure]]
    )
    smoothed = smoothing.smooth(recent, longer_ago)
    assert smoothed[0, 1] > smoothed[1, 1]
    assert smoothed[0].argmax() == 1


@pytest.mark.parametrize(("size_s", "step_s", "dwell_s"), [(4, 0, 10), (1, 2, 10), (4, 1, 0)])
def test_a_filter_without_time_is_refused(size_s: float, step_s: float, dwell_s: float) -> None:
    with pytest.raises(ValueError, match="0 < step <= size"):
        Smoothing(size_s, step_s, dwell_s)
