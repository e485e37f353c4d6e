"""The memory that this process holds in; the same memory in huge pages out.

A reading touches some thirty places among hundreds of megabytes of devices. Where those stand in
pages of 4 kB, the processor has to look up most of them in the page tables first: a quarter of what
judging costs at 100,000 devices. Linux has pages of 2 MB for whoever asks (`madvise`), and Python
doesn't ask. What is asked for here is what is full already: thread stacks and heaps that are only
reserved would become as large as they may ever be.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PAGE: Final = 2 << 20  # bytes
DENSE: Final = 0.75  # of a mapping is in memory
GROWN: Final = 1.05  # times what was settled before, until it is worth another look
PIECE: Final = 4 * PAGE  # bytes that are moved without a pause
PAUSE: Final = 0.005  # seconds; whoever uses what is being moved waits for it, 0.5 s if for all
ADVISE, COLLAPSE = 14, 25  # MADV_HUGEPAGE; MADV_COLLAPSE, which Linux has from 6.1 on
ENABLED: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
MAPPINGS: Final = Path("/proc/self/smaps")
SIZES: Final = Path("/proc/self/statm")


class HugePages:
    """Settles what has grown since the last time."""

    def __init__(self) -> None:
        self._settled = 0  # pages of 4 kB that were in memory by then
        self._ended = False

    def have_grown(self) -> bool:
        """Whether there is so much more than before that it is worth the while. It took 14 µs."""
        return resident() > GROWN * max(self._settled, PAGE // 4096)

    def settle(self) -> int:
        """Move what is full into huge pages; how many bytes are in such mappings.

        It took 300 ms for each 100 MB that was new, in which other threads may run: call it in one
        of its own. 0 where there are no huge pages to be had, or the machine's owner wants none.
        """
        self._settled = resident()
        try:
            if "[never]" in ENABLED.read_text():
                return 0
            mappings = MAPPINGS.read_text()
        except OSError:
            return 0
        return sum(self._settle(start, end) for start, end in dense(mappings))

    def end(self) -> None:
        """The process is about to: what isn't settled yet stays as it is."""
        self._ended = True

    def _settle(self, start: int, end: int) -> int:
        if _madvise(start, end - start, ADVISE):
            return 0
        for first in range(start, end, PIECE):  # at once; Linux itself takes minutes to come by
            if self._ended:
                return first - start
            _madvise(first, min(PIECE, end - first), COLLAPSE)
            time.sleep(PAUSE)
        return end - start


def resident() -> int:
    """Pages of 4 kB that are in memory; 0 where that can't be told."""
    try:
        return int(SIZES.read_text().split()[1])
    except OSError:
        return 0


def dense(mappings: str) -> Iterator[tuple[int, int]]:
    """Whole huge pages of anonymous memory that is written to and mostly there, from the text of
    `/proc/<pid>/smaps`: first byte and the one after the last."""
    start = end = 0
    for line in mappings.splitlines():
        name, *words = line.split()
        if name == "Rss:" and int(words[0]) * 1024 >= DENSE * (end - start) > 0:
            first, last = -(-start // PAGE) * PAGE, end // PAGE * PAGE
            if first < last:
                yield first, last
        elif not name.endswith(":"):
            private = words[0].startswith("rw-p") and words[3] == "0"
            start, end = (int(one, 16) for one in name.split("-")) if private else (0, 0)


def _madvise(start: int, length: int, advice: int) -> int:
    return int(_libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), advice))


_libc = ctypes.CDLL(None)
