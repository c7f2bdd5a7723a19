"""What happens in the sample session, and when: the screenplay it is made from, and the truth its tests hold it to.

Seconds from the start; spans are half-open. All words are our own, spoken and written by nobody.
"""

from dataclasses import dataclass

LENGTH_S = 48.0

Span = tuple[float, float]

NO_CHAT: Span = (10.0, 18.0)
NO_FACE: Span = (18.0, 26.0)
NO_VOICE: Span = (26.0, 34.0)
"""In each of these nobody writes, no face is there, or nobody speaks; without chat, words come from speech alone."""

FACE_COVERED: Span = (34.0, 40.0)
"""Someone is there, but nothing of the face can be seen."""

SCARF: tuple[Span, ...] = ((0.0, 3.6), (26.0, 34.0))
"""The mouth is behind a scarf: the one portrait smiles, and must not smile through bad news."""

HAPPY: Span = (4.0, 10.0)
SAD: Span = (18.0, 26.0)
ANGRY: Span = (26.0, 40.0)
RELIEVED: Span = (40.0, 48.0)
"""The mood of what is written and said."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a synthetic voice says: pitch 0 to 99, speed in words per minute, loudness 0 to 200 (espeak-ng's scales)."""

    at_s: float
    text: str
    voice: str
    pitch: int
    words_per_minute: int
    loudness: int


@dataclass(frozen=True, slots=True)
class ChatLine:
    """What someone writes."""

    at_s: float
    text: str
    author: str
    lang: str


UTTERANCES = (
    Utterance(0.8, "Good morning. I am calling about the order from last week.", "en-us", 50, 165, 100),
    Utterance(4.9, "Oh, it has arrived! That is wonderful, thank you so much!", "en-us", 75, 185, 130),
    Utterance(10.2, "I put it in the kitchen, right next to the window.", "en-us", 55, 165, 100),
    Utterance(13.6, "The colour is exactly what I wanted, and it fits very well.", "en-us", 65, 170, 110),
    Utterance(18.4, "Since then I have been alone, and I am so tired.", "en-gb", 25, 125, 60),
    Utterance(22.4, "I am afraid. I do not know what to do.", "en-gb", 22, 120, 55),
    Utterance(34.2, "No! This is the third time! You never listen to me!", "en-us", 85, 215, 180),
    Utterance(37.2, "I want my money back, and I want it now!", "en-us", 80, 215, 180),
    Utterance(40.6, "All right. Thank you for taking the time.", "en-us", 45, 150, 90),
    Utterance(44.0, "谢谢你,我现在好多了。", "cmn", 45, 150, 90),
)

CHAT = (
    ChatLine(1.0, "Hello, I have a question about my delivery.", "guest", "en"),
    ChatLine(2.6, "订单号是一二三四五。", "guest", "zh"),
    ChatLine(4.4, "It just arrived, this is wonderful, thank you so much!", "guest", "en"),
    ChatLine(5.8, "太好了!我真的很开心!", "guest", "zh"),
    ChatLine(7.4, "I love it, you made my day!", "guest", "en"),
    ChatLine(9.0, "收到礼物太高兴了,谢谢你们!", "guest", "zh"),
    ChatLine(18.2, "Sorry, I am not well today. I feel so sad and alone.", "guest", "en"),
    ChatLine(19.6, "我很难过,一直在哭。", "guest", "zh"),
    ChatLine(21.2, "I am scared and I do not know what to do.", "guest", "en"),
    ChatLine(22.8, "我害怕,晚上睡不着。", "guest", "zh"),
    ChatLine(24.4, "Please help me, I cannot go on like this.", "guest", "en"),
    ChatLine(26.6, "Why does nobody answer? I am getting really angry.", "guest", "en"),
    ChatLine(28.2, "你们根本不在乎!气死我了!", "guest", "zh"),
    ChatLine(30.0, "This is outrageous, I am furious with all of you!", "guest", "en"),
    ChatLine(32.0, "太过分了,我非常生气!", "guest", "zh"),
    ChatLine(34.6, "Stop ignoring me, you are the worst, I hate this!", "guest", "en"),
    ChatLine(37.0, "骗子,把钱退给我!", "guest", "zh"),
    ChatLine(40.4, "Thank you for calling me back, I feel much better now.", "guest", "en"),
    ChatLine(42.2, "终于放心了,谢谢你。", "guest", "zh"),
    ChatLine(44.2, "I am so relieved and grateful, it helped a lot.", "guest", "en"),
    ChatLine(46.2, "一切都好起来了,真高兴。", "guest", "zh"),
)
