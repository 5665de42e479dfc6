from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from judge_samples import CLASSES

from swath.errors import ContractError, InputError
from swath.judge import (
    Timer,
    class_map,
    confusion_picture,
    contender_bars,
    decide,
    environment,
    map_panels,
    peak_rss_mb,
    training_curve,
    write_report,
)
from swath.judge.registration import load_registration
from swath.metrics import ConfusionMatrix
from swath.types import IGNORE, Picture, Report, ResultRow

PNG = b"\x89PNG\r\n"


class Page(HTMLParser):
    """Collects links and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def report(tmp_path: Path, registration: Path, row: ResultRow) -> Report:
    matrix = ConfusionMatrix(CLASSES, np.array([[5, 1, 0], [2, 7, 1], [0, 0, 0]]))
    picture = confusion_picture(matrix, tmp_path / "run" / "confusion.png", "Test")
    first, second = load_registration(registration)
    rows = [
        replace(row, ci_low=0.45, ci_high=0.55, n_test=20, split="test", note="interval: over 20 samples"),
        replace(row, backbone="forest", value=0.4, split="test", data_kind="simulated"),
        replace(row, metric="iou", class_name="ice & snow", value=float("nan"), split="test"),
        replace(row, metric="rmse", value=2.5, split="test"),
        replace(row, group="Asia", split="test"),
    ]
    return Report(
        system="demo",
        title="Land <cover>",
        data="real",
        rows=tuple(rows),
        claims=(decide(first, [0.05] * 7, registered="a" * 40 + " (amended)"), decide(second, [])),
        wall_s=125.0,
        peak_rss_mb=512.4,
        pictures=(Picture(picture, 'Confusion "matrix"'),),
        files={"map": tmp_path / "run" / "prediction.tif"},
        notes=("water & urban are ignored",),
    )


def test_json_holds_everything(report: Report, tmp_path: Path) -> None:
    path, _ = write_report(report, tmp_path / "run", command="swath demo")
    content = json.loads(path.read_text())
    assert {"system", "data", "claims", "rows", "wall_s", "peak_rss_mb", "files"} <= set(content)
    assert (content["system"], content["data"], content["wall_s"]) == ("demo", "real", 125.0)
    assert content["rows"][0]["ci_low"] == 0.45
    assert content["rows"][2]["value"] is None
    assert content["files"] == {"map": "prediction.tif"}
    assert content["pictures"][0]["path"] == "confusion.png"
    assert content["claims"][0]["verdict"] == "holds (indicative)"
    assert content["claims"][1]["verdict"] == "not measured"
    assert content["command"] == "swath demo"
    assert str(tmp_path) not in path.read_text()


def test_page_is_self_contained_and_well_formed(report: Report, tmp_path: Path) -> None:
    _, path = write_report(report, tmp_path / "run")
    text = path.read_text()
    page = Page(text)
    assert page.open == []
    assert [address for address in page.addresses if not address.startswith("data:")] == ["prediction.tif"]
    assert not re.search(r"https?:|url\(|@import|<script", text)
    assert "prefers-color-scheme: dark" in text
    assert str(tmp_path) not in text
    for words in (
        "Land <cover>",
        "ice & snow",
        "water & urban are ignored",
        "50.0",
        "[45.0 to 55.0]",
        "swath run demo",
    ):
        assert words in page.text
    for words in ("undefined", "holds (indicative)", "not measured", "(amended)", "2.1 minutes", "group Asia"):
        assert words in page.text
    figures = page.text.count("real") + page.text.count("simulated")
    assert figures >= len(report.rows) + 2
    assert sorted(p.name for p in path.parent.iterdir()) == ["confusion.png", "report.html", "report.json"]


def test_several_seeds_show_mean_and_deviation(report: Report, tmp_path: Path, row: ResultRow) -> None:
    seeds = tuple(replace(row, seed=seed, value=0.5 + 0.02 * seed) for seed in range(3))
    mixed = (replace(row, metric="accuracy", head="a"), replace(row, metric="accuracy", head="b", value=0.7))
    _, path = write_report(replace(report, rows=seeds + mixed), tmp_path / "run")
    page = Page(path.read_text())
    assert "52.0 (2.0) 3 runs" in page.text
    assert "60.0" not in page.text  # the mean of two heads would mean nothing


def test_smallest_report(tmp_path: Path) -> None:
    empty = Report(system="demo", title="Nothing", data="fixture")
    path, page = write_report(empty, tmp_path / "new" / "folder")
    assert json.loads(path.read_text())["rows"] == []
    assert "Scores" not in Page(page.read_text()).text


def test_bad_reports_leave_no_files(report: Report, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"no picture .*absent.png"):
        write_report(replace(report, pictures=(Picture(tmp_path / "absent.png", "x"),)), out)
    with pytest.raises(ContractError, match="already holds"):
        write_report(replace(report, rows=report.rows * 2), out)
    assert not out.exists()


def test_pictures_are_drawn_and_repeatable(tmp_path: Path) -> None:
    matrix = ConfusionMatrix(CLASSES, np.array([[5, 1, 0], [2000, 7, 1], [0, 0, 0]]))
    first, again = (confusion_picture(matrix, tmp_path / f"{name}.png").read_bytes() for name in "ab")
    assert first == again
    labels = np.array([[0, 1, 2], [IGNORE, 1, 1]])
    extent = (-180.0, 180.0, -90.0, 90.0)
    paths = [
        class_map(labels, CLASSES, tmp_path / "map.png", title="Map", extent=extent),
        class_map(np.zeros((1, 1), np.int64), ["ice"], tmp_path / "one.png", colours=["#0072B2"]),
        contender_bars(["a", "b"], [0.5, np.nan], [0.4, None], [0.6, None], tmp_path / "bars.png", label="mIoU"),
        confusion_picture(ConfusionMatrix(("one",)), tmp_path / "empty.png"),
    ]
    for path in paths:
        assert path.read_bytes().startswith(PNG)
    with pytest.raises(InputError, match="labels up to 2"):
        class_map(labels, CLASSES[:2], tmp_path / "bad.png")
    with pytest.raises(InputError, match="2 names, 1 values"):
        contender_bars(["a", "b"], [0.5], [None], [None], tmp_path / "bad.png", label="mIoU")
    assert not (tmp_path / "bad.png").exists()


def test_panels_of_maps_and_colours(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [IGNORE, 2]])
    picture = np.zeros((2, 2, 3), np.uint8)
    path = map_panels({"scene": picture, "truth": labels}, CLASSES, tmp_path / "panels.png", columns=1)
    assert path.read_bytes().startswith(PNG)
    for panels in ({}, {"truth": labels[0]}, {"truth": labels + 1}, {"scene": picture[..., :2]}):
        with pytest.raises(InputError, match="cannot be drawn"):
            map_panels(panels, CLASSES, tmp_path / "bad.png")
    assert not (tmp_path / "bad.png").exists()


def test_training_curve(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,epoch,loss,learning_rate,validation_miou\n1,0,2.0,0.1,\n2,0,1.5,0.1,0.3\n3,1,1.2,0.1,0.4\n")
    assert training_curve(log, tmp_path / "curve.png").read_bytes().startswith(PNG)
    log.write_text("step,learning_rate\n1,0.1\n")
    with pytest.raises(InputError, match="no measures"):
        training_curve(log, tmp_path / "bad.png")
    for content in (None, ""):
        log.unlink() if content is None else log.write_text(content)
        with pytest.raises(InputError, match="cannot be read"):
            training_curve(log, tmp_path / "bad.png")


def test_resources() -> None:
    with Timer() as timer:
        assert timer.seconds >= 0
    assert timer.seconds == timer.seconds
    assert 20 < peak_rss_mb() < 100_000
    facts = environment()
    assert facts["python"].startswith("3.")
    assert facts["numpy"] == np.__version__
