"""``swath check`` and the flags of ``swath train``: a dry run, then the same network trained and scored."""

from __future__ import annotations

import json
from pathlib import Path

from cli_scenes import CUT, SENSOR, Run

TINY = "network: {backbone: vit_micro, head_width: 8, options: {width: 12, depth: 2, patch: 4}}\nfit: {threads: 1}\n"


def test_checked_then_trained_then_scored(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    assert swath("chips", "cut", scene, "-l", polygons, "--out", folder, *CUT, *SENSOR)[0] == 0
    config = tmp_path / "train.yaml"
    config.write_text(TINY)
    code, out, _ = swath("check", folder, "--config", config, "--tuning", "lora", "--epochs", 2, "--json")
    found = json.loads(out)
    assert code == 0 and found["problems"] == [] and found["steps"]["epochs"] == 2
    assert found["output"][1] == 3 and any(0 < part["learning"] < part["parameters"] for part in found["parts"])
    code, out, _ = swath("check", folder)
    assert code == 0 and "no problems found" in out and "encoder.backbone" in out and "B08" in out

    run = tmp_path / "run"
    options = ("--config", config, "--tuning", "lora", "--epochs", 2)
    assert swath("train", folder, "--out", run, *options)[0] == 0
    record = json.loads((run / "last" / "model.json").read_text())
    assert record["architecture"]["tuning"]["kind"] == "lora"
    code, out, _ = swath("evaluate", run, folder)
    assert code == 0 and "miou" in out


def test_problems_end_with_exit_code_1(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    assert swath("chips", "cut", scene, "-l", polygons, "--out", folder, *CUT, *SENSOR)[0] == 0
    config = tmp_path / "train.yaml"
    config.write_text("bands: [B99]\nloss: mse\n")
    code, out, _ = swath("check", folder, "--config", config)
    assert code == 1 and "problem: There is no band 'B99'" in out
    code, _, error = swath("check", folder, "--backbone", "unett")
    assert code == 2 and "the nearest is unet" in error
    code, _, error = swath("train", folder, "--out", tmp_path / "run", "--head", "vector")
    assert code == 2 and "numbers per pixel" in error


def test_published_sizes_by_name(swath: Run) -> None:
    code, out, _ = swath("check", "prithvi_eo_v2_600", "--json")
    assert code == 0 and json.loads(out)[-1]["parameters"] > 6e8
    code, _, error = swath("check", "prithvi_eo_v2_60")
    assert code == 2 and "prithvi_eo_v2_600" in error


def test_a_system_tells_the_sizes_that_it_stands_for(swath: Run) -> None:
    code, out, _ = swath("check", "satmaepp", "--json")
    rows = json.loads(out)
    assert code == 0 and {row["size"] for row in rows} == {"satmaepp_vitl_grouped", "satmaepp_vitl_rgb"}
    encoder = {row["size"]: row["parameters"] for row in rows if row["part"] == "encoder"}
    assert encoder["satmaepp_vitl_grouped"] == 302_970_880
    assert "publishes no model" in swath("check", "reobench")[1]
