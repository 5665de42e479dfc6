"""Recall@1: does the nearest other sample in feature space share the labels of the query?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, InputError
from swath.metrics.arrays import as_numpy, check_finite, check_ids
from swath.metrics.outcome import Outcome, mean_of

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers

Criterion = Literal["one", "all", "distance"]
CRITERIA = ("one", "all", "distance")
CELLS = 4_000_000
"""Largest number of similarities held at once, 32 MB."""
EARTH_KM = 6371.0088


class Retrieval:
    """``recall@1``: mean correctness of the nearest neighbour by inner product of L2-normalised features.

    A sample is never its own neighbour. Overlapping tiles are near copies of each other: groups or a radius around the
    query keep them out (Jegou, Douze and Schmid 2011, IEEE TPAMI 33, 117-128, for recall@R).

    Correctness of a single label is equality. For several labels, with the positives of the query: ``one`` asks for at
    least one of them in the neighbour (undefined for a query without positives, which is left out and counted), ``all``
    for all of them, ``distance`` takes the share of them (1 without positives). Further labels of the neighbour have no
    effect. Features of all parts are kept, sorted by id, so batching and order have no effect. Parts add up.

    Args:
        criterion: for labels of several classes.

    Raises:
        ConfigError: unknown criterion.
    """

    def __init__(self, criterion: Criterion = "all") -> None:
        if criterion not in CRITERIA:
            raise ConfigError(
                f"The criterion is '{criterion}'", expected=", ".join(CRITERIA), remedy="write one of the three"
            )
        self.criterion = criterion
        self._ids: list[str] = []
        self._parts: list[tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]] = []

    def update(
        self, ids: Sequence[str], features: Numbers, labels: Numbers, groups: Sequence[str] | None = None
    ) -> None:
        """Add one batch.

        Args:
            ids: N names, each once over all updates.
            features: numbers ``(N, D)``, none of length 0.
            labels: class numbers ``(N,)``, or 0 and 1 per class ``(N, K)``.
            groups: N names; samples of one group are not compared.

        Raises:
            InputError: shapes do not fit, an id comes twice, or a feature vector is NaN or has length 0.
        """
        vectors, marks = as_numpy(features), as_numpy(labels)
        check_ids(ids, len(vectors))
        check_ids(groups, len(vectors))
        if vectors.ndim != 2 or marks.ndim not in (1, 2) or len(marks) != len(vectors):
            raise InputError(
                f"'features' has shape {vectors.shape} and 'labels' {marks.shape}",
                expected="(N, D) and (N,) or (N, classes)",
                remedy="pool features to one vector per sample",
            )
        check_finite("features", vectors, None, ids)
        length = np.linalg.norm(vectors.astype(np.float64), axis=1)
        if (length == 0).any():
            raise InputError(
                f"The features of {ids[int(np.argmin(length))]} are all 0",
                expected="vectors with a direction",
                remedy="check the encoder, or leave the sample out",
            )
        _check_unique([*self._ids, *ids])
        names = np.asarray(ids if groups is None else groups, dtype=object)
        self._ids += list(ids)
        self._parts.append((vectors / length[:, None], marks, names))

    def __add__(self, other: Retrieval) -> Retrieval:
        merged = Retrieval(self.criterion)
        merged._ids = self._ids + other._ids
        _check_unique(merged._ids)
        merged._parts = self._parts + other._parts
        return merged

    def correctness(self) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Sorted ids and the correctness of each query, NaN where undefined."""
        if not self._ids:
            return (), np.zeros(0)
        order = np.argsort(np.asarray(self._ids, dtype=object), kind="stable")
        vectors, marks, names = (np.concatenate(column)[order] for column in zip(*self._parts, strict=True))
        neighbour = nearest_neighbours(vectors, groups=names)
        found = neighbour >= 0
        answers = np.full(len(order), np.nan)
        answers[found] = _correct(marks[found], marks[neighbour[found]], self.criterion)
        return tuple(self._ids[position] for position in order), answers

    def compute(self) -> dict[str, Outcome]:
        """``recall@1``."""
        return {"recall@1": mean_of(self.correctness()[1], "queries", "have no neighbour or no label to share")}


def nearest_neighbours(
    features: NDArray[Any],
    *,
    groups: Sequence[str] | NDArray[Any] | None = None,
    lonlat: NDArray[Any] | None = None,
    radius_km: float = 0.0,
) -> NDArray[np.int64]:
    """Position of the nearest other sample by inner product, ``(N,)``; -1 where none is allowed.

    Args:
        features: L2-normalised ``(N, D)``.
        groups: N names; members of the query's group are passed over.
        lonlat: longitude and latitude [degrees] ``(N, 2)``; needed for a radius.
        radius_km: samples up to so far from the query on the sphere are passed over.

    Raises:
        InputError: a radius without coordinates.
    """
    if radius_km > 0 and lonlat is None:
        raise InputError(
            f"A radius of {radius_km} km without coordinates", expected="lonlat (N, 2)", remedy="pass the coordinates"
        )
    count = len(features)
    number = np.arange(count) if groups is None else np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    found = np.full(count, -1, np.int64)
    step = max(CELLS // max(count, 1), 1)
    for start in range(0, count, step):
        rows = slice(start, start + step)
        closeness = features[rows] @ features.T
        closeness[np.arange(len(closeness)), np.arange(count)[rows]] = -np.inf
        closeness[number[rows, None] == number] = -np.inf
        if radius_km > 0 and lonlat is not None:
            closeness[_distance_km(lonlat[rows], lonlat) <= radius_km] = -np.inf
        best = closeness.argmax(axis=1)
        allowed = np.isfinite(closeness[np.arange(len(best)), best])
        found[rows] = np.where(allowed, best, -1)
    return found


def _distance_km(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Great circle distances ``(n, m)`` by the haversine formula."""
    one, two = np.radians(first)[:, None], np.radians(second)[None]
    half = (two - one) / 2
    inner = np.sin(half[..., 1]) ** 2 + np.cos(one[..., 1]) * np.cos(two[..., 1]) * np.sin(half[..., 0]) ** 2
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(inner, 0, 1))))


def _correct(query: NDArray[Any], neighbour: NDArray[Any], criterion: str) -> NDArray[np.float64]:
    if query.ndim == 1:
        return (query == neighbour).astype(np.float64)
    positives = (query == 1).sum(axis=1).astype(np.float64)
    shared = ((query == 1) & (neighbour == 1)).sum(axis=1).astype(np.float64)
    if criterion == "one":
        return np.where(positives > 0, shared > 0, np.nan)
    if criterion == "all":
        return (shared == positives).astype(np.float64)
    return np.divide(shared, positives, out=np.ones_like(shared), where=positives > 0)


def _check_unique(ids: Sequence[str]) -> None:
    if len(set(ids)) < len(ids):
        twice = sorted({name for name in ids if ids.count(name) > 1})[:3]
        raise InputError(
            f"Samples were given twice: {', '.join(twice)}",
            expected="every id once",
            remedy="a copy would be its own nearest neighbour; remove it",
        )
