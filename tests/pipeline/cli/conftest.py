"""The web view's fixtures, for the commands that watch one."""

from tests.pipeline.web.conftest import log, settings, site, unborn_log

__all__ = ["log", "settings", "site", "unborn_log"]
