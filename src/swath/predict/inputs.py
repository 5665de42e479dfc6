"""From a cube to batches for a predictor: bands, units, dates and the place of every tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import cubes, units
from swath.cubes.sample import sample_blocks
from swath.errors import InputError
from swath.predict.window import Window
from swath.sensors import BandSet
from swath.types import Batch, Modality


class SceneInputs:
    """What a predictor wants of a cube.

    Args:
        cube: see docs/architecture.md.
        wanted: bands per modality name, as the predictor declares them.

    Raises:
        InputError: a wanted band has no source, or the cube holds stored numbers where physical ones are wanted,
            whether it says so or not.
    """

    def __init__(self, cube: xr.Dataset, wanted: Mapping[str, BandSet]) -> None:
        source = cubes.bands_of(cube)
        found = {name: source.match(bands).require() for name, bands in wanted.items()}
        self.bands = tuple(sorted({position for positions in found.values() for position in positions}))
        chosen = cube.isel(band=list(self.bands))
        check_unit(chosen, wanted)
        self._wanted = dict(wanted)
        self._positions = {
            name: [self.bands.index(position) for position in positions] for name, positions in found.items()
        }
        check_wanted(chosen, self._wanted, self._positions)
        order = np.argsort(cube["time"].values, kind="stable")
        self.cube = cube if bool((order == np.arange(len(order))).all()) else cube.isel(time=order)
        self._time = torch.from_numpy(self.cube["time"].values.astype("datetime64[s]").astype(np.int64))
        self.geobox: GeoBox = cube.odc.geobox

    @property
    def dates(self) -> int:
        """Number of dates."""
        return int(self._time.shape[0])

    def batch(self, tiles: Sequence[Window], starts: Sequence[tuple[int, int]], tile: int) -> Batch:
        """The tiles as one batch.

        Args:
            tiles: windows of ``tile`` x ``tile`` pixels; on a globe the same tile may come twice, a turn apart, and the
                last one of a batch may be repeated to fill it up.
            starts: scene row and column of the first pixel of each, within the first turn.
            tile: pixels of a tile.
        """
        values = np.stack([window.values for window in tiles])
        valid = torch.from_numpy(np.stack([window.valid for window in tiles]))
        grid = tuple(part_of(self.geobox, start, (tile, tile)) for start in starts)
        time = self._time.repeat(len(tiles), 1)
        inputs = {}
        for name, bands in self._wanted.items():
            positions = self._positions[name]
            whole = positions == list(range(len(self.bands)))
            inputs[name] = Modality(
                values=torch.from_numpy(values if whole else values[:, :, positions]),
                valid=valid if whole or valid.shape[2] == 1 else valid[:, :, positions],
                bands=bands,
                time=time,
                grid=grid,
            )
        return Batch(inputs=inputs, ids=_ids(tiles))


def _ids(tiles: Sequence[Window]) -> tuple[str, ...]:
    names = [f"row {window.row}, column {window.column}" for window in tiles]
    return tuple(
        f"{name}, repeated {names[:place].count(name)}" if name in names[:place] else name
        for place, name in enumerate(names)
    )


def part_of(geobox: GeoBox, start: tuple[int, int], shape: tuple[int, int], step: int = 1) -> GeoBox:
    """A window of a grid; it may reach beyond it.

    Args:
        geobox: the grid of the scene.
        start: row and column of the first pixel; may be negative.
        shape: rows and columns of the result.
        step: pixels of the scene per pixel of the result, along both axes.
    """
    a, b, c, d, e, f = tuple(geobox.affine)[:6]
    row, column = start
    affine = Affine(a * step, b * step, a * column + b * row + c, d * step, e * step, d * column + e * row + f)
    return GeoBox(shape, affine, geobox.crs)


def coarser(geobox: GeoBox, step: int) -> GeoBox:
    """The grid of a map; pixels at its right and lower edge may reach beyond the scene.

    Args:
        geobox: the grid of the scene.
        step: pixels of the scene per pixel of the map, along both axes.
    """
    height, width = (int(size) for size in geobox.shape)
    return geobox if step == 1 else part_of(geobox, (0, 0), (-(-height // step), -(-width // step)), step)


def check_unit(cube: xr.Dataset, wanted: Mapping[str, BandSet]) -> None:
    """Refuse stored numbers (DN) where the predictor wants physical ones, by unit and by a look at some values.

    Raises:
        InputError: the cube's unit is ``DN`` and a wanted band has another unit, or values cannot have their unit.
    """
    physical = [band.name for bands in wanted.values() for band in bands if band.unit != "DN"]
    if not physical:
        return
    if not cubes.is_physical(cube):
        raise InputError(
            f"The cube '{cube.attrs.get('source', 'in memory')}' holds stored numbers (unit DN)",
            expected=f"physical values, such as reflectance, for the bands {', '.join(physical)}",
            remedy="convert it first with cubes.to_physical(cube); name sensor and level when opening the file",
        )
    cubes.check_physical(cube)


def check_wanted(cube: xr.Dataset, wanted: Mapping[str, BandSet], positions: Mapping[str, Sequence[int]]) -> None:
    """Refuse values that cannot be what the predictor wants, where the cube calls its bands something else.

    A file opened without a sensor calls everything a plain variable, so its own declaration tells nothing.

    Args:
        cube: the cube with the bands in use.
        wanted: bands per modality name, as the predictor declares them.
        positions: place in the cube of each of them.

    Raises:
        InputError: more than 1 % of some sampled valid values cannot be of the kind and unit wanted.
    """
    own = cubes.bands_of(cube)
    doubtful = [
        (band, position)
        for name, bands in wanted.items()
        for band, position in zip(bands, positions[name], strict=True)
        if units.possible_range(band.kind, band.unit) is not None
        and (band.kind, units.canonical(band.unit)) != (own[position].kind, units.canonical(own[position].unit))
    ]
    if not doubtful:
        return
    values, valid = sample_blocks(cube)
    source = cube.attrs.get("source", "the cube")
    for band, position in doubtful:
        what = f"band {own[position].name} of '{source}', which the model takes as {band.name}"
        units.check_range(values[:, position], valid[:, position], band.unit, band.kind, what)
