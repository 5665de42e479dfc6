"""What all readers of published data sets promise, tested on their fake trees."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from swath.errors import InputError
from swath.sources.published import READERS
from swath.sources.published.common import UNLABELLED, histogram

RECORDS = (".tif", ".jpg", ".png", ".json")
"""Endings of the files that hold the records themselves, not what is told about them."""
READER = pytest.mark.parametrize("reader", READERS.values(), ids=list(READERS))


@READER
def test_a_fake_tree_is_without_problems(reader: ModuleType, tmp_path: Path) -> None:
    root = reader.write_fake(tmp_path / "tree", 0)
    assert reader.check(root) == []
    described = reader.describe(root)
    assert described.name == reader.NAME
    assert described.records == len(reader.open(root)) > 0
    assert described.missing == ()
    assert set(described.labels) == ({*described.classes, UNLABELLED} if described.classes else set())
    json.dumps(described.as_dict())


@READER
def test_the_same_seed_gives_the_same_fingerprint(reader: ModuleType, tmp_path: Path) -> None:
    prints = [reader.describe(reader.write_fake(tmp_path / name, seed)).fingerprint for name, seed in
              (("a", 0), ("b", 0), ("c", 1))]  # fmt: skip
    assert prints[0] == prints[1] != prints[2]


@READER
def test_any_byte_changes_the_fingerprint(reader: ModuleType, tmp_path: Path) -> None:
    root = reader.write_fake(tmp_path, 0)
    before = reader.describe(root).fingerprint
    victim = max(path for path in root.rglob("*") if path.suffix in RECORDS)
    victim.write_bytes(victim.read_bytes() + b"\0")
    assert reader.describe(root).fingerprint != before


@READER
def test_no_directory_and_an_empty_one(reader: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no directory"):
        reader.open(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no file"):
        reader.open(tmp_path)
    with pytest.raises(InputError):
        reader.describe(tmp_path)


@READER
def test_a_damaged_file_is_a_problem_and_not_a_crash(reader: ModuleType, tmp_path: Path) -> None:
    root = reader.write_fake(tmp_path, 0)
    victims = sorted(path for path in root.rglob("*") if path.suffix in RECORDS and "LabelHand" not in path.name)
    assert len(victims) >= 2
    for victim in victims[:2]:
        victim.write_bytes(b"II*\0 not a raster")
    problems = reader.check(root)
    for victim in victims[:2]:
        assert any(victim.name in problem for problem in problems)


def test_a_histogram_counts_what_is_outside_as_unlabelled() -> None:
    counts = histogram([np.array([[0, 1], [1, -100]]), np.array([7, 0], np.int16)], ("a", "b"))
    assert counts == {"a": 2, "b": 2, UNLABELLED: 2}
    assert histogram([], ("a",)) == {"a": 0, UNLABELLED: 0}
    assert histogram([np.zeros((0, 3), np.int16)], ()) == {UNLABELLED: 0}
