"""Real scenes, where $SWATH_DATA points at them."""

from __future__ import annotations

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from PIL import Image

from swath import cubes
from swath.errors import InputError

ROOT = os.environ.get("SWATH_DATA")
pytestmark = pytest.mark.skipif(ROOT is None, reason="SWATH_DATA is unset: the real scenes are not here")
DATA = Path(ROOT or ".")
HLS = DATA / "hls_chip" / "segmentation_test_0_input.tif"
STOOLBOX = DATA / "rstoolbox"
SEN2_BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


def test_hls_chip_opens_and_serves_the_six_prithvi_bands(tmp_path: Path) -> None:
    names = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B09", "B10", "B11"]
    scene = cubes.open(HLS, sensor="hls_l30", bands=names)
    with rasterio.open(HLS) as dataset:
        stored = dataset.read()
        assert dataset.nodata == -9999
    cube = scene["grid_30m"].to_dataset()
    np.testing.assert_array_equal(cube["data"].values[0], stored)
    np.testing.assert_array_equal(cube["valid"].values[0], np.isfinite(stored) & (stored != -9999))
    six = cubes.to_cube(scene, bands=["blue", "green", "red", "B05", "B06", "B07"])
    assert cubes.bands_of(six).names == ("B02", "B03", "B04", "B05", "B06", "B07")
    physical = cubes.to_physical(six)
    assert physical["data"].attrs["unit"] == "1"
    cubes.check_physical(physical)
    np.testing.assert_allclose(physical["data"].values[0], stored[1:7] * 1e-4, rtol=1e-6)
    with Image.open(cubes.quicklook(physical, tmp_path / "q.png")) as picture:
        assert picture.size == (224, 224)


def test_sentinel2_reflectance_is_known_for_what_it_is() -> None:
    path = STOOLBOX / "sen2.tif"
    scene = cubes.open(path, sensor="sentinel2_l2a", level="physical", bands=SEN2_BANDS)
    cube = cubes.to_cube(scene)
    assert cubes.geobox_of(cube).shape == (237, 247)
    cubes.check_physical(cube)
    with pytest.raises(InputError, match="has 12 bands, but"):
        cubes.open(path, sensor="sentinel2_l1c", level="physical")


def test_landsat5_dn_is_no_reflectance() -> None:
    scene = cubes.open(STOOLBOX / "lsat.tif", sensor="landsat5_tm", level="physical")
    assert cubes.to_cube(scene).sizes == {"time": 1, "band": 7, "y": 310, "x": 287}
    with pytest.raises(InputError, match=r"lsat\.tif.*integers \(DN\)"):
        cubes.check_physical(cubes.to_cube(scene))


def test_landsat_folder_of_single_bands_opens_by_file_name() -> None:
    scene = cubes.open(STOOLBOX / "landsat", sensor="landsat5_tm", level="L1", baseline="Landsat 5 before 1992")
    names = [name for node in scene.children.values() for name in cubes.bands_of(node).names]
    assert sorted(names) == ["B1", "B2", "B3", "B4", "B5", "B6", "B7"]


@pytest.mark.parametrize(
    ("raster", "column_counts"),
    [
        ("sen2", {"village": 614, "forest": 1056, "water": 496, "dryout": 204}),
        ("lsat", {"cleared": 1124, "forest": 2271, "water": 795, "fallen_dry": 220}),
    ],
)
def test_polygons_fall_on_their_scene(raster: str, column_counts: dict[str, int]) -> None:
    vectors = STOOLBOX / f"trainingPolygons_{raster}.geojson"
    column = next(name for name in gpd.read_file(vectors).columns if name not in ("geometry", "id"))
    classes = cubes.vector_classes(vectors, column)
    assert set(classes) == set(column_counts)
    legend = {name: index for index, name in enumerate(classes)}
    box = cubes.geobox_of(cubes.to_cube(cubes.open(STOOLBOX / f"{raster}.tif")))
    labels = cubes.rasterise(vectors, box, column=column, legend=legend)
    for name, count in column_counts.items():
        assert (labels.values == legend[name]).sum() == pytest.approx(count, abs=3)
    ids = cubes.rasterise_ids(vectors, box)
    assert ((ids.values >= 0) >= (labels.values >= 0)).all()


def test_flood_chip_names_its_bands_itself() -> None:
    radar = cubes.open(DATA / "sen1floods11_sample" / "Spain_7370579_S1Hand.tif", sensor="sentinel1_grd", level="dB")
    cube = cubes.to_cube(radar)
    assert cubes.bands_of(cube).names == ("VV", "VH")
    assert cubes.is_physical(cube)
    cubes.check_physical(cube)
    optical = cubes.open(
        DATA / "sen1floods11_sample" / "Spain_7370579_S2Hand.tif", sensor="sentinel2_l1c", baseline="02.07"
    )
    both = cubes.to_cube(optical, bands=["B04", "B8A"], geobox=cubes.geobox_of(cube))
    assert both["data"].shape == (1, 2, 512, 512)
    cubes.check_physical(cubes.to_physical(both))
