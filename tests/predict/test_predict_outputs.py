"""Every output of a map, from the model through to the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from torch import Tensor

from swath import cubes
from swath.errors import ConfigError, ContractError
from swath.predict import predict_scene
from swath.types import Batch, Prediction

Make = Callable[..., Any]
OPTIONS: dict[str, Any] = {"tile": 8, "overlap": 2, "progress": False}


def logits(batch: Batch) -> Tensor:
    """Logits = the values of the first date."""
    return batch.inputs["optical"].values[:, 0]


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def scene(make: Make, size: int = 11) -> tuple[Any, np.ndarray, np.ndarray]:
    """A cube with a masked corner, its mask, and the probabilities that ``logits`` gives."""
    values = np.random.default_rng(0).normal(0, 2, (3, size, size)).astype(np.float32)
    valid = np.ones((size, size), dtype=bool)
    valid[:3, :2] = False
    return make(values, valid), valid, torch.from_numpy(values).softmax(dim=0).numpy()


def test_class_outputs_by_hand(tmp_path: Path, make: Make, fake: Any) -> None:
    cube, valid, share = scene(make)
    outputs = ("class", "probability", "probability_float16", "confidence", "margin", "entropy")
    files = predict_scene(fake(logits), cube, tmp_path / "map.tif", outputs=outputs, **OPTIONS).files
    got = {name: read(path) for name, path in files.items()}
    np.testing.assert_array_equal(got["class"][0], np.where(valid, share.argmax(axis=0), 255))
    highest, second = np.sort(share, axis=0)[::-1][:2]
    entropy = -(share * np.log(share)).sum(axis=0) / np.log(3)
    for name, wanted in {"confidence": highest, "margin": highest - second, "entropy": entropy}.items():
        assert got[name].dtype == np.uint8 and (got[name][0][~valid] == 255).all()
        np.testing.assert_allclose(got[name][0][valid] * 0.005, wanted[valid], atol=0.0026)
    np.testing.assert_allclose(got["probability"][:, valid] * 0.005, share[:, valid], atol=0.0026)
    half = got["probability_float16"]
    assert np.isnan(half[:, ~valid]).all()
    np.testing.assert_allclose(half[:, valid], share[:, valid], rtol=0.0006)


def test_half_precision_is_rounded_and_every_byte_is_the_same_again(tmp_path: Path, make: Make, fake: Any) -> None:
    cube, valid, _ = scene(make)
    first, second = (
        predict_scene(fake(logits), cube, tmp_path / name, outputs=("probability_float16",), **OPTIONS).files
        for name in ("p.tif", "q.tif")
    )
    assert first["probability_float16"].read_bytes() == second["probability_float16"].read_bytes()
    with rasterio.open(first["probability_float16"]) as dataset:
        assert dataset.descriptions == ("red", "green", "blue") and dataset.units[0] == "1"
        stored = dataset.read()[:, valid]
    np.testing.assert_array_equal(stored, stored.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    ("count", "dtype", "nodata"), [(255, "uint8", 255), (256, "uint16", 65535), (300, "uint16", 65535)]
)
def test_many_classes_reach_file_and_legend(
    tmp_path: Path, make: Make, fake: Any, count: int, dtype: str, nodata: int
) -> None:
    wanted = np.arange(400).reshape(20, 20) % count
    values = np.stack([wanted, wanted, wanted]).astype(np.float32)
    valid = wanted != 7
    classes = tuple(f"class {number}" for number in range(count))

    def one_hot(batch: Batch) -> Tensor:
        return torch.nn.functional.one_hot(logits(batch)[:, 0].long(), count).permute(0, 3, 1, 2) * 20.0

    path = tmp_path / "map.tif"
    report = predict_scene(fake(one_hot, classes=classes), make(values, valid), path, **OPTIONS)
    np.testing.assert_array_equal(read(path)[0], np.where(valid, wanted, nodata))
    with rasterio.open(path) as dataset:
        assert dataset.dtypes == (dtype,) and dataset.nodata == nodata
    legend = cubes.read_legend(path)
    assert legend is not None and legend.names == classes and legend.values == tuple(range(count))
    assert path.with_suffix(".qml").read_text().count("<paletteEntry") == count
    assert report.pixels[f"class {count - 1}"] == int((wanted == count - 1).sum())


def test_legend_values_decide_the_type(tmp_path: Path, make: Make, fake: Any) -> None:
    cube, valid, share = scene(make)
    legend = cubes.Legend.from_names({10: "red", 254: "green", 255: "blue"})
    predict_scene(fake(logits), cube, tmp_path / "map.tif", legend=legend, **OPTIONS)
    wanted = np.array([10, 254, 255])[share.argmax(axis=0)]
    np.testing.assert_array_equal(read(tmp_path / "map.tif")[0], np.where(valid, wanted, 65535))


class Quantity:
    """Mean = band 1 and 2, log-variance = log of band 3 for both."""

    task = "pixel_regression"
    classes = ("height", "cover")

    def __init__(self, fake: Any, *, announced: bool = True, sign: float = 1.0) -> None:
        self.inputs = fake(logits).inputs
        self.extras = {"variance": self.classes} if announced else {}
        self.sign = sign

    def predict(self, batch: Batch) -> Prediction:
        values = logits(batch)
        variance = values[:, 2:3].expand(-1, 2, -1, -1) * self.sign
        valid = torch.ones(values[:, 0].shape, dtype=torch.bool)
        outputs = {"mean": values[:, :2], "log_variance": variance.log()} if self.sign > 0 else {}
        return Prediction("pixel_regression", outputs or {"mean": values[:, :2], "variance": variance}, valid)


def test_regression_writes_mean_deviation_and_variance(tmp_path: Path, make: Make, fake: Any) -> None:
    values = np.random.default_rng(0).uniform(1, 9, (3, 9, 9)).astype(np.float32)
    outputs = ("mean", "std", "variance")
    files = predict_scene(Quantity(fake), make(values), tmp_path / "q.tif", outputs=outputs, **OPTIONS).files
    np.testing.assert_allclose(read(files["mean"]), values[:2], rtol=1e-5)
    np.testing.assert_allclose(read(files["variance"]), values[[2, 2]], rtol=1e-5)
    np.testing.assert_allclose(read(files["std"]), np.sqrt(values[[2, 2]]), rtol=1e-5)
    with rasterio.open(files["std"]) as dataset:
        assert dataset.descriptions == ("height", "cover") and dataset.dtypes == ("float32", "float32")


def test_a_variance_rounded_below_zero_is_zero(tmp_path: Path, make: Make, fake: Any) -> None:
    values = np.full((3, 4, 4), 1e-12, dtype=np.float32)
    predict_scene(Quantity(fake, sign=-1.0), make(values), tmp_path / "q.tif", outputs=("std",), **OPTIONS)
    assert (read(tmp_path / "q.tif") == 0).all()


def test_without_variance_there_is_no_deviation(tmp_path: Path, make: Make, fake: Any) -> None:
    cube = make(np.ones((3, 4, 4), dtype=np.float32))
    with pytest.raises(ConfigError, match="There is no output 'std' for the task 'pixel_regression'"):
        predict_scene(Quantity(fake, announced=False), cube, tmp_path / "q.tif", outputs=("std",), **OPTIONS)


class Components:
    """An embedding: the bands times a factor, and an extra output."""

    task = "embedding"
    classes = ("e0", "e1", "e2")
    extras = {"length": ("length",)}  # noqa: RUF012

    def __init__(self, fake: Any, factor: float = 1.0) -> None:
        self.inputs = fake(logits).inputs
        self.factor = factor

    def predict(self, batch: Batch) -> Prediction:
        values = logits(batch) * self.factor
        outputs = {"embedding": values, "length": values.norm(dim=1, keepdim=True)}
        return Prediction("embedding", outputs, torch.ones(values[:, 0].shape, dtype=torch.bool))


def test_embeddings_and_extras(tmp_path: Path, make: Make, fake: Any) -> None:
    cube, valid, _ = scene(make)
    files = predict_scene(Components(fake), cube, tmp_path / "e.tif", outputs=("embedding", "length"), **OPTIONS).files
    values = cube["data"].values[0]
    got = read(files["embedding"])
    np.testing.assert_allclose(got[:, valid], values[:, valid], rtol=0.0006)
    assert np.isnan(got[:, ~valid]).all()
    with rasterio.open(files["embedding"]) as dataset:
        assert dataset.descriptions == ("e0", "e1", "e2")
    with rasterio.open(files["length"]) as dataset:
        np.testing.assert_allclose(dataset.read(1)[valid], np.linalg.norm(values, axis=0)[valid], rtol=1e-5)


def test_embeddings_beyond_half_precision_are_an_error(tmp_path: Path, make: Make, fake: Any) -> None:
    values = np.ones((3, 8, 8), dtype=np.float32)
    values[0, 1, 1] = -2.0
    path = tmp_path / "e.tif"
    predict_scene(Components(fake, 32_752.0), make(values), path, **OPTIONS)
    assert read(path).min() == -65_504.0
    # One failing block may be a row of the failure table or the end of the job; the sentence is the same.
    try:
        predict_scene(Components(fake, 32_800.0), make(values), tmp_path / "f.tif", **OPTIONS)
    except ContractError as error:
        said = str(error)
    else:
        said = " ".join(each.read_text() for each in tmp_path.glob("*.csv"))
    assert "1 numbers beyond half precision, such as -65600" in said
    valid = np.ones((8, 8), dtype=bool)
    valid[1, 1] = False
    report = predict_scene(Components(fake, 32_800.0), make(values, valid), tmp_path / "g.tif", **OPTIONS)
    assert report.valid_share == pytest.approx(63 / 64)


def test_a_single_class_is_sure(tmp_path: Path, make: Make, fake: Any) -> None:
    def alone(batch: Batch) -> Tensor:
        return logits(batch)[:, :1]

    outputs = ("class", "margin", "entropy", "confidence")
    predictor = fake(alone, classes=("land",))
    report = predict_scene(predictor, scene(make)[0], tmp_path / "m.tif", outputs=outputs, **OPTIONS)
    found = {name: set(np.unique(read(path)).tolist()) for name, path in report.files.items()}
    assert found == {"class": {0, 255}, "margin": {200, 255}, "entropy": {0, 255}, "confidence": {200, 255}}


def test_report_is_json(tmp_path: Path, make: Make, fake: Any) -> None:
    report = predict_scene(fake(logits), scene(make)[0], tmp_path / "m.tif", **OPTIONS)
    assert json.loads(json.dumps(report.as_dict()))["files"]["class"].endswith("m.tif")
