"""Indices, features and contenders of real10."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from swath import rng, sensors
from swath.judge.real10 import BASELINES, Contender, Inputs, RowLearner, Target, linear_head
from swath.judge.real10.features import QUANTILES, _quantiles, described, raw, rows, unrows
from swath.judge.real10.indices import indices, roles
from swath.judge.real10.networks import Network
from swath.sensors import Band, BandSet
from swath.types import IGNORE

S2 = sensors.load("sentinel2_l2a").bands
STEPS = 60
CONTENDERS = (*BASELINES[:-1], replace(BASELINES[-1], make=lambda seed: Network(seed, STEPS)))
BASELINE = pytest.mark.parametrize("contender", CONTENDERS, ids=lambda each: each.name)


def test_indices_by_hand() -> None:
    bands = S2.select(["B02", "B03", "B04", "B08", "B11"])
    values = np.array([0.1, 0.2, 0.1, 0.4, 0.3], np.float32)[None, None, :, None, None]
    found, names = indices(values, bands)
    told = dict(zip(names, found[0, 0, :, 0, 0].tolist(), strict=True))
    assert set(told) == {"NDVI", "GNDVI", "NDWI", "MNDWI", "NDMI", "ExG"}
    assert told["NDVI"] == pytest.approx(0.6) and told["NDWI"] == pytest.approx(-1 / 3)
    assert told["MNDWI"] == pytest.approx(-0.2) and told["NDMI"] == pytest.approx(1 / 7)
    assert told["ExG"] == pytest.approx(0.5)


def test_radar_ratio_and_indices_that_are_there_already() -> None:
    bands = BandSet(
        (*sensors.load("sentinel1_grd").bands.select(["VV", "VH"]), *S2.select(["B04", "B08"]), Band("NDVI"))
    )
    values = np.array([-9, -15, 0.1, 0.3, 0.5], np.float32)[None, None, :, None, None]
    found, names = indices(values, bands)
    assert names == ("VH-VV",) and found.ravel().tolist() == [-6]


def test_roles_by_name_then_by_wavelength() -> None:
    bands = BandSet((Band("a", wavelength_nm=662.0), Band("b", wavelength_nm=668.0), Band("c", wavelength_nm=845.0)))
    assert roles(bands) == {"red": 0, "nir": 2}
    assert roles(BandSet.of("VV", "elevation")) == {}
    assert roles(sensors.load("landsat5_tm").bands)["nir"] == 3


def test_no_index_and_undefined_ones() -> None:
    found, names = indices(np.ones((2, 3, 1, 1, 1), np.float32), BandSet.of("NDVI"))
    assert names == () and found.shape == (2, 3, 0, 1, 1)
    zero, _ = indices(np.zeros((1, 1, 2, 1, 1), np.float32), S2.select(["B04", "B08"]))
    assert np.isnan(zero).all()


def pixels(dense: bool, side: int, quantities: bool, count: int = 40, times: int = 2) -> tuple[Inputs, Target]:
    """Samples whose answer is plain to see: the red band is low or high, the quantity follows it."""
    stream = rng.generator(0, "test pixels", side)
    shape = (count, side, side) if dense else (count, 1, 1)
    classes = stream.integers(0, 2, shape)
    bands = S2.select(["B02", "B03", "B04", "B08"])
    values = stream.normal(0.2, 0.02, (count, times, len(bands), side, side)).astype(np.float32)
    values[:, :, 2] += (0.2 * classes)[:, None]
    valid = np.ones(values.shape, bool)
    valid[0, 0, 0] = False
    values[~valid] = 0
    inputs = Inputs(values, valid, bands, np.full((count, times), 4), np.zeros((count, 2)), dense)
    if quantities:
        answer = np.stack([5 + 2.0 * classes, -classes], axis=1).astype(np.float64)
        answer[1, :, 0, 0] = np.nan
        return inputs, Target(answer, ("p", "q"), "m")
    labels = classes.astype(np.int64)
    labels[1, 0, 0] = IGNORE
    return inputs, Target(labels, ("low", "high"))


@BASELINE
@pytest.mark.parametrize("quantities", [False, True], ids=["classes", "quantities"])
@pytest.mark.parametrize(("dense", "side"), [(True, 6), (False, 1), (False, 16)], ids=["maps", "series", "scenes"])
def test_baselines_learn_what_is_plain(contender: Contender, dense: bool, side: int, quantities: bool) -> None:
    inputs, target = pixels(dense, side, quantities)
    answer = contender.make(0).fit(inputs, target).predict(inputs)
    assert answer.shape == target.values.shape
    known = target.known
    if quantities:
        assert answer.dtype == np.float64 and np.isfinite(answer).all()
        error = np.sqrt(((answer - target.values)[:, 0][known] ** 2).mean())
        spread = target.values[:, 0][known].std()
        assert error == pytest.approx(spread) if contender.name == "constant" else error < 0.5 * spread
    else:
        assert answer.dtype == np.int64 and set(np.unique(answer)) <= {0, 1}
        right = (answer == target.values)[known].mean()
        assert right < 0.7 if contender.name == "constant" else right > 0.9


@BASELINE
def test_the_same_seed_gives_the_same_answer(contender: Contender) -> None:
    inputs, target = pixels(True, 4, False, count=12)
    first, again = (contender.make(3).fit(inputs, target).predict(inputs) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@BASELINE
def test_one_class_one_sample_one_date(contender: Contender) -> None:
    inputs, target = pixels(True, 3, False, count=2, times=1)
    inputs, target = inputs.take(np.array([1])), target.take(np.array([1]))
    one = replace(target, values=np.where(target.values == IGNORE, IGNORE, 1))
    answer = contender.make(0).fit(inputs, one).predict(inputs)
    assert answer.shape == (1, 3, 3) and (contender.name == "network" or (answer == 1).all())


def test_a_network_does_not_touch_the_global_stream() -> None:
    import torch

    inputs, target = pixels(False, 1, False)
    network = CONTENDERS[-1]
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    network.make(0).fit(inputs, target)
    assert torch.equal(torch.rand(3), wanted)


def test_an_embedding_is_a_contender_in_two_lines() -> None:
    def embed(inputs: Inputs) -> Any:
        return inputs.values.mean(axis=(1, 3, 4))[:, :, None, None]

    mine = Contender("mine", "v1, linear head", lambda seed: RowLearner(embed, linear_head, seed))
    inputs, target = pixels(False, 16, False)
    answer = mine.make(0).fit(inputs, target).predict(inputs)
    assert (answer == target.values)[target.known].mean() > 0.9


def test_features_of_maps_series_and_scenes() -> None:
    maps, series, scenes = (pixels(dense, side, False)[0] for dense, side in ((True, 6), (False, 1), (False, 16)))
    assert raw(maps).shape == (40, 8, 6, 6) and raw(series).shape == (40, 8, 1, 1)
    assert raw(scenes).shape == (40, 8 * 64, 1, 1)
    names = indices(maps.values, maps.bands)[1]
    each = 2 * (4 + len(names))
    assert described(maps).shape == (40, each + 2, 6, 6) and described(series).shape == (40, each + 2, 1, 1)
    assert described(scenes).shape == (40, 8 * each + 2, 1, 1)
    assert np.isnan(raw(maps)[0, 0]).all() and np.isfinite(raw(maps)[1:]).all()
    np.testing.assert_array_equal(raw(maps)[3, 5], maps.values[3, 1, 1])


def test_no_season_without_dates() -> None:
    inputs = pixels(False, 1, False)[0]
    undated = replace(inputs, month=np.full_like(inputs.month, -1))
    assert described(undated).shape[1] == described(inputs).shape[1] - 2
    season = described(replace(inputs, month=np.full_like(inputs.month, 3)))[:, -2:, 0, 0]
    np.testing.assert_allclose(season, np.broadcast_to([1.0, 0.0], season.shape), atol=1e-6)


def test_rows_and_back() -> None:
    inputs, target = pixels(True, 3, True, count=4)
    features = raw(inputs)
    x, y = rows(features, target, 1000, 0)
    assert x.shape == (35, 8) and y.shape == (35, 2)
    assert len(rows(features, target, 10, 0)[0]) == 10
    every = np.moveaxis(target.values, 1, -1).reshape(-1, 2)
    np.testing.assert_array_equal(unrows(every, inputs), target.values)
    assert unrows(np.arange(36), inputs)[1, 2, 0] == 9 + 6


def test_quantiles_leave_out_what_is_unknown() -> None:
    flat = rng.generator(0, "test quantiles").normal(size=(3, 2, 50)).astype(np.float32)
    flat[1, 1, :7] = np.nan
    found = _quantiles(flat)
    for sample, feature in ((0, 0), (1, 1), (2, 1)):
        row = flat[sample, feature]
        np.testing.assert_allclose(found[:, sample, feature], np.quantile(row[np.isfinite(row)], QUANTILES), atol=1e-6)
