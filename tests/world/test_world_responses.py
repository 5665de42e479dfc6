"""Band responses against the centres and widths that ESA, NASA and USGS publish."""

from __future__ import annotations

import numpy as np
import pytest

from swath import sensors
from swath.errors import InputError
from swath.sources.world import packages
from swath.sources.world.render.responses import (
    SATELLITES,
    WAVELENGTHS,
    band_weights,
    responses,
    sunlight,
)

fetched = pytest.mark.skipif(bool(packages.missing()), reason="run: swath data get world")

# Centres of Sentinel-2B [nm]: ESA, Sentinel-2 Spectral Response Functions (COPE-GSEG-EOPG-TN-15-0007), version 3.
SENTINEL_2B = {
    "B01": 442.3, "B02": 492.1, "B03": 559.0, "B04": 665.0, "B05": 703.8, "B06": 739.1, "B07": 779.7, "B08": 833.0,
    "B8A": 864.0, "B09": 943.2, "B10": 1376.9, "B11": 1610.4, "B12": 2185.7,
}  # fmt: skip

# Landsat 5 and 7 publish nominal ranges only, so their measured centres differ by up to 28 nm.
TOLERANCES = [
    ("sentinel2_l1c", 0.2, 3), ("sentinel2_l2a", 0.2, 3), ("hls_s30", 0.2, 3), ("hls_l30", 0.7, 2),
    ("landsat8_oli", 2.5, 2), ("landsat5_tm", 28, 20), ("landsat7_etm", 13, 21),
]  # fmt: skip


@fetched
@pytest.mark.parametrize(("sensor", "centre", "width"), TOLERANCES)
def test_centres_and_widths_are_the_published_ones(sensor: str, centre: float, width: float) -> None:
    bands = responses(sensor)
    published = sensors.load(sensor).bands
    assert list(bands) == [band.name for band in published if band.kind == "reflectance"]
    for name, (wavelength, response) in bands.items():
        band = published[published.position(name)]
        assert (response @ wavelength) / response.sum() == pytest.approx(band.wavelength_nm, abs=centre), name
        half = wavelength[response >= 0.5 * response.max()]
        assert half[-1] - half[0] == pytest.approx(band.width_nm, abs=width), name
        assert np.all(np.diff(wavelength) > 0) and response.min() >= 0


@fetched
def test_sentinel_2b_is_not_2a() -> None:
    for name, (wavelength, response) in responses("sentinel2_l1c", "sentinel2b").items():
        assert (response @ wavelength) / response.sum() == pytest.approx(SENTINEL_2B[name], abs=0.2), name


@fetched
def test_some_bands_by_name_or_alias() -> None:
    assert list(responses("sentinel2_l2a", bands=["nir", "B02"])) == ["B08", "B02"]
    assert list(responses("landsat8_oli", bands="B2")) == ["B2"]
    assert responses("hls_l30", bands=[]) == {}


def test_what_has_no_response_is_a_sentence() -> None:
    with pytest.raises(InputError, match=r"B10 of 'landsat8_oli' does not measure reflected light"):
        responses("landsat8_oli", bands=["B10"])
    with pytest.raises(InputError, match="nearest are: landsat8_oli"):
        responses("landsat8")
    with pytest.raises(InputError, match="sentinel2a, sentinel2b"):
        responses("sentinel2_l2a", "sentinel2c")
    with pytest.raises(InputError, match="B99"):
        responses("sentinel2_l2a", bands=["B99"])


@fetched
@pytest.mark.parametrize("sensor", SATELLITES)
def test_averages_of_simple_spectra(sensor: str) -> None:
    bands = responses(sensor)
    weights = band_weights(bands)
    assert weights.names == tuple(bands)
    np.testing.assert_allclose(weights.weights.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(weights.average(np.full((3, weights.wavelength.size), 0.4)), 0.4)
    # A straight line has its value at the centre, moved towards blue by the sun's slope.
    line = weights.average(weights.wavelength)
    for place, (wavelength, response) in zip(line, bands.values(), strict=True):
        light = response * sunlight(wavelength)
        assert place == pytest.approx((light @ wavelength) / light.sum(), abs=0.15)


def test_sunlight_peaks_where_wien_says() -> None:
    fine = np.arange(400.0, 800.0, 0.1)
    assert fine[np.argmax(sunlight(fine))] == pytest.approx(2.897771955e6 / 5772.0, abs=0.2)


def test_any_other_sensor_and_its_mistakes() -> None:
    weights = band_weights({"one": (np.array([600.0, 610.0, 620.0]), np.array([0.0, 1.0, 0.0]))})
    assert weights.average(weights.wavelength) == pytest.approx(610.0, abs=0.1)
    assert band_weights({}).weights.shape == (0, 0)
    edge = band_weights({"violet": (np.array([390.0, 410.0, 440.0]), np.array([0.0, 1.0, 0.5]))})
    assert edge.wavelength[0] == WAVELENGTHS[0]
    for wavelength, response in (
        ([0.5, 0.6], [1.0, 1.0]),
        ([], []),
        ([600.0, 700.0], [0.0, 0.0]),
        ([9e3, 1e4], [1, 1]),
    ):
        with pytest.raises(InputError, match="'bad' has no light"):
            band_weights({"bad": (np.array(wavelength), np.array(response))})
