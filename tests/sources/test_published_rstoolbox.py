"""The reader of the RStoolbox scenes."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest

from swath import cubes
from swath.errors import InputError
from swath.sources.published import rstoolbox
from swath.sources.published.common import UNLABELLED, one_cube
from swath.types import IGNORE


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    return rstoolbox.write_fake(tmp_path, 0)


def test_sentinel2_gets_its_missing_offset(fake: Path) -> None:
    place = rstoolbox.open(fake)[1]
    assert place.id == "sen2"
    scene = place.scene()
    cube = one_cube(scene)
    assert scene.attrs["sensor"] == cube.attrs["sensor"] == rstoolbox.SENTINEL2
    assert tuple(cube["band"].values) == rstoolbox.SENTINEL2_BANDS
    physical = cubes.to_physical(cube)
    np.testing.assert_allclose(physical["data"].values, cube["data"].values - 0.1, atol=1e-6)
    assert cubes.bands_of(physical)[3].wavelength_nm == pytest.approx(664.6)
    cubes.check_physical(physical)


def test_landsat_is_radiance_and_both_copies_agree(fake: Path) -> None:
    scene, folder = one_cube(rstoolbox.open(fake)[0].scene()), one_cube(rstoolbox.landsat_folder(fake))
    assert set(scene["kind"].values) == {"radiance"}
    assert scene["time"].values[0] == folder["time"].values[0] == np.datetime64("1988-08-14T13:00:47")
    np.testing.assert_array_equal(cubes.to_physical(scene)["data"].values, cubes.to_physical(folder)["data"].values)
    assert cubes.geobox_of(scene) == cubes.geobox_of(folder)


@pytest.mark.parametrize("index", [0, 1])
def test_labels_polygons_and_relief_share_the_grid(fake: Path, index: int) -> None:
    place = rstoolbox.open(fake)[index]
    box = cubes.geobox_of(one_cube(place.scene()))
    labels, numbers = place.labels(), place.polygon_numbers()
    assert labels.shape == numbers.shape == box.shape.yx
    np.testing.assert_array_equal(labels.values != IGNORE, numbers.values >= 0)
    polygons = place.polygons()
    assert len(polygons) == 8
    for number, name in enumerate(polygons["class"]):
        inside = labels.values[numbers.values == number]
        assert inside.size == 48
        assert set(inside) == {place.legend.mapping()[name]}
    assert cubes.same_grid(cubes.geobox_of(one_cube(place.relief())), box)


def test_all_problems_are_listed_at_once(fake: Path) -> None:
    (fake / "srtm_sen2.tif").unlink()
    (fake / "landsat" / "LT52240631988227CUB02_B3.TIF").unlink()
    path = fake / "trainingPolygons_lsat.geojson"
    table = geopandas.read_file(path)
    table.loc[0, "class"] = "swamp"
    table.to_file(path, driver="GeoJSON")
    problems = rstoolbox.check(fake)
    assert len(problems) == 3
    assert any("1 polygons of the class 'swamp'" in problem for problem in problems)
    assert any("srtm_sen2.tif" in problem for problem in problems)
    assert any("lacks LT52240631988227CUB02_B3.TIF" in problem for problem in problems)
    with pytest.raises(InputError, match="swamp"):
        rstoolbox.describe(fake)


def test_absent_parts(fake: Path) -> None:
    (fake / "lsat.tif").unlink()
    (fake / "trainingPolygons_sen2.geojson").unlink()
    (place,) = rstoolbox.open(fake)
    with pytest.raises(InputError, match=r"trainingPolygons_sen2\.geojson is missing"):
        place.labels()
    assert any("lsat.tif: the file is missing" in problem for problem in rstoolbox.check(fake))


def test_metadata_with_padding_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "X_MTL.txt"
    body = 'GROUP = A\n  DATE_ACQUIRED = 1988-08-14\n  SCENE_CENTER_TIME = "13:00:47.3750190Z"\nEND\n'
    path.write_text(body + "\0 " * 99 + "\nA = 1")
    told = rstoolbox.read_mtl(path)
    assert told["SCENE_CENTER_TIME"] == "13:00:47.3750190Z"
    assert "A" not in told
    path.write_text("nothing here")
    with pytest.raises(InputError, match="DATE_ACQUIRED and SCENE_CENTER_TIME"):
        rstoolbox.read_mtl(path)


def test_the_real_scenes(real_data: Path) -> None:
    root = real_data / "rstoolbox"
    assert rstoolbox.check(root) == []
    lsat, sen2 = rstoolbox.open(root)
    assert rstoolbox.histogram([lsat.labels().values], lsat.legend.names) == {
        "forest": 2271, "water": 795, "cleared": 1124, "fallen_dry": 220, UNLABELLED: 310 * 287 - 4410,
    }  # fmt: skip
    assert rstoolbox.histogram([sen2.labels().values], sen2.legend.names) == {
        "forest": 1056, "water": 496, "dryout": 204, "village": 614, UNLABELLED: 237 * 247 - 2370,
    }  # fmt: skip
    assert (len(lsat.polygons()), len(sen2.polygons())) == (36, 25)
    reflectance = cubes.to_physical(one_cube(sen2.scene()))["data"].values[0]
    water = sen2.labels().values == sen2.legend.mapping()["water"]
    assert 0 < reflectance[-1][water].mean() < 0.03  # without the offset it would be 0.11, impossible for water
    scene, folder = one_cube(lsat.scene()), one_cube(rstoolbox.landsat_folder(root))
    np.testing.assert_array_equal(scene["data"].values, folder["data"].values)
    radiance = cubes.to_physical(scene)["data"].values[0]
    labels = lsat.labels().values
    assert radiance[3][labels == 1].mean() < radiance[3][labels == 0].mean() / 3  # water is dark in the near infrared
