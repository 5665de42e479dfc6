"""A small chip set for the tests of neighbours, and their environments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import chips
from swath.cubes import Legend, make_cube
from swath.sensors import Band, BandSet
from swath.types import Split

CLASSES = ("water", "forest", "field")
BANDS = (Band("B02", kind="reflectance"), Band("B_8", kind="reflectance"))
PEERS = Path(__file__).parents[2] / "bench" / "peers" / ".env"


def made(folder: Path, *, corner: tuple[float, float] = (500_000.0, 5_000_000.0), **options: Any) -> chips.ChipSet:
    """Sixteen chips of 8 x 8 pixels in stored numbers, with a hole of no data and some unknown labels."""
    draw = np.random.default_rng(0)
    data = draw.integers(1000, 5000, (1, 2, 32, 32)).astype(np.int16)
    valid = np.ones((1, 32, 32), bool)
    valid[0, :3, :3] = False
    box = GeoBox((32, 32), Affine(10, 0, corner[0], 0, -10, corner[1]), "EPSG:32633")
    cube = make_cube(
        data,
        valid,
        box,
        BandSet(BANDS),
        time=np.array(["2024-05-06T10:20:30"], "datetime64[ns]"),
        scale=options.get("scale", [1e-4, 1e-4]),
        offset=[-0.1, -0.1],
        stored=True,
        attrs={"source": "made"},
    )
    labels = draw.integers(0, 3, (32, 32)).astype(np.int16)
    labels[20:, 20:] = -100
    legend = options.get("legend", Legend.of(*CLASSES))
    labels = np.where(labels < 0, labels, np.array(legend.values)[labels.clip(0)]).astype(np.int16)
    chipset = chips.cut(cube, labels, folder, size=8, legend=legend, drop=chips.DropRules(0, 0))
    chips.split_by_block(chipset, block_chips=1, buffer_chips=0, seed=0).save(folder / "split.parquet")
    split = Split.load(folder / "split.parquet")
    chips.statistics(chipset, split).save(folder / "statistics.json")
    return chips.open(folder)


def split_of(chipset: chips.ChipSet) -> Split:
    """Its split."""
    return Split.load(chipset.folder / "split.parquet")


def python_of(peer: str) -> Path:
    """The interpreter of a neighbour's environment ('python bench/peers/environments.py' makes them)."""
    if not os.environ.get("SWATH_PEERS"):
        pytest.skip("SWATH_PEERS is not set: importing a neighbour takes up to a minute")
    path = PEERS / peer / "bin" / "python"
    if not path.exists():
        pytest.skip(f"there is no environment of {peer} in bench/peers/.env")
    return path
