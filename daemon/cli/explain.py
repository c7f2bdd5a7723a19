"""The command `affectd explain`."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from daemon.cli.options import SecondsParam, channels, configured, load_configured
from daemon.exit_codes import ExitCode
from models.labels import EMOTIONS, RISKS


@click.command()
@configured
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--at", "at_s", type=SecondsParam(), help="Only windows that hold this moment.")
@click.option(
    "--target",
    type=click.Choice([*EMOTIONS, *RISKS]),
    metavar="NAME",
    help="An emotion or a risk; else each window's most probable emotion.",
)
@click.option("--participant", metavar="NAME", help="Whose answer; else the session's.")
@channels
def explain(
    file: Path | None,
    settings: tuple[str, ...],
    paths: tuple[Path, ...],
    at_s: float | None,
    target: str | None,
    participant: str | None,
    channels: tuple[str, ...],
) -> int:
    """Says which pictures, seconds and words moved the answers.

    Of stored sessions, or folders of them: JSON lines on stdout, a sentence a window on stderr. --at counts from the
    first record. It takes seconds for each window; --at SECONDS is quicker than all of them.
    """
    config = load_configured(file, settings)
    from daemon.commands.explain import Question, explain
    from daemon.commands.progress import shown
    from daemon.commands.refusals import refusals

    def write(explanation: dict[str, Any], sentence: str) -> None:
        click.echo(json.dumps(explanation, ensure_ascii=False))
        click.echo(f"{explanation['window']['start']}  {sentence}", err=True)

    with shown("loading the model", where=not sys.stdout.isatty()) as progress:
        outcome = explain(config, paths, Question(at_s, target, participant), write, progress, channels)
    if outcome.refused:
        click.echo(refusals(outcome.refused, outcome.counts), err=True)
    if not outcome.windows:
        click.echo("no window was found to explain", err=True)
        return ExitCode.BAD_DATA
    return ExitCode.BAD_DATA if outcome.refused and not outcome.counts.encoded else ExitCode.OK
