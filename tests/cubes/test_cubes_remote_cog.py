"""GeoTIFFs read by ranges equal GDAL's reading, with one header read, few requests and no block decoded twice."""

from __future__ import annotations

import itertools
import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine
from remote_server import FakeClock, FileServer, elsewhere

pytest.importorskip("async_tiff")

from swath import cubes
from swath.cubes import remote
from swath.cubes.assemble import Options
from swath.cubes.remote import file as remote_file
from swath.errors import InputError, MissingError

Tif = Callable[..., Path]
TILED = {"tiled": True, "blockxsize": 32, "blockysize": 16}
SHAPES = ((2, 100, 77), (1, 16, 32), (3, 1, 1), (1, 33, 65))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    started = FileServer(tmp_path)
    yield started
    started.close()


@pytest.fixture
def connection() -> remote.Connection:
    clock = FakeClock()
    return remote.Connection(clock=remote.Clock(clock.now, clock.sleep, clock.draw))


@pytest.fixture
def index(tmp_path: Path) -> remote.HeaderIndex:
    return remote.HeaderIndex(tmp_path / "headers")


def numbers(shape: tuple[int, ...], kind: str, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).integers(0, 250, shape)
    return drawn.astype(kind) * (1.5 if np.dtype(kind).kind == "f" else 1)


def opened(server: FileServer, name: str, connection: remote.Connection, index: Any = None) -> remote.RemoteFile:
    return remote.RemoteFile(f"{server.address}/{name}", connection, index or remote.HeaderIndex())


