"""Vectors: they agree with the layers that they are drawn from."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from fake_land import CELL, CROPLAND, FOREST, WETLANDS, even_earth
from rasterio.features import rasterize

from swath.sources.world.earth.outlines import lines_along, outlines, thinned
from swath.sources.world.earth.settlements import towns
from swath.sources.world.earth.vectors import COLUMNS, vectors
from swath.sources.world.frame import Window
from swath.sources.world.truth import TREE

EARTH = even_earth(covers={CROPLAND: 0.8, FOREST: 0.1, WETLANDS: 0.1})
TOWNS = towns(EARTH, CELL)
LARGEST = int(TOWNS.people.argmax())
WINDOW = Window(
    CELL.zone, int(-TOWNS.y[LARGEST] // 10) - 230, int(TOWNS.x[LARGEST] // 10) - 310, 500, 600
)  # around a town


@pytest.fixture(scope="module")
def table():
    return vectors(EARTH, WINDOW)


def burnt(shapes: list, values: object = 1, dtype: str = "int32") -> np.ndarray:
    if not len(shapes):
        return np.zeros(WINDOW.shape, dtype)
    numbers = np.broadcast_to(values, len(shapes))
    pairs = zip(shapes, numbers.tolist(), strict=True)
    return rasterize(pairs, WINDOW.shape, transform=WINDOW.geobox.affine, dtype=dtype)


def test_the_table_says_what_it_holds(table) -> None:
    assert list(table.columns) == [*COLUMNS, "geometry"]
    assert table.crs.to_epsg() == WINDOW.zone.epsg
    features = {"road", "street", "building", "settlement", "place", "field", "water", "stream", "wood", "wetland"}
    assert set(table.feature) == features
    assert table.geometry.is_valid.all() and not table.geometry.is_empty.any()
    west, south, east, north = table[table.feature != "building"].total_bounds
    assert west >= WINDOW.column * 10 and east <= (WINDOW.column + WINDOW.width) * 10
    assert south >= -(WINDOW.row + WINDOW.height) * 10 and north <= -WINDOW.row * 10


def test_tags_are_those_of_openstreetmap(table) -> None:
    def tags(feature: str, column: str) -> set:
        return set(table[table.feature == feature][column])

    assert tags("street", "highway") == {"residential"} and tags("building", "building") == {"yes"}
    assert tags("field", "landuse") <= {"farmland", "meadow"} and "farmland" in tags("field", "landuse")
    assert tags("road", "highway") <= {"trunk", "primary", "secondary", "tertiary", "unclassified", "track"}
    assert tags("stream", "waterway") <= {"river", "stream"} and tags("water", "natural") == {"water"}
    assert tags("place", "place") <= {"city", "town", "village", "hamlet"}
    places = table[table.feature == "place"]
    assert places.name.str.len().gt(3).all() and (places.population > 0).all()
    assert table[table.feature == "road"].landuse.isna().all()


def test_areas_agree_with_the_layers_exactly(table) -> None:
    layers = EARTH.read_all(("field", "open_water", "town_depth", "cover"), WINDOW)
    fields = table[table.feature == "field"]
    order = np.unique(fields.field, return_inverse=True)
    back = np.concatenate([[0], order[0]])[burnt(list(fields.geometry), order[1] + 1)]
    assert np.array_equal(back, layers["field"])
    water = burnt(list(table[table.feature == "water"].geometry))
    assert np.array_equal(water == 1, layers["open_water"] >= 0.5)
    settled = burnt(list(table[table.feature == "settlement"].geometry))
    assert np.array_equal(settled == 1, (layers["town_depth"] > 0) & (layers["open_water"] < 0.05))
    woods = burnt(list(table[table.feature == "wood"].geometry)) == 1
    assert (layers["cover"][woods] == TREE).all() and woods.sum() > 0.5 * (layers["cover"] == TREE).sum()


def test_roads_and_streets_run_where_the_layer_has_them(table) -> None:
    cover = EARTH.read_all(("road_cover", "open_water"), WINDOW)
    lines = table[table.feature.isin(["road", "street"]) & (table.highway != "track")]
    on_line = burnt(list(lines.geometry)).astype(bool) & (cover["open_water"] < 0.05)
    assert on_line.sum() > 300
    assert (cover["road_cover"][on_line] > 0.1).mean() > 0.95
    near = burnt(list(table[table.feature.isin(["road", "street"])].geometry.buffer(25.0))).astype(bool)
    # Pieces of streets of less than 15 m at the edge of settled land are painted but not drawn.
    assert cover["road_cover"][~near].sum() < 0.01 * cover["road_cover"].sum()


def test_buildings_cover_what_the_layer_says(table) -> None:
    cover = EARTH.read("building_cover", WINDOW).astype(float)
    buildings = table[table.feature == "building"]
    assert buildings.geometry.area.sum() == pytest.approx(cover.sum() * 100.0, rel=1e-3)
    middles = buildings.geometry.centroid
    row = (-middles.y // 10).astype(int) - WINDOW.row
    column = (middles.x // 10).astype(int) - WINDOW.column
    inside = (row >= 0) & (row < WINDOW.height) & (column >= 0) & (column < WINDOW.width)
    counted = np.zeros(WINDOW.shape)
    np.add.at(counted, (row[inside], column[inside]), buildings.geometry.area[inside] / 100.0)
    blocks = [part.reshape(50, 10, 60, 10).sum(axis=(1, 3)).ravel() for part in (counted, cover)]
    assert np.corrcoef(*blocks)[0, 1] > 0.95
    assert buildings.height.between(2.5, 300).all()


def test_streams_run_in_the_middle_of_the_water(table) -> None:
    kind = EARTH.read("water_kind", WINDOW)
    streams = table[table.feature == "stream"]
    line = burnt(list(streams.geometry)).astype(bool)
    assert line.sum() > 300 and (kind[line] == 1).all()
    # The canals of the fake ground run straight through from north to south, 60 m wide.
    through = streams[streams.waterway == "river"]
    assert through.length.sum() == pytest.approx(len(np.unique(np.nonzero(kind == 1)[1] // 20)) * 5000.0, rel=0.1)
    assert (through.width - 60.0).abs().max() <= 20.0


def test_windows_without_anything_give_empty_tables() -> None:
    for shape in ((0, 5), (5, 0)):
        found = vectors(EARTH, Window(WINDOW.zone, WINDOW.row, WINDOW.column, *shape))
        assert len(found) == 0 and list(found.columns) == [*COLUMNS, "geometry"] and found.crs is not None
    assert len(vectors(EARTH, Window(WINDOW.zone, WINDOW.row, WINDOW.column, 1, 1))) < 5


def test_outlines_by_hand() -> None:
    window = Window(CELL.zone, -10, 4, 3, 4)
    numbers = np.array([[7, 7, 0, 0], [7, 0, 0, 9], [0, 0, 9, 9]])
    areas, found = outlines(numbers, window)
    assert sorted(zip(found.tolist(), shapely.area(areas).tolist(), strict=True)) == [(7, 300.0), (9, 300.0)]
    assert len(outlines(np.zeros((0, 3), int), window)[0]) == 0 == len(outlines(np.zeros((3, 4), int), window)[0])


def test_thinning_leaves_connected_middles() -> None:
    bar = np.zeros((9, 30), bool)
    bar[2:7, 3:27] = True
    thin = thinned(bar)
    assert (thin.sum(axis=0)[6:24] == 1).all() and thin[4, 6:24].all()
    line = np.zeros((5, 8), bool)
    line[2, 1:7] = True
    assert np.array_equal(thinned(line), line)
    cross = line | (np.arange(8) == 4)[None, :]
    found = lines_along(cross, Window(CELL.zone, 0, 0, 5, 8))
    assert len(found) == 4 and shapely.length(found).sum() == pytest.approx(90.0)
    corner = np.zeros((4, 4), bool)
    corner[1, :3] = corner[1:, 2] = True
    assert len(lines_along(corner, Window(CELL.zone, 0, 0, 4, 4))) == 1
    assert len(lines_along(np.zeros((3, 3), bool), Window(CELL.zone, 0, 0, 3, 3))) == 0
    assert not thinned(np.zeros((0, 3), bool)).size
