"""Objects in buckets: open ones, signed ones, those of another region, and addresses that name none."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest
import rasterio
from remote_server import FakeClock, FileServer

pytest.importorskip("urllib3")

from swath.cubes import remote
from swath.cubes.catalogue import archives
from swath.cubes.raster import probe
from swath.cubes.remote.buckets import Buckets
from swath.errors import ConfigError, InputError, MissingError

CONTENT = bytes(range(256)) * 40
VARIABLES = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "ENDPOINT_URL", "REGION")


class BucketServer(FileServer):
    """Objects of a folder as ``/BUCKET/KEY``; asks for a signature, and for a region, where told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.wants_key = self.wants_region = ""
        self.queries: list[dict[str, list[str]]] = []
        self.hook = self._object

    def _object(self, path: str) -> bytes | None:
        place = self.folder / unquote(path).lstrip("/")
        return place.read_bytes() if place.is_file() else None

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        self.queries.append(query)
        told = query.get("X-Amz-Credential", ["//"])[0].split("/")
        if (self.wants_key and told[0] != self.wants_key) or (self.wants_region and told[2] != self.wants_region):
            handler.send_response(403 if told[0] != self.wants_key else 400)
            if self.wants_region:
                handler.send_header("x-amz-bucket-region", self.wants_region)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        super().answer(handler)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"AWS_{name}", raising=False)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    place = tmp_path / "served" / "floods" / "2024"
    place.mkdir(parents=True)
    (place / "a b.bin").write_bytes(CONTENT)
    started = BucketServer(tmp_path / "served")
    monkeypatch.setenv("AWS_ENDPOINT_URL", started.address)
    yield started
    started.close()


def set_keys(monkeypatch: pytest.MonkeyPatch, key: str = "AKEXAMPLE") -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do not tell")


def read(connection: remote.Connection) -> bytes:
    return connection.span("s3://floods/2024/a b.bin", 100, 300).content


def test_an_open_bucket_is_asked_openly(server: BucketServer) -> None:
    assert read(remote.Connection()) == CONTENT[100:300]
    assert server.queries == [{}] and server.fetched("/floods/2024/a%20b.bin") == [(100, 300)]


def test_keys_sign_once_for_many_requests_and_are_not_sent(
    server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.wants_key = "AKEXAMPLE"
    with pytest.raises(MissingError, match=r"s3://floods/2024/a b\.bin .*403"):
        read(remote.Connection())
    set_keys(monkeypatch)
    connection = remote.Connection()
    assert read(connection) == read(connection) == CONTENT[100:300]
    first, second = server.queries[-2:]
    assert first == second and len(first["X-Amz-Signature"][0]) == 64
    assert "do not tell" not in f"{server.queries} {server.headers_seen}"
    assert pickle.loads(pickle.dumps(connection)).buckets.on_the_web("s3://floods/x").startswith(server.address)


def test_signatures_are_made_anew_before_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    set_keys(monkeypatch)
    clock = FakeClock()
    buckets = Buckets("http://127.0.0.1:9", clock.now)
    first = buckets.on_the_web("s3://b/k")
    clock.sleep(3000)
    assert buckets.on_the_web("s3://b/k") == first
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKOTHER")
    clock.sleep(560)
    assert "AKOTHER" in buckets.on_the_web("s3://b/k")


def test_a_region_is_learned_once(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    set_keys(monkeypatch)
    server.wants_key, server.wants_region = "AKEXAMPLE", "eu-central-1"
    connection = remote.Connection()
    assert read(connection) == CONTENT[100:300] and len(server.queries) == 2
    assert read(connection) == CONTENT[100:300] and len(server.queries) == 3
    server.wants_key = "AKOTHER"
    with pytest.raises(MissingError, match="403"):
        read(connection)
    assert len(server.queries) == 4  # it was told nothing new


def test_addresses_are_those_of_amazon_where_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Buckets().on_the_web("s3://b/k/%#é.tif") == "https://s3.us-east-1.amazonaws.com/b/k/%25%23%C3%A9.tif"
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert Buckets().on_the_web("s3://b/k").startswith("https://s3.us-west-2.amazonaws.com/b/")
    set_keys(monkeypatch)
    assert Buckets().on_the_web("s3://b/k").startswith("https://s3.us-west-2.amazonaws.com/b/k?X-Amz-Algorithm=AWS4")


@pytest.mark.parametrize("address", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key", "s3://b/a\0"])
def test_an_address_without_an_object_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="names no object"):
        remote.Connection().span(address, 0, 1)


def test_half_a_key_and_a_service_without_address_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    with pytest.raises(ConfigError, match="One of AWS_ACCESS_KEY_ID"):
        Buckets().on_the_web("s3://b/k")
    with pytest.raises(ConfigError, match="buckets is 'eodata'"):
        Buckets("eodata").on_the_web("s3://b/k")
    assert archives.connect("cdse").buckets.endpoint == "https://eodata.dataspace.copernicus.eu"


def test_a_raster_in_a_bucket_is_read_by_blocks(
    server: BucketServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    numbers = np.arange(2 * 96 * 96, dtype=np.uint16).reshape(2, 96, 96)
    where = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    shape = {"driver": "GTiff", "count": 2, "height": 96, "width": 96, "dtype": "uint16", "compress": "deflate"}
    with rasterio.open(
        server.folder / "floods" / "c.tif", "w", tiled=True, blockxsize=32, blockysize=32, **shape, **where
    ) as file:
        file.write(numbers)
    set_keys(monkeypatch)
    facts = probe("s3://floods/c.tif")
    assert facts.path == "s3://floods/c.tif" and facts.count == 2
    [window] = remote.RemoteFile("s3://floods/c.tif", remote.Connection(), remote.HeaderIndex.of_user()).windows(
        [((30, 70), (5, 40))]
    )
    np.testing.assert_array_equal(window, numbers[:, 30:70, 5:40])
    assert not any("do not tell" in path.read_text(errors="ignore") for path in (tmp_path / "cache").rglob("*.*"))
