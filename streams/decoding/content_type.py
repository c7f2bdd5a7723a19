"""Parser of content types and their parameters.

A parameter is honoured, or refused by name, and never ignored. The grammar is MIME's (RFC 2045), read by
the standard library; names are compared without case, values may be quoted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache

from streams.reasons import BadRecord, DeadLetterReason

_LONGEST_CHARACTERS = 256  # the longest that is read has about sixty
_SHOWN_CHARACTERS = 64


class BadContentType(BadRecord):
    """A content type that cannot be read; the message names the parameter."""

    def __init__(self, message: str) -> None:
        super().__init__(DeadLetterReason.CONTENT_TYPE, message)


@dataclass(frozen=True, slots=True)
class ContentType:
    """Type and parameters.

    `kind` is type and subtype in lower case, `parameters` their values by name in lower case.
    """

    kind: str
    parameters: Mapping[str, str]

    def allow(self, *names: str) -> None:
        """Raises BadContentType if it has any other parameter."""
        for name in self.parameters:
            if name not in names:
                known = ", ".join(names) or "none"
                raise BadContentType(
                    f"parameter {_shown(name)} of {_shown(self.kind)} is not supported; supported: {known}"
                )

    def whole(self, name: str, default: int) -> int:
        """A whole-number parameter; BadContentType if it is none."""
        text = self.parameters.get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise BadContentType(f"parameter {name}={text[:16]!r} is not a whole number")
        return int(text)


@lru_cache(maxsize=256)  # a stream repeats one for hours
def parse_content_type(text: str) -> ContentType:
    """Parses a content type; BadContentType if it cannot be read.

    So it is if it is too long, or names a parameter twice or without a value.
    """
    if len(text) > _LONGEST_CHARACTERS:
        raise BadContentType(f"a content type of {len(text)} characters; at most {_LONGEST_CHARACTERS} are read")
    header = Message()
    header["content-type"] = text
    (kind, _), *stated = header.get_params([(text, "")])
    parameters: dict[str, str] = {}
    for name, value in stated:
        if not name and not value:  # a semicolon at the end
            continue
        known = name.lower()
        if not isinstance(value, str) or not value or not known:
            raise BadContentType(f"parameter {_shown(name)} has no value that can be read")
        if known in parameters:
            raise BadContentType(f"parameter {_shown(name)} is stated twice")
        parameters[known] = value
    return ContentType(kind.strip().lower(), parameters)


def _shown(name: str) -> str:
    return repr(name[:_SHOWN_CHARACTERS])
