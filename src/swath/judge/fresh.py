"""Seeds that no registration names: do the verdicts stand when the dice are thrown again?

Rows of fresh seeds are kept in ``claims/evidence/fresh/SLUG.parquet``, apart from the evidence that decides the claims:
a verdict of the ledger never rests on them, but where it would change with them, that is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.errors import ClaimError
from swath.judge.ledger import EVIDENCE, outcomes, read_evidence, stored_rows, verdict_text
from swath.judge.registration import load_registration
from swath.judge.table import ResultTable
from swath.judge.verdict import SEEDS_FOR_AN_INDICATION, decide_all
from swath.types import Outcome, ResultRow

FRESH = "fresh"


@dataclass(frozen=True)
class Standing:
    """How a claim stands after fresh seeds.

    Args:
        stored: what the ledger says.
        together: what registered and fresh seeds say together.
        alone: what the fresh seeds say by themselves; None where they are fewer than five.
    """

    stored: Outcome
    together: Outcome
    alone: Outcome | None

    @property
    def flips(self) -> bool:
        """Whether the verdict changes with the fresh seeds, or they contradict it by themselves."""
        others = [self.together, *([] if self.alone is None else [self.alone])]
        return any(each.verdict != self.stored.verdict for each in others)

    def text(self) -> str:
        """The verdicts in words."""
        parts = [verdict_text(self.stored), verdict_text(self.together)]
        if self.alone is not None:
            parts.append(f"fresh alone: {verdict_text(self.alone)}")
        return " -> ".join(parts[:2]) + ("; " + parts[2] if len(parts) > 2 else "")


def fresh_file(registration: Path | str) -> Path:
    """``claims/evidence/fresh/SLUG.parquet``."""
    path = Path(registration)
    return path.parent / EVIDENCE / FRESH / f"{path.stem}.parquet"


def read_fresh(registration: Path | str) -> tuple[ResultRow, ...]:
    """The rows of all fresh seeds; none when none was measured.

    Raises:
        InputError: the file is damaged, or holds a number twice.
    """
    path = fresh_file(registration)
    return ResultTable.load(path).rows if path.exists() else ()


def fresh_seeds(registration: Path | str) -> tuple[int, ...]:
    """The fresh seeds that were measured, ascending."""
    return tuple(sorted({row.seed for row in read_fresh(registration) if row.seed is not None}))


def check_fresh(registration: Path | str, seed: int) -> None:
    """Refuse a registered seed as a fresh one, before anything is measured.

    Raises:
        ClaimError: the seed is registered, so its place is in the evidence.
    """
    path = Path(registration)
    registered = sorted({each for claim in load_registration(path) for each in claim.seeds})
    if seed in registered:
        raise ClaimError(
            f"Seed {seed} of {path.stem} is registered and its evidence is missing",
            expected=f"a seed other than {', '.join(map(str, registered[:12]))}",
            remedy=f"measure it with: swath run {path.stem} --evidence",
        )


def keep_fresh(registration: Path | str, seed: int, rows: Sequence[ResultRow]) -> None:
    """Add the rows of a fresh seed to those that are kept.

    Raises:
        ClaimError: the rows are of another seed or system, or there are none.
        ContractError: a number is kept already.
    """
    path = Path(registration)
    strangers = [row for row in rows if row.seed != seed or row.system != path.stem]
    if not rows or strangers:
        raise ClaimError(
            f"Seed {seed} of {path.stem} gave {len(rows)} rows, {len(strangers)} of them of another seed or system",
            expected="rows that carry the seed and the system that were asked for",
            remedy="set both in the rows that run() returns",
        )
    ResultTable((*read_fresh(path), *rows)).save(fresh_file(path))


def standings(registration: Path | str) -> tuple[Standing, ...]:
    """How every claim of a registration stands after its fresh seeds; none without evidence or fresh seeds.

    Raises:
        InputError: registration, evidence or fresh rows cannot be read.
        ClaimError: rows were changed after they were written, or hold several values for one seed.
    """
    path = Path(registration)
    evidence, fresh = read_evidence(path), read_fresh(path)
    if evidence is None or not fresh:
        return ()
    claims = load_registration(path)
    seeds = fresh_seeds(path)
    longer = tuple(claim.model_copy(update={"seeds": (*claim.seeds, *seeds)}) for claim in claims)
    together = decide_all(longer, (*stored_rows(path, evidence), *fresh))
    alone: tuple[Outcome | None, ...] = (None,) * len(claims)
    if len(seeds) >= SEEDS_FOR_AN_INDICATION:
        alone = decide_all(tuple(claim.model_copy(update={"seeds": seeds}) for claim in claims), fresh)
    stored = outcomes(path)
    return tuple(Standing(*each) for each in zip(stored, together, alone, strict=True))


def standing_text(found: Sequence[Standing], seeds: Sequence[int]) -> str:
    """One sentence on all claims of a system; empty without fresh seeds."""
    if not found:
        return ""
    flips = [f"{each.stored.claim.name}: {each.text()}" for each in found if each.flips]
    number = f"{len(seeds)} fresh seed{'' if len(seeds) == 1 else 's'} ({', '.join(map(str, seeds))})"
    return f"With {number} " + (f"verdicts flip: {'; '.join(flips)}." if flips else "no verdict flips.")
