"""Splits: partitions that depend on the seed alone, buffers that hold, and leaks that are found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from chip_scenes import LEGEND, chip_set, globe, label_map, on_grid, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import chips
from swath.chips import ChipSet, leak_check, split_by_block, split_by_region
from swath.errors import ConfigError, InputError
from swath.types import Split

SIZE = 4
CHOICE: dict[str, Any] = {"train": ["west"], "test": ["east"], "unused": ["pole"]}


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    """A globe of 10 x 20 chips; east, west and a polar strip, each touching the antimeridian or the pole."""
    box = globe(40)
    regions = np.ones((40, 80), np.int16)
    regions[:, 48:] = 2
    regions[36:] = 3
    groups = on_grid(regions, box, legend={1: "west", 2: "east", 3: "pole"})
    folder = tmp_path_factory.mktemp("split") / "chips"
    return chips.cut(scene((40, 80), box=box), label_map((40, 80)), folder, size=SIZE, legend=LEGEND, groups=groups)


def shuffled(chipset: ChipSet, seed: int) -> ChipSet:
    index = chipset.index.sample(frac=1.0, random_state=seed).reset_index(drop=True)
    return ChipSet(chipset.folder, chipset.description, index)


def gaps(chipset: ChipSet, split: Split, first: str, second: str, around: int | None) -> np.ndarray:
    """Gap in chip widths of each pair, computed the slow way."""
    places = chipset.index.set_index("id")[["row", "column"]]
    a, b = (places.loc[split.ids(name)].to_numpy() for name in (first, second))
    rows, columns = (np.abs(a[:, None, axis] - b[None, :, axis]) for axis in (0, 1))
    if around is not None:
        columns = np.minimum(columns, around - columns)
    return (np.maximum(rows, columns) - chipset.size) / chipset.size


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), buffer=st.integers(0, 3), share=st.floats(0, 0.5), block=st.integers(1, 6))
def test_regions_are_kept_apart_and_every_chip_is_in_one_split(
    earth: ChipSet, seed: int, buffer: int, share: float, block: int
) -> None:
    options: dict[str, Any] = {"buffer_chips": buffer, "validation_share": share, "block_chips": block, "seed": seed}
    split = split_by_region(earth, **CHOICE, **options)
    assert sorted(split.table["id"]) == earth.ids
    assert set(split.table["split"]) <= {"train", "validation", "test", "unused"}
    regions = earth.index.set_index("id")["group"]
    assert set(regions[split.ids("test")]) == {"east"} and len(split.ids("test")) == (regions == "east").sum()
    assert set(regions[split.ids("train") + split.ids("validation")]) == {"west"}
    for name in ("train", "validation"):
        assert (gaps(earth, split, name, "test", 80) >= buffer).all()
    learning = len(split.ids("train")) + len(split.ids("validation"))
    assert len(split.ids("validation")) >= share * learning - 1e-6
    assert split_by_region(shuffled(earth, seed), **CHOICE, **options).hash == split.hash
    assert leak_check(earth, split, buffer_chips=buffer, contents=False) == []


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), buffer=st.integers(0, 1), block=st.integers(2, 3))
def test_blocks_are_kept_apart_and_every_chip_is_in_one_split(
    earth: ChipSet, seed: int, buffer: int, block: int
) -> None:
    split = split_by_block(earth, block_chips=block, buffer_chips=buffer, seed=seed)
    assert sorted(split.table["id"]) == earth.ids
    for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
        assert (gaps(earth, split, first, second, 80) >= buffer).all()
    used = split.table[split.table["split"] != "unused"]
    assert (used.groupby("group")["split"].nunique() == 1).all()
    assert split_by_block(shuffled(earth, seed), block_chips=block, buffer_chips=buffer, seed=seed).hash == split.hash
    assert leak_check(earth, split, buffer_chips=buffer, contents=False) == []


def test_shares_are_met_to_within_a_block(earth: ChipSet) -> None:
    split = split_by_block(earth, block_chips=2, buffer_chips=0, shares={"train": 0.5, "test": 0.3, "unused": 0.2})
    assert split.counts() == pytest.approx({"train": 100, "test": 60, "unused": 40}, abs=4)


def test_splits_differ_by_seed_and_zero_is_a_seed(earth: ChipSet) -> None:
    assert len({split_by_block(earth, seed=seed).hash for seed in range(5)}) == 5
    assert len({split_by_region(earth, **CHOICE, block_chips=1, seed=seed).hash for seed in range(5)}) == 5
    assert split_by_block(earth).hash == split_by_block(earth, seed=0).hash


def test_the_buffer_reaches_across_the_antimeridian_on_a_globe_only(earth: ChipSet) -> None:
    split = split_by_region(earth, **CHOICE, buffer_chips=2, validation_share=0)
    columns = earth.index.set_index("id")["column"]
    assert columns[split.ids("train")].min() == 2 * SIZE
    x_step = (*earth.description.transform[:1], 0.0, -180.0, *earth.description.transform[3:])
    narrow = replace(earth.description, transform=(x_step[0] / 2, *x_step[1:]))
    regional = ChipSet(earth.folder, narrow, earth.index)
    split = split_by_region(regional, **CHOICE, buffer_chips=2, validation_share=0)
    assert columns[split.ids("train")].min() == 0
    assert columns[split.ids("train")].max() == 48 - 3 * SIZE


def test_overlapping_chips_never_share_two_splits(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a", (40, 40), 8, stride=3)
    split = split_by_block(made, block_chips=2, buffer_chips=0)
    for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
        rows_or_columns_apart = gaps(made, split, first, second, None)
        assert (rows_or_columns_apart >= 0).all()


def test_a_saved_split_comes_back_with_its_hash(earth: ChipSet, tmp_path: Path) -> None:
    split = split_by_region(earth, **CHOICE)
    split.save(tmp_path / "split.parquet")
    assert Split.load(tmp_path / "split.parquet").hash == split.hash
    assert (tmp_path / "split.hash").read_text().strip() == split.hash


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"train": ["wset"], "test": ["east"], "unused": ["pole", "west"]}, InputError, "group 'wset'.*west"),
        ({"train": ["west"], "test": ["east"]}, InputError, "groups pole are in no list"),
        (
            {"train": ["west", "east"], "test": ["east"], "unused": ["pole"]},
            ConfigError,
            "'east' is listed in train, test",
        ),
        ({**CHOICE, "buffer_chips": 30}, InputError, "train split is empty after a buffer of 30 chips"),
        ({**CHOICE, "buffer_chips": -1}, ConfigError, "buffer_chips = -1"),
        ({**CHOICE, "validation_share": 1.0}, ConfigError, "validation_share = 1.0"),
        ({**CHOICE, "block_chips": 0}, ConfigError, "block_chips = 0"),
    ],
)
def test_impossible_regions_are_refused(
    earth: ChipSet, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        split_by_region(earth, **options)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"shares": {"train": 0.5, "test": 0.4}}, ConfigError, "add up to 0.9"),
        ({"shares": {"train": 0.5, "tset": 0.5}}, ConfigError, "'tset'.*test"),
        ({"shares": {"train": 1.5, "test": -0.5}}, ConfigError, "of at least 0"),
        ({"block_chips": 20}, InputError, "in 1 blocks of 20 x 20 chips"),
        ({"block_chips": 1, "buffer_chips": 9}, InputError, "empty after a buffer of 9 chips"),
    ],
)
def test_impossible_blocks_are_refused(
    earth: ChipSet, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        split_by_block(earth, **options)


def split_of(**splits: list[str]) -> Split:
    rows = [(name, kind, name, 0) for kind, names in splits.items() for name in names]
    return Split(pd.DataFrame(rows, columns=["id", "split", "group", "fold"]))


def test_leaks_are_found_one_by_one(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a", (16, 96), 16, stride=8)
    a, b, c, d = (f"r00000_c{column:05d}" for column in (0, 8, 16, 48))
    assert leak_check(made, split_of(train=[a], test=[d])) == []
    assert leak_check(made, split_of(train=[a], test=[b])) == [
        f"1 train chips overlap test chips, for example {a}",
    ]
    assert leak_check(made, split_of(train=[a], test=[c])) == []
    assert leak_check(made, split_of(train=[a], test=[c]), buffer_chips=1) == [
        f"1 train chips lie within 1 chip widths of test chips, for example {a}"
    ]
    assert leak_check(made, split_of(train=[a], validation=[b]))[0].startswith("1 train chips overlap validation")
    assert "1 ids appear more than once" in leak_check(made, split_of(train=[a], test=[a]))[0]
    assert "are not in" in leak_check(made, split_of(train=[a], test=["x"]))[0]
    grouped = split_of(train=[a], test=[d])
    grouped.table["group"] = "one"
    assert leak_check(made, grouped) == ["Groups lie in more than one split: one"]


def test_the_same_picture_in_two_splits_is_found_even_with_noise(tmp_path: Path) -> None:
    cube = scene((16, 64), dtype="float32")
    numbers = cube["data"].values
    numbers[..., 16:32] = numbers[..., :16]
    numbers[..., 32:48] = numbers[..., :16] + np.random.default_rng(0).normal(0, 3, (1, 4, 16, 16))
    labels = label_map((16, 64))
    labels[:, 16:32] = labels[:, :16]
    made = chips.cut(cube, labels, tmp_path / "a", size=16, legend=LEGEND)
    a, b, c, d = made.ids
    assert leak_check(made, split_of(train=[a], test=[b])) == [
        f"1 pairs of train and test chips hold the same pixels, for example {a} and {b}"
    ]
    assert leak_check(made, split_of(validation=[a], test=[c])) == [
        f"1 pairs of validation and test chips hold nearly the same pixels, for example {a} and {c}"
    ]
    assert leak_check(made, split_of(train=[a, b, c], test=[d])) == []


def test_chips_without_contrast_are_no_leak(tmp_path: Path) -> None:
    cube = scene((16, 32))
    cube["data"].values[:] = 5
    made = chips.cut(cube, np.zeros((16, 32), np.int16), tmp_path / "a", size=16, legend=LEGEND)
    assert leak_check(made, split_of(train=made.ids[:1], test=made.ids[1:])) == []
