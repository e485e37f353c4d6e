"""Command lines in, one command of `smart-iot` run; a refusal is one line on standard error."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from keyword import iskeyword
from typing import Any

import click

from pipeline.about import CORE, VERSION
from pipeline.settings import SettingsError

COMMANDS = (
    "up",
    "archive",
    "web",
    "topics",
    "simulate",
    "publish",
    "watch",
    "check",
    "backtest",
    "settings",
    "export",
    "import",
)  # each is the function of that name in its own module; a word of Python's has a _ behind it


class Refusal(click.ClickException):
    """Says why nothing was done, in one line where one is enough, and exits with 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"smart-iot: {self.format_message()}", file=file, err=file is None)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        raise Refusal(error.format_message()) from None
    except SettingsError as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read our output has gone: click ends quietly
            raise
        raise Refusal(_told(error)) from None


def _told(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        where = error.filename or "what was to be written"
        return f"no room for {where} ({error.strerror}): make room, or choose another folder"
    return str(error)


def _python(name: str) -> str:
    return f"{name}_" if iskeyword(name) else name


class Commands(click.Group):
    """Imports a command when it is asked for: `publish` needn't wait for what `up` imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if find_spec(f"pipeline.cli.{_python(name)}")]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command = getattr(import_module(f"pipeline.cli.{_python(name)}"), _python(name))
        return command if isinstance(command, click.Command) else None

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _refusals():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _refusals():
            return super().invoke(ctx)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, message=f"smart-iot, version %(version)s, {CORE} core")
def main() -> None:
    """Sensor readings in on Kafka, the right alert in the right browser."""
