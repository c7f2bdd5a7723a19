"""The commands about the configuration: `check-config`, `show-config` and `profiles`."""

import os
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides one key.")
def check_config(file: Path, settings: tuple[str, ...]) -> None:
    """Says all that is wrong with a configuration file.

    With file:line and key, before `affectd run` would: keys and values, and whether files and devices are there.
    """
    from daemon.config.source import load_to_run

    _, warnings = load_to_run(file, os.environ, settings)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{file}: good", err=True)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides one key.")
def show_config(file: Path | None, settings: tuple[str, ...]) -> None:
    """Prints the effective configuration.

    From flags, environment, file and defaults, as TOML.
    """
    from daemon.config.reference import effective
    from daemon.config.source import load

    click.echo(effective(load(file, os.environ, settings)), nl=False)


@click.command()
@click.argument("name", required=False)
def profiles(name: str | None) -> None:
    """Lists the profiles, or prints one.

    A configuration starts from a profile by extends = "NAME".
    """
    from daemon.config.profiles import profile_file, profile_names, profile_settings

    if name is None:
        for each in profile_names():
            click.echo(f"{each:<18}{profile_settings(each).intended}")
        return
    file = profile_file(name)
    if file is None:
        raise click.BadParameter(f"must be one of {', '.join(profile_names())}", param_hint="NAME")
    click.echo(file.read_text(encoding="utf-8"), nl=False)
