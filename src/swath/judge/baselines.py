"""Simple contenders that every model has to beat: majority class, nearest colour, random forest.

They are Predictors of segmentation that read physical values by band name, so they are trained on the same batches
and scored and mapped by the same code as a network. A pixel is predicted where all wanted bands are valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from swath import rng
from swath.errors import ConfigError, ContractError
from swath.judge.pixels import PixelFeatures, PixelSampling, require_pixels, require_two_classes, sample_pixels
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task

Model = TypeVar("Model")
FLOOR = 1e-6
"""Smallest probability given to a class, so that log-probabilities stay finite."""


class MajorityClass:
    """Predicts the class that is most frequent among the training labels, with the class shares as probabilities.

    Args:
        inputs: bands whose validity decides where there is a prediction; the values are not used.
        classes: K class names.
    """

    task: Task = "segmentation"

    def __init__(self, inputs: Mapping[str, BandSet], classes: tuple[str, ...]) -> None:
        self.inputs, self.classes = inputs, classes
        self._features = PixelFeatures(inputs)
        self._counts: NDArray[np.int64] | None = None

    def fit(self, batches: Iterable[Batch], target: str = "label") -> Self:
        """Count the classes.

        Raises:
            InputError: no labelled valid pixels, or labels outside the classes.
        """
        counts = np.zeros(len(self.classes), np.int64)
        for batch in batches:
            _, labels, _ = self._features.labelled(batch, target, self.classes)
            counts += np.bincount(labels.numpy(), minlength=len(self.classes))
        require_pixels(int(counts.sum()))
        self._counts = counts
        return self

    def predict(self, batch: Batch) -> Prediction:
        """The same log-probabilities ``(B, K, H, W)`` everywhere."""
        counts = _fitted(self._counts, self)
        _, valid = self._features.compute(batch)
        shares = torch.from_numpy(counts / counts.sum()).float().clamp_min(FLOOR).log()
        logits = shares[None, :, None, None].expand(len(valid), -1, *valid.shape[1:])
        return Prediction(self.task, {"logits": logits}, valid, self.classes)


class NearestColour:
    """Predicts the class whose mean training pixel is nearest, in bands scaled to unit variance.

    With z the z-scored bands and m_c the class means, the logits are log softmax over c of -|z - m_c|^2 / 2: nearest
    centroid with its softmax as confidence. Classes without training pixels are never predicted.

    Args:
        inputs: the bands to compare.
        classes: K class names.
    """

    task: Task = "segmentation"

    def __init__(self, inputs: Mapping[str, BandSet], classes: tuple[str, ...]) -> None:
        self.inputs, self.classes = inputs, classes
        self._features = PixelFeatures(inputs)
        self._model: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def fit(self, batches: Iterable[Batch], target: str = "label") -> Self:
        """Sum up the training pixels in one pass.

        Raises:
            InputError: fewer than two classes, or labels outside the classes.
        """
        size = len(self.classes)
        counts = torch.zeros(size, dtype=torch.float64)
        sums: Tensor | None = None
        squares = shift = torch.zeros(0, dtype=torch.float64)
        for batch in batches:
            rows, labels, _ = self._features.labelled(batch, target, self.classes)
            if not len(labels):
                continue
            numbers = rows.double()
            if sums is None:  # an offset near the mean keeps the digits of the variance
                shift = numbers.mean(dim=0)
                sums, squares = torch.zeros(size, rows.shape[1], dtype=torch.float64), torch.zeros_like(shift)
            numbers = numbers - shift
            counts += torch.bincount(labels, minlength=size)
            sums.index_add_(0, labels, numbers)
            squares += (numbers**2).sum(dim=0)
        require_two_classes(counts.long().numpy(), self.classes)
        assert sums is not None  # two classes were seen
        mean = sums.sum(dim=0) / counts.sum()
        deviation = (squares / counts.sum() - mean**2).clamp_min(0.0).sqrt()
        deviation = torch.where(deviation > 0, deviation, 1.0)
        centres = (sums / counts.clamp_min(1.0)[:, None] - mean) / deviation
        self._model = ((shift + mean).float(), deviation.float(), centres.float(), counts > 0)
        return self

    def predict(self, batch: Batch) -> Prediction:
        """Log-probabilities ``(B, K, H, W)``."""
        mean, deviation, centres, seen = _fitted(self._model, self)
        features, valid = self._features.compute(batch)
        scaled = (features.movedim(1, -1) - mean) / deviation
        halves = scaled @ centres.T - (centres**2).sum(dim=1) / 2  # |z|^2 / 2 is the same for all classes
        logits = torch.where(seen, halves, -torch.inf).log_softmax(dim=-1)
        # Unseen classes get a finite number below all others.
        lowest = torch.where(seen, logits, 0.0).amin(dim=-1, keepdim=True) + np.log(FLOOR)
        return Prediction(self.task, {"logits": torch.where(seen, logits, lowest).movedim(-1, 1)}, valid, self.classes)


@dataclass(frozen=True)
class ForestOptions:
    """Options of the random forest.

    Args:
        trees: number of trees.
        max_depth: deepest level.
        min_samples_leaf: fewest training pixels in a leaf.
        mean_bands: bands whose mean over a window is added as features.
        window: side of that window in pixels.
        sampling: how training pixels are drawn.
        jobs: threads.
    """

    trees: int = 100
    max_depth: int = 18
    min_samples_leaf: int = 5
    mean_bands: tuple[str, ...] = ()
    window: int = 5
    sampling: PixelSampling = field(default_factory=PixelSampling)
    jobs: int = 2


class RandomForest:
    """A random forest on single pixels and, where asked for, the mean of their surroundings.

    Breiman (2001), Machine Learning 45, 5-32, as scikit-learn implements it.

    Args:
        inputs: the bands to use.
        classes: K class names.
        options: size of the forest, features and training sample.
        seed: seed of the pixel sample and the trees.
    """

    task: Task = "segmentation"

    def __init__(
        self,
        inputs: Mapping[str, BandSet],
        classes: tuple[str, ...],
        options: ForestOptions | None = None,
        seed: int = 0,
    ) -> None:
        self.inputs, self.classes = inputs, classes
        self.options = options or ForestOptions()
        self.seed = seed
        self._features = PixelFeatures(inputs, self.options.mean_bands, self.options.window)
        self._forest: RandomForestClassifier | None = None
        if self.options.trees < 1 or self.options.sampling.max_pixels < 2:
            raise ConfigError(
                f"A forest of {self.options.trees} trees on {self.options.sampling.max_pixels} pixels",
                expected="at least one tree and two pixels",
                remedy="raise 'trees' or 'max_pixels'",
            )

    def fit(self, batches: Iterable[Batch], target: str = "label") -> Self:
        """Grow the forest on a random sample of the labelled valid pixels.

        Raises:
            InputError: no labelled valid pixels, one class only, or labels outside the classes.
        """
        rows, labels = sample_pixels(
            batches, self._features, self.classes, self.options.sampling, target=target, seed=self.seed
        )
        forest = RandomForestClassifier(
            n_estimators=self.options.trees,
            max_depth=self.options.max_depth,
            min_samples_leaf=self.options.min_samples_leaf,
            n_jobs=self.options.jobs,
            random_state=rng.key(self.seed, "forest") % 2**32,
        )
        self._forest = forest.fit(rows, labels)
        return self

    def predict(self, batch: Batch) -> Prediction:
        """Log of the mean leaf shares, ``(B, K, H, W)``; classes without training pixels get the floor."""
        forest = _fitted(self._forest, self)
        features, valid = self._features.compute(batch)
        shares = torch.full((*valid.shape, len(self.classes)), 1 / len(self.classes))
        rows = features.movedim(1, -1)[valid]
        if len(rows):
            table = torch.zeros(len(rows), len(self.classes))
            table[:, torch.from_numpy(forest.classes_)] = torch.from_numpy(forest.predict_proba(rows.numpy())).float()
            shares[valid] = table
        logits = shares.clamp_min(FLOOR).log().movedim(-1, 1)
        return Prediction(self.task, {"logits": logits}, valid, self.classes)


def _fitted(model: Model | None, predictor: object) -> Model:
    if model is None:
        raise ContractError(
            f"{type(predictor).__name__} predicts before it was fitted",
            expected="a call of fit(batches) first",
            remedy="fit it on the training batches",
        )
    return model
