"""Do the layers lie on top of each other? Agreement about water under small shifts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REACH = 2


def water_masks(layers: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.bool_]]:
    """What each layer takes for water, ``(y, x)`` bool.

    ``layers`` holds ``land_cover``, ``land``, ``koppen`` and ``elevation`` as ``(y, x)`` and ``true_colour`` as
    ``(3, y, x)``. The imagery shows water as dark and more blue than red; the elevation is exactly 0 at sea.
    """
    red, _, blue = (band.astype(np.int16) for band in layers["true_colour"])
    return {
        "land_cover": layers["land_cover"] == 0,
        "land": layers["land"] == 0,
        "koppen": layers["koppen"] == 0,
        "elevation": layers["elevation"] == 0,
        "true_colour": (blue > red + 8) & (red < 100),
    }


def shifted_agreement(one: NDArray[np.bool_], other: NDArray[np.bool_], *, reach: int = REACH) -> pd.DataFrame:
    """Share of cells on which two masks agree, for every shift of the second.

    ``agreement(dx, dy)`` is the mean of ``one[y, x] == other[y + dy, x + dx]`` over all columns, which wrap around,
    and over the rows that have a partner under every shift, so that all shifts are judged on the same cells.

    Returns:
        Columns ``dx``, ``dy`` (cells east, cells south) and ``agreement``; one row per shift within ``reach``.
    """
    inner = one[reach : one.shape[0] - reach]
    rows = []
    for dy, dx in itertools.product(range(-reach, reach + 1), repeat=2):
        partner = np.roll(other[reach + dy : one.shape[0] - reach + dy], -dx, axis=1)
        rows.append((dx, dy, float(np.count_nonzero(inner == partner) / inner.size)))
    return pd.DataFrame(rows, columns=["dx", "dy", "agreement"])


def agreement_table(layers: Mapping[str, NDArray[np.generic]], *, reach: int = REACH) -> pd.DataFrame:
    """Agreement of every layer's water with that of the land cover under every shift.

    Returns:
        Columns ``layer``, ``dx``, ``dy``, ``agreement``.
    """
    masks = water_masks(layers)
    reference = masks.pop("land_cover")
    tables = [shifted_agreement(mask, reference, reach=reach).assign(layer=name) for name, mask in masks.items()]
    return pd.concat(tables, ignore_index=True)[["layer", "dx", "dy", "agreement"]]


def summary(table: pd.DataFrame) -> dict[str, dict[str, float | list[int]]]:
    """Per layer the agreement at zero shift, the best agreement, and the shift ``[dx, dy]`` at which it lies."""
    out: dict[str, dict[str, float | list[int]]] = {}
    for name, rows in table.groupby("layer", sort=True):
        best = rows.iloc[int(rows["agreement"].to_numpy().argmax())]
        zero = rows[(rows["dx"] == 0) & (rows["dy"] == 0)]["agreement"].iloc[0]
        out[str(name)] = {
            "at_zero": round(float(zero), 6),
            "best": round(float(best["agreement"]), 6),
            "best_shift": [int(best["dx"]), int(best["dy"])],
        }
    return out
