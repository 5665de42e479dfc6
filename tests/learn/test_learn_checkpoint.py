"""Checkpoints: round trip, strictness, old and new schemas, damaged and foreign files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import learn_fakes as fakes
import pytest
import torch
from learn_fakes import make_batch, make_task
from safetensors.torch import load_file, save_file
from torch import nn

from swath.errors import ConfigError, ContractError, InputError
from swath.learn import SegmentationLoss, SegmentationTask, load_checkpoint, read_record, save_checkpoint
from swath.learn.checkpoint import MIGRATIONS, SCHEMA_VERSION
from swath.nn import Normalise, UNet
from swath.sensors import BandSet
from swath.types import Batch, Modality

OLD = Path(__file__).parent / "data" / "checkpoint_v0"
COLOURS = ("#0000ff", "#aa8800", "#008800")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    task = make_task(colours=COLOURS, valid_rule="all")
    return save_checkpoint(tmp_path / "model", task, config={"epochs": 3}, provenance={"seed": 0, "miou": float("nan")})


def edit(directory: Path, **changes: Any) -> None:
    path = directory / "model.json"
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in record.items() if value is not None}))


def test_round_trip_without_the_training_configuration(saved: Path) -> None:
    task, batch = make_task(colours=COLOURS, valid_rule="all"), make_batch([1, 2])
    loaded = load_checkpoint(saved)
    assert loaded.record() == task.record()
    assert (loaded.bands, loaded.classes, loaded.colours) == (fakes.BANDS, fakes.CLASSES, COLOURS)
    assert loaded.inputs == {"image": fakes.BANDS} and loaded.valid_rule == "all" and not loaded.training
    one, two = task.predict(batch), loaded.predict(batch)
    assert torch.equal(one.outputs["logits"], two.outputs["logits"]) and torch.equal(one.valid, two.valid)
    weights = SegmentationLoss(class_weights=(1.0, 0.5, 2.0))
    assert loaded.loss_terms == weights and loaded.class_weights is not None
    assert torch.equal(load_checkpoint(saved / "model.json").predict(batch).label(), one.label())


def test_the_record_is_readable_standard_json(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "model.safetensors"]
    record = json.loads((saved / "model.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert record["schema_version"] == SCHEMA_VERSION == 1
    assert record["architecture"]["name"] == "unet" and record["architecture"]["arguments"]["width"] == 4
    assert record["bands"][0]["name"] == "B04" and record["bands"][0]["aliases"] == ["red"]
    assert record["config"] == {"epochs": 3} and record["provenance"] == {"seed": 0, "miou": None}
    assert {"swath", "torch", "numpy", "python"} <= set(record["versions"])
    modes = {path.stat().st_mode & 0o777 for path in saved.iterdir()}
    assert len(modes) == 1  # weights are as readable as the record
    assert set(load_file(saved / "model.safetensors")) == set(make_task().state_dict())


def test_saving_replaces_and_an_unknown_network_leaves_the_old_one(saved: Path) -> None:
    before = (saved / "model.safetensors").read_bytes()
    stranger = SegmentationTask(nn.Conv2d(2, 3, 1), Normalise([0, 0], [1, 1]), fakes.BANDS, fakes.CLASSES)
    with pytest.raises(ContractError, match=r"Conv2d cannot be written to a checkpoint"):
        save_checkpoint(saved, stranger, config={}, provenance={})
    assert (saved / "model.safetensors").read_bytes() == before
    save_checkpoint(saved, make_task(seed=1), config={}, provenance={})
    assert (saved / "model.safetensors").read_bytes() != before


def test_a_stored_old_checkpoint_migrates_and_predicts_the_same() -> None:
    task = load_checkpoint(OLD)
    assert task.classes == ("water", "soil", "plants") and task.colours[0] == "#2b6cb0"
    assert task.bands.names == ("B04", "B08") and task.normalise.mean.tolist() == [0.25, 0.5]
    expected = json.loads((OLD / "expected.json").read_text())
    image = torch.tensor(expected["image"])
    logits = task(image, torch.ones_like(image, dtype=torch.bool))
    torch.testing.assert_close(logits.detach(), torch.tensor(expected["logits"]), rtol=1e-4, atol=1e-5)
    record = read_record(OLD)
    assert record["schema_version"] == 1 and record["config"] == {"epochs": 3, "learning_rate": 0.002}
    assert "network" not in record and "schema_version" not in json.loads((OLD / "model.json").read_text())


def test_every_schema_has_its_migration(tmp_path: Path) -> None:
    assert sorted(MIGRATIONS) == list(range(SCHEMA_VERSION))
    task = load_checkpoint(OLD)
    save_checkpoint(tmp_path, task, config={}, provenance={})  # an old model saved today is a present one
    assert load_checkpoint(tmp_path).record() == task.record()


@pytest.mark.parametrize("number", [2, 99, -1, "1"])
def test_a_newer_schema_says_to_update(number: Any, saved: Path) -> None:
    edit(saved, schema_version=number)
    with pytest.raises(InputError, match=r"has the schema version .*from 0 to 1.*update swath"):
        load_checkpoint(saved)


def test_missing_files_are_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no checkpoint in .*nowhere"):
        load_checkpoint(tmp_path / "nowhere")
    (saved / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"The weights .*model.safetensors are missing"):
        load_checkpoint(saved)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_truncated_weights_are_named(size: int, saved: Path) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"model.safetensors \(\d+ bytes\) cannot be read as safetensors"):
        load_checkpoint(saved)


def test_pickled_weights_are_never_read(saved: Path) -> None:
    torch.save(make_task().state_dict(), saved / "model.safetensors")
    with pytest.raises(InputError, match="pickled weights are never read"):
        load_checkpoint(saved)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', "\x00\x01"])
def test_a_foreign_record_is_named(text: str, saved: Path) -> None:
    (saved / "model.json").write_text(text)
    with pytest.raises(InputError, match=r"cannot be read as JSON|not of a swath checkpoint"):
        load_checkpoint(saved)


def test_weights_that_do_not_fit_are_listed(saved: Path) -> None:
    path = saved / "model.safetensors"
    weights = load_file(path)
    weights["extra"] = torch.zeros(1)
    weights["network.decoder.head.bias"] = torch.zeros(7)
    del weights["network.encoder.levels.0.0.0.weight"]
    save_file(weights, path)
    with pytest.raises(InputError) as caught:
        load_checkpoint(saved)
    for part in (
        "network.encoder.levels.0.0.0.weight is missing",
        "extra is not in the architecture",
        "network.decoder.head.bias has shape (7,) instead of (3,)",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": {"name": "unett", "arguments": {}}}, "architecture 'unett' is unknown.*nearest is unet"),
        ({"architecture": {"name": "unet", "arguments": {"widht": 4}}}, "do not fit the architecture 'unet'"),
        ({"task": "segmentaton"}, "task 'segmentaton' is unknown.*nearest is segmentation"),
        ({"bands": [{"name": "B04", "colour": 1}]}, "band B04 has the unknown fields colour"),
        ({"bands": [{"unit": "1"}]}, "has no name"),
        ({"statistics": {}}, "not as schema 1 has it"),
        ({"statistics": None}, "lacks statistics"),
    ],
)
def test_an_edited_record_is_named(changes: dict[str, Any], sentence: str, saved: Path) -> None:
    edit(saved, **changes)
    with pytest.raises(InputError, match=sentence):
        load_checkpoint(saved)


def test_numbers_that_do_not_fit_each_other_are_named(saved: Path) -> None:
    edit(saved, classes=["water", "soil"])
    with pytest.raises(ConfigError, match=r"There are 3 .* and 2 classes"):
        load_checkpoint(saved)
    edit(saved, classes=list(fakes.CLASSES), loss={"dicee": 1})
    with pytest.raises(ConfigError, match="write dice instead of dicee"):
        load_checkpoint(saved)


def test_a_constant_band_survives_without_a_second_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="B08"):
        normalise = Normalise([0.5, 0.5], [0.3, 0.0], names=fakes.BANDS.names)
    task = SegmentationTask(UNet(2, 3, width=4, depth=1), normalise, fakes.BANDS, fakes.CLASSES)
    save_checkpoint(tmp_path, task, config={}, provenance={})
    assert load_checkpoint(tmp_path).normalise.std.tolist() == normalise.std.tolist()


def test_a_copied_checkpoint_works_from_another_place(saved: Path, tmp_path: Path) -> None:
    shutil.move(saved, tmp_path / "elsewhere")
    image = make_batch([3]).inputs["image"]
    swapped = Modality(image.values.flip(2), image.valid, BandSet(tuple(image.bands)[::-1]), image.time, image.grid)
    task = load_checkpoint(tmp_path / "elsewhere")
    one = task.predict(Batch({"image": image}, ids=("a",))).outputs["logits"]
    assert torch.equal(one, task.predict(Batch({"image": swapped}, ids=("a",))).outputs["logits"])
