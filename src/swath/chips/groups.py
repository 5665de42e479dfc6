"""The group of a chip from a raster: a continent, an event, a polygon."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from swath.chips.rows import Array
from swath.cubes import Legend
from swath.types import IGNORE


def majority(values: Array, names: Mapping[int, str] | None) -> list[str]:
    """Name of the most frequent group of each chip ``(N, y, x)``, the lowest value on a tie; empty where there is none.

    Without names a group is called by its number.
    """
    chips = len(values)
    if values.size == 0:
        return [""] * chips
    found, inverse = np.unique(values, return_inverse=True)
    flat = inverse.reshape(chips, -1) + np.arange(chips)[:, None] * len(found)
    counts = np.bincount(flat.ravel(), minlength=chips * len(found)).reshape(chips, len(found))
    known = [value != IGNORE and (value >= 0 if names is None else value in names) for value in found.tolist()]
    counts[:, ~np.array(known, bool)] = 0
    best, most = counts.argmax(axis=1), counts.max(axis=1)
    called = [str(value) if names is None else names.get(value, "") for value in found.tolist()]
    return [called[index] if count else "" for index, count in zip(best.tolist(), most.tolist(), strict=True)]


def group_names(groups: xr.DataArray) -> Mapping[int, str] | None:
    """Names in ``attrs["legend"]`` (a Legend, its JSON, or a mapping from value to name), or None."""
    legend = groups.attrs.get("legend")
    if legend is None:
        return None
    if isinstance(legend, str):
        legend = Legend.from_json(legend)
    if isinstance(legend, Legend):
        return {entry.value: entry.name for entry in legend}
    return {int(value): str(name) for value, name in legend.items()}
