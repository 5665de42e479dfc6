"""Learn where a model applies and how sure it is, from the chips that it learned from and those that it did not.

The area of applicability comes from the training chips and conformal sets from the validation chips; on the test chips
is counted how often the sets hold the truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.chips import ChipLoader, ChipSet
from swath.errors import ConfigError, InputError
from swath.judge.pixels import PixelFeatures
from swath.judge.trust import Trust, fingerprint
from swath.predict.applicability import Applicability, feature_names
from swath.predict.conformal import ConformalSets, check_alpha, coverage
from swath.predict.fields import CLASS_TASKS
from swath.types import Batch, Predictor, Split

TARGET = "label"
BATCH = 16


@dataclass(frozen=True)
class TrustOptions:
    """How to calibrate.

    Args:
        alpha: share of pixels whose set may miss the truth.
        by_class: promise it for every class on its own (needs about 1 / alpha validation chips with each class).
        pixels: training pixels that represent the training data, stratified by class.
        per_chip: labelled pixels taken from each validation chip; however many, a chip counts as one.
        importance: weigh bands by how much the accuracy on validation chips drops when a band is exchanged between
            chips, instead of all alike.
        seed: seed of the draws.
    """

    alpha: float = 0.1
    by_class: bool = False
    pixels: int = 2000
    per_chip: int = 64
    importance: bool = False
    seed: int = 0


def calibrate(predictor: Predictor, chipset: ChipSet, split: Split, options: TrustOptions | None = None) -> Trust:
    """Learn where a model applies and how sure it is.

    * Area of applicability: training pixels, stratified by class; the fold of a pixel is the group of its chip in the
      split (its block or region), or its chip where all are of one group.
    * Conformal sets: labelled pixels of validation chips. Validation chips also chose the best epoch, which flatters
      a little; the coverage on the test chips tells by how much.

    Args:
        predictor: maps classes.
        chipset: the chips it learned from.
        split: which chip is for what.
        options: see ``TrustOptions``.

    Raises:
        ConfigError: the predictor maps no classes, or an option is out of range.
        InputError: the train or validation split is empty or without labels, or the classes differ.
    """
    options = options or TrustOptions()
    _check(predictor, chipset, split, options)
    pixels = PixelFeatures(predictor.inputs)
    groups = dict(zip(split.table["id"].astype(str), split.table["group"].astype(str), strict=True))
    rows, folds = _training_pixels(chipset, split.ids("train"), predictor, pixels, groups, options)
    dates = len(chipset.description.times)
    known = list(_held_out(predictor, chipset, split.ids("validation"), pixels, options))
    _require(known, "validation")
    names = feature_names(predictor.inputs, dates)
    weights = band_importance(predictor, chipset, split.ids("validation")) if options.importance else None
    applicability = Applicability.fit(rows, folds, weights=weights, features=names)
    probability, labels, _, chips = _joined(known)
    sets = ConformalSets.fit(
        probability, labels, predictor.classes, options.alpha, groups=chips, by_class=options.by_class
    )
    tested = list(_held_out(predictor, chipset, split.ids("test"), pixels, options))
    outside = {"validation": _outside(applicability, known)}
    covered: dict[str, dict[str, float]] = {}
    if tested:
        probability, labels, _, _ = _joined(tested)
        covered, outside["test"] = coverage(sets, probability, labels), _outside(applicability, tested)
    facts = {
        "alpha": options.alpha,
        "by_class": options.by_class,
        "seed": options.seed,
        "training_pixels": len(rows),
        "folds": len(set(folds)),
        "validation_chips": len(known),
        "test_chips": len(tested),
        "chips": chipset.fingerprint,
        "split": split.hash,
        "model": fingerprint(predictor),
        "weights": None if weights is None else weights.tolist(),
    }
    return Trust(applicability, sets, covered, outside, facts)


def band_importance(predictor: Predictor, chipset: ChipSet, ids: list[str]) -> NDArray[np.float64]:
    """How much the accuracy drops when one band on one date comes from the next chip; never below 1 % of the largest.

    Permutation importance, Breiman (2001), Machine Learning 45, 5-32, with chips as what is exchanged.

    Raises:
        InputError: fewer than two chips.
    """
    import torch

    if len(ids) < 2:
        raise InputError(
            f"{len(ids)} validation chips", expected="at least two to exchange bands between", remedy="weigh all alike"
        )
    batch = chipset.batch(ids[:64])
    usable = batch.target_valid[TARGET]

    def accuracy(changed: Batch) -> float:
        prediction = predictor.predict(changed)
        mask = usable & prediction.valid
        return float((prediction.label() == batch.targets[TARGET])[mask].double().mean())

    base, drops = accuracy(batch), []

    for name, wanted in predictor.inputs.items():
        modality = batch.inputs[name]
        places = modality.bands.match(wanted).require()
        for date in range(modality.values.shape[1]):
            for place in places:
                values = modality.values.clone()
                values[:, date, place] = torch.roll(values[:, date, place], 1, dims=0)
                changed = {**batch.inputs, name: replace(modality, values=values)}
                drops.append(base - accuracy(replace(batch, inputs=changed)))
    found = np.nan_to_num(np.array(drops))
    largest = found.max()
    return np.maximum(found, 0.01 * largest) if largest > 0 else np.ones(len(found))


Part = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], str]


def _held_out(
    predictor: Predictor, chipset: ChipSet, ids: list[str], pixels: PixelFeatures, options: TrustOptions
) -> Iterator[Part]:
    """Probabilities (n, K), labels (n,), features (n, F) and id of every chip with a labelled, predicted pixel."""
    for batch in _batches(chipset, ids):
        prediction = predictor.predict(batch)
        probability = prediction.probability().detach().cpu()
        features, ready = pixels.compute(batch)
        valid = prediction.valid.cpu().reshape(len(batch.ids), *_space(prediction))
        usable = ready & batch.target_valid[TARGET] & valid
        for number, name in enumerate(batch.ids):
            places = np.flatnonzero(usable[number].numpy().ravel())
            if not len(places):
                continue
            if len(places) > options.per_chip:
                places = rng.generator(options.seed, "calibration pixels", name).permutation(places)[: options.per_chip]
            yield (
                probability[number].flatten(1).T.numpy()[places],
                batch.targets[TARGET][number].flatten().numpy()[places],
                features[number].flatten(1).T.numpy()[places],
                name,
            )


def _space(prediction: Any) -> tuple[int, ...]:
    """Shape that makes a validity (B,) or (B, H, W) broadcast over pixels."""
    return tuple(prediction.valid.shape[1:]) or (1, 1)


def _training_pixels(
    chipset: ChipSet,
    ids: list[str],
    predictor: Predictor,
    pixels: PixelFeatures,
    groups: Mapping[str, str],
    options: TrustOptions,
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Training pixels (n, F), up to an equal number of every class, and the fold of each.

    Every pixel has a random key of its own chip; those with the smallest keys stay, whatever the order of chips.
    """
    quota = max(1, options.pixels // len(predictor.classes))
    kept: list[list[tuple[float, str, NDArray[np.float32]]]] = [[] for _ in predictor.classes]
    for batch in _batches(chipset, ids):
        features, ready = pixels.compute(batch)
        usable = (ready & batch.target_valid[TARGET]).flatten(1).numpy()
        labels, table = batch.targets[TARGET].flatten(1).numpy(), features.flatten(2).movedim(1, -1).numpy()
        for number, name in enumerate(batch.ids):
            keys = rng.generator(options.seed, "training pixels of trust", name).random(usable.shape[1])
            for kind in range(len(predictor.classes)):
                places = np.flatnonzero(usable[number] & (labels[number] == kind))
                places = places[np.argsort(keys[places])[:quota]]
                kept[kind] += [(float(keys[place]), name, table[number, place]) for place in places.tolist()]
        kept = [sorted(rows, key=lambda row: row[:2])[:quota] for rows in kept]
    rows = [row for each in kept for row in each]
    if not rows:
        raise InputError(
            f"No labelled pixel of the train split of {chipset.folder} has all bands of the model",
            expected="labelled pixels without gaps",
            remedy="check the chips and the bands of the model",
        )
    folds = [groups.get(name, name) for _, name, _ in rows]
    if len(set(folds)) < 2:
        folds = [name for _, name, _ in rows]
    return np.stack([row for _, _, row in rows]), np.array(folds)


def _batches(chipset: ChipSet, ids: list[str]) -> Iterator[Batch]:
    import torch

    if not ids:
        return
    with torch.inference_mode():
        yield from ChipLoader(chipset, ids, batch_size=BATCH, seed=0, shuffle=False)


def _joined(parts: list[Part]) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[Any]]:
    probability, labels, features, names = zip(*parts, strict=True)
    chips = np.repeat(np.array(names), [len(each) for each in labels])
    return np.concatenate(probability), np.concatenate(labels), np.concatenate(features), chips


