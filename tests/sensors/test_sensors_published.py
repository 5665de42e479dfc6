"""Sensors beyond Sentinel and Landsat: scale, no-data and bands of MODIS, Planet, NAIP, spectrometers and ERA5."""

from __future__ import annotations

import numpy as np
import pytest

from swath import sensors
from swath.errors import InputError
from swath.sensors.load import parse


def physical(sensor: str, number: float, band: str, level: str) -> tuple[float, bool]:
    values, valid = sensors.load(sensor).to_physical(np.full((1, 1, 1), number), level, bands=[band])
    return float(values[0, 0, 0]), bool(valid[0, 0, 0])


@pytest.mark.parametrize(
    ("sensor", "level", "band", "stored", "value"),
    [
        ("modis_land", "MOD09", "sur_refl_b02", 3456, 0.3456),
        ("modis_land", "MOD09", "red", -100, -0.01),
        ("modis_land", "MOD09", "red", 32767, 3.2767),
        ("modis_land", "MCD43A4", "Nadir_Reflectance_Band7", 120, 0.012),
        ("modis_toa", "TOA", "B26", 0.02, 0.02),
        ("modis_toa", "percent", "B01", 45.0, 0.45),
        ("modis_toa", "percent", "B31", 290.0, 290.0),
        ("planetscope_8b", "SR", "rededge", 1234, 0.1234),
        ("planetscope_4b", "radiance", "nir", 5000, 50.0),
        ("naip", "visual", "N", 255, 1.0),
        ("vhr_rgb", "visual", "green", 51, 0.2),
        ("enmap", "L2A", "B048", 2067, 0.2067),
        ("emit", "L2A", "B100", 0.31, 0.31),
        ("emit", "L1B", "B100", 4.5, 4.5),
        ("aviris", "L2_scaled", "B010", 500, 0.05),
        ("era5", "physical_units", "2m_temperature", 288.5, 288.5),
    ],
)
def test_stored_numbers_become_physical(sensor: str, level: str, band: str, stored: float, value: float) -> None:
    assert physical(sensor, stored, band, level) == (pytest.approx(value, rel=1e-6), True)


@pytest.mark.parametrize(
    ("sensor", "level", "band", "nodata"),
    [
        ("modis_land", "MOD09", "red", -28672),
        ("modis_land", "MCD43A4", "red", 32767),
        ("planetscope_8b", "SR", "nir", 0),
        ("enmap", "L2A", "B001", -32768),
        ("emit", "L2A", "B001", -9999),
        ("aviris", "L1B", "B001", -9999),
        ("era5", "physical_units", "sst", np.nan),
    ],
)
def test_what_means_no_data(sensor: str, level: str, band: str, nodata: float) -> None:
    assert physical(sensor, nodata, band, level) == (0.0, False)


def test_radiance_is_not_taken_for_reflectance() -> None:
    for name, level in (("emit", "L1B"), ("aviris", "L1B"), ("planetscope_8b", "radiance")):
        sensor = sensors.load(name)
        radiance, reflectance = sensor.level(level).bands, sensor.bands
        assert {band.kind for band in radiance} == {"radiance"}
        assert set(radiance.match(reflectance).indices) == {None}


def test_the_order_of_satvision() -> None:
    sensor = sensors.load("modis_toa")
    numbers = [int(name[1:]) for name in sensor.bands.names]
    assert numbers == [1, 2, 3, 6, 7, 21, 26, 27, 28, 29, 30, 31, 32, 33]
    assert [band.name for band in sensor.bands if band.unit == "K"] == list(sensor.statistics[0].bands)


def test_statistics_have_a_source_and_lie_within_what_is_possible() -> None:
    seen = 0
    for name in sensors.names():
        sensor = sensors.load(name)
        for each in sensor.statistics:
            seen += 1
            assert len(each.source) > 20
            scaling = next(iter(sensor.levels.values())).baselines[0].scaling.select(each.bands)
            for numbers in (each.mean, each.minimum, each.maximum):
                assert numbers is None or ((scaling.low < numbers) & (numbers < scaling.high)).all()
    assert seen == 2


