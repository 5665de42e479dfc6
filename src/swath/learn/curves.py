"""What a run shows: a progress bar and curves for TensorBoard while it goes on, and a picture of its log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swath.errors import require
from swath.files import write_whole
from swath.learn.state import Progress

CURVES = "curves"
"""Folder of the events beside ``log.csv``, which stays the record."""


class Curves:
    """Numbers of a run as TensorBoard shows them; every number of an epoch is the one in ``log.csv``.

    Args:
        out: folder of the run.
        step: optimiser steps made so far; what an earlier start wrote beyond it is hidden.

    Raises:
        MissingError: tensorboard is not installed.
    """

    def __init__(self, out: Path, step: int) -> None:
        require("tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(out / CURVES), purge_step=step + 1)

    def step(self, step: int, **numbers: float) -> None:
        """Numbers of one optimiser step."""
        for name, number in numbers.items():
            self._writer.add_scalar(f"step/{name}", number, step)

    def epoch(self, step: int, line: Mapping[str, Any]) -> None:
        """The line of the log, at the last step of the epoch."""
        for name, number in line.items():
            if name not in ("epoch", "step"):
                self._writer.add_scalar(f"epoch/{name}", number, step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


@contextmanager
def curves(out: Path, step: int, *, wanted: bool) -> Iterator[Curves | None]:
    """Curves for the length of a block, or None where nobody wants them."""
    if not wanted:
        yield None
        return
    drawn = Curves(out, step)
    try:
        yield drawn
    finally:
        drawn.close()


@contextmanager
def progress_bar(progress: Progress, batches: int, epochs: int, *, enabled: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar over all batches of all epochs; the block gets a function that advances it.

    Args:
        progress: where the run stands; read anew at every advance.
        batches: batches per epoch.
        epochs: epochs of the whole run.
        enabled: whether to show anything.
    """
    if not enabled:
        yield lambda batches: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TextColumn, TimeRemainingColumn

    columns = (*Bar.get_default_columns()[:3], TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        done = progress.epoch * batches + progress.batch
        line = bar.add_task("training", total=epochs * batches, completed=done, loss="")

        def advance(number: int) -> None:
            mean = progress.loss_sum / max(progress.count, 1e-12)
            bar.update(line, advance=number, loss=f"epoch {progress.epoch + 1}/{epochs}, loss {mean:.4f}")

        yield advance


_NOT_SCORES = ("epoch", "step", "grad_norm", "wall_s")


def curve_picture(history: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Draw the numbers of a log over its epochs as a PNG: errors, ratios in dB, and scores of a probe.

    Learning rates, gradients and times are left out; a panel without numbers is not drawn; epochs without a number
    are passed over.

    Args:
        history: lines of the log, as ``FitResult.history`` has them.
        path: file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    series = {name: _known(history, name) for line in history[:1] for name in line}
    shown = {name: points for name, points in series.items() if points and name not in _NOT_SCORES and "lr" not in name}
    panels = {
        "loss and error": [name for name in shown if "psnr" not in name and not name.startswith("probe")],
        "ratio (dB)": [name for name in shown if "psnr" in name],
        "linear probe": [name for name in shown if name.startswith("probe")],
    }
    wanted = {title: names for title, names in panels.items() if names}
    figure = Figure(figsize=(3.4 * max(len(wanted), 1), 2.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, names) in zip(figure.subplots(1, max(len(wanted), 1), squeeze=False)[0], wanted.items(),
                                    strict=False):  # fmt: skip
        for name in names:
            axes.plot(*zip(*shown[name], strict=True), label=name, marker="." if len(shown[name]) < 30 else None)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("epochs")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=7)
    return write_whole(path, lambda part: figure.savefig(part, format="png", dpi=120))


def _known(history: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    """Epochs, counted from 1, and finite numbers of one column."""
    return [(line["epoch"] + 1, line[name]) for line in history if math.isfinite(line.get(name, math.nan))]
