"""Land cover of the real Earth: tiles of the planet at 0.1 degree; four continents train, the Americas are scored.

The labels are themselves a map (MODIS IGBP 2019, seven classes), a cell is ten kilometres wide and there is one date.
A tile belongs to the continent that most of its land cells belong to, and only that continent's cells are labelled.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath import cubes, rng
from swath.errors import InputError
from swath.files import write_text
from swath.judge.real10.samples import NO_MONTH, Inputs, Samples, Target, class_strata, tile_places, tiles
from swath.sources import planet
from swath.sources.planet import build
from swath.sources.planet.packages import cache_directory
from swath.types import IGNORE

LEARNED = ("Africa", "Asia", "Europe", "Oceania")
SCORED = ("North America", "South America")
LAYERS = ("true_colour", "elevation", "land_cover", "continent")
TILE_SHARE, MOST_TRAIN, MOST_TEST = 112, 300, 150
"""Tiles around the globe, and how many are kept of those to learn from and those to score."""
LEAST_LABELLED = 0.25


def folder() -> Path:
    """Where the planet lies that ``World`` uses too."""
    return cache_directory().parent / "planet-0.1"


def land_cover(root: Path) -> Samples:
    """Seven classes from colour, relief and latitude.

    Raises:
        InputError: there is no planet, or a layer is missing or damaged.
    """
    cube = planet.inputs(root).compute()
    values, valid = cube["data"].values[0], cube["valid"].values[0]
    cover = planet.coarse_land_cover(planet.labels(root, "land_cover").values).astype(np.int64)
    continents = planet.labels(root, "continent").values.astype(np.int64)
    side = max(4, values.shape[-1] // TILE_SHARE)
    names = [*LEARNED, *SCORED]
    numbers = np.array([planet.CONTINENTS.mapping()[name] for name in names])
    home = tiles(continents, side)
    shares = (home[..., None] == numbers).mean(axis=(1, 2))
    owner = shares.argmax(axis=1)
    labels = tiles(cover, side)
    labels = np.where((home == numbers[owner][:, None, None]) & tiles(valid, side), labels, IGNORE)
    good = np.flatnonzero((labels != IGNORE).mean(axis=(1, 2)) >= LEAST_LABELLED)
    kept = np.sort(np.concatenate([_drawn(good[owner[good] < len(LEARNED)], MOST_TRAIN, "train"),
                                   _drawn(good[owner[good] >= len(LEARNED)], MOST_TEST, "test")]))  # fmt: skip
    if not len(kept):
        raise InputError(f"{root} holds no labelled land", expected="a planet", remedy="make it again")
    mask = np.broadcast_to(valid, values.shape)
    longitude, latitude = np.meshgrid(cube["x"].values, cube["y"].values)
    inputs = Inputs(
        tiles(np.where(mask, values, np.float32(0)).astype(np.float32), side)[kept][:, None],
        tiles(mask, side)[kept][:, None],
        cubes.bands_of(cube),
        np.full((len(kept), 1), NO_MONTH, np.int64),
        tiles(np.stack([longitude, latitude]), side)[kept].mean(axis=(2, 3)),
        dense=True,
    )
    target = Target(labels[kept], planet.COARSE_LAND_COVER.names)
    places = tile_places(values.shape[1], values.shape[2], side)[kept]
    return Samples(
        inputs=inputs,
        target=target,
        ids=tuple(f"tile {row} {column}" for row, column in places.tolist()),
        groups=tuple(names[number] for number in owner[kept].tolist()),
        strata=class_strata(target),
        place=places,
        test=owner[kept] >= len(LEARNED),
    )


def digest(root: Path) -> str:
    """Sixteen hexadecimal digits over the pixels of the layers that are used, whatever their compression.

    Raises:
        InputError: there is no planet, or a layer is not in it.
    """
    layers = build.read_manifest(root)["layers"]
    absent = [name for name in LAYERS if name not in layers]
    if absent:
        raise InputError(f"The planet in {root} lacks {', '.join(absent)}", expected="all", remedy="make it again")
    lines = [f"{name} {layers[name]['sha256']}" for name in LAYERS]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def write_fake(root: Path, seed: int = 0) -> Path:
    """A miniature planet at 2 degrees: stripes of continents, land cover that follows colour."""
    geobox = build.grid(2.0)
    shape = (int(geobox.shape.y), int(geobox.shape.x))
    random = rng.generator(seed, "fake planet")
    cover = random.choice([1, 7, 9, 10, 12, 15, 16], size=(shape[0] // 3, shape[1] // 3)).repeat(3, 0).repeat(3, 1)
    colours = random.integers(20, 230, (17, 3))
    picture = np.clip(colours[cover].transpose(2, 0, 1) + random.integers(-10, 10, (3, *shape)), 0, 255)
    numbers = planet.CONTINENTS.mapping()
    stripes = np.array([numbers[name] for name in (*LEARNED, *SCORED)])
    continent = np.broadcast_to(stripes[np.arange(shape[1]) * len(stripes) // shape[1]], shape)
    arrays: dict[str, NDArray[np.generic]] = {
        "true_colour": picture.astype(np.uint8),
        "elevation": random.integers(0, 3000, (1, *shape)).astype(np.int16),
        "land_cover": cover.astype(np.uint8)[None],
        "continent": continent.astype(np.uint8)[None],
    }
    described = {}
    for name, array in arrays.items():
        layer = build.LAYERS[name]
        cubes.write_cog(
            root / f"{name}.tif", array, geobox, names=layer.names, nodata=layer.nodata, unit=layer.unit,
            scale=layer.scale, legend=layer.legend,
        )  # fmt: skip
        described[name] = {"file": f"{name}.tif", "sha256": build.pixel_hash(array)}
    content = {"schema": build.SCHEMA, "world": "made up", "resolution": 2.0, "shape": shape, "layers": described}
    write_text(root / build.MANIFEST, json.dumps(content))
    return root


def _drawn(places: NDArray[np.int64], most: int, part: str) -> NDArray[np.int64]:
    """At most ``most`` of the places, the same for everybody."""
    return rng.generator(0, "real10 planet tiles", part).permutation(places)[:most]
