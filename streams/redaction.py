"""Redaction of errors and addresses for logs, status pages and terminals.

The message of an error class of this project holds no content. That of any other may hold its input, a line of chat or
a password: only its type and its place in the code are shown. An `OSError` of the system adds its reason and file name.
"""

import re
import traceback
from pathlib import Path

_OURS = ("daemon", "streams", "models")
_ROOT = Path(__file__).parents[1]
_WORD = re.compile(r"[^\s'\"<>]+")  # each is read through once, or a long one would take seconds
_QUERY = re.compile(r"[?#;].")  # tokens stand there
_BARE_LOGIN = re.compile(r"(?<![^:=\[(/])[^:=\[(/]+:(?!/).")  # of an address without a scheme, or a mistaken one
_ADDRESS_LOGIN = re.compile(r"(?<=://).*@", re.DOTALL)
_ADDRESS_QUERY = re.compile(r"(?<=://)([^?#;]*)[?#;].*", re.DOTALL)


def redacted(text: str) -> str:
    """Removes log-in and query of every address in a text.

    Example: `rtsp://...@camera/1?...`.
    """
    return _WORD.sub(lambda word: _without_query(_without_login(word)), text)


def redacted_address(address: str) -> str:
    """Removes log-in and query of an address that is the whole text.

    So a password with spaces or quotes is removed too.
    """
    without = _ADDRESS_LOGIN.sub("...@", address)
    return _ADDRESS_QUERY.sub(r"\1?...", without if "://" in address else _WORD.sub(_without_login, without))


def _without_login(word: re.Match[str]) -> str:
    """A word without the login before its last @.

    A password may hold one, and slashes.
    """
    before, at, host = word[0].rpartition("@")
    scheme, bare = before.find("://"), _BARE_LOGIN.search(before)
    starts = ([] if scheme < 0 else [scheme + 3]) + ([] if bare is None else [bare.start()])
    return f"{before[: min(starts)]}...@{host}" if at and starts else word[0]


def _without_query(word: str) -> str:
    scheme = word.find("://")
    query = None if scheme < 0 else _QUERY.search(word, scheme + 3)
    return word if query is None else f"{word[: query.start()]}?..."


def redacted_error(error: BaseException) -> str:
    """A sentence about an error, without content or password."""
    kind = type(error)
    if kind.__module__.partition(".")[0] in _OURS:
        return redacted(str(error)) or kind.__name__
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        named = f"{error.strerror}: {error.filename}" if error.filename is not None else error.strerror
        return redacted(named)
    if isinstance(error, MemoryError):
        return f"not enough memory{_place(error)}"
    return f"{kind.__name__}{_place(error)}"


def redacted_traceback(error: BaseException) -> str:
    """Traceback of an error and its causes, without values or code.

    It has file, line and function only.
    """
    parts: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        frames = traceback.walk_tb(link.__traceback__)
        way = [f'  File "{f.f_code.co_filename}", line {line}, in {f.f_code.co_name}' for f, line in frames]
        name, sentence = type(link).__name__, redacted_error(link)
        last = sentence if sentence.startswith(name) else f"{name}: {sentence}"
        parts.append("\n".join(("Traceback (most recent call last):", *way, last)))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\n\nafter:\n\n".join(parts)


def _place(error: BaseException) -> str:
    """The place in our code that raised the error.

    Empty if it was never raised there.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _OURS:
            return f" at {path.relative_to(_ROOT)}:{frame.lineno}"
    return ""
