"""What a raster must be to be shown as a layer: it lies on the Earth, has the bands, and its blocks fit into memory."""

from __future__ import annotations

from rasterio.io import DatasetReader

from swath.errors import InputError
from swath.serve.handles import MAX_BLOCK_BYTES, block_bytes
from swath.serve.layers import Layer


def shown_bands(layer: Layer, source: DatasetReader) -> list[int]:
    """Numbers (from 1) of the bands that a layer shows, of a raster that can be shown at all.

    Raises:
        InputError: the raster has no CRS, lacks a band, has huge blocks, or a colour layer of it has no stretch.
    """
    if source.crs is None:
        raise InputError(
            f"The layer '{layer.id}' shows '{layer.path}', which has no CRS",
            expected="a raster that says where on the Earth it lies",
            remedy="write it with a CRS, for example with swath.cubes.write_cog",
        )
    numbers = _bands(layer, source)
    _check_blocks(layer, source)
    kinds = {source.dtypes[number - 1] for number in numbers}
    if layer.kind == "colour" and layer.minimum is None and kinds != {"uint8"}:
        raise InputError(
            f"The colour layer '{layer.id}' holds {', '.join(sorted(kinds))} numbers and no stretch",
            expected="8-bit colours, or minimum and maximum of the layer",
            remedy=f"give the layer '{layer.id}' a minimum and a maximum",
        )
    return numbers


def _bands(layer: Layer, source: DatasetReader) -> list[int]:
    names = [str(name or "") for name in source.descriptions]
    numbers = []
    for band in layer.bands or ((1, 2, 3) if layer.kind == "colour" else (1,)):
        number = band if isinstance(band, int) else names.index(band) + 1 if band in names else 0
        if not 1 <= number <= source.count:
            shown = f"'{band}'" if isinstance(band, str) else f"number {band}"
            known = [name for name in names if name] if isinstance(band, str) else []
            raise InputError(
                f"The layer '{layer.id}' asks for band {shown} of '{layer.path}', which has {source.count} band(s)",
                expected=f"one of {', '.join(known[:20])}" if known else f"a number from 1 to {source.count}",
                remedy=f"correct `bands` of the layer '{layer.id}'",
            )
        numbers.append(number)
    return numbers


def _check_blocks(layer: Layer, source: DatasetReader) -> None:
    """A stored block is decoded whole: one that would fill the memory is refused, however small its file."""
    size = block_bytes(source)
    if size > MAX_BLOCK_BYTES:
        rows, columns = source.block_shapes[0]
        raise InputError(
            f"The layer '{layer.id}' shows '{layer.path}', whose blocks of {rows} x {columns} pixels take "
            f"{size / 2**20:,.0f} MiB each",
            expected=f"a tiled raster with blocks of at most {MAX_BLOCK_BYTES // 2**20} MiB",
            remedy="write it as a cloud-optimised GeoTIFF, for example with swath.cubes.write_cog",
        )
