"""Options and training of a segmentation model on a chip set."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import chips, cubes, sensors
from swath.errors import ConfigError, InputError
from swath.learn import TrainOptions, build_task, read_options, train_segmentation
from swath.learn.segmentation import class_weights
from swath.types import Split

SIZE, CHIP = 64, 16
OPTIONS = TrainOptions.model_validate(
    {
        "network": {"width": 8, "depth": 1, "norm": "channel"},
        "batch_size": 4,
        "augment": {"brightness": 0.0},
        "fit": {"epochs": 20, "learning_rate": 0.01, "threads": 1},
    }
)


@pytest.fixture(scope="module")
def chipset(tmp_path_factory: pytest.TempPathFactory) -> chips.ChipSet:
    """Left half dark, right half bright, in two bands; the third band is noise."""
    bands = sensors.load("sentinel2_l2a").bands.select(("B02", "B04", "B08"))
    values = np.random.default_rng(0).normal(0.0, 0.02, (1, 3, SIZE, SIZE)).astype(np.float32)
    values[:, :2, :, : SIZE // 2] += 0.1
    values[:, :2, :, SIZE // 2 :] += 0.4
    labels = np.zeros((SIZE, SIZE), np.int16)
    labels[:, SIZE // 2 :] = 1
    geobox = GeoBox((SIZE, SIZE), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32632")
    cube = cubes.make_cube(
        values,
        np.ones((1, SIZE, SIZE), bool),
        geobox,
        bands,
        time=np.array(["2024-06-01"], "datetime64[ns]"),
        scale=[1.0] * 3,
        offset=[0.0] * 3,
        stored=False,
        attrs={},
    )
    raster = xr.DataArray(labels, dims=("y", "x"), coords={"y": cube["y"], "x": cube["x"]})
    legend = cubes.Legend.of("dark", "bright")
    folder = tmp_path_factory.mktemp("segmentation") / "chips"
    return chips.cut(cube, raster, folder, size=CHIP, legend=legend)


@pytest.fixture(scope="module")
def split(chipset: chips.ChipSet) -> Split:
    made = chips.split_by_block(chipset, block_chips=1, buffer_chips=0.0, seed=0)
    chips.statistics(chipset, made).save(chipset.folder / "statistics.json")
    return made


def test_learns_what_can_be_learned_and_resumes(chipset: chips.ChipSet, split: Split, tmp_path: Path) -> None:
    task = train_segmentation(chipset, split, OPTIONS, tmp_path / "run", seed=0, progress=False)
    batch = chipset.batch(split.ids("test"))
    right = task.predict(batch).label() == batch.targets["label"]
    assert right.float().mean() > 0.95
    again = train_segmentation(chipset, split, OPTIONS, tmp_path / "run", seed=0, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(task.parameters(), again.parameters(), strict=True))
    with pytest.raises(ConfigError, match="seed"):
        train_segmentation(chipset, split, OPTIONS, tmp_path / "run", seed=1, progress=False)


def test_learns_from_chosen_bands_only(chipset: chips.ChipSet, split: Split) -> None:
    known = chips.Statistics.load(chipset.folder / "statistics.json")
    chosen = OPTIONS.model_copy(update={"bands": ("B08", "B02")})
    task = build_task(chipset, known, [10, 10], chosen, seed=0)
    assert task.inputs["image"].names == ("B08", "B02")
    assert task.normalise.mean.tolist() == pytest.approx([known.mean[2], known.mean[0]])
    batch = chipset.batch(chipset.ids[:2])
    before = task.predict(batch).outputs["logits"]
    batch.inputs["image"].values[:, :, 1] = 9.0  # B04 is not among the chosen
    assert torch.equal(task.predict(batch).outputs["logits"], before)
    with pytest.raises(InputError, match="B99"):
        build_task(chipset, known, [10, 10], OPTIONS.model_copy(update={"bands": ("B99",)}), seed=0)


def test_same_seed_same_weights(chipset: chips.ChipSet, split: Split) -> None:
    known = chips.Statistics.load(chipset.folder / "statistics.json")
    first, second, other = (build_task(chipset, known, [10, 10], OPTIONS, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_class_weights_by_hand() -> None:
    assert class_weights([30, 10], 0.0) == (1.0, 1.0)
    assert class_weights([30, 10], 1.0) == pytest.approx((40 / 60, 40 / 20))
    assert class_weights([30, 10], 0.5) == pytest.approx((math.sqrt(40 / 60), math.sqrt(2)))
    assert class_weights([30, 0, 10], 1.0) == pytest.approx((40 / 60, 1.0, 2.0))  # an absent class is never drawn


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("batchsize: 8", "batch_size"),
        ("fit: {epoch: 3}", "epochs"),
        ("network: {wdth: 3}", "width"),
        ("batch_size: [", "not YAML"),
        ("- 1", "keys and values"),
        ("bands: []", "bands"),
    ],
)
def test_wrong_options_get_a_sentence(text: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=part):
        read_options(path)


def test_flags_beat_the_file(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("batch_size: 4\nfit: {epochs: 3, weight_decay: 0.1}\n")
    options = read_options(path, epochs=7, batch_size=2)
    assert (options.fit.epochs, options.fit.weight_decay, options.batch_size) == (7, 0.1, 2)
    assert read_options(None) == TrainOptions()
    with pytest.raises(InputError, match="no file"):
        read_options(tmp_path / "absent.yaml")
