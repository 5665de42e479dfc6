from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import sensors
from swath.errors import InputError
from swath.sensors.load import parse

COUNTS = {
    "aviris": 224,
    "emit": 285,
    "enmap": 224,
    "era5": 31 + 7 * 13,
    "globe": 5,
    "hls_l30": 10,
    "hls_s30": 13,
    "landsat5_tm": 7,
    "landsat7_etm": 9,
    "landsat8_oli": 11,
    "modis_land": 7,
    "modis_toa": 14,
    "naip": 4,
    "planetscope_4b": 4,
    "planetscope_8b": 8,
    "sentinel1_grd": 4,
    "sentinel2_l1c": 13,
    "sentinel2_l2a": 12,
    "vhr_rgb": 3,
}
NAMES = list(COUNTS)
LACKING = ("era5", "globe", "modis_toa", "naip", "planetscope_4b", "planetscope_8b", "sentinel1_grd", "vhr_rgb")


def physical(sensor: str, number: float, band: str, level: str | None = None, **choice: object) -> float:
    stored = np.full((1, 1, 1), number)
    values, valid = sensors.load(sensor).to_physical(stored, level, bands=[band], **choice)  # type: ignore[arg-type]
    assert values.dtype == np.float32
    assert valid.all()
    return float(values[0, 0, 0])


def test_the_packaged_sensors() -> None:
    assert sensors.names() == NAMES
    counts = {name: len(sensors.load(name).bands) for name in NAMES}
    assert counts == COUNTS


@pytest.mark.parametrize("name", NAMES)
def test_every_packaged_sensor_is_whole(name: str) -> None:
    sensor = sensors.load(name)
    assert sensor.name == name
    assert sensor.title
    assert sensor.sources
    rows = sensor.rows()
    assert [row[0] for row in rows] == list(sensor.bands.names)
    assert all(len(row) == 7 and all(row[5:]) for row in rows)
    for level in sensor.levels.values():
        for baseline in level.baselines:
            scaling = baseline.scaling
            assert len(scaling.scale) == len(scaling.offset) == len(level.bands) == len(scaling.unit)
            assert (scaling.low < scaling.high).all()
            assert np.isfinite(scaling.scale).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LACKING])
def test_common_names_are_shared_by_optical_sensors(name: str) -> None:
    bands = sensors.load(name).bands
    blue, green, red, nir, swir1, swir2 = (
        bands[bands.position(n)].wavelength_nm or 0.0 for n in ("blue", "green", "red", "nir", "swir1", "swir2")
    )
    assert 450 < blue < 510 < green < 600 < red < 700 < 800 < nir < 900 < 1500 < swir1 < 1750 < 2100 < swir2 < 2300


def test_zeros_in_names_do_not_matter() -> None:
    assert sensors.load("landsat8_oli").bands.select(["B04", "B10"]).names == ("B4", "B10")
    assert sensors.load("hls_l30").bands.select(["B4", "B5"]).names == ("B04", "B05")
    assert sensors.load("landsat7_etm").bands.select(["SR_B4", "ST_B6"]).names == ("B4", "B6")


def test_an_unknown_sensor_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no sensor 'sentinel2'.*nearest are: sentinel2_l"):
        sensors.load("sentinel2")
    with pytest.raises(InputError, match=r"no sensor ''"):
        sensors.load("")


@pytest.mark.parametrize("name", ["sentinel2_l1c", "sentinel2_l2a"])
def test_sentinel_2_before_and_after_the_offset(name: str) -> None:
    assert physical(name, 3000, "B04", baseline="02.14") == pytest.approx(0.3)
    assert physical(name, 3000, "B04", baseline="04.00") == pytest.approx(0.2)
    assert physical(name, 3000, "B04", time="2022-01-24T23:59:59") == pytest.approx(0.3)
    assert physical(name, 3000, "B04", time="2022-01-25") == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("before 04.00", 0.0),
        ("04.00 AND later", -0.1),
        ("03.01", 0.0),
        ("2.7", 0.0),
        ("04.00", -0.1),
        ("4.0", -0.1),
        ("0400", -0.1),
        ("N0400", -0.1),
        ("05.11", -0.1),
        (" n0509 ", -0.1),
        ("N0301", 0.0),
    ],
)
def test_baselines_are_understood_as_products_write_them(text: str, offset: float) -> None:
    scaling = sensors.load("sentinel2_l2a").scaling("L2A", baseline=text)
    assert set(scaling.offset) == {offset}
    assert set(scaling.scale) == {1e-4}


