"""Settings in; what asks the databases that they name out, or None where there is nothing to ask.

A view does without a database that can't be asked, and says why once: its archive is what refuses.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from pipeline.settings import PREFIX, Settings

if TYPE_CHECKING:  # their drivers need not be there
    from pipeline.web.newest import Newest
    from pipeline.web.past import Past

log = logging.getLogger(__name__)

CLIENTS: Final = {"mysql": ("past", "Past"), "redis": ("newest", "Newest")}


def past_of(settings: Settings) -> Past | None:
    past: Past | None = _client(settings, "mysql")
    return past


def newest_of(settings: Settings) -> Newest | None:
    newest: Newest | None = _client(settings, "redis")
    return newest


def _client(settings: Settings, sink: str) -> Any:
    if not getattr(settings, f"{sink}_url"):
        return None
    module, name = CLIENTS[sink]
    try:
        return getattr(import_module(f"pipeline.web.{module}"), name)(settings)
    except ModuleNotFoundError as error:
        why = f"its driver is missing ({error.name}): pip install 'smart-iot[storage]'"
    except ValueError as error:
        why = f"{PREFIX}{sink.upper()}_URL can't be used: {error}"
    log.warning("the web view doesn't ask %s: %s", sink, why)
    return None
