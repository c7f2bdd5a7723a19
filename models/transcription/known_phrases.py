"""What Whisper likes to write where nothing is said.

Whisper learned from subtitles of films: over music, noise and silence it writes what stood there, thanks for watching
and the credits of translators, in the language it believes to hear (Koenecke et al., 2024).
"""

import re

_WHOLE = frozenset(
    {
        # English
        "thank you",
        "thank you very much",
        "thank you so much",
        "thank you bye",
        "thanks for watching",
        "thank you for watching",
        "thank you for listening",
        "thank you for your attention",
        "thanks for listening",
        "bye",
        "bye bye",
        "goodbye",
        "you",
        "the",
        "the end",
        "so",
        "oh",
        "um",
        "hmm",
        "mm hmm",
        "ill see you next time",
        "see you next time",
        "see you in the next video",
        "ill see you in the next video",
        "well be right back",
        "music",
        "applause",
        "silence",
        # German
        "vielen dank",
        "vielen dank fürs zuschauen",
        "danke fürs zuschauen",
        "vielen dank für ihre aufmerksamkeit",
        "vielen dank für die aufmerksamkeit",
        "bis zum nächsten mal",
        "tschüss",
        "das wars",
        "musik",
        "copyright wdr 2021",
        # Spanish
        "gracias",
        "muchas gracias",
        "gracias por ver",
        "gracias por ver el video",
        "gracias por ver el vídeo",
        "gracias por su atención",
        "hasta la próxima",
        "hasta luego",
        "adiós",
        "música",
        # French
        "merci",
        "merci beaucoup",
        "merci davoir regardé",
        "merci davoir regardé cette vidéo",
        "merci pour votre attention",
        "à bientôt",
        "à la prochaine",
        "au revoir",
        "musique",
        # Chinese
        "谢谢",
        "谢谢大家",
        "谢谢观看",
        "谢谢收看",
        "感谢观看",
        "感谢收看",
        "感谢您的观看",
        "謝謝",
        "謝謝大家",
        "謝謝觀看",
        "謝謝收看",
        "感謝觀看",
        "感謝收看",
        "再见",
        "拜拜",
        "下期再见",
        "我们下期再见",
        "音乐",
    }
)
_WITHIN = re.compile(
    r"amara\.?\s?org|subtitles? by|subtitled by|transcription by|captions? by|captioning by|transcribed by"
    r"|(please )?(like and )?subscribe( to)? (my|our|the|this) channel|thanks? (you )?for watching"
    r"|untertitel(ung)?( im auftrag| von| der| des|:| aufgrund)|im auftrag des zdf|swr 20|zdf,? 20"
    r"|subtítulos (realizados )?por|suscríbe(te|nse) al canal|gracias por ver"
    r"|sous-titr(es|age)( réalisé| par| st|:| fait)|société radio-canada|abonnez-vous|merci d'avoir regardé"
    r"|字幕(由|by|提供|组|組|志愿|志願)|由.{0,8}字幕|请不吝点赞|請不吝點贊|(点赞|點贊|订阅|訂閱).{0,12}(订阅|訂閱|转发|轉發|打赏|打賞)"
    r"|明镜与点点|明鏡與點點|(感谢|感謝|谢谢|謝謝)(您的)?(观看|觀看|收看)",
    re.IGNORECASE,
)


def is_known_phrase(text: str) -> bool:
    """Whether a text is a usual invention or holds a credit."""
    plain = " ".join("".join(c for c in text.lower() if c.isalnum() or c.isspace()).split())
    return plain in _WHOLE or _WITHIN.search(text.replace("’", "'")) is not None
