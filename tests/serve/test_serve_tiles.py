from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swath.errors import InputError
from swath.serve import Layer, read_layers
from swath.serve.tiles import HALF_WORLD, RasterLayer, tile_bounds

FOREST, BARREN, CLEAR = (0x11, 0x77, 0x33, 255), (0xDD, 0xCC, 0x77, 255), (0, 0, 0, 0)
LEGEND = ({"value": 1, "name": "forest", "colour": "#117733"}, {"value": 2, "name": "barren", "colour": "#ddcc77"})


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "RGBA"
        return np.asarray(image)


def colours(png: bytes) -> set[tuple[int, ...]]:
    return {tuple(int(part) for part in row) for row in np.unique(pixels(png).reshape(-1, 4), axis=0)}


def open_layer(path: Path, **fields: Any) -> RasterLayer:
    basis = {"id": "a", "title": "A", "path": path.name, "kind": "categorical", "legend": LEGEND}
    if fields.get("kind", "categorical") != "categorical":
        basis.pop("legend")
    return RasterLayer(Layer.model_validate(basis | fields), path.parent)


@pytest.fixture(scope="module")
def world(map_directory: Path) -> dict[str, RasterLayer]:
    return {layer.id: RasterLayer(layer, map_directory) for layer in read_layers(map_directory).layers}


def test_a_categorical_tile_shows_exactly_the_legend(world: dict[str, RasterLayer]) -> None:
    image = pixels(world["classes"].tile(0, 0, 0))
    assert image.shape == (256, 256, 4)
    # Row 128 is the equator; the edge between the classes is Greenwich, column 128.
    assert {tuple(row) for row in image[128, :128]} == {FOREST}
    assert {tuple(row) for row in image[128, 128:]} == {BARREN}
    assert {tuple(row) for row in image[5]} == {CLEAR}  # 84 N: a value that is not in the legend
    assert {tuple(row) for row in image[250]} == {CLEAR}  # 84 S: no data


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 7), st.data())
def test_no_categorical_tile_invents_a_colour(world: dict[str, RasterLayer], zoom: int, data: st.DataObject) -> None:
    last = 2**zoom - 1
    column, row = data.draw(st.integers(0, last)), data.draw(st.integers(0, last))
    assert colours(world["classes"].tile(zoom, column, row)) <= {FOREST, BARREN, CLEAR}


@pytest.mark.parametrize("zoom", [1, 5, 12, 22])
def test_tiles_at_the_antimeridian_and_the_poles(world: dict[str, RasterLayer], zoom: int) -> None:
    last = 2**zoom - 1
    assert colours(world["classes"].tile(zoom, 0, last // 2)) - {CLEAR} == {FOREST}
    assert colours(world["classes"].tile(zoom, last, last // 2)) - {CLEAR} == {BARREN}
    for column in (0, last):
        for row in (0, last):
            assert pixels(world["ocean"].tile(zoom, column, row))[..., 3].min() == 255


def test_512_pixels_show_the_same_place(world: dict[str, RasterLayer]) -> None:
    small, large = (pixels(world["classes"].tile(1, 0, 0, size)) for size in (256, 512))
    assert large.shape == (512, 512, 4)
    assert (large[64::64, 64::64] == small[32::32, 32::32]).all()


def test_continuous_tiles_follow_the_colour_map(world: dict[str, RasterLayer]) -> None:
    layer = world["score"]
    image = pixels(layer.tile(0, 0, 0)).astype(int)
    assert image[128, 10, 3] == 0  # NaN west of 150 W
    assert image[128, 30, 3] == 255
    low, middle, high = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in layer.colours[::4])
    assert np.abs(image[128, 255, :3] - high).max() <= 6
    assert np.abs(image[128, 128, :3] - middle).max() <= 6
    assert np.abs(image[128, 255, :3] - low).max() > 60


def test_stretch_is_clipped_and_scale_is_applied(tmp_path: Path, write_raster: Any) -> None:
    stored = np.array([[0, 1000, 2000, 9000]], dtype=np.int16).repeat(2, axis=0)
    path = write_raster(tmp_path / "t.tif", stored, 0, 2, 1, scale=(0.1, -100.0))
    layer = open_layer(path, kind="continuous", minimum=0, maximum=100, colormap="gray", unit="K")
    assert [layer.value(x + 0.5, 0.5)["value"] for x in range(4)] == [-100.0, 0.0, 100.0, 800.0]
    image = pixels(layer.tile(6, 32, 31))  # about 5.6 degrees from 0, 0 to the north-east
    row = image[-20, [10, 65, 115, 160]]
    assert row[:, 0].tolist()[::3] == [0, 255]
    assert set(row[:, 3].tolist()) == {255}


def test_colour_of_other_numbers_needs_a_stretch(tmp_path: Path, write_raster: Any) -> None:
    path = write_raster(tmp_path / "c.tif", np.full((3, 4, 4), 0.2, dtype=np.float32), 0, 4, 1)
    with pytest.raises(InputError, match="float32 numbers and no stretch"):
        open_layer(path, kind="colour")
    layer = open_layer(path, kind="colour", minimum=0, maximum=0.4)
    assert colours(layer.tile(9, 256, 255)) == {(128, 128, 128, 255)}
    assert layer.value(1, 1)["value"] == {"band 1": 0.2, "band 2": 0.2, "band 3": 0.2}


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3), (257, 255)])
@pytest.mark.parametrize("fill", [0, 1])
def test_odd_sizes_and_empty_rasters(tmp_path: Path, write_raster: Any, shape: tuple[int, int], fill: int) -> None:
    path = write_raster(tmp_path / "o.tif", np.full(shape, fill, dtype=np.int16), 0.0, 0.1 * shape[0], 0.1, nodata=0)
    layer = open_layer(path)
    zoom = layer.max_zoom
    found = colours(layer.tile(zoom, 2 ** (zoom - 1), 2 ** (zoom - 1) - 1))
    assert (FOREST in found) == bool(fill)
    assert found <= {FOREST, CLEAR}
    assert layer.value(0.05, 0.05)["value"] == (1 if fill else None)


