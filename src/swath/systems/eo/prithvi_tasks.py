"""The tasks of the Prithvi papers at every share of their labels: does masked pretraining save labels?

Jakubik et al., "Foundation models for generalist geospatial artificial intelligence" (arXiv 2310.18660), fine-tune for
floods, burn scars and crops and report that less data are needed than from random weights; cloud gaps are asked in
``prithvi_eo_1``. Here the same three tasks are asked of the simulated Earth, whose truth is exact: water after floods
and burn scars of one date, crops of three dates (``_prithvi_scenes``). From 1 to 100 % of a fixed pool of chips are
learned from, whole chips, small draws inside of large ones; places of pool, pretraining and test are split by seed.

``pretrained`` begins with the encoder of ``prithvi_eo_1`` (its recipe, made once a seed for all tasks) and ``scratch``
with the very weights that pretraining began with; same head, steps and chips. ``unet`` and ``forest`` learn from the
same chips, and heads on the frozen published encoders ``presto`` and ``galileo_nano`` from a tenth of them. All
networks read values in the statistics of the unlabelled series. Controls at a tenth: ``shuffled`` is pretrained on
values in random order and must not beat ``scratch``; ``told`` has learned all answers beforehand and must.

What differs from the paper: everything is simulated, chips of 16 pixels (pretraining: 32), some hundred thousand
weights, minutes of training; crops are those of ``world`` (seven kinds and none) and not thirteen classes of the
Cropland Data Layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from swath import judge
from swath.judge.real10.encoders import FrozenEncoder, from_disk
from swath.learn.objectives import MaskedReconstruction
from swath.learn.reproduce import repeatable
from swath.systems.eo import _prithvi_gaps as gaps
from swath.systems.eo import _prithvi_scenes as scenes
from swath.systems.eo import _prithvi_share_pages as pages
from swath.systems.eo import _prithvi_shares as shares
from swath.systems.eo import _runs, prithvi_eo_1
from swath.systems.eo import _world_series as world_series
from swath.systems.eo._prithvi_scenes import Kind, MapTask
from swath.systems.eo._prithvi_shares import Drawn, Learner, Tuning
from swath.systems.eo._world_series import Series
from swath.types import DataKind, Report, ResultRow
from swath.types.report import Picture

SLUG = "prithvi_tasks"
TITLE = "The tasks of the Prithvi papers at every share of labels"
TIER = "reproduced"
DATA: DataKind = "simulated"
FEW = 0.1
"""Largest share that counts as few labels."""


class Config(BaseModel):
    """Options; the defaults are those of the registered claims.

    Args:
        series_folder, scene_folder: where simulated series and scenes are kept; the user's cache by default.
        made_up: miniatures in place of both.
        pretraining: sizes, schedule and series of pretraining; what belongs to other questions is not used.
        tasks: which tasks.
        scene: side of a scene in pixels.
        chip: side of its chips.
        test_share: of the places of a task; neither the task nor pretraining sees them.
        pool: chips that are learned from at most.
        test_chips: of the test places, at most.
        shares: of the pool.
        steps, batch_size, rate: of every network on every task.
        told_steps: in which ``told`` learns the answers.
        head_width: of the transformers.
        unet_width: of the U-Net.
        encoders: published encoders, frozen.
        some_shares: those that controls and published encoders are asked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    series_folder: Path | None = None
    scene_folder: Path | None = None
    made_up: bool = False
    pretraining: prithvi_eo_1.Config = prithvi_eo_1.Config(width=64, depth=3, batch_size=8, epochs=5, steps=50)
    tasks: tuple[Kind, ...] = ("floods", "fires", "crops")
    scene: int = Field(default=64, ge=8)
    chip: int = Field(default=16, ge=8)
    test_share: float = Field(default=0.3, gt=0, lt=1)
    pool: int = Field(default=200, ge=1)
    test_chips: int = Field(default=64, ge=1)
    shares: tuple[float, ...] = (0.01, 0.03, 0.1, 1.0)
    steps: int = Field(default=50, ge=1)
    batch_size: int = Field(default=8, ge=1)
    rate: float = Field(default=1e-3, gt=0)
    told_steps: int = Field(default=80, ge=1)
    head_width: int = Field(default=16, ge=1)
    unet_width: int = Field(default=16, ge=1)
    encoders: tuple[str, ...] = ("presto", "galileo_nano")
    some_shares: tuple[float, ...] = (0.1,)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds on miniatures without published encoders; its scores mean nothing."""
        return cls(
            made_up=True, pretraining=prithvi_eo_1.Config.quick(), scene=16, pool=6, test_chips=3, shares=(0.1, 1.0),
            steps=2, batch_size=2, told_steps=2, head_width=8, unet_width=8, encoders=(),
        )  # fmt: skip

    @property
    def tuning(self) -> Tuning:
        """How a network learns a task."""
        return Tuning(self.steps, self.batch_size, self.rate, self.head_width, self.unet_width)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What all seeds share.

    Args:
        series: of the simulated Earth, or made up.
        tasks: with their chips.
        encoders: published ones by name.
        hash: of series and tasks.
    """

    series: Series
    tasks: tuple[MapTask, ...]
    encoders: Mapping[str, FrozenEncoder]
    hash: str

    @classmethod
    def of(cls, config: Config, out: Path) -> Prepared:
        """Series and scenes of a configuration, made where they are not yet kept.

        Raises:
            MissingError: weights of a published encoder are absent.
        """
        how = config.pretraining
        series = world_series.series_for(
            config.series_folder, made_up_instead=config.made_up, places=how.places, days=how.days, size=how.side
        )
        if config.made_up:
            tasks = scenes.made_up(config.tasks, how.places, config.chip)
        else:
            tasks = scenes.tasks(config.scene_folder, config.tasks, size=config.scene, side=config.chip)
        told = [gaps.fingerprint(series), *(f"{task.name} {scenes.fingerprint(task)}" for task in tasks)]
        encoders = {name: FrozenEncoder(from_disk(name)) for name in config.encoders}
        return cls(series, tasks, encoders, hashlib.sha256("\n".join(told).encode()).hexdigest()[:12])


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: pretraining, every contender at every share of every task, and the report.

    Args:
        config: see ``Config``.
        out: folder of the run; finished pretraining in it is taken up again.
        seed: of first weights, samples, places and chips of the test, draws and orders.

    Raises:
        InputError: the places of the test have no chip of a task.
        MissingError: weights of a published encoder are absent.
    """
    return _runs.one_seed(_parts(), config, out, seed)


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
        MissingError: weights of a published encoder are absent.
    """
    return _runs.all_seeds(_parts(), out)


