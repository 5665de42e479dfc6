from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import ContractError, InputError
from swath.types import Split


def table(**changes: object) -> pd.DataFrame:
    columns: dict[str, object] = {
        "id": ["a", "b", "c", "d"],
        "split": ["train", "train", "validation", "test"],
        "group": ["north", "north", "east", "south"],
        "fold": [0, 0, 1, 2],
    }
    return pd.DataFrame({**columns, **changes})


def test_a_good_split() -> None:
    split = Split(table())
    split.check()
    assert split.ids("train") == ["a", "b"]
    assert split.ids("nothing") == []
    assert split.counts() == {"test": 1, "train": 2, "validation": 1}
    assert len(split.hash) == 12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": ["a", "b", "a", "d"]}, "Ids appear twice in the split: a"),
        ({"group": ["north", "east", "east", "south"]}, "Groups lie in more than one split: east"),
        ({"split": ["train", "train", "val", "test"]}, "names the splits val.*nearest to 'val' is: validation"),
        ({"split": ["train", "train", None, "test"]}, "names the splits"),
    ],
)
def test_every_violation_gets_its_sentence(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        Split(table(**changes)).check()


def test_missing_columns_and_empty_tables_are_told() -> None:
    with pytest.raises(ContractError, match="lacks the columns group, fold"):
        Split(table().drop(columns=["group", "fold"])).check()
    with pytest.raises(ContractError, match="no rows"):
        Split(table().iloc[:0]).check()


def test_unused_samples_may_share_a_group_with_any_split() -> None:
    Split(table(split=["train", "unused", "validation", "test"])).check()


def test_samples_without_a_group_do_not_belong_together() -> None:
    Split(table(group=[None, None, None, None])).check()


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(4)))
def test_the_hash_does_not_depend_on_the_order_of_rows_or_columns(order: list[int]) -> None:
    shuffled = table().iloc[order][["fold", "group", "id", "split"]]
    assert Split(shuffled).hash == Split(table()).hash


@pytest.mark.parametrize(
    "changes",
    [
        {"split": ["train", "validation", "validation", "test"]},
        {"group": ["north", "north", "east", "west"]},
        {"fold": [0, 0, 1, 1]},
        {"id": ["a", "b", "c", "e"]},
        {"id": ["a", "b", "c", "d\ttest"]},
        {"group": [None, "north", "east", "south"]},
    ],
)
def test_the_hash_changes_with_any_assignment(changes: dict[str, object]) -> None:
    assert Split(table(**changes)).hash != Split(table()).hash


def test_the_hash_stays_from_release_to_release() -> None:
    assert Split(table()).hash == "f22c40f8dcb6"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"id": [1, 2, 3, 4]},
        {"group": [None, "north", "east", "south"]},
        {"group": [np.nan, "north", "east", pd.NA]},
        {"fold": [0.0, None, 1.0, 2.0]},
        {"split": ["unused"] * 4},
    ],
)
def test_saving_and_loading_keeps_table_and_hash(tmp_path: Path, changes: dict[str, object]) -> None:
    split = Split(table(**changes))
    split.save(tmp_path / "split.parquet")
    again = Split.load(str(tmp_path / "split.parquet"))
    assert again.hash == split.hash
    assert again.counts() == split.counts()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["split.hash", "split.parquet"]


def test_extra_columns_are_not_stored(tmp_path: Path) -> None:
    Split(table().assign(note="x")).save(tmp_path / "split.parquet")
    assert list(Split.load(tmp_path / "split.parquet").table.columns) == ["id", "split", "group", "fold"]


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "split.parquet"
    Split(table()).save(path)
    with pytest.raises(Exception, match=r"object|convert|type"):
        Split(table(group=[object()] * 4)).save(path)
    assert Split.load(path).hash == Split(table()).hash
    assert len(list(tmp_path.iterdir())) == 2


def test_an_edited_table_is_told(tmp_path: Path) -> None:
    path = tmp_path / "split.parquet"
    Split(table()).save(path)
    table(split=["test", "train", "validation", "test"]).to_parquet(path)
    with pytest.raises(InputError, match=r"has the hash .* not .* as written"):
        Split.load(path)
    Split(table(split=["test", "train", "validation", "test"], group=None)).save(path)
    assert Split.load(path).counts()["test"] == 2


def test_a_table_without_its_hash_is_told(tmp_path: Path) -> None:
    path = tmp_path / "split.parquet"
    Split(table()).save(path)
    path.with_suffix(".hash").unlink()
    with pytest.raises(InputError, match=r"without its hash or the hash was deleted.*make the split again"):
        Split.load(path)
    path.with_suffix(".hash").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="as written"):
        Split.load(path)


def test_missing_damaged_and_other_tables_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no split table .*split\.parquet"):
        Split.load(tmp_path / "split.parquet")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match=r"broken\.parquet' cannot be read"):
        Split.load(broken)
    other = tmp_path / "other.parquet"
    pd.DataFrame({"id": ["a"]}).to_parquet(other)
    with pytest.raises(InputError, match="lacks the columns split, group, fold"):
        Split.load(other)
