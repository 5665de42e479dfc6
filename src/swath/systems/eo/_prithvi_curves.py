"""The loss of a training run as rows and as a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from swath.files import write_whole
from swath.learn.fit import LOG
from swath.types import ResultRow


def rows(folder: Path, base: ResultRow) -> list[ResultRow]:
    """``pretraining_loss``, one row an epoch (column group).

    Args:
        folder: of the run, with its log.
        base: what all rows share.
    """
    log = pd.read_csv(folder / LOG)
    base = replace(base, metric="pretraining_loss", higher_is_better=False)
    return [
        replace(base, group=f"epoch {int(epoch):02d}", value=float(loss))
        for epoch, loss in zip(log["epoch"], log["loss"], strict=True)
    ]


def picture(folder: Path, path: Path) -> Path:
    """The loss over the optimiser steps as a PNG.

    Args:
        folder: of the run, with its log.
        path: file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    log = pd.read_csv(folder / LOG)
    figure = Figure(figsize=(5, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(log["step"], log["loss"], marker="o")
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)
    return write_whole(path, lambda part: figure.savefig(part, format="png", dpi=120))
