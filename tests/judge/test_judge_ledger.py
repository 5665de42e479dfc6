from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from judge_samples import REGISTRATION, Repository

from swath.errors import ClaimError, InputError, MissingError
from swath.judge import (
    ResultTable,
    check_repository,
    claims_table,
    outcomes,
    read_evidence,
    registration_commit,
    write_evidence,
)
from swath.types import DataKind, ResultRow

FIELDS = [
    "system",
    "name",
    "primary",
    "statement",
    "published",
    "measured",
    "low",
    "high",
    "margin",
    "seeds",
    "verdict",
    "scope",
    "data",
    "registered",
]


def measured(registration: Path, repository: Repository, rows: list[ResultRow]) -> str:
    """Register, measure and commit both."""
    commit = repository.commit("register")
    write_evidence(registration, rows, data_hash=None)
    repository.commit("evidence")
    return commit


def test_the_honest_way(registration: Path, repository: Repository, evidence_rows: list[ResultRow]) -> None:
    commit = repository.commit("register")
    started = registration_commit(registration)
    evidence = write_evidence(registration, evidence_rows, data_hash="d1", tolerance=1e-3, started_at=started)
    assert (evidence.registration_commit, evidence.code_commit) == (commit, commit)
    assert (evidence.code_clean, evidence.amended, evidence.data_hash) == (True, False, "d1")
    assert read_evidence(registration) == evidence
    assert check_repository(registration.parent) == []  # also before the evidence is committed
    repository.commit("evidence")
    assert check_repository(registration.parent) == []
    first, second = claims_table(registration.parent)
    assert list(first) == FIELDS
    assert (first["system"], first["name"], first["primary"], first["seeds"]) == ("demo", "beats-forest", True, 10)
    assert first["verdict"] == second["verdict"] == "holds"
    assert first["low"] < first["measured"] < first["high"]
    assert first["registered"] == commit
    json.dumps([first, second], allow_nan=False)
    rerun = write_evidence(registration, evidence_rows, data_hash="d1", tolerance=1e-3)
    assert not rerun.amended
    assert rerun.code_clean


def test_nothing_measured_yet(registration: Path, repository: Repository) -> None:
    assert claims_table(registration.parent)[0]["registered"] is None
    commit = repository.commit()
    rows = claims_table(registration.parent)
    assert [(row["verdict"], row["measured"], row["registered"]) for row in rows] == [
        ("not measured", None, commit)
    ] * 2
    assert check_repository(registration.parent) == []


def test_few_seeds_are_indicative(registration: Path, repository: Repository, evidence_rows: list[ResultRow]) -> None:
    measured(registration, repository, [row for row in evidence_rows if row.seed is not None and row.seed < 7])
    assert claims_table(registration.parent)[0]["verdict"] == "holds (indicative)"


def test_evidence_needs_a_committed_registration(
    registration: Path, repository: Repository, evidence_rows: list[ResultRow]
) -> None:
    with pytest.raises(ClaimError, match="not committed"):
        write_evidence(registration, evidence_rows, data_hash=None)
    repository.commit()
    registration.write_text(REGISTRATION.replace("0.01", "0.001"))
    with pytest.raises(ClaimError, match="not committed as it stands"):
        write_evidence(registration, evidence_rows, data_hash=None)
    assert not (registration.parent / "evidence").exists()


def test_registration_must_not_change_while_measuring(
    registration: Path, repository: Repository, evidence_rows: list[ResultRow]
) -> None:
    started = repository.commit()
    registration.write_text(REGISTRATION.replace("0.01", "0.001"))
    repository.commit()
    with pytest.raises(ClaimError, match="when measuring started"):
        write_evidence(registration, evidence_rows, data_hash=None, started_at=started)


