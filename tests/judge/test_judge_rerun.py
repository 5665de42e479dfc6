from __future__ import annotations

import csv
import inspect
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from judge_samples import Repository
from pydantic import BaseModel
from typer.testing import CliRunner

from swath import systems
from swath.cli import app
from swath.errors import ClaimError, ConfigError, ContractError, InputError
from swath.judge import check_repository, read_reruns, registration_of, rerun, write_evidence
from swath.judge.rerun import compare, reruns_file
from swath.types import Report, ResultRow

CLAIMS = Path(__file__).parents[2] / "claims"


@pytest.fixture
def measured(registration: Path, repository: Repository, evidence_rows: list[ResultRow]) -> Path:
    repository.commit("register")
    write_evidence(registration, evidence_rows, data_hash=None, tolerance=1e-3)
    repository.commit("evidence")
    return registration


def test_the_same_numbers_agree_and_the_date_is_kept(
    measured: Path, repository: Repository, evidence_rows: list[ResultRow]
) -> None:
    places = []

    def measure(out: Path, seed: int) -> list[ResultRow]:
        places.append(out)
        assert list(out.iterdir()) == []
        (out / "model").write_text("x")
        return [replace(row, run_id="again", value=row.value + 5e-4) for row in evidence_rows if row.seed == seed]

    found = rerun(measured, 3, measure)
    assert not places[0].exists()  # nothing is left of a temporary folder
    assert (found.record.seed, found.record.values, found.record.differing) == (3, 4, 0)
    assert found.record.largest_difference == pytest.approx(5e-4)
    assert found.record.same_data
    assert found.record.code_commit == repository.git("rev-parse", "HEAD")
    assert {each.metric for each in found.differences} == {"miou", "iou:ice"}
    assert all(each.agrees for each in found.differences)
    rerun(measured, 4, measure)
    kept = read_reruns(measured)
    assert [each.seed for each in kept] == [3, 4]
    assert kept[0] == found.record
    with reruns_file(measured).open() as file:
        assert next(iter(csv.DictReader(file)))["date"] == found.record.date
    assert check_repository(measured.parent) == []


def test_other_missing_new_and_undefined_numbers(measured: Path, evidence_rows: list[ResultRow]) -> None:
    first, second, third, fourth = [row for row in evidence_rows if row.seed == 0]
    fresh = [
        replace(first, value=first.value + 2e-3, dataset_hash="other"),
        replace(second, value=float("nan")),
        third,
        replace(fourth, class_name="crop"),
    ]
    found = rerun(measured, 0, lambda _out, _seed: fresh)
    assert [each.agrees for each in found.differences] == [False, False, True, False, False]
    missing, new = found.differences[3:]
    assert (missing.value, missing.stored, missing.difference) == (None, fourth.value, None)
    assert (new.value, new.stored, new.metric) == (fourth.value, None, "iou:crop")
    assert (found.record.differing, found.record.values, found.record.same_data) == (4, 5, False)
    assert found.record.largest_difference == pytest.approx(2e-3)
    undefined = replace(first, value=float("nan"))
    assert compare([undefined], [undefined], tolerance=0.0)[0].agrees
    assert compare([], [], tolerance=0.0) == ()
    with pytest.raises(ContractError, match="already holds"):
        compare([first], [first, first], tolerance=0.0)


def test_a_report_counts_as_its_rows_and_a_folder_can_be_given(
    measured: Path, evidence_rows: list[ResultRow], tmp_path: Path
) -> None:
    rows = tuple(row for row in evidence_rows if row.seed == 1)

    def measure(out: Path, seed: int) -> Report:
        (out / "model").write_text(str(seed))
        return Report("demo", "A demonstration", "real", rows, (), 1.0, 1.0)

    assert rerun(measured, 1, measure, tmp_path / "kept").record.differing == 0
    assert (tmp_path / "kept" / "model").read_text() == "1"
    with pytest.raises(InputError, match="is not empty"):
        rerun(measured, 1, measure, tmp_path / "kept")
    assert len(read_reruns(measured)) == 1


def test_nothing_to_compare_with(registration: Path, repository: Repository, evidence_rows: list[ResultRow]) -> None:
    def never(out: Path, seed: int) -> list[ResultRow]:
        raise AssertionError("nothing should be measured")

    repository.commit()
    with pytest.raises(ClaimError, match="no evidence of demo"):
        rerun(registration, 0, never)
    write_evidence(registration, evidence_rows, data_hash=None)
    (registration.parent / "evidence" / "demo.parquet").write_bytes(b"PAR1")
    with pytest.raises(ClaimError, match="not those that were written"):
        rerun(registration, 0, never)
    with pytest.raises(ConfigError, match=r"no registration of 'demp' .* nearest is: demo"):
        registration_of(registration.parent, "demp")
    with pytest.raises(ConfigError, match="no system is registered"):
        registration_of(registration.parent / "evidence", "demo")


@pytest.mark.parametrize("text", ["date,seed\n2026-01-01,0\n", "date\nyesterday\n", "\xff"])
def test_damaged_reruns_get_a_sentence(measured: Path, text: str) -> None:
    reruns_file(measured).write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"demo\.reruns\.csv"):
        read_reruns(measured)


class Options(BaseModel):
    """Options of the made-up system."""


def test_the_command(measured: Path, evidence_rows: list[ResultRow], monkeypatch: pytest.MonkeyPatch) -> None:
    change = 0.0

    def run(config: Options, out: Path, seed: int) -> Report:
        rows = tuple(replace(row, value=row.value + change) for row in evidence_rows if row.seed == seed)
        return Report("demo", "A demonstration", "real", rows, (), 1.0, 1.0)

    monkeypatch.setattr(systems, "load", lambda slug: SimpleNamespace(Config=Options, run=run))
    command = ["claims", "--folder", str(measured.parent), "--rerun", "demo", "--seed", "2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "4 of 4 values within 0.001, largest difference 0" in result.output
    content = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert (content["seed"], content["differing"], len(content["rows"])) == (2, 0, 4)
    change = 0.01
    failed = CliRunner().invoke(app, command)
    assert failed.exit_code != 0
    assert isinstance(failed.exception, ClaimError)
    assert "4 of 4 values of demo, seed 2, differ" in str(failed.exception)
    assert [each.differing for each in read_reruns(measured)] == [0, 0, 4]


@pytest.mark.parametrize("slug", sorted(path.stem for path in CLAIMS.glob("*.toml")))
def test_registered_systems_can_measure_one_seed(slug: str) -> None:
    module = systems.load(slug)
    assert list(inspect.signature(module.run).parameters) == ["config", "out", "seed"]
    assert issubclass(module.Config, BaseModel)


@pytest.mark.parametrize("words", [["--rerun", "demo"], ["--seed", "1"], ["--out", "x"]])
def test_half_a_command_is_refused(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["claims", *words])
    assert isinstance(result.exception, ConfigError)
    assert "given together" in str(result.exception)
