"""The claims ledger: evidence beside its registration, and what it says.

``claims/SLUG.toml`` is the registration, ``claims/evidence/SLUG.parquet`` the rows of all seeds, and
``claims/evidence/SLUG.json`` which registration and code they were measured under.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from swath.errors import ClaimError, InputError, MissingError, SwathError
from swath.files import sha256, write_text
from swath.judge import history
from swath.judge.conditions import require_ledger
from swath.judge.registration import load_registration, registration_commit, require_committed
from swath.judge.table import ResultTable, contender
from swath.judge.verdict import decide_all
from swath.reading import read_json, reading
from swath.types import Claim, DataKind, Outcome, ResultRow

EVIDENCE = "evidence"


class Evidence(BaseModel):
    """What evidence was measured under (``claims/evidence/SLUG.json``).

    Args:
        system: slug of the system.
        registration_sha256: of the bytes of the registration.
        registration_commit: the commit that registered them.
        code_commit: the commit that was checked out when the evidence was written.
        code_clean: whether the working tree was as in that commit, apart from the evidence itself.
        data_hash: fingerprint of the data.
        tolerance: largest difference of a value that a rerun may show.
        date: day of writing, UTC.
        rows_sha256: of the parquet file with the rows.
        amended: whether the registration was changed after earlier evidence under another text had been written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    registration_sha256: str
    registration_commit: str
    code_commit: str
    code_clean: bool
    data_hash: str | None
    tolerance: float
    date: datetime.date
    rows_sha256: str
    amended: bool = False


def write_evidence(
    registration: Path | str,
    rows: Iterable[ResultRow],
    *,
    data_hash: str | None,
    tolerance: float = 1e-6,
    started_at: str | None = None,
) -> Evidence:
    """Store the rows of all seeds as evidence for the claims of one system.

    Evidence written before under another text of the registration makes the new one ``amended``, for good.

    Args:
        registration: ``claims/SLUG.toml``.
        rows: the rows of all contenders and seeds.
        data_hash: fingerprint of the data that were used.
        tolerance: largest difference of a value that a rerun may show.
        started_at: what ``registration_commit`` gave when the measurement started; with it, a registration that
            was changed while measuring is refused.

    Raises:
        ClaimError: the registration is not committed, its commit is not an ancestor of HEAD, it was changed while
            measuring, or the rows are empty, of another system or of other data than registered.
    """
    path = Path(registration)
    claims = load_registration(path)
    commit = require_committed(path)
    folder = path.resolve().parent
    current = history.head(folder) or ""
    if started_at is not None and not (history.is_ancestor(folder, started_at, current) and started_at == commit):
        raise ClaimError(
            f"The registration {path.name} was at commit {started_at[:12]} when measuring started and is now at "
            f"{commit[:12]}",
            expected="one registration from start to end, in the history of HEAD",
            remedy="measure again under the registration as it stands",
        )
    table = ResultTable(rows)
    _check_rows(path, claims, table, data_hash)
    before = read_evidence(path)
    digest = sha256(path)
    amended = before is not None and (before.amended or before.registration_sha256 != digest)
    target = path.parent / EVIDENCE / f"{path.stem}.parquet"
    code_clean = _code_is_clean(folder)
    table.save(target)
    evidence = Evidence(
        system=path.stem,
        registration_sha256=digest,
        registration_commit=commit,
        code_commit=current,
        code_clean=code_clean,
        data_hash=data_hash,
        tolerance=tolerance,
        date=datetime.datetime.now(datetime.UTC).date(),
        rows_sha256=sha256(target),
        amended=amended,
    )
    write_text(target.with_suffix(".json"), evidence.model_dump_json(indent=2) + "\n")
    return evidence


def read_evidence(registration: Path | str) -> Evidence | None:
    """The facts of the evidence of a registration; None when nothing was measured.

    Raises:
        InputError: the file is damaged.
    """
    path = Path(registration)
    facts = path.parent / EVIDENCE / f"{path.stem}.json"
    if not facts.exists():
        return None
    expected = "the file that write_evidence wrote"
    content = read_json(facts, expected=expected, remedy="measure again with: swath run SYSTEM --evidence")
    try:
        return Evidence.model_validate(content)
    except ValidationError as error:
        raise InputError(
            f"The evidence {facts} cannot be read ({type(error).__name__})",
            expected=expected,
            remedy="measure again with: swath run SYSTEM --evidence",
        ) from error


