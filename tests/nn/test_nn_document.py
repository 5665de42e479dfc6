"""The code in docs/networks.md runs, and its tables name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from swath.nn import losses
from swath.nn.build import NAMES
from swath.nn.keys import TABLES
from swath.nn.network import HEADS
from swath.nn.tuning import KINDS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_code_runs(number: int) -> None:
    exec(compile(BLOCKS[number], f"docs/networks.md block {number}", "exec"), {})


def test_everything_that_exists_is_named() -> None:
    assert len(BLOCKS) >= 2
    named = set(re.findall(r"`([\w.]+)`", DOCUMENT))
    functions = {name for name in losses.__all__ if name.islower() and name != "class_weights_from_counts"}
    assert not {*NAMES, *HEADS, *KINDS, *TABLES, *functions} - named
