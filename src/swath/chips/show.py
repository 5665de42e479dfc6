"""Contact sheets: what chips and their labels look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.chips.store import ChipSet
from swath.errors import ConfigError, InputError
from swath.files import write_whole
from swath.sensors import BandSet
from swath.types import IGNORE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIRS_PER_ROW = 4
_CELL = 1.5  # inches
_OVERLAY = 0.65
_COLOURS = ("red", "green", "blue")


def contact_sheet(chipset: ChipSet, path: Path | str, *, count: int = 24, ids: Sequence[str] | None = None) -> Path:
    """Draw chips as a PNG: each image beside the same image with its label, invalid pixels hatched, and the legend.

    Colours are red, green and blue where the bands have them, else the first three bands, or one in grey; stretched
    between the 2nd and 98th percentile of all chips drawn. The first date is shown.

    Args:
        chipset: the chips.
        path: file to write.
        count: number of chips, drawn at random but always the same; fewer where the set has fewer.
        ids: chips to draw instead.

    Returns:
        The path written.

    Raises:
        ConfigError: ``count`` is below 1.
        InputError: ``ids`` is empty or holds an unknown id.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if count < 1:
        raise ConfigError(f"count = {count}", expected="at least 1 chip", remedy="change it")
    path = Path(path)
    chosen = _choose(chipset, count) if ids is None else list(ids)
    values, valid, labels = chipset.load(chosen)
    usable: NDArray[np.bool_] = np.asarray(valid[:, 0].any(axis=1))
    pictures = _stretch(values[:, 0], valid[:, 0], _channels(chipset.bands))
    overlays = _overlay(pictures, labels, chipset)
    rows = -(-len(chosen) // PAIRS_PER_ROW)
    columns = 2 * min(PAIRS_PER_ROW, len(chosen))
    figure = Figure(figsize=(_CELL * max(columns, 4), (_CELL + 0.2) * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    cells = figure.subplots(rows, columns, squeeze=False)
    for cell in cells.flat:
        cell.set_axis_off()
    for position, name in enumerate(chosen):
        left, right = cells[position // PAIRS_PER_ROW, 2 * (position % PAIRS_PER_ROW) :][:2]
        _draw(left, pictures[position], usable[position])
        _draw(right, overlays[position], usable[position])
        group = chipset.group(name)
        left.set_title(f"{name}{' ' + group if group else ''}", fontsize=6, loc="left", pad=2)
    _add_legend(figure, chipset, hatched=not usable.all())
    return write_whole(path, lambda part: figure.savefig(part, format="png", dpi=120))


def _choose(chipset: ChipSet, count: int) -> list[str]:
    """Chips at random, but the same ones every time, in order of their id."""
    ids = chipset.ids
    if not ids:
        raise InputError(f"The chip set {chipset.folder} is empty", expected="at least one chip", remedy="cut again")
    drawn = rng.generator(0, "contact sheet").permutation(len(ids))[:count]
    return [ids[index] for index in sorted(drawn.tolist())]


def _channels(bands: BandSet) -> list[int]:
    """Three positions for red, green and blue; one of them three times for a grey picture."""
    found = [[position for position, band in enumerate(bands) if band.called(name)] for name in _COLOURS]
    if all(found):
        return [positions[0] for positions in found]
    return [0, 1, 2] if len(bands) >= 3 else [0, 0, 0]


def _stretch(values: NDArray[Any], valid: NDArray[np.bool_], channels: list[int]) -> NDArray[np.float32]:
    """Pictures ``(N, y, x, 3)`` between 0 and 1; invalid pixels are light grey."""
    pictures = np.full((*values.shape[:1], *values.shape[2:], 3), 0.85, np.float32)
    for target, band in enumerate(channels):
        used = values[:, band][valid[:, band]]
        if used.size == 0:
            continue
        low, high = np.percentile(used, (2, 98))
        scaled = (values[:, band] - low) / max(high - low, 1e-12)
        pictures[..., target] = np.where(valid[:, band], scaled.clip(0, 1), 0.85)
    return pictures


def _overlay(pictures: NDArray[np.float32], labels: NDArray[np.int64], chipset: ChipSet) -> NDArray[np.float32]:
    """Pictures with the colours of their labels on top, unlabelled pixels unchanged."""
    colours = np.array([entry.rgb for entry in chipset.legend], np.float32) / 255
    painted = (1 - _OVERLAY) * pictures + _OVERLAY * colours[labels.clip(min=0)]
    blended: NDArray[np.float32] = np.where((labels != IGNORE)[..., None], painted, pictures)
    return blended


def _draw(cell: Axes, picture: NDArray[np.float32], usable: NDArray[np.bool_]) -> None:
    cell.imshow(picture, interpolation="nearest")
    if not usable.all():
        # Padded by one pixel, so that a mask of one value still has an edge to be filled within.
        mask = np.pad(~usable, 1).astype(float)
        axes = [np.arange(-1, length + 1) for length in usable.shape]
        filled = cell.contourf(axes[1], axes[0], mask, levels=[0.5, 1.5], colors="none", hatches=["////"])
        filled.set_edgecolor("#444444")
        filled.set_linewidth(0.0)
        cell.set_xlim(-0.5, usable.shape[1] - 0.5)
        cell.set_ylim(usable.shape[0] - 0.5, -0.5)


def _add_legend(figure: Figure, chipset: ChipSet, *, hatched: bool) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=entry.colour, edgecolor="#444444", label=entry.name) for entry in chipset.legend]
    if hatched:
        patches.append(Patch(facecolor="#d9d9d9", edgecolor="#444444", hatch="////", label="invalid"))
    figure.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 8), fontsize=7, frameon=False)
