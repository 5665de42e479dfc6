"""Tasks made of single pixels seen over time: labelled series of sits, and the two tables of Presto."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swath.errors import InputError
from swath.judge.real10.samples import Inputs, Samples, Target, class_strata, fifths
from swath.sources.published import presto_tables, sits

LEFT_OUT = "Forest"
"""All series of this class lie within three kilometres, so that no split by region has it on both sides."""
DEGREES = 1.0
"""Side of the cells that are held out as a whole where no sites are named."""


def vegetation(root: Path) -> Samples:
    """Three kinds of vegetation and use from a year of MODIS NDVI; groups are cells of one degree.

    Raises:
        InputError: the set is absent or damaged.
    """
    found = [each for each in sits.open(root) if each.name == sits.SETS[0]]
    if not found:
        raise InputError(
            f"{root} lacks samples/{sits.SETS[0]}.csv.gz", expected="that set", remedy="download the data set again"
        )
    series = found[0]
    classes = tuple(name for name in series.classes if name != LEFT_OUT)
    kept = np.flatnonzero([series.classes[number] in classes for number in series.label])
    label = np.array([classes.index(series.classes[number]) for number in series.label[kept]], np.int64)
    valid = np.isfinite(series.values[kept])
    values = np.where(valid, series.values[kept], np.float32(0))[..., None, None]
    month = series.times[kept].astype("datetime64[M]").astype(np.int64) % 12
    target = Target(label[:, None, None], classes)
    cells = np.floor(series.lonlat[kept] / DEGREES).astype(np.int64)
    return Samples(
        inputs=Inputs(values, valid[..., None, None], series.bands, month, series.lonlat[kept], dense=False),
        target=target,
        ids=tuple(series.ids[place] for place in kept),
        groups=tuple(f"cell {east} {north}" for east, north in cells.tolist()),
        strata=class_strata(target),
    )


def table(root: Path, quantity: str, unit: str) -> Samples:
    """One of the tables of Presto with the authors' split; groups are sites, or cells of 0.1 degree.

    Args:
        root: folder of the task.
        quantity: name of what is to be predicted.
        unit: its unit.

    Raises:
        InputError: a file is missing or damaged.
    """
    found = presto_tables.open(root)
    valid = np.isfinite(found.values)[..., None, None]
    values = np.where(np.isfinite(found.values), found.values, np.float32(0))[..., None, None]
    return Samples(
        inputs=Inputs(values, valid, found.bands, found.month, found.lonlat, dense=False),
        target=Target(found.target[:, None, None, None], (quantity,), unit),
        ids=tuple(f"row {number}" for number in range(len(found))),
        groups=found.group,
        strata=fifths(found.target),
        test=found.is_test,
    )