def by_gdal(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def as_cog(path: Path, **options: Any) -> Path:
    """The file as GDAL's COG driver writes it: header first, overviews before the image, leaders around blocks."""
    from rasterio.shutil import copy

    plain = path.rename(path.with_name("plain.tif"))
    copy(plain, path, driver="COG", **({"blocksize": 64, "compress": "deflate"} | options))
    return path


def whole(array: np.ndarray) -> Any:
    return ((0, array.shape[1]), (0, array.shape[2]))


KINDS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compress", ["deflate", "lzw", "zstd", None])
def test_every_type_and_compression_equals_gdal(
    tif: Tif, server: FileServer, connection: remote.Connection, kind: str, compress: str | None
) -> None:
    predictors = (1,) if compress is None else (1, 2, 3) if np.dtype(kind).kind == "f" else (1, 2)
    for predictor, shape in itertools.product(predictors, SHAPES if kind == "uint16" else SHAPES[:1]):
        options = {} if compress is None else {"compress": compress, "predictor": predictor}
        path = tif("a.tif", numbers(shape, kind), interleave="pixel", **TILED, **options)
        expected = by_gdal(path)
        (read,) = opened(server, "a.tif", connection).windows([whole(expected)])
        assert read.dtype == expected.dtype
        np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("options", [{"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}, {"photometric": "rgb"}, {"copy": True}])
def test_other_layouts_equal_gdal(
    tif: Tif, server: FileServer, connection: remote.Connection, options: dict[str, Any]
) -> None:
    array = numbers((3, 200, 170), "uint16")
    if options == {"copy": True}:
        as_cog(tif("a.tif", array, interleave="pixel"), predictor="yes")
    else:
        tif("a.tif", array, interleave="pixel", compress="deflate", **TILED, **options)
    (read,) = opened(server, "a.tif", connection).windows([whole(array)])
    np.testing.assert_array_equal(read, array)
    np.testing.assert_array_equal(
        opened(server, "a.tif", connection).windows([((3, 99), (5, 6))], [2, 0])[0][1], array[0, 3:99, 5:6]
    )


def test_overviews_are_never_touched(tif: Tif, server: FileServer, connection: remote.Connection) -> None:
    path = tif("a.tif", numbers((1, 256, 256), "uint16"), compress="deflate", **TILED)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    file = opened(server, "a.tif", connection)
    before = len(server.asked)
    np.testing.assert_array_equal(file.windows([((0, 256), (0, 256))])[0], by_gdal(path))
    data = file._opened.blocks.data
    low, high = int(data.starts.min()), int((data.starts + data.lengths).max())
    assert all(low <= (one.start or 0) and (one.stop or 0) <= high for one in server.asked[before:])


def test_a_header_is_one_request_and_none_in_the_second_job(
    tif: Tif, server: FileServer, connection: remote.Connection, index: remote.HeaderIndex
) -> None:
    array = numbers((1, 300, 300), "uint16")
    as_cog(tif("a.tif", array))
    opened(server, "a.tif", connection, index).windows([((0, 20), (0, 20))])
    assert (connection.report.headers_read, connection.report.header_requests) == (1, 1)
    second = remote.Connection()
    file = opened(server, "a.tif", second, index)
    assert second.report.requests == 0
    np.testing.assert_array_equal(file.windows([((17, 100), (40, 90))])[0], array[:, 17:100, 40:90])
    counts = second.report.counts()
    assert (counts["headers_read"], counts["headers_known"], counts["header_requests"]) == (0, 1, 0)
    assert counts["requests"] == counts["runs"] and second.report.requests_per_run == 1.0


def test_a_header_at_the_end_of_the_file_is_found(
    tif: Tif, server: FileServer, connection: remote.Connection, index: remote.HeaderIndex
) -> None:
    array = np.random.default_rng(1).integers(0, 60_000, (1, 400, 400)).astype(np.uint16)
    path = tif("a.tif", array, compress="deflate", **TILED)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(NOTE="x" * 5000)  # the directory is written anew, behind the blocks
    file = opened(server, "a.tif", connection, index)
    assert connection.report.header_requests > 1
    np.testing.assert_array_equal(file.windows([whole(array)])[0], array)
    again = opened(server, "a.tif", remote.Connection(), index)
    assert again.connection.report.requests == 0 and again.facts.tags["NOTE"] == "x" * 5000


def test_blocks_are_decoded_once_and_neighbours_share_a_request(
    tif: Tif, server: FileServer, connection: remote.Connection
) -> None:
    array = numbers((1, 160, 320), "uint16")
    tif("a.tif", array, compress="deflate", **TILED)
    file = opened(server, "a.tif", connection)
    windows = [((0, 30), (0, 40)), ((10, 40), (20, 60)), ((0, 30), (0, 40))]
    for window, read in zip(windows, file.windows(windows), strict=True):
        (top, bottom), (left, right) = window
        np.testing.assert_array_equal(read, array[:, top:bottom, left:right])
    counts = connection.report.counts()
    assert counts["blocks_needed"] == counts["blocks_decoded"] == 6  # three rows of two blocks
    assert counts["runs"] == counts["run_requests"] == 1  # a file of this size is near enough throughout


@given(
    starts=st.lists(st.integers(0, 5000), min_size=0, max_size=30, unique=True),
    gap=st.integers(0, 50),
    most=st.integers(1, 500),
)
def test_runs_hold_every_block_once_within_gap_and_size(starts: list[int], gap: int, most: int) -> None:
    lows = np.array(starts, dtype=np.int64)
    lengths = np.array([1 + value % 7 for value in starts], dtype=np.int64)
    runs = remote.runs_of(lows, lengths, gap, most)
    members = [index for run in runs for index in run.members]
    assert sorted(members) == list(range(len(starts)))
    for run in runs:
        assert all(run.start <= lows[i] and lows[i] + lengths[i] <= run.stop for i in run.members)
        assert len(run.members) == 1 or run.stop - run.start <= most
        inner = sorted((int(lows[i]), int(lows[i] + lengths[i])) for i in run.members)
        assert all(b[0] - a[1] <= gap for a, b in itertools.pairwise(inner))
    for a, b in itertools.pairwise(runs):
        assert b.start - a.stop > gap or max(b.stop, a.stop) - a.start > most or b.start - a.stop <= gap


@given(top=st.integers(0, 99), left=st.integers(0, 76), height=st.integers(1, 100), width=st.integers(1, 77))
def test_blocks_of_a_window_are_those_that_it_touches(top: int, left: int, height: int, width: int) -> None:
    bottom, right = min(100, top + height), min(77, left + width)
    across = 3
    touched = {y // 16 * across + x // 32 for y in range(top, bottom) for x in range(left, right)}
    found = remote.blocks_of([((top, bottom), (left, right))], (16, 32), across)
    assert found.tolist() == sorted(touched)


@pytest.mark.parametrize("nodata", [None, 7, 0])
def test_blocks_that_a_file_does_not_store_read_as_gdal_reads_them(
    tif: Tif, server: FileServer, connection: remote.Connection, nodata: int | None
) -> None:
    array = np.full((1, 64, 96), nodata or 0, np.uint16)
    path = tif("a.tif", array, nodata=nodata, SPARSE_OK=True, **TILED)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.full((16, 32), 9, np.uint16), 1, window=((16, 32), (32, 64)))
    expected = by_gdal(path)
    np.testing.assert_array_equal(opened(server, "a.tif", connection).windows([whole(array)])[0], expected)
    assert connection.report.blocks_absent > 0


def test_the_mask_of_a_file_counts_as_in_open(
    tif: Tif, server: FileServer, connection: remote.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    array = numbers((2, 100, 77), "int16")
    array[0, 3:20, 5:9] = -5
    mask = np.random.default_rng(3).random((100, 77)) > 0.4
    path = tif("a.tif", array, mask=mask, names=("B02", "B03"), interleave="pixel", compress="lzw", **TILED)
    local = cubes.nodes_of(cubes.open(path, nodata=-5))["grid_10m"]
    distant = cubes.nodes_of(cubes.open(f"{server.address}/a.tif", nodata=-5))["grid_10m"]
    assert distant["data"].chunks is not None
    np.testing.assert_array_equal(distant["data"].values, local["data"].values)
    np.testing.assert_array_equal(distant["valid"].values, local["valid"].values)
    assert list(distant["band"].values) == ["B02", "B03"]
    assert distant.odc.geobox == local.odc.geobox


def test_what_a_file_declares_is_what_gdal_says(tif: Tif, server: FileServer, connection: remote.Connection) -> None:
    path = tif(
        "a.tif", numbers((2, 40, 40), "uint16"), nodata=0, interleave="pixel", tags={"TIFFTAG_DATETIME": "x"}, **TILED
    )
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets, dataset.units = (0.1, 0.2), (1.0, 2.0), ("K", "K")
    from dataclasses import fields

    from swath.cubes.raster import probe_with_gdal

    local, distant = probe_with_gdal(path), opened(server, "a.tif", connection).facts
    for entry in fields(local):
        if entry.name not in ("path", "stamp", "reader"):
            assert getattr(local, entry.name) == getattr(distant, entry.name), entry.name


UNUSUAL = {
    "strips": {},
    "jpeg": {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "jpeg"},
    "packbits": {"compress": "packbits", **TILED},
    "planes": {"interleave": "band", "compress": "deflate", "predictor": 2, **TILED},
    "bits": {"NBITS": 4, **TILED},
    "alpha": {"interleave": "pixel", "ALPHA": "YES", **TILED},
}


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("far")
    with elsewhere(folder) as address:
        yield folder, address


@pytest.mark.parametrize("kind", UNUSUAL)
def test_other_files_are_read_by_gdal_which_is_said_once(
    tif: Tif,
    far: tuple[Path, str],
    connection: remote.Connection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr(remote_file, "_said", set())
    path = tif("a.tif", numbers((2, 40, 50), "uint8") % 16, **UNUSUAL[kind])
    names = [f"{kind}_{number}.tif" for number in (0, 1)]
    for name in names:
        (far[0] / name).write_bytes(path.read_bytes())
    with caplog.at_level(logging.WARNING, "swath.cubes.remote"):
        scenes = [remote.open_files([f"{far[1]}/{name}"], Options(), connection=connection) for name in names]
    assert len(caplog.records) == 1 and "GDAL reads" in caplog.text
    assert len(connection.report.fallbacks) == 2
    for distant in scenes:
        node, local = (next(iter(cubes.nodes_of(each).values())) for each in (distant, cubes.open(path)))
        np.testing.assert_array_equal(node["data"].values, local["data"].values)
        np.testing.assert_array_equal(node["valid"].values, local["valid"].values)


def test_windows_at_edges_and_outside(tif: Tif, server: FileServer, connection: remote.Connection) -> None:
    array = numbers((1, 100, 77), "uint16")
    tif("a.tif", array, **TILED)
    file = opened(server, "a.tif", connection)
    for (top, bottom), (left, right) in [((99, 100), (76, 77)), ((0, 1), (0, 77)), ((0, 100), (64, 77))]:
        read = file.windows([((top, bottom), (left, right))])[0]
        np.testing.assert_array_equal(read, array[:, top:bottom, left:right])
    for window in [((0, 101), (0, 5)), ((-1, 5), (0, 5)), ((5, 5), (0, 5)), ((0, 5), (70, 78))]:
        with pytest.raises(InputError, match=r"rows within 0 to 100 and columns within 0 to 77"):
            file.windows([window])


def lonlat(grid: GeoBox, rows: tuple[float, float], columns: tuple[float, float]) -> remote.part.Bounds:
    (top, bottom), (left, right) = rows, columns
    return remote.part.extent(
        GeoBox((1, 1), grid.affine * Affine.translation(left, top) * Affine.scale(right - left, bottom - top), grid.crs)
    )


def test_a_box_reads_its_part_alone(
    tif: Tif, box: Callable[..., GeoBox], server: FileServer, connection: remote.Connection
) -> None:
    fine, coarse = numbers((1, 512, 512), "uint16"), numbers((1, 256, 256), "uint16", 1)
    tif("T_B02.tif", fine, box(512, 512), compress="deflate", **TILED)
    tif("T_B11.tif", coarse, box(256, 256, 20.0), compress="deflate", **TILED)
    bbox = lonlat(box(512, 512), (101.0, 149.0), (203.0, 251.0))
    places = [f"{server.address}/{name}" for name in ("T_B02.tif", "T_B11.tif")]
    scene = remote.open_files(
        places, Options(sensor="sentinel2_l2a", level="L2A", baseline="05.09"), bbox=bbox, connection=connection
    )
    nodes = cubes.nodes_of(scene)
    ten, twenty = nodes["grid_10m"], nodes["grid_20m"]
    assert ten.odc.geobox.extent.boundingbox == twenty.odc.geobox.extent.boundingbox
    assert abs(ten.sizes["y"] - 48) <= 6 and abs(ten.sizes["x"] - 48) <= 6
    top, left = (
        round(value) for value in ((5_000_000 - float(ten.y[0])) / 10 - 0.5, (float(ten.x[0]) - 500_000) / 10 - 0.5)
    )
    height, width = ten.sizes["y"], ten.sizes["x"]
    np.testing.assert_array_equal(ten["data"].values[0, 0], fine[0, top : top + height, left : left + width])
    np.testing.assert_array_equal(
        twenty["data"].values[0, 0], coarse[0, top // 2 : (top + height) // 2, left // 2 : (left + width) // 2]
    )
    decoded = connection.report.blocks_decoded
    ten["data"].values  # noqa: B018 (a second look reads again, as lazily as the first)
    assert 0 < connection.report.blocks_decoded - decoded <= 2 * (48 // 16 + 2) * (48 // 32 + 2)


def test_two_parts_of_one_file_are_not_mixed_up(
    tif: Tif, box: Callable[..., GeoBox], server: FileServer, connection: remote.Connection
) -> None:
    array = numbers((1, 320, 320), "uint16")
    tif("a.tif", array, **TILED)
    facts = opened(server, "a.tif", connection).facts
    parts = [remote.part_of(facts, ((start, start + 32), (0, 32))) for start in (0, 64)]
    from dask import compute

    from swath.cubes.raster import lazy_bands

    first, second = compute(*[lazy_bands(part, (0,)) for part in parts])
    np.testing.assert_array_equal(first, array[:, 0:32, 0:32])
    np.testing.assert_array_equal(second, array[:, 64:96, 0:32])


@pytest.mark.parametrize("bbox", [(0.0, 0.0, 0.1, 0.1), (15.0, -80.0, 15.1, -79.0), (-170.0, 45.0, -169.0, 46.0)])
def test_a_box_outside_names_both_extents(
    tif: Tif, server: FileServer, connection: remote.Connection, bbox: remote.part.Bounds
) -> None:
    tif("a.tif", numbers((1, 64, 64), "uint16"), **TILED)
    with pytest.raises(InputError, match=r"The box .* lies outside .*a\.tif, which covers 15, 45\.1") as told:
        remote.open_files([f"{server.address}/a.tif"], Options(), bbox=bbox, connection=connection)
    assert f"{bbox[0]:.6g}, {bbox[1]:.6g}" in str(told.value)


def test_a_box_across_the_antimeridian_or_exchanged_is_refused(
    tif: Tif, server: FileServer, connection: remote.Connection
) -> None:
    tif("a.tif", numbers((1, 64, 64), "uint16"), **TILED)
    for bbox in ((15.1, 45.0, 15.0, 45.2), (15.0, 45.2, 15.1, 45.0)):
        with pytest.raises(InputError, match="exchange"):
            remote.open_files([f"{server.address}/a.tif"], Options(), bbox=bbox, connection=connection)


def test_faults_under_way_lose_nothing_and_read_nothing_twice(
    tif: Tif, server: FileServer, connection: remote.Connection
) -> None:
    array = np.random.default_rng(5).integers(0, 60_000, (1, 512, 512)).astype(np.uint16)
    tif("a.tif", array, **TILED)
    file = opened(server, "a.tif", connection)
    before = len(server.asked)
    server.faults = ["cut 1000", "status 500", "hang up", "status 429 after 3", "cut 0"]
    np.testing.assert_array_equal(file.windows([whole(array)])[0], array)
    sent = sum(one.sent for one in server.asked[before:])
    assert sent == int(file._opened.blocks.data.lengths.sum())
    assert connection.report.retries == 5 and connection.report.blocks_decoded == 16 * 32


def test_a_file_that_was_replaced_is_noticed_and_its_header_read_anew(
    tif: Tif, server: FileServer, connection: remote.Connection, index: remote.HeaderIndex
) -> None:
    tif("a.tif", numbers((1, 64, 64), "uint16"), compress="deflate", **TILED)
    opened(server, "a.tif", connection, index)
    changed = np.random.default_rng(9).integers(0, 60_000, (1, 64, 64)).astype(np.uint16)
    tif("a.tif", changed, compress="deflate", **TILED)
    second = remote.Connection()
    file = opened(server, "a.tif", second, index)
    np.testing.assert_array_equal(file.windows([whole(changed)])[0], changed)
    assert second.report.headers_read == 1
    third = remote.Connection()
    np.testing.assert_array_equal(opened(server, "a.tif", third, index).windows([whole(changed)])[0], changed)
    assert third.report.headers_read == 0
    tif("a.tif", numbers((1, 65, 64), "uint16"), compress="deflate", **TILED)
    with pytest.raises(InputError, match="was changed while it was read"):
        file.windows([whole(changed)])


def test_without_etags_the_size_tells(
    tif: Tif, server: FileServer, connection: remote.Connection, index: remote.HeaderIndex
) -> None:
    server.tags = False
    tif("a.tif", np.zeros((1, 64, 64), np.uint16), compress="deflate", **TILED)
    opened(server, "a.tif", connection, index)
    changed = np.random.default_rng(9).integers(0, 60_000, (1, 64, 64)).astype(np.uint16)
    tif("a.tif", changed, compress="deflate", **TILED)
    np.testing.assert_array_equal(opened(server, "a.tif", connection, index).windows([whole(changed)])[0], changed)


def test_a_damaged_index_is_read_anew(
    tif: Tif, server: FileServer, connection: remote.Connection, index: remote.HeaderIndex
) -> None:
    array = numbers((1, 64, 64), "uint16")
    tif("a.tif", array, **TILED)
    opened(server, "a.tif", connection, index)
    (kept,) = (index.folder or Path()).rglob("*.header")
    for content in (b"", b"{}\n", b"not json\nxx", kept.read_bytes()[:-50], kept.read_bytes().replace(b"II*", b"XX*")):
        kept.write_bytes(content)
        np.testing.assert_array_equal(opened(server, "a.tif", connection, index).windows([whole(array)])[0], array)
    assert connection.report.headers_read == 6


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "no raster|cannot be read"), (b"hello, no raster", "cannot be read"), (b"II*\0" + bytes(40), "cannot be")],
)
def test_what_is_no_raster_is_a_sentence(
    server: FileServer, connection: remote.Connection, content: bytes, says: str
) -> None:
    (server.folder / "a.tif").write_bytes(content)
    with pytest.raises(InputError, match=says):
        opened(server, "a.tif", connection)


def test_files_that_are_cut_damaged_absent_or_nowhere(
    tif: Tif, server: FileServer, connection: remote.Connection
) -> None:
    path = as_cog(tif("a.tif", np.random.default_rng(1).integers(0, 60_000, (1, 300, 300)).astype(np.uint16)))
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(InputError, match=rf"{server.address}/a\.tif' is truncated"):
        opened(server, "a.tif", connection)
    tif("a.tif", numbers((1, 64, 64), "uint16"), compress="deflate", **TILED)
    content = path.read_bytes()
    file = opened(server, "a.tif", connection)
    start = int(file._opened.blocks.data.starts[0])
    path.write_bytes(content[:start] + bytes(20) + content[start + 20 :])
    with pytest.raises(InputError, match=r"a\.tif' cannot be read"):
        opened(server, "a.tif", connection).windows([((0, 5), (0, 5))])
    with pytest.raises(MissingError, match="answered 404"):
        opened(server, "b.tif", connection)
    with pytest.raises(InputError, match=r"a\.tif' declares no coordinate reference system"):
        tif("a.tif", numbers((1, 64, 64), "uint16"), crs=None, **TILED)
        opened(server, "a.tif", connection)


def test_a_reader_travels_to_another_process(
    tif: Tif, server: FileServer, connection: remote.Connection, index: remote.HeaderIndex
) -> None:
    array = numbers((1, 64, 64), "uint16")
    tif("a.tif", array, **TILED)
    plain = remote.Connection()
    facts = opened(server, "a.tif", plain, index).facts
    moved = pickle.loads(pickle.dumps(facts))
    np.testing.assert_array_equal(moved.reader.read((0,), (3, 20), (5, 9), masks=False), array[:, 3:20, 5:9])
    assert moved.reader.connection.report.headers_read == 1  # counted before it left


def test_reading_inside_a_running_loop(tif: Tif, server: FileServer, connection: remote.Connection) -> None:
    import asyncio

    array = numbers((1, 64, 64), "uint16")
    tif("a.tif", array, **TILED)

    async def notebook() -> np.ndarray:
        return opened(server, "a.tif", connection).windows([whole(array)])[0]

    np.testing.assert_array_equal(asyncio.run(notebook()), array)


def test_without_the_extra_gdal_reads(tif: Tif, far: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    array = numbers((1, 64, 64), "uint16")
    (far[0] / "plain.tif").write_bytes(tif("a.tif", array, **TILED).read_bytes())
    monkeypatch.setattr(remote_file, "_shared", [])
    monkeypatch.setitem(sys.modules, "urllib3", None)
    scene = cubes.open(f"{far[1]}/plain.tif")
    np.testing.assert_array_equal(next(iter(cubes.nodes_of(scene).values()))["data"].values[0], array)
