"""What ``swath claims --rerun SLUG`` prints: values beside the stored ones, or verdicts with a fresh seed."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swath.judge import Rerun

_COLUMNS = ("contender", "metric", "place", "value", "stored", "difference", "agrees")


def measure_again(slug: str, seed: int, folder: Path | None, out: Path | None, json: bool) -> None:
    """Measure one seed of a system, print what it says beside the ledger, and leave with an honest code.

    Raises:
        ClaimError: values differ from the stored ones, or there is nothing to compare with.
    """
    from swath import judge, systems
    from swath.cli import show
    from swath.errors import ClaimError

    registration = judge.registration_of(judge.registrations_in(folder), slug)
    module = systems.load(slug)
    found = judge.rerun(registration, seed, lambda place, number: module.run(module.Config(), place, number), out)
    record = found.record
    if json:
        show.as_json(_as_dict(found))
    else:
        _show(slug, found)
    if record.differing:
        raise ClaimError(
            f"{record.differing} of {record.values} values of {slug}, seed {seed}, differ from the evidence",
            expected=f"differences of at most {record.tolerance:g}",
            remedy="find out what changed (code, data, versions); measure again and amend only with a reason",
        )


def _as_dict(found: Rerun) -> dict[str, object]:
    from swath.judge import verdict_text

    rows = [{name: _finite(getattr(each, name)) for name in _COLUMNS} for each in found.differences]
    verdicts = [
        {
            "name": each.stored.claim.name,
            "stored": verdict_text(each.stored),
            "with_fresh_seeds": verdict_text(each.together),
            "fresh_seeds_alone": None if each.alone is None else verdict_text(each.alone),
            "flips": each.flips,
        }
        for each in found.standings
    ]
    return {**dataclasses.asdict(found.record), "rows": rows, "verdicts": verdicts}


def _show(slug: str, found: Rerun) -> None:
    from swath.cli import show

    record = found.record
    data = "" if record.same_data else "; the data have another hash than those of the evidence"
    if record.fresh:
        show.say(f"{slug}, fresh seed {record.seed}: {record.values} values kept apart from the evidence{data}")
    else:
        rows = [[_finite(getattr(each, name)) for name in _COLUMNS] for each in found.differences]
        shown = [[f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows]
        show.table(f"{slug}, seed {record.seed}", _COLUMNS, shown)
        show.say(
            f"{record.values - record.differing} of {record.values} values within {record.tolerance:g}, "
            f"largest difference {record.largest_difference:.3g}{data}"
        )
    _show_verdicts(found)


def _show_verdicts(found: Rerun) -> None:
    """One line a claim, and how many verdicts flip; nothing where there are no fresh seeds."""
    from swath.cli import show
    from swath.judge import measured_text, verdict_text

    if not found.standings:
        return
    rows = []
    for each in found.standings:
        alone = "-" if each.alone is None else f"{verdict_text(each.alone)}\n{measured_text(each.alone)}"
        stored, together = (f"{verdict_text(one)}\n{measured_text(one)}" for one in (each.stored, each.together))
        rows.append((each.stored.claim.name, stored, together, alone, "flips" if each.flips else "stands"))
    show.table("verdicts", ("claim", "registered seeds", "with fresh seeds", "fresh seeds alone", ""), rows)
    flips = sum(each.flips for each in found.standings)
    show.say(f"{flips} of {len(rows)} verdicts flip")


def _finite(cell: object) -> object:
    """None in place of NaN, which JSON does not have."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
