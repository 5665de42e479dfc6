"""Measuring one seed again: does the code of today give the numbers that the ledger holds?

A stored seed is compared value by value. A fresh seed has nothing to be compared with: its rows are kept apart (see
``swath.judge.fresh``), and the verdicts with and without it are compared. Every rerun leaves one line in
``claims/evidence/SLUG.reruns.csv``, also one that differs.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from swath.errors import ClaimError, ConfigError, InputError, nearest
from swath.files import make_folder, write_text
from swath.judge import history
from swath.judge.fresh import Standing, check_fresh, keep_fresh, read_fresh, standings
from swath.judge.ledger import EVIDENCE, read_evidence, stored_rows
from swath.judge.table import ResultTable, contender
from swath.reading import reading
from swath.types import Report, ResultRow
from swath.types.result import KEY

Measure = Callable[[Path, int], Report | Iterable[ResultRow]]
"""Measures one seed in a folder: ``run(config, out, seed)`` of a system, its options chosen."""

IDENTITY = tuple(name for name in KEY if name not in ("run_id", "dataset_hash"))
"""What makes two numbers the same number in two runs; a changed hash of the data is told, not hidden."""
_BOOLEANS = {"True": True, "False": False}


@dataclass(frozen=True)
class Difference:
    """One stored number beside the one measured again; None where only one of them exists.

    Args:
        contender: who was measured.
        metric: metric, with ``:class`` where it is of one class.
        place: data set, and group where there is one.
        value: as measured again.
        stored: as the ledger has it.
        agrees: whether both are undefined, or differ by no more than the tolerance.
    """

    contender: str
    metric: str
    place: str
    value: float | None
    stored: float | None
    agrees: bool

    @property
    def difference(self) -> float | None:
        """Value - stored; None where one is absent, NaN where one is undefined."""
        return None if self.value is None or self.stored is None else self.value - self.stored


@dataclass(frozen=True)
class RerunRecord:
    """One line of ``SLUG.reruns.csv``.

    Args:
        date: ISO date.
        seed: which seed was measured again.
        values: numbers compared.
        differing: those that differ by more than the tolerance, or exist on one side only.
        largest_difference: largest absolute difference; 0 with none to compare.
        tolerance: as stored with the evidence.
        code_commit: what was checked out; empty outside a repository.
        same_data: whether the hashes of the data in both sets of rows agree.
        fresh: whether the seed was a fresh one, so that there was nothing to compare its values with.
        flips: claims whose verdict changes with all fresh seeds so far.
    """

    date: str
    seed: int
    values: int
    differing: int
    largest_difference: float
    tolerance: float
    code_commit: str
    same_data: bool
    fresh: bool = False
    flips: int = 0


@dataclass(frozen=True)
class Rerun:
    """What a rerun found.

    Args:
        record: the line that was written.
        differences: one per number, in the order of the ledger, numbers that it does not hold last; none for a seed
            that was measured for the first time.
        standings: how the claims stand with all fresh seeds so far; none where there are no such seeds.
    """

    record: RerunRecord
    differences: tuple[Difference, ...]
    standings: tuple[Standing, ...] = ()


def registration_of(folder: Path | str, slug: str) -> Path:
    """The registration of a system.

    Raises:
        ConfigError: none is registered under this slug; the nearest are told.
    """
    path = Path(folder) / f"{slug}.toml"
    known = sorted(each.stem for each in Path(folder).glob("*.toml"))
    if slug not in known:
        raise ConfigError(
            f"There is no registration of '{slug}' in {folder}",
            expected=f"one of {', '.join(known) or 'nothing: no system is registered'}",
            remedy=f"the nearest is: {nearest(slug, known)}" if known else "register a claim first",
        )
    return path


def rerun(registration: Path | str, seed: int, measure: Measure, out: Path | str | None = None) -> Rerun:
    """Measure one seed, compare it with what the ledger holds, and note the date.

    A seed of the evidence, or a fresh one that was measured before, is compared value by value. Any other seed is a
    fresh one: its rows are kept beside the evidence, and the verdicts with and without the fresh seeds are compared.

    Args:
        registration: ``claims/SLUG.toml``.
        seed: any seed that is not registered but missing.
        measure: measures one seed in a folder.
        out: an empty or new folder for the run; a temporary one by default, removed afterwards.

    Raises:
        ClaimError: nothing was measured yet, the seed is registered but missing, or the stored rows were changed.
        InputError: ``out`` holds something: what is finished there would be read instead of measured.
    """
    path = Path(registration)
    evidence = read_evidence(path)
    if evidence is None:
        raise ClaimError(
            f"There is no evidence of {path.stem} to compare with",
            expected=f"{EVIDENCE}/{path.stem}.parquet beside the registration",
            remedy=f"run: swath run {path.stem} --evidence",
        )
    stored = ResultTable((*stored_rows(path, evidence), *read_fresh(path)))
    kept = stored.select(seed=seed)
    if not kept:
        check_fresh(path, seed)
    rows = tuple(_measured(measure, seed, out))
    differences = compare(kept, rows, tolerance=evidence.tolerance) if kept else ()
    if not kept:
        keep_fresh(path, seed, rows)
    found = standings(path)
    sizes = [abs(each.difference) for each in differences if each.difference is not None]
    hashes = [{row.dataset_hash for row in each} for each in (kept or stored, rows)]
    record = RerunRecord(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        seed=seed,
        values=len(differences) if kept else len(rows),
        differing=sum(not each.agrees for each in differences),
        largest_difference=max((size for size in sizes if math.isfinite(size)), default=0.0),
        tolerance=evidence.tolerance,
        code_commit=history.head(path.resolve().parent) or "",
        same_data=hashes[0] == hashes[1],
        fresh=not kept,
        flips=sum(each.flips for each in found),
    )
    _append(reruns_file(path), (*read_reruns(path), record))
    return Rerun(record, differences, found)


def compare(stored: Sequence[ResultRow], fresh: Sequence[ResultRow], *, tolerance: float) -> tuple[Difference, ...]:
    """Every number of both sets of rows, matched by what describes it (all key columns but run and hash of the data).

    Raises:
        ContractError: a number comes twice in one of the sets.
    """
    old, new = ({_identity(row): row for row in ResultTable(rows)} for rows in (stored, fresh))
    return tuple(_difference(old.get(key), new.get(key), tolerance) for key in dict.fromkeys((*old, *new)))


def reruns_file(registration: Path | str) -> Path:
    """``claims/evidence/SLUG.reruns.csv``."""
    path = Path(registration)
    return path.parent / EVIDENCE / f"{path.stem}.reruns.csv"


def read_reruns(registration: Path | str) -> tuple[RerunRecord, ...]:
    """The reruns of a system, oldest first; none when the file is absent.

    Raises:
        InputError: the file is damaged.
    """
    path = reruns_file(registration)
    if not path.exists():
        return ()
    expected, remedy = f"the columns {', '.join(_columns())}", "restore the file from the history"
    with reading(path, expected=expected, remedy=remedy):
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    try:
        return tuple(_record(line) for line in lines)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The reruns {path} cannot be read ({error})", expected=expected, remedy=remedy) from error


def _measured(measure: Measure, seed: int, out: Path | str | None) -> Iterable[ResultRow]:
    if out is None:
        with tempfile.TemporaryDirectory(prefix="swath-rerun-") as folder:
            return _rows(measure(Path(folder), seed))
    folder_given = make_folder(out)
    if any(folder_given.iterdir()):
        raise InputError(
            f"The folder {out} is not empty",
            expected="a new folder, because finished parts of a run are read instead of measured",
            remedy="choose another --out, or leave it out",
        )
    return _rows(measure(folder_given, seed))


def _rows(measured: Report | Iterable[ResultRow]) -> tuple[ResultRow, ...]:
    return tuple(measured.rows if isinstance(measured, Report) else measured)


def _identity(row: ResultRow) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in IDENTITY)


def _difference(old: ResultRow | None, new: ResultRow | None, tolerance: float) -> Difference:
    row = old or new
    assert row is not None  # the key came from one of them
    value, stored = (None if each is None else float(each.value) for each in (new, old))
    agrees = value is not None and stored is not None
    if value is not None and stored is not None:
        both_undefined = math.isnan(value) and math.isnan(stored)
        agrees = both_undefined or value == stored or abs(value - stored) <= tolerance
    metric = row.metric + (f":{row.class_name}" if row.class_name else "")
    place = ", ".join(str(part) for part in (row.dataset, row.group, row.corruption, row.severity) if part is not None)
    return Difference(contender(row), metric, place, value, stored, agrees)


def _columns() -> tuple[str, ...]:
    return tuple(each.name for each in fields(RerunRecord))


def _record(line: dict[str, str]) -> RerunRecord:
    return RerunRecord(
        date=datetime.date.fromisoformat(line["date"]).isoformat(),
        seed=int(line["seed"]),
        values=int(line["values"]),
        differing=int(line["differing"]),
        largest_difference=float(line["largest_difference"]),
        tolerance=float(line["tolerance"]),
        code_commit=line["code_commit"],
        same_data=_BOOLEANS[line["same_data"]],
        # Lines of files from before there were fresh seeds end here.
        fresh=_BOOLEANS[line.get("fresh") or "False"],
        flips=int(line.get("flips") or 0),
    )


def _append(path: Path, records: Sequence[RerunRecord]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    write_text(path, text.getvalue())
