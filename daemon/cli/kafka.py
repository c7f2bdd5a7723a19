"""The commands that speak to Kafka: `affectd produce` and `affectd dead-letters`."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from daemon.cli.options import SPEED_HELP, MomentParam, SpeedParam, channels, configured, load_configured

if TYPE_CHECKING:
    from daemon.commands.dead_letters import LetterFilter
    from daemon.config import Config

Command = TypeVar("Command", bound=Callable[..., Any])


class _Place(click.ParamType[tuple[int, int]]):
    """Where a dead letter lies."""

    name = "PARTITION:OFFSET"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        partition, _, offset = value.partition(":")
        try:
            return int(partition), int(offset)
        except ValueError:
            self.fail(f"{value!r} is no PARTITION:OFFSET, such as 0:17", param, ctx)


class _ListIsDefault(click.Group):
    """A group whose command `list` need not be written."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _on_a_cluster(command: Command) -> Command:
    """Adds the two ways to say which cluster is meant."""
    return configured(
        click.option(
            "--bootstrap-servers", "server", metavar="HOST:PORT", help="A broker, in place of a configured cluster."
        )(command)
    )


def _pick(command: Command) -> Command:
    """Adds the ways to say which letters are meant."""
    for option in (
        click.option(
            "--offset", "places", type=_Place(), multiple=True, help="Only the letter that lies there; may be repeated."
        ),
        click.option("--since", "since_ns", type=MomentParam(), help="Only those first seen at this time or later."),
        click.option(
            "--reason", "reasons", multiple=True, metavar="REASON", help="Only those of this reason; may be repeated."
        ),
    ):
        command = option(command)
    return command


def _load(file: Path | None, settings: tuple[str, ...], server: str | None) -> "Config":
    if file is not None and server is not None:
        raise click.UsageError("--config says which cluster is meant, and so does --bootstrap-servers; give one")
    config = load_configured(file, settings)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what goes wrong ends the command with a sentence of ours
    return config


@click.command()
@_on_a_cluster
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--session", metavar="ID", help="Names the session, where there is only one.")
@click.option("--speed", type=SpeedParam(), default="max", show_default=True, metavar="N|max", help=SPEED_HELP)
@click.option("--start", "start_ns", type=MomentParam(), show_default="now", help="First event time.")
@click.option(
    "--pictures",
    type=click.Choice(["png", "jpeg"]),
    default="png",
    show_default=True,
    help="png loses nothing, jpeg is a quarter of it.",
)
@channels
def produce(file: Path | None, settings: tuple[str, ...], server: str | None, **production: Any) -> None:
    """Sends media files, chat and recordings into Kafka."""
    config = _load(file, settings, server)
    from daemon.commands.produce import Production, produce
    from daemon.kafka.endpoints import inputs

    produce(config, inputs(config, file, server), Production(**production))


@click.group(cls=_ListIsDefault)
def dead_letters() -> None:
    """Looks at what was set aside, or sends it again."""


@dead_letters.command("list")
@_on_a_cluster
@_pick
def list_(file: Path | None, settings: tuple[str, ...], server: str | None, **picked: Any) -> None:
    """Prints a JSON object for each dead letter; the default."""
    config = _load(file, settings, server)
    from daemon.commands.dead_letters import list_letters
    from daemon.kafka.endpoints import dead_letter_topic

    list_letters(dead_letter_topic(config, file, server), _as_pick(**picked))


@dead_letters.command()
@_on_a_cluster
@_pick
@click.option("--all", "also_sent_before", is_flag=True, help="Those too that were sent before, or came back 3 times.")
@click.option("--dry-run", is_flag=True, help="Prints what would be sent.")
@click.option("--yes", is_flag=True, help="Does not ask, on a terminal either.")
def replay(
    file: Path | None,
    settings: tuple[str, ...],
    server: str | None,
    dry_run: bool,
    yes: bool,
    **picked: Any,
) -> int:
    """Sends dead letters once more, to where they came from."""
    config = _load(file, settings, server)
    from daemon.commands.dead_letters import replay_letters
    from daemon.kafka.endpoints import dead_letter_topic

    def agreed(count: int) -> bool:
        return yes or not sys.stdin.isatty() or click.confirm(f"send {count} letters once more?", err=True)

    return replay_letters(dead_letter_topic(config, file, server), _as_pick(**picked), dry_run, agreed)


def _as_pick(
    reasons: tuple[str, ...],
    since_ns: int | None,
    places: tuple[tuple[int, int], ...],
    also_sent_before: bool = False,
) -> "LetterFilter":
    from daemon.commands.dead_letters import LetterFilter

    return LetterFilter(frozenset(reasons), since_ns, frozenset(places), also_sent_before)
