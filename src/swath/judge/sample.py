"""Draw a stratified random sample of a map, for people to label.

How many and where to: Olofsson et al. (2014), Remote Sensing of Environment 148, 42-57, section 5.1. Pixels of a grid
in degrees differ in area, so places are drawn uniformly on the ground and not among pixels: a pixel of stratum h is
drawn with probability n_h a / A_h, in proportion to its area a. The estimators then hold as published, with area for
number of pixels. Drawing is Rosén's (1997) Pareto sampling, Journal of Statistical Planning and Inference 62, 159-191:
a pixel with a uniform number u and the wanted probability p gets the key u (1 - p) / ((1 - u) p), and the n_h smallest
keys of the stratum are the sample. Where all pixels are equal this is simple random sampling without replacement. One
pass, memory for the sample alone, and the numbers u belong to places, so the order of reading does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.errors import ConfigError, InputError, nearest
from swath.grids.geobox import to_lonlat
from swath.judge.frame import Frame, Part, Totals

if TYPE_CHECKING:
    import geopandas

Allocation = Literal["good practice", "proportional", "equal", "neyman"]
LEAST = 2
"""Points without which a stratum has no variance."""
COLUMNS = ("id", "map_class", "stratum", "reference", "lon", "lat", "row", "column", "design")
Floats = NDArray[np.float64]
Chosen = tuple[Floats, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def sample_size(weights: Sequence[float] | Floats, accuracy: Sequence[float] | Floats, standard_error: float) -> int:
    """Points needed for a standard error of the overall accuracy.

    Olofsson et al. (2014) equation 13, for a map much larger than the sample: n = (sum W_i S_i / S(O))^2 with
    S_i = sqrt(U_i (1 - U_i)); here W_i are shares of area.

    Args:
        weights: area of each stratum, in any unit.
        accuracy: conjectured user's accuracy U of each, 0 to 1.
        standard_error: wanted standard error S(O), such as 0.01.

    Raises:
        ConfigError: a number is out of range.
    """
    shares, users = np.asarray(weights, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if not 0 < standard_error < 1 or not ((users >= 0) & (users <= 1)).all() or shares.sum() <= 0:
        raise ConfigError(
            f"A standard error of {standard_error} with expected accuracies {users.tolist()}",
            expected="a standard error above 0 and accuracies from 0 to 1",
            remedy="a usual choice is a standard error of 0.01 and an accuracy of 0.8",
        )
    return max(LEAST, math.ceil((float(shares @ np.sqrt(users * (1 - users))) / shares.sum() / standard_error) ** 2))


def allocate(
    number: int,
    areas: Sequence[float] | Floats,
    *,
    how: Allocation = "good practice",
    minimum: int = 50,
    accuracy: Sequence[float] | Floats | None = None,
) -> NDArray[np.int64]:
    """Share a sample out among strata.

    * ``good practice``: every stratum gets ``minimum`` points, or its share of the area where that is more: rare
      classes get precise user's accuracies, and areas lose little (Olofsson et al. 2014, section 5.1.2).
    * ``proportional`` to area; ``equal``; ``neyman``: proportional to W_h S_h, best for overall accuracy.

    Every stratum gets at least 2 points, because one has no variance. Remainders go to the largest fractions.

    Args:
        number: points in all.
        areas: area of each stratum, in any unit.
        how: the rule.
        minimum: fewest points of a stratum under ``good practice``.
        accuracy: conjectured user's accuracy of each stratum, for ``neyman``.

    Raises:
        ConfigError: too few points for the strata, or an unknown rule.
    """
    size = np.asarray(areas, dtype=np.float64)
    if how not in ("good practice", "proportional", "equal", "neyman"):
        raise ConfigError(
            f"The allocation '{how}' is unknown",
            expected="good practice, proportional, equal or neyman",
            remedy="leave it at its default",
        )
    floor = max(LEAST, minimum) if how == "good practice" else LEAST
    if number < floor * len(size):
        raise ConfigError(
            f"{number} points for {len(size)} strata",
            expected=f"at least {floor * len(size)}: {floor} for each",
            remedy="draw more points, lower the minimum, or merge strata",
        )
    share = {"equal": np.ones(len(size)), "neyman": size * _deviation(accuracy, len(size))}.get(how, size)
    if not share.any():
        share = size
    short = np.zeros(len(size), bool)
    while True:  # who falls below the floor gets it, which leaves less for the others
        rest = np.where(short, 0.0, share)
        total = rest.sum()
        wanted = np.where(short, floor, (number - floor * short.sum()) * rest / total if total else 0.0)
        below = ~short & (wanted < floor)
        if not below.any():
            return _rounded(wanted, number)
        short |= below


def draw_sample(frame: Frame, counts: Mapping[str, int], *, seed: int = 0) -> geopandas.GeoDataFrame:
    """A stratified random sample, in random order, with an empty column ``reference``.

    Where ``counts`` come near the number of pixels of a stratum, it may get a few points less or be taken whole: see
    ``planned``.

    Args:
        frame: the map.
        counts: points per stratum name.
        seed: seed of the draw; the same seed and map give the same points.

    Returns:
        Points in EPSG:4326 with the columns ``COLUMNS``; ``row`` and ``column`` name the pixel.

    Raises:
        ConfigError: a stratum is unknown, or a count below 0.
    """
    return _table(frame, _draw(frame, counts, seed, frame.blocks()), seed)


def planned(totals: Totals, names: Mapping[int, str], counts: Mapping[str, int]) -> dict[int, int]:
    """Points per stratum value.

    So many that the largest pixel would have to be drawn more than once become the largest number that is possible, or
    all pixels of the stratum, whichever is nearer.

    Raises:
        ConfigError: a stratum is unknown, or a count below 0.
    """
    unknown = [name for name in counts if name not in names.values()]
    if unknown or min(counts.values(), default=0) < 0:
        raise ConfigError(
            f"Points are wanted for {dict(counts)}",
            expected=f"numbers from 0 for the strata {', '.join(names.values())}",
            remedy=f"the nearest to '{unknown[0]}' is: {nearest(unknown[0], names.values())}" if unknown else "change",
        )
    plan = {}
    for value, name in names.items():
        wanted, pixels = counts.get(name, 0), totals.pixels[value]
        most = math.floor(totals.km2[value] / totals.largest_km2[value] * (1 + 1e-9))
        nearest_possible = pixels if abs(pixels - wanted) <= abs(most - wanted) else most
        plan[value] = wanted if wanted <= most else nearest_possible
    return plan


def _draw(frame: Frame, counts: Mapping[str, int], seed: int, blocks: list[tuple[int, int]]) -> dict[int, Chosen]:
    """Keys, rows, columns and class values of the points of every stratum, by key; in whatever order blocks come."""
    plan = planned(frame.strata, frame.stratum_names, counts)
    values = np.array(sorted(plan))
    wanted = np.array([plan[value] for value in values.tolist()])
    totals = frame.strata
    rate = np.array([plan[value] / totals.km2[value] if totals.km2[value] else 0.0 for value in values.tolist()])
    rate[[plan[value] == totals.pixels[value] for value in values.tolist()]] = np.inf
    limit = np.where(wanted > 0, np.inf, -1.0)
    kept: dict[int, list[Chosen]] = {value: [] for value in plan}
    for part in frame.parts(blocks):
        place = np.searchsorted(values, np.where(part.valid, part.strata, values[0]))
        keys = _keys(part, rate[place], seed)
        candidate = part.valid & (keys <= limit[place])
        for index in np.unique(place[candidate]).tolist():
            rows, columns = np.nonzero(candidate & (place == index))
            new = keys[rows, columns], rows + part.row, columns + part.column, part.classes[rows, columns]
            best = _smallest([*kept[int(values[index])], new], int(wanted[index]))
            kept[int(values[index])] = [best]
            if len(best[0]) == wanted[index]:
                limit[index] = best[0][-1]
    return {value: parts[0] for value, parts in kept.items() if parts}


def _keys(part: Part, rate: Floats, seed: int) -> Floats:
    """Pareto keys (y, x): the smaller, the sooner drawn."""
    uniform = rng.generator(seed, "area sample", part.row, part.column).random(part.valid.shape)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        chance = np.minimum(rate * part.area_km2, 1.0)
        keys: Floats = uniform / (1.0 - uniform) * (1.0 - chance) / chance
    return np.where(chance > 0, keys, np.inf)


def _smallest(parts: list[Chosen], number: int) -> Chosen:
    keys, rows, columns, classes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.lexsort((columns, rows, keys))[:number]
    return keys[order], rows[order], columns[order], classes[order]


def _table(frame: Frame, chosen: Mapping[int, Chosen], seed: int) -> geopandas.GeoDataFrame:
    import geopandas
    import pandas as pd

    rows, columns, classes = (
        np.concatenate([part[index] for part in chosen.values()] or [np.zeros(0, np.int64)]) for index in (1, 2, 3)
    )
    strata = [frame.stratum_names[value] for value, part in chosen.items() for _ in range(len(part[0]))]
    lon, lat = to_lonlat(frame.geobox, columns + 0.5, rows + 0.5)
    lon = (lon + 180.0) % 360.0 - 180.0
    table = pd.DataFrame(
        {
            "map_class": [frame.class_names[value] for value in classes.tolist()],
            "stratum": strata,
            "reference": "",
            "lon": lon,
            "lat": lat,
            "row": rows,
            "column": columns,
            "design": frame.design,
        }
    )
    # In random order, so that neither the order nor a first part of the labelled points tells the class.
    table = table.sort_values(["row", "column"], ignore_index=True)
    order = rng.generator(seed, "order of the area sample").permutation(len(table))
    table = table.iloc[order].reset_index(drop=True)
    table.insert(0, "id", np.arange(1, len(table) + 1))
    points = geopandas.points_from_xy(table["lon"], table["lat"])
    return geopandas.GeoDataFrame(table, geometry=points, crs="EPSG:4326")


def _deviation(accuracy: Sequence[float] | Floats | None, count: int) -> Floats:
    """S_h = sqrt(U (1 - U)) of each stratum; alike where nothing is conjectured."""
    users = np.full(count, 0.5) if accuracy is None else np.asarray(accuracy, dtype=np.float64)
    if users.shape != (count,) or not ((users >= 0) & (users <= 1)).all():
        raise ConfigError(
            f"The expected accuracies of {count} strata are {users.tolist()}",
            expected="one number from 0 to 1 for each",
            remedy="leave them out, or name every stratum",
        )
    return np.sqrt(users * (1 - users))


def _rounded(wanted: Floats, number: int) -> NDArray[np.int64]:
    """Whole numbers with the same sum, by largest remainder; the first of equals."""
    whole = np.floor(wanted + 1e-9).astype(np.int64)
    order = np.argsort(-(wanted - whole), kind="stable")
    whole[order[: max(0, number - int(whole.sum()))]] += 1
    return whole


def check_drawable(frame: Frame) -> None:
    """Refuse a map whose grid has no areas on Earth.

    Raises:
        InputError: the mapped area is 0 or not finite.
    """
    if not math.isfinite(frame.km2) or frame.km2 <= 0:
        raise InputError(
            f"The mapped area of '{frame.path}' is {frame.km2} km2",
            expected="pixels with an area on Earth",
            remedy="check the CRS and position of the map",
        )
