"""Parameter types and options that several commands share."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from daemon.config import Config

SPEED_HELP = "Times real time; max is as fast as it goes."
_MOST_SECONDS = 1e9  # some thirty years

Command = TypeVar("Command", bound=Callable[..., Any])


class SpeedParam(click.ParamType[float | None]):
    """Times real time, or "max" (None: as fast as it goes)."""

    name = "N|max"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        from daemon.config.values import LEAST_SPEED, MOST_SPEED

        try:
            speed = None if value == "max" else float(value)
        except ValueError:
            speed = 0.0
        if speed is not None and not LEAST_SPEED <= speed <= MOST_SPEED:
            self.fail(f'{value!r} is neither "max" nor a number from {LEAST_SPEED:g} to {MOST_SPEED:g}', param, ctx)
        return speed


class SecondsParam(click.ParamType[float]):
    """Seconds since something began: a number from 0 on."""

    name = "SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= _MOST_SECONDS:
            self.fail(f"{value!r} is no number of seconds from 0 to {_MOST_SECONDS:.0f}", param, ctx)
        return seconds


class MomentParam(click.ParamType[int]):
    """An RFC 3339 time, as nanoseconds since the Unix epoch."""

    name = "RFC3339"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from streams.formats import rfc3339

        try:
            return rfc3339.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ChannelsParam(click.ParamType[tuple[str, ...]]):
    """Names of the channels of sound, with commas between."""

    name = "NAME,NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        from streams.participants import CHANNEL_RULE, are_channel_names

        names = value if isinstance(value, tuple) else tuple(name.strip() for name in value.split(","))
        if names and not are_channel_names(names):
            self.fail(f"{value!r} is not {CHANNEL_RULE}", param, ctx)
        return names


def channels(command: Command) -> Command:
    """Adds the way to say who speaks on which channel."""
    return click.option(
        "--channels",
        type=ChannelsParam(),
        default=(),
        help="Who speaks on each channel of sound, as agent,customer.",
    )(command)


def configured(command: Command) -> Command:
    """Adds the two ways to configure a command."""
    command = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Overrides one key (sources.0.name of a list); may be repeated.",
    )(command)
    return click.option(
        "--config",
        "file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Configuration file (TOML); else the defaults.",
    )(command)


def load_configured(file: Path | None, settings: Sequence[str]) -> "Config":
    """The effective configuration, whose logging holds from here on.

    ConfigurationError with all that is wrong.
    """
    from daemon.config.source import load
    from daemon.telemetry import logs

    config = load(file, os.environ, settings)
    logs.configure(config.log.level, config.log.format)
    return config


def load_configured_to_run(file: Path | None, settings: Sequence[str]) -> "Config":
    """As `load_configured`, with sources, files and devices that exist.

    What is merely doubtful is logged.
    """
    import structlog

    from daemon.config.source import load_to_run
    from daemon.telemetry import logs

    config, warnings = load_to_run(file, os.environ, settings)
    logs.configure(config.log.level, config.log.format)
    for warning in warnings:
        structlog.get_logger(__name__).warning("configuration", doubt=warning)
    return config
