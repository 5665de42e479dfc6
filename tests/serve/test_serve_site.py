"""Static sites: copies that hold the numbers of the raster and no others, and a folder that is ours or left alone."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from swath.errors import ConfigError, InputError, MissingError, ResourceError
from swath.serve import Layer, LegendEntry, site, site_copies, write_layers, write_site
from swath.serve.site_copies import SIDE, Plan, plan_copy, write_copy

LEGEND = (LegendEntry(value=1, name="forest", colour="#117733"),)


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests of the files need no fetched libraries: where they are missing, empty files stand in."""
    if not all(path.is_file() for path in site.VENDOR_FILES.values()):
        stand_in = tmp_path_factory.mktemp("vendor") / "empty.js"
        stand_in.write_text("")
        monkeypatch.setattr(site, "VENDOR_FILES", dict.fromkeys(site.VENDOR_FILES, stand_in))


def description(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "site.json").read_text(encoding="utf-8")))


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def continuous(**changes: Any) -> Layer:
    fields = {"id": "numbers", "title": "Numbers", "path": "map.tif", "kind": "continuous", "minimum": 0, "maximum": 9}
    return Layer.model_validate(fields | changes)


def copied(path: Path, layer: Layer, folder: Path) -> tuple[np.ndarray, np.ndarray, Plan]:
    """Numbers and validity of the copy of a raster, and its plan."""
    with rasterio.open(path) as source:
        plan = plan_copy(source)
        assert plan is not None
        target = folder / f"copy-{path.stem}.tif"
        target.unlink(missing_ok=True)
        write_copy(layer, source, site.shown_bands(layer, source), plan, target)
    with rasterio.open(target) as source:
        assert source.crs == "EPSG:3857"
        assert source.profile["blockxsize"] == source.profile["blockysize"] == SIDE
        assert source.width % SIDE == source.height % SIDE == 0
        return source.read(), source.read_masks(1) > 0, plan


# ---- the folder ----------------------------------------------------------------------------------------------------


def test_a_site_says_what_it_holds_and_nothing_else_is_written(map_directory: Path, tmp_path: Path) -> None:
    before = contents(map_directory)
    report = write_site(map_directory, tmp_path / "a" / "site", title="  My map ")
    assert contents(map_directory) == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["site"]
    found = contents(report.folder)
    said = description(report.folder)
    assert set(found) == set(said["files"])
    assert (report.title, said["title"]) == ("My map", "My map")
    assert report.files == len(found)
    assert report.bytes == sum((report.folder / name).stat().st_size for name in found)
    assert [layer.id for layer in report.layers] == ["classes", "swapped", "score", "ocean"]
    for layer, entry in zip(report.layers, said["layers"], strict=True):
        assert layer.copy_bytes == (report.folder / entry["copy"]["file"]).stat().st_size == entry["copy"]["bytes"]
        assert layer.original_bytes == (report.folder / entry["original"]["file"]).stat().st_size
        assert (report.folder / entry["original"]["file"]).read_bytes() == (
            map_directory / f"{layer.id}.tif"
        ).read_bytes()
        assert "path" not in entry
    assert report.notes == ()
    assert "My map\n======" in (report.folder / "README.txt").read_text()
    assert str(tmp_path) not in (report.folder / "site.json").read_text()


def test_the_same_map_gives_the_same_bytes_and_replaces_an_older_one(map_directory: Path, tmp_path: Path) -> None:
    first = contents(write_site(map_directory, tmp_path / "site").folder)
    only = tmp_path / "only"
    only.mkdir()
    (only / "classes.tif").write_bytes((map_directory / "classes.tif").read_bytes())
    other = contents(write_site(only, tmp_path / "site").folder)
    assert not any("score" in name for name in other)
    assert contents(write_site(map_directory, tmp_path / "site").folder) == first


