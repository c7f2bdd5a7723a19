"""Lines written for this project, of what public corpora leave out.

Short lines of wanting to die; figures of speech about dying, crying and killing that alarm nobody; and wants, needs and
plans of every day.

The corpora on self-harm hold long posts, or call a plain "I want to die" low risk because no plan is in it; they hold
no "I'm dying of laughter". People who are in need begin as do people who need milk, and only the latter's lines tell
that beginning from the need. Lines are put together from an opening, a core and an ending, so that a few hundred come
of some dozens of phrases. A core is in one split only. Left out: other languages than English and Chinese.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.data.corpora.text import RiskTargets, TextSample

_EN_OPENINGS = ("", "honestly ", "sorry guys, ", "tonight ")
_EN_ENDINGS = ("", ".", ", nobody would care", ", goodbye everyone", " and I mean it", "...")
_EN_DYING = (
    "I want to die", "I wanna die", "I want to end my life", "I'm going to kill myself", "I just want to be dead",
    "I don't want to be alive any more", "I can't go on living", "I wish I was dead", "I'm thinking about suicide",
    "I want to end it all", "I am going to end it", "there is no reason for me to live", "I'd be better off dead",
    "I keep thinking of ways to die", "I want to hurt myself", "I cut myself again", "I took all the pills",
    "I have a plan to kill myself", "I don't want to wake up tomorrow", "I wrote my goodbye letter", "kms for real",
    "life isn't worth living", "I want to disappear forever", "I want to jump off the bridge",
)  # fmt: skip
_EN_FIGURES = (
    "I'm dying of laughter", "this song kills me", "I'm dead lol", "that joke killed me", "I nearly died laughing",
    "my feet are killing me", "I'd kill for a coffee", "I'm dying to see you",
    "this homework will be the death of me", "you're killing it", "this heat is killing me",
    "my boss is going to kill me", "dying of boredom here", "I could murder a pizza", "he killed it on stage",
    "I died when the cat fell off the sofa", "the suspense is killing me", "drop dead gorgeous", "my phone is dying",
    "my battery died", "I killed the boss in three tries", "I died again in level four", "dead tired after the gym",
    "we got killed in that match", "crying with laughter", "that scene had me dying", "the episode killed me",
    "I'm literally dead, so funny", "killer outfit", "these puns are slaying me", "I would die for that cake",
    "scared to death by a spider lol", "that film slayed me", "I was dying the whole time, so hilarious",
    "laughed so hard I died", "I cried laughing at that show",
)  # fmt: skip
_EN_FIGURE_ENDINGS = ("", "!", " haha", " 😂", ", so funny", " lol")
_EN_PLAIN = (
    "see you tomorrow", "the film starts at eight", "good night everyone", "I live in Berlin",
    "he lives near the station", "what a life", "bye everyone, see you next week", "goodbye for now",
    "nothing to do this weekend", "the game was long", "I want to eat noodles", "I want to sleep",
    "I don't want to go to work", "we watched a movie", "living the dream", "the meaning of life is forty-two",
    "I don't want to get up today", "see you in another life, haha",
)  # fmt: skip
_EN_ERRANDS = (
    "I need to buy milk", "I need to call my mum", "I need to fix the printer", "I have to clean the kitchen",
    "I have to catch the bus", "I must pay the rent", "I need to charge my laptop", "I should get going",
    "I need a new keyboard", "I have to study for the exam", "we need to leave by noon", "I need to book a flight",
    "I want to buy a bike", "I'm going to cook dinner", "I'm going to take a shower", "I have to send the invoice",
    "I need to answer that email", "I want to learn the guitar", "I need to see the dentist", "I need some sleep",
    "I'm thinking about a new phone", "I can't wait for the weekend", "I wish it was summer", "I took the early train",
    "there is no reason to hurry", "I have a plan for the weekend", "I wrote a letter to the bank",
    "I don't want to miss the bus", "I'd be better off with a map", "I just want to go home", "I need help with this",
)  # fmt: skip

_ZH_OPENINGS = ("", "真的", "其实", "今晚", "我觉得")
_ZH_ENDINGS = ("", "。", "，没人会在乎的", "，大家保重", "，对不起", "，太累了", "……", "，别找我", "，一切都没意思")
_ZH_DYING = (
    "我想死", "好想死", "不想活了", "我不想活下去了", "想自杀", "我要自杀", "活着没意思", "活着真没意义", "死了算了",
    "我想结束生命", "我想从楼上跳下去", "想跳楼", "不如死了好", "我已经写好遗书了", "我要离开这个世界",
    "我活不下去了", "想割腕", "我又割了手腕", "我想一了百了", "我准备吃安眠药走", "不想再醒来", "生无可恋，只想死",
    "我不想再活着", "活着好痛苦，想死", "人间不值得，我走了", "让我死吧", "没有活着的理由", "我想消失，永远消失",
    "这辈子没什么可留恋的，再见", "我打算今晚自杀", "我再也撑不下去，想结束自己", "想永远睡过去", "我真想去死",
)  # fmt: skip
_ZH_FIGURES = (
    "笑死我了", "我要笑死了", "累死了", "今天累死我了", "热死了", "饿死我了，吃饭去", "困死了", "好吃到哭",
    "吓死我了", "气死我了", "萌死我了", "想死你了", "想死你们啦", "美死了", "高兴死了", "忙死了", "无聊死了",
    "作业多死了", "尴尬死了", "羡慕死了", "手机快死机了", "电脑又死机了", "这关我死了十次", "队友一直送死",
    "打游戏又死了", "冷死了", "可爱死了", "烦死了", "急死我了", "这部电影笑死我", "爽死了", "胖死了，要减肥",
    "疼死了，脚扭了", "香死了", "甜死了", "丢死人了",
)  # fmt: skip
_ZH_FIGURE_ENDINGS = ("", "！", "哈哈哈", "😂", "，哈哈", "，太好笑了")
_ZH_PLAIN = (
    "我想吃火锅", "我想睡觉", "我不想上班", "不想起床", "再见了，明天见", "大家晚安", "我想回家", "不想写作业",
    "我想去旅游", "生活真美好", "活着真好", "我住在上海", "今天没意思，换个游戏", "这电影没意思", "意义不大，算了",
    "我走了，下周见", "大家再见", "我要离开公司了，换工作", "我想看电影", "不想说话，先睡了", "想早点睡",
    "我写好报告了", "准备吃饭走", "这辈子值了",
)  # fmt: skip

_ALARM: RiskTargets = (1.0, 1.0, None)
_CALM: RiskTargets = (0.0, 0.0, None)
_VALID_SHARE = 5  # one phrase in five


@dataclass(frozen=True, slots=True)
class _Kind:
    lang: str
    cores: Sequence[str]
    openings: Sequence[str]
    endings: Sequence[str]
    risk: RiskTargets


_KINDS = (
    _Kind("en", _EN_DYING, _EN_OPENINGS, _EN_ENDINGS, _ALARM),
    _Kind("en", _EN_FIGURES, _EN_OPENINGS[:2], _EN_FIGURE_ENDINGS, _CALM),
    _Kind("en", _EN_PLAIN, _EN_OPENINGS[:2], _EN_FIGURE_ENDINGS[:2], _CALM),
    _Kind("en", _EN_ERRANDS, _EN_OPENINGS, ("", ".", " today", " before six"), _CALM),
    _Kind("zh", _ZH_DYING, _ZH_OPENINGS, _ZH_ENDINGS, _ALARM),
    _Kind("zh", _ZH_FIGURES, _ZH_OPENINGS[:3], _ZH_FIGURE_ENDINGS, _CALM),
    _Kind("zh", _ZH_PLAIN, _ZH_OPENINGS[:3], _ZH_FIGURE_ENDINGS[:2], _CALM),
)


def project_lines(held_out: bool) -> list[TextSample]:
    """The lines of the validation phrases, or of the others."""
    return [line for kind in _KINDS for line in _lines(kind) if _in_valid(line.group) == held_out]


def _lines(kind: _Kind) -> Iterator[TextSample]:
    for core in kind.cores:
        for opening in kind.openings:
            for ending in kind.endings:
                text = f"{opening}{core}{ending}"
                yield TextSample(f"own-{text}", kind.lang, text, core, None, kind.risk)


def _in_valid(group: str) -> bool:
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) % _VALID_SHARE == 0