def outcomes(registration: Path | str) -> tuple[Outcome, ...]:
    """What the stored evidence says about every claim of a registration.

    ``registered`` is the commit under which the evidence was measured, marked ``(amended)`` when the registration was
    changed after evidence existed.

    Raises:
        InputError: registration or evidence cannot be read.
        ClaimError: the rows were changed after they were written, or hold several values for one seed.
    """
    path = Path(registration)
    claims = load_registration(path)
    evidence = read_evidence(path)
    if evidence is None:
        return decide_all(claims, (), registered=registration_commit(path))
    amended = evidence.amended or evidence.registration_sha256 != sha256(path)
    registered = evidence.registration_commit + (" (amended)" if amended else "")
    rows = stored_rows(path, evidence)
    where = path.parent / EVIDENCE / f"{path.stem}.parquet"
    with reading(where, expected="values, seeds and groups of the right types", remedy="measure again"):
        return decide_all(claims, rows, registered=registered)


def stored_rows(registration: Path | str, evidence: Evidence) -> tuple[ResultRow, ...]:
    """The rows of the evidence, which must be those that were written.

    Raises:
        ClaimError: the rows are missing or were changed.
    """
    path = Path(registration)
    rows = path.parent / EVIDENCE / f"{path.stem}.parquet"
    if not rows.exists() or sha256(rows) != evidence.rows_sha256:
        raise ClaimError(
            f"The rows {rows} are missing or not those that were written",
            expected=f"a file with the SHA-256 {evidence.rows_sha256[:12]}...",
            remedy="restore the file, or measure again",
        )
    return ResultTable.load(rows).rows


def claims_table(directory: Path | str | None = None) -> list[dict[str, Any]]:
    """All claims of ``claims/`` with what was measured, one dict each, as ``swath claims --json`` prints them.

    Args:
        directory: folder of the registrations; that of ``ledger_folder`` by default.

    Raises:
        InputError: there is no such directory, or a file in it cannot be read.
        MissingError: no directory was named and there is no ledger here.
    """
    folder = registrations_in(directory)
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.toml")):
        rows.extend(as_dict(path.stem, outcome) for outcome in outcomes(path))
    return rows


def registrations_in(directory: Path | str | None) -> Path:
    """The folder of the registrations; that of ``ledger_folder`` where none is named.

    Raises:
        InputError: there is no such directory.
        MissingError: no directory was named and there is no ledger here.
    """
    folder = require_ledger() if directory is None else Path(directory)
    if not folder.is_dir():
        raise InputError(
            f"There is no directory {folder}", expected="the folder of the registrations", remedy="check the path"
        )
    return folder


def as_dict(system: str, outcome: Outcome) -> dict[str, Any]:
    """One row of the claims table."""
    claim = outcome.claim
    return {
        "system": system,
        "name": claim.name,
        "primary": claim.primary,
        "statement": claim.statement,
        "published": claim.published,
        "measured": outcome.measured,
        "low": outcome.low,
        "high": outcome.high,
        "margin": claim.margin,
        "seeds": outcome.seeds,
        "verdict": verdict_text(outcome),
        "scope": claim.scope,
        "data": claim.data,
        "registered": outcome.registered,
    }


def verdict_text(outcome: Outcome) -> str:
    """The verdict, with ``(indicative)`` when it rests on few seeds."""
    return outcome.verdict + (" (indicative)" if outcome.indicative else "")


