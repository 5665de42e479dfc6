"""Strips of rows as one raster, without a copy of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree  # only what GDAL has just written is parsed

import rasterio.shutil


@dataclass(frozen=True)
class Part:
    """Some rows of a raster in a file of their own, over its full width and with the same bands.

    Args:
        path: the file.
        row: first row.
        rows: number of rows; the file may have more.
    """

    path: Path
    row: int
    rows: int


def mosaic(template: Path, parts: Sequence[Part], width: int) -> Path:
    """A GDAL virtual raster beside ``template`` with all that it declares and the pixels of some parts.

    Args:
        template: a raster of the whole grid.
        parts: rows that none of them has hold no-data.
        width: columns of the grid.
    """
    path = template.with_suffix(".vrt")
    rasterio.shutil.copy(str(template), str(path), driver="VRT")
    tree = ElementTree.parse(path)
    for number, band in enumerate(tree.getroot().findall("VRTRasterBand"), start=1):
        for old in [*band.findall("SimpleSource"), *band.findall("ComplexSource")]:
            band.remove(old)
        for part in parts:
            source = ElementTree.SubElement(band, "SimpleSource")
            ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(part.path.resolve())
            ElementTree.SubElement(source, "SourceBand").text = str(number)
            size = {"xSize": str(width), "ySize": str(part.rows)}
            ElementTree.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
            ElementTree.SubElement(source, "DstRect", {"xOff": "0", "yOff": str(part.row), **size})
    tree.write(path)
    return path