def test_the_version_beats_the_date() -> None:
    # Collection 1 reprocessed old scenes with baseline 05.00.
    scaling = sensors.load("sentinel2_l2a").scaling(baseline="05.00", time="2018-06-01")
    assert scaling.baseline == "04.00 and later"


@pytest.mark.parametrize(
    "when",
    [
        "2022-01-25",
        "2022-01-25T00:00:00Z",
        "2022-01-24T20:00:00-05:00",
        date(2022, 1, 25),
        datetime(2022, 1, 25, 3),
        datetime(2022, 1, 25, 3, tzinfo=UTC),
        np.datetime64("2022-01-25T00:00:00", "ns"),
        np.datetime64("2022-01-25"),
    ],
)
def test_times_of_every_kind_on_the_first_day(when: object) -> None:
    assert sensors.load("sentinel2_l1c").scaling(time=when).baseline == "04.00 and later"  # type: ignore[arg-type]


@pytest.mark.parametrize("when", ["yesterday", np.datetime64("NaT"), "", 20220125])
def test_what_is_no_time_is_told(when: object) -> None:
    with pytest.raises(InputError, match=r"is no time.*2022-01-25"):
        sensors.load("sentinel2_l1c").scaling(time=when)  # type: ignore[arg-type]


def test_without_baseline_and_time_both_ways_out_are_told() -> None:
    with pytest.raises(InputError, match=r"which processing baseline.*baseline= .*'before 04\.00'.* or time="):
        sensors.load("sentinel2_l2a").scaling("L2A")


@pytest.mark.parametrize("text", ["latest", "4", "N04", "", "04.0.0"])
def test_an_unknown_baseline_is_told(text: str) -> None:
    with pytest.raises(InputError, match=r"no processing baseline .*or a version such as 04\.00"):
        sensors.load("sentinel2_l2a").scaling(baseline=text)
    with pytest.raises(InputError, match="no processing baseline"):
        sensors.load("hls_l30").scaling(baseline="04.00")


def test_levels_are_named_in_any_case_and_only_where_needed() -> None:
    assert sensors.load("hls_s30").scaling().baseline == "version 2"
    assert sensors.load("landsat8_oli").scaling("l2").bands.names == ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B10")
    with pytest.raises(InputError, match=r"No level was named.*one of L1, L2"):
        sensors.load("landsat8_oli").scaling()
    with pytest.raises(InputError, match=r"has no level 'L2A'.*one of L1, L2.*nearest are: L2"):
        sensors.load("landsat8_oli").scaling("L2A")


def test_landsat_surface_products() -> None:
    for name, thermal in (("landsat5_tm", "B6"), ("landsat7_etm", "B6"), ("landsat8_oli", "B10")):
        assert physical(name, 7273, "B3", "L2") == pytest.approx(7273 * 2.75e-5 - 0.2)
        assert physical(name, 44177, thermal, "L2") == pytest.approx(300.0, abs=0.01)
        with pytest.raises(InputError, match="no band 'B8'"):
            sensors.load(name).scaling("L2", bands=["B8"])


def test_landsat_8_and_9_differ_in_thermal_bands_only() -> None:
    oli = sensors.load("landsat8_oli")
    assert physical("landsat8_oli", 10_000, "B4", "L1") == pytest.approx(0.1)
    assert physical("landsat8_oli", 10_000, "B10", "L1", baseline="Landsat 8") == pytest.approx(3.442)
    assert physical("landsat8_oli", 10_000, "B10", "L1", baseline="Landsat 9") == pytest.approx(3.9)
    with pytest.raises(InputError, match=r"baseline= \(one of 'Landsat 8', 'Landsat 9'\)\. What"):
        oli.scaling("L1", bands=["B10"], time="2022-06-01")
    radiance = oli.scaling("L1", baseline="Landsat 8", bands=["B10"])
    assert radiance.bands[0].kind == "radiance"
    assert radiance.unit == ("W m-2 sr-1 um-1",)


