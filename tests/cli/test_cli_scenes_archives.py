"""``swath scenes`` against an archive on loopback: found, saved, loaded by ranges, copied; mistakes are sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_scenes import Run

pytest.importorskip("urllib3")
pytest.importorskip("fastapi")
sys.path.append(str(Path(__file__).parents[1] / "cubes"))
import archive_made as made
from remote_server import FileServer
from stac_server import StacServer

from swath import cubes
from swath.cubes.catalogue import archives

BOX = "--bbox=15.001,45.148,15.004,45.1505"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.write_catalogue(tmp_path_factory.mktemp("archive"), made.DAYS[:3])


@pytest.fixture
def files(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    served = FileServer(written)
    api = StacServer(made.api_items(written, served.address))
    monkeypatch.setenv("SWATH_ARCHIVES", str(made.preset(tmp_path / "a.toml", api.address, served.address)))
    archives.connection.cache_clear()
    yield served
    api.close()
    served.close()


def test_search_lists_saves_and_searches_again(swath: Run, files: FileServer, tmp_path: Path) -> None:
    code, out, _ = swath("scenes", "search", "made", BOX, "--cloud", 50, "--save", tmp_path / "found.json")
    assert code == 0 and "2 scenes" in out and "S0" in out and "saved:" in out
    code, out, _ = swath("scenes", "search", tmp_path / "found.json", "--time", "2024-06", "--json")
    assert code == 0 and [row["item"] for row in json.loads(out)] == ["S2"]
    code, out, _ = swath("scenes", "search", "made", "--limit", 1, "--json")
    assert [row["item"] for row in json.loads(out)] == ["S0"]
    code, out, _ = swath("scenes", "archives", "--json")
    assert {"made", "earth_search"} <= {row["archive"] for row in json.loads(out)}
    assert "EARTHDATA_TOKEN" in swath("scenes", "archives")[1]


def test_load_reads_the_box_or_copies_first(swath: Run, files: FileServer, tmp_path: Path) -> None:
    code, out, err = swath("scenes", "load", "made", BOX, "--time", "2024-05", "-o", tmp_path / "a.zarr")
    assert code == 0, err
    store = ("scenes", "load", "made", BOX, "--time", "2024-05", "--store", tmp_path / "store", "-o")
    code, out, err = swath(*store, tmp_path / "b.zarr")
    assert code == 0 and "8 files copied" in out and "2 scenes are complete" in out, err
    asked = len(files.asked)
    code, out, _ = swath(*store, tmp_path / "c.zarr")
    assert code == 0 and "0 files copied" in out and "8 files were there" in out and len(files.asked) == asked
    first, *others = (cubes.open(tmp_path / f"{name}.zarr")["grid_10m"].to_dataset() for name in "abc")
    assert first.sizes["time"] == 2 and first.sizes["y"] < 64
    assert all(first["data"].equals(other["data"]) for other in others)


def test_what_fails_is_listed_and_the_exit_code_says_so(swath: Run, files: FileServer, tmp_path: Path) -> None:
    files.hook = lambda path: b"" if path == "/s2/S1/B04.tif" else None
    command = ("scenes", "load", "made", "--store", tmp_path / "store", "--bands", "red", BOX, "--workers", 2)
    code, out, err = swath(*command)
    assert code == 6 and "2 scenes are complete" in out and "S1 red" in out, err
    assert "S1 red" in (tmp_path / "store" / "failures.csv").read_text()
    files.hook = lambda path: None
    code, out, _ = swath(*command)
    assert code == 0 and "3 scenes are complete" in out and not (tmp_path / "store" / "failures.csv").exists()


def test_a_place_is_the_extent_of_a_file(swath: Run, files: FileServer, tmp_path: Path) -> None:
    ring = [[15.001, 45.148], [15.004, 45.148], [15.004, 45.1505], [15.001, 45.148]]
    shape = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "p.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [shape]}))
    code, out, _ = swath("scenes", "search", "made", "--place", tmp_path / "p.geojson", "--json")
    assert code == 0 and len(json.loads(out)) == 3
    code, _, err = swath("scenes", "search", "made", "--place", tmp_path / "p.geojson", BOX)
    assert code == 2 and "one of them" in err
    code, _, err = swath("scenes", "search", "made", "--place", tmp_path / "none.geojson")
    assert code == 2 and "There is no file" in err


def test_nothing_found_says_what_was_nearest(swath: Run, files: FileServer) -> None:
    nothing = ("made", BOX, "--time", "2024-05-10/2024-05-20", "--cloud", 20)
    code, out, _ = swath("scenes", "search", *nothing)
    assert code == 0 and "nearest is S1 of 2024-05-16, cloud cover 80 %" in out
    code, _, err = swath("scenes", "load", *nothing)
    assert code == 2 and "nearest is S1 of 2024-05-16" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["erth_search"], 2, "nearest are: earth_search"),
        (["made", "--bbox=45,15,46,200"], 2, "no place on Earth"),
        (["made", "--bbox=15,46,16,45"], 2, "south below north"),
        (["made", "--bbox=1,2,3"], 2, "four numbers"),
        (["http://127.0.0.1:9/x.parquet"], 3, "cannot be fetched"),
        (["made", "--time", "soon"], 2, "is no time"),
    ],
)
def test_mistakes_are_one_sentence(
    swath: Run, files: FileServer, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    from swath.cubes.remote import patience

    monkeypatch.setattr(patience.Clock.__init__, "__defaults__", (lambda: 0.0, lambda seconds: None, lambda: 0.0))
    given, _, err = swath("scenes", "search", *arguments)
    assert given == code and says in " ".join(err.split()) and "Traceback" not in err


def test_without_the_extra_one_line_says_what_to_install(
    swath: Run, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "urllib3", None)
    code, _, err = swath("scenes", "search", "made")
    assert code == 3 and "pip install 'swath[stac]'" in err
