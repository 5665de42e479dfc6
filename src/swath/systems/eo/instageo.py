"""InstaGeo: from an archive of scenes to chips, a model, a small model taught by it, a file, and a map of the flood.

InstaGeo 0.1.0 (InstaDeep, 2025; code under CC BY-NC-SA 4.0, of which nothing is used here): chips for label rasters
from a STAC archive, a transformer that learns from them, a student with its first blocks that learns from the labels
and from it, and prediction from an exported file. The chain is that of the everyday commands (``swath archive
rasters``, ``train``, ``train --teacher``, ``export``, ``predict``); ``docs/instageo.md`` runs it by hand.

The archive holds six floods of the simulated Earth, Sentinel-1 and Sentinel-2 before, during and after each
(``_instageo_archive``). Floods come with clouds, so that the model sees radar; the recipe is the published one for
floods: one date, labels on pixels of 9e-5 degrees, whatever the cloud. Two places of six are for test and are drawn by
the seed. Asked is what the paper claims for its students: that they keep what the teacher can do. The teacher first has
to beat a random forest that knows the means around a pixel. ``copied`` starts from the teacher's blocks and does not
listen to it, ``untaught`` has neither; ``mistaught`` listens to a teacher that saw the labels of other places, and must
not gain.

What differs from the paper: the teacher has learned from the labels alone, without a pretrained encoder; the head is a
U-Net decoder, as its own scores are the same for all; sizes are those of a desk. Where the real flood of Sen1Floods11
lies at hand, all are judged there too, without having seen a real pixel. Published sizes: ``swath check instageo``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field

from swath import judge
from swath.chips import ChipSet
from swath.learn.reproduce import repeatable
from swath.systems.eo import _instageo_archive as archives
from swath.systems.eo import _instageo_chips as cutting
from swath.systems.eo import _instageo_deploy as deploying
from swath.systems.eo import _instageo_pages as pages
from swath.systems.eo import _instageo_real as real
from swath.systems.eo import _runs
from swath.systems.eo._instageo_archive import ArchiveOptions, FloodArchive
from swath.systems.eo._instageo_models import NARROW, TEACHER, Class
from swath.systems.eo._instageo_sizes import Networks
from swath.types import DataKind, Predictor, Report, ResultRow, Split

SLUG = "instageo"
TITLE = "InstaGeo: archive, chips, teacher, student, exported map"
TIER = "reproduced"
DATA: DataKind = "simulated"
PAPER = (
    "instageo_tiny_t1",
    "instageo_v1_100_t1",
    "instageo_v1_100_t3",
    "instageo_v1_100_t1_depth2",
    "instageo_v2_300_t1",
    "instageo_v2_300_t3",
    "instageo_v2_300_t1_depth2",
    "instageo_v2_600_t1",
)
KEPT = 0.95
FASTER = 5.0
POINT = 0.01
LESS = "teacher_less_a_point"
EXPORTED = {"small", NARROW}
MAPPED = (TEACHER, "student", "small", "small_onnx", "small_int8", NARROW, f"{NARROW}_onnx", f"{NARROW}_int8")


class Config(BaseModel):
    """Options; the defaults are those of the registered claims.

    Args:
        root: folder of the real data sets; ``$SWATH_DATA`` by default. Without the flood only its rows are missing.
        folder: where archives are kept; the user's cache by default.
        archive: what the archive holds.
        workers: processes that make scenes, cut chips and train, each one network at a time.
        networks: sizes and schedule.
        rounds: times that a scene is mapped by each model for its speed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path | None = None
    folder: Path | None = None
    archive: ArchiveOptions = ArchiveOptions()
    workers: int = Field(default=2, ge=0)
    networks: Networks = Networks()
    rounds: int = Field(default=3, ge=1)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds on made-up scenes; its scores mean nothing."""
        return cls(
            archive=ArchiveOptions(
                tiles=2, side=192, label_side=32, wet=2, dry=1, sensors=archives.SENSORS[:1], made_up=True
            ),
            workers=0,
            networks=Networks(
                width=12, depth=2, head_width=8, student_depth=1, depths=(), small=(6, 1, 4), teacher_epochs=1,
                student_epochs=1, misled_epochs=1, trees=3, forest_pixels=500,
            ),
            rounds=1,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Prepared:
    """What all seeds share.

    Args:
        archive: scenes and labels.
        chipset: chips of radar.
        mixed: the same with the labels of others.
        optical: chips of Sentinel-2 without what clouds hide, or None.
        root: folder of the real data.
        hash: of archive and chips.
    """

    archive: FloodArchive
    chipset: ChipSet
    mixed: ChipSet
    optical: ChipSet | None
    root: Path | None
    hash: str

    @property
    def kind(self) -> DataKind:
        """Simulated, or made up."""
        return "fixture" if self.archive.options.made_up else "simulated"

    @classmethod
    def of(cls, config: Config, out: Path) -> Prepared:
        """Archive and chips, made where they are not yet kept."""
        made_up = config.archive.made_up
        folder = out / "archives" if made_up and config.folder is None else config.folder
        told = "" if made_up else "making scenes"
        archive = archives.prepared(config.archive, folder, workers=config.workers, progress=told)
        cut = partial(cutting.cut, archive, workers=config.workers, progress=not made_up)
        chipset, mixed = cut("s1"), cut("s1", mixed=True)
        optical = cut("s2") if len(config.archive.sensors) > 1 else None
        return cls(archive, chipset, mixed, optical, None if made_up else config.root, archive.hash)


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: the chain from archive to map, and the report.

    Args:
        config: see ``Config``.
        out: folder of the run; finished networks in it are taken up again.
        seed: of the places of the test, weights and orders, 0 to 9.

    Raises:
        InputError: scenes or chips could not be made.
        MissingError: the extra ``export`` is not installed.
    """
    return _runs.one_seed(parts(SLUG, TITLE, Config), config, out, seed)


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
        InputError: scenes or chips could not be made.
        MissingError: the extra ``export`` is not installed.
    """
    return _runs.all_seeds(parts(SLUG, TITLE, Config), out)


def parts(slug: str, title: str, defaults: Callable[[], Config]) -> _runs.Parts[Config, Prepared]:
    """The chain as the parts of a run, for this system and for ``instageo_fine``.

    Args:
        slug: of the system.
        title: of its report.
        defaults: makes the options of its registered claims.
    """
    return _runs.Parts(slug, defaults, Prepared.of, partial(_seed_rows, slug), partial(_report, slug, title))


def _seed_rows(slug: str, config: Config, data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """Every number of one seed."""
    part = cutting.split(data.chipset, seed)
    base = ResultRow(
        run_id=f"{slug}-{seed}", system=slug, data_kind=data.kind, split="test", seed=seed, device="cpu",
        dataset="instageo_floods", dataset_hash=data.hash, bands="vv,vh", n_train=len(part.ids("train")),
        n_test=len(part.ids("test")),
    )  # fmt: skip
    with repeatable(1):
        learning = Class(config.networks, data.chipset, data.mixed, part, out, seed)
        people = learning.everybody(config.workers)
        for name in sorted(EXPORTED & people.keys()):
            people |= deploying.exported(people[name], data.chipset, part, out / "export", name)
        scores = {name: learning.score(each) for name, each in people.items()}
        rows = score_rows(scores, base) + size_rows(people, base)
        rows += scene_rows(config, data, people, part, out, base)
    place = None if config.archive.made_up else real.folder_of(data.root)
    if place is not None:
        rows += real.rows(people, place, out, replace(base, dataset="sen1floods11", data_kind="hybrid"))
    return rows + cloud_rows(data, base)


def score_rows(scores: dict[str, float], base: ResultRow) -> list[ResultRow]:
    """``miou`` of all; ``kept``: its share of the teacher's, with the row ``limit``; and the teacher less a point."""
    rows = [replace(base, backbone=name, metric="miou", value=value) for name, value in scores.items()]
    teacher = scores[TEACHER]
    rows.append(replace(base, backbone=LESS, metric="miou", value=teacher - POINT))
    kept = {name: value / teacher for name, value in scores.items() if teacher > 0}
    rows += [replace(base, backbone=name, metric="kept", value=value) for name, value in kept.items()]
    return [*rows, replace(base, backbone="limit", metric="kept", value=KEPT)]


