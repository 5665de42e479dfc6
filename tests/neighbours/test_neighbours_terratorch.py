"""Chip sets as TerraTorch's data module reads them, and what its checkpoints say."""

from __future__ import annotations

import subprocess
from dataclasses import replace
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
from swath.models.prithvi_keys import published_name
from swath.models.sizes import PRITHVI
from swath.neighbours import load_encoder, read_checkpoint, write_terratorch
from swath.nn.masked_autoencoder import MaskedAutoencoder
from swath.nn.time_place import TimePlace


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


def tuned(path: Path, bands: int = 6, **changes: Any) -> tuple[Path, MaskedAutoencoder]:
    """A checkpoint with the encoder of the smallest Prithvi, under the names that TerraTorch gives its parts."""
    network = MaskedAutoencoder(replace(PRITHVI["prithvi_eo_v2_tiny_tl"], bands=bands))
    state = {f"model.{published_name(key)}": value for key, value in network.state_dict().items() if "encoder." in key}
    state |= {"model.encoder.pos_embed": torch.zeros(1, 3, 4), "model.decoder.conv.weight": torch.zeros(2, 2),
              "model.head.bias": torch.zeros(3)}  # fmt: skip
    options = {"model_args": {"backbone": "prithvi_eo_v2_tiny_tl", "backbone_bands": ["BLUE", "RED"][:bands]}}
    torch.save({"state_dict": state, "hyper_parameters": options} | changes, path)
    return path, network


def test_the_encoder_of_a_checkpoint_is_taken_with_its_own_bands(tmp_path: Path) -> None:
    path, network = tuned(tmp_path / "a.ckpt", bands=2)
    encoder, report = load_encoder(path)
    assert report.unused == () and report.new == ()
    assert dict(report.bands) == dict.fromkeys(("BLUE", "RED"), "the same place in the checkpoint")
    assert encoder.spec.taps == (2, 5, 8, 11)
    images, about = torch.rand(1, 2, 2, 32, 32), TimePlace.unknown(1)
    with torch.no_grad():
        found, wanted = (each(images, about) for each in (encoder, network.encoder.eval()))
    assert torch.equal(found.maps[-1], wanted.maps[-1])


def test_encoders_of_other_sizes_or_without_a_name(tmp_path: Path) -> None:
    path, _ = tuned(tmp_path / "a.ckpt", hyper_parameters={"model_args": {"backbone": "prithvi_eo_v2_tiny"}})
    with pytest.raises(ConfigError, match="prithvi_eo_v2_tiny_tl"):
        load_encoder(path)
    assert load_encoder(path, "prithvi_eo_v2_tiny_tl")[0].spec.width == 192
    with pytest.raises(InputError):
        load_encoder(path, "prithvi_eo_v2_100_tl")
    with pytest.raises(InputError, match="another family"):
        load_encoder(checkpoint(tmp_path / "b.ckpt"))


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


TUNED = """
import sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[2])
import shim
import numpy as np, torch
from terratorch.tasks import SemanticSegmentationTask
torch.manual_seed(0)
task = SemanticSegmentationTask(
    model_factory="EncoderDecoderFactory",
    model_args=dict(backbone="prithvi_eo_v2_tiny_tl", backbone_pretrained=False, backbone_num_frames=1,
                    backbone_bands=["BLUE", "RED", "SWIR_1"], backbone_coords_encoding=[], decoder="FCNDecoder",
                    decoder_channels=8, num_classes=2, necks=[{"name": "SelectIndices", "indices": [2, 5, 8, 11]},
                    {"name": "ReshapeTokensToImage"}]),
    loss="ce", ignore_index=-100)
task.eval()
image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32))
with torch.no_grad():
    features = task.model.encoder(image)
np.savez(sys.argv[1] + ".npz", *[each[:, 1:].numpy() for each in features])
torch.save({"state_dict": task.state_dict(), "epoch": 3,
            "hyper_parameters": {"model_factory": "EncoderDecoderFactory", "model_args": {
                "backbone": "prithvi_eo_v2_tiny_tl", "backbone_bands": ["BLUE", "RED", "SWIR_1"], "num_classes": 2}}},
           sys.argv[1])
"""


def test_the_encoder_of_a_real_checkpoint_gives_the_same_features(tmp_path: Path) -> None:
    path, peers = tmp_path / "real.ckpt", Path(__file__).parents[2] / "bench" / "peers"
    done = subprocess.run(
        [python_of("terratorch"), "-c", TUNED, str(path), str(peers)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    encoder, report = load_encoder(path)
    assert [band for band, _ in report.bands] == ["BLUE", "RED", "SWIR_1"]
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32))
    with torch.no_grad():
        features = encoder(image[:, None], TimePlace.unknown(1))
    stored = np.load(f"{path}.npz")
    for place, ours in zip(encoder.spec.taps, features.maps, strict=True):
        wanted = torch.from_numpy(stored[f"arr_{place}"])
        found = ours[0].flatten(2).movedim(1, 2)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
