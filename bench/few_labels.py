"""Maps from 50 labelled points: heads on embeddings against a random forest on the bands, on real scenes.

    python bench/few_labels.py rstoolbox EMB.tif
    python bench/few_labels.py sen1floods11 EMB.tif

``EMB.tif`` is what ``swath embed`` made of the scene (docs/embeddings.md has the commands). Every seed splits the
labelled area in space, draws 50 points in one half (the same number of each class, as far as there are), and scores on
the other: whole polygons, or blocks of 64 pixels. Prints accuracy per contender with a 95 % t interval over seeds, and
the paired difference to the forest on the bands.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath import cubes, rng
from swath.embed import open_map, read_places
from swath.embed.few import forest_on_bands
from swath.embed.heads import fit_head
from swath.embed.places import Cells, labelled, same_places
from swath.embed.source import values_at
from swath.metrics import paired_t_interval

POINTS, SEEDS, MOST_TEST = 50, 10, 20_000


def main(scene: str, features: str) -> None:
    """Measure and print."""
    data = Path(os.environ["SWATH_DATA"])
    known = open_map(features)
    rows, columns, labels, groups = (polygons if scene == "rstoolbox" else blocks)(data, known.geobox)
    file = "rstoolbox/sen2.tif" if scene == "rstoolbox" else "sen1floods11_sample/Spain_7370579_S2Hand.tif"
    cube = cubes.to_cube(cubes.open(data / file))
    cells = Cells(rows, columns, np.arange(len(rows)), 0)
    embedded, valid = known.at(cells)
    bands, seen = values_at(cube, same_places(cells, known.geobox, cubes.geobox_of(cube)))
    usable = np.flatnonzero(valid & seen.any(axis=1))
    bands = np.where(seen, bands, np.float32(np.nan))
    scores: dict[str, list[float]] = {"linear": [], "forest": [], "forest on bands": []}
    classes = int(labels.max()) + 1
    for seed in range(SEEDS):
        train, test = drawn(labels, groups, usable, seed)
        for name in ("linear", "forest"):
            head = fit_head(name, embedded[train], labels[train], classes, seed=seed)
            scores[name].append(float(np.mean(head.probability(embedded[test]).argmax(axis=1) == labels[test])))
        said = forest_on_bands(bands[train], labels[train], bands[test], seed=seed)
        scores["forest on bands"].append(float(np.mean(said == labels[test])))
    base = np.array(scores["forest on bands"])
    for name, found in scores.items():
        print(name, shown(np.array(found)), "minus forest on bands", shown(np.array(found) - base))


def shown(values: NDArray[np.float64]) -> str:
    """Mean with its interval."""
    mean, low, high = (float(part) for part in paired_t_interval(values))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def drawn(
    labels: NDArray[np.int64], groups: NDArray[np.int64], usable: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of 50 training cells in one half of the groups, and of test cells in the other."""
    stream = rng.generator(seed, "few labels bench")
    half = []
    for label in np.unique(labels):  # each class has groups on both sides
        own = stream.permutation(np.unique(groups[labels == label]))
        half.append(own[: max(len(own) // 2, 1)])
    inside = np.isin(groups, np.concatenate(half))
    train = []
    for label in np.unique(labels):
        own = usable[(labels[usable] == label) & inside[usable]]
        train.append(stream.permutation(own)[: -(-POINTS // len(np.unique(labels)))])
    chosen = stream.permutation(np.concatenate(train))[:POINTS]
    test = usable[~inside[usable]]
    return chosen, stream.permutation(test)[:MOST_TEST]


def polygons(data: Path, geobox: object) -> tuple[NDArray[np.int64], ...]:
    """Cells of the training polygons: row, column, class, polygon."""
    table = read_places(data / "rstoolbox/trainingPolygons_sen2.geojson")
    found = labelled(table, geobox, "class", "polygons")  # type: ignore[arg-type]
    return found.cells.rows, found.cells.columns, found.numbers, found.cells.objects


def blocks(data: Path, geobox: object) -> tuple[NDArray[np.int64], ...]:
    """Cells of the hand labels: row, column, class (0 dry, 1 water), block of 64 pixels of the labels."""
    box = cubes.geobox_of(cubes.to_cube(cubes.open(data / "sen1floods11_sample/Spain_7370579_S2Hand.tif")))
    truth = cubes.read_labels(data / "sen1floods11_sample/Spain_7370579_LabelHand.tif").values.astype(np.int64)
    step = round(box.shape.y / geobox.shape.y)  # type: ignore[attr-defined]
    rows, columns = (axis.ravel() for axis in np.meshgrid(*(np.arange(n) for n in geobox.shape.yx), indexing="ij"))  # type: ignore[attr-defined]
    labels = truth[np.minimum(rows * step + step // 2, 511), np.minimum(columns * step + step // 2, 511)]
    keep = labels >= 0
    group = (rows * step // 64) * 8 + columns * step // 64
    return rows[keep], columns[keep], labels[keep], group[keep]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
