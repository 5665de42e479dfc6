"""Realism of the simulated Earth beside its yardstick: world against real, and real against other real scenes.

Each real scene of ``$SWATH_DATA`` has a simulated twin: same place, date, sensor and level, no clouds, seed 0
(``world_scenes.py``). Printed as lines of JSON, one a figure, each with a 95 % interval where it has one:

* ``quantiles``: pixels by one spectral rule (water: NDWI > 0; dense: NDVI > 0.6; thin: NDVI 0.3 to 0.6; bare: the
  rest; without blue > 0.3, which is snow or cloud). Distance: mean absolute difference of the quantiles 5, 10 .. 95 %
  over bands and classes with 200 pixels in both [reflectance]; ``shares``: half the sum of differences of class shares.
* ``season``: NDVI of the Slovenian patch, 2015-07 to 2017-12, its clear dates against the simulated ones.
* ``slope``: of log power of near infrared against log frequency, wavelengths 60 to 640 m, along north-south lines.
* ``blocks``: spread inside blocks of 32 x 32 pixels and correlation of neighbours, medians over the blocks of a scene.
* ``two_sample``: area under the curve of a random forest that tells two scenes apart, cross-validated by block of
  32 x 32 pixels, per pixel (all common bands) and per block (means, spreads and neighbour correlations of bands).
* ``unseen_place``: the same between all real and all simulated scenes, judged on a place left out.
* ``task``: accuracy of a random forest learned from blocks of a scene and judged on its other blocks, with the same
  legend and the same number of labels on the real and on the simulated scene.

Intervals of distances and areas: bootstrap over blocks (200 resamples); of tasks: over ten seeds. The real-real rows
are the yardstick: a world that differs from reality as two real scenes do from each other reaches them.

    python bench/world_realism.py --data $SWATH_DATA
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from world_scenes import CLEAR, ROLES, SIX, SLOVENIA, Scene, real_scenes, rendered, series, simulated

from swath import rng
from swath.sources.world.world import World

Floats = NDArray[np.floating[Any]]

BLOCK, RESAMPLES, PIXELS, TREES = 32, 200, 6000, 100
LEVELS = np.arange(0.05, 0.96, 0.05)
CLASSES = ("water", "dense", "thin", "bare")
FLOOD_DAY = "2018-08-28"  # of the largest flood of the simulated Earth at the Spanish scene from 2015 to 2023
MODES = ("quantiles", "season", "slope", "blocks", "two_sample", "unseen_place", "task")


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


def harmonics(day: Floats) -> Floats:
    """Constant, year and half year ``(N, 5)``."""
    angle = 2 * np.pi * np.asarray(day, np.float64) / 365.25
    return np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=1)


def season_of(days: Floats, ndvi: Floats) -> tuple[float, float]:
    """Amplitude (highest less lowest) and day of the peak of two harmonics."""
    fit = harmonics(np.arange(366.0)) @ np.linalg.lstsq(harmonics(days), ndvi, rcond=None)[0]
    return float(np.ptp(fit)), float(fit.argmax())


def season(world: World, root: Path, kept: Path) -> Iterator[dict[str, Any]]:
    """The patch's series against the simulated one on the same clear dates; real years apart as the yardstick."""
    folder = root / "eolearn_eopatch"
    days = [time[:10] for time in json.loads((folder / "timestamps.json").read_text())]
    ndvi, cloud = np.load(folder / "data" / "NDVI.npy")[..., 0], np.load(folder / "mask" / "CLM.npy")[..., 0]
    seen = np.load(folder / "mask" / "IS_DATA.npy")[..., 0].astype(bool)
    land = np.load(folder / "mask_timeless" / "LULC.npy")[..., 0]
    made = series(world, days, SLOVENIA, 100, kept)
    whole = (np.isfinite(made["ndvi"]).all(axis=0)) & (made["cover"] != 7)
    dates = np.array(days, "datetime64[D]")
    within = (dates - dates.astype("datetime64[Y]")).astype(float)
    classes = {
        "whole": (land >= 0, whole),
        "forest": (land == 2, whole & (made["cover"] == 0)),
        "grassland": (land == 3, whole & (made["cover"] == 2)),
    }
    for name, (real, simulated_part) in classes.items():
        good = real[None] & (cloud == 0) & seen
        clear = good.sum(axis=(1, 2)) >= 0.8 * real.sum()
        if real.sum() < 100 or simulated_part.sum() < 100:
            yield {"measure": "season", "of": name, "pixels": [int(real.sum()), int(simulated_part.sum())]}
            continue
        observed = np.array([float(ndvi[at][good[at]].mean()) if clear[at] else np.nan for at in range(len(days))])
        rendered_mean = made["ndvi"][:, simulated_part].mean(axis=1)
        yield _season_row(name, within, np.where(clear, observed, np.nan), rendered_mean, dates)


