"""Pictures and tables of ``reobench``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from swath import judge
from swath.files import write_text
from swath.judge.corruptions import NAMES, corrupt
from swath.judge.table import contender
from swath.systems.eo._pictures import Pictures
from swath.types import Picture, ResultRow

METRICS = {"accuracy": "scenes", "miou": "land cover"}
SHOWN_SEVERITY = 3


def pictures(rows: Sequence[ResultRow], shown: Pictures, out: Path) -> tuple[Picture, ...]:
    """One picture under all corruptions, and the degradation curves of both tasks."""
    found = [Picture(_examples(shown, out / "corruptions.png"), f"A picture and what severity {SHOWN_SEVERITY} makes.")]
    for metric, task in METRICS.items():
        path = judge.degradation_curve(rows, metric, out / f"curves_{metric}.png", title=f"{task}: {metric}")
        text = f"{task.capitalize()}: {metric} against severity; bars are one standard deviation over seeds."
        found.append(Picture(path, text))
    return tuple(found)


def write_grids(rows: Sequence[ResultRow], path: Path) -> Path:
    """The grid corruption x severity of every contender, as markdown."""
    grids = []
    for metric in METRICS:
        every = dict.fromkeys(contender(row) for row in rows if row.metric == metric)
        grids += [judge.corruption_grid(rows, metric, who) for who in every]
    return write_text(path, "\n".join(grids))


def _examples(shown: Pictures, path: Path) -> Path:
    batch = shown.batch(slice(0, 1))
    made = {"clean": batch} | {name: corrupt(batch, name, SHOWN_SEVERITY, 0) for name in NAMES}
    panels = {}
    for name, each in made.items():
        image = each.inputs["image"]
        values = image.values.where(image.valid.expand_as(image.values), image.values.new_zeros(()))[0, 0]
        panels[name.replace("_", " ")] = np.rint(255 * np.moveaxis(values.numpy(), 0, -1)).astype(np.uint8)
    return judge.map_panels(panels, (), path, columns=5)
