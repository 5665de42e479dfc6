"""Damage that hypothesis chooses, and shrinks to the least one that breaks something."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_seeds import SEEDS, Bench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swath.errors import SwathError

Edit = tuple[str, float, bytes]

HUGE = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00" * 8, b"99999999999999999999", b"-1", b"NaN", b"1e999"]
EDITS = st.tuples(
    st.sampled_from(["cut", "flip", "insert", "replace", "repeat"]),
    st.floats(0, 1),
    st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(HUGE)),
)


def changed(data: bytes, edit: Edit) -> bytes:
    """The bytes after one edit at a share of their length; half of the shares lie within the first 512 bytes."""
    what, share, put = edit
    reach = min(len(data), 512) if share < 0.5 else len(data)
    at = int((share * 2 % 1) * reach)
    if what == "cut":
        return data[:at]
    if what == "insert":
        return data[:at] + put + data[at:]
    if what == "replace":
        return data[:at] + put + data[at + len(put) :]
    if what == "repeat":
        return data[:at] + data[at : at + 64 * len(put)] + data[at:]
    return data[:at] + bytes(old ^ new for old, new in zip(data[at:], put, strict=False)) + data[at + len(put) :]


def test_edits_change_bytes_as_they_say() -> None:
    data = bytes(range(10))
    assert changed(data, ("cut", 0.25, b"x")) == data[:5]
    assert changed(data, ("insert", 0.0, b"xy")) == b"xy" + data
    assert changed(data, ("replace", 0.0, b"xy")) == b"xy" + data[2:]
    assert changed(data, ("flip", 0.0, b"\x01")) == b"\x01" + data[1:]
    assert changed(data, ("repeat", 0.0, b"x")) == data + data
    assert changed(b"", ("flip", 0.7, b"x")) == b""


@pytest.mark.parametrize("kind", SEEDS)
def test_damage_ends_in_a_sentence_or_in_success(kind: str, bench: Callable[[str], Bench], tmp_path: Path) -> None:
    ready = bench(kind)
    outcomes = {"sentence": 0, "success": 0}

    @settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(sorted(SEEDS[kind])), st.integers(0, 20), st.lists(EDITS, min_size=1, max_size=3))
    def damaged(name: str, which: int, edits: list[Edit]) -> None:
        place = tmp_path / "trial"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(ready.folder / "seeds" / name, place)
        victim = place / ready.victims(name)[which % len(ready.victims(name))]
        data = victim.read_bytes()
        for edit in edits:
            data = changed(data, edit)
        victim.write_bytes(data)
        try:
            SEEDS[kind][name].use(place)
            outcomes["success"] += 1
        except SwathError as error:
            assert len(str(error)) < 2000
            assert "\n" not in str(error)
            outcomes["sentence"] += 1

    damaged()
    assert outcomes["sentence"] >= 10  # damage that nothing notices would prove nothing
