"""What the command's exit status means (after sysexits.h), and which status an error ends it with."""

from enum import IntEnum

from daemon.config.errors import ConfigurationError
from daemon.http import CannotBind
from streams.kafka.checks import ChecksFailed
from streams.kafka.connection import ConnectionProblem
from streams.kafka.faults import BrokerUnavailable
from streams.kafka.reach import Refused, Unreachable
from streams.kafka.resubmissions import TooScattered
from streams.sinks.base import SinkError
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
        case ConfigurationError() | ConnectionProblem() | Refused():
            return ExitCode.CONFIGURATION
        case CannotBind() | SinkError() | BrokerUnavailable() | Unreachable() | ChecksFailed():
            return ExitCode.UNAVAILABLE
        case SourceError():
            return ExitCode.BAD_DATA
        case TooScattered():
            return ExitCode.USAGE
    return _of_a_model(error)


def _of_a_model(error: Exception) -> ExitCode:
    from models.artifact import ModelError  # these bring torch, so they are asked last
    from models.data.manifest import ManifestError
    from models.evaluation.rows import EvaluationError
    from models.model import DeviceUnavailableError
    from models.training.command import TrainingError

    match error:
        case ModelError():
            return ExitCode.CONFIGURATION
        case EvaluationError() | ManifestError() | TrainingError():
            return ExitCode.BAD_DATA
        case DeviceUnavailableError():
            return ExitCode.UNAVAILABLE
    return ExitCode.BUG
