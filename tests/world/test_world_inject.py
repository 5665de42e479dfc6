"""Events put into scenes: mixtures by hand, untouched pixels, stored numbers, published dNBR classes."""

from __future__ import annotations

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from swath import cubes, rng
from swath.cubes import make_cube
from swath.errors import ConfigError, InputError
from swath.sensors import Band, BandSet
from swath.sources.world import packages
from swath.sources.world.events.detection import detection_curve, detection_limit
from swath.sources.world.events.inject import inject
from swath.sources.world.events.materials import SPECTRA, WAVELENGTHS_NM, backscatter_of, reflectance_of
from swath.sources.world.events.shapes import coverage_of, random_shape

NIR, RED, SWIR = (
    Band("B08", ("nir",), 842.0, 100.0, kind="reflectance"),
    Band("B04", ("red",), 665.0, 30.0, kind="reflectance"),
    Band("B12", ("swir",), 2200.0, 180.0, kind="reflectance"),
)
OPTICAL = BandSet((RED, NIR, SWIR))
RADAR = BandSet((Band("VV", kind="backscatter", unit="dB"), Band("VH", kind="backscatter", unit="dB")))
GREEN, SOIL = (0.03, 0.42, 0.09), (0.20, 0.26, 0.30)
ALWAYS = np.array(["2024-06-01"], "datetime64[ns]")


def grid(size: int = 40, gsd: float = 10.0) -> GeoBox:
    return GeoBox((size, size), Affine(gsd, 0, 500000, 0, -gsd, 5200000), "EPSG:32632")


def scene(
    spectrum: tuple[float, ...] = GREEN,
    size: int = 40,
    bands: BandSet = OPTICAL,
    times: np.ndarray = ALWAYS,
    gsd: float = 10.0,
) -> xr.Dataset:
    data = np.broadcast_to(np.float32(spectrum)[None, :, None, None], (len(times), len(bands), size, size)).copy()
    valid = np.ones((len(times), size, size), bool)
    return make_cube(
        data,
        valid,
        grid(size, gsd),
        bands,
        time=times,
        scale=[1.0] * len(bands),
        offset=[0.0] * len(bands),
        stored=False,
        attrs={"sensor": "", "level": ""},
    )


def stored_scene(size: int = 40) -> xr.Dataset:
    """uint16 with scale 1e-4 and offset -0.1, as Sentinel-2 Level-2A has had since 2022."""
    stream = rng.generator(0, "stored scene")
    numbers = np.float64(GREEN)[None, :, None, None] * stream.uniform(0.7, 1.3, (1, 1, size, size))
    data = np.rint((numbers + 0.1) / 1e-4).astype(np.uint16)
    valid = np.ones((1, size, size), bool)
    valid[0, :3] = False
    data[:, :, :3] = 0
    return make_cube(
        data,
        valid,
        grid(size),
        OPTICAL,
        time=ALWAYS,
        scale=[1e-4] * 3,
        offset=[-0.1] * 3,
        stored=True,
        attrs={"sensor": "sentinel2_l2a", "level": "L2A"},
    )


def stream(seed: int = 1) -> np.random.Generator:
    return rng.generator(seed, "injection test")