@pytest.mark.parametrize(("name", "first", "last"), [("enmap", 418, 2446), ("emit", 381, 2493), ("aviris", 365, 2496)])
def test_spectrometers_serve_the_bands_of_sentinel2(name: str, first: float, last: float) -> None:
    bands = sensors.load(name).bands
    centres = [band.wavelength_nm or 0.0 for band in bands]
    assert first < min(centres) < max(centres) < last
    assert all(2.5 < (band.width_nm or 0.0) < 15 for band in bands)
    steps = np.diff(sorted(centres))
    assert steps.min() >= 0 and np.median(steps) < 12
    wanted = sensors.load("sentinel2_l2a").bands.select(["B02", "B03", "B04", "B08", "B8A", "B11", "B12"])
    match = bands.match(wanted)
    assert match.missing == ()
    for band, index in zip(wanted, match.require(), strict=True):
        assert abs((band.wavelength_nm or 0.0) - centres[index]) <= 12


def test_names_of_a_spectrum_sort_in_file_order() -> None:
    names = sensors.load("emit").bands.names
    assert names[:2] == ("B001", "B002") and names[-1] == "B285"
    assert list(names) == sorted(names)


def test_levels_of_the_atmosphere() -> None:
    bands = sensors.load("era5").bands
    assert bands.select(["z500", "temperature_850", "u_100", "u100", "2t"]).names == (
        "z_500", "t_850", "u_100", "u100", "t2m"
    )  # fmt: skip
    assert "100 m" in bands[bands.position("u100")].description
    assert "100 hPa" in bands[bands.position("u_component_of_wind_100")].description
    assert bands[bands.position("z500")].unit == "m2 s-2"


TABLES = """
name = "mine"
title = "A spectrometer"
sources = ["its handbook"]

[spectrum]
prefix = "S"
kind = "reflectance"
unit = "1"
width_nm = [5, 6]
wavelength_nm = [400, 410]

[spectrum.aliases]
S2 = ["last"]

[[profiles]]
name = "t"
long = "temperature"
kind = "temperature"
unit = "K"
pressures_hpa = [500, 850]

[levels.L1]
title = "numbers"

[[levels.L1.baselines]]
name = "only"

[[statistics]]
name = "some"
source = "a paper"
bands = ["S1", "t_500"]
mean = [0.2, 250.0]
std = [0.1, 10.0]
"""


def test_tables_become_bands() -> None:
    sensor = parse(TABLES, "mine.toml")
    assert sensor.bands.names == ("S1", "S2", "t_500", "t_850")
    assert [band.width_nm for band in sensor.bands] == [5, 6, None, None]
    assert sensor.bands.select(["last", "t500"]).names == ("S2", "t_500")
    assert sensor.statistics[0].mean == (0.2, 250.0)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("width_nm = [5, 6]", "width_nm = [5]", "1 widths for 2 wavelengths"),
        ("[400, 410]", "[400, -1]", r"spectrum\.wavelength_nm"),
        ("wavelength_nm = [400, 410]", "wavelength_nm = []", r"spectrum\.wavelength_nm"),
        ('S2 = ["last"]', 'S3 = ["last"]', "aliases for unknown bands: S3"),
        ('S2 = ["last"]', 'S2 = ["S1"]', "several bands are called s1"),
        ("[500, 850]", "[500, 500]", "several bands are called"),
        ('["S1", "t_500"]', '["S1", "t_501"]', "statistics some: bands are unknown"),
        ('["S1", "t_500"]', '["S1", "S1"]', "statistics some: bands are unknown or named twice"),
        ("mean = [0.2, 250.0]", "mean = [0.2]", "one number for each of the 2 bands"),
        ("std = [0.1, 10.0]", "", "mean and std have to be given together"),
        ("std = [0.1, 10.0]", "std = [0.1, 0.0]", "standard deviation has to be above 0"),
        ("mean = [0.2, 250.0]\nstd = [0.1, 10.0]", "", "have to be given"),
        ("mean = [0.2, 250.0]\nstd = [0.1, 10.0]", "minimum = [1, 2]\nmaximum = [1, 3]", "below its maximum"),
        ('source = "a paper"', 'source = ""', "source"),
    ],
)
def test_faults_in_tables_are_placed(old: str, new: str, words: str) -> None:
    assert old in TABLES
    with pytest.raises(InputError, match=words):
        parse(TABLES.replace(old, new, 1), "mine.toml")


def test_a_sensor_without_bands_is_refused() -> None:
    text = TABLES[: TABLES.index("[spectrum]")] + TABLES[TABLES.index("[levels") : TABLES.index("[[statistics")]
    with pytest.raises(InputError, match="at least one band"):
        parse(text, "mine.toml")
