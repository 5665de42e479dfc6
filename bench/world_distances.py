"""Distances between two scenes, each with its 95 % interval; see ``world_realism.py`` for what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from world_scenes import ROLES, SIX, Scene

from swath import rng

Floats = NDArray[np.floating[Any]]

BLOCK, RESAMPLES, PIXELS, TREES = 32, 200, 6000, 100
LEVELS = np.arange(0.05, 0.96, 0.05)
CLASSES = ("water", "dense", "thin", "bare")


def blocks_of(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Number of the block of each pixel ``(H, W)``."""
    rows, columns = np.arange(shape[0])[:, None] // BLOCK, np.arange(shape[1])[None] // BLOCK
    return np.asarray(rows * 1000 + columns)


def drawn(scene: Scene, roles: tuple[str, ...]) -> tuple[Floats, NDArray[np.int64]]:
    """``PIXELS`` random valid pixels ``(N, C)`` and their blocks."""
    values = scene.of(roles)
    rows, columns = np.nonzero(np.isfinite(values).all(axis=0))
    pick = rng.generator(0, "pixels", scene.name).permutation(len(rows))[:PIXELS]
    return values[:, rows[pick], columns[pick]].T, blocks_of(values.shape[1:])[rows[pick], columns[pick]]


def common(first: Scene, second: Scene) -> tuple[str, ...]:
    return tuple(role for role in ROLES if role in first.roles and role in second.roles)


def ruled(pixels: Floats, roles: tuple[str, ...]) -> NDArray[np.int64]:
    """Class of each pixel by the rule, -1 for snow and cloud."""
    blue, green, red, near = (pixels[:, roles.index(role)] for role in ("blue", "green", "red", "narrow_nir"))
    ndvi, ndwi = (near - red) / np.maximum(near + red, 1e-4), (green - near) / np.maximum(green + near, 1e-4)
    return np.where(blue > 0.3, -1, np.where(ndwi > 0, 0, np.where(ndvi > 0.6, 1, np.where(ndvi > 0.3, 2, 3))))


def interval(draws: list[float]) -> list[float] | None:
    known = np.array([draw for draw in draws if np.isfinite(draw)])
    return np.quantile(known, [0.025, 0.975]).round(4).tolist() if len(known) > 1 else None


def resampled(groups: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int64]:
    """Indices of pixels of blocks drawn with replacement."""
    order = np.argsort(groups, kind="stable")
    names, starts = np.unique(groups[order], return_index=True)
    parts = np.split(order, starts[1:])
    return np.concatenate([parts[index] for index in draw.integers(len(names), size=len(names))])


def pairs(scenes: list[Scene], twins: dict[str, Scene]) -> Iterator[tuple[str, Scene, Scene]]:
    """Each scene with its twin, with real scenes of other dates and of other places at the same level."""
    for scene in scenes:
        yield "world-real", scene, twins[scene.name]
    for index, first in enumerate(scenes):
        for second in scenes[index + 1 :]:
            if first.place == second.place:
                yield "real-real, another date", first, second
            elif first.surface == second.surface:
                yield "real-real, another place", first, second


def band_distance(
    first: Floats, second: Floats, roles: tuple[str, ...], only: tuple[str, ...] | None = None
) -> dict[str, float]:
    """Distance of quantiles by class; a resample keeps to the classes of the whole (``only``)."""
    classes, found = (ruled(first, roles), ruled(second, roles)), {}
    for index, name in enumerate(CLASSES):
        parts = [pixels[known == index] for pixels, known in zip((first, second), classes, strict=True)]
        least = min(len(part) for part in parts)
        if least >= 200 if only is None else name in only and least >= 20:
            levels = [np.quantile(part, LEVELS, axis=0) for part in parts]
            found[name] = float(np.abs(levels[0] - levels[1]).mean())
    return found