@pytest.mark.parametrize(
    ("sensor", "band", "baseline", "lowest", "highest"),
    [
        # LMIN and LMAX of Chander et al. (2009) belong to DN 1 and DN 255.
        ("landsat5_tm", "B1", "Landsat 5 from 1992", -1.52, 193.0),
        ("landsat5_tm", "B1", "Landsat 5 before 1992", -1.52, 169.0),
        ("landsat5_tm", "B2", "Landsat 5 before 1992", -2.84, 333.0),
        ("landsat5_tm", "B2", "Landsat 5 from 1992", -2.84, 365.0),
        ("landsat5_tm", "B3", "Landsat 5 from 1992", -1.17, 264.0),
        ("landsat5_tm", "B4", "Landsat 5 from 1992", -1.51, 221.0),
        ("landsat5_tm", "B5", "Landsat 5 from 1992", -0.37, 30.2),
        ("landsat5_tm", "B6", "Landsat 5 from 1992", 1.2378, 15.303),
        ("landsat5_tm", "B7", "Landsat 5 from 1992", -0.15, 16.5),
        ("landsat7_etm", "B1", "low gain", -6.2, 293.7),
        ("landsat7_etm", "B1", "high gain", -6.2, 191.6),
        ("landsat7_etm", "B2", "high gain", -6.4, 196.5),
        ("landsat7_etm", "B3", "high gain", -5.0, 152.9),
        ("landsat7_etm", "B4", "high gain", -5.1, 157.4),
        ("landsat7_etm", "B4", "low gain", -5.1, 241.1),
        ("landsat7_etm", "B5", "high gain", -1.0, 31.06),
        ("landsat7_etm", "B6", "low gain", 0.0, 17.04),
        ("landsat7_etm", "B6_VCID_2", "high gain", 3.2, 12.65),
        ("landsat7_etm", "B7", "high gain", -0.35, 10.80),
        ("landsat7_etm", "B8", "high gain", -4.7, 158.3),
    ],
)
def test_eight_bit_radiance(sensor: str, band: str, baseline: str, lowest: float, highest: float) -> None:
    assert physical(sensor, 1, band, "L1", baseline=baseline) == pytest.approx(lowest, abs=0.02)
    assert physical(sensor, 254, band, "L1", baseline=baseline) == pytest.approx(
        highest - (highest - lowest) / 254, rel=1e-3, abs=0.02
    )


def test_hls_thermal_becomes_kelvin_and_radar_keeps_its_unit() -> None:
    assert physical("hls_l30", 2685, "B10") == pytest.approx(300.0)
    assert physical("hls_s30", 2685, "B10") == pytest.approx(0.2685)
    assert physical("sentinel1_grd", -12.5, "VV", "dB") == -12.5
    radar = sensors.load("sentinel1_grd")
    assert radar.scaling("linear").unit == ("1",) * 4
    assert radar.scaling("dB").unit == ("dB",) * 4


def test_the_globe() -> None:
    globe = sensors.load("globe")
    assert globe.bands.names == ("red", "green", "blue", "elevation", "absolute_latitude")
    values, valid = globe.to_physical(np.array([255, 51, 0, -420, 89], dtype=np.int16)[:, None, None])
    assert valid.all()
    np.testing.assert_allclose(values.ravel(), [1.0, 0.2, 0.0, -420.0, 89.0], rtol=1e-6)


def test_no_data_saturation_and_nan_are_invalid_and_filled() -> None:
    stored = np.array([[[0, 65535, 1, 10_000]]], dtype=np.uint16)
    values, valid = sensors.load("sentinel2_l2a").to_physical(stored, baseline="02.00", bands=["red"])
    assert valid.tolist() == [[[False, False, True, True]]]
    assert values.ravel().tolist() == pytest.approx([0.0, 0.0, 1e-4, 1.0])
    floats = np.array([[[np.nan, -9999.0, np.inf, 100.0]]])
    values, valid = sensors.load("hls_l30").to_physical(floats, bands=["B02"])
    assert valid.ravel().tolist() == [False, False, False, True]
    assert np.isfinite(values).all()
    values, valid = sensors.load("sentinel1_grd").to_physical(np.array([[[0.0, 0.25]]]), "linear", bands=["VV"])
    assert valid.ravel().tolist() == [False, True]