def square(low: int = 10, high: int = 30, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[low:high, low:high] = True
    return mask


def nbr(cube: xr.Dataset) -> np.ndarray:
    data = cube.data.values[0].astype(np.float64)
    return (data[1] - data[2]) / (data[1] + data[2])


def test_clearing_is_the_mixture_worked_out_by_hand() -> None:
    before = scene()
    after, truth = inject(before, "clearing", shape=square(), strength=0.25, rng=stream())
    inside = after.data.values[0, :, 20, 20].astype(np.float64)
    # The one unknown is the proportion of soil and litter; two bands give it, and the third must agree.
    material = (inside - 0.75 * np.float64(GREEN)) / 0.25
    soil = np.array([reflectance_of("bare soil", band) for band in OPTICAL])
    litter = np.array([reflectance_of("litter", band) for band in OPTICAL])
    blend = (material - litter) / (soil - litter)
    assert blend == pytest.approx(np.full(3, blend[0]), abs=1e-4) and 0.0 <= blend[0] <= 1.0
    assert truth.fraction.values[20, 20] == 0.25 and truth.mask.values.sum() == 400


@pytest.mark.skipif(bool(packages.missing()), reason="run: swath data get world")
def test_materials_lie_among_measured_spectra() -> None:
    # earthlib: char and litter of three brightnesses, soils from dark to pale. Broadband tables must lie among them.
    from swath.sources.world.render.responses import WAVELENGTHS
    from swath.sources.world.render.spectra import material, soils

    measured = {"char": material("char"), "litter": material("litter"), "bare soil": soils().mean(axis=1)}
    inside = (WAVELENGTHS_NM >= 450) & (WAVELENGTHS_NM <= 2200)
    for name, members in measured.items():
        known = np.array([np.interp(WAVELENGTHS_NM, WAVELENGTHS, member) for member in members])
        low, high = 0.75 * known.min(axis=0), 1.25 * known.max(axis=0)
        assert ((SPECTRA[name] >= low) & (SPECTRA[name] <= high))[inside].all(), name


def test_burn_of_full_severity_is_char() -> None:
    after, truth = inject(scene(), "burn", shape=square(), strength=1.0, rng=stream())
    whole = truth.severity.values == 1.0
    assert whole.any()
    char = [reflectance_of("char", band) for band in OPTICAL]
    assert pytest.approx(np.tile(char, (int(whole.sum()), 1)), abs=1e-6) == after.data.values[0][:, whole].T


def test_severity_agrees_with_the_dnbr_classes_of_key_and_benson() -> None:
    # Key and Benson 2006: low 0.10 to 0.27, moderate 0.27 to 0.66, high above; low, moderate and high severity are a
    # quarter, three quarters and the whole of the vegetation, in the forest that their figures are for.
    before, classes = scene(), {0.25: (0.10, 0.27), 0.75: (0.27, 0.66), 1.0: (0.66, 1.5)}
    severity, drop = [], []
    for strength in (0.1, 0.25, 0.5, 0.75, 1.0):
        after, truth = inject(before, "burn", shape=square(), strength=strength, rng=stream())
        assert (nbr(before) - nbr(after))[truth.severity.values == 0.0] == pytest.approx(0.0, abs=0)
        severity.append(truth.severity.values[square()])
        drop.append((nbr(before) - nbr(after))[square()])
    severities, drops = np.concatenate(severity), np.concatenate(drop)
    assert (np.diff(drops[np.argsort(severities, kind="stable")]) >= -1e-6).all()
    for middle, (low, high) in classes.items():
        near = abs(severities - middle) < 0.01
        assert near.any() and low <= drops[near].mean() < high


def test_bare_ground_and_water_do_not_burn() -> None:
    before = scene((0.20, 0.22, 0.30))  # NDVI 0.05
    after, truth = inject(before, "burn", shape=square(), rng=stream())
    assert (after.data.values == before.data.values).all() and not truth.mask.values.any()


def test_water_does_not_flood_and_bare_ground_cannot_be_cleared() -> None:
    for event, spectrum in (("flood", (0.04, 0.02, 0.01)), ("clearing", SOIL)):
        after, truth = inject(scene(spectrum), event, shape=square(), rng=stream())
        assert (after.data.values == scene(spectrum).data.values).all() and not truth.mask.values.any()
        with pytest.raises(InputError, match="pixels are free"):
            inject(scene(spectrum), event, hectares=1.0, rng=stream())


def test_flood_keeps_what_stands_out_of_the_water() -> None:
    _, over_soil = inject(scene(SOIL), "flood", shape=square(), rng=stream())
    _, over_forest = inject(scene((0.02, 0.45, 0.1)), "flood", shape=square(), rng=stream())
    assert over_soil.fraction.values[20, 20] == 1.0
    assert over_forest.fraction.values[20, 20] == pytest.approx(0.4, abs=0.03)


def test_flood_turns_the_water_index_and_darkens_the_infrared() -> None:
    after, _ = inject(scene(SOIL), "flood", shape=square(), rng=stream())
    red, near, short = after.data.values[0, :, 20, 20]
    assert near < 0.08 and short < 0.02 and red > short


def test_backscatter_drops_to_smooth_water_in_linear_power() -> None:
    before = scene((-9.0, -16.0), bands=RADAR)
    after, _ = inject(before, "flood", shape=square(), strength=0.5, rng=stream())
    for index, (band, decibels) in enumerate(zip(RADAR, (-9.0, -16.0), strict=True)):
        by_hand = 10 * np.log10(0.5 * 10 ** (decibels / 10) + 0.5 * backscatter_of("water", band))
        assert after.data.values[0, index, 20, 20] == pytest.approx(by_hand, abs=1e-4)


def test_speckle_survives_a_flood() -> None:
    before = scene((0.1,), bands=BandSet((Band("VV", kind="backscatter", unit="1"),)), size=80)
    looks = rng.generator(3, "speckle").gamma(4.4, 1 / 4.4, before.data.shape)
    before = before.assign(data=before.data * looks.astype(np.float32))
    after, truth = inject(before, "flood", shape=square(10, 70, 80), rng=stream())
    water = after.data.values[0, 0][truth.mask.values]
    # Equivalent number of looks, the squared mean over the variance: that of the speckle, within the ratio's own noise.
    assert 3.0 < water.mean() ** 2 / water.var() < 6.5
    assert 10 * np.log10(water.mean()) == pytest.approx(-20.0, abs=0.3)


def test_texture_of_the_ground_is_kept_in_part() -> None:
    before = scene()
    bright = np.ones((40, 40), np.float32)
    bright[20, 20] = 1.2
    before = before.assign(data=before.data * bright)
    after, _ = inject(before, "clearing", shape=square(), rng=stream())
    contrast = after.data.values[0, 1, 20, 20] / after.data.values[0, 1, 12, 12] - 1.0
    gain = 1.2 / (1 + 0.2 / 25) - 1.0
    assert contrast == pytest.approx(0.5 * gain, rel=1e-3)


@settings(max_examples=15, deadline=None)
@given(
    event=st.sampled_from(["flood", "burn", "clearing"]),
    strength=st.floats(0.0, 1.0),
    hectares=st.floats(0.01, 8.0),
    seed=st.integers(0, 2**31),
)
def test_untouched_pixels_and_masks_keep_every_bit(event: str, strength: float, hectares: float, seed: int) -> None:
    before = stored_scene()
    copy = before.copy(deep=True)
    after, truth = inject(before, event, strength=strength, hectares=hectares, rng=stream(seed))
    xr.testing.assert_identical(before, copy)
    xr.testing.assert_identical(after.drop_vars("data"), before.drop_vars("data"))
    untouched = truth.fraction.values == 0.0
    assert (after.data.values[..., untouched] == before.data.values[..., untouched]).all()
    assert after.data.dtype == np.uint16 and after.data.attrs == before.data.attrs
    assert not truth.mask.values[~before.valid.values[0]].any()
    assert (after.data.values[:, :, 3:] > 0).all() and (after.data.values < 65535).all()
    again, _ = inject(before, event, strength=strength, hectares=hectares, rng=stream(seed))
    assert (again.data.values == after.data.values).all()


def test_stored_numbers_keep_their_offset() -> None:
    after, truth = inject(stored_scene(), "burn", shape=square(), rng=stream())
    whole = (truth.severity.values > 0.99) & truth.mask.values
    short = after.data.values[0, 2][whole].astype(np.float64)
    assert short.mean() * 1e-4 - 0.1 == pytest.approx(reflectance_of("char", SWIR), abs=0.01)


def test_numbers_that_mean_something_else_never_come_out() -> None:
    dark = stored_scene()
    dark = dark.assign(data=dark.data * 0 + 1, valid=dark.valid | True)
    dark = dark.assign_coords(add_offset=("band", [0.1] * 3))
    after, _ = inject(dark.assign(data=dark.data.astype(np.uint16)), "clearing", shape=square(), rng=stream())
    assert (after.data.values >= 1).all()


def test_nodes_of_a_scene_show_the_same_event() -> None:
    tree = xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs={"a": 1}), "grid_10m": scene(), "grid_20m": scene(size=20, gsd=20.0)}
    )
    disc = shapely.Point(500200, 5199800).buffer(77)
    after, truth = inject(tree, "clearing", shape=disc, rng=stream())
    assert isinstance(after, xr.DataTree) and after.attrs == {"a": 1}
    fine = after["grid_10m"].data.values.astype(np.float64)
    coarse = after["grid_20m"].data.values.astype(np.float64)
    # A uniform scene mixes linearly, so the coarse node is the mean of the fine one but for the local contrast.
    assert coarse == pytest.approx(fine.reshape(1, 3, 20, 2, 20, 2).mean(axis=(3, 5)), abs=1e-5)
    assert float(truth.fraction.sum()) * 100 == pytest.approx(disc.area, rel=0.02)