def size_rows(people: dict[str, Predictor], base: ResultRow) -> list[ResultRow]:
    """``parameters`` of every network."""
    counted = deploying.parameters_of(people)
    base = replace(base, metric="parameters", higher_is_better=False)
    return [replace(base, backbone=name, value=float(number)) for name, number in counted.items()]


def scene_rows(
    config: Config, data: Prepared, people: dict[str, Predictor], part: Split, out: Path, base: ResultRow
) -> list[ResultRow]:
    """``scene_miou``, ``scene_mpixel_s`` and ``speed`` (as many times that of the teacher) on a whole test scene."""
    chosen = {name: people[name] for name in MAPPED if name in people}
    torch.set_num_threads(1)
    found = deploying.mapped(
        chosen, deploying.scene_of(data.archive, part), out / "maps", tile=data.chipset.size, rounds=config.rounds
    )
    rows = []
    for name, cost in found.items():
        row = replace(base, backbone=name)
        rows.append(replace(row, metric="scene_miou", value=cost.miou))
        rows.append(replace(row, metric="scene_mpixel_s", value=cost.speed))
        rows.append(replace(row, metric="speed", value=cost.speed / found[TEACHER].speed))
    less = found[TEACHER].miou - POINT
    rows.append(replace(base, backbone=LESS, metric="scene_miou", value=less))
    return [*rows, replace(base, backbone="limit", metric="speed", value=FASTER)]


def cloud_rows(data: Prepared, base: ResultRow) -> list[ResultRow]:
    """``labelled_pixels``: how many pixels of the floods radar chips show, and optical ones without clouds."""
    if data.optical is None:
        return []
    rows = []
    for name, chipset in (("radar", data.chipset), ("optical", data.optical)):
        flooded = [each for each in chipset.ids if cutting.phase_of_chip(each) == 1]
        number = float(sum(chipset.class_counts(flooded).values())) if flooded else 0.0
        rows.append(replace(base, backbone=name, metric="labelled_pixels", value=number, split="all"))
    return rows


def _report(
    slug: str,
    title: str,
    config: Config,
    data: Prepared,
    out: Path,
    rows: tuple[ResultRow, ...],
    timer: judge.Timer,
    note: str,
) -> Report:
    seed, best = rows[0].seed or 0, "small" if config.networks.narrow is None else NARROW
    return Report(
        system=slug,
        title=title,
        data=data.kind,
        rows=rows,
        claims=_runs.claims_of(slug),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        pictures=pages.pictures(data.archive, cutting.split(data.chipset, seed), rows, out, seed),
        files={"catalogue": data.archive.scenes, "student": out / f"seed_{seed}" / "export" / f"{best}_int8.onnx"},
        notes=(
            *_runs.quick_note(config),
            f"{note} Fingerprint of the archive: {data.hash}.",
            "miou is over the labelled pixels of the places of the test, kept is its share of the teacher's; "
            "scene_miou is over every pixel of one flood. speed is a ratio of medians of whole maps, made in turn on "
            "one thread.",
            "Rows of sen1floods11 are of one real scene that nothing has learned from.",
        ),
    )
