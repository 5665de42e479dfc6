"""How the options of ``swath run world_transfer`` were chosen: on simulated places alone.

Pretrains on eight simulated places and scores on four others, which are neither learned on here nor scored by the
control of the experiment; no real scene is opened.

    python bench/world_transfer_options.py --scenes FOLDER --out FOLDER encoders [NAMES]
    python bench/world_transfer_options.py --scenes FOLDER --out FOLDER tuning NAME

``encoders`` compares windows and light in pretraining with a head on frozen features; ``tuning`` compares the same
candidates of learning from few labels for the pretrained and for random weights, with the forests beside them. Figures
go to ``scores.csv`` in the folder and are not measured again. Scenes with fewer than two classes are left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from swath import rng
from swath.errors import InputError
from swath.learn.task import SegmentationTask
from swath.sources.world.world import World
from swath.systems.eo import _world_learning as learning
from swath.systems.eo._real_tasks import RealTask, simulated_task, thinned
from swath.systems.eo._world_data import Scenes, simulated, standardised
from swath.systems.eo._world_learning import Pretraining, Shape, Tuning
from swath.types import IGNORE

LEARNED = ("rondonia", "mato_grosso", "congo", "po_valley", "iowa", "mekong", "murray", "borneo")
HELD_OUT = ("bavaria", "kenya", "ganges", "california")
DAYS = ("2019-02-14", "2019-07-20")
SIDE = 384
COLUMNS = ["seed", "encoder", "task", "what", "how", "seconds", "miou"]
TUNED = ("bavaria_2019-07-20", "kenya_2019-02-14", "ganges_2019-02-14", "california_2019-07-20")
SIDE_OF_BLOCK, PER_CLASS = 16, 2
LARGE, SMALL = Shape(window=32), Shape(window=24)
ENCODERS = {
    "large_windows": (LARGE, Pretraining(steps=1500)),
    "small_windows": (SMALL, Pretraining(steps=1500, batch_size=8)),
    "small_windows_jitter": (SMALL, Pretraining(steps=1500, batch_size=8, jitter=0.2)),
}
HEADS = tuple(Tuning(ridge=ridge) for ridge in (1e-4, 1e-3, 1e-2))
WHOLE = tuple(Tuning(steps=steps, rate=rate) for steps in (60, 200) for rate in (1e-3, 5e-3))


class Bench:
    """The scenes, and the figures that were measured already.

    Args:
        scenes: folder of simulated scenes.
        out: folder of models and figures.
        seed: of everything that is drawn.
    """

    def __init__(self, scenes: Path, out: Path, seed: int) -> None:
        world = World(seed=0)
        self.out, self.seed, self.table = out, seed, out / "scores.csv"
        self.learned = simulated(world, LEARNED, DAYS, LARGE.bands, SIDE, scenes)
        self.held_out = simulated(world, HELD_OUT, DAYS, LARGE.bands, SIDE, scenes)
        out.mkdir(parents=True, exist_ok=True)

    def tasks(self) -> Iterator[RealTask]:
        """The scenes of the places held out, each in its own statistics."""
        for at, name in enumerate(self.held_out.names):
            try:
                yield simulated_task(name.replace(" ", "_"), self.held_out, at, LARGE.bands).standardised(None)
            except InputError as error:
                print(error)

    def start(self, encoder: str) -> SegmentationTask:
        """The pretrained network."""
        (shape, how), raw = ENCODERS[encoder], self.learned
        scenes = Scenes(standardised(raw.values, raw.valid, None), raw.valid, raw.labels, raw.names)
        return learning.pretrained(shape, how, scenes, self.out / f"{encoder}_{self.seed}", self.seed)

    def note(self, **row: object) -> None:
        """Append a figure, and show it."""
        frame = pd.DataFrame([{"seed": self.seed, **row}], columns=COLUMNS)
        frame.to_csv(self.table, mode="a", header=not self.table.exists(), index=False)

    def measured(self, **key: object) -> bool:
        """Whether a figure is there."""
        if not self.table.exists():
            return False
        frame = pd.read_csv(self.table)
        return bool(np.logical_and.reduce([frame[name] == value for name, value in {"seed": self.seed, **key}.items()])
                    .any())  # fmt: skip


def encoders(bench: Bench, names: list[str]) -> None:
    """Heads on the frozen features of each encoder, pretrained and with random weights."""
    for name in names:
        if bench.measured(encoder=name):
            continue
        began = time.perf_counter()
        start = bench.start(name)
        seconds = round(time.perf_counter() - began)
        blank = learning.network(ENCODERS[name][0], start.classes, bench.seed)
        for task in bench.tasks():
            learned, scored = drawn(bench, task)
            for what, weights in (("world", start), ("scratch", blank)):
                features = learning.features_of(weights, task)
                for how in HEADS:
                    reached = head_score(features, task, learned, scored, how)
                    row = {"encoder": name, "task": task.name, "what": what, "how": text(how)}
                    bench.note(**row, seconds=seconds, miou=reached)
        show(bench)


def drawn(bench: Bench, task: RealTask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels to learn from and to score on."""
    learned, labels = task.few(SIDE_OF_BLOCK, PER_CLASS, bench.seed)
    return learned, thinned(labels, 30_000, rng.generator(bench.seed, "scored", task.name))


