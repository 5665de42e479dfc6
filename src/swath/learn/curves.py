"""What a run shows while it goes on: a progress bar, and curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swath.errors import require
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