def share_distance(first: Floats, second: Floats, roles: tuple[str, ...]) -> float:
    counts = [np.bincount(ruled(pixels, roles) + 1, minlength=5)[1:] for pixels in (first, second)]
    return float(np.abs(counts[0] / counts[0].sum() - counts[1] / counts[1].sum()).sum() / 2)


def quantiles(kind: str, first: Scene, second: Scene) -> dict[str, Any]:
    roles = common(first, second)
    (one, groups), (two, others) = drawn(first, roles), drawn(second, roles)
    each = band_distance(one, two, roles)
    draw, draws = rng.generator(0, "bootstrap", first.name, second.name), []
    for _ in range(RESAMPLES if each else 0):
        again = band_distance(one[resampled(groups, draw)], two[resampled(others, draw)], roles, tuple(each))
        draws.append(float(np.mean([again.get(name, np.nan) for name in each])))
    distance = round(float(np.mean(list(each.values()))), 4) if each else None
    return {
        "measure": "quantiles", "pair": kind, "first": first.name, "second": second.name, "bands": len(roles),
        "distance": distance, "interval": interval(draws), "shares": round(share_distance(one, two, roles), 3),
        "classes": {name: round(value, 4) for name, value in each.items()},
    }  # fmt: skip


def slope(scene: Scene) -> dict[str, Any]:
    """Spectral slope along columns; interval over groups of 32 columns."""
    near = scene.of(("narrow_nir" if "nir" not in scene.roles else "nir",))[0]
    near = near[:, np.isfinite(near).all(axis=0)].astype(np.float64)
    lines = (near - near.mean(axis=0)) * np.hanning(len(near))[:, None]
    power = (np.abs(np.fft.rfft(lines, axis=0)) ** 2)[1:]
    frequency = np.fft.rfftfreq(len(near), scene.gsd)[1:]
    used = (frequency >= 1 / 640) & (frequency <= 1 / max(60.0, 2.0 * scene.gsd))

    def fitted(columns: NDArray[np.int64]) -> float:
        mean = np.log(power[used][:, columns].mean(axis=1))
        # Means over octave thirds, so that the many short waves do not outweigh the few long ones.
        place = np.floor(3 * np.log2(frequency[used])).astype(int)
        x = np.array([np.log(frequency[used])[place == at].mean() for at in np.unique(place)])
        y = np.array([mean[place == at].mean() for at in np.unique(place)])
        return float(np.polyfit(x, y, 1)[0])

    groups, draw = np.arange(power.shape[1]) // BLOCK, rng.generator(0, "columns", scene.name)
    draws = [fitted(resampled(groups, draw)) for _ in range(RESAMPLES)]
    found = fitted(np.arange(power.shape[1]))
    return {"measure": "slope", "scene": scene.name, "slope": round(found, 2), "interval": interval(draws)}


def patches(scene: Scene, roles: tuple[str, ...]) -> tuple[Floats, NDArray[np.int64]]:
    """Features of whole blocks: means, logarithms of spreads, correlation with the neighbour, of each band and NDVI."""
    values = scene.of(roles)
    red, near = values[roles.index("red")], values[roles.index("narrow_nir")]
    layers = np.concatenate([values, ((near - red) / np.maximum(near + red, 1e-4))[None]])
    found = []
    for row in range(0, values.shape[1] - BLOCK + 1, BLOCK):
        for column in range(0, values.shape[2] - BLOCK + 1, BLOCK):
            block = layers[:, row : row + BLOCK, column : column + BLOCK].astype(np.float64)
            if np.isfinite(block).all():
                left = block - block.mean(axis=(1, 2), keepdims=True)
                spread = np.maximum(left.std(axis=(1, 2)), 1e-6)
                down = (left[:, 1:] * left[:, :-1]).mean(axis=(1, 2)) / spread**2
                right = (left[:, :, 1:] * left[:, :, :-1]).mean(axis=(1, 2)) / spread**2
                found.append(np.concatenate([block.mean(axis=(1, 2)), np.log(spread), down, right]))
    return np.array(found), np.arange(len(found))


