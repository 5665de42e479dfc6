"""Many windows of many files at once, and windows laid below each other as a file: equal to reading each alone."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from remote_server import FileServer

pytest.importorskip("async_tiff")

from swath import cubes
from swath.cubes import raster, remote
from swath.cubes.assemble import Options
from swath.errors import ContractError, InputError

Tif = Callable[..., Path]
TILED = {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate"}
WINDOWS = [((0, 1), (0, 1)), ((10, 50), (20, 60)), ((12, 52), (18, 58)), ((70, 100), (45, 77))]


def numbers(bands: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 9, (bands, 100, 77)).astype(np.int16)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    made = FileServer(tmp_path)
    yield made
    made.close()


def test_windows_of_files_near_and_far_are_those_of_the_arrays(tif: Tif, server: FileServer, tmp_path: Path) -> None:
    connection, index = remote.Connection(), remote.HeaderIndex(tmp_path / "index")
    arrays = [numbers(bands, bands) for bands in (1, 2, 3)]
    paths = [tif(f"{place}.tif", array, interleave="pixel", **TILED) for place, array in enumerate(arrays)]
    places = [str(paths[0]), f"{server.address}/1.tif", f"{server.address}/2.tif"]
    files = remote.probe_all(places, connection, index)
    assert [file.count for file in files] == [1, 2, 3]
    read = remote.read_windows(files, [WINDOWS, WINDOWS[1:], []])
    for array, windows, found in zip(arrays, (WINDOWS, WINDOWS[1:], []), read, strict=True):
        assert len(found) == len(windows)
        for ((top, bottom), (left, right)), chip in zip(windows, found, strict=True):
            np.testing.assert_array_equal(chip, array[:, top:bottom, left:right])
    report = connection.report
    assert report.headers_read == 2
    assert report.blocks_decoded == report.blocks_needed
    assert report.run_requests == report.runs == 1


def test_no_files_no_windows_and_lists_that_do_not_fit(tif: Tif) -> None:
    assert remote.probe_all([]) == []
    assert remote.read_windows([], []) == []
    file = raster.probe(tif("a.tif", numbers(), **TILED))
    assert remote.read_windows([file], [[]]) == [[]]
    with pytest.raises(ContractError, match="1 files came with 0 lists"):
        remote.read_windows([file], [])


def test_one_file_that_is_missing_is_named(tif: Tif, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file '.*b\.tif'"):
        remote.probe_all([str(tif("a.tif", numbers(), **TILED)), str(tmp_path / "b.tif")])


@pytest.mark.parametrize("far", [False, True])
def test_a_sheet_is_its_windows_one_below_the_other(tif: Tif, server: FileServer, tmp_path: Path, far: bool) -> None:
    array, mask = numbers(2), np.random.default_rng(3).random((100, 77)) > 0.4
    path = tif("a.tif", array, mask=mask, interleave="pixel", **TILED)
    connection = remote.Connection()
    (file,) = remote.probe_all(
        [f"{server.address}/a.tif" if far else str(path)], connection, remote.HeaderIndex(tmp_path / "index")
    )
    sheet = remote.Sheet(file, tuple(WINDOWS))
    made = remote.sheet_of(sheet)
    node = next(iter(cubes.nodes_of(cubes.scene.scene_of([made], Options(), "made")).values()))
    data, valid = node["data"].values[0], node["valid"].values[0]
    assert data.shape == (2, 1 + 40 + 40 + 30, 40)
    for number, ((top, bottom), (left, right)) in enumerate(WINDOWS):
        rows, columns, box = sheet.place(number)
        np.testing.assert_array_equal(data[:, rows, columns], array[:, top:bottom, left:right])
        np.testing.assert_array_equal(
            np.broadcast_to(valid, data.shape)[:, rows, columns][0], mask[top:bottom, left:right]
        )
        assert box == file.geobox[top:bottom, left:right]
    if far:
        assert connection.report.blocks_decoded == connection.report.blocks_needed


def test_a_sheet_of_a_part_and_one_that_travels(tif: Tif) -> None:
    array = numbers()
    part = remote.part_of(raster.probe(tif("a.tif", array, **TILED)), ((5, 95), (7, 70)))
    sheet = pickle.loads(pickle.dumps(remote.Sheet(part, (((0, 3), (0, 4)), ((60, 90), (1, 2))))))
    read = remote.sheet_of(sheet).reader.read((0,), (0, 33), (0, 4), masks=False)
    np.testing.assert_array_equal(read[0, :3], array[0, 5:8, 7:11])
    np.testing.assert_array_equal(read[0, 3:, :1], array[0, 65:95, 8:9])
    assert not read[0, 3:, 1:].any()


def test_sheets_of_other_windows_are_not_mixed_up(tif: Tif, box: Callable[..., GeoBox]) -> None:
    file = raster.probe(tif("a.tif", numbers(), **TILED))
    one, other = (remote.sheet_of(remote.Sheet(file, (((0, 9), (0, 9)), window))) for window in WINDOWS[1:3])
    assert one.geobox == other.geobox
    assert one.stamp != other.stamp
    first, second = (raster.lazy_bands(each, (0,)).compute() for each in (one, other))
    assert (first[:, :9] == second[:, :9]).all()
    assert (first[:, 9:] != second[:, 9:]).any()
