"""What pretraining on the real globe is worth to a segmentation with few labelled chips.

Chips and the pretrained encoder come from the commands of ``docs/pretraining.md``. For every seed so many train chips
and a quarter as many validation chips keep their labels (the seed draws them). On these learn: the encoder with its
pretrained weights, the same encoder with random weights, both with the same head and schedule and all weights free; and
a random forest on colours and 5 x 5 means. All are scored on the test chips. Prints one line of JSON per seed and
contender, and paired differences with 95 % t intervals over seeds; finished lines in ``OUT/scores.jsonl`` are not made
again.

    python bench/pretraining_planet.py CHIPS PRETRAINED --out OUT --labelled 64 --seeds 5
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from swath import chips, judge, learn, rng
from swath.chips import ChipLoader, ChipSet
from swath.judge import ForestOptions, PixelSampling, RandomForest
from swath.learn.checkpoint import save_checkpoint
from swath.learn.options import read_options
from swath.learn.pretraining import OPTIONS, build_pretraining, read_pretrain_options
from swath.metrics import paired_t_interval
from swath.types import Batch, Predictor, ResultRow, Split

CONTENDERS = ("pretrained", "scratch", "random_forest")
FINE = {
    "network": {"head": "linear"},
    "batch_size": 16,
    "fit": {"epochs": 30, "learning_rate": 1e-3, "weight_decay": 0.05, "threads": 1, "device": "cpu"},
}


def main() -> None:
    """Measure all seeds and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chips", type=Path)
    parser.add_argument("pretrained", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labelled", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    kept = asked.out / "scores.jsonl"
    chipset = chips.open(asked.chips)
    lines = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    for seed in range(asked.seeds):
        split = few(Split.load(asked.chips / "split.parquet"), asked.labelled, seed)
        for name in CONTENDERS:
            if any((line["seed"], line["contender"]) == (seed, name) for line in lines):
                continue
            folder = asked.out / f"{name}_{seed}"
            found = score(chipset, split, contender(name, chipset, split, asked.pretrained, folder, seed))
            lines.append({"seed": seed, "contender": name, "labelled": asked.labelled, **found})
            print(json.dumps(lines[-1]), flush=True)
            with kept.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    for metric in ("miou", "accuracy"):
        of = {name: np.array([line[metric] for line in lines if line["contender"] == name]) for name in CONTENDERS}
        for name, values in of.items():
            print(f"{metric} {name}: {values.mean():.3f}")
        for other in CONTENDERS[1:]:
            gap = paired_t_interval(of["pretrained"] - of[other])
            middle, low, high = (float(part) for part in (gap.estimate, gap.low, gap.high))
            print(f"{metric} pretrained - {other}: {middle:+.3f} [{low:+.3f}, {high:+.3f}]")


def few(split: Split, count: int, seed: int) -> Split:
    """The split with so many train chips, and a quarter as many for validation; the others are not used."""
    table = split.table.copy()
    for part, most in (("train", count), ("validation", count // 4)):
        places = np.flatnonzero(table["split"] == part)
        dropped = rng.generator(seed, f"labelled chips {part}").permutation(places)[most:]
        table.loc[table.index[dropped], "split"] = "unused"
    return Split(table)


def contender(name: str, chipset: ChipSet, split: Split, pretrained: Path, out: Path, seed: int) -> Predictor:
    """One contender, fitted on the labelled chips."""
    if name == "random_forest":
        options = ForestOptions(trees=100, mean_bands=chipset.bands.names, sampling=PixelSampling(max_pixels=50_000))
        forest = RandomForest({"image": chipset.bands}, chipset.classes, options, seed)
        return forest.fit(batches(chipset, split.ids("train")))
    source = pretrained
    if name == "scratch":
        options = read_pretrain_options(json.loads((pretrained / OPTIONS).read_text()))
        statistics = chips.Statistics.load(chipset.folder / "statistics.json")
        untrained = build_pretraining(chipset.bands, statistics, options, size=chipset.size, seed=seed)
        source = save_checkpoint(out / "untrained" / "best", untrained, config={}, provenance={"seed": seed}).parent
    return learn.train(
        chipset, split, read_options(FINE, pretrained=str(source)), out / "run", seed=seed, progress=False,
        say=lambda line: None,
    )  # fmt: skip


def score(chipset: ChipSet, split: Split, fitted: Predictor) -> dict[str, float]:
    """Mean IoU over the classes, and accuracy, on the test chips."""
    rows = judge.score(
        fitted, batches(chipset, split.ids("test")), facts=ResultRow(run_id="planet", system="bench")
    ).rows
    whole = {row.metric: row.value for row in rows if row.class_name is None}
    return {"miou": whole["miou"], "accuracy": whole["accuracy"]}


def batches(chipset: ChipSet, ids: list[str]) -> Iterator[Batch]:
    """Chips in order."""
    return ChipLoader(chipset, ids, batch_size=32, seed=0, shuffle=False).epoch(0)


if __name__ == "__main__":
    main()
