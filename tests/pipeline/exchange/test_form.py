"""Lines in, a file out, and back; what is no whole export is refused in words."""

from __future__ import annotations

import gzip
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from pipeline.exchange.contents import looked_at
from pipeline.exchange.form import End, Head, Held, Line, Own, Unreadable, lines, writing
from pipeline.rows import NOTHING, PartitionRow, Row, encode
from pipeline.rules.clock import PartitionClock
from pipeline.rules.engine import Device
from pipeline.rules.version import NewerState

HEAD = Head(1, "0.1.0", "2026-11-26T07:00:00Z", "cluster", "", 2, {"readings": "id"})
OWN = Own(0, PartitionRow(4, [7, -1, -1], PartitionClock(), 1, 0, {}, 0.0, []).packed())
ATTIC = Held("attic", 0, Row(Device("attic"), list(NOTHING)).packed(3))
EVENT = b'{"alert_id":"a","seq":3,"device_id":"attic","rule":"hot","value":36.20}'
WHOLE: list[Line] = [HEAD, OWN, ATTIC, End(1, 0)]


def written(path: Path, *told: Line) -> bytes:
    with writing(path) as put:
        for line in told:
            put(line)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["state.jsonl", "state.jsonl.gz"])
def test_what_is_written_comes_back_packed_where_the_name_says_so(tmp_path, name):
    found = written(tmp_path / name, *WHOLE)
    plain = gzip.decompress(found) if name.endswith(".gz") else found
    assert list(lines(BytesIO(plain))) == WHOLE
    assert (found == plain) is not name.endswith(".gz")


def test_an_event_comes_back_to_the_byte(tmp_path):
    held = Held("attic", 0, ATTIC.row, [msgspec.Raw(EVENT)])
    _, again, _ = lines(BytesIO(written(tmp_path / "state", HEAD, held, End(1, 1))))
    assert isinstance(again, Held)
    assert [bytes(event) for event in again.open] == [EVENT]


def test_an_export_that_breaks_off_leaves_no_file_and_the_older_one_in_its_place(tmp_path):
    path = tmp_path / "state.jsonl"
    before = written(path, *WHOLE)
    with pytest.raises(TypeError):
        written(path, HEAD, object())  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([], "its last line is missing"),
        (WHOLE[:-1], "its last line is missing"),
        (WHOLE[1:], "line 1 doesn't belong there"),
        ([*WHOLE, ATTIC], "line 5 doesn't belong there"),
        ([HEAD, HEAD, End(0, 0)], "line 2 doesn't belong there"),
        ([HEAD, OWN, End(1, 0)], "it has 0 devices .* says 1"),
        ([HEAD, Held("attic", 0, encode([3, 1, []])), End(1, 0)], "device 'attic'"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path, told, why):
    with pytest.raises(Unreadable, match=why):
        looked_at(lines(BytesIO(written(tmp_path / "state", *told))))


def test_a_line_of_something_else_is_refused_with_its_number():
    with pytest.raises(Unreadable, match="line 1 is none of an export"):
        looked_at(lines(BytesIO(b'{"device_id": "attic", "temperature": 20}\n')))


@pytest.mark.parametrize(
    "told",
    [
        [msgspec.structs.replace(HEAD, form=2), End(0, 0)],
        [HEAD, Held("attic", 0, encode([99, 1, [], [], [], None])), End(1, 0)],
        [HEAD, Own(0, encode([99, 1, []])), End(0, 0)],
    ],
    ids=["file", "device", "partition"],
)
def test_what_a_newer_version_has_exported_is_refused(tmp_path, told):
    with pytest.raises(NewerState, match="newer smart-iot"):
        looked_at(lines(BytesIO(written(tmp_path / "state", *told))))


def test_what_was_looked_at_is_known(tmp_path):
    contents = looked_at(lines(BytesIO(written(tmp_path / "state", *WHOLE))))
    assert (contents.head, contents.devices, contents.generation) == (HEAD, 1, 4)
    assert contents.owns[0].applied == [7, -1, -1]
