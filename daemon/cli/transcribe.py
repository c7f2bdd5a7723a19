"""The command `affectd transcribe`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from daemon.cli.options import channels, configured, load_configured
from daemon.exit_codes import ExitCode

if TYPE_CHECKING:
    from daemon.commands.transcribe import Spoken
    from daemon.commands.transcript_formats import Cue

Format = Literal["jsonl", "srt", "text"]


@click.command()
@configured
@channels
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option(
    "--format",
    "written_as",
    type=click.Choice(["jsonl", "srt", "text"]),
    default="jsonl",
    show_default=True,
    help="JSON lines with the times of words, subtitles (SubRip), or a line of text for each utterance.",
)
def transcribe(
    file: Path | None,
    settings: tuple[str, ...],
    channels: tuple[str, ...],
    paths: tuple[Path, ...],
    written_as: Format,
) -> int:
    """Says what was said, when, by whom, and in which session.

    Of stored sessions, or folders of them. Who spoke is known where channels have names. Only sound is read: chat is
    not transcribed.
    """
    config = load_configured(file, settings)
    from daemon.commands import transcribe as command
    from daemon.commands.progress import counted, shown
    from daemon.commands.refusals import refusals
    from daemon.telemetry.instruments import Instruments

    instruments = Instruments()
    sessions = command.sound_sessions(paths, instruments, channels)
    writer = _Writer(written_as, several=len(sessions) > 1)
    try:
        with shown("loading the recogniser", where=not sys.stdout.isatty()) as progress:
            outcome = command.transcribe(config, sessions, writer.write, instruments, progress)
    finally:
        writer.end()
    found = counted(outcome.utterances, "utterance") if outcome.utterances else "no speech was found"
    click.echo(f"{outcome.heard_s:.0f} s of {counted(len(sessions), 'session')} heard: {found}", err=True)
    if outcome.refused:
        click.echo(refusals(outcome.refused, outcome.counts), err=True)
    return ExitCode.BAD_DATA if outcome.refused and not outcome.counts.encoded else ExitCode.OK


class _Writer:
    """Writes utterances to stdout as they are found.

    Subtitles are kept until the end, since they are in order of time over all sessions.
    """

    def __init__(self, written_as: Format, several: bool) -> None:
        self._written_as = written_as
        self._several = several
        self._cues: list[Cue] = []

    def write(self, spoken: "Spoken") -> None:
        from daemon.commands.transcript_formats import cues, json_line, text_line

        utterance = spoken.utterance
        match self._written_as:
            case "jsonl":
                click.echo(json_line(utterance))
            case "text":
                click.echo(text_line(utterance, spoken.zero_ns))
            case "srt":
                self._cues += cues(utterance, spoken.zero_ns, self._several)

    def end(self) -> None:
        from daemon.commands.transcript_formats import subrip

        for cue in subrip(self._cues):
            click.echo(cue)
