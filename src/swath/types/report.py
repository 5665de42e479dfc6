"""The report that every run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from swath.types.claim import Outcome
from swath.types.result import DataKind, ResultRow


@dataclass(frozen=True)
class Picture:
    """A picture of the report: file beside it, caption, and the command or data it came from."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Report:
    """What a run measured. Written as ``report.json`` and ``report.html``.

    Args:
        system: slug of the system.
        data: whether the data were real or simulated.
        rows: every number of the run.
        claims: decided or undecided claims.
        wall_s: seconds from start to end.
        peak_rss_mb: peak resident memory in MiB.
        pictures: figures to show.
        files: products to keep, by name.
    """

    system: str
    title: str
    data: DataKind
    rows: tuple[ResultRow, ...] = ()
    claims: tuple[Outcome, ...] = ()
    wall_s: float = 0.0
    peak_rss_mb: float = 0.0
    pictures: tuple[Picture, ...] = ()
    files: dict[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
