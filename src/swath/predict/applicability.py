"""Area of applicability: how unlike the training pixels is a pixel, and is that more than the model was tested for?

Meyer and Pebesma (2021), Methods in Ecology and Evolution 12, 1620-1633. The dissimilarity index of a pixel is its
distance to the nearest training pixel, in predictors that are standardised with the training pixels and weighted by
importance, divided by the mean distance between training pixels. The threshold is the upper whisker of the index of
the training pixels themselves, each compared with those of other folds only: beyond it no cross-validated score speaks
for the model. The index looks at values, not at places, and at single pixels, not at the texture around them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from scipy.spatial import cKDTree
from torch import Tensor

from swath import cubes
from swath.errors import ConfigError, ContractError, InputError
from swath.files import replacing, write_json
from swath.predict.fields import Fields
from swath.predict.layers import Layer
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Predictor, Task

DISSIMILARITY, APPLICABILITY = "dissimilarity", "applicability"
QUERY = 65_536
"""Pixels per query of the tree."""
PAIRS = 2**22
"""Distances held at once for the mean over pairs, 32 MiB."""
FARTHEST = 1e18
"""Largest coordinate of a pixel in the space of distances; squares stay within floating point."""
BEYOND = 1.001
"""What a pixel that lacks a band gets: this times the threshold, outside by a hair."""

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Applicability:
    """Where a model may be believed, learned from its training pixels.

    Args:
        features: F names, for people.
        mean: float64 (F,), mean of the training pixels.
        scale: float64 (F,), weight / standard deviation; 0 for a feature that plays no part.
        samples: float32 (n, F), standardised and weighted training pixels.
        distance: mean distance between two training pixels.
        threshold: largest dissimilarity inside the area of applicability.
    """

    features: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    samples: NDArray[np.float32]
    distance: float
    threshold: float

    @classmethod
    def fit(
        cls,
        samples: Values,
        folds: Sequence[Any] | Values,
        *,
        weights: Sequence[float] | Values | None = None,
        features: Sequence[str] = (),
    ) -> Self:
        """Learn normalisation, mean distance and threshold.

        The whisker is that of a box plot: the largest training index not above Q3 + 1.5 (Q3 - Q1), quartiles by linear
        interpolation. A feature that is constant in training is given the standard deviation 1, so that any departure
        from the constant counts in its own unit.

        Args:
            samples: (n, F) training pixels in physical units.
            folds: n names or numbers; a training pixel is compared with those of other folds only.
            weights: F importances, none negative; only their ratios matter. None = all alike.
            features: F names.

        Raises:
            InputError: fewer than two folds, NaN, or training pixels that are all the same.
            ConfigError: weights or names do not fit.
        """
        table = np.asarray(samples, dtype=np.float64)
        names = tuple(features) or tuple(f"feature {number}" for number in range(table.shape[1]))
        share = _weights(weights, names)
        groups = np.unique(np.asarray(folds).astype(str), return_inverse=True)[1]
        _check_samples(table, groups, names)
        mean, deviation = table.mean(axis=0), table.std(axis=0)
        # The mean of equal numbers misses them by rounding, which must not pass for a deviation.
        rounding = np.finfo(np.float32).eps * np.abs(table).max(axis=0)
        scale = share / np.where(deviation > rounding, deviation, 1.0)
        scaled = ((table - mean) * scale).astype(np.float32)
        distance = mean_distance(scaled)
        if distance == 0:
            raise InputError(
                f"The {len(table)} training pixels are all the same in {', '.join(names[:6])}",
                expected="training pixels that differ",
                remedy="check the bands and the split",
            )
        return cls(names, mean, scale, scaled, distance, whisker(_between_folds(scaled, groups) / distance))

    def dissimilarity(self, pixels: Values, *, block: int = QUERY) -> NDArray[np.float32]:
        """The index of each pixel, float32 (P,): 0 = a training pixel, 1 = as far as these are from each other.

        Equal pixels are looked up once. Memory depends on ``block``, not on P beyond the answer itself.

        Args:
            pixels: (P, F) in physical units, finite.
            block: pixels per query.
        """
        answer = np.empty(len(pixels), dtype=np.float32)
        for first in range(0, len(pixels), block):
            part = np.ascontiguousarray(pixels[first : first + block], dtype=np.float32)
            rows, inverse = _distinct(part)
            # Numbers at the end of float32, such as an undeclared no-data value, are as far away as can be.
            scaled = np.clip((rows - self.mean) * self.scale, -FARTHEST, FARTHEST).astype(np.float32)
            found, _ = self._tree.query(scaled, workers=1)
            answer[first : first + block] = (found / self.distance)[inverse]
        return answer

    def inside(self, dissimilarity: Values) -> NDArray[np.bool_]:
        """Where the index does not exceed the threshold."""
        inside: NDArray[np.bool_] = np.asarray(dissimilarity) <= self.threshold
        return inside

    def adding(self, pixels: Values) -> Self:
        """The same normalisation, mean distance and threshold with further training pixels (P, F)."""
        more = ((np.asarray(pixels, dtype=np.float64) - self.mean) * self.scale).astype(np.float32)
        return replace(self, samples=np.concatenate([self.samples, more]))

    def record(self) -> dict[str, Any]:
        """What is not an array, as JSON values."""
        return {"features": list(self.features), "distance": self.distance, "threshold": self.threshold}

    def arrays(self) -> dict[str, Values]:
        """The arrays by name."""
        return {"mean": self.mean, "scale": self.scale, "samples": self.samples}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], arrays: Mapping[str, Values]) -> Self:
        """From ``record()`` and ``arrays()``.

        Raises:
            KeyError: an entry is missing.
            ValueError: an entry is of another kind, or sizes differ.
        """
        names = tuple(str(name) for name in record["features"])
        samples = np.asarray(arrays["samples"], dtype=np.float32)
        mean, scale = (np.asarray(arrays[name], dtype=np.float64) for name in ("mean", "scale"))
        distance, threshold = float(record["distance"]), float(record["threshold"])
        numbers = (*mean, *scale, distance, threshold)
        if samples.ndim != 2 or not len(samples) or {samples.shape[1], *mean.shape, *scale.shape} != {len(names)}:
            raise ValueError(f"{len(names)} features, samples of shape {samples.shape}")
        if not np.isfinite(samples).all() or not all(map(math.isfinite, numbers)) or distance <= 0:
            raise ValueError("numbers that are not finite")
        return cls(names, mean, scale, samples, distance, threshold)

    def save(self, path: Path) -> Path:
        """Write ``path`` (safetensors) and the JSON beside it."""
        with replacing(path) as temporary:
            temporary.write_bytes(save_tensors({name: array.copy() for name, array in self.arrays().items()}))
        return write_json(path.with_suffix(".json"), self.record())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote; nothing is ever unpickled.

        Raises:
            InputError: a file is missing or damaged.
        """
        try:
            record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            return cls.from_record(record, load_tensors(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise InputError(
                f"The area of applicability {path} cannot be read ({type(error).__name__}: {error})",
                expected=f"{path.name} and {path.with_suffix('.json').name} as swath wrote them",
                remedy="make it again from the training chips",
            ) from error

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.samples)


class WithApplicability:
    """A predictor that also gives the dissimilarity of every pixel, as the extra output ``dissimilarity``.

    A pixel that lacks one of the bands on one of the dates has no distance; where the predictor maps it all the same
    (lenient prediction), it counts as outside and gets a dissimilarity just above the threshold.

    Args:
        predictor: what predicts.
        applicability: fitted on the pixels that taught it, with ``pixel_features`` of the same inputs.
        step: 1 = every pixel; s = every s-th along both axes of a tile, repeated in between, for a quick look.

    Raises:
        ConfigError: ``step`` is below 1.
    """

    def __init__(self, predictor: Predictor, applicability: Applicability, step: int = 1) -> None:
        if step < 1:
            raise ConfigError(f"step = {step}", expected="a whole number of at least 1", remedy="leave it out")
        self.predictor, self.applicability, self.step = predictor, applicability, step
        self.task: Task = predictor.task
        self.inputs: Mapping[str, BandSet] = predictor.inputs
        self.classes: tuple[str, ...] = predictor.classes
        known: Mapping[str, tuple[str, ...]] = getattr(predictor, "extras", {})
        self.extras: dict[str, tuple[str, ...]] = {**known, DISSIMILARITY: (DISSIMILARITY,)}
        self.output_stride = int(getattr(predictor, "output_stride", 1))
        self.colours: tuple[str, ...] = tuple(getattr(predictor, "colours", ()))

    def predict(self, batch: Batch) -> Prediction:
        """The prediction with ``dissimilarity``, float32 (B, 1, H, W).

        Raises:
            ContractError: the batch does not have the bands and dates that the training pixels had.
        """
        prediction = self.predictor.predict(batch)
        pixels, valid = pixel_features(batch, self.inputs)
        index = torch.from_numpy(self._index(pixels, valid))
        return replace(prediction, outputs={**prediction.outputs, DISSIMILARITY: index})

    def _index(self, pixels: Tensor, valid: Tensor) -> NDArray[np.float32]:
        wanted = len(self.applicability.features)
        if pixels.shape[1] != wanted:
            raise ContractError(
                f"The batch has {pixels.shape[1]} numbers per pixel (bands times dates)",
                expected=f"{wanted}: {', '.join(self.applicability.features[:8])}",
                remedy="predict with as many dates as the area of applicability was made from",
            )
        step, (height, width) = self.step, pixels.shape[2:]
        # Under the mask anything will do that is finite; most of it is never written.
        index = np.full(valid[:, ::step, ::step].shape, self.applicability.threshold * BEYOND + 1e-6, np.float32)
        chosen = valid[:, ::step, ::step].numpy()
        index[chosen] = self.applicability.dissimilarity(pixels[:, :, ::step, ::step].movedim(1, -1).numpy()[chosen])
        whole: NDArray[np.float32] = index.repeat(step, axis=1)[:, :height].repeat(step, axis=2)[:, :, :width]
        return np.ascontiguousarray(whole[:, None])


def pixel_features(batch: Batch, inputs: Mapping[str, BandSet]) -> tuple[Tensor, Tensor]:
    """What describes a pixel: all wanted bands on all dates, in physical units.

    Args:
        batch: any batch.
        inputs: wanted bands per modality name; matched by name, alias and wavelength.

    Returns:
        float32 (B, F, H, W) on the CPU, modality by modality, date by date; and bool (B, H, W), where all are valid.

    Raises:
        ContractError: a modality is missing, lies on HEALPix faces, or has another size.
        InputError: a band is missing.
    """
    layers, masks = [], []
    for name, wanted in inputs.items():
        modality = batch.inputs.get(name)
        if modality is None or modality.has_faces:
            raise ContractError(
                f"The batch has the inputs {', '.join(batch.inputs) or 'none'}" + (" on faces" if modality else ""),
                expected=f"rows and columns of '{name}'",
                remedy="name the modality as the predictor does, and regrid faces first",
            )
        chosen = list(modality.bands.match(wanted).require())
        layers.append(modality.values[:, :, chosen].flatten(1, 2).cpu())
        masks.append(modality.valid.expand_as(modality.values)[:, :, chosen].flatten(1, 2).all(dim=1).cpu())
    if len({mask.shape for mask in masks}) != 1:
        raise ContractError(
            f"The modalities have the sizes {', '.join(str(tuple(mask.shape[1:])) for mask in masks)}",
            expected="one size for features of a pixel",
            remedy="resample the modalities to one grid",
        )
    return torch.cat(layers, dim=1).float(), torch.stack(masks).all(dim=0)


def feature_names(inputs: Mapping[str, BandSet], dates: int = 1) -> tuple[str, ...]:
    """Names of the features of ``pixel_features`` for modalities of ``dates`` dates each."""
    return tuple(
        name if dates == 1 else f"{name} {date + 1}"
        for bands in inputs.values()
        for date in range(dates)
        for name in bands.names
    )


def applicability_layers(applicability: Applicability) -> dict[str, Layer]:
    """The layers ``dissimilarity`` (float32) and ``applicability`` (1 inside, 0 outside, 255 no data)."""
    legend = cubes.Legend(
        (cubes.LegendEntry(0, "outside", "#D55E00"), cubes.LegendEntry(1, "inside", "#0072B2")),
    )

    def index(fields: Fields) -> Values:
        return fields[DISSIMILARITY]

    def inside(fields: Fields) -> Values:
        # Blending equal numbers with weights that add up to 1 moves the last digit, which must not push one outside.
        return (fields[DISSIMILARITY] <= np.float32(applicability.threshold * (1 + 1e-6))).astype(np.uint8)

    needs = (DISSIMILARITY,)
    return {
        DISSIMILARITY: Layer(DISSIMILARITY, needs, "float32", math.nan, "1", 1.0, None, index, needs),
        APPLICABILITY: Layer(APPLICABILITY, (APPLICABILITY,), "uint8", 255, None, 1.0, legend, inside, needs),
    }


def mean_distance(samples: Values) -> float:
    """Mean Euclidean distance over all pairs of different rows (n, F); 0 for fewer than two."""
    points = np.asarray(samples, dtype=np.float64)
    count = len(points)
    if count < 2:
        return 0.0
    step, total = max(1, PAIRS // (count * max(points.shape[1], 1))), 0.0
    for first in range(0, count, step):
        gaps = points[first : first + step, None] - points[None]
        total += float(np.sqrt((gaps**2).sum(axis=2)).sum())
    return total / (count * (count - 1))


def whisker(values: Values) -> float:
    """Upper whisker of a box plot (Tukey 1977): the largest value not above Q3 + 1.5 (Q3 - Q1)."""
    first, third = np.percentile(values, [25, 75])
    return float(values[values <= third + 1.5 * (third - first)].max())


def _between_folds(samples: NDArray[np.float32], groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Distance of every training pixel to the nearest one of another fold."""
    nearest = np.empty(len(samples))
    for group in np.unique(groups):
        own = groups == group
        nearest[own], _ = cKDTree(samples[~own]).query(samples[own], workers=1)
    return nearest


def _distinct(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Different rows and where each row is among them; compared as bytes, which is faster than number by number."""
    if not rows.shape[1]:
        return rows, np.arange(len(rows))
    words = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, places, inverse = np.unique(words, return_index=True, return_inverse=True)
    return rows[places], inverse.ravel()


def _weights(weights: Sequence[float] | Values | None, names: tuple[str, ...]) -> NDArray[np.float64]:
    share = np.ones(len(names)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (len(names),) or not np.isfinite(share).all() or (share < 0).any() or not share.any():
        raise ConfigError(
            f"The weights of {len(names)} features are {share.tolist()}",
            expected="one number per feature, none negative and not all 0",
            remedy="leave the weights out, or give the importance of each feature",
        )
    return share / share.max()


def _check_samples(table: Values, groups: NDArray[np.intp], names: tuple[str, ...]) -> None:
    if table.ndim != 2 or table.shape != (len(groups), len(names)):
        raise ConfigError(
            f"{table.shape} training pixels, {len(groups)} folds and {len(names)} names",
            expected="(n, F) pixels, n folds and F names",
            remedy="give one fold per pixel and one name per feature",
        )
    if not np.isfinite(table).all():
        raise InputError(
            f"{int((~np.isfinite(table)).any(axis=1).sum())} training pixels hold NaN or infinite numbers",
            expected="valid pixels only",
            remedy="leave out pixels that are masked",
        )
    folds = len(np.unique(groups))
    if folds < 2:
        raise InputError(
            f"The {len(table)} training pixels lie in {folds} fold{'s' if folds != 1 else ''}",
            expected="at least two folds, such as blocks or regions, to compare one with the others",
            remedy="cut more chips, or split them into smaller blocks",
        )
