"""The races of Prithvi's training steps and of inference, with swath's own contenders on tiny tiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parents[2] / "bench"


def run(name: str, *options: str) -> tuple[list[dict[str, Any]], str]:
    """Rows of JSON and the rest of what a race prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(BENCH / f"{name}.py"), "--quick", *options],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return rows, "\n".join(line for line in lines if not line.startswith("{"))


def test_two_loops_of_pretraining_do_the_same_work() -> None:
    rows, table = run("prithvi_step", "--work", "masked", "--dates", "2")
    assert [row["contender"] for row in rows] == ["swath_plain", "swath", "swath", "swath_plain"]
    assert not any("failed" in row for row in rows)
    assert {row["parameters"] for row in rows} == {31_741_444}
    assert "NOT THE SAME WORK" not in table and table.count("loss and norm within") == 2


def test_low_rank_changes_alone_learn() -> None:
    rows, table = run("prithvi_step", "--work", "lora", "--contenders", "swath")
    # Twelve blocks, rank 8 beside a layer of 192 to 576 numbers, and a head of two classes.
    assert {row["learn"] for row in rows} == {12 * 8 * (192 + 576) + 2 * 192 + 2}
    assert "NOT THE SAME WORK" not in table


def test_runtimes_agree_about_the_same_network() -> None:
    rows, table = run("inference")
    turns = [row for row in rows if "contender" in row]
    assert {row["contender"] for row in turns} == {"torch", "onnxruntime", "onnxruntime_int8"}
    assert all(each["wall_s"] > 0 for row in turns for each in row["rows"])
    difference = {line.split(":")[0]: float(line.split("difference ")[1].split(",")[0]) for line in table.splitlines()
                  if "largest difference" in line}  # fmt: skip
    assert difference["torch"] == 0
    assert 0 < difference["onnxruntime"] < 1e-4 < difference["onnxruntime_int8"] < 0.5
