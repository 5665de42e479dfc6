"""Fresh seeds: kept apart from the evidence, and verdicts that flip are told."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from judge_samples import Repository
from pydantic import BaseModel
from typer.testing import CliRunner

from swath import systems
from swath.cli import app
from swath.errors import ClaimError, ContractError
from swath.judge import (
    check_repository,
    fresh_seeds,
    outcomes,
    read_fresh,
    read_reruns,
    rerun,
    standings,
    write_evidence,
    write_ledger_page,
)
from swath.judge.fresh import fresh_file, keep_fresh
from swath.judge.rerun import reruns_file
from swath.types import Report, ResultRow

Measure = Callable[[Path, int], list[ResultRow]]


@pytest.fixture
def measured(registration: Path, repository: Repository, evidence_rows: list[ResultRow]) -> Path:
    repository.commit("register")
    write_evidence(registration, evidence_rows, data_hash=None, tolerance=1e-3)
    repository.commit("evidence")
    return registration


def wins_by(difference: float) -> Measure:
    """One seed in which the network beats the forest by so much."""

    def measure(out: Path, seed: int) -> list[ResultRow]:
        base = ResultRow("fresh", "demo", backbone="forest", seed=seed, metric="miou", value=0.4)
        rows = [base, replace(base, backbone="unet", value=0.4 + difference)]
        return [*rows, *(replace(row, metric="iou", class_name="ice") for row in rows)]

    return measure


def test_a_fresh_seed_is_kept_apart_and_agrees(measured: Path) -> None:
    before = (measured.parent / "evidence" / "demo.parquet").read_bytes()
    assert standings(measured) == () and fresh_seeds(measured) == ()
    found = rerun(measured, 17, wins_by(0.05))
    assert (found.record.fresh, found.record.values, found.record.differing, found.record.flips) == (True, 4, 0, 0)
    assert found.differences == ()
    first = found.standings[0]
    assert (first.stored.seeds, first.together.seeds, first.alone) == (10, 11, None)
    assert not first.flips and first.text() == "holds -> holds"
    assert fresh_seeds(measured) == (17,) and len(read_fresh(measured)) == 4
    assert (measured.parent / "evidence" / "demo.parquet").read_bytes() == before
    assert outcomes(measured)[0].seeds == 10  # the verdict of the ledger rests on registered seeds alone
    assert check_repository(measured.parent) == []


def test_a_flip_is_told(measured: Path, tmp_path: Path) -> None:
    for seed in range(20, 24):
        assert rerun(measured, seed, wins_by(-0.4)).record.fresh
    fourth = standings(measured)[0]
    assert fourth.flips and fourth.alone is None and fourth.text().startswith("holds -> ")
    fifth = rerun(measured, 24, wins_by(-0.41)).standings[0]
    assert fifth.alone is not None
    assert (fifth.alone.verdict, fifth.alone.indicative, fifth.alone.seeds) == ("does not hold", True, 5)
    assert fifth.text().endswith("; fresh alone: does not hold (indicative)")
    assert read_reruns(measured)[-1].flips == 2
    page = write_ledger_page(tmp_path / "page.html", measured.parent).read_text()
    assert "With 5 fresh seeds (20, 21, 22, 23, 24) verdicts flip: beats-forest: holds -&gt; " in page


def test_fresh_seeds_alone_can_contradict(measured: Path) -> None:
    for seed in range(30, 35):
        rerun(measured, seed, wins_by(0.012 + 0.001 * (seed % 3)))
    first = standings(measured)[0]
    assert first.alone is not None
    assert first.together.verdict == "holds" and first.alone.verdict == "holds"
    assert not first.flips


def test_a_fresh_seed_again_is_compared(measured: Path) -> None:
    rerun(measured, 17, wins_by(0.05))
    again = rerun(measured, 17, wins_by(0.05))
    assert (again.record.fresh, again.record.values, again.record.differing) == (False, 4, 0)
    other = rerun(measured, 17, wins_by(0.06))
    assert (other.record.fresh, other.record.differing) == (False, 2)
    assert len(read_fresh(measured)) == 4  # nothing was replaced
    with pytest.raises(ContractError, match="already holds"):
        keep_fresh(measured, 17, wins_by(0.05)(measured, 17))


def test_what_is_no_fresh_seed(measured: Path, evidence_rows: list[ResultRow], repository: Repository) -> None:
    write_evidence(measured, [row for row in evidence_rows if row.seed != 9], data_hash=None)

    def never(out: Path, seed: int) -> list[ResultRow]:
        raise AssertionError("nothing should be measured")

    with pytest.raises(ClaimError, match=r"Seed 9 of demo is registered and its evidence is missing"):
        rerun(measured, 9, never)
    with pytest.raises(ClaimError, match="gave 0 rows"):
        rerun(measured, 50, lambda _out, _seed: [])
    with pytest.raises(ClaimError, match="4 rows, 4 of them of another seed"):
        rerun(measured, 50, lambda out, _seed: wins_by(0.1)(out, 51))
    assert read_reruns(measured) == () and not fresh_file(measured).exists()


def test_older_lists_of_reruns_can_be_read(measured: Path) -> None:
    rerun(measured, 17, wins_by(0.05))
    lines = reruns_file(measured).read_text().splitlines()
    assert lines[0].endswith(",same_data,fresh,flips")
    reruns_file(measured).write_text("\n".join(line.rsplit(",", 2)[0] for line in lines) + "\n")
    (old,) = read_reruns(measured)
    assert (old.seed, old.fresh, old.flips) == (17, False, 0)


def test_days_since_a_fresh_seed(measured: Path, tmp_path: Path) -> None:
    rerun(measured, 17, wins_by(0.05))
    later = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=3)
    page = write_ledger_page(tmp_path / "page.html", measured.parent, later).read_text()
    assert "3 days ago (1 rerun)" in page
    assert "With 1 fresh seed (17) no verdict flips." in page
    assert "values differed" not in page  # there was nothing to compare


class Options(BaseModel):
    """Options of the made-up system."""


def test_the_command(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(config: Options, out: Path, seed: int) -> Report:
        return Report("demo", "A demonstration", "real", tuple(wins_by(-0.9)(out, seed)), (), 1.0, 1.0)

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(systems, "load", lambda slug: SimpleNamespace(Config=Options, run=run))
    command = ["claims", "--folder", str(measured.parent), "--rerun", "demo", "--seed"]
    result = CliRunner().invoke(app, [*command, "70"])
    assert result.exit_code == 0, result.output
    assert "fresh seed 70: 4 values kept apart from the evidence" in result.output
    assert "2 of 2 verdicts flip" in result.output
    content = json.loads(CliRunner().invoke(app, [*command, "71", "--json"]).stdout)
    assert (content["fresh"], content["flips"], content["rows"]) == (True, 2, [])
    assert content["verdicts"][0]["stored"] == "holds"
    assert content["verdicts"][0]["with_fresh_seeds"] == "inconclusive"
    assert content["verdicts"][0]["fresh_seeds_alone"] is None


def test_the_table_of_claims_shows_the_amended_mark(measured: Path) -> None:
    command = ["claims", "--folder", str(measured.parent)]
    assert "(amended)" not in CliRunner().invoke(app, command).output
    measured.write_text(measured.read_text() + "# another reason\n")
    printed = CliRunner().invoke(app, command).output
    assert printed.count("(amended)") == 2
    rows = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert all(row["registered"].endswith(" (amended)") for row in rows)
