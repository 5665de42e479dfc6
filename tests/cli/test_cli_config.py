"""``--config FILE.yaml``: options from a file do what typed ones do, and mistakes in it get a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_scenes import Run


@pytest.fixture
def cut(swath: Run, scene: Path, polygons: Path) -> Run:
    """``swath chips cut`` of the scene and its polygons, with further arguments."""
    return lambda *rest: swath("chips", "cut", scene, "-l", polygons, *rest)


def facts(folder: Path) -> dict[str, object]:
    held: dict[str, object] = json.loads((folder / "chips.json").read_text(encoding="utf-8"))
    return held


FILE = """
# lists, numbers, texts and names with dashes are written as on the command line
column: cover
size: 16
block: 1
sensor: sentinel2_l2a
baseline: 05.09
bands: [B02, B03, B04, B08]
time: 2024-06-01
min-valid: 0.25
legend:
"""


def test_a_file_does_what_typed_options_do_and_typed_ones_beat_it(cut: Run, tmp_path: Path) -> None:
    (tmp_path / "cut.yaml").write_text(FILE)
    code, _, err = cut("-o", tmp_path / "a", "--config", tmp_path / "cut.yaml")
    assert code == 0, err
    typed = ("--column", "cover", "--block", 1, "--sensor", "sentinel2_l2a", "--baseline", "05.09")
    typed += ("--bands", "B02,B03,B04,B08", "--time", "2024-06-01", "--min-valid", 0.25)
    assert cut("-o", tmp_path / "b", *typed, "--size", 16)[0] == 0
    assert facts(tmp_path / "a") == facts(tmp_path / "b")
    assert facts(tmp_path / "a")["size"] == 16
    assert cut("-o", tmp_path / "c", "--size", 32, "-c", tmp_path / "cut.yaml")[0] == 0
    assert facts(tmp_path / "c")["size"] == 32
    assert facts(tmp_path / "c")["times"] == facts(tmp_path / "a")["times"]


def test_even_what_must_be_given_may_stand_in_the_file(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.yaml").write_text(f"{FILE}\nlabels: {polygons}\nout: {tmp_path / 'a'}\n")
    code, _, err = swath("chips", "cut", scene, "-c", tmp_path / "cut.yaml")
    assert code == 0, err
    assert facts(tmp_path / "a")["size"] == 16


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sise: 16", "the nearest are: size"),
        ("config: other.yaml", "gives the option 'config', which the command does not have"),
        ("scene: other.tif", "gives the option 'scene'"),
        ("7: 16", "gives the option '7'"),
        ("size: {a: 1}", "a value with parts of its own"),
        ("bands: [[B02]]", "a value with parts of its own"),
        ("bands: [B02, ]\nbands: B03", "give every key once"),
        ("- size", "holds a list"),
        ("", "holds nothing"),
        ("size: [16", "is not YAML"),
    ],
)
def test_mistakes_in_the_file_are_sentences(cut: Run, tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "cut.yaml").write_text(text)
    code, _, err = cut("-o", tmp_path / "a", "-c", tmp_path / "cut.yaml", "--column", "cover")
    said = " ".join(err.split())
    assert code == 2
    assert sentence in said and "What to do:" in said and "Traceback" not in said, said
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("text", ["size: many", "size: 0", "size: true", "size: [16, 32]"])
def test_values_that_an_option_cannot_have_name_it(cut: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "cut.yaml").write_text(text)
    code, _, err = cut("-o", tmp_path / "a", "-c", tmp_path / "cut.yaml", "--column", "cover")
    assert code == 2 and "--size" in err
    assert not (tmp_path / "a").exists()


def test_a_missing_file_is_a_sentence(cut: Run, tmp_path: Path) -> None:
    code, _, err = cut("-o", tmp_path / "a", "-c", tmp_path / "nothing.yaml", "--column", "cover")
    assert code == 2 and "There is no file" in " ".join(err.split())


def test_switches_are_true_or_false(swath: Run, scene: Path, tmp_path: Path) -> None:
    (tmp_path / "scenes.yaml").write_text("clear: true\n")
    code, _, err = swath("scenes", "load", tmp_path, "-c", tmp_path / "scenes.yaml")
    assert code == 2 and "catalog" in err  # an empty folder is no catalogue; the switch was taken
    (tmp_path / "scenes.yaml").write_text("clear: perhaps\n")
    code, _, err = swath("scenes", "load", tmp_path, "-c", tmp_path / "scenes.yaml")
    assert code == 2 and "--clear" in err


@pytest.mark.parametrize(
    "command", [["predict"], ["predict-many"], ["chips", "cut"], ["data", "make"], ["vectorise"], ["scenes", "load"]]
)
def test_commands_with_many_options_have_it(swath: Run, command: list[str]) -> None:
    code, out, _ = swath(*command, "--help")
    assert code == 0 and "--config" in out
