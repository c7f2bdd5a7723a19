"""Which characters are written without blanks between words."""

_UNSPACED = (  # first and last code point of the blocks of Unicode
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3000, 0x30FF),  # punctuation of Chinese and Japanese, Hiragana, Katakana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0xFF00, 0xFFEF),  # full-width punctuation
    (0x20000, 0x323AF),
)


def is_unspaced(character: str) -> bool:
    """Whether words of the character's script stand without blanks."""
    code = ord(character)
    return any(first <= code <= last for first, last in _UNSPACED)
