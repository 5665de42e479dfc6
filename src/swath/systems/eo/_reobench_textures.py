"""A random forest on colour and texture: the contender of ``reobench`` that is no network.

Per image: mean, deviation and three percentiles of each colour; the histogram of local binary patterns of the grey
image, invariant to rotation (Ojala, Pietikäinen and Mäenpää 2002, TPAMI 24), on pixels and on means of 2 x 2; the
histogram of the length of the gradient; and the deviation of grey means over blocks of 2, 4 and 8 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from swath import rng
from swath.errors import ContractError
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task

Floats = NDArray[np.float32]
FLOOR = 1e-3
_STEPS = np.array([0.01, 0.02, 0.04, 0.08, 0.16, 0.32], np.float32)
_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
_UNIFORM, _OTHER = 2, 9


class TextureForest:
    """A random forest on the features of this module; pixels that are invalid count as the mean training colour.

    Args:
        bands: the colours.
        classes: K names.
        trees: number of trees.
        seed: of the forest.
    """

    task: Task = "classification"

    def __init__(self, bands: BandSet, classes: Sequence[str], *, trees: int = 200, seed: int = 0) -> None:
        self.inputs: Mapping[str, BandSet] = {"image": bands}
        self.classes = tuple(classes)
        self._forest = RandomForestClassifier(trees, n_jobs=1, random_state=rng.key(seed, "forest") % 2**32)
        self._colour: Floats | None = None

    def fit(self, batch: Batch) -> Self:
        """Learn from the images and labels of a batch."""
        values = batch.inputs["image"].values[:, 0].numpy()
        self._colour = values.mean(axis=(0, 2, 3))
        self._forest.fit(texture_features(values), batch.targets["label"].numpy())
        return self

    def predict(self, batch: Batch) -> Prediction:
        """Log of the mean leaf shares ``(B, K)``; classes that were not learned get the floor."""
        if self._colour is None:
            raise ContractError(
                "The forest predicts before it was fitted", expected="a call of fit first", remedy="fit it"
            )
        image = batch.inputs["image"]
        valid = image.valid.expand_as(image.values)[:, 0].numpy()
        values = np.where(valid, image.values[:, 0].numpy(), self._colour[:, None, None])
        shares = np.full((len(values), len(self.classes)), FLOOR)
        shares[:, self._forest.classes_] = self._forest.predict_proba(texture_features(values)).clip(FLOOR)
        logits = torch.from_numpy(np.log(shares / shares.sum(axis=1, keepdims=True))).float()
        return Prediction(self.task, {"logits": logits}, torch.from_numpy(valid.any(axis=(1, 2, 3))), self.classes)


def texture_features(values: Floats) -> Floats:
    """Features ``(N, F)`` of images ``(N, C, H, W)`` within [0, 1]."""
    flat = values.reshape(*values.shape[:2], -1)
    grey = values.mean(axis=1)
    levels = np.percentile(flat, (10, 50, 90), axis=2)
    parts = [flat.mean(axis=2), flat.std(axis=2), *levels]
    parts += [_patterns(grey), _patterns(_means(grey, 2)), _gradients(grey)]
    parts.append(np.stack([_means(grey, side).std(axis=(1, 2)) for side in (2, 4, 8)], axis=1))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _means(grey: Floats, side: int) -> Floats:
    """Means over blocks; rows and columns that fill no block are left out."""
    count, height, width = grey.shape
    rows, columns = height // side, width // side
    cut = grey[:, : rows * side, : columns * side].reshape(count, rows, side, columns, side)
    return np.asarray(cut.mean(axis=(2, 4)), np.float32)


def _patterns(grey: Floats) -> Floats:
    """Shares ``(N, 10)`` of the local binary patterns: 0 to 8 brighter neighbours in one run, and all others."""
    centre = grey[:, 1:-1, 1:-1]
    height, width = grey.shape[1:]
    brighter = np.stack(
        [grey[:, 1 + down : height - 1 + down, 1 + across : width - 1 + across] >= centre for down, across in _AROUND]
    )
    changes = (brighter != np.roll(brighter, 1, axis=0)).sum(axis=0)
    codes = np.where(changes <= _UNIFORM, brighter.sum(axis=0), _OTHER)
    return _shares(codes.reshape(len(grey), -1), _OTHER + 1)


def _gradients(grey: Floats) -> Floats:
    """Shares ``(N, 7)`` of the lengths of the gradient, in steps that double."""
    length = np.hypot(np.diff(grey, axis=1)[:, :, 1:], np.diff(grey, axis=2)[:, 1:])
    return _shares(np.searchsorted(_STEPS, length.reshape(len(grey), -1)), len(_STEPS) + 1)


def _shares(codes: NDArray[np.integer], count: int) -> Floats:
    """How often each number below ``count`` comes in each row."""
    rows = np.arange(len(codes))[:, None] * count
    found = np.bincount((codes + rows).ravel(), minlength=len(codes) * count).reshape(len(codes), count)
    return np.asarray(found / codes.shape[1], np.float32)
