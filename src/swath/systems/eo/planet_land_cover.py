"""Land cover of the real Earth: learned on four continents, scored on two others, mapped everywhere.

This is the demonstration of swath, not a published system: the smallest honest walk through every room. Colour, relief
and latitude of the real globe at 0.1 degree are cut into chips; a U-Net, a random forest, nearest colour and the
majority class learn from the same chips of Africa, Asia, Europe and Oceania; all are scored on the same chips of the
Americas, at least two chip widths away; the U-Net maps the globe. Antarctica and Greenland are neither learned nor
scored, Köppen climate is never an input.

What the score means: cells are about ten kilometres wide, there is one date, and the labels are themselves a map
(MODIS IGBP 2019). The continents differ in more than their colours, so scores on them are lower than a random split
would suggest; that is the point.

All contenders are offered the same five inputs; which of them each uses, and its other options, were chosen with one
training continent, or everything east of 90 E, left out. Relief was a shortcut that did not transfer. Latitude helped
where the training continents cover all latitudes and misled where they do not. The sea is masked for all, by the land
mask.

The U-Net normalises every pixel over its channels (``norm = channel``). Group normalisation, the usual choice, divides
by statistics of the chip and so hides how bright a whole chip is, which is what tells a desert from a forest (mIoU 0.29
against 0.33 with Africa left out, one seed of a prototype that is not kept here).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict

from swath import chips, judge, learn, predict
from swath.chips import ChipLoader, ChipSet, DropRules, Statistics
from swath.errors import ConfigError
from swath.files import make_folder, write_text
from swath.judge import ForestOptions, MajorityClass, NearestColour, PixelSampling, RandomForest, ResultTable, Score
from swath.learn import FitConfig, SegmentationTask, TrainOptions
from swath.learn.segmentation import AugmentOptions, NetworkOptions
from swath.sources import planet
from swath.systems.eo import _planet_pages as pages
from swath.systems.eo import _runs
from swath.systems.eo._planet_chips import chips_of, planet_hash
from swath.types import IGNORE, Batch, DataKind, Outcome, Predictor, Report, ResultRow, Split

SLUG = "planet_land_cover"
TITLE = "Land cover of the real Earth, scored on continents never seen"
TIER = "supported"
DATA: DataKind = "real"
COLOURS = ("red", "green", "blue")
EXCLUDED = ("none", "Antarctica", "Greenland")


class Config(BaseModel):
    """Options of the demonstration; the defaults are what the README reports.

    Args:
        resolution: cell size of the planet in degrees.
        chip_size: side of a chip in cells.
        stride: step between training chips in cells; validation and test chips never overlap each other.
        train: continents to learn from.
        test: continents to score on.
        buffer_chips: least distance of training and test chips in chip widths.
        validation_share: share of the training chips, in whole blocks, that choose the epoch.
        training: network, loss and training loop; which of the offered bands the U-Net uses.
        forest_bands: which of the offered bands the forest uses, besides the 5 x 5 means of the colours.
        trees: trees of the random forest.
        forest_pixels: training pixels of the forest.
        tile: tile of the prediction in cells.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resolution: float = 0.1
    chip_size: int = 64
    stride: int = 32
    train: tuple[str, ...] = ("Africa", "Asia", "Europe", "Oceania")
    test: tuple[str, ...] = ("North America", "South America")
    buffer_chips: float = 2.0
    validation_share: float = 0.15
    training: TrainOptions = TrainOptions(
        network=NetworkOptions(width=32, depth=2, stem_stride=2, norm="channel"),
        bands=(*COLOURS, "absolute_latitude"),
        batch_size=8,
        class_balance=0.25,
        label_smoothing=0.0,
        augment=AugmentOptions(brightness=0.0),
        fit=FitConfig(epochs=20, learning_rate=3e-3),
    )
    forest_bands: tuple[str, ...] = (*COLOURS, "absolute_latitude")
    trees: int = 100
    forest_pixels: int = 100_000
    tile: int = 256

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds on one-degree cells; its scores mean nothing."""
        training = TrainOptions(
            network=NetworkOptions(width=8, depth=1, norm="channel"), batch_size=8, fit=FitConfig(epochs=1)
        )
        return cls(resolution=1.0, chip_size=16, stride=16, training=training, trees=10, forest_pixels=5_000, tile=64)


@dataclass(frozen=True)
class Prepared:
    """The data of all seeds.

    Args:
        folder: the planet.
        cube: inputs of the models, ``(1, 5, y, x)``; the sea is not valid, so that nobody learns or maps it.
        labels: seven classes on the same grid, ``IGNORE`` for water, towns and what is never scored.
        chipset: the chips.
    """

    folder: Path
    cube: xr.Dataset
    labels: xr.DataArray
    chipset: ChipSet


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: train, score, map the globe, write the report and the layers of the web map.

    Args:
        config: see ``Config``.
        out: folder; what is finished in it is not done again.
        seed: seed of initialisation, data order, validation blocks and forest.

    Raises:
        ConfigError: ``out`` holds a run with other options, or is a file.
        ResourceError: ``out`` cannot be written to.
        MissingError: the data of the planet are not installed.
    """
    timer = judge.Timer()
    make_folder(out)
    data = prepare(config, out)
    split = split_of(config, data.chipset, seed)
    model = train(config, data.chipset, split, out / "model", seed=seed, progress=True)
    contenders: dict[str, Predictor] = {"unet": model, **baselines(config, data.chipset, split, seed)}
    scores = {name: score(config, data, split, name, each, seed) for name, each in contenders.items()}
    maps = predict.predict_scene(
        model,
        data.cube,
        out / "prediction.tif",
        tile=config.tile,
        overlap=config.tile // 4,
        outputs=("class", "confidence"),
        legend=data.chipset.legend,
    )
    pictures = pages.draw(out, data.labels, data.chipset, scores)
    pages.write_map(out, data.folder, data.labels, data.chipset.legend)
    report = Report(
        system=SLUG,
        title=TITLE,
        data=DATA,
        rows=tuple(row for each in scores.values() for row in each.rows),
        claims=ledger(),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        pictures=pictures,
        files=maps.files,
        notes=(*_runs.quick_note(config), *_no_ledger(), *pages.notes(split, maps, seed)),
    )
    judge.write_report(report, out, command=_runs.command(SLUG, config, seed, verb="swath demo"))
    return report


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, was changed while measuring, or ``out`` holds seeds that were
            measured under another registration, code or data.
        MissingError: there is no ledger here.
    """
    timer, config = judge.Timer(), Config()
    registration = judge.require_ledger() / f"{SLUG}.toml"
    claims = judge.load_registration(registration)
    started_at = judge.require_committed(registration)
    make_folder(out)
    data = prepare(config, out)
    judge.same_conditions(registration, out, data_hash=data.chipset.fingerprint[:12])
    rows: list[ResultRow] = []
    for seed in claims[0].seeds:
        rows += _seed_rows(config, data, out / f"seed_{seed}", seed)
    judge.write_evidence(registration, rows, data_hash=data.chipset.fingerprint[:12], started_at=started_at)
    report = Report(
        system=SLUG,
        title=TITLE,
        data=DATA,
        rows=tuple(rows),
        claims=ledger(),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        notes=(
            f"Evidence over the seeds {', '.join(map(str, claims[0].seeds))}; every seed draws its own validation "
            "blocks, initial weights, data order and forest. The data are real.",
        ),
    )
    judge.write_report(report, out, command=f"swath run {SLUG} --evidence")
    return report


def _seed_rows(config: Config, data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """The rows of one seed, measured or read where they were measured before."""
    done = out / "rows.parquet"
    if not done.exists():
        split = split_of(config, data.chipset, seed)
        model = train(config, data.chipset, split, out / "model", seed=seed, progress=True)
        contenders: dict[str, Predictor] = {"unet": model, **baselines(config, data.chipset, split, seed)}
        rows = [row for name, each in contenders.items() for row in score(config, data, split, name, each, seed).rows]
        ResultTable(rows).save(done)
    return list(ResultTable.load(done).rows)


def prepare(config: Config, out: Path) -> Prepared:
    """The planet, its labels and its chips; made once per folder."""
    _same_settings(config, out / "settings.json")
    planet.fetch()
    folder = planet.make(out / "planet", resolution=config.resolution)
    land = planet.labels(folder, "land").values == planet.LAND.mapping()["land"]
    cube = planet.inputs(folder)
    cube = cube.assign(valid=cube["valid"] & land)
    continents = planet.labels(folder, "continent")
    never = np.isin(continents.values, [planet.CONTINENTS.mapping()[name] for name in EXCLUDED])
    cover = planet.labels(folder, "land_cover")
    labels = cover.copy(data=np.where(never, IGNORE, planet.coarse_land_cover(cover.values)).astype(np.int16))
    continents.attrs["legend"] = planet.CONTINENTS

    def cut() -> ChipSet:
        return chips.cut(
            cube,
            labels,
            out / "chips",
            size=config.chip_size,
            stride=config.stride,
            legend=planet.COARSE_LAND_COVER,
            drop=DropRules(min_valid=0.05),
            groups=continents,
        )

    return Prepared(folder, cube, labels, chips_of(planet_hash(folder), out, cut))


def split_of(config: Config, chipset: ChipSet, seed: int) -> Split:
    """Train, validation and test chips; the seed draws the validation blocks, the test chips never change.

    Training chips overlap each other by half, which shows every place in four surroundings. Chips that are scored lie
    edge to edge, so that no pixel counts twice.
    """
    unused = sorted({chipset.group(name) for name in chipset.ids} - {*config.train, *config.test})
    split = chips.split_by_region(
        chipset,
        train=config.train,
        test=config.test,
        unused=unused,
        validation_share=config.validation_share,
        buffer_chips=config.buffer_chips,
        seed=seed,
    )
    between = chipset.index[["row", "column"]].to_numpy() % chipset.size != 0
    overlapping = set(chipset.index["id"][between.any(axis=1)])
    scored = split.table["split"].isin(("validation", "test")) & split.table["id"].isin(overlapping)
    table = split.table.assign(split=split.table["split"].mask(scored, "unused"))
    return Split(table)


def train(
    config: Config, chipset: ChipSet, split: Split, out: Path, *, seed: int, progress: bool = True
) -> SegmentationTask:
    """The U-Net; the split and the statistics that it used lie beside it."""
    make_folder(out)
    split.save(out / "split.parquet")
    statistics: Statistics = chips.statistics(chipset, split)
    statistics.save(out / "statistics.json")
    return learn.train_segmentation(
        chipset, split, config.training, out, seed=seed, progress=progress, statistics=statistics
    )


def baselines(config: Config, chipset: ChipSet, split: Split, seed: int) -> dict[str, Predictor]:
    """Majority class, nearest colour and the random forest, fitted on the same training chips."""
    inputs = {"image": chipset.bands}
    colours = {"image": chipset.bands.select(COLOURS)}
    chosen = {"image": chipset.bands.select(config.forest_bands)}
    options = ForestOptions(
        trees=config.trees,
        mean_bands=COLOURS,
        sampling=PixelSampling(max_pixels=config.forest_pixels),
    )
    return {
        "majority": MajorityClass(inputs, chipset.classes).fit(_batches(chipset, split.ids("train"))),
        "nearest_colour": NearestColour(colours, chipset.classes).fit(_batches(chipset, split.ids("train"))),
        "random_forest": RandomForest(chosen, chipset.classes, options, seed).fit(
            _batches(chipset, split.ids("train"))
        ),
    }


def score(config: Config, data: Prepared, split: Split, name: str, contender: Predictor, seed: int) -> Score:
    """The score of one contender on the test chips, with intervals over chips."""
    facts = ResultRow(
        run_id=f"{SLUG}-{seed}",
        system=SLUG,
        dataset=f"planet at {config.resolution} degrees",
        dataset_hash=data.chipset.fingerprint[:12],
        data_kind=DATA,
        split="test",
        protocol="continents held out",
        bands=",".join(band for bands in contender.inputs.values() for band in bands.names),
        backbone=name,
        seed=seed,
        n_train=len(split.ids("train")),
        device="cpu",
        note=f"split {split.hash}",
    )
    result = judge.score(contender, _batches(data.chipset, split.ids("test")), facts=facts)
    return replace(result, rows=tuple(replace(row, backbone=name) for row in result.rows))


def ledger() -> tuple[Outcome, ...]:
    """The claims as the ledger has them; none where there is no ledger."""
    registration = _registration()
    return () if registration is None else judge.outcomes(registration)


def _no_ledger() -> tuple[str, ...]:
    """A note where the report has no claims."""
    if _registration() is not None:
        return ()
    note = f"No claims are shown: the ledger lies in the repository of swath (claims/{SLUG}.toml), and none is here."
    return (note,)


def _registration() -> Path | None:
    folder = judge.ledger_folder()
    path = None if folder is None else folder / f"{SLUG}.toml"
    return path if path is not None and path.is_file() else None


def _batches(chipset: ChipSet, ids: list[str]) -> Iterator[Batch]:
    return ChipLoader(chipset, ids, batch_size=16, seed=0, shuffle=False).epoch(0)


def _same_settings(config: Config, path: Path) -> None:
    """Refuse to mix two configurations in one folder."""
    text = json.dumps(config.model_dump(mode="json"), indent=1, sort_keys=True)
    if path.exists() and path.read_text() != text:
        mine, theirs = (hashlib.sha256(each.encode()).hexdigest()[:8] for each in (text, path.read_text()))
        raise ConfigError(
            f"{path.parent} holds a run with other options (settings {theirs}, now {mine})",
            expected="the same options, or a new folder",
            remedy=f"choose another --out, or delete {path.parent}",
        )
    write_text(path, text)
