"""The dry run: what it counts is what training has, and every fault of the samples is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import chips, cubes, sensors
from swath.learn import ModelTask, Plan, plan, read_options, train
from swath.learn.memory import kept_bytes
from swath.nn.joint import JointNetwork
from swath.types import Split

SIZE, CHIP = 64, 16
SMALL: dict[str, Any] = {
    "network": {"width": 4, "depth": 1, "head_width": 8},
    "batch_size": 4,
    "fit": {"epochs": 2, "threads": 1, "accumulate": 2},
    "series": {"width": 8, "heads": 2},
}


def cut(folder: Path, *, dates: tuple[str, ...] = ("2024-06-01",), scale: float = 1.0) -> chips.ChipSet:
    """Left half dark, right half bright, in two bands; the third band is noise."""
    bands = sensors.load("sentinel2_l2a").bands.select(("B02", "B04", "B08"))
    values = np.random.default_rng(0).normal(0.2, 0.02, (len(dates), 3, SIZE, SIZE)).astype(np.float32)
    values[:, :2, :, SIZE // 2 :] += 0.3
    labels = np.zeros((SIZE, SIZE), np.int16)
    labels[:, SIZE // 2 :] = 1
    cube = cubes.make_cube(
        values * np.float32(scale),
        np.ones((len(dates), SIZE, SIZE), bool),
        GeoBox((SIZE, SIZE), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32632"),
        bands,
        time=np.array(dates, "datetime64[ns]"),
        scale=[1.0] * 3,
        offset=[0.0] * 3,
        stored=False,
        attrs={},
    )
    raster = xr.DataArray(labels, dims=("y", "x"), coords={"y": cube["y"], "x": cube["x"]})
    made = chips.cut(cube, raster, folder, size=CHIP, legend=cubes.Legend.of("dark", "bright", "never"))
    split = chips.split_by_block(made, block_chips=1, buffer_chips=0.0, seed=0)
    split.save(folder / "split.parquet")
    chips.statistics(made, split).save(folder / "statistics.json")
    return chips.open(folder)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> chips.ChipSet:
    return cut(tmp_path_factory.mktemp("plan") / "one")


def told(samples: chips.ChipSet, **options: Any) -> Plan:
    merged = {**SMALL, **options, "network": {**SMALL["network"], **options.get("network", {})}}
    return plan(samples, read_options(merged))


def test_what_is_counted_is_what_is_trained(one: chips.ChipSet, tmp_path: Path) -> None:
    vit = {"backbone": "vit_micro", "options": {"width": 12, "depth": 2, "patch": 4}, "head_width": 8}
    options = {**SMALL, "network": vit, "tuning": "lora"}
    found = plan(one, read_options(options))
    model = train(one, Split.load(one.folder / "split.parquet"), read_options(options), tmp_path / "run", seed=0,
                  progress=False)  # fmt: skip
    assert isinstance(model, ModelTask)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert sum(part[1] for part in found.parts) == total == found.record()["parameters"]
    assert 0 < sum(part[2] for part in found.parts) < total
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert int(lines[-1].split(",")[1]) == found.steps["steps"]
    batch = one.batch(one.ids[: found.steps["batch_size"]])
    assert tuple(model.predict(batch).outputs["logits"].shape) == found.output
    assert found.inputs[0].shape == tuple(batch.inputs["image"].values.shape)
    assert found.counts == one.class_counts(Split.load(one.folder / "split.parquet").ids("train"))
    assert json.loads(json.dumps(found.record()))["memory_mb"] > 0


@pytest.mark.parametrize("options", [{}, {"backbone": "swin_micro", "head": "linear", "options": {"width": 8}}])
def test_memory_without_memory_is_that_of_a_real_pass(options: dict[str, Any]) -> None:
    kept = []
    for device in ("cpu", "meta"):
        with torch.device(device):
            network = JointNetwork({"a": {"bands": 3, "dates": 2}}, 2, time="attention", **options)
            images, days = {"a": torch.zeros(4, 2, 3, 16, 16)}, {"a": torch.zeros(4, 2)}
            seen = {"a": torch.ones(4, 2, 16, 16, dtype=torch.bool)}
            kept.append(kept_bytes(network, lambda n=network, i=images, s=seen, d=days: n(i, s, d)))
    assert kept[0][1] == kept[1][1] == (4, 2, 16, 16)
    assert kept[1][0] == pytest.approx(kept[0][0], rel=0.05)  # attention keeps other pieces on a processor
    assert kept[0][0] > 4 * 2 * 3 * 16 * 16 * 4  # more than the images alone


def test_a_network_of_any_size_takes_no_memory(one: chips.ChipSet) -> None:
    found = plan(one, read_options({"network": {"backbone": "vit_large"}, "batch_size": 1}))
    assert sum(part[1] for part in found.parts) > 3e8 and found.memory is not None and found.memory.total > 4e9


def test_faults_of_the_samples(one: chips.ChipSet, tmp_path: Path) -> None:
    assert told(one).problems[0].startswith("The train split has no label of never")
    assert len(told(one).problems) == 1
    stored = cut(tmp_path / "dn", scale=10_000)
    assert any("'B02'" in problem and "reflectance" in problem for problem in told(stored).problems)
    other = replace(chips.Statistics.load(one.folder / "statistics.json"), source="0" * 64)
    other.save(stored.folder / "statistics.json")
    assert any("other chips" in problem for problem in told(stored).problems)
    (stored.folder / "split.parquet").unlink()
    assert any("split.parquet" in problem for problem in told(stored).problems)


def test_dates_that_are_not_known(tmp_path: Path) -> None:
    samples = cut(tmp_path / "dates", dates=("1970-01-01", "1970-01-02"))
    assert any("dates that are not known" in problem for problem in told(samples, time="gru").problems)
    assert not any("dates" in problem for problem in told(samples).problems)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"bands": ["B03"]}, "There is no band 'B03'"),
        ({"network": {"depth": 4}}, "16 x 16 pixels, and the coarsest places of the network have 32"),
        ({"time": "gru"}, "no input has more than one date"),
        ({"loss": "mse"}, "'mse' does not suit"),
        ({"fit": {"monitor": "mious"}}, "set monitor to miou"),
        ({"pretrained": "nowhere/best"}, "there is no such folder"),
        ({"network": {"head": "vector"}}, "numbers per pixel"),
    ],
)
def test_faults_of_options(one: chips.ChipSet, options: dict[str, Any], part: str) -> None:
    assert any(part in problem for problem in told(one, **options).problems), told(one, **options).problems


def test_weights_of_another_kind(one: chips.ChipSet, tmp_path: Path) -> None:
    split = Split.load(one.folder / "split.parquet")
    train(one, split, read_options(SMALL), tmp_path / "unet", seed=0, progress=False)
    assert len(told(one, pretrained=str(tmp_path / "unet")).problems) == 1
    wider = told(one, pretrained=str(tmp_path / "unet"), network={"width": 8})
    assert any("does not fit 'unet'" in problem for problem in wider.problems)
    vit = {"backbone": "vit_micro", "options": {"width": 12, "depth": 2, "patch": 4}}
    family = told(one, pretrained=str(tmp_path / "unet"), network=vit | {"width": 12, "depth": 2})
    assert any("does not fit 'vit_micro'" in problem for problem in family.problems)
    stored = cut(tmp_path / "dn", scale=10_000)
    unit = told(stored, pretrained=str(tmp_path / "unet"))
    assert any("'B02'" in problem and "was trained on mean" in problem for problem in unit.problems)
    both = told(one, pretrained="presto", network={"backbone": "vit_micro", "options": {}} | {"width": 12, "depth": 2})
    assert any("which is another family" in problem for problem in both.problems)
