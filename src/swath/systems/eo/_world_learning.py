"""Networks of ``world_transfer``: pretrained on the simulated Earth, then a head, then all of them on few labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ConfigDict, Field
from rasterio.transform import Affine
from sklearn.ensemble import RandomForestClassifier

from swath import rng
from swath.judge.pixels import PixelFeatures
from swath.learn import FitConfig, fit
from swath.learn.embedding import Embedder
from swath.learn.reproduce import seeded
from swath.learn.task import SegmentationTask
from swath.metrics import ConfusionMatrix, miou
from swath.nn import Normalise, UNet
from swath.sources.world.truth import COVER
from swath.systems.eo._real_tasks import RealTask
from swath.systems.eo._world_data import Scenes, WindowLoader, band_set, batch_of
from swath.types import IGNORE, Batch

DEEPEST = 18
"""Levels of a tree of the forest."""


class Shape(BaseModel):
    """The network and its windows.

    Args:
        bands: on the band axis.
        width, depth: of the U-Net, which works at full resolution.
        window: side of a training window in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bands: tuple[str, ...] = ("B02", "B03", "B04", "B08", "B11", "B12")
    width: int = Field(default=16, ge=1)
    depth: int = Field(default=1, ge=0)
    window: int = Field(default=32, ge=8)


class Pretraining(BaseModel):
    """How the network learns on simulated scenes.

    Args:
        steps: of the optimiser.
        rate: peak learning rate.
        jitter: of the brightness of windows, see ``WindowLoader``.
        batch_size: windows per step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=1000, ge=1)
    rate: float = Field(default=3e-3, gt=0)
    jitter: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=16, ge=1)


class Tuning(BaseModel):
    """How a network learns from few labels: its head alone to the optimum, then all of it for some steps.

    The head first, so that random logits do not drag the features along (Kumar et al., ICLR 2022).

    Args:
        ridge: weight of the squared coefficients of the head.
        steps: of the optimiser on all weights; 0 leaves the features as they are.
        rate: peak learning rate of these steps.
        batch_size: windows per step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ridge: float = Field(default=1e-3, gt=0)
    steps: int = Field(default=0, ge=0)
    rate: float = Field(default=1e-3, gt=0)
    batch_size: int = Field(default=8, ge=1)


def network(shape: Shape, classes: tuple[str, ...], seed: int) -> SegmentationTask:
    """The network with random weights; it reads z-scores, so that its own statistics are 0 and 1."""
    count = len(shape.bands)
    with seeded(seed, "initialise"):
        layers = UNet(count, len(classes), width=shape.width, depth=shape.depth, stem_stride=1, norm="channel")
    normalise = Normalise([0.0] * count, [1.0] * count, names=shape.bands)
    return SegmentationTask(layers, normalise, band_set(shape.bands), classes)