def head_score(
    features: torch.Tensor, task: RealTask, learned: NDArray[np.int64], scored: NDArray[np.int64], how: Tuning
) -> float:
    """As ``learning.tuned`` without steps; the features are made once for all candidates."""
    usable = torch.from_numpy(learned != IGNORE)
    labels = torch.from_numpy(learned)[usable]
    weight, bias = learning.linear_head(features[:, usable].T, labels, len(task.classes), ridge=how.ridge)
    logits = torch.einsum("kf,fyx->kyx", weight, features) + bias[:, None, None]
    return learning.score(task.classes, scored, logits.argmax(dim=0).numpy())


def tuning(bench: Bench, name: str) -> None:
    """Steps and rates for all weights, from the pretrained and from random ones; and the forests."""
    start, shape = bench.start(name), ENCODERS[name][0]
    for task in (each for each in bench.tasks() if each.name in TUNED):
        learned, scored = drawn(bench, task)
        for what, weights in (("world", start), ("scratch", None)):
            for how in WHOLE:
                key = {"encoder": name, "task": task.name, "what": what, "how": text(how)}
                if bench.measured(**key):
                    continue
                began = time.perf_counter()
                folder = bench.out / "tuning" / "_".join((*key.values(), str(bench.seed)))
                found = learning.tuned(shape, how, task, learned, weights, folder, bench.seed)
                reached = learning.score(task.classes, scored, learning.mapped(found, task))
                bench.note(**key, seconds=round(time.perf_counter() - began), miou=reached)
        for what, weights in (("forest", None), ("world_forest", start)):
            found = learning.forest(shape, 200, task, learned, scored != IGNORE, weights, bench.seed)
            reached = learning.score(task.classes, scored, found)
            bench.note(encoder=name, task=task.name, what=what, how="trees 200", miou=reached)
        show(bench)


def text(how: Tuning) -> str:
    """A candidate in a few characters."""
    return f"steps {how.steps} rate {how.rate:g}" if how.steps else f"head ridge {how.ridge:g}"


def show(bench: Bench) -> None:
    """Mean scores over the scenes held out, and over the four of ``tuning`` alone."""
    frame = pd.read_csv(bench.table)
    keys = ["encoder", "what", "how"]
    found = frame.groupby(keys)["miou"].agg(["mean", "size"])
    found["four scenes"] = frame[frame["task"].isin(TUNED)].groupby(keys)["miou"].mean()
    print(found.round(3).to_string(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("what", choices=("encoders", "tuning"))
    parser.add_argument("names", nargs="*", default=list(ENCODERS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(options.scenes, options.out, options.seed)
    if options.what == "encoders":
        encoders(bench, options.names)
    for name in options.names if options.what == "tuning" else ():
        tuning(bench, name)


if __name__ == "__main__":
    main()