def test_since_leaves_earlier_times_alone() -> None:
    times = np.array(["2024-05-01", "2024-06-01", "2024-07-01"], "datetime64[ns]")
    before = scene(times=times)
    after, _ = inject(before, "clearing", shape=square(), since=np.datetime64("2024-06-01"), rng=stream())
    changed = (after.data.values != before.data.values).any(axis=(1, 2, 3))
    assert changed.tolist() == [False, True, True]


def test_top_of_atmosphere_keeps_its_path_reflectance() -> None:
    before = scene((0.10, 0.30, 0.20))
    before.data.values[0, :, 0, :5] = np.array([[0.06], [0.03], [0.02]])  # dark objects: more than a thousandth
    before.attrs["level"] = "L1C"
    after, truth = inject(before, "burn", shape=square(), rng=stream())
    whole = truth.severity.values == 1.0
    expected = np.array([reflectance_of("char", band) for band in OPTICAL]) + np.array([0.05, 0.02, 0.01])
    assert after.data.values[0][:, whole].mean(axis=1) == pytest.approx(expected, abs=1e-5)


def test_shapes_come_as_geometry_table_or_mask() -> None:
    box = grid()
    polygon = shapely.box(500100, 5199700, 500300, 5199900)
    by_geometry = coverage_of(polygon, box)
    table = gpd.GeoSeries([polygon], crs="EPSG:32632").to_crs("EPSG:4326")
    assert by_geometry.sum() * 100 == pytest.approx(polygon.area)
    assert coverage_of(table, box) == pytest.approx(by_geometry, abs=0.26)
    assert (coverage_of(square(), box) == square()).all()