def _outside(applicability: Applicability, parts: list[Part]) -> float:
    inside = applicability.inside(applicability.dissimilarity(_joined(parts)[2]))
    return 1.0 - float(inside.mean())


def _check(predictor: Predictor, chipset: ChipSet, split: Split, options: TrustOptions) -> None:
    check_alpha(options.alpha)
    if options.pixels < 2 or options.per_chip < 1:
        raise ConfigError(
            f"{options.pixels} training pixels and {options.per_chip} pixels of a chip",
            expected="at least 2 training pixels and 1 of a chip",
            remedy="leave them at their defaults",
        )
    if predictor.task not in CLASS_TASKS or not predictor.classes:
        raise ConfigError(
            f"The predictor's task is '{predictor.task}' with {len(predictor.classes)} classes",
            expected="a predictor of classes per pixel",
            remedy="for quantities use predict.conformal.ConformalInterval and predict.applicability.Applicability",
        )
    if tuple(chipset.classes) != tuple(predictor.classes):
        raise InputError(
            f"The chips have the classes {', '.join(chipset.classes[:8])}, the model has "
            f"{', '.join(predictor.classes[:8])}",
            expected="the same classes in the same order",
            remedy="give the chips that the model was trained on",
        )
    for part, purpose in (("train", "the area of applicability"), ("validation", "the conformal sets")):
        if not split.ids(part):
            raise InputError(
                f"The {part} split of {chipset.folder} is empty, and {purpose} would be learned from it",
                expected="chips for training and for validation",
                remedy="cut more chips, or smaller blocks, so that every split gets some; training chips are no "
                "substitute, because the model knows them",
            )


def _require(parts: list[Part], name: str) -> None:
    if not parts:
        raise InputError(
            f"No chip of the {name} split has a labelled pixel with a prediction",
            expected="labels where the bands are valid",
            remedy="check labels and masks, or change the split",
        )
