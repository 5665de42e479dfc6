from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swath.errors import ConfigError, ContractError, InputError
from swath.judge import ResultTable
from swath.types import ResultRow
from swath.types.result import COLUMNS


def test_duplicates_are_refused_and_nothing_is_added(row: ResultRow) -> None:
    table = ResultTable([row])
    with pytest.raises(ContractError, match="already holds run_id='run'"):
        table.extend([replace(row, seed=1), replace(row, value=0.9)])
    assert len(table) == 1
    table.append(replace(row, seed=1))
    assert [r.seed for r in table] == [0, 1]


def test_percent_and_nameless_metrics_are_refused(row: ResultRow) -> None:
    with pytest.raises(ContractError, match="fraction"):
        ResultTable([replace(row, value=62.0)])
    with pytest.raises(ContractError, match="no metric"):
        ResultTable([replace(row, metric="")])


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1), st.just(math.nan)), min_size=0, max_size=4),
    st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)),
)
def test_round_trip(tmp_path: Path, bounds: list[float | None], note: str | None) -> None:
    rows = [
        ResultRow("run", "demo", seed=seed, metric="miou", value=0.5, ci_low=low, note=note, higher_is_better=True)
        for seed, low in enumerate(bounds)
    ]
    table = ResultTable(rows)
    path = table.save(tmp_path / "rows")
    loaded = ResultTable.load(path)
    assert [repr(row) for row in loaded] == [repr(row) for row in table]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.csv", "rows.parquet"]


def test_csv_mirror_holds_the_same_numbers(row: ResultRow, tmp_path: Path) -> None:
    path = ResultTable([row, replace(row, seed=1, note='a "quoted", note', value=math.nan)]).save(
        tmp_path / "t.parquet"
    )
    mirror = pd.read_csv(path.with_suffix(".csv"))
    assert tuple(mirror.columns) == COLUMNS
    assert mirror["value"].tolist()[0] == 0.5
    assert mirror["note"].tolist()[1] == 'a "quoted", note'
    assert tuple(ResultTable([row]).frame().columns) == COLUMNS


def test_loading_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no result table"):
        ResultTable.load(tmp_path / "absent")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(InputError, match=r"no result table|is not parquet"):
        ResultTable.load(tmp_path / "text")
    pd.DataFrame({"metric": ["miou"]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="differs in the columns"):
        ResultTable.load(tmp_path / "other")


def test_done_asks_for_any_columns(row: ResultRow) -> None:
    table = ResultTable([replace(row, config_hash="abc")])
    assert table.done(config_hash="abc", seed=0, fold=None)
    assert not table.done(config_hash="abc", seed=1)
    with pytest.raises(ConfigError, match="nearest are: config_hash"):
        table.done(config_hsh="abc")


def test_markdown_shows_mean_and_deviation_in_percent(row: ResultRow) -> None:
    values = {"unet": (0.5, 0.52, 0.54), "forest": (0.4, math.nan, 0.4)}
    table = ResultTable(
        replace(row, backbone=name, seed=seed, value=value)
        for name, series in values.items()
        for seed, value in enumerate(series)
    )
    text = table.to_markdown("backbone", "dataset", "miou")
    assert "| unet | 52.0 (2.0) |" in text
    assert "| forest | 40.0 (0.0) [2 of 3] |" in text
    assert "[%]" in text.splitlines()[0]
    single = ResultTable([replace(row, metric="rmse", value=12.3456)]).to_markdown("backbone", "split", "rmse")
    assert "| unet | 12.346 |" in single


def test_markdown_never_mixes_what_differs(row: ResultRow) -> None:
    table = ResultTable([replace(row, split="test"), replace(row, split="train")])
    with pytest.raises(InputError, match="differ in 'split'"):
        table.to_markdown("backbone", "dataset", "miou")
    assert "| unet | 50.0 | 50.0 |" in table.to_markdown("backbone", "split", "miou")
    with pytest.raises(ConfigError, match="nearest is: miou"):
        table.to_markdown("backbone", "split", "mioo")
    with pytest.raises(ConfigError, match="empty"):
        ResultTable().to_markdown("backbone", "split", "miou")
