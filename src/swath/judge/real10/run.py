"""Measure the suite: every contender on every task, variant and seed, once, and go on where it stopped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath import __version__
from swath.errors import ConfigError, ContractError, InputError, MissingError
from swath.failures import Failure, Failures
from swath.files import make_folder
from swath.judge.real10.contenders import BASELINES, Contender
from swath.judge.real10.kept import Features
from swath.judge.real10.samples import Samples, Target
from swath.judge.real10.suite import TASKS, Task, frozen_digests, load, root_of
from swath.judge.sweep import sweep
from swath.judge.table import ResultTable
from swath.metrics import ConfusionMatrix, Regression
from swath.types import DataKind, ResultRow
from swath.types.result import KEY

SYSTEM, ALL, FEW = "real10", "all labels", "few labels"
VARIANTS = (ALL, FEW)
ROWS = "rows.parquet"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Args:
        tasks: which tasks.
        contenders: which contenders.
        seeds: which seeds, 0 to 9.
        variants: all labels, few labels, or both.
        data: folder with the data sets; ``$SWATH_DATA`` by default.
        frozen: refuse data that differ from those that the suite was frozen with; False marks rows as fixtures.
        features: folder for the features of frozen encoders; ``features`` beside the rows by default.
    """

    tasks: tuple[Task, ...] = TASKS
    contenders: tuple[Contender, ...] = BASELINES
    seeds: tuple[int, ...] = tuple(range(5))
    variants: tuple[str, ...] = VARIANTS
    data: Path | None = None
    frozen: bool = True
    features: Path | None = None

    def __post_init__(self) -> None:
        names = [each.name for each in self.contenders]
        if (
            not (self.tasks and names and self.seeds)
            or len(set(names)) < len(names)
            or set(self.variants) - set(VARIANTS)
        ):
            raise ConfigError(
                f"The plan has {len(self.tasks)} tasks, the contenders {', '.join(names)}, {len(self.seeds)} seeds and "
                f"the variants {', '.join(self.variants)}",
                expected="at least one task and seed, contenders of different names, and known variants",
                remedy=f"the variants are {', '.join(VARIANTS)}",
            )


@dataclass(frozen=True)
class Measured:
    """What came out.

    Args:
        table: rows of all cells of the plan that could be measured, and of nothing else.
        missing: task to why its data are not here.
        failures: cells that failed, and tasks that were refused.
        left_out: (contender, task) to why the one cannot be asked the other.
    """

    table: ResultTable
    missing: Mapping[str, str]
    failures: Failures
    left_out: Mapping[tuple[str, str], str] = field(default_factory=dict)


def run(out: Path, plan: Plan | None = None, say: Say = lambda line: None) -> Measured:
    """Measure what ``out`` does not hold yet; after every cell the table is on disk.

    A task whose data are absent is left out and named; a task that is refused, or a cell that fails, is noted in
    ``failures.csv`` and the rest goes on.

    Args:
        out: folder for ``rows.parquet``, its CSV mirror and ``failures.csv``.
        plan: what to measure; the whole suite with five seeds by default.
        say: told one line a measured cell.
    """
    plan = plan or Plan()
    make_folder(out)
    missing: dict[str, str] = {}
    failures = Failures()
    wanted: list[dict[str, object]] = []
    for task in plan.tasks:
        try:
            root = root_of(task, plan.data)
        except MissingError as error:
            missing[task.name] = error.given
            continue
        try:
            cells = _cells(task, plan, _split_name(task, root, plan.frozen))
            wanted += cells
            _one_task(task, root, plan, out / ROWS, cells, failures, say)
        except InputError as error:
            failures.add(Failure.of(task.name, "load", error))
    failures.save(out / "failures.csv")
    left_out = {
        (each.name, task.name): each.frozen.left_out[task.name]
        for each in plan.contenders
        for task in plan.tasks
        if each.frozen is not None and not each.asked(task.name)
    }
    return Measured(_only(out / ROWS, wanted), missing, failures, left_out)


def score(task: Task, target: Target, answer: NDArray[np.generic], ids: Sequence[str]) -> dict[str, float]:
    """The scores of one prediction; the one that ranks comes first.

    Args:
        task: which.
        target: the hidden answers.
        answer: what a contender predicted.
        ids: names of the samples, for errors.

    Raises:
        ContractError: another shape or type.
        InputError: a prediction is NaN or outside of the classes.
    """
    if answer.shape != target.values.shape or (
        answer.dtype.kind not in "iu" if target.classes else answer.dtype.kind != "f"
    ):
        raise ContractError(
            f"The prediction for {task.name} has shape {answer.shape} and type {answer.dtype}",
            expected=f"{target.values.shape}, {'whole class numbers' if target.classes else 'floating point'}",
            remedy="see Model.predict",
        )
    if target.classes:
        matrix = ConfusionMatrix(target.names)
        matrix.update(target.values, answer.astype(np.int64), target.known)
        found = {"miou": matrix.miou(), "balanced_accuracy": matrix.balanced_accuracy(), "accuracy": matrix.accuracy()}
    else:
        errors = Regression()
        known = np.broadcast_to(target.known[:, None], target.values.shape)
        errors.update(target.values, answer.astype(np.float64), known, ids=list(ids))
        found = {"rmse": errors.rmse(), "r2": errors.r2()}
    return {task.metric: found.pop(task.metric), **found}


