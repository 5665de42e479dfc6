"""The aggregator against the public rows of GEO-Bench-2, whose capability table was worked out independently."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from scipy import stats

from swath.errors import ConfigError, InputError
from swath.judge import CapabilityScore, Normaliser, capability_scores
from swath.judge.capability import normalised
from swath.metrics import iqm
from swath.types import ResultRow

CAPABILITIES = {
    "core": ("kuro_siwo", "pastis", "burn_scars", "cloudsen12", "flair2", "spacenet7", "benv2", "treesatai",
             "biomassters", "fotw", "substation", "everwatch"),
    "multispectral": ("benv2", "biomassters", "pastis", "so2sat", "cloudsen12", "spacenet2", "burn_scars", "fotw"),
    "multitemporal": ("kuro_siwo", "pastis", "biomassters", "dynamic_earthnet"),
    "classification": ("so2sat", "forestnet", "benv2", "treesatai"),
    "detection": ("substation", "everwatch", "nzcattle", "pastis_r"),
    "under 10 m": ("spacenet2", "treesatai", "flair2", "dynamic_earthnet", "spacenet7"),
}  # fmt: skip
PUBLISHED = {
    "convnext_xlarge_fb_in22k": (77.9, 65.8, 66.3, 73.9, 95.1, 81.2),
    "clay_v1_base": (77.8, 66.1, 81.7, 46.3, 67.7, 67.9),
    "dinov3_convnext_large": (70.9, 66.8, 52.0, 80.4, 60.1, 88.3),
    "prithvi_eo_v2_600_tl": (68.9, 70.3, 77.1, 53.6, 39.5, 56.1),
    "terramind_v1_large": (61.6, 71.9, 94.3, 62.9, 43.9, 63.4),
    "dofa_large_patch16_224": (60.5, 59.8, 65.5, 66.5, 26.2, 73.8),
    "resnet50": (26.9, 21.4, 10.8, 24.2, 23.2, 44.0),
}
TOLERANCE = 0.006
"""What the draws of a bootstrap of 100 leave open, on the common scale."""


@pytest.fixture(scope="module")
def folder() -> Path:
    if not os.environ.get("SWATH_DATA"):
        pytest.skip("SWATH_DATA is not set; it names the directory with the public rows of GEO-Bench-2")
    return Path(os.environ["SWATH_DATA"]) / "geobench2_results"


def rows_of(path: Path) -> list[ResultRow]:
    with path.open(newline="") as file:
        return [
            ResultRow(
                "leaderboard", "geobench2", dataset=line["dataset"], backbone=line["backbone"], seed=int(line["Seed"]),
                metric=line["Metric"].lower(), value=float(line["test metric"]),
            )
            for line in csv.DictReader(file)
        ]  # fmt: skip


@pytest.fixture(scope="module")
def normaliser(folder: Path) -> Normaliser:
    return Normaliser.load(folder / "normalizer.json", "geobench2-1659ccf5")


@pytest.fixture(scope="module")
def scores(folder: Path, normaliser: Normaliser) -> tuple[CapabilityScore, ...]:
    rows = [row for row in rows_of(folder / "rows_114be1f0.csv") if row.backbone in PUBLISHED]
    return capability_scores(rows, normaliser, CAPABILITIES)


def test_the_published_table_comes_out(scores: tuple[CapabilityScore, ...]) -> None:
    found = {(score.contender, score.capability): score for score in scores}
    assert len(found) == len(PUBLISHED) * len(CAPABILITIES)
    for who, values in PUBLISHED.items():
        for capability, value in zip(CAPABILITIES, values, strict=True):
            score = found[who, capability]
            assert score.value is not None and score.low is not None and score.high is not None
            assert score.value == pytest.approx(value / 100, abs=TOLERANCE), (who, capability)
            assert score.low <= score.value <= score.high


def test_no_model_dominates(scores: tuple[CapabilityScore, ...]) -> None:
    best = {
        name: max((score for score in scores if score.capability == name), key=lambda score: score.value or 0.0)
        for name in CAPABILITIES
    }
    assert len({score.contender for score in best.values()}) >= 3


def test_constants_bring_scores_to_one_scale_and_back(folder: Path, normaliser: Normaliser) -> None:
    mine = normalised(rows_of(folder / "rows_114be1f0.csv"), normaliser)["clay_v1_base"]
    assert len(mine) == 19 and all(values.size == 5 for values in mine.values())
    low, high = normaliser.bounds["burn_scars"]
    assert low + (high - low) * mine["burn_scars"].mean() == pytest.approx(0.893, abs=0.0005)  # best of its data set
    assert iqm(mine["burn_scars"]).value == pytest.approx(stats.trim_mean(mine["burn_scars"], 0.25))


def test_a_model_without_a_data_set_has_no_score(folder: Path, normaliser: Normaliser) -> None:
    rows = [row for row in rows_of(folder / "rows_114be1f0.csv") if row.backbone == "resnet50"]
    short = [row for row in rows if row.dataset != "pastis_r"]
    scores = {score.capability: score for score in capability_scores(short, normaliser, CAPABILITIES)}
    assert (scores["detection"].value, scores["detection"].missing) == (None, ("pastis_r",))
    assert scores["core"].value is not None
    with pytest.raises(InputError, match="twice"):
        capability_scores([*rows, rows[0]], normaliser, CAPABILITIES)


def test_constants_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "constants.json"
    path.write_text('{"fire": [0.5, 0.9]}')
    assert Normaliser.load(path, "v1") == Normaliser("v1", {"fire": (0.5, 0.9)})
    for text in ('{"fire": [0.5]}', '{"fire": ["low", "high"]}', "[1, 2]", "{"):
        path.write_text(text)
        with pytest.raises(InputError, match="two numbers per data set"):
            Normaliser.load(path, "v1")
    path.write_text('{"fire": [0.5, 0.5]}')
    with pytest.raises(ConfigError, match="bounds of fire"):
        Normaliser.load(path, "v1")