@pytest.mark.parametrize("name", ["notes.txt", "data/mine.tif", ".git/config", "site.json"])
def test_a_folder_with_other_files_is_left_alone(map_directory: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "site"
    write_site(map_directory, target)
    (target / name).parent.mkdir(exist_ok=True)
    (target / name).write_text("{}")
    before = contents(target)
    with pytest.raises(ConfigError, match="did not write") as error:
        write_site(map_directory, target)
    assert "choose another folder" in str(error.value)
    assert contents(target) == before


def test_the_place_itself_a_file_or_a_link_to_a_folder(map_directory: Path, tmp_path: Path) -> None:
    before = contents(map_directory)
    with pytest.raises(ConfigError, match="did not write"):
        write_site(map_directory, map_directory)
    assert contents(map_directory) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="not a folder"):
        write_site(map_directory, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert write_site(map_directory, tmp_path / "link").folder == tmp_path / "empty"
    assert (tmp_path / "link").is_symlink() and (tmp_path / "empty" / "index.html").is_file()


def test_a_failure_leaves_the_older_site_and_nothing_else(
    map_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_site(map_directory, tmp_path / "site")
    before = contents(tmp_path / "site")
    monkeypatch.setattr(site, "_write_page", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(ResourceError, match="cannot be written"):
        write_site(map_directory, tmp_path / "site")
    assert contents(tmp_path / "site") == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no directory"):
        write_site(tmp_path / "none", tmp_path / "site")
    write_layers(tmp_path, [], "Empty")
    with pytest.raises(InputError, match="empty"):
        write_site(tmp_path, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_missing_libraries_are_named(map_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "VENDOR_FILES", {"vendor/geotiff.js": tmp_path / "geotiff.js"})
    with pytest.raises(MissingError, match=r"geotiff\.js.*tools/fetch_maplibre\.py"):
        write_site(map_directory, tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("map.tif", "map.tif"),
        ("Carte d'été n°1 (2).TIFF", "Carte-d-t-n-1-2.TIFF"),
        ("<script>&.tif", "script.tif"),
        ("..%2f..%2fetc.tif", "2f-2fetc.tif"),
        ("地图.tif", "raster.tif"),
        ("a" * 200 + ".tif", "a" * 80 + ".tif"),
    ],
)
def test_names_of_downloads_are_plain(name: str, safe: str) -> None:
    assert site.download_names([Path("/somewhere") / name]) == {Path("/somewhere") / name: safe}


def test_names_of_downloads_differ_in_more_than_case() -> None:
    paths = [Path("/a/Map.tif"), Path("/b/map.tif"), Path("/c/MAP.tif"), Path("/a/Map.tif")]
    assert list(site.download_names(paths).values()) == ["Map.tif", "map-2.tif", "MAP-3.tif"]


@given(st.lists(st.text(min_size=1).filter(lambda text: "/" not in text and "\0" not in text), max_size=6))
def test_any_names_of_downloads_stay_in_their_folder(names: list[str]) -> None:
    given_names = site.download_names(Path("/place") / name for name in names)
    assert len(set(given_names.values())) == len(given_names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9.]*|[A-Za-z0-9_-]+", name) for name in given_names.values())


# ---- the page ------------------------------------------------------------------------------------------------------


def test_the_page_holds_no_script_of_its_own_and_no_foreign_address() -> None:
    text = site.PAGE_FILES["index.html"].read_text(encoding="utf-8")
    assert "script-src 'self'" in text and "unsafe" not in text
    assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []
    assert re.findall(r"\son[a-z]+=", text) == []
    addresses = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert set(addresses) <= set(site.PAGE_FILES) | set(site.VENDOR_FILES)
    for name, path in site.PAGE_FILES.items():
        if name.endswith((".js", ".html")):
            assert "//" not in re.sub(r"^\s*//.*|\s//\s.*|cog://", "", path.read_text(encoding="utf-8"), flags=re.M), (
                name
            )


def test_colours_are_those_of_the_served_map() -> None:
    colours = pytest.importorskip("rio_tiler.colormap", reason="the extra serve is not installed").cmap
    for name in ("viridis", "cividis", "magma", "inferno", "plasma", "gray", "blues", "ylgnbu", "rdbu", "brbg", "puor"):
        served = colours.get(name)
        ours = [tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in site.palette(name)]
        assert np.abs(np.array(ours) - [served[code][:3] for code in range(256)]).max() <= 1, name


# ---- the copies ----------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]),
    place=st.sampled_from(
        [
            ("EPSG:4326", -180.0, 60.0, 1.5),
            ("EPSG:4326", 359.0, 10.0, 0.25),
            ("EPSG:32633", 5e5, 5.5e6, 10.0),
            ("EPSG:3857", -1e6, 2e6, 1000.0),
            ("EPSG:3031", -2e6, 1.5e6, 20_000.0),
            ("EPSG:32601", 2e5, 7e6, 900.0),
            ("EPSG:4326", 178.0, 50.0, 0.25),
        ]
    ),
    holes=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_copy_holds_every_number_of_the_raster_and_no_other(
    tmp_path_factory: pytest.TempPathFactory,
    write_raster: Any,
    height: int,
    width: int,
    dtype: str,
    place: tuple[str, float, float, float],
    holes: bool,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    crs, west, north, cell = place
    random = np.random.default_rng(seed)
    numbers = np.arange(1, height * width + 1).reshape(height, width)
    numbers = (numbers % 250 + 1).astype(dtype) if dtype == "uint8" else numbers.astype(dtype)
    missing = (random.random((height, width)) < 0.2) & holes
    nodata = {"nodata": 0} if holes and dtype[0] != "f" else {}
    numbers[missing] = np.nan if dtype[0] == "f" else 0
    path = write_raster(folder / "map.tif", numbers, west, north, cell, crs=crs, **nodata)
    values, valid, plan = copied(path, continuous(), folder)
    wanted = set(numbers[~missing].tolist())
    found = set(values[0][valid].tolist())
    assert found <= wanted
    assert found == wanted  # cells are never coarser in the copy, and all places lie within 85 degrees
    assert plan.reduced == 0


@pytest.mark.parametrize(
    ("dtype", "nodata", "stored", "missing"),
    [
        ("uint8", None, "int16", -32768),
        ("uint8", 7, "uint8", 7),
        ("uint16", None, "int32", -2147483648),
        ("int32", None, "float64", math.nan),
        ("uint32", 0, "uint32", 0),
        ("int64", -1, "float64", math.nan),
        ("float32", -9999, "float32", math.nan),
        ("float64", None, "float32", math.nan),
    ],
)
def test_missing_numbers_have_a_number_of_their_own(
    tmp_path: Path, write_raster: Any, dtype: str, nodata: float | None, stored: str, missing: float
) -> None:
    numbers = np.array([[0, 1, 2], [3, 7, 9]]).astype(dtype)
    path = write_raster(tmp_path / "map.tif", numbers, 10, 50, 0.5, nodata=nodata)
    values, valid, _ = copied(path, continuous(), tmp_path)
    assert values.dtype == stored
    assert set(values[0][valid].tolist()) == set(
        numbers[numbers != nodata].tolist() if nodata is not None else [0, 1, 2, 3, 7, 9]
    )
    beyond = set(values[0][~valid].tolist())
    assert all(math.isnan(value) for value in beyond) if math.isnan(missing) else beyond == {missing}


def test_a_mask_inside_the_file_counts(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(tmp_path / "map.tif", "w", transform=Affine(1, 0, 5, 0, -1, 5), **profile) as target,
    ):
        target.write(np.arange(16, dtype=np.uint8).reshape(1, 4, 4))
        target.write_mask(np.eye(4, dtype=bool))
    values, valid, _ = copied(tmp_path / "map.tif", continuous(), tmp_path)
    assert set(values[0][valid].tolist()) == {0, 5, 10, 15}


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_opacity_in_the_file_counts(tmp_path: Path, dtype: str) -> None:
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 2, "dtype": dtype, "crs": "EPSG:4326"}
    with rasterio.open(tmp_path / "map.tif", "w", transform=Affine(1, 0, 5, 0, -1, 5), **profile) as target:
        target.colorinterp = [rasterio.enums.ColorInterp.gray, rasterio.enums.ColorInterp.alpha]
        target.write(np.stack([np.arange(16).reshape(4, 4), 255 * np.eye(4)]).astype(dtype))
    values, valid, _ = copied(tmp_path / "map.tif", continuous(), tmp_path)
    assert set(values[0][valid].tolist()) == {0, 5, 10, 15}


def test_a_picture_is_stored_as_it_is_drawn(tmp_path: Path, write_raster: Any) -> None:
    bands = np.stack([np.full((20, 20), value, dtype=np.int16) for value in (0, 1500, 4000)])
    bands[:, :10] = -1
    path = write_raster(tmp_path / "map.tif", bands, 0, 20, 1, nodata=-1)
    layer = Layer(id="rgb", title="RGB", path="map.tif", kind="colour", minimum=0, maximum=3000)
    values, _, plan = copied(path, layer, tmp_path)
    assert values.shape[0] == 4 and values.dtype == np.uint8
    opaque = values[3] == 255
    assert set(map(tuple, values[:3, opaque].T.tolist())) == {(0, 128, 255)}
    assert set(np.unique(values[3]).tolist()) == {0, 255}
    # The raster reaches from 0 to 20 degrees north; what is drawn ends at 10.
    step = 2 * site_copies.HALF_WORLD / 2**plan.zoom / SIDE
    first = plan.row * SIDE + np.flatnonzero(opaque.any(axis=1))[0]
    top = math.degrees(math.asin(math.tanh((site_copies.HALF_WORLD - first * step) / site_copies.HALF_WORLD * math.pi)))
    assert top == pytest.approx(10.0, abs=0.7)


def test_scaled_numbers_keep_their_scale(tmp_path: Path, write_raster: Any) -> None:
    write_raster(tmp_path / "map.tif", np.array([[10, 20]], dtype=np.int16), 0, 1, 1, nodata=-1, scale=(0.1, 5.0))
    write_layers(tmp_path, [continuous(colormap="rdbu")], "Scaled")
    entry = description(write_site(tmp_path, tmp_path / "site").folder)["layers"][0]
    assert (entry["scale"], entry["offset"]) == (0.1, 5.0)
    assert len(entry["colours"]) == 256
    assert entry["copy"]["nodata"] == -1


@pytest.mark.parametrize(
    ("crs", "west", "north", "cell", "size", "bounds"),
    [
        ("EPSG:4326", -180.0, 90.0, 1.0, (180, 360), (-180, -85.05, 180, 85.05)),
        ("EPSG:4326", 0.0, 90.0, 1.0, (180, 360), (-180, -85.05, 180, 85.05)),
        ("EPSG:4326", 170.0, 10.0, 1.0, (20, 20), (170, -10, 190, 10)),
        ("EPSG:4326", 350.0, 10.0, 1.0, (20, 5), (-10, -10, -5, 10)),
        ("EPSG:4326", -190.0, 10.0, 1.0, (20, 20), (170, -10, 190, 10)),
        ("EPSG:3413", -3e6, 3e6, 1e5, (60, 60), (-180, 52.2, 180, 85.05)),
    ],
)
def test_where_a_copy_lies(
    tmp_path: Path,
    write_raster: Any,
    crs: str,
    west: float,
    north: float,
    cell: float,
    size: tuple[int, int],
    bounds: tuple[float, ...],
) -> None:
    path = write_raster(tmp_path / "map.tif", np.ones(size, dtype=np.uint8), west, north, cell, crs=crs)
    with rasterio.open(path) as source:
        plan = plan_copy(source)
    assert plan is not None
    assert plan.bounds == pytest.approx(bounds, abs=0.5 if crs == "EPSG:3413" else 0.01)
    assert 0 <= plan.column < 2**plan.zoom and plan.columns <= 2**plan.zoom
    assert plan.row >= 0 and plan.row + plan.rows <= 2**plan.zoom


def test_a_raster_on_the_grid_of_tiles_is_copied_cell_by_cell(tmp_path: Path, write_raster: Any) -> None:
    step = 2 * site_copies.HALF_WORLD / 2**6 / SIDE
    numbers = np.random.default_rng(0).integers(0, 200, (SIDE, 2 * SIDE), dtype=np.uint8)
    path = write_raster(
        tmp_path / "map.tif", numbers, -3 * SIDE * step, 2 * SIDE * step, step, crs="EPSG:3857", nodata=255
    )
    values, valid, plan = copied(path, continuous(), tmp_path)
    assert (plan.zoom, plan.column, plan.row, plan.columns, plan.rows) == (6, 29, 30, 2, 1)
    assert valid.all()
    np.testing.assert_array_equal(values[0], numbers)


def test_a_raster_that_is_too_large_is_drawn_coarser_and_said_so(
    tmp_path: Path, write_raster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raster(tmp_path / "map.tif", np.ones((1500, 1500), dtype=np.uint8), 0, 5, 0.003, nodata=0)
    with rasterio.open(path) as source:
        full, reduced = plan_copy(source), plan_copy(source, 4 * SIDE * SIDE)
    assert full is not None and reduced is not None
    assert full.reduced == 0
    assert reduced.zoom == full.zoom - reduced.reduced < full.zoom
    assert reduced.columns * reduced.rows <= 4
    monkeypatch.setattr(site, "plan_copy", lambda source: plan_copy(source, 4 * SIDE * SIDE))
    report = write_site(path, tmp_path / "site")
    assert report.notes == (
        f"map: drawn {2**reduced.reduced} times coarser than the raster, which is too large to draw in full",
    )


def _no_crs(folder: Path, write: Any) -> Layer:
    write(folder / "map.tif", np.ones((3, 3), dtype=np.uint8), 0, 3, 1, crs=None)
    return continuous()


def _complex(folder: Path, write: Any) -> Layer:
    write(folder / "map.tif", np.ones((3, 3), dtype=np.complex64), 0, 3, 1)
    return continuous()


def _polar(folder: Path, write: Any) -> Layer:
    write(folder / "map.tif", np.ones((3, 3), dtype=np.uint8), 0, 89, 1)
    return continuous()


def _no_band(folder: Path, write: Any) -> Layer:
    write(folder / "map.tif", np.ones((3, 3), dtype=np.uint8), 0, 3, 1)
    return continuous(bands=["red"])


def _no_stretch(folder: Path, write: Any) -> Layer:
    write(folder / "map.tif", np.ones((3, 3, 3), dtype=np.uint16), 0, 3, 1)
    return Layer(id="rgb", title="RGB", path="map.tif", kind="colour")


def _truncated(folder: Path, write: Any) -> Layer:
    path = write(folder / "map.tif", np.random.default_rng(0).random((300, 300)), 0, 30, 0.1, compress="DEFLATE")
    path.write_bytes(path.read_bytes()[:-200_000])
    return continuous()


def _text(folder: Path, write: Any) -> Layer:
    (folder / "map.tif").write_text("not a raster")
    return continuous()


def _virtual(folder: Path, write: Any) -> Layer:
    """A virtual raster that calls itself a GeoTIFF and shows what lies elsewhere."""
    secret = write(folder.parent / f"{folder.name}-secret.tif", np.ones((3, 3), dtype=np.uint8), 0, 3, 1)
    rasterio.shutil.copy(str(secret), str(folder / "map.tif"), driver="VRT")
    return continuous()


def _huge_blocks(folder: Path, write: Any) -> Layer:
    profile = {"driver": "GTiff", "width": 20_000, "height": 20_000, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    profile |= {
        "tiled": True,
        "blockxsize": 20_000,
        "blockysize": 20_000,
        "sparse_ok": True,
        "compress": "DEFLATE",
        "transform": Affine(0.001, 0, 5, 0, -0.001, 5),
    }
    with rasterio.open(folder / "map.tif", "w", **profile):
        pass
    return continuous()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_virtual, "cannot be read"),
        (_huge_blocks, "pixels take 381 MiB each"),
        (_no_crs, "has no CRS"),
        (_complex, "complex64 numbers"),
        (_polar, "no part of which has a place in web Mercator"),
        (_no_band, "asks for band 'red'"),
        (_no_stretch, "uint16 numbers and no stretch"),
        (_truncated, "cannot be read"),
        (_text, "cannot be read"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_cannot_be_drawn_is_refused_in_a_sentence(
    tmp_path: Path, write_raster: Any, make: Any, sentence: str
) -> None:
    layer = make(tmp_path, write_raster)
    write_layers(tmp_path, [layer], "Bad")
    with pytest.raises(InputError, match=sentence) as error:
        write_site(tmp_path, tmp_path / "site")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "site").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers.json", "map.tif"]


def test_a_full_disk_is_told_as_such(tmp_path: Path, write_raster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raster(tmp_path / "map.tif", np.ones((3, 3), dtype=np.uint8), 0, 3, 1)

    def full(*_: Any, **__: Any) -> None:
        raise rasterio.errors.RasterioIOError("write failed: No space left on device")

    monkeypatch.setattr(site_copies.rasterio.shutil, "copy", full)
    with pytest.raises(ResourceError, match="No space left"):
        write_site(tmp_path / "map.tif", tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]
