"""Splits of chips from many tiles: by clusters of tiles, by distance between them, or by year; and class weights.

Groups never lie in two parts. Chips of train or validation that overlap a test chip on the ground become ``unused``, as
tiles overlap and years see the same places, unless the same places are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import cKDTree

from swath import rng
from swath.chips.store import ChipSet
from swath.errors import ConfigError, InputError
from swath.types import Split

EARTH_KM = 6371.0088
_ROUNDS = 100
Floats = NDArray[np.float64]


def split_by_cluster(
    chipset: ChipSet, *, clusters: int = 20, test: float = 0.2, validation: float = 0.2, seed: int = 0
) -> Split:
    """Cluster the centres of tiles by k-means and give whole clusters to test, then validation, then train.

    Test begins with the two clusters that lie closest together and grows by the one nearest to it until it holds its
    share; so does validation with those that are left. K-means (Lloyd 1982, started as k-means++ by Arthur and
    Vassilvitskii 2007) runs on unit vectors, so that neither poles nor the antimeridian tear tiles apart.

    Args:
        chipset: chips with a tile as group.
        clusters: most clusters; never more than tiles.
        test: share of the chips for test.
        validation: share of the chips for validation.
        seed: seed of the clusters.

    Raises:
        ConfigError: a number is out of range.
        InputError: fewer tiles than parts.
    """
    if clusters < 1:
        raise ConfigError(f"clusters = {clusters}", expected="at least 1", remedy="change it")
    tiles, centres, table = _tiles(chipset)
    labels = _kmeans(centres, min(clusters, len(tiles)), rng.generator(seed, "clusters of tiles"))
    names = dict(zip(tiles, (f"cluster {label:02d}" for label in labels), strict=True))
    table["group"] = table["tile"].map(names)
    groups = sorted(set(names.values()))
    middles = np.stack([centres[[names[tile] == group for tile in tiles]].mean(axis=0) for group in groups])
    parts = _grown(groups, middles, table["group"].value_counts(), test, validation)
    return _finish(table, parts, chipset, _needed(test, validation), same_place=False)


def split_by_distance(
    chipset: ChipSet, *, km: float = 400.0, test: float = 0.2, validation: float = 0.2, newest_to_test: bool = True
) -> Split:
    """Tiles within a distance belong together, whatever lies between; whole groups go to test, validation and train.

    Args:
        chipset: chips with a tile as group.
        km: tiles whose centres lie at most this far apart are one group, transitively (great circle).
        test: share of the chips for test.
        validation: share of the chips for validation.
        newest_to_test: groups in order of their newest chip, else of their names.

    Raises:
        ConfigError: a number is out of range.
        InputError: fewer groups than parts (the distance joins too many).
    """
    if km <= 0:
        raise ConfigError(f"km = {km}", expected="a positive distance", remedy="change it")
    tiles, centres, table = _tiles(chipset)
    labels = np.ones(1, int)
    if len(tiles) > 1:
        chord = 2 * np.sin(min(km / EARTH_KM, np.pi) / 2)
        labels = fcluster(linkage(centres, "single"), chord, criterion="distance")
    first = {label: min(tile for tile, own in zip(tiles, labels, strict=True) if own == label) for label in set(labels)}
    table["group"] = table["tile"].map({tile: f"around {first[own]}" for tile, own in zip(tiles, labels, strict=True)})
    return _by_order(table, chipset, test, validation, newest=newest_to_test, same_place=False)


def split_by_year(chipset: ChipSet, *, test: float = 0.2, validation: float = 0.2, same_place: bool = False) -> Split:
    """The newest years are for test, those before them for validation, the rest for train.

    Args:
        chipset: chips of several years.
        test: least share of the chips for test.
        validation: least share of the chips for validation.
        same_place: whether chips that overlap on the ground may lie in two parts, in different years.

    Raises:
        ConfigError: a number is out of range.
        InputError: fewer years than parts, or a part is empty without the chips that overlap test chips.
    """
    _, _, table = _tiles(chipset)
    table["group"] = table["newest"].dt.year.astype(str)
    return _by_order(table, chipset, test, validation, newest=True, same_place=same_place)


def class_weights(counts: Mapping[str, int]) -> dict[str, float]:
    """Weight of each class, N / (K n_c): N labelled pixels, K classes, n_c pixels of the class.

    Raises:
        InputError: a class has no pixel, for which no weight is right.
    """
    missing = [name for name, count in counts.items() if count <= 0]
    if missing or not counts:
        raise InputError(
            f"The classes {', '.join(missing) or '(none)'} have no labelled pixel",
            expected="pixels of every class in the train part",
            remedy="split in another way, merge classes, or train without class weights",
        )
    total = sum(counts.values())
    return {name: total / (len(counts) * count) for name, count in counts.items()}


def _tiles(chipset: ChipSet) -> tuple[list[str], Floats, pd.DataFrame]:
    """Tiles, the unit vector of the middle of the chips of each, and one row per chip, by id."""
    index = chipset.index.sort_values("id", ignore_index=True)
    places = index.geometry.representative_point()
    lon, lat = np.radians(places.x.to_numpy()), np.radians(places.y.to_numpy())
    vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    newest = [max(times) for times in chipset.times(index["id"].astype(str).tolist()).tolist()]
    table = pd.DataFrame({
        "id": index["id"].astype(str), "tile": index["group"].astype(str), "row": index["row"].to_numpy(np.int64),
        "column": index["column"].to_numpy(np.int64), "newest": pd.to_datetime(newest, unit="s"),
    })  # fmt: skip
    table.loc[table["tile"] == "", "tile"] = "no tile"
    tiles = sorted(set(table["tile"]))
    sums = np.stack([vectors[(table["tile"] == tile).to_numpy()].sum(axis=0) for tile in tiles])
    return tiles, sums / np.linalg.norm(sums, axis=1, keepdims=True), table


def _kmeans(points: Floats, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Cluster of each point, numbered by the first point of each."""
    centres = points[[int(random.integers(len(points)))]]
    while len(centres) < count:
        gap = ((points[:, None] - centres[None]) ** 2).sum(axis=2).min(axis=1)
        if gap.max() <= 0:
            break
        centres = np.vstack([centres, points[int(random.choice(len(points), p=gap / gap.sum()))]])
    labels = np.full(len(points), -1)
    for _ in range(_ROUNDS):
        fresh = ((points[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        if np.array_equal(fresh, labels):
            break
        labels = fresh
        held = np.unique(labels)
        centres = np.stack([points[labels == label].mean(axis=0) for label in held])
        labels = np.searchsorted(held, labels)
    order = {label: number for number, label in enumerate(dict.fromkeys(labels.tolist()))}
    return np.array([order[label] for label in labels.tolist()])


def _grown(
    groups: list[str], middles: Floats, counts: pd.Series[Any], test: float, validation: float
) -> dict[str, str]:
    """Part of each cluster: test and validation grow from a close pair to their shares."""
    left = list(range(len(groups)))
    parts = dict.fromkeys(groups, "train")
    for name, share in (("test", test), ("validation", validation)):
        own: list[int] = []
        while left and share > 0 and counts[[groups[at] for at in own]].sum() < share * counts.sum() and len(left) > 1:
            own.append(_closest(middles, own, left))
            left.remove(own[-1])
        parts |= {groups[at]: name for at in own}
    return parts


def _closest(middles: Floats, own: Sequence[int], left: Sequence[int]) -> int:
    """The cluster to take next: nearest to those taken, or one of the closest pair."""
    gaps = np.linalg.norm(middles[list(left)][:, None] - middles[list(own) or list(left)][None], axis=2)
    if not own:
        gaps[np.arange(len(left)), np.arange(len(left))] = np.inf
    return int(left[int(gaps.min(axis=1).argmin())])


def _by_order(
    table: pd.DataFrame, chipset: ChipSet, test: float, validation: float, *, newest: bool, same_place: bool
) -> Split:
    """Whole groups, newest (or first by name) first, to test, then validation, then train."""
    last = table.groupby("group")["newest"].max()
    order = sorted(last.index, key=lambda name: (-last[name].value if newest else 0, name))
    counts, parts, position = table["group"].value_counts(), dict.fromkeys(order, "train"), 0
    for name, share in (("test", test), ("validation", validation)):
        held = 0
        while share > 0 and held < share * len(table) and position < len(order) - 1:
            parts[order[position]] = name
            held += int(counts[order[position]])
            position += 1
    return _finish(table, parts, chipset, _needed(test, validation), same_place=same_place)


def _needed(test: float, validation: float) -> list[str]:
    """Names of the parts asked for.

    Raises:
        ConfigError: shares out of range.
    """
    if not (0 <= test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise ConfigError(
            f"The shares are test {test:g} and validation {validation:g}",
            expected="numbers from 0 to below 1 that leave something for train",
            remedy="change them",
        )
    return ["train", *(["validation"] if validation else []), *(["test"] if test else [])]


def _finish(
    table: pd.DataFrame, parts: Mapping[str, str], chipset: ChipSet, needed: Sequence[str], *, same_place: bool
) -> Split:
    table["split"] = table["group"].map(dict(parts))
    if not same_place:
        for moved, kept in (("train", "test"), ("validation", "test"), ("train", "validation")):
            table.loc[_overlaps(table, moved, kept, chipset.size), "split"] = "unused"
    empty = [name for name in needed if not (table["split"] == name).any()]
    if empty:
        groups = table["group"].nunique()
        raise InputError(
            f"The {' and '.join(empty)} part would be empty ({groups} groups for {len(needed)} parts)",
            expected="chips in every part, none of which overlap test chips on the ground",
            remedy="make smaller groups (more clusters, a shorter distance), or allow same_place=True for years",
        )
    split = Split(table.assign(fold=0)[["id", "split", "group", "fold"]])
    split.check()
    return split


def _overlaps(table: pd.DataFrame, moved: str, kept: str, size: int) -> NDArray[np.bool_]:
    """Chips of one part that share a pixel with a chip of another."""
    found = np.zeros(len(table), bool)
    one, other = (table["split"] == moved).to_numpy(), (table["split"] == kept).to_numpy()
    if one.any() and other.any():
        places = table[["row", "column"]].to_numpy(np.float64)
        distance, _ = cKDTree(places[other]).query(places[one], p=np.inf)
        found[one] = distance < size
    return found
