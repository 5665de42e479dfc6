"""Do frozen published encoders beat a random forest on bands and indices, on real tasks with few labels?

A system of this project, not of a paper. Presto (arXiv 2304.14065) and Galileo nano (arXiv 2502.09356) with their
published weights turn the inputs of five tasks of real10 into 128 numbers a pixel or sample; a linear head or a random
forest learns from these. Ranked beside them are the five baselines of the suite, which see bands, indices and series.
The other five tasks cannot be asked of the encoders; which and why stands in ``judge/real10/encoders.py``, and how each
task is fed to them, too. Two of the five (fuel moisture, algal blooms) are ones that the authors of Presto measured it
on. The encoders know the place, which the baselines are not told.

Controls: the same networks with the numbers of every learned tensor in another order (*presto_shuffled*,
*galileo_shuffled*, one order for all seeds) must not beat the real ones, or nothing of it is due to what was learned;
the answer itself, blurred by a quarter of its spread (*planted*), must beat the forest, or nothing could be found.

How ranks are meant: on every task and seed the contenders are ranked by the score of the task, 1 is best, ties share
their mean. Five tasks are few; the interval is over seeds and tasks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from swath import judge
from swath.errors import ConfigError
from swath.judge import real10
from swath.judge.real10 import Contender, Plan, Task
from swath.judge.real10.suite import frozen_digests
from swath.systems.eo import _real10_controls as controls
from swath.systems.eo import _real10_rows as made
from swath.systems.eo import _runs
from swath.types import DataKind, Report, ResultRow

SLUG = "real10_encoders"
TITLE = "Do frozen encoders beat a forest on bands, with few labels?"
TIER = "reproduced"
DATA: DataKind = "real"


class Config(BaseModel):
    """Options; the defaults are those of the registered claim.

    Args:
        root: folder with the data sets; ``$SWATH_DATA`` by default.
        miniature: made-up miniature data and networks of random weights in place of the published ones.
        tasks: those that both encoders can be asked.
        contenders: baselines of the suite.
        blur: standard deviation of the noise on the planted answer, in standard deviations of the answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path | None = None
    miniature: bool = False
    tasks: tuple[str, ...] = ("polygons_s2", "floods", "land_use", "fuel_moisture", "algae_blooms")
    contenders: tuple[str, ...] = ("constant", "linear", "forest", "boosting", "network")
    blur: float = Field(default=0.25, ge=0)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds on made-up data without weights; its scores mean nothing."""
        return cls(miniature=True, tasks=("polygons_s2", "fuel_moisture"), contenders=("constant", "linear", "forest"))


@dataclass(frozen=True)
class Prepared:
    """What all seeds share.

    Args:
        tasks: the tasks.
        ranked: the contenders that are ranked among each other.
        controls: the contenders that stand beside them.
        data: folder of the data; None = ``$SWATH_DATA``.
        features: where features of the encoders are kept.
        hash: of data, splits and weights.
        kind: ``real``, or ``fixture`` for miniatures.
    """

    tasks: tuple[Task, ...]
    ranked: tuple[Contender, ...]
    controls: tuple[Contender, ...]
    data: Path | None
    features: Path
    hash: str
    kind: DataKind


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: every contender on every task with all and with few labels, ranks, and the report.

    Args:
        config: see ``Config``.
        out: folder of the run; finished cells and features in it are taken up again.
        seed: of splits, few-label draws and learners, 0 to 9.

    Raises:
        MissingError: weights or data are absent.
    """
    return _runs.one_seed(_parts(), config, out, seed)


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
        MissingError: weights or data are absent.
    """
    return _runs.all_seeds(_parts(), out)


def _parts() -> _runs.Parts[Config, Prepared]:
    return _runs.Parts(
        SLUG,
        Config,
        prepare,
        lambda config, data, folder, seed: seed_rows(data, folder, seed),
        lambda config, data, out, rows, timer, note: _report(config, rows, timer, note),
    )


def prepare(config: Config, out: Path) -> Prepared:
    """Tasks, contenders and their encoders.

    Raises:
        MissingError: weights or data are absent.
        ConfigError: a task or contender is unknown, or an encoder cannot be asked a task.
    """
    tasks = real10.chosen(real10.TASKS, config.tasks, "task")
    baselines = real10.chosen(real10.BASELINES, config.contenders, "contender")
    encoders = controls.stand_ins() if config.miniature else controls.published()
    root = real10.miniature(out / "miniatures", tasks, baselines).data if config.miniature else config.root
    heads = controls.heads(encoders)
    unasked = [f"{task.name} of {each.name}" for task in tasks for each in heads if not each.asked(task.name)]
    if unasked:
        raise ConfigError(
            f"These cannot be asked: {', '.join(unasked)}", expected="tasks that both can be", remedy="leave them out"
        )
    beside = controls.beside(encoders, tasks, root, config.blur)
    digests: Mapping[str, Mapping[str, str]] = {} if config.miniature else frozen_digests()
    told = [f"{name} {digests.get(name)}" for name in config.tasks] + [each.options for each in (*heads, *beside)]
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]
    kind: DataKind = "fixture" if config.miniature else "real"
    return Prepared(tasks, (*baselines, *heads), beside, root, out / "features", digest, kind)


def seed_rows(data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """Every number of one seed: the score of each contender on each task, and ranks.

    Raises:
        InputError: a contender failed on a task, so that there are no ranks.
    """
    plan = Plan(
        data.tasks,
        (*data.ranked, *data.controls),
        (seed,),
        data=data.data,
        frozen=data.kind == "real",
        features=data.features,
    )
    measured = real10.run(out / "suite", plan)
    made.check_whole(measured)
    ranked, beside = (tuple(each.name for each in part) for part in (data.ranked, data.controls))
    return made.rows(SLUG, measured.table, data.tasks, (ranked, beside), data.hash)


def _report(config: Config, rows: tuple[ResultRow, ...], timer: judge.Timer, note: str) -> Report:
    return Report(
        system=SLUG,
        title=TITLE,
        data="fixture" if config.miniature else DATA,
        rows=rows,
        claims=_runs.claims_of(SLUG),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        notes=(
            *_runs.quick_note(config),
            f"{note} Tasks: {', '.join(config.tasks)}. Ranks are 1 for the best of all contenders but the controls; "
            "metrics that end in _controls rank these, too.",
        ),
    )
