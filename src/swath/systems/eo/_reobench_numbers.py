"""From the cells of the sweeps to the numbers that the claims of ``reobench`` are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from swath import rng
from swath.judge.corruptions import GEOMETRIC
from swath.systems.eo._reobench_judging import Sweeps
from swath.types import ResultRow

TRAINED = ("gaussian_noise", "gaussian_blur", "brightness_contrast", "gaps", "compression_artifacts", "rotate")
"""The corruptions that augmented training sees: one of each kind. The six others are new to it when it is tested."""
HARSH = ("gaussian_noise", "salt_and_pepper_noise", "motion_blur", *GEOMETRIC)
"""Noise, motion and pose: what the paper found to hurt more than brightness."""
MONOTONE = 0.9
PLANTED_STEP = 0.12
CONSTANTS = {"drop_least": ("one_point", 0.01), "drop_most": ("twenty_points", 0.2)}
"""Metric to the name and value of what a drop is compared with."""
NINE_TYPES = 9.0


def claim_rows(scenes: Sweeps, land: Sweeps, base: ResultRow) -> list[ResultRow]:
    """The values of all claims of one seed; constants that a claim compares with are rows too."""
    values: dict[tuple[str, str], float] = {}
    values |= {("mean_drop", who): scenes.drop(who, "accuracy", scenes.names()) for who in scenes.contenders()}
    for metric, names in (("recovered_share", scenes.names()), ("recovered_share_unseen", unseen(scenes))):
        values[metric, "resnet_augmented"] = recovered_share(scenes, names)
        values[metric, "resnet"] = 0.0
    for metric, most in (("drop_least", False), ("drop_most", True)):
        values[metric, "chosen_on_first_half"] = chosen_drop({"scenes": scenes, "land": land}, most=most)[1]
        values[metric, CONSTANTS[metric][0]] = CONSTANTS[metric][1]
    for name, types in (("noise_motion_pose", HARSH), ("brightness", ("brightness_contrast",))):
        values["kind_drop", name] = float(np.mean([scenes.drop(who, "accuracy", types) for who in scenes.plain]))
    values["monotone_types", "resnet"] = float(monotone_types(curves(scenes, "resnet")))
    values["monotone_types", "severities_shuffled"] = float(monotone_types(shuffled(curves(scenes, "resnet"), base)))
    values["monotone_types", "planted"] = float(monotone_types(planted(scenes, "resnet", base)))
    values["monotone_types", "nine_types"] = NINE_TYPES
    values["ece_mean", "corrupted"] = scenes.mean("resnet", "ece_cls", scenes.names())
    values["ece_mean", "clean"] = scenes.clean("resnet", "ece_cls")
    return [
        replace(base, metric=metric, backbone=who, value=value, dataset=_dataset(metric, base))
        for (metric, who), value in values.items()
    ]


def calibration_rows(sweeps: Sweeps, base: ResultRow) -> list[ResultRow]:
    """ECE and Brier score of every contender, clean and under each corruption as the mean over severities."""
    found = []
    for who in sweeps.contenders():
        for metric in ("ece_cls", "brier"):
            about = replace(base, backbone=who, metric=metric, higher_is_better=False)
            found.append(replace(about, value=sweeps.clean(who, metric)))
            found += [
                replace(about, corruption=name, value=sweeps.mean(who, metric, [name]), variant="mean over severities")
                for name in sweeps.names()
            ]
    return found


def unseen(scenes: Sweeps) -> tuple[str, ...]:
    """The corruptions that augmented training did not see."""
    return tuple(name for name in scenes.names() if name not in TRAINED)


def recovered_share(scenes: Sweeps, names: Sequence[str]) -> float:
    """(m_augmented - m_plain) / (clean_plain - m_plain) with m the mean accuracy under ``names``.

    1 means as good on corrupted as the plain network on clean images; what augmentation costs on clean images is not
    part of it. NaN where the plain network loses nothing.
    """
    lost = scenes.drop("resnet", "accuracy", names)
    gained = scenes.mean("resnet_augmented", "accuracy", names) - scenes.mean("resnet", "accuracy", names)
    return gained / lost if lost > 0 else float("nan")


def chosen_drop(tasks: Mapping[str, Sweeps], *, most: bool) -> tuple[tuple[str, str, str], float]:
    """The task, contender and corruption that is hurt most (or least) on the first half, and its drop on the second.

    Of so many cells the extreme one is extreme by luck as well; on samples that had no say in the choice it is not.
    """
    cells = [(task, who, name) for task, each in tasks.items() for who in each.plain for name in each.names()]
    drops = np.array([tasks[task].half_drop(who, name, second=False) for task, who, name in cells])
    place = int(np.nanargmax(drops) if most else np.nanargmin(drops))
    task, who, name = cells[place]
    return cells[place], tasks[task].half_drop(who, name, second=True)


def curves(scenes: Sweeps, who: str) -> dict[str, list[float]]:
    """Accuracy from clean to the strongest severity, by corruption."""
    clean = scenes.clean(who, "accuracy")
    return {
        name: [clean, *(scenes.cells[who, name, step].values["accuracy"] for step in scenes.severities())]
        for name in scenes.names()
    }


def monotone_types(values: Mapping[str, Sequence[float]]) -> int:
    """In how many curves accuracy falls with severity: Spearman's correlation of -accuracy and severity is >= 0.9."""
    return sum(falling(curve) >= MONOTONE - 1e-9 for curve in values.values())


def falling(curve: Sequence[float]) -> float:
    """Spearman's rank correlation of the position in a curve with -value; 0 for a constant curve."""
    ranks = rankdata(-np.asarray(curve))
    if np.ptp(ranks) == 0:
        return 0.0
    return float(np.corrcoef(np.arange(len(ranks)), ranks)[0, 1])


def shuffled(values: Mapping[str, Sequence[float]], base: ResultRow) -> dict[str, list[float]]:
    """The negative control: every curve in a random order, as if the labels of the severities had been mixed up."""
    return {
        name: [curve[place] for place in rng.generator(base.seed or 0, "shuffled", name).permutation(len(curve))]
        for name, curve in values.items()
    }


def planted(scenes: Sweeps, who: str, base: ResultRow) -> dict[str, list[float]]:
    """The positive control: predictions on clean images of which a share of 0.12 per severity is made wrong.

    As many curves as there are corruptions, each with images of its own draw.
    """
    clean = scenes.cells[who, None, None]
    right = clean.right.astype(np.float64) / clean.total
    found = {}
    for name in scenes.names():
        order = rng.generator(base.seed or 0, "planted", name).permutation(len(right))
        spoilt = [round(PLANTED_STEP * step * len(right)) for step in (0, *scenes.severities())]
        found[name] = [float(right[order[count:]].sum() / len(right)) for count in spoilt]
    return found


def _dataset(metric: str, base: ResultRow) -> str | None:
    return "both tasks" if metric in CONSTANTS else base.dataset
