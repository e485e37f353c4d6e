"""What the documents say is so: links lead somewhere, commands exist, tables are the code's."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import click
import pytest
from aiohttp import WSCloseCode

from pipeline.cli import main
from pipeline.cli.watch import BEGIN_ANEW
from pipeline.metrics import CLOSE_CODES
from pipeline.names import DAY_MS, Names
from pipeline.rules import specimen
from pipeline.shapes import Reason
from pipeline.web import viewer
from pipeline.web.asyncapi import CHANNELS, CLOSED_WITH
from pipeline.web.openapi import PATHS
from tests.documents import PAGES, ROOT, anchors, blocks, name_of, prose, rows

DECISIONS = sorted(ROOT.glob("docs/decisions/*.md"))
PAGE = 60  # lines
OURS = re.compile(r"`(?:\w+=\S+ )*(smart-iot [a-z][^`…]*|make [a-z][^`…]*|python -m [^`…]*)`")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
STREAMS = [one["address"] for one in CHANNELS.values() if one["address"].startswith("/ws/")]
NOT_RUN = re.compile(r"No test runs the commands|not run by (?:our|any) tests?")

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


# --- links and marks ----------------------------------------------------------------------------


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), link
        if anchor:
            assert anchor in anchors(there), link


def test_every_page_is_linked_from_another_one() -> None:
    linked = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s#]+)", prose(page))
    }
    folders = {path for path in linked if path.is_dir()}
    for page in PAGES:
        assert page == ROOT / "README.md" or page in linked or page.parent in folders, page


def test_every_block_says_what_it_is() -> None:
    for block in blocks():
        assert block.language, (name_of(block.page), block.text)


def test_what_is_said_to_be_run_is_a_command_a_line() -> None:
    for block in blocks():
        if block.language == "console":
            for line in block.text.splitlines():
                assert line.strip().startswith("$ "), (name_of(block.page), line)


def test_a_page_with_commands_that_no_test_runs_says_so() -> None:
    unrun = {block.page for block in blocks() if block.language in ("sh", "bash", "shell")}
    assert unrun, "deploy.md has some"
    for page in unrun:
        assert NOT_RUN.search(" ".join(page.read_text().split())), name_of(page)


# --- commands within sentences ------------------------------------------------------------------


def within_sentences() -> list[tuple[str, str]]:
    found = [(name_of(page), text) for page in PAGES for text in OURS.findall(prose(page))]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "command"), within_sentences())
def test_every_command_that_a_sentence_names_is_one(page: str, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        assert {word for word in words[1:] if "=" not in word} <= TARGETS
    elif words[0] == "python":
        assert find_spec(words[2]) is not None
    else:
        takes(words[1:])


def takes(words: list[str]) -> None:
    name, *arguments = words
    with click.Context(main) as context:
        found = main.get_command(context, name)
        assert found is not None, f"no command {name}"
        given = {word for word in arguments if word.startswith("-")}
        known = {option for one in found.params for option in (*one.opts, *one.secondary_opts)}
        assert given <= known


# --- what stands there twice --------------------------------------------------------------------


def test_every_kind_of_rule_has_its_fields() -> None:
    page = ROOT / "docs/rules.md"
    common = {row[0].strip("`") for row in rows(page, "Every kind")}
    assert common == {"kind", *specimen.COMMON}
    titles = re.findall(r"^### (`(\w+)`.*)$", page.read_text(), re.MULTILINE)
    assert {kind for _, kind in titles} == specimen.KINDS.keys()
    for title, kind in titles:
        told = {row[0].strip("`"): row[1] for row in rows(page, title)}
        assert told.keys() == specimen.KINDS[kind].keys()
        needed = {name for name, default in told.items() if default == "needed"}
        assert needed == set(specimen.NEEDED[kind])


def test_every_reason_of_an_event_is_explained() -> None:
    explained = [
        reason
        for row in rows(ROOT / "docs/rules.md", "What becomes of an alert")
        for reason in re.findall(r"`(\w+)`", row[0])
    ]
    (meta,) = get_args(Reason)[1:]
    assert sorted(explained) == sorted(meta.extra_json_schema["enum"])


def test_every_path_of_the_api_is_listed_with_its_methods_and_no_other_is() -> None:
    listed: dict[str, set[str]] = {}
    for row in rows(ROOT / "docs/api.md", "Paths"):
        spans = re.findall(r"`([^`]+)`", row[0])
        methods = {word for span in spans for word in span.split() if word.isupper()} or {"GET"}
        listed |= {path: methods for span in spans for path in span.split() if path[0] == "/"}
    told = {
        re.sub(r"\{(\w+)\}", r"<\1>", path): {method.upper() for method in methods}
        for path, methods in PATHS.items()
        if not path.startswith("/static/")
    }
    streams = {re.sub(r"\{(\w+)\}", r"<\1>", path): {"GET"} for path in STREAMS}
    assert listed == told | streams


def test_every_code_that_a_viewer_is_closed_with_is_explained_alike_and_no_other_is() -> None:
    assert dict(rows(ROOT / "docs/api.md", "Streams")) == CLOSED_WITH
    told = [channel["description"] for channel in CHANNELS.values() if "description" in channel]
    assert len(told) == len(STREAMS)
    for text in told:
        assert codes(text) == codes(" ".join(CLOSED_WITH))
    of_aiohttp = {WSCloseCode.PROTOCOL_ERROR, WSCloseCode.INVALID_TEXT, WSCloseCode.MESSAGE_TOO_BIG}
    assert codes(" ".join(CLOSED_WITH)) == codes_sent() | of_aiohttp
    assert codes_sent() | of_aiohttp == CLOSE_CODES - {WSCloseCode.OK, viewer.ABNORMAL}
    assert codes_sent() == codes_named() - {viewer.ABNORMAL}


def test_our_own_viewers_know_the_codes_by_which_they_act() -> None:
    line = (ROOT / "pipeline/web/page/src/line.ts").read_text()
    (known,) = re.findall(r"UNAUTHORIZED = (\d+), FORBIDDEN = (\d+);", line)
    assert tuple(map(int, known)) == (viewer.NO_TOKEN, viewer.TOO_SMALL_A_SCOPE)
    assert BEGIN_ANEW == viewer.SERVICE_RESTART


def codes(text: str) -> set[int]:
    return set(map(int, re.findall(r"\b\d{4}\b", text)))


def codes_named() -> set[int]:
    """The constants that say what a viewer is closed with, and as what it is counted."""
    text = (ROOT / "pipeline/web/viewer.py").read_text()
    return set(map(int, re.findall(r"^[A-Z_]+ = (\d{4})\b", text, re.MULTILINE)))


def codes_sent() -> set[int]:
    """By whatever ends a viewer."""
    text = "".join(path.read_text() for path in ROOT.glob("pipeline/web/*.py"))
    ends = re.findall(r"\b(?:end|end_all|Refused)\((?:.*, )?([A-Z_]{2,})\b", text)
    return {getattr(viewer, name) for name in ends}


def test_every_topic_is_listed_with_its_key_and_how_long_it_is_kept() -> None:
    listed: dict[str, str] = {}
    for row in rows(ROOT / "docs/operation.md", "Topics"):
        topics = re.findall(r"`([^`]+)`", row[0])
        kept = row[3].split(", ")
        listed.update(zip(topics, kept * len(topics) if len(kept) == 1 else kept, strict=False))
        if topics == ["readings"]:
            listed["readings"] = row[3]
    assert listed == {name: _kept(policy) for name, policy in Names("").policies().items()}


def _kept(policy: dict[str, str]) -> str:
    if policy["cleanup.policy"] == "compact":
        return "compacted"
    if policy["retention.ms"] == "-1":
        return f"by size, {int(policy['retention.bytes']) >> 30} GiB a partition"
    days = int(policy["retention.ms"]) // DAY_MS
    return f"{days} day{'s' if days > 1 else ''}"


# --- decisions ----------------------------------------------------------------------------------


def test_decisions_are_numbered_one_after_the_other() -> None:
    for number, page in enumerate(DECISIONS, 1):
        assert page.name.startswith(f"{number:04}-")
        assert page.read_text().startswith(f"# {number}. ")


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_is_one_page_with_why_what_was_rejected_and_what_it_costs(page: Path) -> None:
    text = page.read_text()
    assert len(text.splitlines()) <= PAGE
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert titles == ["Why", "What was rejected", "What it costs"]
    rejected = text.partition("## What was rejected")[2].partition("\n## ")[0]
    assert rejected.count("\n- **") >= 3


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_the_files_that_a_decision_names_are_there(page: Path) -> None:
    for path in re.findall(
        r"`((?:pipeline|agents|tables|tests|deploy)/[\w/.-]+)`", page.read_text()
    ):
        assert (ROOT / path).exists(), path
