"""A scene of an archive, opened: its bands lazily on any grid, and its quality layer where masks are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import dask.array as da
import xarray as xr
from odc.geo.geobox import GeoBox

from swath import cubes
from swath.chips.archive.cloudless import SCHEME, CloudLayer, Once, ground
from swath.chips.archive.request import Request
from swath.chips.archive.sources import assets_for, names_for
from swath.cubes import catalogue
from swath.cubes.catalogue import Item
from swath.cubes.catalogue.load import QUALITY
from swath.cubes.cloudless import BANDS, GSD_M
from swath.cubes.cube import DN, lazy, same_grid, shift_between
from swath.cubes.raster import RasterFile
from swath.cubes.remote import Sheet, sheet_of
from swath.cubes.remote.plan import Window
from swath.cubes.warp import check_method, shifted, warped
from swath.errors import InputError
from swath.grids.geobox import gsd_m
from swath.sensors import BandSet


@dataclass
class Cutter:
    """Reduces files to sheets of the windows that chips need, where all chips lie on the pixels of the file.

    Args:
        boxes: grids of the chips.
        sheets: those that were made, by the grid of the sheet.
        wide: whether windows hold what s2cloudless needs around the chips too.
    """

    boxes: tuple[GeoBox, ...]
    sheets: list[tuple[GeoBox, Sheet]] = field(default_factory=list)
    wide: bool = False

    def __call__(self, file: RasterFile) -> RasterFile:
        """The file as a sheet; unchanged where a chip lies between its pixels, as warping looks around."""
        windows = [(_wide if self.wide else _window)(file.geobox, box) for box in self.boxes]
        held = [window for window in windows if window is not None]
        if len(held) < len(windows):
            return file
        sheet = Sheet(file, tuple(held))
        made = sheet_of(sheet)
        alike = self.sheet(made.geobox)
        if alike is not None and (alike.base.geobox, alike.windows) != (file.geobox, sheet.windows):
            return file  # two sheets that look the same are cut from two grids
        self.sheets.append((made.geobox, sheet))
        return replace(made, reader=Once(sheet)) if self.wide else made

    def sheet(self, box: GeoBox) -> Sheet | None:
        """The sheet that has a grid."""
        return next((sheet for grid, sheet in self.sheets if same_grid(grid, box)), None)


def _window(source: GeoBox, target: GeoBox) -> Window | None:
    """Pixels of the source that a grid on the same pixels covers, one pixel where it lies outside; else None."""
    shift = shift_between(source, target)
    if shift is None:
        return None
    spans = []
    for start, length, size in zip(shift, target.shape, source.shape, strict=True):
        first, last = min(max(start, 0), size), max(min(start + length, size), 0)
        spans.append((int(first), int(last)))
    outside = any(first >= last for first, last in spans)
    return ((0, 1), (0, 1)) if outside else (spans[0], spans[1])


def _wide(source: GeoBox, target: GeoBox) -> Window | None:
    """Pixels of the source around a chip; None where they are not nested in 60 m, or warping would look farther."""
    if source.crs != target.crs or gsd_m(target) > GSD_M:
        return None
    found = ground(source, target)
    return None if found is None else _window(source, found)


@dataclass(frozen=True)
class Layer:
    """Bands of one grid.

    Args:
        data: ``(1, band, y, x)``.
        valid: ``(1, y, x)`` or ``(1, band, y, x)``.
        box: the grid.
        places: position of each band among those wanted.
        sheet: windows that the arrays hold instead of the grid.
        boxes: the chips of these windows.
    """

    data: da.Array
    valid: da.Array
    box: GeoBox
    places: tuple[int, ...]
    sheet: Sheet | None = None
    boxes: tuple[GeoBox, ...] = ()

    def on(self, box: GeoBox, resampling: str, around: GeoBox | None = None) -> tuple[da.Array, da.Array]:
        """Numbers and validity on another grid, both ``(1, band, y, x)``: pixel by pixel where they coincide.

        Args:
            box: the grid; where the arrays are a sheet, that of one of its chips.
            resampling: where pixels do not coincide.
            around: a grid around the chip that is wanted instead.
        """
        numbers, mask, grid = self.data, self.valid, self.box
        if self.sheet is not None:
            rows, columns, grid = self.sheet.place(self.boxes.index(box))
            numbers, mask = numbers[..., rows, columns], mask[..., rows, columns]
        wanted = box if around is None else around
        data, valid = shifted(numbers, grid, wanted, 0), shifted(mask, grid, wanted, False)
        if data is None or valid is None:
            data, valid = warped(numbers, mask, grid, wanted, check_method(resampling))
        return data, da.broadcast_to(valid if valid.ndim == 4 else valid[:, None], data.shape)


@dataclass(frozen=True)
class Scene:
    """The bands wanted of an item, in order.

    Args:
        layers: by grid.
        scale: per band.
        offset: per band.
        stored: whether scale and offset apply.
        quality: the quality layer, where masks are asked for.
    """

    layers: tuple[Layer, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    stored: bool
    quality: Layer | CloudLayer | None

    @classmethod
    def of(cls, item: Item, request: Request, boxes: Sequence[GeoBox] = ()) -> Scene:
        """Open an item without reading pixels.

        Args:
            item: the item.
            request: what is wanted of it.
            boxes: grids of chips: only these are read, all in one go; without them the scene can be put on any grid.

        Raises:
            InputError: a band or the quality layer is missing, or a file cannot be opened.
        """
        clouds = assets_for(item, BANDS) if request.masks and request.origin.scheme == SCHEME else []
        cutter = Cutter(tuple(boxes), wide=bool(clouds)) if boxes else None
        names = assets_for(item, names_for(request.origin, request.band_names, str(item.sensor)))
        # Bands that chip and mask share are opened once, so that their blocks are read once.
        wanted = list(dict.fromkeys([*names, *clouds]))
        loaded = list(cubes.nodes_of(catalogue.load(item, bands=wanted, cut=cutter)).values())
        nodes = [cubes.to_physical(node) for node in loaded] if request.physical else loaded
        layers: list[Layer] = []
        facts: dict[int, tuple[float, float, bool]] = {}
        for node in nodes:
            held = cubes.bands_of(node)
            own = {place: index for place, name in enumerate(names) if (index := _position(held, name)) is not None}
            if own:
                layers.append(_layer(node, list(own.values()), tuple(own), cutter))
                stored = node["data"].attrs.get("unit") == DN
                scale, offset = node["scale_factor"].values, node["add_offset"].values
                facts |= {place: (float(scale[at]), float(offset[at]), stored) for place, at in own.items()}
        if len(facts) < len(names):
            raise InputError(
                f"The item '{item.id}' opens without the band {names[min(set(range(len(names))) - set(facts))]}",
                expected=f"the bands {', '.join(names)}",
                remedy="fetch the item again",
            )
        told = [facts[place] for place in range(len(names))]
        return cls(
            layers=tuple(layers),
            scale=tuple(each[0] for each in told),
            offset=tuple(each[1] for each in told),
            stored=any(each[2] for each in told),
            quality=_clouds(loaded, clouds, cutter) if clouds else _quality(item, loaded, request, cutter),
        )

    @property
    def finest(self) -> GeoBox:
        """The grid with the smallest pixels."""
        return min((layer.box for layer in self.layers), key=gsd_m)

    def on(self, box: GeoBox, resampling: str) -> tuple[da.Array, da.Array]:
        """Numbers and validity of all bands on another grid, both ``(1, band, y, x)``."""
        parts = [layer.on(box, resampling) for layer in self.layers]
        if len(parts) == 1:
            return parts[0]
        order = [place for layer in self.layers for place in layer.places]
        back = [order.index(place) for place in range(len(order))]
        return da.concatenate([part[0] for part in parts], 1)[:, back], da.concatenate([part[1] for part in parts], 1)[
            :, back
        ]


def _layer(node: xr.Dataset, own: list[int], places: tuple[int, ...], cutter: Cutter | None = None) -> Layer:
    data, valid = lazy(node["data"]), lazy(node["valid"])
    if own != list(range(data.shape[1])):
        data, valid = data[:, own], valid[:, own] if valid.ndim == 4 else valid
    return _held(data, valid, cubes.geobox_of(node), places, cutter)


def _held(data: da.Array, valid: da.Array, box: GeoBox, places: tuple[int, ...], cutter: Cutter | None) -> Layer:
    """A layer that knows whether its arrays are a sheet."""
    sheet = None if cutter is None else cutter.sheet(box)
    return Layer(data, valid, box, places, sheet, () if cutter is None else cutter.boxes)


def _position(held: BandSet, name: str) -> int | None:
    return next((index for index, band in enumerate(held) if band.called(name)), None)


def _clouds(nodes: Sequence[xr.Dataset], names: Sequence[str], cutter: Cutter | None) -> CloudLayer:
    """The ten bands of s2cloudless, by the names under which they were asked for."""
    layers = []
    for node in nodes:
        held = cubes.bands_of(node)
        own = {place: index for place, name in enumerate(names) if (index := _position(held, name)) is not None}
        if own:
            physical = node if cubes.is_physical(node) else cubes.to_physical(node)
            layers.append(_layer(physical, list(own.values()), tuple(own), cutter))
    return CloudLayer(tuple(layers))


def _quality(item: Item, nodes: Sequence[xr.Dataset], request: Request, cutter: Cutter | None) -> Layer | None:
    """The quality layer: that which came along with the bands, else opened by itself where no band has its grid."""
    if not request.masks:
        return None
    for node in nodes:
        if QUALITY in node and node[QUALITY].attrs.get("scheme") == request.origin.scheme:
            numbers = lazy(node[QUALITY])[:, None]
            return _held(numbers, da.ones_like(numbers, dtype=bool), cubes.geobox_of(node), (0,), cutter)
    asset = next((each for each in item.assets.values() if each.scheme == request.origin.scheme), None)
    if asset is None:
        raise InputError(
            f"The item '{item.id}' has no quality layer",
            expected=f"an asset called {request.origin.scheme}, to hide {', '.join(request.masks)}",
            remedy="fetch it again, or leave the masks out",
        )
    node = next(iter(cubes.nodes_of(cubes.open(asset.place, level="physical", nodata=())).values()))
    return _layer(node, [0], (0,))
