"""``swath evaluate --corruptions``: a model trained by the command line, judged on worse images."""

from __future__ import annotations

from pathlib import Path

import yaml
from cli_scenes import CUT, SENSOR, Run

from swath.judge import ResultTable

OPTIONS = {
    "network": {"width": 8, "depth": 1, "norm": "channel"},
    "batch_size": 8,
    "augment": {"brightness": 0.0},
    "fit": {"epochs": 6, "learning_rate": 0.01, "threads": 1},
}


def test_evaluate_under_corruptions(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    swath("chips", "cut", scene, "-l", polygons, "-o", tmp_path / "chips", *CUT, *SENSOR)
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(OPTIONS))
    code, _, err = swath("train", tmp_path / "chips", "-o", tmp_path / "run", "-c", tmp_path / "train.yaml")
    assert code == 0, err
    judged = ("evaluate", tmp_path / "run", tmp_path / "chips", "-o", tmp_path / "rows")
    code, out, err = swath(*judged, "--corruptions", "haze,scale_image", "--severities", "1,5")
    assert code == 0, err
    assert "| haze |" in out and "| scale |" in out and "severity 5" in out
    page = (tmp_path / "rows.html").read_text()
    assert f"page: {tmp_path / 'rows.html'}" in out and page.count("<img") == 3  # curves and two examples
    assert "--corruptions haze,scale_image --severities 1,5 --seed 0" in page
    table = ResultTable.load(tmp_path / "rows.parquet")
    cells = {(row.corruption, row.severity) for row in table}
    assert cells == {(None, None), ("haze", 1), ("haze", 5), ("scale", 1), ("scale", 5)}
    (clean,) = [row.value for row in table.select(metric="accuracy", corruption=None)]
    (hazy,) = [row.value for row in table.select(metric="accuracy", corruption="haze", severity=5)]
    assert clean > 0.8 and hazy < clean
    # What is in the table is not measured again, and more is added.
    code, _, err = swath(*judged, "--corruptions", "haze,gaps", "--severities", "1")
    assert code == 0, err
    assert len(ResultTable.load(tmp_path / "rows.parquet")) == len(table) * 6 // 5
    # A split that was edited after it was written is no split.
    hashes = tmp_path / "chips" / "split.hash"
    hashes.write_text("0" * len(hashes.read_text().strip()) + "\n")
    for words in ((), ("--corruptions", "haze")):
        code, _, err = swath(*judged, *words)
        assert code != 0
        assert "has the hash" in " ".join(err.split())


def test_bad_corruptions(swath: Run, tmp_path: Path) -> None:
    for words, expected in (
        (("--corruptions", "fog"), "no corruption 'fog'"),
        (("--corruptions", "haze", "--severities", "0"), "severity = 0"),
        (("--corruptions", "haze", "--severities", "1,6"), "severity = 6"),
        (("--html", "page.html"), "--html page.html without --corruptions"),
        (("--corruptions", "haze", "--html", "page.pdf"), "has the suffix '.pdf'"),
        (("--corruptions", "haze", "--severities", "1,six"), "whole numbers from 1 to 5"),
        (("--corruptions", "haze", "--metric", "iou"), "--metric iou"),
    ):
        code, _, err = swath("evaluate", tmp_path / "none", tmp_path, *words)
        assert code == 2
        assert expected in " ".join(err.split())
