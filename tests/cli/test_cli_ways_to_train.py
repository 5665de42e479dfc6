"""Other ways to train: from a teacher, without labels, on what that left; and models for other runtimes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_scenes import CUT, SENSOR, Run

from swath import load
from swath.learn import ModelTask, SegmentationTask

VIT = "network: {backbone: vit_micro, head: linear, options: {width: 12, depth: 3, patch: 4}}\nfit: {threads: 1}\n"
MAE = """model: {width: 16, depth: 2, heads: 2, patch: 4, decoder_width: 16, decoder_depth: 1, decoder_heads: 2}
fit: {epochs: 1, threads: 1}
"""
ONE = ("--epochs", 1)


@pytest.fixture
def chips(swath: Run, scene: Path, polygons: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "chips"
    assert swath("chips", "cut", scene, "-l", polygons, "--out", folder, *CUT, *SENSOR)[0] == 0
    return folder


def test_a_student_of_one_block(swath: Run, chips: Path, tmp_path: Path) -> None:
    config, teacher, student = tmp_path / "vit.yaml", tmp_path / "teacher", tmp_path / "student"
    config.write_text(VIT)
    assert swath("train", chips, "--out", teacher, "--config", config, *ONE)[0] == 0
    config.write_text("distil: {depth: 1, temperature: 2}\nfit: {threads: 1}\n")
    code, out, _ = swath("train", chips, "--out", student, "--teacher", teacher, "--config", config, *ONE)
    assert code == 0 and "student: blocks 0 of 3" in out
    record = json.loads((student / "last" / "model.json").read_text())
    assert record["architecture"]["arguments"]["options"]["depth"] == 1
    assert record["provenance"]["distil"]["temperature"] == 2
    config.write_text(f"teacher: {teacher}\ndistil: {{depth: 1}}\nfit: {{threads: 1}}\n")
    code, out, _ = swath("check", chips, "--config", config, "--json")
    planned = json.loads(out)
    assert code == 0 and planned["parameters"] == sum(value.numel() for value in load(student).parameters())
    for folder in teacher.iterdir():  # the student needs nobody
        folder.rename(tmp_path / f"gone_{folder.name}")
    code, out, _ = swath("evaluate", student, chips)
    assert code == 0 and "miou" in out
    code, _, error = swath("train", chips, "--out", tmp_path / "other", "--teacher", teacher, *ONE)
    assert code == 2 and "no checkpoint" in error


def test_pretrained_without_labels_and_trained_on_it(swath: Run, chips: Path, tmp_path: Path) -> None:
    config, run, head = tmp_path / "pretrain.yaml", tmp_path / "pretrained", tmp_path / "head"
    config.write_text(MAE)
    code, out, _ = swath("train", chips, "--out", run, "--objective", "mae", "--config", config, "--batch-size", 8)
    assert code == 0 and "--pretrained" in out and (run / "reconstructions.png").is_file()
    assert json.loads((run / "options.json").read_text())["batch_size"] == 8
    config.write_text("augment: {flips: false, rotations: false, brightness: 0}\nnetwork: {head: linear}\n")
    options = ("--pretrained", run, "--tuning", "frozen", "--config", config, *ONE)
    code, out, _ = swath("check", chips, *options, "--json")
    planned = json.loads(out)
    assert code == 0 and planned["problems"] == [] and planned["output"][1] == 3
    code, out, _ = swath("train", chips, "--out", head, *options)
    assert code == 0 and "what was loaded" in out and "features of the frozen backbone" in out
    assert (head / "features" / "features.json").is_file()
    trained = load(head)
    assert isinstance(trained, ModelTask)
    encoder = json.loads((run / "best" / "model.json").read_text())
    kept = trained.intake
    assert kept is not None
    assert kept.normalise["image"].mean.tolist() == encoder["inputs"]["image"]["statistics"]["mean"]
    code, out, _ = swath("evaluate", head, chips)
    assert code == 0 and "miou" in out
    for odd, part in (
        (("--objective", "mea"), "the nearest is mae"),
        (("--objective", "mae", "--backbone", "unet"), "--backbone was given with --objective"),
        (("--objective", "mae", "--teacher", run), "--teacher was given with --objective"),
        (("--pretrained", run, "--backbone", "vit_small"), "network.backbone"),
    ):
        code, _, error = swath("train", chips, "--out", tmp_path / "odd", *odd)
        assert code == 2 and part in error
    assert not (tmp_path / "odd").exists()


def test_an_exported_model_is_scored_and_maps(swath: Run, chips: Path, scene: Path, tmp_path: Path) -> None:
    config, run, out = tmp_path / "train.yaml", tmp_path / "run", tmp_path / "model.onnx"
    config.write_text("network: {width: 4, depth: 1}\nfit: {threads: 1}\n")
    assert swath("train", chips, "--out", run, "--config", config, *ONE)[0] == 0
    code, told, _ = swath("export", run, "--out", out, "--chips", chips, "--tile", 32)
    assert code == 0 and "100 % of the places" in told and "miou:" in told
    scores = [swath("evaluate", model, chips)[1] for model in (run, out)]
    assert scores[0] == scores[1]
    code, _, _ = swath("predict", out, scene, "--out", tmp_path / "map.tif", *SENSOR, "--tile", 64, "--overlap", 16)
    assert code == 0 and (tmp_path / "map.tif").is_file()
    config.write_text("network: {width: 2, depth: 1}\nfit: {threads: 1}\n")  # and a narrower one learns from it
    small = tmp_path / "small"
    assert swath("train", chips, "--out", small, "--teacher", run, "--config", config, *ONE)[0] == 0
    student = load(small)
    assert isinstance(student, SegmentationTask)
    assert json.loads((small / "best" / "model.json").read_text())["provenance"]["distil"]["depth"] is None
