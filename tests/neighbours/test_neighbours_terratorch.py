"""Chip sets as TerraTorch's data module reads them, and what its checkpoints say."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from neighbour_chips import made, python_of, split_of

from swath import chips
from swath.cubes import Legend
from swath.errors import ConfigError, InputError
from swath.neighbours import read_checkpoint, write_terratorch


def written(chipset: chips.ChipSet, out: Path) -> Path:
    return write_terratorch(chipset, split_of(chipset), chips.Statistics.load(chipset.folder / "statistics.json"), out)


def test_stored_numbers_are_standardised_as_swath_would(tmp_path: Path) -> None:
    chipset = made(tmp_path / "chips")
    record = yaml.safe_load(written(chipset, tmp_path / "t.yaml").read_text())
    options = record["data"]["init_args"]
    statistics = chips.Statistics.load(chipset.folder / "statistics.json")
    raw = np.array([2500.0, 3000.0])
    theirs = (raw * options["constant_scale"] - options["means"]) / options["stds"]
    ours = (raw * 1e-4 - 0.1 - np.array(statistics.mean)) / np.array(statistics.std)
    np.testing.assert_allclose(theirs, ours, rtol=1e-6)
    assert options["num_classes"] == 3 and record["model"]["init_args"]["ignore_index"] == -100
    split = split_of(chipset)
    assert (tmp_path / "t_train.txt").read_text().split() == list(split.ids("train"))
    assert Path(options["train_data_root"]).samefile(chipset.folder / "images")


def test_what_terratorch_cannot_read_is_refused(tmp_path: Path) -> None:
    scales = made(tmp_path / "a", scale=[1e-4, 1e-3])
    with pytest.raises(ConfigError, match="one scale for all bands"):
        written(scales, tmp_path / "t.yaml")
    legend = made(tmp_path / "b", legend=Legend.from_names({1: "water", 2: "forest", 3: "field"}))
    with pytest.raises(ConfigError, match=r"values 1, 2, 3.*0 to 2"):
        written(legend, tmp_path / "t.yaml")
    assert not list(tmp_path.glob("t*"))


def checkpoint(path: Path, **changes: Any) -> Path:
    content = {
        "state_dict": {"model.encoder.weight": torch.zeros(4, 2), "model.head.bias": torch.zeros(3)},
        "hyper_parameters": {
            "model_factory": "EncoderDecoderFactory",
            "model_args": {"backbone": "prithvi_eo_v2_300", "backbone_bands": ["BLUE", "RED"], "num_classes": 3},
        },
        "epoch": 7,
        **changes,
    }
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return path


def test_a_checkpoint_says_what_it_is(tmp_path: Path) -> None:
    found = read_checkpoint(checkpoint(tmp_path / "a.ckpt"))
    assert (found.factory, found.bands, found.num_classes, found.epoch) == (
        "EncoderDecoderFactory",
        ("BLUE", "RED"),
        3,
        7,
    )
    assert found.shapes == {"model.encoder.weight": (4, 2), "model.head.bias": (3,)}
    bare = read_checkpoint(checkpoint(tmp_path / "b.ckpt", hyper_parameters=None, epoch=None))
    assert (bare.factory, bare.bands, bare.num_classes, bare.epoch) == ("", (), None, None)


class Danger:
    """Would make a file when unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.canary,))


def test_checkpoints_run_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = checkpoint(tmp_path / "a.ckpt", hyper_parameters={"model_args": Danger(canary)})
    with pytest.raises(InputError, match="cannot be read without running"):
        read_checkpoint(path)
    assert not canary.exists()


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        read_checkpoint(tmp_path / "a.ckpt")
    (tmp_path / "a.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="holds no state_dict"):
        read_checkpoint(checkpoint(tmp_path / "b.ckpt", state_dict=None))
    with pytest.raises(InputError, match="holds no state_dict"):
        read_checkpoint(checkpoint(tmp_path / "c.ckpt", state_dict={"a": 1}))


SCRIPT = """
import sys, pathlib, yaml
sys.path.insert(0, sys.argv[2])
import shim
from terratorch.datamodules import GenericNonGeoSegmentationDataModule
record = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text())
module = GenericNonGeoSegmentationDataModule(**record["data"]["init_args"])
module.setup("fit")
print(len(module.train_dataset))
sample = module.train_dataset[0]
print(tuple(sample["image"].shape), tuple(sample["mask"].shape), sorted(set(sample["mask"].flatten().tolist())))
"""


def test_terratorch_reads_the_chips(tmp_path: Path) -> None:
    chipset = made(tmp_path / "chips")
    out = written(chipset, tmp_path / "t.yaml")
    peers = Path(__file__).parents[2] / "bench" / "peers"
    done = subprocess.run(
        [python_of("terratorch"), "-c", SCRIPT, str(out), str(peers)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    count, shapes = done.stdout.strip().splitlines()[-2:]
    assert int(count) == len(split_of(chipset).ids("train"))
    assert "(2, 8, 8)" in shapes and "(8, 8)" in shapes
