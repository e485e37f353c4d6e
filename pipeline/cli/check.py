"""A rules file in, what is wrong with it out; or what its rules come to for one device."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.records import is_device_id
from pipeline.rules.description import describe
from pipeline.rules.faults import RulesError
from pipeline.rules.rulebook import Rulebook
from pipeline.rulesource import read_rules


def _device_id(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    if given is not None and not is_device_id(given):
        raise click.BadParameter("no device can have this id")
    return given


@click.command()
@click.argument("rules", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--device", callback=_device_id, help="Print the rules that hold for the device of this id."
)
def check(rules: Path, device: str | None) -> None:
    """Look for mistakes in a rules file; exit code 1 if there are any."""
    try:
        book = read_rules(rules)
    except RulesError as error:
        for fault in error.faults:
            click.echo(fault, err=True)
        raise SystemExit(1) from None
    _show(book, rules, device)


def _show(book: Rulebook, rules: Path, device: str | None) -> None:
    if device is None:
        named = ", ".join(sorted(book.metrics_named))
        click.echo(f"{rules}: no mistakes; the rules name {named or 'no metric'}")
        return
    click.echo(f"# the rules of {device}")
    for line in describe(book.of(device)):
        click.echo(line)
