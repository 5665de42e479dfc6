"""Land cover of patches from frozen features, with all bands and with a group of them missing; ``satmaepp_groups``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swath import rng
from swath.judge.real10.encoders import Published
from swath.learn.objectives import MaskedReconstruction
from swath.models import GalileoPatches, PatchOptions
from swath.nn import Normalise
from swath.nn.grouped import GroupedAutoencoder
from swath.systems.eo._satmaepp_windows import BANDS, GROUPS, PIXEL_M, Windows
from swath.types import IGNORE, ResultRow

ALL = "all"
CASES: Mapping[str, tuple[str, ...]] = {ALL: (), **GROUPS}
"""Name of a case to the bands that are missing in it."""
PLANTED_SHIFT = 1.0
"""Standard deviations by which the positive control moves a feature of the patches of a class."""
TREES = 100
_AT_ONCE = 128

Maps = Mapping[str, NDArray[np.float32]]
"""Case to features ``(N, D, h, w)``."""


def masked_features(task: MaskedReconstruction, seen: Windows, *, left_out: bool = False) -> dict[str, Any]:
    """Features of a masked autoencoder in every case.

    Args:
        task: the pretrained network; bands that are missing go in as the mean.
        seen: what it sees.
        left_out: leave the tokens of a missing group out instead, as pretraining leaves the hidden ones out.
    """
    assert isinstance(task.model, GroupedAutoencoder)  # the system builds no other
    encoder, names = task.model.encoder, list(GROUPS)
    task.eval()

    def maps(case: str) -> NDArray[np.float32]:
        given = seen.without(CASES[case])
        found = []
        with torch.inference_mode():
            for start in range(0, len(seen), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                values, valid = torch.from_numpy(given.values[part]), torch.from_numpy(given.valid[part])
                present = None
                if left_out and case != ALL:
                    present = torch.ones(len(values), len(names), *seen.labels.shape[1:], dtype=torch.bool)
                    present[:, names.index(case)] = False
                found.append(encoder(task.normalise(values[:, None], valid[:, None])[:, 0], present).maps[-1])
        return torch.cat(found).numpy()

    return {case: maps(case) for case in CASES}


def published_features(encoder: Published, seen: Windows) -> dict[str, NDArray[np.float32]]:
    """Features of Presto (the pixel in the middle of each patch) or Galileo (the patch) in every case.

    Both are told place and month, and which bands are missing.
    """
    patch = seen.values.shape[-1] // seen.labels.shape[-1]
    found = {}
    for case, missing in CASES.items():
        given = seen.without(missing)
        if isinstance(encoder, GalileoPatches):
            encoder = encoder.with_options(PatchOptions(patch=patch))
            batches = given.batches(_AT_ONCE)
        else:
            batches = given.thinned(patch).batches(_AT_ONCE, PIXEL_M * patch)
        found[case] = np.concatenate([encoder.encode(batch).values.numpy() for batch in batches])
    return found


def plain_features(normalise: Normalise, seen: Windows) -> dict[str, NDArray[np.float32]]:
    """What the forest sees: mean and deviation of each band in the patch, its mean in the window, and two indices.

    A missing band counts as its mean in training.
    """
    patch = seen.values.shape[-1] // seen.labels.shape[-1]
    mean = normalise.mean.numpy()[:, None, None]

    def maps(missing: Sequence[str]) -> NDArray[np.float32]:
        given = seen.without(missing)
        values = np.where(given.valid, given.values, mean)
        cells = values.reshape(*values.shape[:2], -1, patch, values.shape[-1] // patch, patch)
        inside = cells.mean(axis=(3, 5))
        around = np.broadcast_to(values.mean(axis=(2, 3))[:, :, None, None], inside.shape)
        red, near, short = (inside[:, BANDS.index(name)] for name in ("B04", "B08", "B11"))
        indices = [(near - other) / np.maximum(np.abs(near + other), 1e-3) for other in (red, short)]
        return np.concatenate([inside, cells.std(axis=(3, 5)), around, np.stack(indices, axis=1)], axis=1).astype(
            np.float32
        )

    return {case: maps(missing) for case, missing in CASES.items()}


def planted(features: Maps, seen: Windows, seed: int) -> dict[str, NDArray[np.float32]]:
    """Features with one more column per class, higher at the patches of that class and never missing."""
    classes = np.unique(seen.labels[seen.labels != IGNORE])
    hint = np.moveaxis((seen.labels[..., None] == classes) * PLANTED_SHIFT, -1, 1)
    hint = hint + rng.generator(seed, "planted").normal(0, 1, hint.shape)
    return {case: np.concatenate([maps, hint.astype(np.float32)], axis=1) for case, maps in features.items()}


def drawn(seen: Windows, wanted: NDArray[np.bool_], per_class: int, seed: int, purpose: str) -> NDArray[np.intp]:
    """Numbers of patches, counted over all windows, at most so many of each class.

    Args:
        seen: the windows.
        wanted: bool ``(N,)``, windows to take them from.
        per_class: most of each class.
        seed: of the draw.
        purpose: name of the draw.
    """
    flat = np.where(wanted[:, None, None], seen.labels, IGNORE).reshape(-1)
    stream = rng.generator(seed, purpose)
    found = [stream.permutation(np.flatnonzero(flat == value))[:per_class] for value in np.unique(flat[flat != IGNORE])]
    return np.concatenate(found)


def rows(
    features: Maps, labels: NDArray[np.int64], parts: tuple[NDArray[np.intp], NDArray[np.intp]], head: Any,
    base: ResultRow,
) -> list[ResultRow]:  # fmt: skip
    """Balanced accuracy of a head that learns with all bands, with all bands and with each group missing.

    ``accuracy_full``; ``accuracy_without_GROUP``; their mean ``accuracy_drop``; and ``lost``, the first less the third.

    Args:
        features: of every case.
        labels: of all patches ``(N h w,)``; those that are learned from may be in another order than the true ones.
        parts: numbers of the patches that are learned from, and of those that are tested.
        head: a classifier with ``fit`` and ``predict``.
        base: what all rows say.
    """
    learned, tested = parts
    flat = {case: np.moveaxis(maps, 1, -1).reshape(len(labels), -1) for case, maps in features.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the number of iterations is part of the probe
        head.fit(flat[ALL][learned], labels[learned])
    scores = {case: balanced(head.predict(values[tested]), labels[tested]) for case, values in flat.items()}
    dropped = float(np.mean([scores[case] for case in GROUPS]))
    named = {"accuracy_full": scores[ALL], "accuracy_drop": dropped, "lost": scores[ALL] - dropped}
    named |= {f"accuracy_without_{case}": scores[case] for case in GROUPS}
    return [replace(base, metric=metric, value=float(value)) for metric, value in named.items()]


def balanced(said: NDArray[np.int64], wanted: NDArray[np.int64]) -> float:
    """Mean over the classes that are there of the share that is told right."""
    return float(np.mean([(said[wanted == value] == value).mean() for value in np.unique(wanted)]))


def linear() -> Any:
    """Logistic regression on standardised features, with fixed options."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=200))


def forest(seed: int) -> Any:
    """A random forest with the usual options."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, random_state=rng.key(seed, "forest") % 2**32, n_jobs=1)
