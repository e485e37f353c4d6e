"""Environment and settings file in; the text of each setting, and where it stands, out.

A setting `partitions` is `SMART_IOT_PARTITIONS` in the environment, and `partitions` in the file
(TOML) that `SMART_IOT_SETTINGS` names; the environment wins. A secret can be in a file of its own,
which `SMART_IOT_SASL_PASSWORD_FILE` or `sasl_password_file` names. Relative paths in the settings
file begin at its folder. A variable that is empty is as good as none.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

PREFIX: Final = "SMART_IOT_"
SETTINGS: Final = PREFIX + "SETTINGS"
FILE: Final = "_file"
ENVIRONMENT: Final = "environment"
_OTHERS: Final = frozenset({"SMART_IOT_CORE"})  # the build's: see setup.py
# What Kubernetes tells a pod about Services whose names begin as our variables do
_LINK: Final = re.compile(
    r"SMART_IOT_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)"
)
_LINKED: Final = re.compile(r"(tcp|udp|sctp)://\S+:\d+")


@dataclass(frozen=True, slots=True)
class Given:
    """The text of a setting, how an error names it, and where it stands."""

    text: str
    named: str
    where: str


def given(
    environment: Mapping[str, str], settings: Iterable[Field[Any]]
) -> tuple[dict[str, Given], list[str]]:
    """What is given of these settings, and what is wrong with the way it is."""
    known = {setting.name: setting for setting in settings}
    found: dict[str, Given] = {}
    wrong: list[str] = []
    for place in _places(environment, known, wrong):
        for name in [name for name in known if name not in found]:
            try:
                one = place.of(known[name])
            except ValueError as error:
                wrong.append(str(error))
            else:
                found |= {} if one is None else {name: one}
        wrong += place.unknown(known)
    return found, wrong


@dataclass(frozen=True, slots=True)
class _Place:
    """Texts by the names of settings, as one place has them."""

    where: str
    texts: Mapping[str, str]
    folder: Path | None = None  # of a file: where its relative paths begin

    def spelled(self, name: str) -> str:
        in_the_environment = self.folder is None and not name.startswith(PREFIX)
        return PREFIX + name.upper() if in_the_environment else name

    def named(self, name: str) -> str:
        return self.spelled(name) if self.folder is None else f"{self.where}: {name}"

    def of(self, setting: Field[Any]) -> Given | None:
        """ValueError, in words, where it is given in a way that can't be meant."""
        name, secret = setting.name, setting.metadata["secret"]
        if secret and name + FILE in self.texts:
            return self._secret(name)
        if (text := self.texts.get(name)) is None:
            return None
        named = self.named(name) if secret else f"{self.named(name)}={text}"
        is_path = setting.metadata["kind"].is_path
        return Given(self._path(text) if is_path else text, named, self.where)

    def unknown(self, known: Mapping[str, Field[Any]]) -> list[str]:
        """A name with a slip in it would otherwise be a setting that silently does nothing."""
        secrets = {name + FILE for name, one in known.items() if one.metadata["secret"]}
        allowed = known.keys() | secrets
        return [
            f"{self.named(name)} is no setting{self._meant(name, allowed)}"
            for name in sorted(self.texts.keys() - allowed)
        ]

    def _secret(self, name: str) -> Given:
        named, by = self.named(name), self.spelled(name + FILE)
        if name in self.texts:
            raise ValueError(f"{named} is set twice: as {self.spelled(name)} and as {by}")
        path = self._path(self.texts[name + FILE])
        try:
            return Given(Path(path).read_text().strip(), named, path)
        except OSError as error:
            raise ValueError(f"{named} can't be read: {by}={path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{named} can't be read: {by}={path}: it is not UTF-8") from None

    def _path(self, text: str) -> str:
        if not text or self.folder is None:
            return text
        return str(self.folder / Path(text).expanduser())

    def _meant(self, name: str, allowed: Iterable[str]) -> str:
        near = get_close_matches(name.removeprefix(PREFIX), allowed, n=1)
        return f": {self.spelled(near[0])} is meant?" if near else ""


def _places(
    environment: Mapping[str, str], known: Mapping[str, Field[Any]], wrong: list[str]
) -> Iterator[_Place]:
    """The one that wins first."""
    ours = {
        name: text
        for name, text in environment.items()
        if name.startswith(PREFIX)
        and name not in (SETTINGS, *_OTHERS)
        and not _is_link(name, text, known)
        and (text or _in_small(name) not in known)
    }
    # one that isn't in capitals stays as it is, and so is none
    texts = {_in_small(name) if name.isupper() else name: text for name, text in ours.items()}
    yield _Place(ENVIRONMENT, texts)
    if path := environment.get(SETTINGS):
        try:
            yield _file(Path(path), wrong)
        except OSError as error:
            wrong.append(f"{SETTINGS}={path} can't be read: {error.strerror}")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            wrong.append(f"{SETTINGS}={path} is not TOML: {error}")


def _file(path: Path, wrong: list[str]) -> _Place:
    texts = {}
    for name, value in tomllib.loads(path.read_text()).items():
        try:
            texts[name] = _text(value)
        except ValueError as error:
            wrong.append(f"{path}: {name} {error}")
    return _Place(str(path), texts, path.absolute().parent)


def _text(value: Any) -> str:
    """A value of TOML, as the environment would have it."""
    match value:
        case bool():
            return "YES" if value else "NO"
        case str() | int() | float():
            return str(value)
        case list() if all(isinstance(one, str) for one in value):
            return ",".join(value)
        case list() if all(isinstance(one, dict) for one in value):
            return json.dumps(value, default=str)
        case dict():
            raise ValueError("is a table: settings stand at the top of the file, in none")
    raise ValueError("is neither text, a number nor a list of them")


def _is_link(name: str, text: str, known: Mapping[str, Field[Any]]) -> bool:
    """Of a Service named `smart-iot-web` there is even a SMART_IOT_WEB_PORT."""
    is_ours = _in_small(name) in known
    return bool(_LINK.fullmatch(name)) and (not is_ours or bool(_LINKED.fullmatch(text)))


def _in_small(name: str) -> str:
    return name.removeprefix(PREFIX).lower()