def _parts() -> _runs.Parts[Config, Prepared]:
    return _runs.Parts(SLUG, Config, Prepared.of, seed_rows, _report)


def seed_rows(config: Config, data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """Every number of one seed."""
    how = config.pretraining
    tested = shares.tested_places(data.tasks, len(data.series), config.test_share, seed)
    held = np.concatenate(list(tested.values()))
    learned = data.series.take([place for place in range(len(data.series)) if place not in held])
    base = ResultRow(
        run_id=f"{SLUG}-{seed}", system=SLUG, data_kind=data.series.kind, split="test", seed=seed, device="cpu",
        dataset_hash=data.hash, bands="hls6",
    )  # fmt: skip
    found: dict[pages.Cell, pages.Scored] = {}
    with repeatable(1):
        starts = {
            "pretrained": prithvi_eo_1.trained(how, "pretrained", learned, out, seed),
            "scratch": prithvi_eo_1.objective(how, "random", learned, seed),
            "shuffled": prithvi_eo_1.trained(how, "shuffled", learned, out, seed),
        }
        for task in data.tasks:
            drawn = shares.draw(task, tested[task.name], pool=config.pool, test=config.test_chips, seed=seed)
            for name, (learner, asked) in contenders(config, data, task, drawn, starts, seed).items():
                for share in asked:
                    found[task.name, name, share] = _scored(task, drawn, learner, share)
    return pages.rows(found, base, FEW)


def contenders(
    config: Config, data: Prepared, task: MapTask, drawn: Drawn, starts: Mapping[str, MaskedReconstruction], seed: int
) -> dict[str, tuple[Learner, tuple[float, ...]]]:
    """Name to how it learns a task, and the shares that it is asked at.

    Args:
        config: schedule and shares.
        data: has the published encoders.
        task: for the control that is told its answers.
        drawn: its chips.
        starts: the masked autoencoders that encoders are taken from.
        seed: of heads and orders.
    """
    tuning, some = config.tuning, config.some_shares
    told_how = replace(tuning, steps=config.told_steps)
    every = np.concatenate([drawn.pool, drawn.test])
    told: dict[str, Tensor] = shares.told_weights(starts["scratch"], task, every, told_how, seed)
    found: dict[str, tuple[Learner, tuple[float, ...]]] = {
        "pretrained": (shares.transformer(starts["pretrained"], tuning, seed), config.shares),
        "scratch": (shares.transformer(starts["scratch"], tuning, seed), config.shares),
        "unet": (shares.unet(starts["scratch"].normalise, tuning, seed), config.shares),
        "forest": (shares.pixel_forest(seed), config.shares),
        "shuffled": (shares.transformer(starts["shuffled"], tuning, seed), some),
        "told": (shares.transformer(starts["scratch"], tuning, seed, told), some),
    }
    for name, encoder in data.encoders.items():
        found[name] = (shares.frozen(encoder, task.name, seed), some)
    return found


def _scored(task: MapTask, drawn: Drawn, learner: Learner, share: float) -> pages.Scored:
    """What a contender reaches with a share of the labels."""
    chips = drawn.share(share)
    answers = learner(task.inputs.take(chips), task.target.take(chips), task.inputs.take(drawn.test))
    return pages.Scored(shares.score(task, drawn.test, answers), len(chips), len(drawn.test))


def _report(
    config: Config, data: Prepared, out: Path, rows: tuple[ResultRow, ...], timer: judge.Timer, note: str
) -> Report:
    made = pages.picture(rows, out / "shares.png")
    return Report(
        system=SLUG,
        title=TITLE,
        data=data.series.kind,
        rows=rows,
        claims=_runs.claims_of(SLUG),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        pictures=(Picture(made, "Mean IoU on chips of places that nothing has seen, by share of the labels"),),
        notes=(
            *_runs.quick_note(config),
            f"{note} Fingerprint of series and tasks: {data.hash}.",
            f"miou_few is the mean of miou over the shares up to {FEW:.0%}, miou_tenth that at {FEW:.0%}, by task and "
            "as mean over tasks. Whole chips are drawn; small draws lie in large ones.",
        ),
    )
