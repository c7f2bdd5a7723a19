"""A loaded model scores each window from what is there, and says so where nothing is."""

from pathlib import Path

import pytest
import torch

from models.artifact import ModelError, write_model_folder
from models.calibration.prediction_sets import SUBSETS, ConformalSets
from models.device import DeviceUnavailableError, choose_device
from models.encoder import Encoded
from models.labels import EMOTIONS, RISKS
from models.model import AffectModel, WindowFeatures
from models.scores import NO_RISK, Scores
from models.text.encoder import TextEncoder
from tests.models.model_folders import Repeater, plain_manifest

pytestmark = pytest.mark.unit

CPU = torch.device("cpu")
SMALL = AffectModel(plain_manifest(), {"video": Repeater(), "audio": Repeater(), "text": Repeater(risk=True)}, CPU)


def says(emotion: str, strength: float = 5.0, weight: float = 1.0, **risk: float) -> Encoded:
    row = [strength * (name == emotion) for name in EMOTIONS] + [risk.get(name, -9.0) for name in RISKS if risk]
    return Encoded(torch.tensor([row]), torch.tensor([weight]))


def calm(emotion: str) -> Encoded:
    return says(emotion, distress=-9.0)


def score(**events: Encoded) -> Scores:
    return SMALL.fuse([WindowFeatures(events)])[0]


def test_with_nothing_present_the_window_is_abstained_from_flat_and_without_risk() -> None:
    scored = score()
    assert (scored.abstained, scored.label, scored.risk) == ("no_evidence", None, NO_RISK)
    assert scored.emotion == pytest.approx([1 / len(EMOTIONS)] * len(EMOTIONS))
    assert (scored.valence, scored.arousal) == pytest.approx((-1.17 / 7, 2.45 / 7))
    assert all(not part.present and part.probabilities is None for part in scored.modality.values())


@pytest.mark.parametrize("modality", ["video", "audio"])
def test_one_modality_alone_is_enough(modality: str) -> None:
    scored = score(**{modality: says("anger")})
    assert (scored.label, scored.abstained) == ("anger", None)
    assert [name for name, part in scored.modality.items() if part.present] == [modality]


def test_an_unclear_answer_is_abstained_from_but_keeps_its_probabilities() -> None:
    scored = score(video=says("fear", strength=0.3))
    assert (scored.label, scored.abstained) == (None, "low_confidence")
    assert scored.emotion[EMOTIONS.index("fear")] == max(scored.emotion) < 0.3


def test_too_little_voice_is_no_voice() -> None:
    assert score(audio=says("fear", weight=0.2)).abstained == "no_evidence"
    assert score(audio=says("fear", weight=0.3)).label == "fear"


def test_modalities_that_agree_are_surer_than_each_alone() -> None:
    alone = max(score(video=says("sadness", 2.0)).emotion)
    together = score(video=says("sadness", 2.0), audio=says("sadness", 2.0), text=says("sadness", 2.0, distress=-9.0))
    assert max(together.emotion) > alone
    assert all(part.contribution > 0 for part in together.modality.values())


def test_a_modality_that_disagrees_contributes_against_the_answer() -> None:
    scored = score(video=says("anger", 6.0), text=says("happiness", 2.0, distress=-9.0))
    assert scored.label == "anger"
    assert scored.modality["video"].contribution > 0 > scored.modality["text"].contribution
    assert scored.modality["audio"].contribution == 0


SAID = (None, says("fear", 2.0), says("anger", 1.0), says("neutral", 0.0))


@pytest.mark.parametrize("video", SAID)
@pytest.mark.parametrize("audio", SAID)
@pytest.mark.parametrize("text", [None, says("fear", 3.0, distress=-9.0), says("happiness", 1.0, distress=-9.0)])
def test_contributions_add_up_to_what_is_known_beyond_nothing(
    video: Encoded | None, audio: Encoded | None, text: Encoded | None
) -> None:
    said = {"video": video, "audio": audio, "text": text}
    scored = score(**{name: events for name, events in said.items() if events is not None})
    total = sum(part.contribution for part in scored.modality.values())
    assert total == pytest.approx(max(scored.emotion) - 1 / len(EMOTIONS), abs=1e-9)


