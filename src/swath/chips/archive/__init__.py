"""Chips from an archive: scenes chosen by date and cloud around points, label rasters or boxes.

Does what the chip creator of InstaGeo does, with its traps left out; see docs/archive_chips.md.
"""

from __future__ import annotations

from swath.chips.archive.boxes import read_boxes
from swath.chips.archive.points import Columns, read_points
from swath.chips.archive.rasters import read_records
from swath.chips.archive.request import Request
from swath.chips.archive.run import Report, from_boxes, from_points, from_rasters

__all__ = [
    "Columns",
    "Report",
    "Request",
    "from_boxes",
    "from_points",
    "from_rasters",
    "read_boxes",
    "read_points",
    "read_records",
]