def test_registration_must_be_in_the_history_of_head(
    registration: Path, repository: Repository, evidence_rows: list[ResultRow]
) -> None:
    text = registration.read_text()
    registration.unlink()
    repository.commit("root")
    repository.git("checkout", "--quiet", "-b", "side")
    registration.write_text(text)
    aside = repository.commit("registered on a branch")
    repository.git("checkout", "--quiet", "main")
    registration.parent.mkdir(exist_ok=True)
    registration.write_text(text)
    repository.commit("the same text again")
    with pytest.raises(ClaimError, match="in the history of HEAD"):
        write_evidence(registration, evidence_rows, data_hash=None, started_at=aside)


def test_changing_the_registration_after_evidence_shows_as_amended(
    registration: Path, repository: Repository, evidence_rows: list[ResultRow]
) -> None:
    commit = measured(registration, repository, evidence_rows)
    registration.write_text(REGISTRATION.replace("margin = 0.01", "margin = 0.02"))
    assert outcomes(registration)[0].registered == f"{commit} (amended)"
    later = repository.commit("easier claim")
    evidence = write_evidence(registration, evidence_rows, data_hash=None)
    assert evidence.amended
    repository.commit("evidence")
    assert claims_table(registration.parent)[0]["registered"] == f"{later} (amended)"
    assert write_evidence(registration, evidence_rows, data_hash=None).amended  # for good
    assert check_repository(registration.parent) == []


def test_wrong_rows_are_refused(registration: Path, repository: Repository, evidence_rows: list[ResultRow]) -> None:
    registration.write_text(REGISTRATION.replace("margin = 0.01", 'margin = 0.01\ndata_hash = "d1"', 1))
    repository.commit()
    with pytest.raises(ClaimError, match="registered for the data d1 and was measured on d2"):
        write_evidence(registration, evidence_rows, data_hash="d2")
    with pytest.raises(ClaimError, match="no rows"):
        write_evidence(registration, [], data_hash="d1")
    with pytest.raises(ClaimError, match="systems other"):
        write_evidence(registration, [replace(evidence_rows[0], system="other")], data_hash="d1")
    with pytest.raises(ClaimError, match="real data and the rows say simulated"):
        write_evidence(registration, [replace(row, data_kind="simulated") for row in evidence_rows], data_hash="d1")
    assert not (registration.parent / "evidence").exists()


def test_one_contender_may_be_scored_on_several_kinds_of_data(
    registration: Path, repository: Repository, evidence_rows: list[ResultRow]
) -> None:
    repository.commit()
    planted = [replace(row, metric="miou_planted", data_kind="simulated") for row in evidence_rows]
    write_evidence(registration, [*evidence_rows, *planted], data_hash=None)
    assert outcomes(registration)[0].verdict == "holds"


def test_hybrid_claims_set_learners_of_both_kinds_against_learners_of_one(
    registration: Path, repository: Repository, evidence_rows: list[ResultRow]
) -> None:
    registration.write_text(REGISTRATION.replace("margin = 0.01", 'margin = 0.01\ndata = "hybrid"'))
    repository.commit()

    def told(of: str, kind: DataKind, rows: list[ResultRow]) -> list[ResultRow]:
        return [replace(row, data_kind=kind) if row.backbone == of else row for row in rows]

    mixed = told("unet", "hybrid", evidence_rows)
    assert {row.data_kind for row in mixed} == {"hybrid", "real"}
    write_evidence(registration, mixed, data_hash=None)
    with pytest.raises(ClaimError, match="hybrid data and the rows say real"):
        write_evidence(registration, evidence_rows, data_hash=None)
    with pytest.raises(ClaimError, match="rows say fixture, hybrid"):
        write_evidence(registration, told("forest", "fixture", mixed), data_hash=None)


def test_code_changes_are_recorded(registration: Path, repository: Repository, evidence_rows: list[ResultRow]) -> None:
    repository.commit()
    (repository.path / "model.py").write_text("changed")
    assert not write_evidence(registration, evidence_rows, data_hash=None).code_clean