def test_longitudes_from_0_to_360_reach_both_hemispheres(tmp_path: Path, write_raster: Any) -> None:
    classes = np.where(np.arange(360) < 180, 1, 2).astype(np.uint8)[None].repeat(180, axis=0)
    layer = open_layer(write_raster(tmp_path / "w.tif", classes, 0, 90, 1))
    assert layer.bounds[0::2] == (-180.0, 180.0)
    image = pixels(layer.tile(0, 0, 0))
    assert {tuple(row) for row in image[:, 128:].reshape(-1, 4)} == {FOREST}
    assert {tuple(row) for row in image[:, :128].reshape(-1, 4)} == {BARREN}
    assert layer.value(-90, 0)["name"] == "barren"
    assert layer.value(90, 0)["name"] == "forest"


def test_a_projected_raster_across_the_antimeridian(tmp_path: Path, write_raster: Any) -> None:
    ones = np.ones((100, 100), dtype=np.uint8)
    layer = open_layer(write_raster(tmp_path / "u.tif", ones, 600_000, 100_000, 3000, crs="EPSG:32660", nodata=0))
    west, _, east, _ = layer.bounds
    assert west > 177
    assert east < -179
    assert colours(layer.tile(7, 0, 63)) == colours(layer.tile(7, 127, 63)) == {FOREST, CLEAR}
    assert colours(layer.tile(7, 60, 63)) == {CLEAR}
    assert layer.value(179.5, -0.5)["value"] == layer.value(-179.5, -0.5)["value"] == 1


@pytest.mark.parametrize(
    ("place", "name"),
    [((-180, 0), "forest"), ((180, 0), "barren"), ((0, 0), "barren"), ((-1e-9, 0), "forest"), ((10, 90), None)],
)
def test_values_at_the_edges(world: dict[str, RasterLayer], place: tuple[float, float], name: str | None) -> None:
    assert world["classes"].value(*place)["name"] == name


def test_values_without_data_are_none(world: dict[str, RasterLayer]) -> None:
    assert world["classes"].value(0, -90)["value"] is None
    assert world["score"].value(-170, 0)["value"] is None
    assert world["classes"].value(0, 85) == {
        "id": "classes",
        "title": "Land cover",
        "kind": "categorical",
        "value": 9,
        "name": None,
        "colour": None,
    }


