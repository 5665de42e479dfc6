"""When and where the samples of a batch were taken, for encoders that know both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from swath import grids
from swath.errors import SwathError
from swath.nn.time_place import TimePlace

EARLIEST_DAY = 730
"""1972-01-01, before the first Landsat. Files without a date open with 1970-01-01."""
_STAND_IN = 2000
"""A year for dates that are not known; it counts nowhere."""


def centre(grid: grids.Grid) -> tuple[float, float]:
    """Longitude and latitude of the middle of a grid."""
    # Projecting every pixel of every chip for one place would take longer than the network.
    middle = grid.center_pixel if isinstance(grid, grids.GeoBox) else grid
    lon, lat = grids.lonlat(middle)
    place = tuple(side // 2 for side in lon.shape)
    return float(lon[place]), float(lat[place])


def places_of(sample_grids: tuple[grids.Grid, ...]) -> Tensor:
    """Longitude and latitude of the middle of each grid, float64 ``(B, 2)``; NaN where it lies nowhere on Earth."""
    found = []
    for grid in sample_grids:
        try:
            found.append(centre(grid))
        except SwathError:
            found.append((np.nan, np.nan))
    return torch.tensor(found, dtype=torch.float64).reshape(-1, 2)


def about(days: Tensor, places: Tensor, conditions: tuple[str, ...]) -> TimePlace:
    """What an encoder is told; where a date or the place of a sample is not known, nothing of the kind is added to it.

    Args:
        days: float64 ``(B, T)``, days since 1970; before 1972 they are not known.
        places: float64 ``(B, 2)``, longitude and latitude in degrees, NaN where not known.
        conditions: ``time``, ``place``, both or nothing: the rest stays unsaid.
    """
    samples, dates = days.shape
    nothing = TimePlace.unknown(samples)
    if days.is_meta:  # nothing but shapes
        return replace(nothing, year=days, day=days)
    made = nothing
    if "time" in conditions:
        known = (days >= EARLIEST_DAY).all(dim=1)
        calendar = days.cpu().numpy().astype(np.int64).astype("datetime64[D]")
        years = calendar.astype("datetime64[Y]")
        day = torch.from_numpy((calendar - years.astype("datetime64[D]")).astype(np.float64))
        year = torch.from_numpy(years.astype(np.float64) + 1970)
        some = known.cpu()[:, None].expand(samples, dates)
        told = TimePlace.of(year=torch.where(some, year, _STAND_IN), day=torch.where(some, day, 0.0))
        made = replace(made, year=told.year, day=told.day, time_known=known.cpu())
    if "place" in conditions:
        sure = torch.isfinite(places).all(dim=1).cpu()
        longitude, latitude = torch.where(sure[:, None], places.cpu(), 0.0).T
        where = TimePlace.of(latitude=latitude, longitude=longitude)
        made = replace(made, latitude=where.latitude, longitude=where.longitude, place_known=sure)
    return made.to(days.device)
