"""Prithvi-EO-1.0: does masked pretraining on series of images help where labels are few, and where clouds leave gaps?

Jakubik et al., "Foundation models for generalist geospatial artificial intelligence" (arXiv 2310.18660): a masked
autoencoder of three dates in six HLS bands, three quarters of all tokens in space and time hidden, then fine-tuned for
floods, burn scars and crops, and to make up dates under clouds. What is tested here is that recipe at a size that a
desk can train, with the published share of hidden tokens, positions and loss. What differs: patches of 4 pixels and
images of 32, a U-Net head on a simple pyramid in place of the published neck, and what it learns from and for.

Pretraining is on series of the simulated Earth (``_world_series``), places split by seed. The first question is asked
on *real* tasks of real10 with few labels, whose rows are therefore hybrid: the encoder of ``pretrained`` against
``scratch``, which are the very weights that pretraining began with, same head, same steps; ``forest`` and ``network``
of the suite learn from the same samples. Controls: ``shuffled`` is pretrained on series whose values are in random
order and must not beat ``scratch``; ``told`` has learned the answers of all samples beforehand and must.

The second question is asked on held-out places: one date of three is hidden, and made up by the pretrained network
after further steps with whole dates hidden, by ``scratch`` after as many, by a U-Net with the same samples and steps,
and by what needs no training. The pretrained network has then seen more samples than the other two.

Published size: ``prithvi_eo_v1_100`` (``swath check prithvi_eo_v1_100``, ``models.prithvi``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from swath import judge
from swath.judge import real10
from swath.judge.real10 import Contender, Task
from swath.judge.real10.suite import frozen_digests
from swath.learn import FitConfig, fit
from swath.learn.objectives import MaskedReconstruction, MaskingOptions, picture
from swath.learn.reproduce import repeatable, seeded
from swath.nn import UNet
from swath.nn.masked_autoencoder import MaskedAutoencoder
from swath.nn.space_time import MaskedAutoencoderSpec
from swath.systems.eo import _prithvi_curves as curves
from swath.systems.eo import _prithvi_gaps as gaps
from swath.systems.eo import _prithvi_imputing as imputing
from swath.systems.eo import _prithvi_tasks as few_labels
from swath.systems.eo import _runs
from swath.systems.eo import _world_series as world_series
from swath.systems.eo._prithvi_tasks import Tuning
from swath.systems.eo._world_series import Series, SeriesLoader
from swath.types import DataKind, Report, ResultRow
from swath.types.report import Picture

SLUG = "prithvi_eo_1"
TITLE = "Prithvi-EO-1.0: masked pretraining on series, for few labels and for gaps"
TIER = "reproduced"
DATA: DataKind = "hybrid"
DATES = 3


class Config(BaseModel):
    """Options; the defaults are those of the registered claims.

    Args:
        root: folder of the real data sets; ``$SWATH_DATA`` by default.
        folder: where the simulated series are kept; the user's cache by default.
        made_up: made-up series and miniatures of the real tasks in place of both.
        places, days, side: of the series.
        size: side of a sample in pixels.
        patch, width, depth, heads: of the encoder.
        decoder_width, decoder_depth: of the decoder.
        epochs: lines of the loss curve.
        steps: optimiser steps of pretraining in each of them.
        gap_steps: optimiser steps of each network that learns to fill gaps.
        batch_size: samples per step.
        rate: peak learning rate of all these.
        unet_width: of the U-Net that fills gaps.
        test_places: places of the test, drawn by the seed.
        per_place: fixed samples of each of them.
        tasks: tasks of real10.
        task_steps, task_rate: of each transformer on each of them.
        head_width: of its head.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path | None = None
    folder: Path | None = None
    made_up: bool = False
    places: int = Field(default=len(world_series.PLACES), ge=3, le=len(world_series.PLACES))
    days: int = Field(default=10, ge=DATES)
    side: int = Field(default=64, ge=11)
    size: int = Field(default=32, ge=11)
    patch: int = Field(default=4, ge=4, multiple_of=4)
    width: int = Field(default=96, ge=16, multiple_of=16)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    decoder_width: int = Field(default=64, ge=16, multiple_of=16)
    decoder_depth: int = Field(default=1, ge=1)
    epochs: int = Field(default=10, ge=1)
    steps: int = Field(default=50, ge=1)
    gap_steps: int = Field(default=150, ge=1)
    batch_size: int = Field(default=16, ge=2)
    rate: float = Field(default=1e-3, gt=0)
    unet_width: int = Field(default=16, ge=1)
    test_places: int = Field(default=12, ge=1)
    per_place: int = Field(default=24, ge=2)
    tasks: tuple[str, ...] = ("polygons_s2", "polygons_landsat", "floods", "land_use")
    task_steps: int = Field(default=150, ge=1)
    task_rate: float = Field(default=1e-3, gt=0)
    head_width: int = Field(default=32, ge=1)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds on made-up series and miniatures of real tasks; its scores mean nothing."""
        return cls(
            made_up=True, places=6, days=5, side=16, size=16, width=16, depth=1, heads=2, decoder_width=16,
            decoder_depth=1, epochs=2, steps=2, gap_steps=3, batch_size=4, unet_width=8, test_places=2, per_place=2,
            tasks=("polygons_landsat", "land_use"), task_steps=3, head_width=8,
        )  # fmt: skip

    @property
    def tuning(self) -> Tuning:
        """How a transformer learns a task of real10."""
        return Tuning(self.task_steps, self.task_rate, self.head_width)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What all seeds share.

    Args:
        series: of the simulated Earth, or made up.
        tasks: of real10.
        baselines: ``forest`` and ``network`` of the suite.
        root: folder of the data of the tasks; None = ``$SWATH_DATA``.
        hash: of series, tasks and their splits.
    """

    series: Series
    tasks: tuple[Task, ...]
    baselines: tuple[Contender, ...]
    root: Path | None
    hash: str

    @property
    def frozen(self) -> bool:
        """Whether the tasks are those of the suite, not miniatures."""
        return self.series.kind != "fixture"

    @classmethod
    def of(cls, config: Config, out: Path) -> Prepared:
        """Series and tasks of a configuration, made where they are not yet kept."""
        series = world_series.series_for(
            config.folder, made_up_instead=config.made_up, places=config.places, days=config.days, size=config.side
        )
        tasks = real10.chosen(real10.TASKS, config.tasks, "task")
        baselines = real10.chosen(real10.BASELINES, ("forest", "network"), "contender")
        root = real10.miniature(out / "miniatures", tasks, baselines).data if config.made_up else config.root
        digests: Mapping[str, object] = {} if config.made_up else frozen_digests()
        told = [gaps.fingerprint(series), *(f"{task.name} {digests.get(task.name)}" for task in tasks)]
        return cls(series, tasks, baselines, root, hashlib.sha256("\n".join(told).encode()).hexdigest()[:12])


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: pretraining, gaps, real tasks with few labels, and the report.

    Args:
        config: see ``Config``.
        out: folder of the run; finished networks and scores in it are taken up again.
        seed: of first weights, samples, hidden dates, the places of the test, splits and draws, 0 to 9.

    Raises:
        InputError: the data of a task are absent, or a contender failed.
    """
    return _runs.one_seed(_parts(), config, out, seed)


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
        InputError: the data of a task are absent, or a contender failed.
    """
    return _runs.all_seeds(_parts(), out)