def test_an_overview_is_used_where_it_is_fine_enough(tmp_path: Path, write_raster: Any) -> None:
    path = write_raster(tmp_path / "p.tif", np.ones((512, 512), dtype=np.uint8), 0, 51.2, 0.1, overviews=(2, 4, 8))
    layer = open_layer(path)
    seen = []
    original = layer._pool.open
    layer._pool.open = lambda overview=None: (seen.append(overview), original(overview))[1]  # type: ignore[method-assign]
    for zoom in (0, 4, 9):
        assert FOREST in colours(layer.tile(zoom, 2**zoom // 2, max(0, 2**zoom // 2 - 1)))
    # Degrees per pixel: 1.4, 0.088, 0.0027; the raster has 0.1.
    assert seen[1::2] == [2, None, None]


def test_a_rewritten_raster_is_seen(tmp_path: Path, write_raster: Any) -> None:
    path = write_raster(tmp_path / "r.tif", np.ones((4, 4), dtype=np.uint8), 0, 4, 1)
    layer = open_layer(path)
    before = layer.version
    assert colours(layer.tile(9, 256, 255)) == {FOREST}
    write_raster(tmp_path / "new.tif", np.full((4, 4), 2, dtype=np.uint8), 0, 4, 1).replace(path)
    assert layer.version != before
    assert colours(layer.tile(9, 256, 255)) == {BARREN}


def test_many_threads_read_the_same_as_one(world: dict[str, RasterLayer]) -> None:
    places = [(2, column, row) for column in range(4) for row in range(4)]
    alone = [world["classes"].tile(*place) for place in places]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda place: world["classes"].tile(*place), places)) == alone


def test_bad_rasters(tmp_path: Path, write_raster: Any) -> None:
    (tmp_path / "text.tif").write_text("not a raster")
    with pytest.raises(InputError, match="cannot be read as a raster"):
        open_layer(tmp_path / "text.tif")
    with pytest.raises(InputError, match="has no CRS"):
        open_layer(write_raster(tmp_path / "n.tif", np.ones((2, 2), dtype=np.uint8), 0, 2, 1, crs=None))
    path = write_raster(tmp_path / "b.tif", np.ones((2, 2, 2), dtype=np.uint8), 0, 2, 1, names=("red", "nir"))
    with pytest.raises(InputError, match=r"asks for band 'nrr'.*one of red, nir"):
        open_layer(path, bands=("nrr",))
    with pytest.raises(InputError, match=r"asks for band number 3.*from 1 to 2"):
        open_layer(path, kind="colour")
    with pytest.raises(InputError, match="band number 0"):
        open_layer(path, bands=(0,))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 22), st.data())
def test_tiles_cover_the_square_without_gaps(zoom: int, data: st.DataObject) -> None:
    last = 2**zoom - 1
    column, row = data.draw(st.integers(0, last)), data.draw(st.integers(0, last))
    west, south, east, north = tile_bounds(zoom, column, row)
    assert east - west == pytest.approx(2 * HALF_WORLD / 2**zoom)
    assert tile_bounds(zoom, column + 1, row)[0] == east
    assert tile_bounds(zoom, column, row + 1)[3] == south
    assert -HALF_WORLD <= west < east <= HALF_WORLD * (1 + 1e-12)
    assert -HALF_WORLD * (1 + 1e-12) <= south < north <= HALF_WORLD


@pytest.mark.parametrize("zoom", [3, 8])
def test_scales_count_on_overviews_too(tmp_path: Path, write_raster: Any, zoom: int) -> None:
    stored = np.full((1024, 1024), 100, np.uint8)
    path = write_raster(tmp_path / "a.tif", stored, 0, 10, 0.01, scale=(0.005, 0.1), overviews=(2, 4, 8, 16))
    layer = open_layer(path, kind="continuous", minimum=0, maximum=1, measure="confidence")
    column = 2 ** (zoom - 1)
    bounds = tile_bounds(zoom, column, column - 1)
    assert layer.certainty(bounds, 256).max() == pytest.approx(0.6)
    plain = pixels(layer.tile(zoom, column, column - 1))
    faded = pixels(layer.tile(zoom, column, column - 1, 256, layer))
    assert plain[..., 3].max() == 255
    assert faded[..., 3].max() == round(255 * (0.12 + 0.88 * 0.6))
