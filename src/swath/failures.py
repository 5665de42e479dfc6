"""Long jobs go on past bad items, and say at the end what failed, why, and how to try again."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from swath.errors import SwathError
from swath.files import write_whole

EXIT_WITH_FAILURES = 6
"""Exit status of a command that finished, but not for every item (errors: see ``swath.errors``)."""


@dataclass(frozen=True)
class Failure:
    """One item that could not be done.

    Args:
        item: what it is, such as a file, or ``rows 512 to 1023, columns 0 to 511 of scene.tif``.
        stage: what was being done: ``read``, ``cut``, ``predict``, ``write``, ...
        reason: the sentence of the error.
        retry: what to do.
    """

    item: str
    stage: str
    reason: str
    retry: str

    @classmethod
    def of(cls, item: str, stage: str, error: BaseException, retry: str = "") -> Failure:
        """The failure that an error stands for; swath's own errors bring their remedy along."""
        if isinstance(error, SwathError):
            return cls(item, stage, error.given, retry or error.remedy)
        said = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
        return cls(item, stage, reason[:400], retry or "run the same command again; finished items are not repeated")


def load_failures(path: Path) -> tuple[Failure, ...]:
    """The table that ``Failures.save`` wrote; empty where there is none."""
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [column.name for column in fields(Failure)]
    return tuple(Failure(*(row.get(name) or "" for name in names)) for row in rows)


@dataclass
class Failures:
    """The failure table of a job: what failed, in the order in which it did."""

    rows: list[Failure] = field(default_factory=list)

    def add(self, failure: Failure) -> None:
        """Note one failure."""
        self.rows.append(failure)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Failure]:
        return iter(self.rows)

    def save(self, path: Path) -> Path | None:
        """Write the table as CSV; without failures a table from an earlier run is removed. Returns what was written."""
        if not self.rows:
            path.unlink(missing_ok=True)
            return None

        def write(temporary: Path) -> None:
            with temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, [column.name for column in fields(Failure)])
                writer.writeheader()
                writer.writerows(asdict(row) for row in self.rows)

        return write_whole(path, write)