def _parts() -> _runs.Parts[Config, Prepared]:
    return _runs.Parts(SLUG, Config, Prepared.of, seed_rows, _report)


def seed_rows(config: Config, data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """Every number of one seed."""
    learned, tested = gaps.split(data.series, config.test_places, seed)
    base = ResultRow(
        run_id=f"{SLUG}-{seed}", system=SLUG, data_kind=data.series.kind, split="test", seed=seed, device="cpu",
        dataset="world_series", dataset_hash=data.hash, bands="hls6",
    )  # fmt: skip
    with repeatable(1):
        pretrained = trained(config, "pretrained", learned, out, seed)
        rows = gap_rows(config, base, (learned, tested), out, seed)
        networks = {
            "pretrained": pretrained,
            "scratch": objective(config, "random", learned, seed),
            "shuffled": trained(config, "shuffled", learned, out, seed),
        }
        table = few_labels.measured(
            networks, config.tuning, data.tasks, data.baselines, seed=seed, root=data.root, frozen=data.frozen,
            out=out / "suite",
        )  # fmt: skip
    mixed: DataKind = "hybrid" if data.frozen else "fixture"
    rows += few_labels.score_rows(table, base, dict.fromkeys(("pretrained", "shuffled"), mixed))
    return rows + curves.rows(out / "pretrained", replace(base, backbone="pretrained", split="train"))


def gap_rows(config: Config, base: ResultRow, series: tuple[Series, Series], out: Path, seed: int) -> list[ResultRow]:
    """Errors and similarity of a hidden date on held-out places; errors also relative to ``scratch``, whose own is 1.

    Args:
        config: sizes and schedule.
        base: what all rows share.
        series: places to learn from, and of the test.
        out: folder of the seed.
        seed: of samples and hidden dates.
    """
    learned, tested = series
    samples = world_series.fixed(tested, dates=DATES, size=config.size, per_place=config.per_place, seed=seed)
    unet = gap_unet(config, learned, out, seed)
    fills: dict[str, imputing.Fill] = {
        "pretrained": imputing.NetworkFill(trained(config, "gaps_pretrained", learned, out, seed)),
        "scratch": imputing.NetworkFill(trained(config, "gaps_scratch", learned, out, seed)),
        "unet": unet.fill,
        **imputing.simple_fills(learned.normalise()),
    }
    found = imputing.scores(fills, samples, learned.normalise(), seed)
    base = replace(base, n_train=len(learned), n_test=sum(batch.batch_size for batch in samples))
    rows = []
    for who, each in found.items():
        row = replace(base, backbone=who, higher_is_better=False)
        rows.append(replace(row, metric="gap_mse", value=each["mse"]))
        rows.append(replace(row, metric="gap_relative_mse", value=each["mse"] / found["scratch"]["mse"]))
        rows.append(replace(row, metric="gap_ssim", value=each["ssim"], higher_is_better=True))
    return rows


def trained(config: Config, name: str, learned: Series, out: Path, seed: int) -> MaskedReconstruction:
    """One of the masked autoencoders after its training.

    Args:
        config: sizes and schedule.
        name: ``pretrained`` or ``shuffled`` with random tokens hidden; ``gaps_pretrained`` or ``gaps_scratch`` with
            whole dates hidden, from the weights of the first or from random ones.
        learned: series of the places to learn from.
        out: folder of the seed.
        seed: of weights, samples and hidden tokens; first weights are the same for all.
    """
    filling = name.startswith("gaps_")
    task = objective(config, "dates" if filling else "random", learned, seed)
    if name == "gaps_pretrained":
        task.model.load_state_dict(trained(config, "pretrained", learned, out, seed).model.state_dict())
    seen = world_series.shuffled(learned, seed) if name == "shuffled" else learned
    batches = config.gap_steps if filling else config.steps
    fit(
        task, _loader(config, seen, batches, seed), config=_options(config, 1 if filling else config.epochs),
        out=out / name, seed=seed, progress=False,
    )  # fmt: skip
    return task


def gap_unet(config: Config, learned: Series, out: Path, seed: int) -> imputing.GapUNet:
    """A U-Net that fills gaps, after as many steps on the same samples."""
    bands = len(world_series.BANDS)
    with seeded(seed, "prithvi gap unet"):
        network = UNet(DATES * (bands + 1), bands, width=config.unet_width, depth=2, stem_stride=1)
    task = imputing.GapUNet(network, learned.normalise())
    loader = _loader(config, learned, config.gap_steps, seed)
    fit(task, loader, config=_options(config, 1), out=out / "gaps_unet", seed=seed, progress=False)
    return task


def objective(config: Config, hidden: str, learned: Series, seed: int) -> MaskedReconstruction:
    """The masked autoencoder with the seed's first weights.

    Args:
        config: its sizes.
        hidden: ``random`` tokens, or whole ``dates``.
        learned: series whose statistics it takes.
        seed: of its weights.
    """
    spec = MaskedAutoencoderSpec(
        bands=len(world_series.BANDS), image=config.size, dates=DATES, patch=(1, config.patch, config.patch),
        width=config.width, depth=config.depth, heads=config.heads, decoder_width=config.decoder_width,
        decoder_depth=config.decoder_depth, decoder_heads=config.heads,
    )  # fmt: skip
    with seeded(seed, "prithvi 1 weights"):
        network = MaskedAutoencoder(spec)
    masking = MaskingOptions(kind="dates" if hidden == "dates" else "random")
    return MaskedReconstruction(network, learned.normalise(), world_series.bands(), masking)


def _loader(config: Config, series: Series, batches: int, seed: int) -> SeriesLoader:
    return SeriesLoader(series, dates=DATES, size=config.size, batch_size=config.batch_size, batches=batches, seed=seed)


def _options(config: Config, epochs: int) -> FitConfig:
    return FitConfig(
        epochs=epochs, learning_rate=config.rate, weight_decay=0.05, checkpoint_every_epochs=epochs, device="cpu",
        threads=1,
    )  # fmt: skip


def _report(
    config: Config, data: Prepared, out: Path, rows: tuple[ResultRow, ...], timer: judge.Timer, note: str
) -> Report:
    return Report(
        system=SLUG,
        title=TITLE,
        data=DATA if data.frozen else "fixture",
        rows=rows,
        claims=_runs.claims_of(SLUG),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        pictures=_pictures(config, data, out, rows),
        notes=(
            *_runs.quick_note(config),
            f"{note} Fingerprint of series, tasks and splits: {data.hash}.",
            "score_few is the mean IoU with few labels, by task and as mean over tasks; networks that were pretrained "
            "have learned from simulated series, all others from the labels of the task alone.",
            f"gap_mse is over the pixels of hidden dates in standard deviations, squared; gap_ssim has the range "
            f"{imputing.RANGE:g} standard deviations.",
        ),
    )


def _pictures(config: Config, data: Prepared, out: Path, rows: tuple[ResultRow, ...]) -> tuple[Picture, ...]:
    """Reconstructions by the pretrained network of the first seed, and its loss."""
    seed = rows[0].seed or 0
    learned, tested = gaps.split(data.series, config.test_places, seed)
    task = trained(config, "pretrained", learned, out / f"seed_{seed}", seed)
    samples = world_series.fixed(tested, dates=DATES, size=config.size, per_place=4, seed=seed)
    made = picture(task, samples[0], out / "reconstructions.png", seed=seed)
    curve = curves.picture(out / f"seed_{seed}" / "pretrained", out / "loss.png")
    return (
        Picture(made, f"First date of held-out series: what was there, what was seen, what was made up (seed {seed})"),
        Picture(curve, f"Loss of pretraining: squared error of hidden tokens in standard deviations (seed {seed})"),
    )
