"""The environment in; the settings as they are here, and where each comes from, out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from typing import Any, Final

import click

from pipeline.given import FILE, PREFIX, SETTINGS, given
from pipeline.settings import Settings

HIDDEN: Final = "(hidden)"
DEFAULT: Final = "default"
EXAMPLE: Final = f"""\
# Every setting of smart-iot, at its default; take the # away from those that you change.
#
# The form is that of `docker compose` (env_file), `docker run --env-file` and systemd
# (EnvironmentFile). A TOML file can have the same names in small letters, without {PREFIX};
# {SETTINGS} names it, and what stands in the environment wins. A secret is better kept
# in a file of its own, which ..._FILE names.
# `smart-iot settings` says what holds, and where it comes from. Written by `make example`.
"""


@click.command()
@click.option("--example", is_flag=True, help="All of them explained, as a file to begin with.")
def settings(example: bool) -> None:
    """Print every setting as it is here, and where it comes from. Secrets stay hidden.

    What is wrong is refused, all of it at once.
    """
    if example:
        click.echo(explained(), nl=False)
        return
    rows = list(told(os.environ))
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, where in rows:
        click.echo(f"{name:{names}}  {value:{values}}  {where}")


def told(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, value and origin of each; SettingsError where one is wrong."""
    effective = Settings.of(environment)
    texts, _ = given(environment, fields(Settings))
    for setting in fields(Settings):
        where = texts[setting.name].where if setting.name in texts else DEFAULT
        yield name_of(setting), _shown(setting, getattr(effective, setting.name)), where


def explained() -> str:
    return EXAMPLE + "".join(map(_entry, fields(Settings)))


def name_of(setting: Field[Any]) -> str:
    return PREFIX + setting.name.upper()


def _shown(setting: Field[Any], value: Any) -> str:
    if setting.metadata["secret"]:
        return HIDDEN if value else ""
    return str(setting.metadata["kind"].write(value))


def _entry(setting: Field[Any]) -> str:
    name, kind, explain = name_of(setting), setting.metadata["kind"], setting.metadata["explain"]
    lines = [f"\n# {explain}", f"# {kind.allowed}", f"#{name}={_shown(setting, setting.default)}"]
    if setting.metadata["secret"]:
        lines.append(f"#{name}{FILE.upper()}=")
    if kind.allowed in ("text", "a path") or kind.allowed in explain:
        del lines[1]
    return "\n".join(lines) + "\n"
