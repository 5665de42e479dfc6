from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from swath import units
from swath.errors import ConfigError, InputError


def test_decibels_by_hand() -> None:
    assert units.linear_to_db([1.0, 10.0, 0.01]).tolist() == [0.0, 10.0, -20.0]
    assert units.db_to_linear([0.0, 10.0, -20.0]).tolist() == pytest.approx([1.0, 10.0, 0.01])


def test_decibels_of_zero_and_less_are_not_numbers_and_raise_no_warning() -> None:
    zero, negative = units.linear_to_db([0.0, -1.0])
    assert zero == -np.inf
    assert np.isnan(negative)


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, st.integers(0, 20), elements=st.floats(-60, 40)))
def test_decibels_round_trip(values: np.ndarray) -> None:
    np.testing.assert_allclose(units.linear_to_db(units.db_to_linear(values)), values, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_types_are_kept_and_integers_become_float64(dtype: type) -> None:
    values = np.array([1, 2], dtype=dtype)
    for function in (units.linear_to_db, units.db_to_linear, units.celsius_to_kelvin, units.kelvin_to_celsius):
        assert function(values).dtype == dtype
    assert units.convert(values, "degC", "K").dtype == dtype
    assert units.convert(np.array([1, 2], dtype=np.int16), "degC", "K").dtype == np.float64


def test_temperatures() -> None:
    assert units.celsius_to_kelvin([0.0, -273.15]).tolist() == [273.15, 0.0]
    assert units.kelvin_to_celsius([273.15]).tolist() == [0.0]


def test_stored_numbers_are_scaled_in_double_precision() -> None:
    stored = np.array([[65535, 1], [7273, 43636]], dtype=np.uint16)
    values = units.dn_to_physical(stored, 2.75e-5, -0.2)
    assert values.dtype == np.float32
    exact = np.array([[65535 * 2.75e-5 - 0.2, 2.75e-5 - 0.2], [7273 * 2.75e-5 - 0.2, 43636 * 2.75e-5 - 0.2]])
    assert (values == exact.astype(np.float32)).all()


@settings(deadline=None, max_examples=40)
@given(arrays(np.uint16, st.integers(0, 30)), st.sampled_from([(1e-4, 0.0), (1e-4, -0.1), (0.00341802, 149.0)]))
def test_stored_numbers_survive_the_way_there_and_back(stored: np.ndarray, scaling: tuple[float, float]) -> None:
    assert (units.physical_to_dn(units.dn_to_physical(stored, *scaling), *scaling) == stored).all()


def test_storing_clips_to_the_type_and_refuses_nan() -> None:
    assert units.physical_to_dn([-1.0, 0.5, 9.0], 1e-4, 0.0, np.uint16).tolist() == [0, 5000, 65535]
    assert units.physical_to_dn([-1.0], 1e-4, 0.0, "int16").dtype == np.int16
    with pytest.raises(InputError, match="1 of 2 values are NaN"):
        units.physical_to_dn([np.nan, 1.0], 1e-4, 0.0)


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (50.0, "percent", "1", 0.5),
        (0.5, "reflectance", "%", 50.0),
        (1.5, "km", "metres", 1500.0),
        (0.0, "Celsius", "kelvin", 273.15),
        (300.0, "K", "°C", 26.85),
        (180.0, "degrees", "rad", np.pi),
        (1013.25, "hPa", "Pa", 101325.0),
        (-10.0, "dB", "1", 0.1),
        (0.1, "linear", "dB", -10.0),
        (36.0, "km h-1", "m/s", 10.0),
        (3.6e6, "mm/h", "m s-1", 1.0),
        (7.0, "W m-2 sr-1 um-1", "W m-2 sr-1 um-1", 7.0),
    ],
)
def test_conversions(value: float, source: str, target: str, expected: float) -> None:
    assert units.convert(value, source, target) == pytest.approx(expected)


def test_converting_to_the_same_unit_gives_a_copy() -> None:
    values = np.array([1.0, 2.0])
    units.convert(values, "m", "metre")[0] = 9.0
    assert values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("m", "K", r"'m' cannot become 'K': length and temperature are different things"),
        ("dB", "m", r"decibels and length are different things"),
        ("DN", "1", r"by unit alone.*Sensor\.to_physical"),
        ("1", "DN", r"by unit alone"),
        ("celsus", "K", r"The unit 'celsus' is unknown.*celsius"),
        ("K", "W m-2", r"The unit 'W m-2' is unknown"),
    ],
)
def test_impossible_conversions_are_told(source: str, target: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        units.convert(1.0, source, target)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(["1", "%", "K", "degC", "m", "km", "hPa", "Pa", "degree", "rad", "dB"]), st.floats(1e-3, 1e3))
def test_every_known_unit_is_its_own_canonical_name_and_converts_to_itself(unit: str, value: float) -> None:
    assert units.canonical(unit) == unit
    assert units.convert(value, unit, unit) == value


RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("unit", "values", "guess"),
    [
        ("1", RANDOM.integers(200, 9000, 500), "DN"),
        ("1", RANDOM.integers(200, 9000, 500).astype(np.float32), "DN"),
        ("1", RANDOM.uniform(0.0, 0.6, 500), "fraction"),
        ("1", RANDOM.uniform(0.0, 60.0, 500), "percent"),
        ("1", RANDOM.integers(0, 256, 500), "colour"),
        ("DN", RANDOM.integers(0, 256, 500), "DN"),
        ("1", RANDOM.normal(-12.0, 3.0, 500), "dB"),
        ("dB", RANDOM.normal(-12.0, 3.0, 500), "dB"),
        ("dB", RANDOM.uniform(0.001, 0.4, 500), "linear"),
        ("K", RANDOM.uniform(-5.0, 30.0, 500), "degC"),
        ("degC", RANDOM.uniform(270.0, 300.0, 500), "K"),
        ("1", np.array([]), "unknown"),
        ("1", np.full(3, np.nan), "unknown"),
        ("1", np.full(3, -5000.0), "unknown"),
    ],
)
def test_guesses(unit: str, values: np.ndarray, guess: str) -> None:
    assert units.looks_like(unit, values) == guess


def test_guesses_never_read_under_the_mask() -> None:
    values = np.array([0.2, 0.3, 65535.0])
    assert units.looks_like("1", values, [True, True, False]) == "fraction"


@pytest.mark.parametrize(
    ("values", "unit", "kind", "words"),
    [
        (
            RANDOM.integers(0, 9000, (2, 3, 8, 8)),
            "1",
            "reflectance",
            r"scene\.tif B04: the values run from .*DN.*Sensor",
        ),
        (RANDOM.integers(20, 250, 100), "1", "reflectance", "stored integers"),
        (RANDOM.uniform(5.0, 60.0, 100), "1", "reflectance", "percent: divide by 100"),
        (RANDOM.uniform(-25.0, -5.0, 100), "1", "backscatter", "decibels"),
        (RANDOM.uniform(5.0, 30.0, 100), "K", "brightness_temperature", "celsius_to_kelvin"),
        (RANDOM.uniform(280.0, 300.0, 100), "degC", "brightness_temperature", "kelvin_to_celsius"),
        (RANDOM.integers(0, 256, 100), "1", "colour", "divide by 255"),
        (np.full(10, np.nan), "1", "reflectance", "all NaN or infinite, and 100.0%"),
        (np.array([0.1] * 95 + [7.0] * 5), "1", "reflectance", "5.0% of them lie outside"),
        (np.full(10, 9999.0), "m", "elevation", "no-data number"),
    ],
)
def test_impossible_values_are_told_with_their_range(values: np.ndarray, unit: str, kind: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        units.check_range(values, None, unit, kind, "scene.tif B04")


@pytest.mark.parametrize(
    ("values", "valid", "unit", "kind"),
    [
        (np.array([0.0, 1.2, 0.3]), None, "1", "reflectance"),
        (np.array([0.1, 9000.0]), [True, False], "1", "reflectance"),
        (np.array([9000.0, 9000.0]), [False, False], "1", "reflectance"),
        (np.array([]), None, "1", "reflectance"),
        (np.full((2, 1, 4, 4), 9000.0), np.zeros((2, 1, 1, 1), dtype=bool), "1", "reflectance"),
        (np.array([0.2] * 999 + [6.5]), None, "1", "reflectance"),
        (np.array([1e9]), None, "kg m-2", "variable"),
        (np.array([9000.0]), None, "DN", "reflectance"),
        (np.array([-8.0, -20.0]), None, "dB", "backscatter"),
    ],
)
def test_possible_values_pass(values: np.ndarray, valid: object, unit: str, kind: str) -> None:
    units.check_range(values, valid, unit, kind, "scene")  # type: ignore[arg-type]


@settings(deadline=None, max_examples=40)
@given(arrays(np.float32, (3, 5), elements=st.floats(-1e6, 1e6, width=32)), arrays(bool, (3, 5)))
def test_values_under_the_mask_never_change_the_verdict(values: np.ndarray, valid: np.ndarray) -> None:
    def verdict(array: np.ndarray) -> str:
        try:
            units.check_range(array, valid, "1", "reflectance", "scene")
        except InputError as error:
            return str(error)
        return "passes"

    assert verdict(np.where(valid, values, np.float32(np.nan))) == verdict(values)
