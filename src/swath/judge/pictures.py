"""Pictures of results, drawn without a display and written whole.

Colours can be told apart by colour-blind readers: cividis for amounts, the legend's own palette for classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from swath.cubes.legend import default_colour
from swath.errors import InputError
from swath.files import write_whole
from swath.metrics import ConfusionMatrix
from swath.types import IGNORE

DPI = 110
NO_DATA = "#E6E6E6"


def confusion_picture(matrix: ConfusionMatrix, path: Path | str, title: str = "") -> Path:
    """Heat map of the share of each true class (row) predicted as each class (column), in percent.

    Rows without truth stay empty.
    """
    counts = matrix.counts.astype(np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    size = len(matrix.classes)
    side = 2.2 + 0.55 * size
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100)
    for row, column in np.argwhere(np.isfinite(shares)):
        share = shares[row, column]
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", color="black" if share > 50 else "white")
    labels = [f"{name} ({_short(total)})" for name, total in zip(matrix.classes, totals[:, 0], strict=True)]
    axes.set_xticks(range(size), matrix.classes, rotation=40, ha="right")
    axes.set_yticks(range(size), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth (number of values)")
    axes.set_title(title)
    figure.colorbar(image, ax=axes, label="share of the true class [%]", shrink=0.8)
    return save_figure(figure, Path(path))


def class_map(
    labels: NDArray[Any],
    classes: Sequence[str],
    path: Path | str,
    *,
    colours: Sequence[str] | None = None,
    title: str = "",
    extent: tuple[float, float, float, float] | None = None,
) -> Path:
    """A map of classes with its legend.

    Args:
        labels: integers ``(H, W)``: 0 to K - 1, anything below 0 (``IGNORE``) is no data; row 0 is the north.
        classes: K class names.
        path: file to write.
        colours: K colours as ``#rrggbb``; the default palette otherwise.
        title: title.
        extent: left, right, bottom, top of the map, where the axes should show coordinates.

    Raises:
        InputError: not two axes, or a label beyond the classes.
    """
    if labels.ndim != 2 or (labels.size and int(labels.max()) >= len(classes)):
        raise InputError(
            f"The map has shape {labels.shape} and labels up to {int(labels.max()) if labels.size else 'none'}",
            expected=f"two axes and labels from 0 to {len(classes) - 1}, {IGNORE} for no data",
            remedy="give the legend of this map",
        )
    shown = list(colours or (default_colour(index) for index in range(len(classes))))
    height = np.clip(9 * labels.shape[0] / max(labels.shape[1], 1), 2.5, 9)
    figure = Figure(figsize=(10.5, height), layout="constrained")
    axes = figure.add_subplot()
    palette = ListedColormap([NO_DATA, *shown])
    index = np.where(labels < 0, 0, labels + 1)
    axes.imshow(index, cmap=palette, vmin=-0.5, vmax=len(shown) + 0.5, interpolation="nearest", extent=extent)
    if extent is None:
        axes.set_xticks([])
        axes.set_yticks([])
    entries = [Patch(color=to_rgba(colour), label=name) for name, colour in zip(classes, shown, strict=True)]
    if bool((labels < 0).any()):
        entries.append(Patch(color=NO_DATA, label="no data"))
    axes.legend(handles=entries, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    axes.set_title(title)
    return save_figure(figure, Path(path))


def map_panels(
    panels: Mapping[str, NDArray[Any]],
    classes: Sequence[str],
    path: Path | str,
    *,
    colours: Sequence[str] | None = None,
    columns: int = 3,
) -> Path:
    """Several maps of one place side by side, with one legend for all.

    Args:
        panels: title to integers ``(H, W)`` as ``class_map`` takes them, or to a picture ``(H, W, 3)`` of uint8.
        classes: K class names.
        path: file to write.
        colours: K colours as ``#rrggbb``; the default palette otherwise.
        columns: most panels in a row.

    Raises:
        InputError: no panel, another shape, or a label beyond the classes.
    """
    wrong = [
        f"'{title}' {array.shape}"
        for title, array in panels.items()
        if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3))
        or (array.ndim == 2 and array.size and int(array.max()) >= len(classes))
    ]
    if wrong or not panels:
        raise InputError(
            f"The panels cannot be drawn: {', '.join(wrong) or 'there are none'}",
            expected=f"labels (H, W) from 0 to {len(classes) - 1}, below 0 for no data, or colours (H, W, 3)",
            remedy="give the legend of these maps",
        )
    shown = list(colours or (default_colour(index) for index in range(len(classes))))
    across = min(columns, len(panels))
    down = -(-len(panels) // across)
    height, width = next(iter(panels.values())).shape[:2]
    side = 10.0 / across
    figure = Figure(figsize=(10.0, down * (side * height / width + 0.35) + 0.4), layout="constrained")
    palette = ListedColormap([NO_DATA, *shown])
    for place, (title, array) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(down, across, place)
        index = np.where(array < 0, 0, array + 1) if array.ndim == 2 else array
        axes.imshow(index, cmap=palette, vmin=-0.5, vmax=len(shown) + 0.5, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, fontsize=10)
    entries = [Patch(color=to_rgba(colour), label=name) for name, colour in zip(classes, shown, strict=True)]
    entries.append(Patch(color=NO_DATA, label="no label"))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), frameon=False)
    return save_figure(figure, Path(path))


def contender_bars(
    names: Sequence[str],
    values: Sequence[float],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    path: Path | str,
    *,
    label: str,
    title: str = "",
) -> Path:
    """Horizontal bars of the contenders, best at the top, with their intervals where known.

    Args:
        names: contenders.
        values: their scores, all in one unit; NaN draws no bar.
        lows: lower bounds, None where unknown.
        highs: upper bounds.
        path: file to write.
        label: name and unit of the score.
        title: title.

    Raises:
        InputError: the lists differ in length.
    """
    if not len(names) == len(values) == len(lows) == len(highs):
        raise InputError(
            f"There are {len(names)} names, {len(values)} values, {len(lows)} and {len(highs)} bounds",
            expected="one of each per contender",
            remedy="give None for an unknown bound",
        )
    order = np.argsort(np.nan_to_num(np.asarray(values, dtype=np.float64), nan=-np.inf), kind="stable")
    figure = Figure(figsize=(7.5, 1.3 + 0.45 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for place, index in enumerate(order):
        value, low, high = values[index], lows[index], highs[index]
        axes.barh(place, value, color=default_colour(4), height=0.6)
        if low is not None and high is not None:
            axes.errorbar((low + high) / 2, place, xerr=(high - low) / 2, color="black", capsize=4, lw=1.5)
        edge = np.nanmax([value, high if high is not None else np.nan, 0.0])
        axes.annotate(f"{value:.3f}", (edge, place), xytext=(5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(names)), [names[index] for index in order])
    axes.margins(x=0.12)
    axes.set_xlabel(label)
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, Path(path))


def training_curve(log: Path | str, path: Path | str, title: str = "") -> Path:
    """Curves of a training log: losses above, all other measures below.

    Args:
        log: CSV with a header; the first of ``step`` and ``epoch`` that exists is the horizontal axis.
        path: file to write.
        title: title.

    Raises:
        InputError: the log is missing, or holds no numbers to draw.
    """
    try:
        table = pd.read_csv(log)
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(
            f"The training log {log} cannot be read ({type(error).__name__})",
            expected="the log.csv that fit writes",
            remedy="check the path of the run",
        ) from error
    axis = next((name for name in ("step", "epoch") if name in table), None)
    skipped = {"step", "epoch", "learning_rate", "seconds", "samples", "wall_s"}
    numbers = [str(name) for name in table.select_dtypes("number")]
    drawn = [name for name in numbers if name not in skipped and table[name].notna().any()]
    losses = [name for name in drawn if "loss" in name]
    panels = [panel for panel in (losses, [name for name in drawn if name not in losses]) if panel]
    if not panels:
        raise InputError(
            f"The training log {log} has no measures to draw (columns: {', '.join(map(str, table.columns))})",
            expected="columns such as loss",
            remedy="give the log.csv that fit writes",
        )
    figure = Figure(figsize=(8, 0.6 + 2.4 * len(panels)), layout="constrained")
    across = table[axis] if axis else pd.Series(table.index)
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(len(panels), 1, number)
        _lines(axes, across, table[panel])
        axes.set_xlabel(axis or "row")
        if number == 1:
            axes.set_title(title)
    return save_figure(figure, Path(path))


def _lines(axes: Axes, across: pd.Series[Any], table: pd.DataFrame) -> None:
    styles = ("-", "--", ":", "-.")
    for index, name in enumerate(table):
        known = table[name].notna()
        marker = "o" if known.sum() < 30 else None
        colour = default_colour((4, 5, 2, 6, 0, 1)[index % 6])
        axes.plot(
            across[known], table[name][known], styles[index % 4], marker=marker, ms=3, color=colour, label=str(name)
        )
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _short(number: float) -> str:
    """A count with at most three digits and a letter."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure whole, the same bytes for the same numbers; the ending of the name says the format."""
    # Without the version tag the same numbers give the same bytes.
    kind = path.suffix.lstrip(".") or "png"
    with mpl.rc_context({"svg.hashsalt": "swath"}):
        return write_whole(
            path, lambda part: figure.savefig(part, dpi=DPI, format=kind, metadata=_metadata(kind), facecolor="white")
        )


def _metadata(kind: str) -> dict[str, Any] | None:
    return {"png": {"Software": None}, "svg": {"Date": None}}.get(kind)
