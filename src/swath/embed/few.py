"""A map from few labels: a small head on embeddings, scored by spatial blocks beside a forest on the bands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from swath import cubes, rng
from swath.embed.blocks import Blocks, BlockScore, alone, block_score, difference, held_out, spatial_blocks
from swath.embed.head_model import FeatureHead, Origin
from swath.embed.heads import TREES, HeadName, check_head, fit_head
from swath.embed.places import Cells, Labels, cells_under, labelled, read_places, same_places
from swath.embed.source import EmbeddingMap, open_map, values_at
from swath.embed.table import EmbeddingTable, open_table
from swath.embed.table_labels import check_places, labelled_rows, places_m
from swath.errors import ConfigError, InputError
from swath.metrics import Interval


@dataclass(frozen=True)
class FewOptions:
    """Options of a head.

    Args:
        head: ``linear`` or ``forest``.
        column: column of the labels that holds the class; None where the file makes it plain.
        block: side of the spatial blocks in cells of a map of embeddings, or metres for a table; None: a sixth of the
            labelled area.
        most: cells kept of one polygon.
        seed: of the forest, the folds and the intervals.
    """

    head: HeadName = "linear"
    column: str | None = None
    block: float | None = None
    most: int = 200
    seed: int = 0

    def check(self) -> None:
        """Raise a plain sentence when an option is out of range.

        Raises:
            ConfigError: as said.
        """
        check_head(self.head)
        if self.most < 1 or self.seed < 0:
            raise ConfigError(
                f"{self.most} cells of a polygon and the seed {self.seed}",
                expected="at least one cell, and a seed from 0 on",
                remedy="leave them at their defaults",
            )
        if self.block is not None and not (self.block > 0 and math.isfinite(self.block)):
            raise ConfigError(
                f"Blocks have a side of {self.block:g} cells", expected="a positive number", remedy="leave out --block"
            )


@dataclass(frozen=True, eq=False)
class FewReport:
    """What training a head on few labels found.

    Args:
        model: the head, fitted on all labels.
        features: the embeddings.
        labels: cells with classes; of a table its rows.
        objects: points or polygons that were used.
        masked: cells left out because they have no embedding.
        blocks: how labels were held out; None where all lie in one block.
        score: of the head on blocks that were held out.
        bands: of a random forest on the bands on the same labels and folds.
        difference: accuracy of the head minus that of the forest on bands.
        note: why there is no score or no comparison; empty otherwise.
        seed: as asked.
    """

    model: FeatureHead
    features: EmbeddingMap | EmbeddingTable
    labels: Labels
    objects: int
    masked: int
    blocks: Blocks | None
    score: BlockScore | None
    bands: BlockScore | None
    difference: Interval | None
    note: str
    seed: int

    @property
    def unit(self) -> str:
        """What the side of the blocks is counted in: cells of a map, metres for a table."""
        return "m" if isinstance(self.features, EmbeddingTable) else "cells"

    def class_counts(self) -> dict[str, int]:
        """Labelled cells by class."""
        counts = np.bincount(self.labels.numbers, minlength=len(self.labels.classes))
        return dict(zip(self.labels.classes, counts.tolist(), strict=True))


def train_head(
    features: Path | str,
    labels: Path | str,
    out: Path | str,
    options: FewOptions | None = None,
    *,
    scene: xr.Dataset | None = None,
) -> FewReport:
    """Fit a head on embeddings with labels, and score it where it saw nothing of the surroundings.

    The score is that of five heads, each trained without a fold of whole blocks; the head that is kept has seen all
    labels. A random forest of 300 trees on all bands and dates of the scene goes through the same labels and folds.

    Args:
        features: raster of ``embed_scene``, or table of ``embed_points`` or ``embed_chips`` (``.parquet``).
        labels: of a raster: points or polygons with a class, reprojected to the scene. Of a table: the table itself,
            one column of which is the class, or a table with the columns id and class.
        out: folder for the head.
        options: see there.
        scene: the scene whose bands the forest gets, on any grid; None: no comparison.

    Raises:
        InputError: features without record, labels outside of the scene, fewer than two classes, or files that cannot
            be read.
        ConfigError: an option out of range.
    """
    options = options or FewOptions()
    options.check()
    known: EmbeddingMap | EmbeddingTable
    if Path(features).suffix.lower() == ".parquet":
        known = open_table(features)
        found = _of_rows(known, labels, options.column)
        found, rows, masked = _with_embedding(found, known, str(labels))
        place = places_m(known)[found.cells.rows]
    else:
        known = open_map(features)
        found = labelled(read_places(labels), known.geobox, options.column, str(labels), most=options.most)
        found, rows, masked = _with_embedding(found, known, str(labels))
        place = np.stack([found.cells.rows, found.cells.columns], axis=1)
    numbers, classes = found.numbers, len(found.classes)
    blocks = spatial_blocks(place, found.cells.objects, numbers, side=options.block, seed=options.seed)
    note = _no_score(blocks, numbers)
    if note:
        scored: tuple[BlockScore | None, BlockScore | None, Interval | None] = (None, None, None)
    else:
        scored = _scores(rows, _bands_at(scene, found.cells, known), numbers, blocks, (classes, options))
        note = _weak_score(blocks, found, scene is not None)
    head = fit_head(options.head, rows, numbers, classes, seed=options.seed)
    origin = Origin(known.record.encoder, known.record.version, known.record.stride)
    model = FeatureHead(head, options.head, found.classes, known.record.dimensions, origin)
    objects = len(np.unique(found.cells.objects))
    report = FewReport(model, known, found, objects, masked, blocks if scored[0] else None, *scored, note, options.seed)
    model.save(out, _facts(report, options, labels))
    return report


def _of_rows(known: EmbeddingTable, labels: Path | str, column: str | None) -> Labels:
    """Labelled rows of a table as cells of one column."""
    check_places(known)
    found = labelled_rows(known, labels, column)
    cells = Cells(found.rows, np.zeros_like(found.rows), found.rows, found.without)
    return Labels(cells, found.classes, found.numbers, 0)


def _no_score(blocks: Blocks, numbers: NDArray[np.int64]) -> str:
    """Why nothing can be held out; empty where something can."""
    if blocks.count < 2:
        return "no score: all labels lie in one block; give labels from elsewhere, or smaller blocks with --block"
    if all(len(np.unique(numbers[blocks.fold != fold])) < 2 for fold in range(blocks.folds)):
        return "no score: without any block, labels of one class alone are left; give labels of each from elsewhere"
    return ""


def _weak_score(blocks: Blocks, labels: Labels, compared: bool) -> str:
    """What is to be said of a score; empty where nothing is."""
    lone = [labels.classes[number] for number in alone(blocks, labels.numbers)]
    notes = [] if compared else ["no comparison: the scene of these embeddings is not at hand"]
    if lone:
        notes.append(
            f"all labels of {', '.join(lone)} are held out together, so that the score counts them as wrong; give "
            "labels from elsewhere"
        )
    return "; ".join(notes)


def _with_embedding(
    labels: Labels, known: EmbeddingMap | EmbeddingTable, name: str
) -> tuple[Labels, NDArray[np.float32], int]:
    """Labels that have an embedding, their rows, and how many cells were left out."""
    if isinstance(known, EmbeddingTable):
        rows, valid = known.values[labels.cells.rows], known.valid[labels.cells.rows]
    else:
        rows, valid = known.at(labels.cells)
    kept = np.unique(labels.numbers[valid])
    if len(kept) < 2:
        lost = [item for number, item in enumerate(labels.classes) if number not in kept]
        raise InputError(
            f"Where '{name}' has labels of {', '.join(lost)}, '{known.path}' has no embeddings",
            expected="at least two classes with embeddings",
            remedy="label places that are not masked in the scene",
        )
    numbers = np.searchsorted(kept, labels.numbers[valid])
    classes = tuple(labels.classes[number] for number in kept)
    cells = labels.cells
    inside = Cells(cells.rows[valid], cells.columns[valid], cells.objects[valid], cells.outside)
    return Labels(inside, classes, numbers.astype(np.int64), labels.conflicts), rows[valid], int((~valid).sum())


def _bands_at(
    scene: xr.Dataset | None, cells: Cells, known: EmbeddingMap | EmbeddingTable
) -> NDArray[np.float32] | None:
    """All bands and dates of the scene at the centres of cells or the points of rows, NaN where not valid."""
    if scene is None:
        return None
    if isinstance(known, EmbeddingTable):
        there = cells_under(known.places.geometry.iloc[cells.rows], cubes.geobox_of(scene))
    else:
        there = same_places(cells, known.geobox, cubes.geobox_of(scene))
    values, valid = values_at(scene, there)
    if not valid.any():
        raise InputError(
            f"The scene '{scene.attrs.get('source', 'in memory')}' has no valid pixel where the labels are",
            expected=f"the scene that '{known.path}' was made from",
            remedy="name that scene with --scene, or leave the option out",
        )
    return np.where(valid, values, np.float32(np.nan))


def _scores(
    rows: NDArray[np.float32],
    bands: NDArray[np.float32] | None,
    labels: NDArray[np.int64],
    blocks: Blocks,
    how: tuple[int, FewOptions],
) -> tuple[BlockScore, BlockScore | None, Interval | None]:
    """Scores of the head and of the forest on bands, and their difference."""
    classes, options = how

    def by_head(train: NDArray[np.bool_], test: NDArray[np.bool_]) -> NDArray[np.int64]:
        head = fit_head(options.head, rows[train], labels[train], classes, seed=options.seed)
        return head.probability(rows[test]).argmax(axis=1).astype(np.int64)

    def by_forest(train: NDArray[np.bool_], test: NDArray[np.bool_]) -> NDArray[np.int64]:
        assert bands is not None
        return forest_on_bands(bands[train], labels[train], bands[test], seed=options.seed)

    score = block_score(blocks, labels, held_out(blocks, labels, by_head), classes, seed=options.seed)
    if bands is None:
        return score, None, None
    other = block_score(blocks, labels, held_out(blocks, labels, by_forest), classes, seed=options.seed)
    return score, other, difference(score, other, seed=options.seed)


def forest_on_bands(
    train: NDArray[np.float32], labels: NDArray[np.int64], test: NDArray[np.float32], *, seed: int = 0
) -> NDArray[np.int64]:
    """What a random forest of 300 full trees on the bands says; NaN is a value like others.

    Trees ask only which of two numbers is larger, so it does not matter whether bands are stored or physical numbers.

    Args:
        train: float32 ``(N, F)``.
        labels: ``(N,)``.
        test: float32 ``(M, F)``.
        seed: of the trees.
    """
    from sklearn.ensemble import RandomForestClassifier

    state = rng.key(seed, "few labels", "forest on bands") % 2**32
    forest = RandomForestClassifier(TREES, random_state=state, n_jobs=1).fit(train, labels)
    return np.asarray(forest.predict(test), np.int64)


def _facts(report: FewReport, options: FewOptions, labels: Path | str) -> dict[str, object]:
    """What lies beside the head: where it came from and what it scored."""
    scored = {
        name: {metric: _interval(getattr(score, metric)) for metric in ("accuracy", "mean_f1")}
        for name, score in (("head", report.score), ("forest_on_bands", report.bands))
        if score is not None
    }
    return {
        "features": str(report.features.path),
        "labels": str(labels),
        "options": {"column": options.column, "most": options.most, "seed": options.seed},
        "cells": report.class_counts(),
        "objects": report.objects,
        "outside": report.labels.cells.outside,
        "masked": report.masked,
        "conflicts": report.labels.conflicts,
        f"block_{report.unit}": report.blocks.side if report.blocks else None,
        "blocks": report.blocks.count if report.blocks else None,
        "scores": scored,
        "difference": _interval(report.difference) if report.difference else None,
        "versions": {name: version(name) for name in ("swath", "numpy", "scikit-learn")},
    }


def _interval(found: Interval) -> dict[str, float]:
    return {"value": float(found.estimate), "low": float(found.low), "high": float(found.high)}
