"""A seed, options and a time in; the readings of a made-up fleet, and the truth about it, out."""

from pipeline.simulator.fleet import Options, Trouble, live
from pipeline.simulator.trouble import KINDS

__all__ = ["KINDS", "Options", "Trouble", "live"]
