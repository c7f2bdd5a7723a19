"""The commands about this machine: `affectd doctor`, `devices` and `bench`."""

import json
from pathlib import Path

import click

from daemon.cli.options import configured, load_configured
from daemon.exit_codes import ExitCode

_BENCHMARKS = ("align", "encode", "fuse", "ingest", "transcribe")
_BENCH_COLUMNS = ("bench", "figure", "value", "unit", "ratio", "against")


@click.command()
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


@click.command()
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


@click.command()
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
    from daemon.config import Config
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
