"""From batches to normalised bands: matching, units, dates, and mistakes that have to be named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from model_batches import COVER, S1, S2, TERRAIN, WEATHER, batch_of, made_up, modality, months, seconds

from swath import sensors, weights
from swath.errors import ContractError, InputError
from swath.models.inputs import Gathered, find_sources, gather
from swath.sensors import Band, BandSet
from swath.types import Batch

PRESTO = weights.entry("presto").bands
GALILEO = weights.entry("galileo_nano").bands


def presto(batch: Batch) -> Gathered:
    return gather(batch, PRESTO, model="presto", most_steps=24)


def test_bands_are_scaled_as_published() -> None:
    values = np.array([-20.0, -30.0]).reshape(1, 1, 2, 1, 1)
    optical = np.full((1, 1, 10, 1, 1), 0.25)
    weather = np.array([290.0, 0.003]).reshape(1, 1, 2, 1, 1)
    batch = batch_of(
        s1=modality(S1, values, months(1)), s2=modality(S2, optical, months(1)), w=modality(WEATHER, weather, months(1))
    )
    found = presto(batch).layers
    expected = {"VV": 0.2, "VH": -0.2, "B02": 0.25, "temperature_2m": (290 - 272.15) / 35, "total_precipitation": 0.1}
    for name, number in expected.items():
        assert float(found[name][0]) == pytest.approx(number, abs=1e-6), name


def test_the_order_of_bands_does_not_matter() -> None:
    values = made_up(S2, (2, 3, 2, 2))
    order = [7, 2, 0, 9, 1, 3, 8, 5, 4, 6]
    shuffled = BandSet(tuple(S2[place] for place in order))
    first = presto(batch_of(a=modality(S2, values, months(3)))).stack([band.name for band in PRESTO])
    second = presto(batch_of(a=modality(shuffled, values[:, :, order], months(3)))).stack(
        [band.name for band in PRESTO]
    )
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_other_sensors_serve_what_they_share_and_the_rest_is_missing() -> None:
    landsat = sensors.load("landsat8_oli").bands.select(["B2", "B3", "B4", "B5", "B6", "B7"])
    sources = find_sources({"landsat": landsat}, PRESTO, "presto")
    served = {source.band.name: (source.offered, source.how) for source in sources if source.modality}
    assert served["B03"][0] == "B3"
    assert served["B08"] == ("B5", "alias")  # both are called nir
    assert set(served) == {"B02", "B03", "B04", "B08", "B11", "B12"}


def test_two_modalities_with_one_band_are_ambiguous_but_a_name_beats_a_wavelength() -> None:
    values = made_up(S2, (1, 1, 1, 1))
    batch = batch_of(a=modality(S2, values, months(1)), b=modality(S2, values, months(1)))
    with pytest.raises(InputError, match="Both 'a' and 'b' hold B02"):
        presto(batch)
    odd = BandSet((Band("mine", wavelength_nm=492.0, width_nm=60.0, kind="reflectance"),))
    sources = find_sources({"odd": odd, "s2": S2}, PRESTO, "presto")
    assert {source.modality for source in sources if source.modality} == {"s2"}


def test_no_band_at_all_says_what_there_is() -> None:
    with pytest.raises(InputError, match=r"No band fits presto; there are x: red_index"):
        presto(batch_of(x=modality(BandSet.of("red_index"), np.zeros((1, 1, 1, 1, 1)), months(1))))


@pytest.mark.parametrize(
    ("bands", "change", "named"),
    [
        (S2, lambda values: values * 10_000, "band B02 of 'a', which presto takes as B2.*stored integers|DN"),
        (S2, lambda values: values * 100, "band B02 of 'a'"),
        (S2, lambda values: (values - values.mean()) / values.std(), "band B02 of 'a'"),
        (S1, lambda values: 10 ** (values / 10), "band VH of 'a', which presto takes as VH: the median is 0"),
        (S1, lambda values: (values - values.mean()) / values.std(), "band VH of 'a'.*median.*normalised"),
        (S1, lambda values: values[:, :, ::-1] * 0 + 2, "band VH of 'a'"),
        (TERRAIN, lambda values: values * 100, "band elevation of 'a'"),
        (COVER, lambda values: values + 20, "band dynamic_world of 'a'.*from 0 to 8"),
    ],
)
def test_impossible_values_are_errors_that_name_the_band(bands: BandSet, change: object, named: str) -> None:
    values = change(made_up(bands, (2, 2, 8, 8)))  # type: ignore[operator]
    with pytest.raises(InputError, match=named):
        presto(batch_of(a=modality(bands, values, months(2))))


@pytest.mark.parametrize(
    ("name", "unit", "value", "named"),
    [
        ("t2m", "1", 15.0, "band t2m of 'w', which presto takes as temperature_2m: the values run from 15"),
        ("tp", "1", 3.0, "band tp of 'w'.*total_precipitation: the values run from 3"),
        ("tp", "1", 0.09, "total_precipitation: the median is 0.09"),  # the sum of a month, as Galileo takes it
        ("tp", "m month-1", 0.09, "total_precipitation: the unit is 'm month-1'.*Expected: 'm d-1'"),
        ("t2m", "m", 290.0, "temperature_2m: the unit is 'm'"),
    ],
)
def test_wrong_units_of_weather_are_named(name: str, unit: str, value: float, named: str) -> None:
    bands = BandSet((Band(name, unit=unit),))
    with pytest.raises(InputError, match=named):
        presto(batch_of(w=modality(bands, np.full((8, 2, 1, 1, 1), value), months(2))))


def test_a_few_odd_values_say_nothing_about_a_median() -> None:
    values = np.full((1, 3, 2, 1, 1), -49.9)
    assert bool(presto(batch_of(s1=modality(S1, values, months(3)))).layers["VV"][1].all())


def test_declared_units_are_converted() -> None:
    bands = BandSet((Band("t2m", unit="degC"), Band("elevation", kind="elevation", unit="km")))
    found = presto(batch_of(w=modality(bands, np.array([16.85, 1.0]).reshape(1, 1, 2, 1, 1), months(1))))
    assert float(found.layers["temperature_2m"][0]) == pytest.approx((290.0 - 272.15) / 35, abs=1e-5)
    assert float(found.layers["elevation"][0]) == pytest.approx(0.5)
    linear = BandSet((Band("VV", kind="backscatter", unit="1"),))
    found = presto(batch_of(s=modality(linear, np.full((1, 1, 1, 1, 1), 0.01), months(1))))
    assert float(found.layers["VV"][0]) == pytest.approx(0.2)


def test_what_lies_under_the_mask_is_not_looked_at() -> None:
    values, valid = made_up(S2, (1, 1, 4, 4)), np.ones((1, 1, 1, 4, 4), bool)
    values[..., 0, 0], valid[..., 0, 0] = 9_999.0, False
    found = presto(batch_of(a=modality(S2, values, months(1), valid)))
    numbers, seen = found.layers["B02"]
    assert float(numbers[0, 0, 0, 0]) == 0.0 and not bool(seen[0, 0, 0, 0])
    everything = np.zeros((1, 1, 1, 4, 4), bool)
    assert not bool(presto(batch_of(a=modality(S2, values * 1e4, months(1), everything))).layers["B02"][1].any())


@pytest.mark.parametrize("time", [0, np.iinfo(np.int64).min])
def test_missing_dates_are_an_error_that_names_the_samples(time: int) -> None:
    inputs = modality(S2, made_up(S2, (2, 1, 1, 1)), months(1))
    inputs.time[1] = time
    with pytest.raises(InputError, match=r"'a' has no dates for the samples s1\..*presto knows the months"):
        presto(batch_of(a=inputs))


def test_months_follow_the_calendar() -> None:
    times = seconds("1999-12-31T23:59:59", "2000-01-01", "2000-02-29", "2024-07-15")
    found = presto(batch_of(a=modality(S2, made_up(S2, (1, 4, 1, 1)), times)))
    assert found.months.tolist() == [[11, 0, 1, 6]]


def test_modalities_with_other_dates_or_sizes_are_refused_but_maps_need_no_date() -> None:
    optical = modality(S2, made_up(S2, (1, 2, 4, 4)), months(2))
    with pytest.raises(ContractError, match=r"'b' and 'a' have different dates \(3 and 2 steps\)"):
        presto(batch_of(a=optical, b=modality(S1, made_up(S1, (1, 3, 4, 4)), months(3))))
    with pytest.raises(ContractError, match=r"'b' has 3 x 4 pixels and 'a' 4 x 4"):
        presto(batch_of(a=optical, b=modality(S1, made_up(S1, (1, 2, 3, 4)), months(2))))
    terrain = modality(TERRAIN, made_up(TERRAIN, (1, 1, 4, 4)), [0])
    weather = modality(WEATHER, made_up(WEATHER, (1, 2, 1, 1)), months(2))
    found = presto(batch_of(a=optical, t=terrain, w=weather))
    values, seen = found.stack(["temperature_2m", "elevation", "B02", "VV"])
    assert values.shape == seen.shape == (1, 2, 4, 4, 4)
    assert bool((values[:, 0, 1] == values[:, 1, 1]).all())
    assert not bool(seen[:, :, 3].any()) and bool(seen[:, :, :3].all())


def test_more_dates_than_the_table_has_are_refused() -> None:
    with pytest.raises(InputError, match=r"25 dates.*at most 24"):
        presto(batch_of(a=modality(S2, made_up(S2, (1, 25, 1, 1)), months(25))))


def test_means_over_space_leave_invalid_pixels_out() -> None:
    values, valid = np.full((1, 1, 1, 2, 2), 0.2), np.ones((1, 1, 1, 2, 2), bool)
    values[..., 0, 0], valid[..., 0, 0] = 5.0, False
    bands = BandSet((S2[0],))
    mean, seen = presto(batch_of(a=modality(bands, values, months(1), valid))).stack(["B02"], space=False)
    assert mean.shape == (1, 1, 1) and float(mean) == pytest.approx(0.2) and bool(seen)
    none, unseen = presto(batch_of(a=modality(bands, values, months(1), valid & False))).stack(["B02"], space=False)
    assert float(none) == 0.0 and not bool(unseen)


def test_stored_collections_are_checked_by_their_own_statistics() -> None:
    bands = BandSet((Band("soil"),))
    batch = batch_of(a=modality(bands, np.full((16, 1, 1, 1, 1), 1e6), months(1)))
    with pytest.raises(InputError, match=r"band soil of 'a'.*the median is 1e\+06"):
        gather(batch, GALILEO, model="galileo_nano", most_steps=24)


def test_a_mask_for_each_band_is_followed() -> None:
    values, valid = made_up(S1, (1, 1, 2, 2)), np.ones((1, 1, 2, 2, 2), bool)
    valid[:, :, 1] = False
    found = presto(batch_of(a=modality(S1, values, months(1), valid)))
    assert bool(found.layers["VV"][1].all()) and not bool(found.layers["VH"][1].any())


def test_an_empty_batch_stays_empty() -> None:
    inputs = modality(S2, made_up(S2, (1, 2, 1, 1)), months(2))
    none = replace(inputs, values=inputs.values[:0], valid=inputs.valid[:0], time=inputs.time[:0], grid=())
    found = presto(Batch({"a": none}))
    assert found.stack(["B02"])[0].shape == (0, 2, 1, 1, 1)