def evenness(scene: Scene) -> dict[str, Any]:
    """Medians over blocks: spread inside, and correlation with the southern neighbour, of three bands."""
    features, count = patches(scene, scene.roles)[0], len(scene.roles) + 1
    of: dict[str, Any] = {"measure": "blocks", "scene": scene.name, "number": len(features)}
    for role in ("red", "narrow_nir", "swir1"):
        place = scene.roles.index(role)
        spread, alike = (np.median(features[:, part * count + place]) for part in (1, 2))
        of[role] = {"spread": round(float(np.exp(spread)), 4), "alike": round(float(alike), 2)}
    return of


def told_apart(
    first: tuple[Floats, NDArray[np.int64]], second: tuple[Floats, NDArray[np.int64]], name: str
) -> dict[str, Any]:
    """Area under the curve out of fold, with its interval over blocks."""
    inputs = np.concatenate([first[0], second[0]])
    target = np.repeat([0, 1], [len(first[0]), len(second[0])])
    groups = np.concatenate([first[1], second[1] + 10**7])
    scores = np.zeros(len(target))
    folds = GroupKFold(5, shuffle=True, random_state=0)
    for learned, judged in folds.split(inputs, target, groups):
        forest = RandomForestClassifier(TREES, min_samples_leaf=5, random_state=0, class_weight="balanced")
        scores[judged] = forest.fit(inputs[learned], target[learned]).predict_proba(inputs[judged])[:, 1]
    draw, draws = rng.generator(0, "bootstrap", name), []
    for _ in range(RESAMPLES):
        pick = resampled(groups, draw)
        if 0 < target[pick].sum() < len(pick):
            draws.append(float(roc_auc_score(target[pick], scores[pick])))
    return {"auc": round(float(roc_auc_score(target, scores)), 3), "interval": interval(draws)}


def two_sample(kind: str, first: Scene, second: Scene) -> dict[str, Any]:
    roles = common(first, second)
    of = {"measure": "two_sample", "pair": kind, "first": first.name, "second": second.name}
    pixel = told_apart(drawn(first, roles), drawn(second, roles), f"{first.name} {second.name}")
    parts = patches(first, roles), patches(second, roles)
    enough = min(len(part[0]) for part in parts) >= 10
    block = told_apart(*parts, f"{first.name} {second.name} blocks") if enough else None
    return of | {"pixel": pixel, "patch": block, "patches": [len(part[0]) for part in parts]}


def unseen_place(scenes: list[Scene], twins: dict[str, Scene]) -> Iterator[dict[str, Any]]:
    """Real or simulated, learned from other places: six bands, both levels."""
    for kind, take in (("pixel", drawn), ("patch", patches)):
        held = [(scene.place, which, take(one, SIX)[0]) for scene in scenes for which, one in _both(scene, twins)]
        found = {}
        for place in sorted({scene.place for scene in scenes}):
            learned = [part for part in held if part[0] != place]
            judged = [part for part in held if part[0] == place]
            forest = RandomForestClassifier(TREES, min_samples_leaf=5, random_state=0, class_weight="balanced")
            forest.fit(*_stacked(learned))
            inputs, target = _stacked(judged)
            found[place] = round(float(roc_auc_score(target, forest.predict_proba(inputs)[:, 1])), 3)
        values = np.array(list(found.values()))
        draw = rng.generator(0, "places", kind)
        draws = [float(draw.choice(values, len(values)).mean()) for _ in range(2000)]
        mean = round(float(values.mean()), 3)
        yield {"measure": "unseen_place", "of": kind, "auc": mean, "interval": interval(draws), "places": found}


def _both(scene: Scene, twins: dict[str, Scene]) -> tuple[tuple[int, Scene], tuple[int, Scene]]:
    return (0, scene), (1, twins[scene.name])


def _stacked(parts: list[tuple[str, int, Floats]]) -> tuple[Floats, NDArray[np.int64]]:
    return np.concatenate([part[2] for part in parts]), np.repeat([p[1] for p in parts], [len(p[2]) for p in parts])
