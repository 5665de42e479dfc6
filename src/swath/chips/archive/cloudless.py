"""Cloud masks of the chips of a Level-1C scene: s2cloudless on the ground of a chip and what lies around it.

Pixels of 60 m lie at multiples of 60 m of the scene's CRS, where the pixels of 60 m of all Sentinel-2 tiles lie. As the
steps of s2cloudless look ``REACH`` pixels far, a chip with that much around it has the mask of the whole scene.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.delayed import delayed
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.transform import Affine

from swath.cubes import cloudless
from swath.cubes.cloudless import BANDS, GSD_M, REACH
from swath.cubes.cube import apply_affine, shift_between
from swath.cubes.remote import Sheet
from swath.cubes.warp import shifted, warped
from swath.errors import InputError

if TYPE_CHECKING:
    from swath.chips.archive.scene import Layer

SCHEME = "s2cloudless"
_EDGE = 33  # points along a side of a chip that lies in another CRS than the scene


@dataclass(frozen=True)
class CloudLayer:
    """The ten bands of a scene, on their way to a mask.

    Args:
        layers: physical reflectance, by grid; ``places`` are those among the names of s2cloudless.
    """

    layers: tuple[Layer, ...]

    def on(self, box: GeoBox, resampling: str) -> tuple[da.Array, da.Array]:
        """States and validity on the grid of a chip, both ``(1, 1, y, x)``; the nearest state, whatever is asked for.

        Raises:
            InputError: the bands do not lie on pixels that make up those of 60 m.
        """
        parts, factors = [], []
        for layer in self.layers:
            grid = layer.box if layer.sheet is None else layer.sheet.base.geobox
            fine = ground(grid, box)
            if fine is None:
                start = f"{grid.affine.c:.10g}, {grid.affine.f:.10g}"
                raise InputError(
                    f"Pixels of {abs(grid.affine.a):g} that begin at {start} do not make up those of {GSD_M} m, whose "
                    f"edges lie at multiples of {GSD_M} m",
                    expected=f"pixels of 10, 20 or {GSD_M} m of a UTM zone, as Sentinel-2 has them",
                    remedy="fetch the scene as it was published, or leave the masks out",
                )
            parts.append(layer.on(box, "nearest", fine))
            factors.append(_factor(grid))
        coarse = around(self.layers[0].box, box)
        names = [BANDS[place] for layer in self.layers for place in layer.places]
        found = delayed(_states, pure=True)(parts, factors, names)
        codes = da.from_delayed(found, (1, 1, *coarse.shape.yx), dtype=np.uint8)
        near = shifted(codes, coarse, box, cloudless.UNKNOWN)
        if near is None:
            near = warped(codes, da.ones_like(codes, dtype=bool), coarse, box, Resampling.nearest)[0]
        return near, da.ones_like(near, dtype=bool)


@dataclass(eq=False)
class Once:
    """A reader that keeps what it has read, as chip and mask ask for the same pixels of a band.

    Args:
        reader: reads the windows of a batch of chips, and lives no longer than it.
    """

    reader: Sheet
    _held: dict[Any, NDArray[Any]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def read(
        self, bands: tuple[int, ...], rows: tuple[int, int], columns: tuple[int, int], *, masks: bool
    ) -> NDArray[Any]:
        """As the reader."""
        key = (bands, rows, columns, masks)
        with self._lock:
            if key not in self._held:
                found = self.reader.read(bands, rows, columns, masks=masks)
                found.flags.writeable = False
                self._held[key] = found
        return self._held[key]

    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """As the reader."""
        return self.reader.chunks()


def ground(grid: GeoBox, box: GeoBox) -> GeoBox | None:
    """What is needed of a file around a chip, in the file's own pixels; None where they do not make up 60 m."""
    if grid.crs is None or not grid.crs.projected or not 0 < _factor(grid) <= GSD_M:
        return None
    coarse, factor = around(grid, box), _factor(grid)
    fine = GeoBox(
        (int(coarse.shape.y) * factor, int(coarse.shape.x) * factor), coarse.affine * Affine.scale(1 / factor), grid.crs
    )
    return fine if shift_between(grid, fine) is not None else None


def around(grid: GeoBox, box: GeoBox) -> GeoBox:
    """Pixels of 60 m that a chip touches, and ``REACH`` more on each side, in the CRS of a scene's grid."""
    height, width = box.shape.yx
    rows, columns = np.linspace(0, height, _EDGE), np.linspace(0, width, _EDGE)
    mesh = np.meshgrid(columns, rows)
    x, y = apply_affine(box.affine, mesh[0].ravel(), mesh[1].ravel())
    if box.crs != grid.crs:
        from pyproj import Transformer

        x, y = Transformer.from_crs(str(box.crs), str(grid.crs), always_xy=True).transform(x, y)
    left, right = _span(np.asarray(x))
    bottom, top = _span(np.asarray(y))
    corner = Affine(GSD_M, 0, left * GSD_M, 0, -GSD_M, top * GSD_M)
    return GeoBox((top - bottom, right - left), corner, grid.crs)


def _span(values: NDArray[np.float64]) -> tuple[int, int]:
    """First and last edge of pixels of 60 m around coordinates; rounding keeps an edge an edge."""
    if not np.isfinite(values).all():
        raise InputError(
            "A chip lies outside of what the CRS of its scene can show",
            expected="a chip on the ground of the scene",
            remedy="leave the observation out",
        )
    steps = np.round(values / GSD_M, 6)
    return int(np.floor(steps.min())) - REACH, int(np.ceil(steps.max())) + REACH


def _factor(grid: GeoBox) -> int:
    """How many pixels of a grid make up one of 60 m; 0 where that is no whole number."""
    ratio = GSD_M / abs(float(grid.affine.a))
    return round(ratio) if abs(ratio - round(ratio)) < 1e-6 else 0


def _states(parts: list[Any], factors: list[int], names: list[str]) -> NDArray[np.uint8]:
    """States ``(1, 1, y, x)`` from numbers and validity ``(1, band, y, x)`` by grid."""
    coarse = [
        cloudless.averaged(data[0], valid[0], factor) for (data, valid), factor in zip(parts, factors, strict=True)
    ]
    numbers, known = (np.concatenate([each[number] for each in coarse]) for number in (0, 1))
    return cloudless.states(numbers, known, names)[None, None]
