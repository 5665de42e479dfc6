"""What every run leaves behind: ``report.json`` for programs and ``report.html`` for people."""

from __future__ import annotations

import os
from pathlib import Path

from swath.errors import InputError
from swath.files import write_json, write_text
from swath.judge.ledger import as_dict
from swath.judge.page import render
from swath.judge.resources import environment
from swath.judge.table import ResultTable
from swath.types import Report


def write_report(report: Report, out: Path | str, *, command: str | None = None) -> tuple[Path, Path]:
    """Write ``report.json`` and ``report.html`` into the folder ``out``.

    The page is one file: pictures are inside, nothing is fetched. Both files appear whole or not at all.

    Args:
        report: what was measured.
        out: folder, made when absent.
        command: the command that repeats the run; ``swath run SYSTEM`` by default.

    Raises:
        ContractError: a number appears twice in the rows, or a row fails its check.
        InputError: a picture is missing.
    """
    folder = Path(out)
    table = ResultTable(report.rows)
    for picture in report.pictures:
        if not picture.path.is_file():
            raise InputError(
                f"There is no picture {picture.path} (caption: {picture.caption})",
                expected="a file for every picture of the report",
                remedy="draw the pictures before writing the report",
            )
    facts = environment()
    repeat = command or f"swath run {report.system}"
    content = {
        "system": report.system,
        "title": report.title,
        "data": report.data,
        "claims": [{**as_dict(report.system, outcome), "note": outcome.note} for outcome in report.claims],
        "rows": [row.as_dict() for row in table],
        "wall_s": report.wall_s,
        "peak_rss_mb": report.peak_rss_mb,
        "files": {name: _relative(path, folder) for name, path in report.files.items()},
        "pictures": [{"path": _relative(p.path, folder), "caption": p.caption} for p in report.pictures],
        "notes": list(report.notes),
        "command": repeat,
        "environment": facts,
    }
    page = render(report, command=repeat, environment=facts, files=content["files"])  # type: ignore[arg-type]
    return write_json(folder / "report.json", content), write_text(folder / "report.html", page)


def _relative(path: Path, folder: Path) -> str:
    """The path as seen from the folder of the report, so that the folder can be moved as a whole."""
    if not path.is_absolute() and not folder.is_absolute():
        return Path(os.path.relpath(path, folder)).as_posix()
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
