"""Chips: cut, split, describe, augment and load small samples of scenes."""

from __future__ import annotations

from swath.chips.augment import Augment
from swath.chips.blocks import stack_windows
from swath.chips.cut import cut, cut_quantities
from swath.chips.joined import JoinedSet, join
from swath.chips.label import Labelled, label_from_rasters, label_from_table
from swath.chips.loader import ChipLoader
from swath.chips.quantities import Quantities
from swath.chips.samples import Samples, ValueStatistics, input_statistics, open_samples, value_statistics
from swath.chips.show import contact_sheet
from swath.chips.split import leak_check, split_by_block, split_by_region
from swath.chips.statistics import Statistics, statistics
from swath.chips.store import ChipArrays, ChipSet, open
from swath.chips.stored import StoredScene, stored_scene
from swath.chips.stream import WindowStream
from swath.chips.tally import DropRules
from swath.chips.targets import Targets
from swath.chips.windows import grid_windows, random_windows, windows_at

__all__ = [
    "Augment",
    "ChipArrays",
    "ChipLoader",
    "ChipSet",
    "DropRules",
    "JoinedSet",
    "Labelled",
    "Quantities",
    "Samples",
    "Statistics",
    "StoredScene",
    "Targets",
    "ValueStatistics",
    "WindowStream",
    "contact_sheet",
    "cut",
    "cut_quantities",
    "grid_windows",
    "input_statistics",
    "join",
    "label_from_rasters",
    "label_from_table",
    "leak_check",
    "open",
    "open_samples",
    "random_windows",
    "split_by_block",
    "split_by_region",
    "stack_windows",
    "statistics",
    "stored_scene",
    "value_statistics",
    "windows_at",
]
