"""The tables of docs/networks.md name what exists; that its code runs is tested with all documents."""

from __future__ import annotations

import re
from pathlib import Path

from swath.nn import losses
from swath.nn.build import NAMES
from swath.nn.keys import TABLES
from swath.nn.network import HEADS
from swath.nn.tuning import KINDS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")


def test_everything_that_exists_is_named() -> None:
    named = set(re.findall(r"`([\w.]+)`", DOCUMENT))
    functions = {name for name in losses.__all__ if name.islower() and name != "class_weights_from_counts"}
    assert not {*NAMES, *HEADS, *KINDS, *TABLES, *functions} - named
