from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from scipy import stats

from swath.errors import ConfigError, ContractError, InputError
from swath.judge import ResultTable
from swath.judge.capability import Normaliser, capability_scores, capability_table, dataset_table, normalised
from swath.judge.renderers import corruption_grid, degradation_curve
from swath.judge.sweep import sweep, unfinished
from swath.types import ResultRow

NORMALISER = Normaliser("v1", {"fire": (0.5, 0.9), "flood": (0.2, 0.6), "mass": (20.0, 10.0)})
CELLS = [{"seed": seed, "corruption": name} for seed in (0, 1) for name in ("haze", None)]


def corrupted(seeds: int = 2, names: tuple[str, ...] = ("haze", "noise"), who: str = "unet") -> list[ResultRow]:
    """Clean 0.8; haze loses 0.1 a step, noise 0.05; each seed adds 0.02."""
    rows = []
    for seed in range(seeds):
        base = ResultRow("r", "demo", backbone=who, metric="miou", seed=seed, value=0.8 + 0.02 * seed)
        rows.append(base)
        for index, name in enumerate(names):
            for severity in (1, 2, 3):
                lost = (0.1, 0.05)[index % 2] * severity
                rows.append(replace(base, corruption=name, severity=severity, value=base.value - lost))
    return rows


def test_grid_of_a_sweep() -> None:
    rows = corrupted()
    lines = corruption_grid(reversed(rows), "miou").splitlines()
    assert lines[0] == "| unet: miou [%] | clean | 1 | 2 | 3 | mean |"
    assert "| haze | 81.0 (1.4) | 71.0 (1.4) | 61.0 (1.4) | 51.0 (1.4) | 61.0 |" in lines
    assert "| noise | 81.0 (1.4) | 76.0 (1.4) | 71.0 (1.4) | 66.0 (1.4) | 71.0 |" in lines
    assert len(lines) == 4
    gap = corruption_grid([row for row in rows if (row.corruption, row.severity) != ("haze", 2)], "miou")
    assert "| haze | 81.0 (1.4) | 71.0 (1.4) | - | 51.0 (1.4) | - |" in gap  # no mean over other severities
    undefined = [replace(row, value=math.nan) if row.severity == 3 and row.seed == 0 else row for row in rows]
    assert "| 52.0 [1 of 2] | - |" in corruption_grid(undefined, "miou")
    error = corruption_grid([replace(row, metric="rmse", value=3.0) for row in corrupted(1)], "rmse")
    assert "| haze | 3.000 | 3.000 | 3.000 | 3.000 | 3.000 |" in error


def test_grid_refuses_what_would_mislead() -> None:
    rows = corrupted(1)
    with pytest.raises(InputError, match=r"no corrupted rows of f1.*miou of unet"):
        corruption_grid(rows, "f1")
    with pytest.raises(InputError, match="rows with a corruption"):
        corruption_grid([], "miou")
    with pytest.raises(InputError, match="contenders forest, unet"):
        corruption_grid([*rows, *corrupted(1, who="forest")], "miou")
    assert corruption_grid([*rows, *corrupted(1, who="forest")], "miou", "forest").startswith("| forest")
    with pytest.raises(InputError, match="differ in 'dataset'"):
        corruption_grid([*rows, *(replace(row, dataset="other", seed=1) for row in rows)], "miou")
    with pytest.raises(InputError, match="severity sets v1, v2"):
        corruption_grid(
            [replace(row, severity_set=f"v{row.severity and min(row.severity, 2)}") for row in rows], "miou"
        )


