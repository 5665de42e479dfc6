"""Archives on loopback: searched by name, address or saved table; loaded by ranges; copied once, resumed, counted."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import archive_made as made
import numpy as np
import pytest
from remote_server import FakeClock, FileServer

pytest.importorskip("urllib3")
pytest.importorskip("fastapi")
from stac_server import StacServer

from swath import cubes
from swath.cubes import catalogue, remote
from swath.cubes.catalogue import api, archives, saved
from swath.cubes.catalogue.wanted import Wanted
from swath.errors import ConfigError, InputError, MissingError
from swath.failures import Failures

BOX = (15.001, 45.148, 15.004, 45.1505)


@dataclass
class Archive:
    folder: Path
    files: FileServer
    api: StacServer
    clock: FakeClock

    def connect(self, name: str = "made", collection: str = "s2", **patience: Any) -> remote.Connection:
        clock = remote.Clock(self.clock.now, self.clock.sleep, self.clock.draw)
        return archives.connect(name, collection, clock=clock, patience=remote.Patience(**patience))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.write_catalogue(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def archive(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    files = FileServer(written)
    server = StacServer(made.api_items(written, files.address))
    monkeypatch.setenv("SWATH_ARCHIVES", str(made.preset(tmp_path / "a.toml", server.address, files.address)))
    archives.connection.cache_clear()
    yield Archive(written, files, server, FakeClock())
    server.close()
    files.close()


def ids(found: list[catalogue.Item]) -> list[str]:
    return [item.id for item in found]


@pytest.mark.parametrize("get", [False, True])
def test_an_archive_is_searched_by_name_page_by_page_in_order(archive: Archive, get: bool) -> None:
    archive.api.get = get
    archive.api.items.reverse()
    found = catalogue.search("made", collections=["s2"])
    assert ids(found) == ["S0", "S1", "S2", "S3", "S4"]
    assert len(archive.api.asked) == 3
    first = found[0]
    assert (first.sensor, first.level, first.baseline) == ("sentinel2_l2a", "L2A", "05.09")
    assert {asset.name: asset.bands for asset in first.data} == {"blue": ("B02",), "red": ("B04",), "swir": ("B11",)}
    assert first.quality is not None and first.quality.scheme == "SCL"
    assert ids(catalogue.search("made", limit=2)) == ["S0", "S1"]


def test_filters_reach_the_server_and_hold_anyway(archive: Archive) -> None:
    found = catalogue.search("made", bbox=BOX, time="2024-05/2024-06", max_cloud=50, ids=["S0", "S2", "S3", "S4"])
    assert ids(found) == ["S0", "S2", "S3"]
    asked = archive.api.asked[0]
    assert asked["bbox"] == list(BOX) and asked["query"] == {"eo:cloud_cover": {"lte": 50}}
    assert asked["datetime"].startswith("2024-05-01T00:00:00.000Z/2024-06-30T23:59:59.999")
    assert catalogue.search("made", bbox=(14.0, 10.0, 14.1, 10.1)) == []
    assert ids(catalogue.search(archive.api.address + "/", time="2024-07/..")) == ["S4"]


def test_a_busy_api_is_waited_for_and_loses_nothing(archive: Archive) -> None:
    archive.api.faults = [429, 503, 500]
    assert len(catalogue.search("made", connection=archive.connect())) == 5
    assert archive.clock.pauses == [1.0, 1.0, 1.0]


def test_pages_that_lead_back_end(archive: Archive) -> None:
    archive.api.loop = True
    with pytest.raises(InputError, match="lead back"):
        catalogue.search("made")


def test_bad_items_are_listed_and_passed_over(archive: Archive) -> None:
    del archive.api.items[1]["properties"]["datetime"]
    archive.api.items[1]["properties"]["datetime"] = "never"
    failures = Failures()
    assert (
        len(
            list(
                api.items(
                    archive.api.address,
                    Wanted.of(*[None] * 5),
                    archive.connect(),
                    "made",
                    failures,
                )
            )
        )
        == 4
    )
    assert [row.item for row in failures] == ["S1"]
    with pytest.raises(InputError, match="never"):
        catalogue.search("made")


@pytest.mark.parametrize("suffix", [".json", ".geojson", ".parquet"])
def test_a_saved_search_is_searched_again_offline_and_loads(archive: Archive, tmp_path: Path, suffix: str) -> None:
    found = catalogue.search("made")
    path = catalogue.save(found, tmp_path / f"found{suffix}")
    archive.api.close()
    again = catalogue.search(path, time="2024-06", max_cloud=10)
    assert ids(again) == ["S2"]
    assert again[0].assets["red"].address == found[2].assets["red"].address
    assert (again[0].sensor, again[0].level, again[0].baseline) == ("sentinel2_l2a", "L2A", "05.09")
    assert again[0].quality is not None
    check_scene(archive, remote.open_item(again[0], bbox=BOX), "S2")
    if suffix == ".parquet":
        shutil.copy(path, archive.folder / "found.parquet")
        assert ids(catalogue.search(f"{archive.files.address}/found.parquet", time="2024-07")) == ["S4"]


def test_a_search_of_files_on_disk_is_saved_too(written: Path, tmp_path: Path) -> None:
    path = catalogue.save(catalogue.search(written), tmp_path / "deep" / "found.json")
    (item,) = catalogue.search(path, ids=["S1"])
    nodes = cubes.nodes_of(catalogue.load(item))
    expected = cubes.nodes_of(catalogue.load(catalogue.search(written, ids=["S1"])[0]))
    np.testing.assert_array_equal(nodes["grid_10m"]["data"].values, expected["grid_10m"]["data"].values)


def check_scene(archive: Archive, scene: Any, name: str) -> None:
    """A part of a scene from the archive equals the same part of the scene on disk."""
    local = cubes.nodes_of(catalogue.load(catalogue.search(archive.folder, ids=[name])[0]))
    distant = cubes.nodes_of(scene)
    assert set(distant) == {"grid_10m", "grid_20m"}
    assert distant["grid_10m"].sizes["y"] == 2 * distant["grid_20m"].sizes["y"] < 64
    for key, node in distant.items():
        same = local[key].sel(y=node["y"], x=node["x"], band=node["band"])
        np.testing.assert_array_equal(node["data"].values, same["data"].values)
        np.testing.assert_array_equal(node["valid"].values, np.broadcast_to(same["valid"].values, node["valid"].shape))
        np.testing.assert_array_equal(node["scale_factor"], same["scale_factor"])
        np.testing.assert_array_equal(node["add_offset"], same["add_offset"])
    np.testing.assert_array_equal(
        distant["grid_20m"]["quality"].values,
        local["grid_20m"]["quality"].sel(y=distant["grid_20m"]["y"], x=distant["grid_20m"]["x"]).values,
    )


def test_an_item_is_read_by_ranges_in_a_box_and_masked(archive: Archive) -> None:
    (item,) = catalogue.search("made", ids=["S0"])
    check_scene(archive, remote.open_item(item, bbox=BOX), "S0")
    clear = cubes.nodes_of(remote.open_item(item, ["blue"], BOX, only_clear=True))
    assert set(clear) == {"grid_10m"} and list(clear["grid_10m"]["band"].values) == ["B02"]
    local = cubes.nodes_of(catalogue.load(catalogue.search(archive.folder, ids=["S0"])[0], only_clear=True))
    node = clear["grid_10m"]
    expected = local["grid_10m"]["valid"].sel(y=node["y"], x=node["x"])
    np.testing.assert_array_equal(node["valid"].values.any(), True)
    np.testing.assert_array_equal(
        np.squeeze(node["valid"].values),
        np.squeeze(expected.values[:, :1]) if expected.values.ndim == 4 else np.squeeze(expected.values),
    )


def test_dates_of_an_archive_stack(archive: Archive) -> None:
    scene = catalogue.load_many(catalogue.search("made", time="2024-05"), bands=["red", "blue"], bbox=BOX)
    assert cubes.nodes_of(scene)["grid_10m"].sizes["time"] == 2


def test_signatures_are_fetched_renewed_and_not_kept(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = archive.files
    for item in archive.api.items:
        for asset in item["assets"].values():
            asset["href"] = asset["href"].replace(files.address, f"{files.address}/signed")
    endpoint = f"{files.address}/token/{{collection}}"
    monkeypatch.setenv(
        "SWATH_ARCHIVES",
        str(made.preset(tmp_path / "sas.toml", archive.api.address, files.address, "sas", endpoint=endpoint)),
    )
    archives.connection.cache_clear()
    files.token = "secret-one"
    found = catalogue.search("made", ids=["S0", "S1"])
    check_scene(archive, remote.open_item(found[0], bbox=BOX), "S0")
    assert files.tokens_given == 1
    files.token = "secret-two"
    check_scene(archive, remote.open_item(found[1], bbox=BOX), "S1")
    assert files.tokens_given == 2
    copied = catalogue.fetch(found, tmp_path / "store")
    assert not copied.failures and files.tokens_given == 2
    kept = [path for path in [*tmp_path.rglob("*.json"), *tmp_path.rglob("*.header")] if path.is_file()]
    assert kept and all(b"secret" not in path.read_bytes() for path in kept)
    assert archives.connection("made", "s2").report.renewals == 2


def test_copied_whole_files_are_the_same_bytes_and_copied_once(archive: Archive, tmp_path: Path) -> None:
    found = catalogue.search("made", ids=["S0", "S2"])
    copied = catalogue.fetch(found, tmp_path / "store", workers=3)
    assert (copied.files, copied.passed_over, len(copied.failures)) == (8, 0, 0)
    local = tmp_path / "store" / "s2" / "S0"
    assert (local / "blue.tif").read_bytes() == (archive.folder / "s2/S0/B02.tif").read_bytes()
    asked = len(archive.files.asked)
    again = catalogue.fetch(found, tmp_path / "store")
    assert (again.files, again.passed_over, again.bytes) == (0, 8, 0) and len(archive.files.asked) == asked
    archive.files.close()
    (item,) = catalogue.search(tmp_path / "store", max_cloud=5)
    assert item.id == "S2" and item.sensor == "sentinel2_l2a"
    nodes = cubes.nodes_of(catalogue.load(item, only_clear=True))
    expected = cubes.nodes_of(catalogue.load(catalogue.search(archive.folder, ids=["S2"])[0], only_clear=True))
    np.testing.assert_array_equal(nodes["grid_10m"]["data"].values, expected["grid_10m"]["data"].values)
    np.testing.assert_array_equal(nodes["grid_20m"]["valid"].values, expected["grid_20m"]["valid"].values)


def test_a_copy_that_was_cut_goes_on_where_it_stopped(archive: Archive, tmp_path: Path) -> None:
    found = catalogue.search("made", ids=["S0"])
    size = (archive.folder / "s2/S0/B02.tif").stat().st_size
    archive.files.faults = ["", "cut 1000", "status 404"]
    first = catalogue.fetch(found, tmp_path / "store", bands=["blue"], workers=1, connect=archive.connect)
    assert [row.item for row in first.failures] == ["S0 blue"] and "404" in first.failures.rows[0].reason
    assert first.items == [] and not (tmp_path / "store" / "s2" / "S0" / "S0.json").exists()
    archive.files.asked.clear()
    second = catalogue.fetch(found, tmp_path / "store", bands=["blue"], workers=1, connect=archive.connect)
    assert not second.failures and ids(second.items) == ["S0"] and second.passed_over == 1
    assert archive.files.fetched("/s2/S0/B02.tif") == [(0, 1), (1000, None)]
    assert sum(one.sent for one in archive.files.asked) == 1 + size - 1000
    assert (tmp_path / "store/s2/S0/blue.tif").stat().st_size == size


def test_a_cut_copy_of_a_file_that_changed_begins_anew(archive: Archive, tmp_path: Path) -> None:
    found = catalogue.search("made", ids=["S0"])
    archive.files.faults = ["", "cut 1000", "status 404"]
    catalogue.fetch(found, tmp_path / "store", bands=["blue"], workers=1, connect=archive.connect)
    other = (archive.folder / "s2/S1/B02.tif").read_bytes()
    archive.files.hook = lambda path: other if path == "/s2/S0/B02.tif" else None
    assert not catalogue.fetch(found, tmp_path / "store", bands=["blue"], workers=1, connect=archive.connect).failures
    assert (tmp_path / "store/s2/S0/blue.tif").read_bytes() == other


def test_faults_of_every_kind_lose_nothing_and_send_nothing_twice(archive: Archive, tmp_path: Path) -> None:
    found = catalogue.search("made")
    archive.files.faults = ["status 429 after 2", "cut 500", "status 500", "hang up", "", "cut 7", "hang up"] * 3
    # Chance may send all faults to one file, which is then not to be given up: that is tested elsewhere.
    patient = functools.partial(archive.connect, attempts=1 + len(archive.files.faults))
    copied = catalogue.fetch(found, tmp_path / "store", connect=patient)
    assert (copied.files, len(copied.failures), len(copied.items)) == (20, 0, 5)
    for number in range(5):
        for name, band in made.NAMES.items():
            source = archive.folder / f"s2/S{number}/{band}.tif"
            assert (tmp_path / f"store/s2/S{number}/{name}.tif").read_bytes() == source.read_bytes()
    sent = sum(one.sent for one in archive.files.asked if one.start != 0 or one.stop != 1)
    assert sent == copied.bytes
    assert 2.0 in archive.clock.pauses


def test_windows_are_copied_as_cogs_with_what_files_declare(archive: Archive, tmp_path: Path) -> None:
    found = catalogue.search("made", ids=["S0"])
    copied = catalogue.fetch(found, tmp_path / "store", bbox=BOX)
    assert (copied.files, len(copied.failures)) == (4, 0)
    assert catalogue.fetch(found, tmp_path / "store", bbox=BOX).passed_over == 4
    (item,) = catalogue.search(tmp_path / "store")
    west, south, east, north = item.bbox
    assert west <= BOX[0] and south <= BOX[1] and east >= BOX[2] and north >= BOX[3] and east - west < 0.006
    check_scene(archive, catalogue.load(item), "S0")
    moved = catalogue.fetch(found, tmp_path / "store", bbox=(15.002, 45.1485, 15.003, 45.1495))
    assert moved.files == 4  # another window is another file


def test_failures_are_listed_and_the_rest_is_done(archive: Archive, tmp_path: Path) -> None:
    found = catalogue.search("made", ids=["S0", "S1", "S2"])
    archive.files.hook = lambda path: b"" if path == "/s2/S1/B04.tif" else None
    record = dict(found[2].record)
    record["assets"] = {key: value for key, value in record["assets"].items() if key != "red"}
    lacking = catalogue.items.item_of(record, Path("S2.json"), base="")
    copied = catalogue.fetch([*found[:2], lacking], tmp_path / "store", bands=["red"], bbox=BOX)
    assert ids(copied.items) == ["S0"]
    assert {(row.item, row.stage) for row in copied.failures} == {
        ("S1 red", "copy"),
        ("S1 mask", "copy"),  # its window would have to fit the one of the red band
        ("S2", "choose"),
    }
    assert ids(catalogue.search(tmp_path / "store")) == ["S0"]
    archive.files.hook = lambda path: None
    more = catalogue.fetch(found, tmp_path / "store", bands=["red"], bbox=BOX)
    assert ids(more.items) == ["S0", "S1", "S2"] and not more.failures
    assert ids(catalogue.search(tmp_path / "store")) == ["S0", "S1", "S2"]


def test_a_checksum_that_the_item_tells_is_checked(archive: Archive, tmp_path: Path) -> None:
    archive.api.items[0]["assets"]["blue"]["file:checksum"] = "1220" + "0" * 64
    archive.api.items[1]["assets"]["blue"]["file:size"] = 3
    copied = catalogue.fetch(catalogue.search("made", ids=["S0", "S1"]), tmp_path / "store", bands=["blue"])
    assert ["sha256" in row.reason or "3" in row.reason for row in copied.failures] == [True, True]
    assert not list((tmp_path / "store").rglob("blue.tif"))


def test_what_is_on_disk_is_copied_too(written: Path, tmp_path: Path) -> None:
    copied = catalogue.fetch(catalogue.search(written, ids=["S3"]), tmp_path / "store", bands=["B02"], bbox=BOX)
    assert copied.files == 2 and not copied.failures
    assert catalogue.search(tmp_path / "store")[0].sensor == "sentinel2_l2a"


def test_nothing_found_tells_what_was_asked_and_what_is_nearest(archive: Archive, written: Path) -> None:
    for place in ("made", str(written)):
        said = catalogue.why_nothing(place, bbox=BOX, time="2024-05-10/2024-05-20", max_cloud=20)
        assert "15.001, 45.148, 15.004, 45.1505, from 2024-05-10 to 2024-05-20, cloud cover up to 20 %" in said
        assert "nearest is S1 of 2024-05-16, cloud cover 80 %" in said
    assert "S4 of 2024-07-05" in catalogue.why_nothing("made", time="2024-08-10")
    assert "none in this place within 60 days" in catalogue.why_nothing("made", time="2030-01")
    assert "crosses the antimeridian" in catalogue.why_nothing("made", bbox=(20.0, 0.0, 10.0, 1.0))


def test_mistakes_are_sentences(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no archive 'erth_search'.*nearest are: earth_search"):
        catalogue.search("erth_search")
    with pytest.raises(InputError, match="no place on Earth"):
        catalogue.search("made", bbox=(0.0, 91.0, 1.0, 92.0))
    with pytest.raises(InputError, match="no place on Earth"):
        catalogue.search("made", bbox=(0.0, 50.0, 1.0, 40.0))
    with pytest.raises(InputError, match="without a link 'search'"):
        (tmp_path / "root.json").write_text("{}")
        archive.files.hook = lambda path: b'{"type": "Catalog", "links": []}'
        catalogue.search(f"{archive.files.address}/x")
    archive.files.hook = lambda path: None
    item = catalogue.search("made", ids=["S0"])[0]
    with pytest.raises(InputError, match="no band 'green'"):
        remote.open_item(item, ["green"])
    with pytest.raises(InputError, match=r"lies outside .*B02\.tif, which covers 15,"):
        remote.open_item(item, ["blue"], (20.0, 10.0, 20.1, 10.1))
    with pytest.raises(ConfigError, match=r"\.csv"):
        catalogue.save([item], tmp_path / "x.csv")
    with pytest.raises(InputError, match="no items"):
        catalogue.save([], tmp_path / "x.json")
    (tmp_path / "x.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not parquet"):
        catalogue.search(tmp_path / "x.parquet")
    archive.api.close()
    with pytest.raises(MissingError, match=r"nothing answers there; 2 attempts"):
        catalogue.search("made", connection=archive.connect(attempts=2))
    import sys

    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(MissingError, match=r"pip install 'swath\[stac\]'"):
        catalogue.search("made")
    monkeypatch.setitem(sys.modules, "rustac", None)
    with pytest.raises(MissingError, match=r"pip install 'swath\[stac\]'"):
        catalogue.save([item], tmp_path / "y.parquet")


def test_files_with_a_wrong_or_missing_projection_are_sentences(archive: Archive, tmp_path: Path) -> None:
    import rasterio

    for crs, says in ((None, "declares no coordinate reference system"), ("EPSG:32601", "lies outside")):
        with rasterio.open(archive.folder / "s2/S0/B02.tif") as source:
            profile = source.profile | {"driver": "GTiff", "crs": crs}
            with rasterio.open(tmp_path / "wrong.tif", "w", **profile) as dataset:
                dataset.write(source.read())
        content = (tmp_path / "wrong.tif").read_bytes()
        archive.files.hook = lambda path, content=content: content if path.endswith("S0/B02.tif") else None
        with pytest.raises(InputError, match=says):
            remote.open_item(catalogue.search("made", ids=["S0"])[0], ["blue"], BOX)


def test_presets_that_come_along_are_sound() -> None:
    assert {"cdse", "earth_search", "lpcloud", "planetary_computer"} <= set(catalogue.archive_names())
    for name in catalogue.archive_names():
        found = catalogue.archive(name)
        assert found.address.startswith("https://") and found.collections and found.per_minute
    item = {
        "id": "x",
        "collection": "sentinel-2-l2a",
        "properties": {"earthsearch:boa_offset_applied": True},
        "assets": {
            "red": {"href": "https://x/r.tif", "roles": ["data"]},
            "visual": {"href": "https://x/v.tif", "roles": ["data", "overview"]},
        },
    }
    named = archives.translated(item, "earth_search")
    assert named["properties"]["swath:baseline"] == "03.01" and named["assets"]["red"]["bands"] == [{"name": "B04"}]
    assert named["assets"]["visual"]["roles"] == ["overview"]
    item["properties"] = {"earthsearch:boa_offset_applied": False}
    assert "swath:baseline" not in archives.translated(item, "earth_search")["properties"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[archives.x", "no TOML"),
        ("[other]\n", "table other"),
        ('[archives.x]\naddress = "https://x"\nrate = 3\n', "wrong at rate"),
        ('[archives.x]\naddress = "https://x"\nauth = "bearer"\n', "needs variable and hosts"),
        ('[archives.x]\naddress = "https://x"\nauth = "sas"\n', "needs endpoint and hosts"),
        ('[archives.x]\naddress = "https://x"\n[archives.x.collections.c]\nsensor = "sentinel2"\n', "no sensor"),
        (
            '[archives.x]\naddress = "https://x"\n[archives.x.collections.c]\nsensor = "hls_s30"\n'
            'bands = { a = "B99" }\n',
            "no band B99",
        ),
        ('[archives.x]\naddress = "https://x"\n[archives.x.collections.c]\nquality = { a = "Q" }\n', "scheme Q"),
    ],
)
def test_presets_that_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    monkeypatch.setenv("SWATH_ARCHIVES", str(tmp_path / "a.toml"))
    with pytest.raises(ConfigError, match=says):
        catalogue.archive("x")


def test_saved_files_that_are_none(tmp_path: Path) -> None:
    for content, says in (
        ('{"type": "FeatureCollection"}', "no list of features"),
        ('{"type": "FeatureCollection", "features": [3]}', "no object"),
    ):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(InputError, match=says):
            list(saved.read(tmp_path / "a.json"))
    (tmp_path / "a.json").write_text(json.dumps({"type": "FeatureCollection", "features": [{"id": "x"}, 3]}))
    failures = Failures()
    assert catalogue.search(tmp_path / "a.json", failures=failures) == [] and len(failures) == 2