def test_a_modality_that_says_nothing_or_is_absent_contributes_nothing() -> None:
    scored = score(video=says("neutral", 0.0), text=says("fear", 2.0, distress=-9.0))
    assert scored.modality["video"].present
    assert scored.modality["video"].contribution == pytest.approx(0, abs=1e-12)
    assert scored.modality["audio"].contribution == 0


def test_what_is_written_alone_raises_risk() -> None:
    assert score(text=says("neutral", distress=6.0)).risk.level == "critical"
    assert score(text=calm("neutral"), audio=says("neutral")).risk.level == "none"
    assert score(video=says("neutral")).risk.score == 0


def test_a_row_in_a_batch_is_the_row_alone() -> None:
    two_lines = Encoded(torch.cat([calm("fear").embedding, calm("anger").embedding]), torch.ones(2))
    windows = [
        WindowFeatures({"video": says("happiness", 1.0), "text": two_lines}),
        WindowFeatures({}),
        WindowFeatures({"audio": says("disgust", 2.0)}),
    ]
    assert SMALL.fuse(windows) == [SMALL.fuse([window])[0] for window in windows]


def test_sets_are_given_where_they_are_asked_for_and_there_is_evidence() -> None:
    sets = ConformalSets(coverages=(0.8, 0.9), least=dict.fromkeys(SUBSETS, (0.3, 0.1)))
    promising = AffectModel(plain_manifest(conformal=sets), SMALL.encoders, CPU)
    torn = Encoded(torch.tensor([[2.0 * (name in ("fear", "anger")) for name in EMOTIONS]]), torch.ones(1))
    windows = [WindowFeatures(events) for events in ({"video": torn}, {"video": says("anger")}, {})]
    assert [scored.label_set for scored in promising.fuse(windows)] == [None, None, None]
    assert (promising.coverages, SMALL.coverages) == ((0.8, 0.9), ())
    promising.set_coverage = 0.8
    assert [scored.label_set for scored in promising.fuse(windows)] == [("anger", "fear"), ("anger",), None]


def test_no_windows_have_no_scores() -> None:
    assert SMALL.fuse([]) == []


def test_a_part_whose_weights_do_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    write_model_folder(tmp_path, plain_manifest(parts={"face": {}}), {"face": {"head.weight": torch.ones(1)}}, "")
    with pytest.raises(ModelError, match="part face: "):
        AffectModel.load(tmp_path, device="cpu")


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceUnavailableError, match="'tpu' is not one of auto, cpu, cuda"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceUnavailableError, match="finds no usable GPU"):
            choose_device("cuda")
        assert choose_device("auto") == CPU


@pytest.fixture(scope="module")
def shipped() -> AffectModel:
    return AffectModel.load("default", device="cpu")


def line(model: AffectModel, text: str) -> Scores:
    encoder = model.encoders["text"]
    assert isinstance(encoder, TextEncoder)
    return model.fuse([WindowFeatures({"text": encoder.encode([encoder.prepare(text)])})])[0]


def test_the_shipped_model_has_all_three_modalities_and_warms_up(shipped: AffectModel) -> None:
    assert list(shipped.encoders) == ["video", "audio", "text"]
    assert shipped.digest == shipped.manifest.digest()
    shipped.warm_up(2)


def test_the_shipped_model_scores_a_line_of_chat(shipped: AffectModel) -> None:
    scored = line(shipped, "I got the job!! I'm so happy right now")
    assert (scored.label, scored.abstained, scored.risk.level) == ("happiness", None, "none")
    assert scored.valence > 0.5
    assert list(scored.modality) == ["video", "audio", "text"]


@pytest.mark.parametrize("text", ["I want to kill myself", "I don't want to live anymore, nobody would miss me"])
def test_the_shipped_model_raises_a_high_risk_where_somebody_wants_to_die(shipped: AffectModel, text: str) -> None:
    assert line(shipped, text).risk.level in ("high", "critical")


@pytest.mark.parametrize("text", ["我不想活了，活着没有意义", "我想死，再见了大家"])
def test_the_shipped_model_raises_at_least_a_medium_risk_for_short_chinese_lines(
    shipped: AffectModel, text: str
) -> None:
    assert line(shipped, text).risk.level in ("medium", "high", "critical")


@pytest.mark.parametrize("text", ["ok see you later", "what time does the store close?", "好的，收到", "晚安，明天见"])
def test_the_shipped_model_finds_no_risk_in_ordinary_chat(shipped: AffectModel, text: str) -> None:
    assert line(shipped, text).risk.level == "none"