def _split_name(task: Task, root: Path, frozen: bool) -> str:
    """What tells two versions of a task apart, without reading the data."""
    return frozen_digests().get(task.name, {}).get("split", "none") if frozen else task.data_digest(root)[:12]


def _cells(task: Task, plan: Plan, split: str) -> list[dict[str, object]]:
    return [
        {
            "system": SYSTEM,
            "dataset": task.name,
            "dataset_hash": split,
            "protocol": variant,
            "backbone": each.name,
            "recipe_version": hashlib.sha256(f"{each.name}\t{each.options}".encode()).hexdigest()[:8],
            "seed": seed,
        }
        for seed in plan.seeds
        for variant in plan.variants
        for each in plan.contenders
        if each.asked(task.name)
    ]


def _one_task(
    task: Task, root: Path, plan: Plan, path: Path, cells: Iterable[dict[str, object]], failures: Failures, say: Say
) -> None:
    """Measure the cells of one task; its data are read once, and only where a cell is left."""
    done = ResultTable.load(path) if path.exists() else ResultTable()
    left = [cell for cell in cells if not done.done(**cell)]
    if not left:
        return
    samples = load(task, root, frozen=plan.frozen)
    contenders = {each.name: each for each in plan.contenders}
    kind: DataKind = "real" if plan.frozen else "fixture"
    kept = Features(plan.features or path.parent / "features", task.name, str(left[0]["dataset_hash"]), samples.inputs)

    def measure(cell: Mapping[str, object]) -> list[ResultRow]:
        began = time.perf_counter()
        contender = contenders[str(cell["backbone"])]
        seen = samples.inputs if contender.frozen is None else kept.of(contender.frozen)
        made = _measure(task, replace(samples, inputs=seen), contender, cell, kind)
        took = time.perf_counter() - began
        say(f"{_said(task, cell)}: {task.metric} {made[0].value:.3f} ({took:.1f} s)")
        return made

    for cell in left:
        try:
            sweep(path, [cell], measure)
        except Exception as error:  # whatever a contender does wrong, the other cells go on
            failures.add(Failure.of(_said(task, cell), "fit", error))


def _said(task: Task, cell: Mapping[str, object]) -> str:
    return f"{task.name}, {cell['protocol']}, seed {cell['seed']}, {cell['backbone']}"


def _measure(
    task: Task, samples: Samples, contender: Contender, cell: Mapping[str, object], kind: DataKind
) -> list[ResultRow]:
    """Fit and score one contender on one split; it gets training answers only."""
    seed, variant = int(str(cell["seed"])), str(cell["protocol"])
    split = task.split(samples, seed)
    places = {name: place for place, name in enumerate(samples.ids)}
    learned = task.few(samples, split, seed) if variant == FEW else split.ids("train")
    train, test = (np.array([places[name] for name in names], np.int64) for names in (learned, split.ids("test")))
    began = time.perf_counter()
    model = contender.make(seed).fit(samples.inputs.take(train), samples.target.take(train))
    answer = model.predict(samples.inputs.take(test))
    seconds = time.perf_counter() - began
    scores = score(task, samples.target.take(test), answer, [samples.ids[place] for place in test])
    return [
        ResultRow(
            run_id="bench",
            system=SYSTEM,
            dataset=task.name,
            dataset_hash=str(cell["dataset_hash"]),
            data_kind=kind,
            split="test",
            protocol=variant,
            bands=",".join(samples.inputs.bands.names) if len(samples.inputs.bands) < 30 else None,
            k_shot=task.per_kind if variant == FEW else None,
            backbone=contender.name,
            recipe_version=str(cell["recipe_version"]),
            seed=seed,
            n_train=len(train),
            n_test=len(test),
            metric=metric,
            value=value,
            higher_is_better=metric != "rmse",
            device="cpu",
            wall_s=seconds,
            code_version=__version__,
            note=contender.options,
        )
        for metric, value in scores.items()
    ]


def _only(path: Path, wanted: Sequence[Mapping[str, object]]) -> ResultTable:
    """The rows on disk that belong to the wanted cells; what was measured under other options stays out."""
    if not path.exists():
        return ResultTable()
    names = [name for name in KEY if wanted and name in wanted[0]]
    keys = {tuple(cell[name] for name in names) for cell in wanted}
    return ResultTable(row for row in ResultTable.load(path) if tuple(getattr(row, name) for name in names) in keys)