def check_repository(directory: Path | str) -> list[str]:
    """Problems of the ledger, one sentence each: every piece of evidence needs an older registration in the history.

    Raises:
        MissingError: there is evidence, but no history to check it against (no git, or a shallow clone).
    """
    folder = Path(directory).resolve()
    problems = []
    for path in sorted(folder.glob("*.toml")):
        try:
            load_registration(path)
        except SwathError as error:
            problems.append(str(error))
    facts = sorted((folder / EVIDENCE).glob("*.json"))
    reason = history.history_problem(folder) if facts else None
    if reason:
        raise MissingError(
            f"The ledger cannot be checked: {reason}",
            expected="a full git clone",
            remedy="run: git fetch --unshallow",
        )
    rows = {path.stem for path in (folder / EVIDENCE).glob("*.parquet")}
    problems.extend(f"evidence/{name}.parquet has no {name}.json beside it" for name in rows - {p.stem for p in facts})
    for path in facts:
        problems.extend(_problems_of(folder / f"{path.stem}.toml", path))
    return problems


def _problems_of(registration: Path, facts: Path) -> list[str]:
    """What is wrong with one piece of evidence."""
    name = registration.name
    if not registration.exists():
        return [f"evidence/{facts.name} has no registration {name}"]
    try:
        evidence = read_evidence(registration)
        outcomes(registration)
    except SwathError as error:
        return [str(error)]
    assert evidence is not None  # its file exists
    folder, commit = registration.parent, evidence.registration_commit
    if not history.is_ancestor(folder, commit, "HEAD"):
        return [f"{name}: the registration commit {commit[:12]} is not an ancestor of HEAD"]
    registered = history.content_at(registration, commit)
    if registered is None or hashlib.sha256(registered).hexdigest() != evidence.registration_sha256:
        return [f"{name}: commit {commit[:12]} does not hold the registration that the evidence names"]
    if not history.is_ancestor(folder, commit, evidence.code_commit):
        return [f"{name}: the code that was measured ({evidence.code_commit[:12]}) does not contain the registration"]
    written = history.last_commit(facts)
    if written is not None and (written == commit or not history.is_ancestor(folder, commit, written)):
        return [f"{name}: the evidence was committed together with its registration, or before it"]
    return []


def _check_rows(path: Path, claims: tuple[Claim, ...], table: ResultTable, data_hash: str | None) -> None:
    if not len(table):
        raise ClaimError(f"There are no rows for {path.name}", expected="rows of all seeds", remedy="measure first")
    strangers = sorted({row.system for row in table if row.system != path.stem})
    if strangers:
        raise ClaimError(
            f"Rows for {path.name} are of the systems {', '.join(strangers)}",
            expected=f"rows of '{path.stem}' only",
            remedy="write the evidence of every system to its own files",
        )
    for claim in claims:
        # Only what the claim is decided by: a contender may be scored on real and on planted data in one evidence.
        metric, contenders = claim.metric.partition(":")[0], (claim.contender, claim.baseline)
        used = [row for row in table if row.metric == metric and contender(row) in contenders]
        kinds = {row.data_kind for row in used}
        if not _fits(claim.data, kinds):
            raise ClaimError(
                f"'{claim.name}' is registered for {claim.data} data and the rows say {', '.join(sorted(kinds))}",
                expected=f"rows with data_kind '{claim.data}'",
                remedy="measure on the registered data",
            )
        if claim.data_hash is not None and claim.data_hash != data_hash:
            raise ClaimError(
                f"'{claim.name}' is registered for the data {claim.data_hash} and was measured on {data_hash}",
                expected="the registered data",
                remedy="rebuild the data, or register a new claim",
            )


def _fits(registered: DataKind, kinds: set[DataKind]) -> bool:
    """Whether rows of these kinds decide a claim about data of the registered kind.

    A claim about hybrid data may set who has learned from simulated data against who has not: its rows are hybrid for
    one side at least, and may be real or simulated for the other.
    """
    if registered == "hybrid":
        return not kinds or ("hybrid" in kinds and kinds <= {"hybrid", "real", "simulated"})
    return kinds <= {registered}


def _code_is_clean(folder: Path) -> bool:
    """Whether nothing but evidence differs from HEAD."""
    top = history.git(folder, "rev-parse", "--show-toplevel")
    if top is None:
        return False
    status = history.git(Path(top.strip()), "status", "--porcelain", "--untracked-files=all")
    changed = [line[3:] for line in (status or "").splitlines()]
    return all(f"/{EVIDENCE}/" in f"/{name}" for name in changed)
