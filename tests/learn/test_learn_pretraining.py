"""Pretraining on a chip set: the options of the documents run, resume, are checked, and lead to an encoder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import chips, cubes, sensors
from swath.errors import ConfigError, ContractError, InputError
from swath.learn.objectives import load_masked, pretrained_network
from swath.learn.pretraining import PretrainOptions, _spread, pretrain, read_pretrain_options
from swath.nn.grouped import GroupedAutoencoder
from swath.nn.masked_autoencoder import MaskedAutoencoder
from swath.types import Split

CHIP, SIDE = 32, 128
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
PAGE = Path(__file__).parents[2] / "docs" / "pretraining.md"
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)]


@pytest.fixture(scope="module")
def chipset(tmp_path_factory: pytest.TempPathFactory) -> chips.ChipSet:
    """Waves that differ by band and date, some pixels missing."""
    stream = np.random.default_rng(0)
    rows, columns = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    phase = np.arange(3)[:, None, None, None] + 0.3 * np.arange(10)[None, :, None, None]
    values = 0.2 + 0.1 * np.sin(rows / 9 + phase) + 0.05 * np.cos(columns / 5)
    valid = stream.random((3, SIDE, SIDE)) > 0.02
    geobox = GeoBox((SIDE, SIDE), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32632")
    cube = cubes.make_cube(
        values.astype(np.float32),
        valid,
        geobox,
        sensors.load("sentinel2_l2a").bands.select(BANDS),
        time=np.array(["2024-05-01", "2024-06-01", "2024-07-01"], "datetime64[ns]"),
        scale=[1.0] * 10,
        offset=[0.0] * 10,
        stored=False,
        attrs={},
    )
    labels = (rows > columns).astype(np.int16)
    raster = xr.DataArray(labels, dims=("y", "x"), coords={"y": cube["y"], "x": cube["x"]})
    folder = tmp_path_factory.mktemp("pretraining") / "chips"
    return chips.cut(cube, raster, folder, size=CHIP, legend=cubes.Legend.of("below", "above"))


@pytest.fixture(scope="module")
def split(chipset: chips.ChipSet) -> Split:
    return chips.split_by_block(chipset, block_chips=1, buffer_chips=0.0, seed=0)


def tiny(example: dict[str, Any], **fit: Any) -> PretrainOptions:
    """The same options at the smallest size: one epoch, a narrow and shallow network."""
    model = {**example["model"], "width": 32, "depth": 1, "heads": 2, "decoder_width": 16, "decoder_depth": 1,
             "decoder_heads": 2}  # fmt: skip
    changed = {**example, "model": model, "batch_size": 4, "fit": {**example["fit"], "epochs": 1, "threads": 1, **fit}}
    if example["model"].get("doublings"):
        changed["masking"] = {**example["masking"], "ratio": 0.5}  # four tokens per group at 8 pixels
    return read_pretrain_options(changed)


def test_there_is_an_example_per_family() -> None:
    options = [read_pretrain_options(example) for example in EXAMPLES]
    found = [(o.model.family, o.model.doublings) for o in options]
    assert found == [("space_time", 0), ("grouped", 0), ("grouped", 2), ("grouped", 0)]
    assert options[3].bands == ("red", "green", "blue") and options[3].probe is not None
    assert {(o.fit.monitor, o.fit.monitor_mode) for o in options} == {("masked_mse", "min")}
    assert {o.fit.epochs for o in options} == {100}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_run(number: int, chipset: chips.ChipSet, split: Split, tmp_path: Path) -> None:
    options = tiny(EXAMPLES[number])
    task = pretrain(chipset, split, options, tmp_path / "run", seed=0, progress=False)
    assert isinstance(task.model, MaskedAutoencoder if number == 0 else GroupedAutoencoder)
    log = (tmp_path / "run" / "log.csv").read_text(encoding="utf-8")
    assert ("psnr_4x_bilinear" in log) == (number == 2) and "masked_mse_mean" in log
    assert ("probe_accuracy" in log) == (number == 3)
    assert (tmp_path / "run" / "curves.png").stat().st_size > 5000
    assert json.loads((tmp_path / "run" / "options.json").read_text()) == options.model_dump(mode="json")
    assert (tmp_path / "run" / "reconstructions.png").stat().st_size > 5000
    made = pretrained_network(tmp_path / "run" / "best", chipset.bands.select(["B08", "B04", "B02"]), 2, head="linear")
    used = ("B04", "B02") if number == 3 else ("B02", "B04", "B08")  # in the order of pretraining
    assert made.bands.names == used
    assert made.network(torch.zeros(1, len(used), 32, 32)).shape == (1, 2, 32, 32)


def test_the_same_seed_gives_the_same_weights(chipset: chips.ChipSet, split: Split, tmp_path: Path) -> None:
    options = tiny(EXAMPLES[1])
    one = pretrain(chipset, split, options, tmp_path / "one", seed=3, progress=False)
    other = pretrain(chipset, split, options, tmp_path / "other", seed=3, progress=False)
    assert all(a.equal(b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    again = pretrain(chipset, split, options, tmp_path / "one", seed=3, progress=False)  # finished: returns at once
    assert again.record() == one.record()
    third = pretrain(chipset, split, options, tmp_path / "third", seed=4, progress=False)
    assert not third.model.blank.equal(one.model.blank)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="started differently"):
        pretrain(chipset, split, tiny(EXAMPLES[2]), tmp_path / "one", seed=3, progress=False)


def test_without_validation_the_last_epoch_is_kept(chipset: chips.ChipSet, split: Split, tmp_path: Path) -> None:
    table = split.table[split.table["split"] == "train"]
    pretrain(chipset, Split(table), tiny(EXAMPLES[1]), tmp_path, seed=0, progress=False)
    assert not (tmp_path / "best").exists() and load_masked(tmp_path / "last")


def test_options_are_refused_before_anything_runs(chipset: chips.ChipSet, split: Split, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'model\.doubling' is unknown.*write doublings"):
        read_pretrain_options({"model": {"doubling": 1}})
    with pytest.raises(ConfigError, match="'groups' is given and the family is 'space_time'"):
        read_pretrain_options({"groups": [["B02"]]})
    with pytest.raises(ConfigError, match=r"'model\.conditions' is given and the family is 'grouped'"):
        read_pretrain_options({"model": {"family": "grouped", "conditions": ["time"]}})
    with pytest.raises(ConfigError, match="B05, B06, B07, B8A, B11, B12 are in no group"):
        pretrain(chipset, split, {**EXAMPLES[1], "groups": [["B02", "B03", "B04", "B08"]]}, tmp_path, seed=0)
    with pytest.raises(InputError, match="'B99'"):
        pretrain(chipset, split, {**EXAMPLES[0], "bands": ["B99"]}, tmp_path, seed=0)
    with pytest.raises(ContractError, match="nearest is 28 or 35"):
        pretrain(chipset, split, {**EXAMPLES[0], "model": {"patch": 7}}, tmp_path, seed=0)
    with pytest.raises(InputError, match="no file"):
        read_pretrain_options(tmp_path / "none.yaml")
    assert not list(tmp_path.iterdir())


def test_chips_of_the_picture_are_spread() -> None:
    ids = [str(number) for number in range(10)]
    assert _spread(ids, 4) == ["0", "3", "6", "9"]
    assert _spread(ids[:2], 4) == ["0", "1"] and _spread(ids[:1], 4) == ["0"]


def test_options_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pretrain.yaml"
    path.write_text(yaml.safe_dump(EXAMPLES[2]), encoding="utf-8")
    assert read_pretrain_options(path) == read_pretrain_options(EXAMPLES[2])
    assert read_pretrain_options(None) == PretrainOptions()
