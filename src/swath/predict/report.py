"""What a prediction did: counts and areas per strip, and the report of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import grids
from swath.errors import ContractError
from swath.failures import Failure
from swath.predict.fields import CLASS_TASKS
from swath.predict.inputs import part_of
from swath.predict.seams import Seams
from swath.predict.sweep import Finished
from swath.types import Predictor

_AREA_STEP = 16  # pixels between the places where the areal scale of a projection is evaluated


@dataclass(frozen=True)
class PredictionReport:
    """What ``predict_scene`` did.

    Args:
        files: written file per output.
        shape: rows and columns of the map.
        block: rows and columns of a super-block.
        batch_size: tiles per call of the predictor.
        tiles: distinct tiles of the scene.
        predicted: tiles given to the predictor, counting those that two strips need twice.
        skipped: tiles without a valid pixel, which no model saw; counted like ``predicted``.
        recompute: planned tiles over distinct tiles (see ``swath.predict.tiles``).
        model_s: seconds of this run inside ``predictor.predict`` and the softmax.
        other_s: all other seconds of this run: reading, cutting, blending, writing, as far as the model waited for it.
        valid_share: share of pixels with a prediction.
        pixels: number of pixels per class; empty for quantities.
        area_km2: area per class in square kilometres; empty where the grid has no areas, and for quantities.
        strips: strips of the scene.
        resumed: strips that an earlier run had finished.
        chunks_read: stored chunks that this run decoded; 0 for a cube in memory.
        chunks_needed: different ones among them.
        seams: how much of the tiling can be seen.
        failures: what could not be read and is no-data in the map.
        failure_table: the same as a CSV file beside the map; None without failures.
    """

    files: dict[str, Path]
    shape: tuple[int, int]
    block: tuple[int, int]
    batch_size: int
    tiles: int
    predicted: int
    skipped: int
    recompute: float
    model_s: float
    other_s: float
    valid_share: float
    pixels: dict[str, int]
    area_km2: dict[str, float]
    strips: int = 1
    resumed: int = 0
    chunks_read: int = 0
    chunks_needed: int = 0
    seams: Seams = field(default_factory=lambda: Seams(None, None, None, 0))
    failures: tuple[Failure, ...] = ()
    failure_table: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON; paths as text."""
        table = None if self.failure_table is None else str(self.failure_table)
        files = {name: str(path) for name, path in self.files.items()}
        return {**asdict(self), "files": files, "failure_table": table}


class Counts:
    """Valid pixels, and pixels and area per class.

    Args:
        predictor: its classes are counted.
        geobox: grid of the map.
    """

    def __init__(self, predictor: Predictor, geobox: GeoBox) -> None:
        self.classes = predictor.classes if predictor.task in CLASS_TASKS else ()
        self.valid = 0
        self._geobox = geobox
        self._pixels = np.zeros(len(self.classes), dtype=np.int64)
        self._area = np.zeros(len(self.classes), dtype=np.float64)
        # Here, before threads begin: see grids.geobox, where the projection is made once.
        self._has_area = _has_areas(geobox)

    def add(self, finished: Finished) -> None:
        """Count one finished window."""
        self.valid += int(finished.valid.sum())
        if not self.classes or finished.fields is None:
            return
        used = finished.fields.labels[finished.valid]
        pixels = np.bincount(used, minlength=len(self.classes))
        self._pixels += pixels
        if self._has_area:
            area = window_area_m2(self._geobox, finished.block.rows, finished.block.columns)
            self._area += np.bincount(used, weights=area[finished.valid], minlength=len(self.classes))

    def as_dict(self) -> dict[str, Any]:
        """The counts for JSON."""
        area = self._area.tolist() if self._has_area else None
        return {"valid": self.valid, "pixels": self._pixels.tolist(), "area_m2": area}

    def merge(self, counts: Mapping[str, Any]) -> None:
        """Add the counts of a strip, as ``as_dict`` gave them."""
        self.valid += int(counts["valid"])
        self._pixels += np.asarray(counts["pixels"], dtype=np.int64)
        if counts["area_m2"] is None:
            self._has_area = False
        else:
            self._area += np.asarray(counts["area_m2"], dtype=np.float64)

    def pixels(self) -> dict[str, int]:
        """Number of pixels per class."""
        return {name: int(count) for name, count in zip(self.classes, self._pixels, strict=True)}

    def area_km2(self) -> dict[str, float]:
        """Area per class."""
        if not self._has_area:
            return {}
        return {name: float(area) / 1e6 for name, area in zip(self.classes, self._area, strict=True)}


def _has_areas(geobox: GeoBox) -> bool:
    """Whether pixels have areas, which those of a rotated grid in degrees have not."""
    try:
        window_area_m2(geobox, (0, 1), (0, 1))
    except ContractError:
        return False
    return True


def window_area_m2(geobox: GeoBox, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.float64]:
    """Pixel areas of a window in square metres, (y, x).

    Geographic grids: exact. Projected grids: the areal scale is evaluated every 16 pixels, which is enough for a
    quantity that changes over hundreds of kilometres.
    """
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    start = (rows[0], columns[0])
    if geobox.crs is None or geobox.crs.geographic:
        return grids.cell_area_m2(part_of(geobox, start, (height, width)))
    coarse = part_of(geobox, start, (-(-height // _AREA_STEP), -(-width // _AREA_STEP)), _AREA_STEP)
    areas = grids.cell_area_m2(coarse) / _AREA_STEP**2
    return areas.repeat(_AREA_STEP, axis=0)[:height].repeat(_AREA_STEP, axis=1)[:, :width]
