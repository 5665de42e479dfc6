"""Corruptions: what noise, weather, gaps, compression and pose do to images, and what is left of a score under them."""

from __future__ import annotations

from swath.judge.corruptions.apply import corrupt
from swath.judge.corruptions.arrays import corrupt_array
from swath.judge.corruptions.examples import Example, draw_example
from swath.judge.corruptions.geometric import Placement
from swath.judge.corruptions.look import affected
from swath.judge.corruptions.render import corruption_grid, degradation_curves
from swath.judge.corruptions.scale import Scale
from swath.judge.corruptions.severities import APPEARANCE, GEOMETRIC, NAMES, SEVERITY_SET, canonical, chosen, strength
from swath.judge.corruptions.sweep import Sweep, corrupted, scores_of, summary, sweep
from swath.judge.corruptions.sweep_page import write_sweep_page
from swath.judge.corruptions.targets import TargetAdapter

__all__ = [
    "APPEARANCE",
    "GEOMETRIC",
    "NAMES",
    "SEVERITY_SET",
    "Example",
    "Placement",
    "Scale",
    "Sweep",
    "TargetAdapter",
    "affected",
    "canonical",
    "chosen",
    "corrupt",
    "corrupt_array",
    "corrupted",
    "corruption_grid",
    "degradation_curves",
    "draw_example",
    "scores_of",
    "strength",
    "summary",
    "sweep",
    "write_sweep_page",
]
