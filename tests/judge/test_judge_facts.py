from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
from judge_samples import BANDS, CLASSES, MakeBatches

import swath
from swath.judge import MajorityClass, facts_of, score
from swath.types import Split


def chips_and_split() -> tuple[Any, Split]:
    columns = {"id": ["a", "b", "c"], "split": ["train", "train", "test"], "group": None, "fold": None}
    chipset = SimpleNamespace(folder=Path("somewhere/fields"), fingerprint="f" * 64)
    return chipset, Split(pd.DataFrame(columns))


def test_every_number_says_where_it_comes_from(make_batches: MakeBatches) -> None:
    chipset, split = chips_and_split()
    model = MajorityClass({"image": BANDS}, CLASSES).fit(make_batches())
    facts = facts_of(chipset, split, model, part="test", data_kind="simulated", config={"width": 8})
    rows = score(model, make_batches(seed=1), facts=facts).rows
    assert {row.data_kind for row in rows} == {"simulated"}
    assert {(row.dataset, row.dataset_hash, row.split) for row in rows} == {("fields", "f" * 12, "test")}
    assert {(row.bands, row.n_train, row.n_test) for row in rows} == {("red,green,blue", 2, 6)}
    assert {row.code_version for row in rows} == {swath.__version__}
    assert all((row.note or "").startswith(f"split {split.hash}; ") for row in rows)


def test_the_hash_of_the_options_knows_every_option_but_not_their_order() -> None:
    chipset, split = chips_and_split()
    model = MajorityClass({"image": BANDS}, CLASSES)

    def digest(config: dict[str, object] | None) -> str | None:
        return facts_of(chipset, split, model, part="test", data_kind="real", config=config).config_hash

    assert digest(None) is None
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
