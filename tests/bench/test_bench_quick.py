"""The races of Prithvi's training steps and of inference, with swath's own contenders on tiny tiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parents[2] / "bench"


def run(name: str, *options: str, quick: bool = True) -> tuple[list[dict[str, Any]], str]:
    """Rows of JSON and the rest of what a race prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(BENCH / f"{name}.py"), *(["--quick"] if quick else []), *options],
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


def test_students_of_a_published_shape_map_a_scene() -> None:
    _, table = run("instageo_scene")
    lines = [line.split(" | ") for line in table.splitlines() if ", torch |" in line or ", int8 |" in line]
    sizes = {line[0].strip("| "): int(line[1].replace(",", "")) for line in lines}
    assert list(sizes) == [f"{who}, {how}" for who in ("teacher", "student of 1", "student of 1, width 96")
                           for how in ("torch", "int8")]  # fmt: skip
    assert sizes["teacher, torch"] > sizes["student of 1, torch"] > 2 * sizes["student of 1, width 96, int8"]


def test_what_runs_on_a_card_runs_on_a_processor() -> None:
    asked = ("prithvi_eo_v2_tiny_tl", "--device", "cpu", "--batch", "1", "--side", "32", "--seconds", "0")
    [row], table = run("graphics_card", *asked, quick=False)
    assert (row["features_float32"], row["loss_float32"], row["parameters"]) == (0, 0, 31_741_444)
    assert row["learns"] and "DOES NOT FALL" not in table
    rows, said = run(
        "graphics_scene", "--network", "prithvi_eo_v2_tiny_tl", "--device", "cpu", "--side", "224", "--corner", "224",
        "--batch", "1", quick=False,
    )  # fmt: skip
    assert len(rows) == 4 and all(row["seconds"] >= row["network_s"] > 0 for row in rows)
    assert "differ by at most 0 of" in said
