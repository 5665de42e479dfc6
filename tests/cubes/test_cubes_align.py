"""Bring a scene onto one grid: identity, cropping, resampling, and nothing under the mask leaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from swath import cubes
from swath.cubes import warp
from swath.cubes.cube import make_cube, shift_between
from swath.errors import ConfigError, ContractError, InputError
from swath.sensors import Band, BandSet

Tif = Callable[..., Path]
Box = Callable[..., GeoBox]
UTM = "EPSG:32633"


def build(
    data: np.ndarray,
    valid: np.ndarray | None = None,
    box: GeoBox | None = None,
    bands: BandSet | None = None,
    time: tuple[str, ...] = ("2020-01-01",),
    chunks: tuple[int, ...] | None = None,
) -> xr.Dataset:
    """A cube from ``(band, y, x)`` or ``(time, band, y, x)``."""
    data = data[None] if data.ndim == 3 else data
    valid = np.ones((data.shape[0], *data.shape[2:]), dtype=bool) if valid is None else valid
    box = box or GeoBox(data.shape[2:], Affine(10, 0, 500_000, 0, -10, 5_000_000), UTM)
    return make_cube(
        da.from_array(data, chunks=chunks or -1),
        da.from_array(valid, chunks=-1),
        box,
        bands or BandSet.of(*(f"b{index}" for index in range(data.shape[1]))),
        time=np.array(time, dtype="datetime64[ns]"),
        scale=[1.0] * data.shape[1],
        offset=[0.0] * data.shape[1],
        stored=True,
        attrs={"source": "made up"},
    )


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 1, 9)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float64"])
def test_one_grid_passes_through_bit_by_bit(tif: Tif, shape: tuple[int, int, int], dtype: str) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    cube = cubes.to_cube(cubes.open(tif("a.tif", array, nodata=3)))
    assert cube["data"].dtype == array.dtype
    np.testing.assert_array_equal(cube["data"].values[0], array)
    np.testing.assert_array_equal(cube["valid"].values[0], array != 3)


def test_nan_numbers_pass_through_under_the_mask(tif: Tif) -> None:
    array = np.array([[[1.0, np.nan], [np.inf, 4.0]]], dtype="float32")
    cube = cubes.to_cube(cubes.open(tif("a.tif", array)))
    np.testing.assert_array_equal(cube["data"].values[0], array)
    np.testing.assert_array_equal(cube["valid"].values[0, 0], [[True, False], [False, True]])


def test_bands_are_chosen_by_name_alias_and_wavelength_in_the_order_wanted() -> None:
    held = BandSet(
        (
            Band("B02", ("blue",), 490.0, 65.0, kind="reflectance"),
            Band("B04", ("red",), 665.0, 30.0, kind="reflectance"),
            Band("B8A", (), 865.0, 20.0, kind="reflectance"),
        )
    )
    cube = build(np.arange(12.0).reshape(3, 2, 2), bands=held)
    wanted = BandSet(
        (
            Band("nir", (), 860.0, 40.0, kind="reflectance"),
            Band("blue", kind="reflectance"),
        )
    )
    chosen = cubes.to_cube(cube, bands=wanted)
    assert cubes.bands_of(chosen).names == ("B8A", "B02")
    np.testing.assert_array_equal(chosen["data"].values[0], cube["data"].values[0, [2, 0]])
    assert cubes.bands_of(cubes.to_cube(cube, bands=["red"]))[0].wavelength_nm == 665.0
    with pytest.raises(InputError, match="No source band serves swir1; the source has B02, B04, B8A"):
        cubes.to_cube(cube, bands=["red", "swir1"])
    with pytest.raises(InputError, match="'red' appears twice"):
        cubes.to_cube(cube, bands=["red", "red"])
    with pytest.raises(InputError, match="No band was asked for"):
        cubes.to_cube(cube, bands=[])


def test_two_resolutions_meet_on_the_finest_wanted(tif: Tif, box: Box, tmp_path: Path) -> None:
    fine = np.arange(64, dtype="uint16").reshape(1, 8, 8)
    coarse = np.arange(16, dtype="uint16").reshape(1, 4, 4) * 10
    scene = cubes.open([tif("x_B04.tif", fine, box(8, 8)), tif("x_B11.tif", coarse, box(4, 4, 20.0))])
    cube = cubes.to_cube(scene)
    assert cubes.geobox_of(cube) == box(8, 8)
    assert cubes.bands_of(cube).names == ("B04", "B11")
    np.testing.assert_array_equal(cube["data"].values[0, 0], fine[0])
    assert cube["valid"].values.all()
    nearest = cubes.to_cube(scene, resampling="nearest")
    np.testing.assert_array_equal(nearest["data"].values[0, 1], np.kron(coarse[0], np.ones((2, 2))))
    assert cubes.geobox_of(cubes.to_cube(scene, bands=["B11"])) == box(4, 4, 20.0)


def test_average_to_a_coarser_grid_is_the_block_mean_of_valid_pixels(box: Box) -> None:
    data = np.arange(64, dtype="float64").reshape(1, 8, 8)
    valid = np.ones((1, 8, 8), dtype=bool)
    valid[0, 0, 0] = False
    data[0, 0, 0] = 1e6
    cube = cubes.to_cube(build(data, valid), geobox=box(4, 4, 20.0), resampling="average")
    expected = data.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(cube["data"].values[0, 0].ravel()[1:], expected.ravel()[1:], rtol=1e-6)
    if cube["valid"].values[0, 0, 0]:
        assert cube["data"].values[0, 0, 0, 0] == pytest.approx((1 + 8 + 9) / 3, rel=1e-6)


def test_crop_and_pad_on_the_same_pixels_keep_the_stored_type(box: Box) -> None:
    data = np.arange(30, dtype="uint16").reshape(1, 5, 6)
    target = box(4, 5, left=499_980.0, top=4_999_980.0)  # two rows down, two columns to the left
    cube = cubes.to_cube(build(data), geobox=target)
    assert cube["data"].dtype == np.uint16
    np.testing.assert_array_equal(cube["data"].values[0, 0, :3, 2:], data[0, 2:, :3])
    expected = np.zeros((4, 5), dtype=bool)
    expected[:3, 2:] = True
    np.testing.assert_array_equal(cube["valid"].values[0], expected)
    assert cubes.geobox_of(cube) == target


def test_half_a_pixel_is_no_shift(box: Box) -> None:
    assert shift_between(box(4, 4), box(4, 4, left=500_010.0)) == (0, 1)
    assert shift_between(box(4, 4), box(4, 4, left=500_005.0)) is None
    assert shift_between(box(4, 4), box(4, 4, 20.0)) is None
    assert shift_between(box(4, 4), GeoBox((4, 4), box(4, 4).affine, "EPSG:32634")) is None


def test_bilinear_of_a_plane_is_the_plane(box: Box) -> None:
    rows, columns = np.mgrid[0:20, 0:20].astype("float64")
    plane = (3 * rows + 2 * columns)[None]
    target = box(8, 8, left=500_053.0, top=4_999_947.0)
    result = cubes.to_cube(build(plane), geobox=target)["data"].values[0, 0]
    x = np.arange(8) + 5.3
    np.testing.assert_allclose(result, 3 * x[:, None] + 2 * x[None, :], rtol=1e-5)


def test_chunks_do_not_change_the_result(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    data, valid = generator.normal(size=(2, 2, 60, 50)), generator.random((2, 2, 60, 50)) > 0.2
    dates = ("2020-01-01", "2020-02-01")
    for target in (box(40, 33, 13.7), GeoBox.from_bbox((14.999, 45.14, 15.006, 45.156), "EPSG:4326", resolution=1e-4)):
        whole = cubes.to_cube(build(data, valid, time=dates), geobox=target).compute()
        with monkeypatch.context() as patch:
            patch.setattr(warp, "CHUNK", 17)
            parts = cubes.to_cube(build(data, valid, time=dates, chunks=(1, 1, 16, 16)), geobox=target).compute()
        np.testing.assert_array_equal(parts["valid"], whole["valid"])
        shown = whole["valid"].values
        assert shown.mean() > 0.2
        # GDAL approximates positions by up to a hundredth of a pixel, and the numbers are white noise.
        np.testing.assert_allclose(parts["data"].values[shown], whole["data"].values[shown], atol=0.1)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["bilinear", "average", "nearest"]), st.booleans())
@settings(deadline=None, max_examples=25)
def test_numbers_under_the_mask_never_leak(seed: int, method: str, shared: bool) -> None:
    generator = np.random.default_rng(seed)
    height, width = (int(side) for side in generator.integers(1, 14, size=2))
    data = generator.uniform(0, 1, size=(1, 2, height, width))
    valid = generator.random((1, height, width) if shared else data.shape) > 0.4
    full = np.broadcast_to(valid[:, None] if shared else valid, data.shape)
    junk = generator.choice([np.nan, np.inf, -np.inf, 1e30, -9999.0, 0.0], size=data.shape)
    gsd, left, top = generator.uniform(4, 31), generator.uniform(-25, 25), generator.uniform(-25, 25)
    box = GeoBox((9, 8), Affine(gsd, 0, 500_000 + left, 0, -gsd, 5_000_000 + top), UTM)
    results = []
    for filling in (junk, np.full(data.shape, 0.5)):
        try:
            cube = cubes.to_cube(build(np.where(full, data, filling), valid), geobox=box, resampling=method)
        except InputError:
            return  # the grids share no area
        results.append((cube["data"].values, np.broadcast_to(_with_bands(cube), cube["data"].shape)))
    (first, mask), (second, other) = results
    np.testing.assert_array_equal(mask, other)
    np.testing.assert_array_equal(first[mask], second[mask])
    assert np.isfinite(first[mask]).all()
    if mask.any():
        assert first[mask].min() >= data[full].min() - 1e-6
        assert first[mask].max() <= data[full].max() + 1e-6


def _with_bands(cube: xr.Dataset) -> np.ndarray:
    mask = cube["valid"].values
    return mask[:, None] if mask.ndim == 3 else mask


def test_a_result_is_valid_only_if_its_own_source_pixel_is(box: Box) -> None:
    data = np.ones((1, 4, 4))
    valid = np.ones((1, 4, 4), dtype=bool)
    valid[0, 1, 2] = False
    cube = cubes.to_cube(build(data, valid), geobox=box(16, 16, 2.5))
    np.testing.assert_array_equal(cube["valid"].values[0], np.kron(valid[0], np.ones((4, 4))) > 0)
    assert (cube["data"].values[0, 0][cube["valid"].values[0]] == 1).all()


def test_outside_of_the_source_is_invalid(box: Box) -> None:
    cube = cubes.to_cube(build(np.ones((1, 4, 4))), geobox=box(10, 10, 7.0, left=499_990.0, top=5_000_010.0))
    valid = cube["valid"].values[0]
    assert valid.any()
    assert not valid[0].any()
    assert not valid[:, 0].any()
    assert not valid[-1].any()


def test_quality_bands_take_the_nearest_pixel(box: Box) -> None:
    bands = BandSet((Band("B04", kind="reflectance"), Band("SCL", kind="quality")))
    data = np.stack([np.arange(16.0).reshape(4, 4), np.tile([4.0, 9.0], (4, 2))])
    cube = cubes.to_cube(build(data, bands=bands), geobox=box(7, 7, 5.0, left=500_002.0, top=4_999_998.0))
    assert set(np.unique(cube["data"].values[0, 1])) == {4.0, 9.0}
    assert len(np.unique(cube["data"].values[0, 0])) > 16


def test_masked_scene_stays_masked(box: Box) -> None:
    cube = build(np.ones((1, 5, 5)), np.zeros((1, 5, 5), dtype=bool))
    assert not cubes.to_cube(cube, geobox=box(3, 3, 15.0))["valid"].values.any()


def test_bad_wishes_have_their_sentence(box: Box) -> None:
    cube = build(np.ones((1, 4, 4)))
    with pytest.raises(ConfigError, match="The resampling 'cubic' is not offered"):
        cubes.to_cube(cube, geobox=box(2, 2, 20.0), resampling="cubic")
    with pytest.raises(InputError, match="do not overlap"):
        cubes.to_cube(cube, geobox=box(4, 4, left=900_000.0))
    with pytest.raises(ContractError, match="The dataset is not a cube"):
        cubes.to_cube(xr.Dataset())
    with pytest.raises(ContractError, match="The scene holds no cube"):
        cubes.to_cube(xr.DataTree())
    later = build(np.ones((1, 4, 4)), bands=BandSet.of("other"), time=("2021-01-01",))
    with pytest.raises(InputError, match="different dates"):
        cubes.to_cube(xr.DataTree.from_dict({"a": cube, "b": later}))