def test_check_finds_evidence_registered_too_late(
    registration: Path, repository: Repository, evidence_rows: list[ResultRow]
) -> None:
    measured(registration, repository, evidence_rows)
    facts = registration.parent / "evidence" / "demo.json"

    def with_facts(**changes: object) -> list[str]:
        honest = facts.read_text()
        facts.write_text(json.dumps({**json.loads(honest), **changes}))
        found = check_repository(registration.parent)
        facts.write_text(honest)
        return found

    head = repository.git("rev-parse", "HEAD")
    root = repository.git("rev-list", "--max-parents=0", "HEAD")
    assert with_facts() == []
    assert "not an ancestor" in with_facts(registration_commit="0" * 40)[0]
    assert "does not hold the registration" in with_facts(registration_sha256="0" * 64)[0]
    assert "does not contain the registration" in with_facts(registration_commit=head, code_commit=root)[0]
    assert "committed together" in with_facts(registration_commit=head, code_commit=head)[0]
    assert "not those that were written" in with_facts(rows_sha256="0" * 64)[0]


def test_evidence_that_came_before_its_registration_is_refused(
    registration: Path, repository: Repository, evidence_rows: list[ResultRow]
) -> None:
    """Measured and committed on a branch; on main the same files lie in commits of the wrong order."""
    text = registration.read_text()
    registration.unlink()
    repository.commit("root")
    repository.git("checkout", "--quiet", "-b", "side")
    registration.parent.mkdir(exist_ok=True)
    registration.write_text(text)
    aside = measured(registration, repository, evidence_rows)
    folder = registration.parent / "evidence"
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert check_repository(registration.parent) == []
    repository.git("checkout", "--quiet", "main")
    folder.mkdir(parents=True)
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    before = repository.commit("evidence first")
    registration.write_text(text)
    after = repository.commit("registration afterwards")
    assert check_repository(registration.parent) == [
        f"demo.toml: the registration commit {aside[:12]} is not an ancestor of HEAD"
    ]
    facts = json.loads(kept["demo.json"])
    for code in (before, after):  # the honest commit of the registration, and the code before or with it
        (folder / "demo.json").write_text(json.dumps({**facts, "registration_commit": after, "code_commit": code}))
        assert len(check_repository(registration.parent)) == 1
    assert "committed together with its registration, or before it" in check_repository(registration.parent)[0]


def test_check_finds_lost_files(registration: Path, repository: Repository, evidence_rows: list[ResultRow]) -> None:
    measured(registration, repository, evidence_rows)
    folder = registration.parent / "evidence"
    ResultTable(evidence_rows).save(folder / "stray.parquet")
    assert check_repository(registration.parent) == ["evidence/stray.parquet has no stray.json beside it"]
    (folder / "stray.parquet").unlink()
    facts = (folder / "demo.json").read_text()
    (folder / "demo.json").write_text(facts.replace('"date": "20', '"date": "99-'))
    assert "cannot be read" in check_repository(registration.parent)[0]
    (folder / "demo.json").write_text("{")
    assert "cannot be read" in check_repository(registration.parent)[0]
    with pytest.raises(InputError, match="cannot be read"):
        claims_table(registration.parent)
    registration.unlink()
    assert check_repository(registration.parent) == ["evidence/demo.json has no registration demo.toml"]
    registration.write_text("system = 1")
    assert any("demo.toml has system = 1" in problem for problem in check_repository(registration.parent))


def test_check_needs_a_full_history(
    registration: Path, repository: Repository, evidence_rows: list[ResultRow], tmp_path: Path
) -> None:
    measured(registration, repository, evidence_rows)
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.path}", str(tmp_path / "shallow"))
    with pytest.raises(MissingError, match="shallow"):
        check_repository(tmp_path / "shallow" / "claims")
    assert check_repository(tmp_path / "nowhere") == []
    with pytest.raises(InputError, match="no directory"):
        claims_table(tmp_path / "nowhere")
