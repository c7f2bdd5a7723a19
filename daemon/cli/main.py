"""The command `affectd`: parses what was typed, calls what does it, and says how it ended.

Results go to stdout, everything for people to stderr. What a command needs is imported when it runs, since torch takes
seconds to import and `--help` should not.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import structlog

from daemon.cli.explain import explain
from daemon.cli.extras import missing_extra
from daemon.cli.kafka import dead_letters, produce
from daemon.cli.models import calibrate, evaluate, report, train
from daemon.cli.options import SPEED_HELP, MomentParam, SpeedParam, configured, load_configured, load_configured_to_run
from daemon.config import Config
from daemon.config.reference import effective
from daemon.config.source import load, load_to_run
from daemon.exit_codes import ExitCode, exit_code
from daemon.telemetry import logs
from daemon.telemetry.metrics import package_version
from streams.redaction import redacted_error

log = structlog.get_logger(__name__)

_SIGPIPE_STATUS = 141  # what a shell shows for a command whose reader left
_INTERRUPTED_STATUS = 130
_BENCHMARKS = ("align", "encode", "fuse", "ingest")
_BENCH_COLUMNS = ("bench", "figure", "value", "unit", "ratio", "against")


_EPILOG = """\b
Exit codes: 0 ok, 64 wrong usage, 65 bad input data, 70 a bug, 71 device fault,
75 something it depends on is unavailable, 78 configuration; 130 after Ctrl-C.

\b
Completion by the tab key, in bash (or zsh_source, fish_source):
  eval "$(_AFFECTD_COMPLETE=bash_source affectd)"
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EPILOG)
@click.version_option(package_version(), prog_name="affectd")
def cli() -> None:
    """Emotion and risk from camera, microphone and chat, per session, as it happens."""


@cli.command()
@configured
def run(file: Path | None, settings: tuple[str, ...]) -> int:
    """Runs the daemon until it is told to stop.

    SIGTERM or Ctrl-C finishes what has begun; a second one stops at once.
    """
    config = load_configured_to_run(file, settings)
    from daemon.runtime import service

    return service.run(config)


@cli.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out/demo"),
    show_default=True,
    metavar="DIR",
    help="Folder of the predictions and the picture.",
)
@click.option("--speed", type=SpeedParam(), default=1.0, show_default=True, metavar="N|max", help=SPEED_HELP)
def demo(out: Path, speed: float | None) -> int:
    """Plays the sample session, and draws what was found."""
    from daemon.commands.demo import demo

    return demo(out, speed)


@cli.command()
@configured
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--speed", type=SpeedParam(), default="max", show_default=True, metavar="N|max", help=SPEED_HELP)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Predictions (JSON lines); else stdout.")
@click.option(
    "--start",
    "start_ns",
    type=MomentParam(),
    default="2000-01-01T00:00:00Z",
    show_default=True,
    help="First event time.",
)
def replay(
    file: Path | None,
    settings: tuple[str, ...],
    paths: tuple[Path, ...],
    speed: float | None,
    out: Path | None,
    start_ns: int,
) -> int:
    """Scores media files, chat (.jsonl) and recorded sessions.

    PATH is a file, a recorded session's folder, or a folder of any of these: each is a session of its name.
    """
    config = load_configured(file, settings)
    from daemon.commands.replay import replay

    return replay(config, paths, speed, out, start_ns)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides one key.")
def check_config(file: Path, settings: tuple[str, ...]) -> None:
    """Says all that is wrong with a configuration file.

    With file:line and key, before `affectd run` would: keys and values, and whether files and devices are there.
    """
    _, warnings = load_to_run(file, os.environ, settings)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{file}: good", err=True)


@cli.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides one key.")
def show_config(file: Path | None, settings: tuple[str, ...]) -> None:
    """Prints the effective configuration.

    From flags, environment, file and defaults, as TOML.
    """
    click.echo(effective(load(file, os.environ, settings)), nl=False)


@cli.command()
@configured
def doctor(file: Path | None, settings: tuple[str, ...]) -> int:
    """Says what works here, and what to do about the rest."""
    config = load_configured(file, settings)
    from daemon.commands.doctor import diagnose
    from streams.findings import Verdict

    colours = {Verdict.GOOD: "green", Verdict.NOTE: "yellow", Verdict.BAD: "red"}
    verdicts = set()
    for finding in diagnose(config):
        verdicts.add(finding.verdict)
        mark = click.style(f"{finding.verdict:<5}", fg=colours[finding.verdict])
        click.echo(f"{mark} {finding.subject}: {finding.sentence}")
    return ExitCode.UNAVAILABLE if Verdict.BAD in verdicts else ExitCode.OK


@cli.command()
def devices() -> int:
    """Lists the cameras and microphones that can be opened."""
    from daemon.commands.doctor import list_cameras, list_microphones
    from streams.sources.base import SourceError

    found = False
    for list_devices in (list_cameras, list_microphones):
        try:
            for line in list_devices():
                found = True
                click.echo(line)
        except SourceError as error:
            click.echo(str(error), err=True)
            return ExitCode.UNAVAILABLE
    if not found:
        click.echo("no camera and no microphone was found", err=True)
    return ExitCode.OK


@cli.command()
@click.argument("names", nargs=-1, type=click.Choice(_BENCHMARKS))
@click.option(
    "--bootstrap-servers",
    "server",
    envvar="AFFECTD_TEST_KAFKA",
    show_envvar=True,
    metavar="HOST:PORT",
    help="The Kafka of ingest.",
)
def bench(names: tuple[str, ...], server: str | None) -> None:
    """Measures speed (JSON on stdout, a table on stderr).

    All that can be, if none is named: ingest needs a Kafka, in which it makes topics and deletes them again.
    """
    from rich.console import Console
    from rich.table import Table

    from daemon.bench import bench
    from daemon.kafka.endpoints import inputs

    connection = inputs(Config(), None, server).connection if server else None
    if not names and connection is None:
        click.echo("ingest is left out: --bootstrap-servers or AFFECTD_TEST_KAFKA names the Kafka it needs", err=True)
        names = tuple(name for name in _BENCHMARKS if name != "ingest")
    figures = []
    for figure in bench(names or _BENCHMARKS, connection=connection):
        figures.append(figure)
        click.echo(json.dumps(figure, ensure_ascii=False))
    table = Table(*_BENCH_COLUMNS)
    for figure in figures:
        table.add_row(*(str(figure.get(name, "")) for name in _BENCH_COLUMNS))
    Console(stderr=True).print(table)


for command in (explain, evaluate, train, calibrate, report, produce, dead_letters):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    logs.configure("info", "auto")
    try:
        status = cli.main(args=arguments, prog_name="affectd", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(status or ExitCode.OK)
    except click.ClickException as error:
        with _told():
            error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED_STATUS
    except BrokenPipeError:
        _discard(1)
        return _SIGPIPE_STATUS
    except Exception as error:
        return _explain(missing_extra(error) or error)


def _explain(error: Exception) -> ExitCode:
    code = exit_code(error)
    with _told():
        if code is ExitCode.BUG:
            click.echo(f"affectd: a bug: {redacted_error(error)} (log.level=debug shows the way to it)", err=True)
            log.debug("bug", exc_info=error)
        else:
            click.echo(redacted_error(error), err=True)
    return code


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Where what is told on stderr cannot be written, the exit status still says what happened."""
    try:
        yield
    except OSError:  # the disk is full, or its reader has left
        _discard(2)


def _discard(descriptor: int) -> None:
    """Sends what is still written there to nowhere, or the interpreter complains as it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
