"""The protocol: one predictor, clean and under every corruption and severity, as result rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from swath.errors import ConfigError, InputError
from swath.judge.corruptions.apply import corrupt
from swath.judge.corruptions.look import affected
from swath.judge.corruptions.scale import Scale
from swath.judge.corruptions.severities import GEOMETRIC, SEVERITY_SET, check_severity, chosen
from swath.judge.score import score
from swath.judge.table import ResultTable
from swath.metrics.corruption import SEVERITIES, CorruptionScores
from swath.types import Batch, Predictor, ResultRow
from swath.types.task import Task

Scorer = Callable[[Predictor, Iterable[Batch], ResultRow], Sequence[ResultRow]]
"""Scores a predictor on batches and copies the descriptive columns of a row to every row, as ``score`` does."""
SUMMARY = ("m", "drop", "rel_drop", "worst", "mce")


@dataclass(frozen=True, eq=False)
class Sweep:
    """How a sweep is measured.

    Args:
        facts: a row whose descriptive columns are copied to every row.
        target: name of the target that is scored.
        tasks: task of each target where it cannot be told from integer labels.
        scales: scale per modality, such as that of the training split.
        announced: whether gaps are marked invalid.
        scorer: how to score; by default labels, with ``judge.score``.
        path: table on disk, saved after every cell; finished cells in it are not measured again.
    """

    facts: ResultRow = field(default_factory=lambda: ResultRow("sweep", "evaluate"))
    target: str = "label"
    tasks: Mapping[str, Task] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
    announced: bool = False
    scorer: Scorer | None = None
    path: Path | None = None


def sweep(
    predictor: Predictor,
    loader: Iterable[Batch],
    names: Sequence[str] | str | None,
    severities: Sequence[int],
    seed: int,
    options: Sweep | None = None,
) -> list[ResultRow]:
    """Scores of the clean data and of every corruption and severity, in this order.

    Rows of a cell carry ``corruption``, ``severity`` and ``severity_set``; those of the clean data carry none of them.
    The seed is part of ``protocol``. With ``names`` None or ``all``, weather is left out for radar alone.

    Args:
        predictor: what is judged.
        loader: batches, the same ones every time it is iterated; a generator that runs once will not do.
        names: corruptions, or None for all.
        severities: some of 1 to 5.
        seed: seed of the corruptions.
        options: facts, target, scales, scorer and table.

    Raises:
        ConfigError: unknown names, severities outside 1 to 5, or a target that a geometric corruption cannot move.
        InputError: no batches, a loader that runs once, a corruption that does not fit the inputs, or a table of
            another severity set or configuration.
    """
    how = options or Sweep()
    steps = sorted({check_severity(severity) for severity in severities})
    if not steps:
        raise ConfigError("No severity was given", expected="some of 1 to 5", remedy="for example 1, 3, 5")
    wanted = _fitting(names, loader)
    base = replace(how.facts, protocol=f"corruptions, seed {seed}{', announced gaps' if how.announced else ''}")
    table = ResultTable.load(how.path) if how.path is not None and _saved(how.path) else ResultTable()
    found: list[ResultRow] = []
    cells: list[tuple[str | None, int | None]] = [(None, None), *((name, step) for name in wanted for step in steps)]
    for name, step in cells:
        facts = replace(base, corruption=name, severity=step, severity_set=SEVERITY_SET if name else None)
        rows = _finished(table, facts)
        if not rows:
            batches = loader if name is None or step is None else corrupted(loader, name, step, seed, how)
            rows = tuple((how.scorer or _labels(how.target))(predictor, batches, facts))
            table.extend(rows)
            if how.path is not None:
                table.save(how.path)
        found.extend(rows)
    return found


def corrupted(loader: Iterable[Batch], name: str, severity: int, seed: int, options: Sweep) -> Iterator[Batch]:
    """The batches of a loader under one corruption."""
    for batch in loader:
        yield corrupt(
            batch, name, severity, seed,
            tasks=options.tasks, scales=options.scales, announced=options.announced,
        )  # fmt: skip


def scores_of(rows: Iterable[ResultRow], metric: str) -> CorruptionScores:
    """One overall metric of a sweep, clean and by corruption and severity.

    Raises:
        InputError: no clean value, no corrupted one, or one cell twice (several seeds or contenders).
    """
    clean: list[ResultRow] = []
    cells: dict[tuple[str, int], float] = {}
    better = True
    for row in rows:
        if row.metric != metric or row.class_name is not None or row.variant in SUMMARY:
            continue
        better = row.higher_is_better is not False
        if row.corruption is None or row.severity is None:
            clean.append(row)
        elif (row.corruption, row.severity) in cells:
            raise _mixed(metric)
        else:
            cells[row.corruption, row.severity] = row.value
    if len(clean) > 1:
        raise _mixed(metric)
    if not clean or not cells:
        raise InputError(
            f"The rows hold {len(clean)} clean and {len(cells)} corrupted values of '{metric}'",
            expected="one clean value, and one per corruption and severity",
            remedy="pass the rows that sweep returns, and a metric among them",
        )
    return CorruptionScores(clean[0].value, cells, better)


def summary(rows: Sequence[ResultRow], metric: str, reference: Sequence[ResultRow] | None = None) -> list[ResultRow]:
    """``m``, ``drop``, ``rel_drop`` per corruption and over all, ``worst``, and ``mce`` against a reference sweep.

    The summary is the column ``metric``, the metric behind it the column ``variant``; definitions are those of
    ``metrics.CorruptionScores``.

    Raises:
        InputError: the rows are no sweep (see ``scores_of``), or the reference swept something else.
    """
    scores = scores_of(rows, metric)
    first = next(row for row in rows if row.corruption is not None and row.metric == metric)
    note = f"mean over severities {', '.join(map(str, scores.severities(scores.corruptions[0])))}"
    base = replace(first, severity=None, class_name=None, variant=metric, ci_low=None, ci_high=None, note=note)
    found = []
    parts: list[tuple[str | None, Mapping[str, object]]] = [*scores.by_corruption().items()]
    overall = scores.compute(None if reference is None else scores_of(reference, metric))
    for name, outcomes in [*parts, (None, overall)]:
        for key, outcome in outcomes.items():
            better = scores.higher_is_better if key in ("m", "worst") else False
            value, reason = outcome.value, outcome.reason  # type: ignore[attr-defined]
            about = f"{note}; {reason}" if reason else note
            found.append(replace(base, corruption=name, metric=key, value=value, higher_is_better=better, note=about))
    return found


def _labels(target: str) -> Scorer:
    def scored(predictor: Predictor, batches: Iterable[Batch], facts: ResultRow) -> Sequence[ResultRow]:
        return score(predictor, batches, facts=facts, target=target).rows

    return scored


def _fitting(names: Sequence[str] | str | None, loader: Iterable[Batch]) -> tuple[str, ...]:
    """The corruptions that are measured; the first batch tells what makes sense for its inputs."""
    wanted = chosen(names)
    if iter(loader) is loader:
        raise InputError(
            "The batches can be read only once",
            expected="a loader that starts again for every corruption",
            remedy="pass a ChipLoader or a list",
        )
    first = next(iter(loader), None)
    if first is None:
        raise InputError("There are no batches to score", expected="at least one sample", remedy="check the split")
    everything = wanted == chosen(None) and (names is None or isinstance(names, str) or list(names) == ["all"])
    kept = []
    for name in wanted:
        try:
            if name not in GEOMETRIC:
                affected(first, name)
        except InputError:
            if not everything:
                raise
            continue
        kept.append(name)
    return tuple(kept)


def _saved(path: Path) -> bool:
    return path.with_suffix(".parquet").exists()


def _finished(table: ResultTable, facts: ResultRow) -> tuple[ResultRow, ...]:
    """Rows of a cell that was measured before, under the same conditions."""
    columns = (
        "run_id", "system", "dataset", "dataset_hash", "split", "protocol", "fold", "group", "corruption", "severity",
        "backbone", "seed",
    )  # fmt: skip
    rows = table.select(**{name: getattr(facts, name) for name in columns})
    for row in rows:
        differing = [name for name in ("severity_set", "config_hash") if getattr(row, name) != getattr(facts, name)]
        if differing:
            raise InputError(
                f"The table holds this cell with another {differing[0]} ({getattr(row, differing[0])})",
                expected=f"{getattr(facts, differing[0])}",
                remedy="write to another table",
            )
    return rows


def _mixed(metric: str) -> InputError:
    return InputError(
        f"The rows hold several values of '{metric}' for one cell",
        expected="one sweep of one contender and seed",
        remedy="select one seed and contender first",
    )


__all__ = ["SEVERITIES", "SUMMARY", "Scorer", "Sweep", "corrupted", "scores_of", "summary", "sweep"]