@pytest.mark.parametrize("count", [1, 5])
def test_curve_of_a_sweep(tmp_path: Path, count: int) -> None:
    names = ("haze", "noise", "cloud", "gaps", "blur")[:count]
    rows = [*corrupted(names=names), *corrupted(1, names=names, who="forest")]
    path = degradation_curve(rows, "miou", tmp_path / "curve.png", title="A sweep")
    image = imread(path)
    assert image[..., :3].min() < 0.5 < image[..., :3].mean()  # something is drawn on white
    again = degradation_curve(rows, "miou", tmp_path / "again.png", title="A sweep")
    assert again.read_bytes() == path.read_bytes()
    assert image.shape[1] > image.shape[0] or count == 1
    with pytest.raises(InputError, match="no corrupted rows"):
        degradation_curve(rows[:1], "miou", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_markdown_with_intervals(row: ResultRow) -> None:
    values = (0.5, 0.52, 0.54)
    table = ResultTable(replace(row, seed=seed, value=value) for seed, value in enumerate(values))
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    text = table.to_markdown("backbone", "group", "miou", spread="interval")
    assert f"| unet | 52.0 [{100 * low:.1f}, {100 * high:.1f}] |" in text
    one = ResultTable([replace(row, ci_low=0.4, ci_high=0.6), replace(row, backbone="forest")])
    assert "| unet | 50.0 [40.0, 60.0] |" in one.to_markdown("backbone", "group", "miou", spread="interval")
    assert "| forest | 50.0 |" in one.to_markdown("backbone", "group", "miou", spread="interval")
    some = ResultTable([row, replace(row, seed=1, value=math.nan), replace(row, backbone="rf", value=math.nan)])
    text = some.to_markdown("backbone", "group", "miou", spread="interval")
    assert "| unet | 50.0 (1 of 2) |" in text
    assert "| rf | - |" in text
    with pytest.raises(ConfigError, match="spread is 'sd'"):
        some.to_markdown("backbone", "group", "miou", spread="sd")  # type: ignore[arg-type]


def test_has_asks_for_one_number(row: ResultRow) -> None:
    table = ResultTable([row])
    assert table.has(row)
    assert table.has(row.key())
    assert table.has(replace(row, value=0.1))
    assert not table.has(replace(row, seed=1))


def test_a_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    seen: list[Mapping[str, object]] = []

    def measure(cell: Mapping[str, object]) -> list[ResultRow]:
        if len(seen) == 2 and not (tmp_path / "again").exists():
            raise KeyboardInterrupt
        seen.append(dict(cell))
        base = ResultRow("r", "demo", metric="miou", value=0.5, seed=cell["seed"], corruption=cell["corruption"])  # type: ignore[arg-type]
        return [base, replace(base, metric="accuracy")]

    path = tmp_path / "sweep"
    with pytest.raises(KeyboardInterrupt):
        sweep(path, CELLS, measure)
    assert len(ResultTable.load(path)) == 4
    assert unfinished(ResultTable.load(path), CELLS) == CELLS[2:]
    (tmp_path / "again").touch()
    table = sweep(path, CELLS, measure)
    assert seen == CELLS  # every cell once
    assert len(table) == 8
    assert len(sweep(path, CELLS, measure)) == 8
    assert seen == CELLS
    assert len(sweep(tmp_path / "empty", [], measure)) == 0


def test_a_sweep_refuses_cells_that_would_never_be_done(tmp_path: Path, row: ResultRow) -> None:
    for rows in ([], [row]):
        with pytest.raises(ContractError, match=f"gave {len(rows)} rows"):
            sweep(tmp_path / "t", [{"seed": 5}], lambda _cell, rows=rows: rows)  # type: ignore[misc]
    with pytest.raises(ConfigError, match="comes twice"):
        sweep(tmp_path / "t", [{"seed": 5}, {"seed": 5}], lambda _cell: [row])
    with pytest.raises(ConfigError, match=r"named by 'sed'.*nearest are: seed"):
        sweep(tmp_path / "t", [{"sed": 5}], lambda _cell: [row])
    with pytest.raises(ConfigError, match="has no name"):
        unfinished(ResultTable(), [{}])
    with pytest.raises(ContractError, match="already holds"):
        sweep(tmp_path / "t", [{"seed": 0}], lambda _cell: [row, row])
    assert not (tmp_path / "t.parquet").exists()


def measured(who: str, **values: list[float]) -> list[ResultRow]:
    metric = {"mass": "rmse"}
    return [
        ResultRow("r", "demo", backbone=who, dataset=name, seed=seed, metric=metric.get(name, "miou"), value=value)
        for name, series in values.items()
        for seed, value in enumerate(series)
    ]


def test_capabilities() -> None:
    rows = measured("unet", fire=[0.7, 0.7, 0.7], flood=[0.4] * 5, mass=[12.0] * 3)
    rows += measured("vit", fire=[0.9, 0.8, 0.85, 0.7, 0.75], flood=[0.3, 0.6, 0.5])
    groups = {"pixels": ("fire", "flood"), "all": ("fire", "flood", "mass")}
    unet, unet_all, vit, vit_all = capability_scores(rows, NORMALISER, groups)
    assert (unet.value, unet.low, unet.high) == pytest.approx((0.5, 0.5, 0.5))
    assert unet_all.value is not None
    assert 0.5 <= unet_all.value < 0.8  # 8 results at 0.5, 3 at 0.8 (lower is better), a quarter cut on each side
    assert (vit_all.value, vit_all.missing) == (None, ("mass",))
    assert vit.value is not None
    assert vit.low is not None
    assert vit.high is not None
    assert vit.low < vit.value < vit.high
    pooled = np.concatenate([normalised(rows, NORMALISER)["vit"][name] for name in groups["pixels"]])
    assert vit.value == pytest.approx(stats.trim_mean(pooled, 0.25), abs=0.1)
    assert capability_scores(rows, NORMALISER, groups) == (unet, unet_all, vit, vit_all)
    table = capability_table((unet, unet_all, vit, vit_all), NORMALISER).splitlines()
    assert table[0] == "| contender (normaliser v1) [%] | pixels | all |"
    assert table[2].startswith("| unet | 50.0 [50.0, 50.0] |")
    assert table[3].endswith("| none |")
    assert "| vit | 75.0 | 66.7 | none |" in dataset_table(rows, NORMALISER)


def test_capabilities_refuse_what_does_not_belong_together() -> None:
    rows = measured("unet", fire=[0.7, 0.8])
    with pytest.raises(ConfigError, match=r"no constants for 'fir'.*nearest is: fire"):
        normalised(measured("unet", fir=[0.7]), NORMALISER)
    with pytest.raises(InputError, match="seed 0, fold None of unet twice"):
        normalised([*rows, rows[0]], NORMALISER)
    with pytest.raises(InputError, match="the metrics miou and f1"):
        normalised([*rows, replace(rows[0], metric="f1")], NORMALISER)
    with pytest.raises(InputError, match="undefined value for unet, seed 0"):
        normalised([replace(rows[0], value=math.nan)], NORMALISER)
    with pytest.raises(ConfigError, match="'none' is empty"):
        capability_scores(rows, NORMALISER, {"none": ()})
    with pytest.raises(ConfigError, match="bounds of a"):
        Normaliser("v1", {"a": (1.0, 1.0)})
    with pytest.raises(ConfigError, match="no version"):
        Normaliser("", {})