@pytest.mark.parametrize("shape", [(12, 1, 1), (2, 12, 3, 5), (2, 3, 12, 0, 4), (0, 12, 2, 2)])
def test_any_leading_axes(shape: tuple[int, ...]) -> None:
    stored = np.ones(shape, dtype=np.uint16)
    values, valid = sensors.load("sentinel2_l2a").to_physical(stored, baseline="04.00")
    assert values.shape == valid.shape == shape


@pytest.mark.parametrize("shape", [(12,), (12, 4), (3, 4, 4), (12, 2, 4, 4)])
def test_a_band_axis_that_does_not_fit_is_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"The array has the shape.*\(\.\.\., 12, y, x\) for the bands B01"):
        sensors.load("sentinel2_l2a").to_physical(np.ones(shape), baseline="04.00")


def test_scaling_by_band_name_in_any_order_and_case() -> None:
    scaling = sensors.load("landsat8_oli").scaling("L2", bands=["thermal", "red"])
    assert scaling.bands.names == ("B10", "B4")
    assert scaling.offset.tolist() == [149.0, -0.2]
    assert scaling.select("red").bands.names == ("B4",)
    assert sensors.load("landsat8_oli").scaling("L2", bands="red").bands.names == ("B4",)


def test_shared_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        sensors.load("hls_l30").level().baselines[0].scaling.scale[0] = 2.0


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(NAMES), st.integers(-9999, 65535), st.integers(-9999, 65535))
def test_values_under_the_mask_never_leak(name: str, inside: int, outside: int) -> None:
    sensor = sensors.load(name)
    level = next(iter(sensor.levels.values()))
    scaling = level.baselines[-1].scaling
    stored = np.full((len(level.bands), 1, 2), float(inside))
    stored[..., 1] = np.nan
    values, valid = scaling.to_physical(stored)
    stored[..., 1] = outside
    other, _ = scaling.to_physical(stored)
    assert (values[..., 0] == other[..., 0]).all()
    assert not valid[..., 1].any()
    assert (values[..., 1] == 0).all()


TOML = """
name = "mine"
title = "A sensor"
sources = ["its handbook"]

[[bands]]
name = "B1"
kind = "reflectance"
unit = "1"

[levels.L1]
title = "numbers"

[[levels.L1.baselines]]
name = "only"
"""


def test_a_sensor_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    sensor = sensors.load(str(path))
    assert sensor.bands.names == ("B1",)
    assert sensor.scaling().scale.tolist() == [1.0]
    with pytest.raises(InputError, match=r"no sensor file .*other\.toml"):
        sensors.load(str(tmp_path / "other.toml"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "mine"', "name = ", r"mine\.toml is not TOML"),
        ('title = "A sensor"', 'titel = "A sensor"', r"2 faults, the first at title"),
        ('unit = "1"', 'unit = "1"\ncolor = "red"', r"bands\.0\.color"),
        ('kind = "reflectance"', 'kind = "reflectivity"', r"bands\.0\.kind"),
        ('unit = "1"', 'unit = "1"\nwavelength_nm = -3', r"bands\.0\.wavelength_nm"),
        ('sources = ["its handbook"]', "sources = []", "sources"),
        ('title = "numbers"', 'title = "numbers"\nbands = ["B2"]', "level L1 names unknown bands: B2"),
        ('name = "only"', 'name = "only"\nscaling = [{ bands = ["B2"] }]', "L1, only: no band B2"),
        ('name = "only"', 'name = "only"\nscaling = [{ scale = 0.0 }]', "scale"),
        ('name = "only"', 'name = "only"\nversion = "4"', "version"),
        ('name = "only"', 'name = "only"\n[[levels.L1.baselines]]\nname = "Only"', "baseline 'only' appears 2 times"),
        (
            'name = "only"',
            'name = "a"\nsince = 2022-01-02\n[[levels.L1.baselines]]\nname = "b"\nsince = 2022-01-01',
            "in the order of 'since'",
        ),
        (
            "[levels.L1]",
            '[[bands]]\nname = "b1"\nkind = "index"\nunit = "1"\n[levels.L1]',
            "several bands are called b1",
        ),
    ],
)
def test_faults_in_a_sensor_file_are_placed(old: str, new: str, words: str) -> None:
    assert old in TOML
    with pytest.raises(InputError, match=words):
        parse(TOML.replace(old, new, 1), "mine.toml")
