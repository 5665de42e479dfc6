"""What a layer holds inside an area: areas of classes, or how its numbers are distributed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.serve.places import Question, Refused
from swath.serve.tiles import RasterLayer
from swath.serve.zones import Block, Zone, blocks, zone

MAX_PIXELS = 2**24
"""Pixels around an area that are read at most; larger areas are estimated from an overview."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 2048


class Histogram:
    """Weights of numbers in bins of one width that doubles when a number lies outside: one pass, bounded memory.

    The bins are chosen by the first numbers; a quantile is off by one bin at most.
    """

    def __init__(self) -> None:
        self.low = 0.0
        self.width = 0.0
        self.weights = np.zeros(BINS)

    def add(self, numbers: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        """Count numbers (n,), all finite, with their weights (n,)."""
        if numbers.size == 0:
            return
        low, high = float(numbers.min()), float(numbers.max())
        if self.width == 0.0:
            self._begin(low, high)
        self._reach(low, high)
        place = np.clip((numbers - self.low) / self.width, 0, BINS - 1).astype(np.int64)
        self.weights += np.bincount(place, weights=weights, minlength=BINS)

    def quantile(self, share: float) -> float:
        """The number below which a share of the weight lies."""
        total = np.cumsum(self.weights)
        wanted = max(share * total[-1], np.finfo(float).tiny)  # never an empty bin before the first number
        place = int(np.searchsorted(total, wanted))
        before = total[place - 1] if place else 0.0
        inside = (wanted - before) / self.weights[place] if self.weights[place] > 0 else 0.0
        return float(self.low + (place + inside) * self.width)

    def _begin(self, low: float, high: float) -> None:
        span = (high - low) or max(abs(low), 1.0) * 1e-3
        self.low, self.width = low, span * 1.001 / BINS

    def _reach(self, low: float, high: float) -> None:
        """Double the bins until both ends lie inside."""
        half = BINS // 2
        while high >= self.low + self.width * BINS:
            self.weights = np.append(self.weights.reshape(half, 2).sum(axis=1), np.zeros(half))
            self.width *= 2
        while low < self.low:
            self.weights = np.append(np.zeros(half), self.weights.reshape(half, 2).sum(axis=1))
            self.low -= self.width * BINS
            self.width *= 2


def analyse(raster: RasterLayer, question: Question, limit: int = MAX_PIXELS) -> dict[str, Any]:
    """Class areas, or statistics of a continuous layer, of the pixels whose centres lie in an area.

    Args:
        raster: the layer.
        question: the area.
        limit: the most pixels that are read; beyond it the finest overview that fits is read, and ``exact`` is False.

    Returns:
        ready for JSON: ``pixels`` and ``nodata_pixels`` that were read inside the area, ``pixel_m``, ``area_km2`` of
        all of them, ``valid_km2``, ``nodata_share``, ``polygon_km2``, ``exact``, ``note``, and ``classes`` (pixels,
        area_km2, share of the valid area) or ``statistics`` (mean, std, minimum, maximum, quantiles, each weighted by
        area).

    Raises:
        Refused: a colour picture, or an area that cannot be read at once.
        RasterioError: the raster cannot be read.
    """
    if raster.layer.kind == "colour":
        raise Refused(422, f"The layer '{raster.layer.id}' is a colour picture; choose a map of classes or of numbers.")
    counter = _Classes(raster) if raster.layer.kind == "categorical" else _Numbers(raster)
    found = zone(raster, question.area, limit)
    pixels = missing = 0
    inside_m2 = valid_m2 = 0.0
    for block in blocks(found) if found is not None else ():
        usable = block.inside & block.valid
        pixels += int(block.inside.sum())
        missing += int(block.inside.sum()) - int(usable.sum())
        inside_m2 += float(block.areas[block.inside].sum())
        valid_m2 += float(block.areas[usable].sum())
        counter.add(block, usable)
    answer: dict[str, Any] = {
        "layer": raster.layer.id,
        "title": raster.layer.title,
        "kind": raster.layer.kind,
        "unit": raster.layer.unit,
        "exact": found is None or found.exact,
        "pixel_m": None if found is None else _short(found.pixel_m),
        "note": _note(found, pixels, missing),
        "pixels": pixels,
        "nodata_pixels": missing,
        "area_km2": inside_m2 / 1e6,
        "valid_km2": valid_m2 / 1e6,
        "nodata_share": 1.0 - valid_m2 / inside_m2 if inside_m2 else None,
        "polygon_km2": question.area_km2,
    }
    return answer | counter.result(valid_m2)


def _note(found: Zone | None, pixels: int, missing: int) -> str:
    """What a reader must know about the numbers."""
    if found is None:
        return "The area lies outside of this layer."
    if pixels == 0:
        return "No pixel centre of this layer lies in the area; draw a larger one."
    if not found.exact:
        return f"Estimated from pixels of {_metres(found.pixel_m)}: the area is too large to read every pixel."
    return "The layer has no data in the area." if missing == pixels else ""


def _metres(size: float) -> str:
    return f"{_short(size / 1000):g} km" if size >= 1000 else f"{_short(size):g} m"


def _short(number: float) -> float:
    return float(f"{number:.3g}")


class _Classes:
    """Pixels and area of every class of the legend, and of all numbers that it does not list together."""

    def __init__(self, raster: RasterLayer) -> None:
        self._legend = raster.layer.legend
        order = sorted(range(len(self._legend)), key=lambda place: self._legend[place].value)
        self._order = np.array(order)
        self._values = np.array([self._legend[place].value for place in order], dtype=np.float64)
        self._pixels = np.zeros(len(order) + 1, dtype=np.int64)
        self._areas = np.zeros(len(order) + 1)

    def add(self, block: Block, usable: NDArray[np.bool_]) -> None:
        numbers = block.values[0][usable].astype(np.float64)
        place = np.minimum(np.searchsorted(self._values, numbers), len(self._values) - 1)
        place = np.where(self._values[place] == numbers, self._order[place], len(self._legend))
        self._pixels += np.bincount(place, minlength=len(self._pixels))
        self._areas += np.bincount(place, weights=block.areas[usable], minlength=len(self._areas))

    def result(self, valid_m2: float) -> dict[str, Any]:
        entries: list[tuple[int | None, str, str | None]] = [(e.value, e.name, e.colour) for e in self._legend]
        if self._pixels[-1]:
            entries.append((None, "not in the legend", None))
        return {
            "classes": [
                {
                    "value": value,
                    "name": name,
                    "colour": colour,
                    "pixels": int(self._pixels[place]),
                    "area_km2": float(self._areas[place]) / 1e6,
                    "share": float(self._areas[place]) / valid_m2 if valid_m2 else None,
                }
                for place, (value, name, colour) in enumerate(entries)
            ]
        }


class _Numbers:
    """Mean, spread, ends and quantiles, each pixel with the weight of its area."""

    def __init__(self, raster: RasterLayer) -> None:
        self._raster = raster
        self._histogram = Histogram()
        self._weight = self._mean = self._squares = 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, block: Block, usable: NDArray[np.bool_]) -> None:
        # Beyond this, squares would leave the range of floating-point numbers.
        numbers = np.clip(self._raster.physical(block.values[0][usable]), -1e150, 1e150)
        weights = block.areas[usable]
        if numbers.size == 0:
            return
        # Blocks are joined by the update of Chan, Golub and LeVeque (1983), which loses no digits to large means.
        weight = float(weights.sum())
        mean = float((numbers * weights).sum() / weight)
        gap, total = mean - self._mean, self._weight + weight
        self._squares += float((weights * (numbers - mean) ** 2).sum()) + gap**2 * self._weight * weight / total
        self._mean += gap * weight / total
        self._weight = total
        self._low, self._high = min(self._low, float(numbers.min())), max(self._high, float(numbers.max()))
        self._histogram.add(numbers, weights)

    def result(self, valid_m2: float) -> dict[str, Any]:
        if self._weight == 0.0:
            return {"statistics": None}
        low, high = self._low, self._high
        quantiles = {f"{share:g}": min(max(self._histogram.quantile(share), low), high) for share in QUANTILES}
        return {
            "statistics": {
                "mean": self._mean,
                "std": math.sqrt(self._squares / self._weight),
                "minimum": low,
                "maximum": high,
                "quantiles": quantiles,
                "quantile_error": self._histogram.width,
            }
        }
