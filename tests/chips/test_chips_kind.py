"""Chips know whether their data are real or simulated, where their scene does."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import pytest
from chip_scenes import LEGEND, label_map, scene

import swath
from swath import chips
from swath.chips import ChipLoader
from swath.errors import ConfigError, InputError
from swath.judge import MajorityClass
from swath.types import Split


def cut(folder: Path, **attrs: str) -> chips.ChipSet:
    """Chips of a scene with some attributes, all of them for testing but one."""
    cube = scene((64, 64), dtype="float32").assign_attrs(attrs)
    cube["data"].values[:] = 0.5
    made = chips.cut(cube, label_map((64, 64)), folder, size=16, legend=LEGEND)
    chips.split_by_block(made, block_chips=1, buffer_chips=0, seed=0).save(folder / "split.parquet")
    return made


def rewrite(folder: Path, kinds: list[str] | None) -> None:
    """Other words in the index, or none as older sets have it."""
    index = geopandas.read_parquet(folder / "index.parquet")
    index = index.drop(columns="data_kind") if kinds is None else index.assign(data_kind=kinds)
    index.to_parquet(folder / "index.parquet")


@pytest.mark.parametrize(
    ("attrs", "kind"),
    [
        ({}, None),
        ({"data_kind": "real"}, "real"),
        ({"data_kind": "simulated"}, "simulated"),
        ({"source": "simulated (world/v1)"}, "simulated"),
        ({"source": "simulated_drought.tif"}, None),
    ],
)
def test_the_table_says_what_the_scene_says(tmp_path: Path, attrs: dict[str, str], kind: str | None) -> None:
    made = cut(tmp_path / "a", **attrs)
    assert made.data_kind == kind == chips.open(tmp_path / "a").data_kind
    assert set(geopandas.read_parquet(tmp_path / "a" / "index.parquet")["data_kind"]) == {kind or ""}
    assert json.loads((tmp_path / "a" / "chips.json").read_text())["attrs"].get("data_kind") == kind


def test_mixed_chips_are_hybrid_older_ones_say_nothing_and_unknown_words_are_refused(tmp_path: Path) -> None:
    count = len(cut(tmp_path / "a", data_kind="simulated"))
    for kinds, kind in (
        (["real"] + ["simulated"] * (count - 1), "hybrid"),
        ([""] + ["simulated"] * (count - 1), "hybrid"),
        ([""] * count, None),
        (None, None),
    ):
        rewrite(tmp_path / "a", kinds)
        assert chips.open(tmp_path / "a").data_kind == kind
        cut(tmp_path / "a", data_kind="simulated")
    rewrite(tmp_path / "a", ["invented"] * count)
    with pytest.raises(InputError, match=r"calls its data 'invented'.*real, hybrid, simulated, fixture"):
        chips.open(tmp_path / "a")


def test_scores_say_it_and_simulated_chips_cannot_be_called_real(tmp_path: Path) -> None:
    made = cut(tmp_path / "a", data_kind="simulated")
    split = Split.load(tmp_path / "a" / "split.parquet")
    model = MajorityClass({"image": made.bands}, made.classes)
    model.fit(ChipLoader(made, split.ids("train"), batch_size=8, seed=0))
    assert {row.data_kind for row in swath.score(model, made).rows} == {"simulated"}
    assert {row.data_kind for row in swath.score(model, made, data_kind="fixture").rows} == {"fixture"}
    with pytest.raises(ConfigError, match=r"said to be real.*say that they are simulated"):
        swath.score(model, made, data_kind="real")
    plain = cut(tmp_path / "b")
    assert {row.data_kind for row in swath.score(model, plain).rows} == {"real"}
