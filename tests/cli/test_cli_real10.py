"""``swath bench real10`` on miniatures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_scenes import Run


def test_quick_prints_the_tables_and_goes_on(swath: Run, tmp_path: Path) -> None:
    words = ("bench", "real10", "--quick", "--out", tmp_path, "--tasks", "vegetation,algae_blooms")
    code, out, _ = swath(*words, "--contenders", "constant,linear")
    assert code == 0
    for part in (
        "### All labels",
        "### Few labels",
        "### Mean rank",
        "| algae_blooms | RMSE |",
        "the scores mean nothing",
    ):
        assert part in out
    assert (tmp_path / "quick" / "real10.md").is_file() and (tmp_path / "quick" / "rows.csv").is_file()
    code, out, _ = swath(*words, "--contenders", "linear", "--json")
    told = json.loads(out)
    assert code == 0 and {row["backbone"] for row in told["rows"]} == {"linear"}
    assert {row["data_kind"] for row in told["rows"]} == {"fixture"}


def test_bad_input_is_one_sentence(swath: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = swath("bench", "real10", "--out", tmp_path, "--tasks", "vegetaton")
    assert code == 2 and "the nearest are: vegetation" in err
    code, _, err = swath("bench", "real10", "--out", tmp_path, "--contenders", "lightning")
    assert code == 2 and "There is no contender 'lightning'" in err
    monkeypatch.delenv("SWATH_DATA", raising=False)
    code, _, err = swath("bench", "real10", "--out", tmp_path, "--tasks", "floods")
    assert code == 3 and "$SWATH_DATA is not set" in err and "try --quick" in err
