"""A linear probe during pretraining: its scores, what it must not touch, and when it is refused."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import chips, cubes, sensors
from swath.errors import ConfigError
from swath.learn.curves import curve_picture
from swath.learn.objectives.probing import Probe, ProbeOptions, probed
from swath.learn.pretraining import pretrain, read_pretrain_options
from swath.types import Split

SIDE, CHIP = 96, 16
BANDS = ("B02", "B03", "B04", "B08")
MODEL = {"family": "grouped", "patch": 4, "width": 32, "depth": 1, "heads": 2, "decoder_width": 16, "decoder_depth": 1,
         "decoder_heads": 2}  # fmt: skip


def options(epochs: int = 2, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "batch_size": 8, "fit": {"epochs": epochs, "threads": 1, "device": "cpu"}, **more}


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    """Squares of 8 pixels, bright or dark in all bands, under noise; a corner is not valid."""
    stream = np.random.default_rng(0)
    bright = np.kron(stream.integers(2, size=(SIDE // 8, SIDE // 8)), np.ones((8, 8)))
    values = 0.1 + 0.2 * bright + stream.normal(0, 0.02, (1, len(BANDS), SIDE, SIDE))
    valid = np.ones((1, SIDE, SIDE), bool)
    valid[:, :5, :5] = False
    geobox = GeoBox((SIDE, SIDE), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32632")
    return cubes.make_cube(
        values.astype(np.float32), valid, geobox, sensors.load("sentinel2_l2a").bands.select(BANDS),
        time=np.array(["2024-05-01"], "datetime64[ns]"), scale=[1.0] * 4, offset=[0.0] * 4, stored=False, attrs={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def chipset(cube: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> chips.ChipSet:
    raster = (cube["data"][0, 0] > 0.2).astype(np.int16)
    labels = xr.DataArray(raster.values, dims=("y", "x"), coords={"y": cube["y"], "x": cube["x"]})
    folder = tmp_path_factory.mktemp("probing") / "chips"
    return chips.cut(cube, labels, folder, size=CHIP, legend=cubes.Legend.of("dark", "bright"))


@pytest.fixture(scope="module")
def split(chipset: chips.ChipSet) -> Split:
    ids = chipset.ids
    part = ["validation" if number % 3 == 0 else "train" for number in range(len(ids))]
    return Split(pd.DataFrame({"id": ids, "split": part, "group": ids, "fold": 0}))


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(a.equal(b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_the_weights_are_the_same_with_and_without(chipset: chips.ChipSet, split: Split, tmp_path: Path) -> None:
    plain = pretrain(chipset, split, options(), tmp_path / "plain", seed=1, progress=False)
    probed_run = pretrain(chipset, split, options(probe={"every": 2}), tmp_path / "probed", seed=1, progress=False)
    assert same(plain, probed_run)
    files = [tmp_path / name / "last" / "model.safetensors" for name in ("plain", "probed")]
    assert files[0].read_bytes() == files[1].read_bytes()
    logs = [pd.read_csv(tmp_path / name / "log.csv") for name in ("plain", "probed")]
    pd.testing.assert_frame_equal(logs[0].drop(columns="wall_s"), logs[1][logs[0].columns].drop(columns="wall_s"))
    score = logs[1]["probe_accuracy"]
    assert score.isna().tolist() == [True, False]
    assert score.iloc[-1] > 0.9  # bright and dark can be told by one number
    assert (tmp_path / "probed" / "curves.png").stat().st_size > (tmp_path / "plain" / "curves.png").stat().st_size


def test_a_run_that_stopped_goes_on_to_the_same_scores(
    chipset: chips.ChipSet, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = options(probe={"every": 2})
    pretrain(chipset, split, asked, tmp_path / "whole", seed=1, progress=False)

    class Stopped(Exception):
        pass

    fitting: Any = import_module("swath.learn.fit")
    end = fitting._Run.end_epoch

    def stopping(run: Any, validate: Any) -> None:
        end(run, validate)
        if run.progress.epoch == 1:
            raise Stopped

    with monkeypatch.context() as changed, pytest.raises(Stopped):
        changed.setattr(fitting._Run, "end_epoch", stopping)
        pretrain(chipset, split, asked, tmp_path / "stopped", seed=1, progress=False)
    pretrain(chipset, split, asked, tmp_path / "stopped", seed=1, progress=False)
    logs = [pd.read_csv(tmp_path / name / "log.csv").drop(columns="wall_s") for name in ("whole", "stopped")]
    pd.testing.assert_frame_equal(*logs)
    assert len(logs[0]) == 2


def test_a_probe_may_choose_the_epoch(chipset: chips.ChipSet, split: Split, tmp_path: Path) -> None:
    asked = options(probe={"every": 1})
    asked["fit"] |= {"monitor": "probe_accuracy", "monitor_mode": "max"}
    pretrain(chipset, split, asked, tmp_path, seed=0, progress=False)
    log = pd.read_csv(tmp_path / "log.csv")
    assert f'"epoch": {log["probe_accuracy"].idxmax()}' in (tmp_path / "best" / "model.json").read_text("utf-8")


class Told:
    """Stands for an objective: its features of a patch are the mean of the first band, or noise."""

    training = False

    def __init__(self, strength: float) -> None:
        self.strength, self.draw = strength, torch.Generator().manual_seed(0)

    def modules(self) -> list[Any]:
        return []

    def eval(self) -> Told:
        return self

    def train(self, mode: bool = True) -> Told:
        return self

    def features(self, batch: Any) -> torch.Tensor:
        values = batch.inputs["image"].values[:, 0, :1]
        mean = torch.nn.functional.avg_pool2d(values, 4)
        noise = torch.randn(mean.shape, generator=self.draw)
        return torch.cat([self.strength * mean + 0.01 * noise, noise], dim=1)


@pytest.mark.parametrize("task", ["segmentation", "pixel_regression", "classification", "regression"])
def test_features_that_know_the_answer_are_told_from_noise(
    task: str, chipset: chips.ChipSet, cube: xr.Dataset, tmp_path: Path
) -> None:
    found = SimpleNamespace(
        task=task, target="t", classes=("dark", "bright"), batch=lambda ids: made(task, ids, chipset)
    )
    probe = Probe(found, chipset.ids, chipset.ids, ProbeOptions(every=1))  # type: ignore[arg-type]
    knows, guesses = (probe(Told(strength)) for strength in (1.0, 0.0))  # type: ignore[arg-type]
    name = "probe_accuracy" if "n" in task and "regression" not in task else "probe_r2"
    assert list(knows) == [name] == list(guesses)
    assert knows[name] > 0.9
    assert guesses[name] < 0.75


def made(task: str, ids: list[str], chipset: chips.ChipSet) -> Any:
    """A batch whose answers follow from the first band: of pixels, or of the whole chip."""
    batch = chipset.batch(ids)
    level = batch.inputs["image"].values[:, 0, :1]
    mean = level.mean(dim=(1, 2, 3))
    target: torch.Tensor
    if task == "segmentation":
        target = (level[:, 0] > 0.2).long()
    elif task == "pixel_regression":
        target = level
    elif task == "classification":
        target = (mean > 0.175).long()  # chips have means of 0.1, 0.15, ... 0.3
    else:
        target = mean[:, None]
    valid = torch.ones(target.shape, dtype=torch.bool)
    return SimpleNamespace(inputs=batch.inputs, targets={"t": target}, target_valid={"t": valid}, ids=batch.ids)


def test_patches_without_labels_do_not_count(chipset: chips.ChipSet) -> None:
    def hidden(ids: list[str]) -> Any:
        batch = made("segmentation", ids, chipset)
        batch.target_valid["t"][:, :8] = False
        batch.targets["t"][:, :8] = 1 - batch.targets["t"][:, :8]  # wrong, and not to be read
        return batch

    found = SimpleNamespace(task="segmentation", target="t", classes=("dark", "bright"), batch=hidden)
    probe = Probe(found, chipset.ids[::2], chipset.ids[1::2], ProbeOptions(every=1))  # type: ignore[arg-type]
    assert probe(Told(1.0))["probe_accuracy"] > 0.9  # type: ignore[arg-type]


def test_labels_of_one_class_give_no_score(chipset: chips.ChipSet) -> None:
    def alike(ids: list[str]) -> Any:
        batch = made("segmentation", ids, chipset)
        batch.targets["t"][:] = 0
        return batch

    found = SimpleNamespace(task="segmentation", target="t", classes=("dark", "bright"), batch=alike)
    probe = Probe(found, chipset.ids[::2], chipset.ids[1::2], ProbeOptions(every=1))  # type: ignore[arg-type]
    assert np.isnan(probe(Told(1.0))["probe_accuracy"])  # type: ignore[arg-type]


def test_validation_has_the_column_in_every_epoch() -> None:
    probe: Any = lambda task: {"probe_r2": 0.5}  # noqa: E731
    probe_like = type("P", (), {"name": "probe_r2", "__call__": lambda self, task: {"probe_r2": 0.5}})()
    assert probe(None) == {"probe_r2": 0.5}
    both = probed(lambda task, epoch: {"masked_mse": 1.0}, probe_like, 3)
    lines = [both(None, epoch) for epoch in range(6)]
    assert [set(line) for line in lines] == [{"masked_mse", "probe_r2"}] * 6
    assert [line["probe_r2"] == 0.5 for line in lines] == [False, False, True, False, False, True]


def test_a_probe_that_cannot_be_made_is_refused(chipset: chips.ChipSet, split: Split, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'probe\.every' is 0"):
        read_pretrain_options({"probe": {"every": 0}})
    with pytest.raises(ConfigError, match=r"'probe\.evry' is unknown.*write every"):
        read_pretrain_options({"probe": {"evry": 2}})
    alone = Split(split.table.assign(split="train"))
    with pytest.raises(ConfigError, match="no validation or no train part"):
        pretrain(chipset, alone, options(probe={"every": 1}), tmp_path / "run", seed=0, progress=False)
    assert not (tmp_path / "run").exists()
    other = SimpleNamespace(task="change", target="t", classes=())
    with pytest.raises(ConfigError, match="labels for the task 'change'"):
        Probe(other, ["a"], ["b"], ProbeOptions())  # type: ignore[arg-type]


def test_curves_of_one_line_and_of_none(tmp_path: Path) -> None:
    assert curve_picture([], tmp_path / "none.png").stat().st_size > 0
    line = {
        "epoch": 0,
        "step": 3,
        "loss": 1.0,
        "masked_mse": 0.5,
        "masked_psnr": float("inf"),
        "probe_r2": float("nan"),
    }
    assert curve_picture([line], tmp_path / "one.png").stat().st_size > 1000