def _season_row(name: str, within: Floats, real: Floats, made: Floats, dates: NDArray[np.datetime64]) -> dict[str, Any]:
    at = np.flatnonzero(np.isfinite(real))
    draw = rng.generator(0, "dates", name)

    def figures(pick: NDArray[np.int64]) -> tuple[float, ...]:
        one, two = season_of(within[pick], real[pick]), season_of(within[pick], made[pick])
        rmse = float(np.sqrt(np.mean((real[pick] - made[pick]) ** 2)))
        return (*one, *two, float(np.mean(made[pick] - real[pick])), rmse)

    draws = np.array([figures(draw.choice(at, len(at))) for _ in range(RESAMPLES)])
    names = ("amplitude_real", "peak_real", "amplitude_world", "peak_world", "bias", "rmse")
    row: dict[str, Any] = {"measure": "season", "of": name, "dates": len(at)}
    for index, (label, value) in enumerate(zip(names, figures(at), strict=True)):
        row[label] = [round(value, 3), *np.quantile(draws[:, index], [0.025, 0.975]).round(3).tolist()]
    row["correlation"] = round(float(np.corrcoef(real[at], made[at])[0, 1]), 3)
    years = dates.astype("datetime64[Y]").astype(int) + 1970
    early, late = at[years[at] < 2017], at[years[at] == 2017]
    fit = np.linalg.lstsq(harmonics(within[early]), real[early], rcond=None)[0]
    row["rmse_real_2017_from_2015_2016"] = round(
        float(np.sqrt(np.mean((harmonics(within[late]) @ fit - real[late]) ** 2))), 3
    )
    return row


