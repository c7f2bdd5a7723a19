"""The commands that score sessions: `affectd run`, `demo` and `replay`."""

from pathlib import Path

import click

from daemon.cli.options import (
    SPEED_HELP,
    MomentParam,
    SpeedParam,
    channels,
    configured,
    load_configured,
    load_configured_to_run,
)


@click.command()
@configured
def run(file: Path | None, settings: tuple[str, ...]) -> int:
    """Runs the daemon until it is told to stop.

    SIGTERM or Ctrl-C finishes what has begun; a second one stops at once.
    """
    config = load_configured_to_run(file, settings)
    from daemon.runtime import service

    return service.run(config)


@click.command()
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


@click.command()
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
@channels
def replay(
    file: Path | None,
    settings: tuple[str, ...],
    paths: tuple[Path, ...],
    speed: float | None,
    out: Path | None,
    start_ns: int,
    channels: tuple[str, ...],
) -> int:
    """Scores media files, chat (.jsonl) and recorded sessions.

    PATH is a file, a recorded session's folder, or a folder of any of these: each is a session of its name.
    """
    config = load_configured(file, settings)
    from daemon.commands.replay import replay

    return replay(config, paths, speed, out, start_ns, channels)
