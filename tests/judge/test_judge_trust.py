"""Calibration of a model on chips, its files, and the maps that lie beside the class map."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from swath import chips
from swath.chips import ChipLoader, ChipSet
from swath.cubes import Legend, make_cube
from swath.errors import ConfigError, InputError
from swath.judge import NearestColour
from swath.judge.calibrate import TrustOptions, band_importance, calibrate
from swath.judge.trust import ARRAYS, OUTPUTS, Trust, fingerprint, trusted
from swath.predict import predict_scene
from swath.sensors import BandSet
from swath.types import Prediction, Split

BANDS = ("red", "nir", "noise")
CLASSES = ("water", "forest", "field")
CENTRES = np.array([[0.05, 0.02, 0.5], [0.04, 0.35, 0.5], [0.15, 0.25, 0.5]])
SIZE = 96


def world(seed: int = 0) -> tuple[xr.Dataset, np.ndarray]:
    """Blobs of three classes with noisy colours; the last band tells nothing."""
    random = np.random.default_rng(seed)
    from scipy import ndimage

    fields = ndimage.gaussian_filter(random.normal(size=(3, SIZE, SIZE)), (0, 4, 4))
    labels = fields.argmax(axis=0)
    values = np.moveaxis(CENTRES[labels] + random.normal(0, 0.05, (SIZE, SIZE, 3)), -1, 0)
    return cube_of(values), labels


def cube_of(values: np.ndarray, valid: np.ndarray | None = None) -> xr.Dataset:
    shape = values.shape[1:]
    return make_cube(
        values[None].astype(np.float32),
        np.ones((1, *shape), bool) if valid is None else valid,
        GeoBox(shape, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633"),
        BandSet.of(*BANDS),
        time=np.array(["2020-06-01"], "datetime64[ns]"),
        scale=[1.0] * 3,
        offset=[0.0] * 3,
        stored=False,
        attrs={"source": "made for a test"},
    )


@pytest.fixture(scope="module")
def chipset(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    cube, labels = world()
    raster = wrap_xr(labels.astype(np.int16), cube.odc.geobox)
    return chips.cut(cube, raster, tmp_path_factory.mktemp("trust") / "chips", size=8, legend=Legend.of(*CLASSES))


@pytest.fixture(scope="module")
def split(chipset: ChipSet) -> Split:
    shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
    return chips.split_by_block(chipset, block_chips=2, buffer_chips=0.0, shares=shares)


@pytest.fixture(scope="module")
def model(chipset: ChipSet, split: Split) -> NearestColour:
    loader = ChipLoader(chipset, split.ids("train"), batch_size=8, seed=0)
    return NearestColour({"image": BandSet.of(*BANDS)}, CLASSES).fit(loader)


@pytest.fixture(scope="module")
def trust(model: NearestColour, chipset: ChipSet, split: Split) -> Trust:
    return calibrate(model, chipset, split, TrustOptions(pixels=300))


def test_what_is_learned(trust: Trust, split: Split) -> None:
    assert trust.applicability.features == BANDS
    assert trust.applicability.samples.shape == (300, 3)
    assert trust.facts["validation_chips"] == len(split.ids("validation")) == trust.sets.units[0]
    groups = split.table.loc[split.table["split"] == "train", "group"]
    assert trust.facts["folds"] == groups.nunique()
    # The same world everywhere: nearly all held-out pixels are inside, and sets hold the truth about as promised.
    assert trust.outside["validation"] < 0.1 and trust.outside["test"] < 0.1
    assert trust.coverage["all"]["coverage"] > 0.85 and set(trust.coverage) == {"all", *CLASSES}
    assert 0.9 < trust.coverage["all"]["size"] < 2.0


def test_the_same_whatever_the_order_of_chips(
    trust: Trust, model: NearestColour, chipset: ChipSet, split: Split
) -> None:
    shuffled = Split(split.table.sample(frac=1.0, random_state=1))
    again = calibrate(model, chipset, shuffled, TrustOptions(pixels=300))
    assert again.sets == trust.sets and again.facts == trust.facts
    np.testing.assert_array_equal(again.applicability.samples, trust.applicability.samples)
    other = calibrate(model, chipset, split, TrustOptions(pixels=300, seed=1))
    assert not np.array_equal(other.applicability.samples, trust.applicability.samples)


def test_round_trip(trust: Trust, tmp_path: Path) -> None:
    trust.save(tmp_path)
    again = Trust.load(tmp_path)
    assert again.sets == trust.sets and again.coverage == trust.coverage and again.facts == trust.facts
    assert again.applicability.threshold == trust.applicability.threshold


@pytest.mark.parametrize("damage", ["absent", "truncated", "swapped", "newer", "json", "list", "cut"])
def test_damaged_files(trust: Trust, tmp_path: Path, damage: str) -> None:
    record = trust.save(tmp_path)
    content = json.loads(record.read_text())
    if damage == "absent":
        record.unlink()
    elif damage == "truncated":
        (tmp_path / ARRAYS).write_bytes((tmp_path / ARRAYS).read_bytes()[:-4])
    elif damage == "swapped":
        more = replace(trust, applicability=trust.applicability.adding(np.zeros((1, 3))))
        text = record.read_text()
        more.save(tmp_path)
        record.write_text(text)
    elif damage == "newer":
        record.write_text(json.dumps({**content, "schema_version": 99}))
    elif damage == "list":
        record.write_text("[]")
    elif damage == "cut":
        record.write_text(json.dumps({key: value for key, value in content.items() if key != "conformal"}))
    else:
        record.write_text(record.read_text()[:40])
    with pytest.raises(InputError, match=r"swath trust RUN CHIPS"):
        Trust.load(tmp_path)


def test_maps_beside_the_map(trust: Trust, model: NearestColour, tmp_path: Path) -> None:
    cube, _ = world(seed=5)
    values = cube["data"].values[0].copy()
    values[:, 40:60, 40:60] += 3.0  # nothing of the kind was seen in training
    valid = np.ones((1, SIZE, SIZE), bool)
    valid[:, :10, :10] = False
    wrapped, layers = trusted(model, trust)
    report = predict_scene(
        wrapped,
        cube_of(values, valid),
        tmp_path / "map.tif",
        tile=32,
        overlap=8,
        outputs=("class", *OUTPUTS),
        extra=layers,
        progress=False,
    )
    maps = {name: rasterio.open(path).read(1) for name, path in report.files.items()}
    assert set(maps) == {"class", *OUTPUTS}
    assert (maps["applicability"][40:60, 40:60] == 0).all()
    outside = maps["applicability"].copy()
    outside[40:60, 40:60] = 1
    assert (outside[:10, :10] == 255).all() and np.isnan(maps["dissimilarity"][:10, :10]).all()
    assert (outside == 0).mean() < 0.1
    inside = maps["applicability"] != 255
    expected = trust.applicability.dissimilarity(np.moveaxis(values, 0, -1)[inside])
    np.testing.assert_allclose(maps["dissimilarity"][inside], expected, rtol=1e-5, atol=1e-6)
    assert set(np.unique(maps["set_size"])) <= {0, 1, 2, 3, 255} and (maps["set_size"][:10, :10] == 255).all()
    plain = predict_scene(model, cube_of(values, valid), tmp_path / "plain.tif", tile=32, overlap=8, progress=False)
    np.testing.assert_array_equal(rasterio.open(plain.files["class"]).read(1), maps["class"])


def test_importance_leaves_the_useless_band_the_least(chipset: ChipSet, split: Split, model: NearestColour) -> None:
    weights = band_importance(model, chipset, split.ids("validation"))
    assert weights.argmin() == 2 and weights[2] < 0.2 * weights.max() and (weights > 0).all()
    found = calibrate(model, chipset, split, TrustOptions(pixels=300, importance=True))
    assert found.facts["weights"] == pytest.approx(weights.tolist())
    # A strange value of the band that the model hardly uses makes a pixel less strange than one that it does use.
    strange = np.array([[0.05, 0.02, 1.5], [0.05, 1.02, 0.5]])
    index = found.applicability.dissimilarity(strange)
    assert index[0] < index[1]


def without(split: Split, name: str) -> Split:
    table = split.table.copy()
    table.loc[table["split"] == name, "split"] = "unused"
    return Split(table)


@pytest.mark.parametrize("name", ["train", "validation"])
def test_an_empty_split_gets_a_sentence(model: NearestColour, chipset: ChipSet, split: Split, name: str) -> None:
    with pytest.raises(InputError, match=f"The {name} split .* is empty"):
        calibrate(model, chipset, without(split, name))


def test_without_test_chips_there_is_no_coverage(model: NearestColour, chipset: ChipSet, split: Split) -> None:
    found = calibrate(model, chipset, without(split, "test"), TrustOptions(pixels=60))
    assert found.coverage == {} and set(found.outside) == {"validation"}


def test_one_group_is_folded_by_chip(model: NearestColour, chipset: ChipSet, split: Split) -> None:
    table = split.table.assign(group=split.table["split"])
    found = calibrate(model, chipset, Split(table), TrustOptions(pixels=60))
    assert found.facts["folds"] > 2


def test_few_validation_chips_promise_nothing(model: NearestColour, chipset: ChipSet, split: Split) -> None:
    table = split.table.copy()
    some = table.index[table["split"] == "validation"]
    table.loc[some[5:], "split"] = "unused"
    found = calibrate(model, chipset, Split(table), TrustOptions(pixels=60))
    assert all(np.isinf(found.sets.thresholds)) and found.coverage["all"]["size"] == 3.0


def test_what_does_not_fit(model: NearestColour, chipset: ChipSet, split: Split, trust: Trust) -> None:
    other = NearestColour(model.inputs, ("water", "forest", "town"))
    with pytest.raises(InputError, match="town"):
        calibrate(other, chipset, split)
    with pytest.raises(InputError, match="other classes"):
        trusted(other, trust)
    with pytest.raises(InputError, match="other bands"):
        trusted(NearestColour({"image": BandSet.of("red", "nir")}, CLASSES), trust)
    with pytest.raises(InputError, match="other weights"):
        trusted(model, replace(trust, facts={**trust.facts, "model": "0123"}))
    for options in (TrustOptions(alpha=1.5), TrustOptions(pixels=1), TrustOptions(per_chip=0)):
        with pytest.raises(ConfigError):
            calibrate(model, chipset, split, options)


def test_a_predictor_without_classes_per_pixel(model: NearestColour, chipset: ChipSet, split: Split) -> None:
    class Mean:
        task, inputs, classes = "pixel_regression", model.inputs, ()

        def predict(self, batch: object) -> Prediction:
            raise AssertionError

    with pytest.raises(ConfigError, match="ConformalInterval"):
        calibrate(Mean(), chipset, split)  # type: ignore[arg-type]


def test_fingerprint_of_weights() -> None:
    import torch

    torch.manual_seed(0)
    first = torch.nn.Linear(3, 2)
    before = fingerprint(first)
    with torch.no_grad():
        first.weight[0, 0] += 1
    assert len(before) == 12 and fingerprint(first) != before and fingerprint(object()) == ""
