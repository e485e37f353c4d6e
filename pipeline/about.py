"""What this is: the version that is installed, and whether its core is compiled."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from pipeline.rules import engine

VERSION: Final = version("smart-iot")
CORE: Final = "plain" if str(engine.__file__).endswith(".py") else "compiled"
