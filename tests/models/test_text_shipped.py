"""The shipped text weights read everyday chat as a person does, in English and Chinese."""

import pytest

from models.labels import EMOTIONS, RISKS
from models.model import AffectModel
from models.text.encoder import TextEncoder

pytestmark = pytest.mark.unit

MOODS = [
    ("I got the job!! I'm so happy right now", "happiness"),
    ("太好了，今天真开心，我们赢了！", "happiness"),
    ("I miss my dad so much, he passed away last week", "sadness"),
    ("我好难过，今天一直在哭", "sadness"),
    ("This is the third time you lied to me, I'm furious", "anger"),
    ("气死我了，你们客服到底有没有人管", "anger"),
    ("I'm terrified of the surgery tomorrow", "fear"),
    ("我好害怕，外面有人一直在敲门", "fear"),
    ("eww that is so gross, there was hair in my food", "disgust"),
    ("好恶心，菜里有一只虫子", "disgust"),
    ("wow, I can't believe they actually did it!", "surprise"),
    ("天哪，居然是真的？", "surprise"),
    ("the meeting is at three, room 204", "neutral"),
    ("我明天下午三点到", "neutral"),
]
ALARMS = [
    ("I can't cope any more, everything is falling apart and I haven't slept for days", "distress"),
    ("我快撑不下去了，压力太大了，整晚睡不着", "distress"),
    ("I want to kill myself", "self_harm"),
    ("I don't want to live anymore, nobody would miss me", "self_harm"),
    ("shut up you stupid bitch", "abuse"),
    ("你就是个垃圾，滚", "abuse"),
]
CALM = [
    "ok see you later",
    "what time does the store close?",
    "好的，收到",
    "晚安，明天见",
    "my dog is fucking awesome",
    "this traffic is killing me lol",
    "I need to finish this report by Friday",
]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    shipped = AffectModel.load("default", device="cpu").encoders["text"]
    assert isinstance(shipped, TextEncoder)
    return shipped


def risk_of(encoder: TextEncoder, line: str) -> dict[str, float]:
    logits = encoder.encode([encoder.prepare(line)]).embedding[0, len(EMOTIONS) :]
    return dict(zip(RISKS, logits.sigmoid().tolist(), strict=True))


@pytest.mark.parametrize(("line", "emotion"), MOODS)
def test_the_mood_of_a_line_is_its_likeliest_label(encoder: TextEncoder, line: str, emotion: str) -> None:
    logits = encoder.encode([encoder.prepare(line)]).embedding[0, : len(EMOTIONS)]
    assert EMOTIONS[int(logits.argmax())] == emotion


@pytest.mark.parametrize(("line", "risk"), ALARMS)
def test_an_alarming_line_raises_its_risk(encoder: TextEncoder, line: str, risk: str) -> None:
    assert risk_of(encoder, line)[risk] > 0.5


@pytest.mark.parametrize("line", CALM)
def test_ordinary_chat_raises_no_risk(encoder: TextEncoder, line: str) -> None:
    assert max(risk_of(encoder, line).values()) < 0.5


@pytest.mark.parametrize("line", ["我不想活了，活着没有意义", "我想死，再见了大家"])
def test_short_chinese_lines_of_wanting_to_die_raise_self_harm(encoder: TextEncoder, line: str) -> None:
    assert risk_of(encoder, line)["self_harm"] > 0.5


def test_dying_of_laughter_raises_no_risk(encoder: TextEncoder) -> None:
    assert max(risk_of(encoder, "that movie killed me, I was dying of laughter").values()) < 0.5


BURIED = [
    ("I want to kill myself tonight.", ("I had pasta for lunch today.", "The bus was late again this morning.")),
    ("我今晚要自杀。", ("今天天气很好。", "我中午吃了火锅。")),
    ("quiero morir esta noche.", ("Hoy hace buen tiempo.", "He comido pasta al mediodía.")),
    ("ich will heute Nacht sterben.", ("Heute ist das Wetter schön.", "Mittags gab es Nudeln.")),
    ("je vais me suicider ce soir.", ("Il fait beau aujourd'hui.", "J'ai mangé des pâtes à midi.")),
    ("أريد أن أموت.", ("الطقس جميل اليوم.", "أكلت المعكرونة على الغداء.")),
    ("死にたい。", ("今日は天気がいい。", "昼にパスタを食べた。")),
    ("죽고 싶어.", ("오늘 날씨가 좋아요.", "점심에 파스타를 먹었어요.")),
    ("я хочу умереть.", ("Сегодня хорошая погода.", "На обед я ел макароны.")),
    ("voglio morire.", ("Oggi è bel tempo.", "A pranzo ho mangiato la pasta.")),
]


@pytest.mark.parametrize(("cry", "ordinary"), BURIED)
def test_a_cry_for_help_in_a_longer_line_counts_as_it_does_alone(
    encoder: TextEncoder, cry: str, ordinary: tuple[str, str]
) -> None:
    space = "" if cry.endswith("。") else " "
    lines = [[*ordinary[:place], cry, *ordinary[place:]] for place in range(3)]
    alone, *buried = (max(risk_of(encoder, line).values()) for line in (cry, *map(space.join, lines)))
    assert alone > 0.5
    assert min(buried) > alone - 0.05


def test_letters_hidden_from_a_reader_do_not_hide_a_cry_for_help(encoder: TextEncoder) -> None:
    plain = risk_of(encoder, "I want to die")
    for hidden in ("I want to d\u200bi\u200be", "I wаnt tо dіе", "𝐈 𝐰𝐚𝐧𝐭 𝐭𝐨 𝐝𝐢𝐞", "Ｉ ｗａｎｔ ｔｏ ｄｉｅ"):
        assert risk_of(encoder, hidden) == pytest.approx(plain, abs=1e-3)


def test_what_is_said_at_the_end_of_a_very_long_line_counts(encoder: TextEncoder) -> None:
    story = "Then we went to the lake and had a picnic with all of the children. " * 20
    assert max(risk_of(encoder, story).values()) < 0.5
    assert max(risk_of(encoder, story + "I want to kill myself.").values()) > 0.5
