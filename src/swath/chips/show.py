"""Contact sheets: what chips, in all modalities, and their targets look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.chips.joined import JoinedSet
from swath.chips.store import ChipSet
from swath.chips.targets import QUANTITIES
from swath.errors import ConfigError, InputError
from swath.files import write_whole
from swath.sensors import BandSet
from swath.types import IGNORE, Batch, Modality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIRS_PER_ROW = 4
_CELL = 1.5  # inches
_OVERLAY = 0.65
_COLOURS = ("red", "green", "blue")


def contact_sheet(
    chipset: ChipSet | JoinedSet, path: Path | str, *, count: int = 24, ids: Sequence[str] | None = None
) -> Path:
    """Draw chips as a PNG: every modality, then what is asked, invalid pixels hatched, and the legend.

    What is asked is the first modality with its labels on top, or the first quantity in colour; one answer per chip
    stands in its title.

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
    batch = chipset.batch(chosen)
    panels = [_panel(modality) for modality in batch.inputs.values()]
    labelled = chipset.task in ("segmentation", "change")
    if labelled:
        panels.append((_overlay(panels[0][0], batch.targets["label"].numpy(), chipset), panels[0][1]))
    elif chipset.task == "pixel_regression":
        panels.append(_quantity(batch))
    per_row = max(1, 2 * PAIRS_PER_ROW // len(panels))
    rows, columns = -(-len(chosen) // per_row), len(panels) * min(per_row, len(chosen))
    figure = Figure(figsize=(_CELL * max(columns, 4), (_CELL + 0.2) * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    cells = figure.subplots(rows, columns, squeeze=False)
    for cell in cells.flat:
        cell.set_axis_off()
    titles = _titles(chipset, batch)
    for position in range(len(chosen)):
        own = cells[position // per_row, len(panels) * (position % per_row) :][: len(panels)]
        for cell, (pictures, usable) in zip(own, panels, strict=True):
            _draw(cell, pictures[position], usable[position])
        own[0].set_title(titles[position], fontsize=6, loc="left", pad=2)
    hatched = not all(usable.all() for _, usable in panels)
    _add_legend(figure, chipset if labelled else None, hatched=hatched)
    return write_whole(path, lambda part: figure.savefig(part, format="png", dpi=120))


def _panel(modality: Modality) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Pictures ``(N, y, x, 3)`` of the first date of a modality, and where any band is valid ``(N, y, x)``."""
    values, valid = modality.values[:, 0].numpy(), modality.valid.expand_as(modality.values)[:, 0].numpy()
    usable: NDArray[np.bool_] = np.asarray(valid.any(axis=1))
    return _stretch(values, valid, _channels(modality.bands)), usable


def _quantity(batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The first quantity of every chip in colour, and where it is known."""
    from matplotlib import colormaps

    values, known = batch.targets["value"][:, 0].numpy(), batch.target_valid["value"][:, 0].numpy()
    low, high = np.percentile(values[known], (2, 98)) if known.any() else (0.0, 1.0)
    scaled = ((values - low) / max(high - low, 1e-12)).clip(0, 1)
    coloured = colormaps["viridis"](scaled)[..., :3].astype(np.float32)
    pictures: NDArray[np.float32] = np.where(known[..., None], coloured, np.float32(0.85))
    return pictures, known


def _titles(chipset: ChipSet | JoinedSet, batch: Batch) -> list[str]:
    """Id and group, and the answer where there is one per chip."""
    names = [
        f"{name}{' ' + group if group else ''}" for name, group in zip(batch.ids, batch.meta["group"], strict=True)
    ]
    target, known = batch.targets[chipset.target].numpy(), batch.target_valid[chipset.target].numpy()
    if chipset.task == "classification":
        said = [chipset.classes[label] if there else "?" for label, there in zip(target, known, strict=True)]
    elif chipset.task == "multilabel":
        said = [
            ", ".join(np.array(chipset.classes)[(row == 1) & there]) for row, there in zip(target, known, strict=True)
        ]
    elif chipset.task in QUANTITIES and target.ndim == 2:
        said = [f"{row[0]:.3g}" if there[0] else "?" for row, there in zip(target, known, strict=True)]
    else:
        return names
    return [f"{name}: {answer}" for name, answer in zip(names, said, strict=True)]


def _choose(chipset: ChipSet | JoinedSet, count: int) -> list[str]:
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


def _overlay(
    pictures: NDArray[np.float32], labels: NDArray[np.int64], chipset: ChipSet | JoinedSet
) -> NDArray[np.float32]:
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


def _add_legend(figure: Figure, chipset: ChipSet | JoinedSet | None, *, hatched: bool) -> None:
    """Names of the colours of labels, where there are some, and of the hatching."""
    from matplotlib.patches import Patch

    entries = () if chipset is None else chipset.legend
    patches = [Patch(facecolor=entry.colour, edgecolor="#444444", label=entry.name) for entry in entries]
    if hatched:
        patches.append(Patch(facecolor="#d9d9d9", edgecolor="#444444", hatch="////", label="invalid"))
    if patches:
        figure.legend(
            handles=patches, loc="outside lower center", ncols=min(len(patches), 8), fontsize=7, frameon=False
        )