def learned(
    values: Floats, labels: NDArray[np.int64], things: NDArray[np.int64] | None, per_class: int
) -> tuple[float, list[float] | None, float]:
    """Accuracy in percent, balanced over classes, over ten halvings of blocks (or of labelled things)."""
    units = blocks_of(labels.shape) if things is None else things
    known = (labels >= 0) & np.isfinite(values).all(axis=0)
    found = []
    for seed in range(10):
        draw = rng.generator(seed, "task")
        train = np.zeros(labels.shape, bool)
        for index in np.unique(labels[known]):
            names = draw.permutation(np.unique(units[known & (labels == index)]))
            half = names[: max(1, len(names) // 2)]
            if things is not None or index == labels[known].min():
                train |= np.isin(units, half) & ((labels == index) if things is not None else True)
        picks = []
        for index in np.unique(labels[known]):
            places = np.flatnonzero((known & train & (labels == index)).ravel())
            picks.append(draw.permutation(places)[:per_class])
        if min(len(pick) for pick in picks) < 20:
            continue
        pick = np.concatenate(picks)
        forest = RandomForestClassifier(TREES, min_samples_leaf=2, random_state=seed)
        flat = values.reshape(len(values), -1).T
        forest.fit(flat[pick], labels.ravel()[pick])
        each = []
        for index in np.unique(labels[known]):
            places = np.flatnonzero((known & ~train & (labels == index)).ravel())
            if len(places) >= 20:
                chosen = draw.permutation(places)[:4000]
                each.append(float((forest.predict(flat[chosen]) == index).mean()))
        if len(each) == len(picks):
            found.append(100 * float(np.mean(each)))
    return (round(float(np.mean(found)), 1) if found else float("nan")), interval(found), float(len(found))


def tasks(world: World, scenes: list[Scene], kept: Path) -> Iterator[dict[str, Any]]:
    """Water on the flood scenes, forest and water of the Amazon scenes."""
    spain = next(scene for scene in scenes if scene.name == "spain")
    shape = (512, 402)
    made = rendered(world, spain.sensor, FLOOD_DAY, spain.lonlat, shape, kept)
    wet = (made["open_water"] > 0.5).astype(np.int64)
    yield _task("flood: dry, water", 300, (spain.values, spain.layers["labels"], None), (made["values"], wet, None))
    amazon = next(scene for scene in scenes if scene.name == "amazon")
    made = rendered(world, amazon.sensor, amazon.day, amazon.lonlat, amazon.values.shape[1:], kept)
    legend = amazon.layers["labels"].astype(np.int64)
    legend = np.where(legend > 1, -1, legend)  # forest and water; dry mud and village are not in the twin
    cover = np.select([made["cover"] == 0, made["open_water"] > 0.5], [0, 1], -1)
    # People draw polygons where a class is plain: pixels whose eight neighbours are of it, too.
    inner = (minimum_filter(cover, 3) == maximum_filter(cover, 3)) & (cover >= 0)
    things = amazon.layers["things"].astype(np.int64)
    real = amazon.values, legend, things
    yield _task("Amazon: forest, water (inner pixels)", 100, real, (made["values"], np.where(inner, cover, -1), None))
    yield _task("Amazon: forest, water (all pixels)", 100, real, (made["values"], cover, None))


def _task(name: str, per_class: int, real: Any, made: Any) -> dict[str, Any]:
    one, two = (
        learned(values, np.asarray(labels, np.int64), things, per_class) for values, labels, things in (real, made)
    )
    return {
        "measure": "task", "of": name, "labels_per_class": per_class, "real": one[0], "real_interval": one[1],
        "world": two[0], "world_interval": two[1], "difference": round(two[0] - one[0], 1),
        "seeds": [int(one[2]), int(two[2])],
    }  # fmt: skip


def rows_of(mode: str, world: World, scenes: list[Scene], twins: dict[str, Scene], options: Any) -> Iterator[Any]:
    if mode in ("quantiles", "two_sample"):
        measure: Callable[[str, Scene, Scene], dict[str, Any]] = quantiles if mode == "quantiles" else two_sample
        yield from (measure(*pair) for pair in pairs(scenes, twins))
    elif mode == "season":
        yield from season(world, options.data, options.kept)
    elif mode in ("slope", "blocks"):
        of = slope if mode == "slope" else evenness
        yield from (of(one) for scene in scenes for one in (scene, twins[scene.name]))
    elif mode == "unseen_place":
        yield from unseen_place(scenes, twins)
    else:
        yield from tasks(world, scenes, options.kept)


def printed(value: Any, limits: Any, digits: int = 3) -> str:
    """A figure with its interval."""
    if value is None:
        return "no common class"
    span = f" [{limits[0]:.{digits}f}, {limits[1]:.{digits}f}]" if limits else ""
    return f"{value:.{digits}f}{span}"


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of Markdown for the rows that compare two scenes."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        if row.get("measure") in ("quantiles", "two_sample"):
            cells = found.setdefault((row["pair"], row["first"], row["second"]), {})
            if row["measure"] == "quantiles":
                cells["bands"] = printed(row["distance"], row["interval"])
                cells["shares"] = f"{row['shares']:.2f}"
            else:
                for of in ("pixel", "patch"):
                    cells[of] = printed(row[of]["auc"], row[of]["interval"]) if row[of] else "too few"
    columns = ("bands", "shares", "pixel", "patch")
    yield f"| pair | first | second | {' | '.join(columns)} |"
    yield "|---|---|---|" + "---:|" * len(columns)
    for (pair, first, second), cells in found.items():
        yield f"| {pair} | {first} | {second} | {' | '.join(cells.get(name, '') for name in columns)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SWATH_DATA", "data")))
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "swath_world_scenes")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--table", type=Path, nargs="+", help="print the table of lines that were kept, and no more")
    options = parser.parse_args()
    if options.table:
        kept = [json.loads(line) for path in options.table for line in path.read_text().splitlines()]
        print("\n".join(table(kept)))
        return
    world = World(seed=0)
    scenes = real_scenes(options.data)
    print(json.dumps({"world_hash": world.version_hash()[:12], "seed": 0, "clouds": CLEAR.cloud_fraction}), flush=True)
    needed = set(options.modes) - {"season", "task"}
    twins = {scene.name: simulated(world, scene, options.kept) for scene in scenes} if needed else {}
    rows = []
    for mode in options.modes:
        for row in rows_of(mode, world, scenes, twins, options):
            print(json.dumps(row), flush=True)
            rows.append(row)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