def pretrained(shape: Shape, how: Pretraining, scenes: Scenes, out: Path, seed: int) -> SegmentationTask:
    """The network after learning the land cover of simulated scenes; ``out`` that holds it finished is read."""
    task = network(shape, COVER.names, seed)
    batches = max(1, how.steps // 5)
    loader = WindowLoader(
        scenes,
        band_set(shape.bands),
        size=shape.window,
        batch_size=how.batch_size,
        batches=batches,
        seed=seed,
        jitter=how.jitter,
    )
    options = FitConfig(epochs=-(-how.steps // batches), learning_rate=how.rate)
    fit(task, loader, config=options, out=out, seed=seed, progress=False)
    return task


def tuned(
    shape: Shape, how: Tuning, task: RealTask, learned: NDArray[np.int64], start: SegmentationTask | None, out: Path,
    seed: int,
) -> SegmentationTask:  # fmt: skip
    """A network for the classes of a task, from the features of ``start`` or (None) from random ones.

    Args:
        shape: of the network.
        how: ridge, steps and rate.
        task: the scene, in z-scores.
        learned: labels to learn from ``(H, W)``.
        start: the pretrained network.
        out: folder of the steps on all weights.
        seed: of random weights and the order of the windows.
    """
    found = network(shape, task.classes, seed)
    if start is not None:
        own = found.network.state_dict()
        taken = {name: value for name, value in start.network.state_dict().items() if "head" not in name}
        found.network.load_state_dict(own | taken)
    _set_head(found, task, learned, how.ridge)
    if how.steps:
        scene = Scenes(task.values[None], task.valid[None], learned[None], (task.name,))
        loader = WindowLoader(
            scene,
            band_set(shape.bands),
            size=shape.window,
            batch_size=how.batch_size,
            batches=how.steps,
            seed=seed,
            at=windows(learned, shape.window),
        )
        options = FitConfig(epochs=1, learning_rate=how.rate)
        fit(found, loader, config=options, out=out, seed=seed, progress=False)
    return found


def features_of(found: SegmentationTask, task: RealTask) -> torch.Tensor:
    """What the head of a network sees at every pixel of a scene: ``(F, H, W)``."""
    features: torch.Tensor = Embedder(found).predict(whole(task)).outputs["embedding"][0]
    return features


def _set_head(found: SegmentationTask, task: RealTask, learned: NDArray[np.int64], ridge: float) -> None:
    """Put the best linear head on the features of the learned pixels into the network."""
    usable = torch.from_numpy(learned != IGNORE)
    rows, labels = features_of(found, task)[:, usable].T, torch.from_numpy(learned)[usable]
    weight, bias = linear_head(rows, labels, len(task.classes), ridge=ridge)
    head = found.network.get_submodule("decoder.head")
    with torch.no_grad():
        head.weight.copy_(weight.T[:, :, None, None])  # type: ignore[operator]
        head.bias.copy_(bias)  # type: ignore[operator]


def linear_head(
    features: torch.Tensor, labels: torch.Tensor, count: int, *, ridge: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Multinomial logistic regression: the weights ``(K, F)`` and biases ``(K,)`` with the lowest

    ``mean cross-entropy + ridge * |W|^2`` where W belongs to features of mean 0 and deviation 1 over the pixels. The
    mean is that of the class means, so that each class among the labels counts alike.

    Args:
        features: ``(P, F)``.
        labels: ``(P,)``, 0 to K - 1.
        count: K.
        ridge: weight of the penalty.
    """
    rows = features.double()
    centre, spread = rows.mean(dim=0), rows.std(dim=0, unbiased=False)
    spread = torch.where(spread > 1e-6, spread, 1.0)
    rows = (rows - centre) / spread
    sizes = torch.bincount(labels, minlength=count)
    shares = (1.0 / sizes.clamp_min(1).double())[labels] / int((sizes > 0).sum())
    weight = torch.zeros(count, rows.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def objective() -> torch.Tensor:
        solver.zero_grad()
        entropy = F.cross_entropy(rows @ weight.T + bias, labels, reduction="none")
        total = (shares * entropy).sum() + ridge * (weight**2).sum()
        total.backward()
        return total

    solver.step(objective)
    with torch.no_grad():
        own = weight / spread
        return own.float(), (bias - own @ centre).float()


def windows(learned: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Windows whose middle is a learned pixel, moved into the image: ``(K, 3)`` scene, row, column."""
    rows, columns = np.nonzero(learned != IGNORE)
    height, width = learned.shape
    starts = np.stack([rows - size // 2, columns - size // 2], axis=1)
    starts = np.clip(starts, 0, np.array([height - size, width - size]))
    unique = np.unique(starts, axis=0)
    return np.concatenate([np.zeros((len(unique), 1), np.int64), unique], axis=1)


def forest(
    shape: Shape,
    trees: int,
    task: RealTask,
    learned: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    start: SegmentationTask | None,
    seed: int,
) -> NDArray[np.int64]:
    """Classes ``(H, W)`` of a random forest (Breiman 2001) at the wanted pixels, 0 elsewhere.

    Its features are the bands, their 5 x 5 means and, from ``start``, what that network says of the pixel: the
    probabilities of the land cover it was pretrained on.

    Args:
        shape: names the bands.
        trees: of the forest.
        task: the scene, in z-scores.
        learned: labels to learn from ``(H, W)``.
        wanted: where to predict ``(H, W)``.
        start: the pretrained network, or None.
        seed: of the forest.
    """
    batch = whole(task)
    features, _ = PixelFeatures({"image": band_set(shape.bands)}, mean_bands=shape.bands).compute(batch)
    if start is not None:
        features = torch.cat([features, start.predict(batch).outputs["logits"].softmax(dim=1)], dim=1)
    rows = features[0].movedim(0, -1).numpy()
    model = RandomForestClassifier(
        trees, max_depth=DEEPEST, n_jobs=1, random_state=rng.key(seed, "forest", task.name) % 2**32
    )
    known = learned != IGNORE
    model.fit(rows[known], learned[known])
    found = np.zeros(learned.shape, np.int64)
    found[wanted] = model.predict(rows[wanted])
    return found


def mapped(found: SegmentationTask, task: RealTask) -> NDArray[np.int64]:
    """Classes ``(H, W)`` that a network gives a whole scene."""
    return np.asarray(found.predict(whole(task)).label()[0].numpy())


def score(classes: Sequence[str], truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Mean IoU over the pixels that have a label."""
    confusion = ConfusionMatrix(tuple(classes))
    labels = torch.from_numpy(truth)[None]
    confusion.update(labels, torch.from_numpy(predicted).reshape(labels.shape), labels != IGNORE)
    return float(miou(confusion.counts))


def whole(task: RealTask, labels: NDArray[np.int64] | None = None) -> Batch:
    """The whole scene as one sample."""
    held = np.full(task.labels.shape, IGNORE) if labels is None else labels
    grid = GeoBox(task.labels.shape, Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 0.0), "EPSG:32631")
    return batch_of(task.values[None], task.valid[None], held[None], band_set(task.bands), grid, task.name)
