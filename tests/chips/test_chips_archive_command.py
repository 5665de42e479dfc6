"""The commands of ``swath archive``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from archive_makers import at, hls, link
from typer.testing import CliRunner

from swath import chips
from swath.cli.chips_archive import app
from swath.errors import ConfigError, InputError
from swath.failures import EXIT_WITH_FAILURES
from swath.sources.published import instageo


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    link(folder / "cat", [hls(folder / "cat", "2023-05-20", level=1), hls(folder / "cat", "2024-05-20", level=2)])
    points = pd.concat(
        [at([(3, 4), (40, 40)]), at([(5, 9), (40, 5)], day="2023-06-20"), at([(5, 5)], day="2020-01-01")]
    )
    points = points.rename(columns={"lon": "x", "lat": "y", "when": "date"})
    points["date"] = points["date"].dt.strftime("%Y-%m-%d")
    points[["x", "y", "date", "label"]].to_csv(folder / "points.csv", index=False)
    return folder


def run(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, [str(word) for word in words])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, " ".join(found.output.split())


def test_from_points_to_statistics(place: Path, tmp_path: Path) -> None:
    out, words = tmp_path / "chips", ("--size", 32, "--steps", 1, "--step-days", 31, "--classes", "dry,wet")
    code, said = run("points", place / "cat", place / "points.csv", "-o", out, *words, "--published", tmp_path / "ig")
    assert code == EXIT_WITH_FAILURES
    assert "4 chips in" in said
    assert "2020-01-01" in said
    assert "failures.csv" in said
    assert len(instageo.open(tmp_path / "ig")) == 4
    code, said = run("points", place / "cat", place / "points.csv", "-o", out, *words, "--where", "date > 2022")
    assert (code, "4 chips in" in said, "0 cut now" in said) == (0, True, True)
    code, said = run("split", out, "--by", "year", "--same-place", "--validation", 0)
    assert code == 0
    assert "train" in said
    code, said = run("statistics", out)
    found = json.loads(said)
    held = chips.open(out)
    assert found["chips"] == 2
    assert set(found["class_weights"]) == {"dry", "wet"}
    train = held.load([name for name in held.ids if name.startswith("2023")])
    np.testing.assert_allclose(found["mean"], train.values.mean(axis=(0, 1, 3, 4)), rtol=1e-5)
    code, said = run("clean", out, "-o", tmp_path / "clean", "--labels", "limit")
    assert (code, "4 chips in" in said) == (0, True)
    code, said = run("publish", out, "-o", tmp_path / "ig")
    assert (code, "4 chips in the published layout" in said) == (0, True)
    with pytest.raises(ConfigError, match="cluster"):
        run("split", out, "--by", "clusters")


def test_boxes_and_what_is_wrong(place: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text("[[16.184, 40.638, 16.188, 40.642]]")
    words = ("--date", "2024-06-20", "--size", 16, "--steps", 1, "--step-days", 31)
    code, said = run("boxes", place / "cat", tmp_path / "boxes.json", "-o", tmp_path / "b", *words)
    assert (code, "chips in" in said) == (0, True)
    assert len(chips.open(tmp_path / "b")) >= 1
    with pytest.raises(InputError, match="no column 'lable'"):
        run("points", place / "cat", place / "points.csv", "-o", tmp_path / "c", "--label", "lable")
    with pytest.raises(ConfigError, match="hls"):
        run("points", place / "cat", place / "points.csv", "-o", tmp_path / "c", "--source", "hsl")
    (tmp_path / "records.csv").write_text("label_filename,date\na.tif,2024-06-20\n")
    with pytest.raises(ConfigError, match="--classes"):
        run("rasters", place / "cat", tmp_path / "records.csv", tmp_path, "-o", tmp_path / "c")
