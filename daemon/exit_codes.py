"""What the command's exit status means (after sysexits.h), and which status an error ends it with."""

from enum import IntEnum

from daemon.config_errors import ConfigurationError
from daemon.http import CannotBind
from streams.sources.base import SourceError


class ExitCode(IntEnum):
    """The public exit codes."""

    OK = 0
    USAGE = 64
    BAD_DATA = 65
    BUG = 70
    DEVICE_FAULT = 71
    UNAVAILABLE = 75
    CONFIGURATION = 78


def exit_code(error: Exception) -> ExitCode:
    """The status for an error that ended a command; BUG for one that nobody foresaw."""
    match error:
        case ConfigurationError():
            return ExitCode.CONFIGURATION
        case SourceError():
            return ExitCode.BAD_DATA
        case CannotBind():
            return ExitCode.UNAVAILABLE
    from models.artifact import ModelError  # brings torch, so it is asked last

    return ExitCode.CONFIGURATION if isinstance(error, ModelError) else ExitCode.BUG
