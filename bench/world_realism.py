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
from world_distances import (
    RESAMPLES,
    TREES,
    Floats,
    blocks_of,
    evenness,
    interval,
    pairs,
    quantiles,
    slope,
    two_sample,
    unseen_place,
)
from world_scenes import CLEAR, SLOVENIA, Scene, largest_flood, real_scenes, rendered, series, simulated

from swath import rng
from swath.sources.world.world import World

MODES = ("quantiles", "season", "slope", "blocks", "two_sample", "unseen_place", "task")


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
    day = largest_flood(world, spain.lonlat, shape)
    made = rendered(world, spain.sensor, day, spain.lonlat, shape, kept)
    wet = (made["open_water"] > 0.5).astype(np.int64)
    mixed = (made["open_water"] > 0.1) & (made["open_water"] < 0.9)
    yield {"measure": "flood", "day": day, "share": round(float(wet.mean()), 4), "shore": round(float(mixed.mean()), 4)}
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
