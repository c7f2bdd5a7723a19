"""Structured logs on stderr: JSON, or colours on a terminal.

Everything goes through one formatter, the loggers of other packages too. Call sites log what happened and where, with
counts and names as fields; payloads (pictures, sound, lines of chat, transcripts) are never fields, and those keys are
removed here should one ever be. Errors are shown as far as `streams.redaction` allows: a traceback has no values in
it, and addresses have no passwords.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

from daemon.telemetry.log_flood import FloodGuard
from streams.redaction import redacted, redacted_error, redacted_traceback

PAYLOAD_KEYS = frozenset({"payload", "text", "line", "transcript", "author", "participant", "picture", "samples"})
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_QUIET = ("uvicorn.access", "uvicorn.error", "httpx", "httpcore", "PIL", "matplotlib", "faster_whisper", "kafka")


def configure(level: str, form: Literal["auto", "json", "human"], stream: TextIO | None = None) -> None:
    """Sends all logs of at least `level` to `stream`, by default stderr.

    May be called again.
    """
    out = stream or sys.stderr
    human = form == "human" or (form == "auto" and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
        structlog.processors.CallsiteParameterAdder({structlog.processors.CallsiteParameter.THREAD_NAME}),
        _without_payload,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared], processors=_render(human, out)
        )
    )
    handler.addFilter(FloodGuard(handler))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _render(human: bool, out: TextIO) -> list[Processor]:
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if human:
        plain = structlog.dev.plain_traceback  # the default prints local variables where rich is installed
        renderer: Processor = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), pad_event_to=0, exception_formatter=plain
        )
    else:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    return [drop, _with_traceback, _without_secrets, renderer]


def _with_traceback(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    cause = event.pop("exc_info", None)
    if isinstance(cause, tuple):
        cause = cause[1]
    elif cause and not isinstance(cause, BaseException):
        cause = sys.exc_info()[1]
    if cause:
        event["exception"] = redacted_traceback(cause)
    return event


def _without_secrets(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, BaseException):
            event[key] = redacted_error(value)
        elif key == "why" and isinstance(value, str):  # quotes the record, for who looks at the dead letter
            event[key] = _QUOTED.sub("'...'", redacted(value))
        elif isinstance(value, str):
            event[key] = redacted(value)
    return event


def _without_payload(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in PAYLOAD_KEYS & event.keys():
        event[key] = "(removed)"
    return event
