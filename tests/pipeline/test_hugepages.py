from pathlib import Path

import pytest

from pipeline import hugepages
from pipeline.hugepages import HugePages, dense, resident

MB = 1 << 20
SIZE = 64 * MB


def mapping(start: int, size: int, resident: int, *, mode: str = "rw-p", of: str = "0") -> str:
    first, last = start * MB, (start + size) * MB
    where = f"{first:x}-{last:x} {mode} 00000000 00:00 {of}"
    return f"{where}   \nSize: {size * 1024} kB\nRss:  {resident * 1024} kB\n"


@pytest.mark.parametrize(
    ("mappings", "found"),
    [
        ([mapping(100, 50, 50)], [(100, 150)]),
        ([mapping(101, 50, 50)], [(102, 150)]),  # whole huge pages of it
        ([mapping(100, 50, 30)], []),  # a stack or a heap that is only reserved
        ([mapping(101, 2, 2)], []),  # none is whole
        ([mapping(100, 50, 50, mode="r-xp")], []),  # code
        ([mapping(100, 50, 50, mode="rw-s")], []),  # shared
        ([mapping(100, 50, 50, of="4711")], []),  # of a file
        ([mapping(100, 50, 50, of="7"), mapping(200, 8, 8)], [(200, 208)]),
    ],
)
def test_what_is_full_and_ours_alone_is_settled(
    mappings: list[str], found: list[tuple[int, int]]
) -> None:
    assert list(dense("".join(mappings))) == [(a * MB, b * MB) for a, b in found]


def huge() -> int:
    """Bytes of this process that are in huge pages."""
    lines = hugepages.MAPPINGS.read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("AnonHugePages:"))


def test_what_we_hold_comes_into_huge_pages_where_there_are_any() -> None:
    pages, before = HugePages(), huge()
    pages.settle()
    kept = bytearray(b"x") * SIZE
    assert pages.have_grown()
    settled = pages.settle()
    if hugepages.ENABLED.exists() and "[never]" not in hugepages.ENABLED.read_text():
        assert settled >= SIZE - 4 * MB
        assert huge() - before >= SIZE // 2  # Linux may be short of them
    assert not pages.have_grown()
    assert kept.count(b"x") == SIZE


def test_a_process_that_ends_waits_for_no_more_of_it() -> None:
    pages = HugePages()
    pages.end()
    assert pages.settle() == 0


def test_where_the_machine_s_owner_wants_none_there_are_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    enabled = tmp_path / "enabled"
    enabled.write_text("always madvise [never]\n")
    monkeypatch.setattr(hugepages, "ENABLED", enabled)
    assert HugePages().settle() == 0


def test_elsewhere_than_on_linux_nothing_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ENABLED", "SIZES"):
        monkeypatch.setattr(hugepages, name, tmp_path / "missing")
    pages = HugePages()
    assert not pages.have_grown()
    assert pages.settle() == 0
    assert resident() == 0
