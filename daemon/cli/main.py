"""The command `affectd`: parses arguments, runs one command, reports how it ended.

Results go to stdout, everything for people to stderr. The modules of commands import the standard library and click
alone; what a command needs is imported when it runs, since torch takes seconds to import and `--help` should not.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

import click

from daemon.cli.configuration import check_config, profiles, show_config
from daemon.cli.explain import explain
from daemon.cli.extras import missing_extra
from daemon.cli.kafka import dead_letters, produce
from daemon.cli.machine import bench, devices, doctor
from daemon.cli.models import calibrate, evaluate, report, train
from daemon.cli.scoring import demo, replay, run
from daemon.cli.transcribe import transcribe
from daemon.exit_codes import ExitCode, exit_code
from streams.redaction import redacted_error

_SIGPIPE_STATUS = 141  # what a shell shows for a command whose reader left
_INTERRUPTED_STATUS = 130
_EPILOG = """\b
Exit codes: 0 ok, 64 wrong usage, 65 bad input data, 70 a bug, 71 device fault,
75 something it depends on is unavailable, 78 configuration; 130 after Ctrl-C.

\b
Completion by the tab key, in bash (or zsh_source, fish_source):
  eval "$(_AFFECTD_COMPLETE=bash_source affectd)"
"""


def _print_version(ctx: click.Context, _: click.Parameter, requested: bool) -> None:
    if requested:
        from daemon.version import package_version

        click.echo(f"affectd, version {package_version()}")
        ctx.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EPILOG)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Emotion and risk from camera, microphone and chat, per session, live."""
    from daemon.telemetry import logs

    logs.configure("info", "auto")


for command in (
    *(run, demo, replay, explain, transcribe, check_config, show_config, profiles, doctor, devices, bench),
    *(evaluate, train, calibrate, report, produce, dead_letters),
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    try:
        status = cli.main(args=arguments, prog_name="affectd", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(status or ExitCode.OK)
    except click.ClickException as error:
        with _closed_stderr_ignored():
            error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED_STATUS
    except (BrokenPipeError, SystemExit):  # click makes the latter of the former, and of nothing else
        _discard(1)
        return _SIGPIPE_STATUS
    except Exception as error:
        return _report(missing_extra(error) or error)


def _report(error: Exception) -> ExitCode:
    code = exit_code(error)
    with _closed_stderr_ignored():
        if code is ExitCode.BUG:
            import structlog

            click.echo(f"affectd: a bug: {redacted_error(error)} (log.level=debug shows its traceback)", err=True)
            structlog.get_logger(__name__).debug("bug", exc_info=error)
        else:
            click.echo(redacted_error(error), err=True)
    return code


@contextlib.contextmanager
def _closed_stderr_ignored() -> Iterator[None]:
    """Where stderr cannot be written, the exit status still tells what happened."""
    try:
        yield
    except OSError:  # the disk is full, or its reader has left
        _discard(2)


def _discard(descriptor: int) -> None:
    """Discards what is still buffered.

    Else the interpreter complains as it exits.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