@pytest.mark.parametrize("event", ["flood", "burn", "clearing"])
def test_random_outlines_have_their_size_and_grow_around_the_same_place(event: str) -> None:
    free = np.ones((60, 60), bool)
    small, large = (random_shape(event, size, grid(60), free, stream(4)) for size in (1.0, 9.0))
    assert small.sum() == 100 and large.sum() == 900
    assert (large & small).sum() > 60


def test_errors_say_what_to_do() -> None:
    with pytest.raises(InputError, match="no event 'burnt'"):
        inject(scene(), "burnt", rng=stream())
    with pytest.raises(ConfigError, match="strength"):
        inject(scene(), "burn", strength=1.5, rng=stream())
    with pytest.raises(InputError, match="covers no pixel"):
        inject(scene(), "burn", shape=shapely.Point(0, 0).buffer(1), rng=stream())
    with pytest.raises(InputError, match="shape is empty"):
        inject(scene(), "burn", shape=shapely.Polygon(), rng=stream())
    with pytest.raises(InputError, match=r"mask has the shape \(3, 3\)"):
        inject(scene(), "burn", shape=np.ones((3, 3), bool), rng=stream())
    with pytest.raises(InputError, match="pixels are free"):
        inject(scene(), "burn", hectares=1e6, rng=stream())
    with pytest.raises(InputError, match="pixels are free"):
        inject(scene(), "burn", hectares=float("nan"), rng=stream())
    with pytest.raises(InputError, match="No time"):
        inject(scene(), "burn", shape=square(), since=np.datetime64("2030-01-01"), rng=stream())
    with pytest.raises(InputError, match="can show an event"):
        inject(scene((1.0,), bands=BandSet.of("x")), "burn", rng=stream())
    with pytest.raises(InputError, match="wavelength"):
        inject(scene((0.1,), bands=BandSet((Band("nir", kind="reflectance"),))), "burn", rng=stream())
    with pytest.raises(InputError, match="polarisation"):
        inject(scene((0.1,), bands=BandSet((Band("C", kind="backscatter"),))), "burn", rng=stream())
    masked = scene()
    with pytest.raises(InputError, match="pixels are free"):
        inject(masked.assign(valid=masked.valid & False), "burn", rng=stream())


