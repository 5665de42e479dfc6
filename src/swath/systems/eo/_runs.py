"""How a run is told in its report: what repeats it, and what its scores are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import filelock

from swath import judge
from swath.files import make_folder
from swath.judge import ResultTable
from swath.types import Outcome, Report, ResultRow

DONE = "rows.parquet"
"""Rows of a seed that was measured."""


class Options(Protocol):
    """The options of a system, a pydantic model with a quick mode."""

    @classmethod
    def quick(cls) -> Self:
        """The options of a smoke of seconds."""
        ...

    def model_dump_json(self, *, exclude_defaults: bool = ...) -> str:
        """The options as JSON."""
        ...


class Hashed(Protocol):
    """Data that all seeds share."""

    @property
    def hash(self) -> str:
        """Their fingerprint."""
        ...


Anything = TypeVar("Anything")
Chosen = TypeVar("Chosen", bound=Options)
Data = TypeVar("Data", bound=Hashed)


@dataclass(frozen=True)
class Parts(Generic[Chosen, Data]):
    """What a system is made of, from options to a report.

    Args:
        slug: of the system.
        defaults: makes the options of the registered claims.
        prepare: options and folder of the run to the data that all seeds share.
        rows_of: options, data, folder of the seed and seed to every number of the seed.
        report_of: options, data, folder of the run, rows, timer and a note to the report.
    """

    slug: str
    defaults: Callable[[], Chosen]
    prepare: Callable[[Chosen, Path], Data]
    rows_of: Callable[[Chosen, Data, Path, int], list[ResultRow]]
    report_of: Callable[[Chosen, Data, Path, tuple[ResultRow, ...], judge.Timer, str], Report]


def one_seed(parts: Parts[Chosen, Data], config: Chosen, out: Path, seed: int) -> Report:
    """Measure one seed and write its report; finished parts in ``out`` are taken up again."""
    timer = judge.Timer()
    make_folder(out)
    data = parts.prepare(config, out)
    rows = parts.rows_of(config, data, out / f"seed_{seed}", seed)
    report = parts.report_of(config, data, out, tuple(rows), timer, f"Seed {seed}.")
    judge.write_report(report, out, command=command(parts.slug, config, seed))
    return report


def all_seeds(parts: Parts[Chosen, Data], out: Path) -> Report:
    """Measure all registered seeds, resumable per seed, write the evidence beside the registration, and the report.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
    """
    timer, config = judge.Timer(), parts.defaults()
    data, rows = measure_evidence(
        parts.slug,
        out,
        prepare=lambda: parts.prepare(config, out),
        hash_of=lambda data: data.hash,
        rows_of=lambda data, folder, seed: parts.rows_of(config, data, folder, seed),
    )
    note = f"Evidence over {len({row.seed for row in rows})} seeds."
    report = parts.report_of(config, data, out, rows, timer, note)
    judge.write_report(report, out, command=f"swath run {parts.slug} --evidence")
    return report


def claims_of(slug: str) -> tuple[Outcome, ...]:
    """What a system's registered claims came to so far; nothing outside of a checkout, which has the ledger."""
    folder = judge.ledger_folder()
    path = None if folder is None else folder / f"{slug}.toml"
    return () if path is None or not path.is_file() else judge.outcomes(path)


def is_quick(config: Options) -> bool:
    """Whether these are the options of the quick mode."""
    return config == type(config).quick()


def command(slug: str, config: Options, seed: int, *, verb: str | None = None) -> str:
    """What repeats a run: a command for the two modes that it knows, else lines of Python.

    Args:
        slug: the system.
        config: the options of the run.
        seed: its seed.
        verb: the command that runs the system; ``swath run SLUG`` by default.
    """
    verb = verb or f"swath run {slug}"
    if is_quick(config):
        return f"{verb} --quick --seed {seed}"
    if config == type(config)():
        return f"{verb} --seed {seed}"
    changed = config.model_dump_json(exclude_defaults=True)
    return (
        f"from pathlib import Path\nfrom {type(config).__module__} import Config, run\n\n"
        f"run(Config.model_validate_json({changed!r}), Path('again'), seed={seed})"
    )


def quick_note(config: Options) -> tuple[str, ...]:
    """The note that a quick run begins with; nothing for a full one."""
    return ("This is a quick run: its scores mean nothing.",) if is_quick(config) else ()


def _measure_seed(measure: Callable[[Path, int], list[ResultRow]], folder: Path, seed: int, patient: bool) -> None:
    """Write the rows of one seed, unless they lie there, or another process is at it and we are not patient."""
    make_folder(folder)
    lock = filelock.FileLock(folder / "lock")
    try:
        lock.acquire(timeout=-1 if patient else 0)
    except filelock.Timeout:
        return
    try:
        if not (folder / DONE).exists():
            ResultTable(measure(folder, seed)).save(folder / DONE)
    finally:
        lock.release()


def measure_evidence(
    slug: str,
    out: Path,
    *,
    prepare: Callable[[], Anything],
    hash_of: Callable[[Anything], str],
    rows_of: Callable[[Anything, Path, int], list[ResultRow]],
) -> tuple[Anything, tuple[ResultRow, ...]]:
    """Measure all registered seeds of a system, resumable per seed, and write the evidence beside the registration.

    Several processes with the same ``out`` share the seeds: each begins one that no other is at, and the evidence is
    written when all are done.

    Args:
        slug: the system.
        out: folder of the run; finished seeds in it are taken up again.
        prepare: finds the data that all seeds share.
        hash_of: fingerprint of these data.
        rows_of: every number of one seed, from the data, the folder of the seed and the seed.

    Returns:
        The data, and the rows of all seeds.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
    """
    registration = judge.require_ledger() / f"{slug}.toml"
    claims = judge.load_registration(registration)
    started_at = judge.require_committed(registration)
    make_folder(out)
    data = prepare()
    judge.same_conditions(registration, out, data_hash=hash_of(data))
    seeds = claims[0].seeds
    for patient in (False, True):
        for seed in seeds:
            _measure_seed(partial(rows_of, data), out / f"seed_{seed}", seed, patient)
    rows = [row for seed in seeds for row in ResultTable.load(out / f"seed_{seed}" / DONE).rows]
    judge.write_evidence(registration, rows, data_hash=hash_of(data), started_at=started_at)
    return data, tuple(rows)
