"""Exit codes (after sysexits.h), and which error has which.

Errors are told apart by the names of their classes, so that nothing is imported when something has gone wrong: an
error whose module was never imported cannot have been raised.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The public exit codes."""

    OK = 0
    USAGE = 64
    BAD_DATA = 65
    BUG = 70
    DEVICE_FAULT = 71
    UNAVAILABLE = 75
    CONFIGURATION = 78


STATUS_BY_ERROR = {
    "daemon.config.errors.ConfigurationError": ExitCode.CONFIGURATION,
    "daemon.cli.extras.MissingExtra": ExitCode.UNAVAILABLE,
    "daemon.http.server.CannotBind": ExitCode.UNAVAILABLE,
    "models.artifact.ModelError": ExitCode.CONFIGURATION,
    "models.data.user.manifest_table.ManifestError": ExitCode.BAD_DATA,
    "models.metrics.labelled_rows.EvaluationError": ExitCode.BAD_DATA,
    "models.device.DeviceUnavailableError": ExitCode.UNAVAILABLE,
    "models.training.settings.TrainingError": ExitCode.BAD_DATA,
    "streams.delivery.crash_journal.CrashJournalError": ExitCode.UNAVAILABLE,
    "streams.kafka.checks.ChecksFailed": ExitCode.UNAVAILABLE,
    "streams.kafka.connection.ConnectionProblem": ExitCode.CONFIGURATION,
    "streams.kafka.errors.BrokerUnavailable": ExitCode.UNAVAILABLE,
    "streams.kafka.reachability.Refused": ExitCode.CONFIGURATION,
    "streams.kafka.reachability.Unreachable": ExitCode.UNAVAILABLE,
    "streams.kafka.resubmissions.TooManyRanges": ExitCode.USAGE,
    "streams.sinks.base.SinkError": ExitCode.UNAVAILABLE,
    "streams.sources.base.SourceError": ExitCode.BAD_DATA,
    "builtins.MemoryError": ExitCode.UNAVAILABLE,
    "builtins.OSError": ExitCode.UNAVAILABLE,  # the disk is full, or a folder may not be written
}


def exit_code(error: BaseException) -> ExitCode:
    """The code of an error; BUG for one that nobody foresaw."""
    for kind in type(error).__mro__:
        status = STATUS_BY_ERROR.get(f"{kind.__module__}.{kind.__qualname__}")
        if status is not None:
            return status
    return ExitCode.BUG