def test_a_scene_of_one_pixel() -> None:
    after, truth = inject(scene(SOIL, size=1), "flood", hectares=0.01, rng=stream())
    assert truth.mask.values.all() and after.data.values[0, 1, 0, 0] < 0.08


def dark_in_the_infrared(changed: xr.DataTree | xr.Dataset) -> np.ndarray:
    data = changed.data.values[0].astype(np.float64)
    return np.clip(0.5 + (0.13 - data[1]) * 4, 0, 1)


def test_detection_curves_rise_with_strength_and_are_paired() -> None:
    before = scene(SOIL)
    curve = detection_curve(
        dark_in_the_infrared, before, "flood", strengths=(0.0, 0.3, 0.6, 1.0), hectares=(0.25, 1.0), seeds=range(6)
    )
    assert len(curve) == 8
    for _, part in curve.groupby("hectares"):
        recall = part.recall.to_numpy()
        assert np.isnan(recall[0]) and (np.diff(recall[1:]) >= 0).all()  # nothing to find at strength 0
        assert recall[1] == 0.0 and recall[3] == 1.0 and part.precision.to_numpy()[3] == 1.0
        assert part.average_precision.to_numpy()[3] == 1.0
    limit = detection_limit(curve)
    assert len(limit) == 2 and (limit.strength >= 0.6).all()
    # By hand: 0.26 - f (0.26 - m) = 0.13 with m from 0.010 (clear) to 0.070 (turbid) gives f from 0.52 to 0.68.


def test_detection_curve_counts_false_alarms_and_leaves_out_what_is_known() -> None:
    before = scene()
    before.data.values[0, :, 0, :20] = 0.01
    arguments = {"strengths": (1.0,), "hectares": (0.2,), "seeds": range(3)}
    naive = detection_curve(dark_in_the_infrared, before, "clearing", **arguments)
    assert naive.precision.item() == 0.0 and naive.recall.item() == 0.0
    known = np.zeros((40, 40), bool)
    known[0, :20] = True
    before.data.values[0, :, 1:] = np.float32(SOIL)[:, None, None]
    flood = detection_curve(dark_in_the_infrared, before, "flood", **arguments, leave_out=known)
    assert flood.precision.item() == 1.0
    with pytest.raises(ConfigError, match="0 seeds"):
        detection_curve(dark_in_the_infrared, before, "flood", strengths=(1.0,), hectares=(1.0,), seeds=[])
    with pytest.raises(InputError, match="scores of the shape"):
        detection_curve(lambda scene: np.zeros((2, 2)), before, "flood", **arguments)


def real(name: str) -> Path:
    root = os.environ.get("SWATH_DATA")
    if not root or not (Path(root) / name).exists():
        pytest.skip(f"SWATH_DATA holds no {name}")
    return Path(root) / name


def test_water_index_finds_a_flood_in_a_real_sentinel2_scene() -> None:
    from swath.sources.published import rstoolbox

    place = next(item for item in rstoolbox.open(real("rstoolbox")) if item.id == "sen2")
    (node,) = cubes.nodes_of(place.scene()).values()
    cube = cubes.to_physical(node).isel(y=slice(0, 120), x=slice(0, 120)).compute()

    def water_index(changed: xr.DataTree | xr.Dataset) -> np.ndarray:
        data = changed.sel(band=["B03", "B11"]).data.values[0].astype(np.float64)
        return 0.5 + (data[0] - data[1]) / np.maximum(data[0] + data[1], 1e-3) / 2

    known = water_index(cube) > 0.5
    curve = detection_curve(
        water_index, cube, "flood", strengths=(0.2, 1.0), hectares=(2.0,), seeds=range(3), leave_out=known
    )
    assert curve.recall.to_numpy()[1] > curve.recall.to_numpy()[0]
