"""QGIS styles: a ``.qml`` file beside a raster, which QGIS applies when the raster is opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio

from swath.cubes.legend import Legend
from swath.files import write_whole

# Five tones of a perceptually even ramp from dark blue to yellow that red-green blind readers can follow.
RAMP = ("#00204D", "#414D6B", "#7C7B78", "#BCAF6F", "#FFEA46")


def write_style(path: Path, ranges: Sequence[tuple[float, float]], legend: Legend | None = None) -> Path:
    """Write the style of a raster beside it.

    Classes get a paletted style with value, label and colour; one or two bands a grey-free colour ramp on the first;
    three and more a colour composite of the first three.

    Args:
        path: the raster; the style gets the same name with ``.qml``.
        ranges: lowest and highest shown number of each band.
        legend: classes of the first band.

    Returns:
        the path of the style.
    """
    if legend is not None:
        renderer = _paletted(legend)
    elif len(ranges) >= 3:
        renderer = _composite(ranges)
    else:
        renderer = _ramp(*ranges[0])
    root = ElementTree.Element("qgis", version="3.28", styleCategories="Symbology")
    ElementTree.SubElement(root, "pipe").append(renderer)
    ElementTree.indent(root)
    target = path.with_suffix(".qml")
    text = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return write_whole(target, lambda part: part.write_bytes(text))


def _renderer(kind: str, **attributes: str) -> ElementTree.Element:
    element = ElementTree.Element("rasterrenderer", {"type": kind, "opacity": "1", "alphaBand": "-1", **attributes})
    ElementTree.SubElement(element, "rasterTransparency")
    return element


def _paletted(legend: Legend) -> ElementTree.Element:
    element = _renderer("paletted", band="1")
    palette = ElementTree.SubElement(element, "colorPalette")
    for entry in legend:
        ElementTree.SubElement(
            palette,
            "paletteEntry",
            {"value": str(entry.value), "color": entry.colour.lower(), "label": entry.name, "alpha": "255"},
        )
    return element


def _ramp(low: float, high: float) -> ElementTree.Element:
    span = {"classificationMin": f"{low:.9g}", "classificationMax": f"{high:.9g}"}
    element = _renderer("singlebandpseudocolor", band="1", **span)
    shader = ElementTree.SubElement(
        ElementTree.SubElement(element, "rastershader"),
        "colorrampshader",
        {
            "colorRampType": "INTERPOLATED",
            "classificationMode": "1",
            "clip": "0",
            "minimumValue": span["classificationMin"],
            "maximumValue": span["classificationMax"],
        },
    )
    for index, colour in enumerate(RAMP):
        value = f"{low + (high - low) * index / (len(RAMP) - 1):.9g}"
        item = {"value": value, "label": value, "color": colour.lower(), "alpha": "255"}
        ElementTree.SubElement(shader, "item", item)
    return element


def _composite(ranges: Sequence[tuple[float, float]]) -> ElementTree.Element:
    element = _renderer("multibandcolor", redBand="1", greenBand="2", blueBand="3")
    for name, (low, high) in zip(("red", "green", "blue"), ranges, strict=False):
        contrast = ElementTree.SubElement(element, f"{name}ContrastEnhancement")
        for tag, text in (
            ("minValue", f"{low:.9g}"),
            ("maxValue", f"{high:.9g}"),
            ("algorithm", "StretchToMinimumMaximum"),
        ):
            ElementTree.SubElement(contrast, tag).text = text
    return element


def shown_ranges(path: Path, pixels: int = 256) -> list[tuple[float, float]]:
    """The 2nd and 98th percentile of each band, from the overview nearest to ``pixels`` on a side."""
    with rasterio.open(path) as dataset:
        step = max(1.0, max(dataset.height, dataset.width) / pixels)
        shape = (dataset.count, max(1, int(dataset.height / step)), max(1, int(dataset.width / step)))
        bands = dataset.read(out_shape=shape, masked=True)
    ranges = []
    for band in bands:
        usable = band.compressed().astype(np.float64)
        usable = usable[np.isfinite(usable)]
        low, high = np.percentile(usable, [2, 98]).tolist() if usable.size else (0.0, 1.0)
        ranges.append((low, high if high > low else low + 1.0))
    return ranges
