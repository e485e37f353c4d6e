"""The name of a file in, a stream of its unpacked bytes out; - is standard input."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import cast

from pipeline.cli import Refusal


@contextmanager
def opened(path: str) -> Iterator[tuple[BufferedIOBase, int | None, Callable[[], int]]]:
    """A stream of unpacked bytes, the size of what is read (None: unknown), how much was read."""
    if path == "-":
        yield cast(BufferedIOBase, sys.stdin.buffer), None, lambda: 0
        return
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if path.endswith(".gz"):
                with gzip.open(file) as unpacked:
                    yield unpacked, size, file.tell
            else:
                yield file, size, file.tell
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise Refusal(f"{path} can't be read: {why}") from None
