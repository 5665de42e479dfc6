"""Every attack that was thought of, with its answer: 4xx and one sentence that says nothing of the inside."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from live import Answer, LiveServer
from serve_maps import Writer

from swath.errors import ConfigError, InputError
from swath.serve import Layer, create_app, layers_of, write_layers
from swath.serve.guard import MAX_BODY, hosts_for
from swath.serve.handles import Handles, ReaderPool

SECRET = b"the secret of another folder"
BOX = {"type": "Polygon", "coordinates": [[[1, 1], [9, 1], [9, 9], [1, 9], [1, 1]]]}
QUESTION = json.dumps({"layer": "classes", "area": BOX}).encode()
HUGE_BOX = {"type": "Polygon", "coordinates": [[[-1e9, 1], [1e9, 1], [1e9, 9], [-1e9, 1]]]}


@pytest.fixture(scope="module")
def server(map_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    root = tmp_path_factory.mktemp("guard") / "maps"
    shutil.copytree(map_directory, root)
    (root.parent / "secret.txt").write_bytes(SECRET)
    (root / "secret.txt").write_bytes(SECRET)
    with LiveServer(root) as server:
        yield server


def refused(answer: Answer, statuses: tuple[int, ...] = (), said: str = "") -> None:
    """A refusal in one sentence; nothing of the inside in it."""
    assert 400 <= answer.status < 500
    assert not statuses or answer.status in statuses, (answer.status, answer.body[:200])
    assert SECRET not in answer.body
    text = answer.body.decode() + json.dumps(answer.headers)
    for word in ("Traceback", 'File "', "site-packages", "/tmp/", ".tif", "/src/", "root:", "import "):
        assert word not in text or word in said  # a client may read its own words
    if answer.headers["content-type"] == "application/json":  # else the answer is that of the HTTP parser
        assert answer.sentence.endswith((".", "?"))
        assert len(answer.sentence) < 400
        assert answer.headers["x-content-type-options"] == "nosniff"


PATHS = [
    # paths that lead elsewhere
    "/../secret.txt",
    "/../../../../../../etc/passwd",
    "/static/../app.py",
    "/static/../../app.py",
    "/static/%2e%2e/app.py",
    "/static/%2e%2e%2fapp.py",
    "/static/..%2f..%2fapp.py",
    "/static/%252e%252e%252fapp.py",
    "/static/..%252f..%252fapp.py",
    "/static/%c0%ae%c0%ae/app.py",
    "/static/%ef%bc%8e%ef%bc%8e/app.py",
    "/static/....//app.py",
    "/static/..;/app.py",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/file:///etc/passwd",
    "/static/vendor/../../app.py",
    "/static/vendor",
    "/static/",
    "/static",
    "//etc/passwd",
    "//127.0.0.1/static/map.js",
    "/secret.txt",
    "/classes.tif",
    "/layers.json",
    "/.git/config",
    "/.env",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/layers/../secret.txt/download",
    "/layers/..%2fsecret.txt/download",
    "/layers/%2e%2e%2f%2e%2e%2fetc%2fpasswd/download",
    "/layers/%252e%252e%252fetc%252fpasswd/download",
    "/layers//etc/passwd/download",
    "/layers/%2fetc%2fpasswd/download",
    "/layers/classes.tif/download",
    "/layers/secret.txt/download",
    "/layers/./download",
    "/layers/*/download",
    "/layers/classes/download/../../../secret.txt",
    "/layers/classes/estimates%2f..%2f..",
    "/layers/file:%2f%2f%2fetc%2fpasswd/download",
    "/layers/%2fvsicurl%2fhttp:%2f%2f127.0.0.1%2fa.tif/download",
    "/layers/__proto__/download",
    "/layers/__class__/estimates",
    "/api/layers/..%2f..%2fetc/tilejson",
    "/tiles/..%2f..%2fetc/0/0/0.png",
    "/tiles/%2e%2e/0/0/0.png",
    "/tiles/%252e%252e%252fclasses/0/0/0.png",
    "/tiles/http:%2f%2f127.0.0.1%2fa/0/0/0.png",
    "/tiles/%2fvsizip%2fa.zip/0/0/0.png",
    "/tiles/'%20or%201=1--/0/0/0.png",
    "/tiles/%3cscript%3e/0/0/0.png",
    "/tiles/" + "a" * 1500 + "/0/0/0.png",
    # characters that no address has
    "/%00",
    "/static/map.js%00.png",
    "/static/%00",
    "/layers/classes%00/download",
    "/tiles/classes%00.tif/0/0/0.png",
    "/static/..%5c..%5capp.py",
    "/layers/..%5cclasses/download",
    "/layers/classes%0d%0aset-cookie:%20a=b/download",
    "/static/%0a",
    "/%7f",
    # tiles that are not there
    "/tiles/classes/0/1/0.png",
    "/tiles/classes/0/0/1.png",
    "/tiles/classes/5/32/0.png",
    "/tiles/classes/22/4194304/0.png",
    "/tiles/classes/23/0/0.png",
    "/tiles/classes/-1/0/0.png",
    "/tiles/classes/0/-1/0.png",
    "/tiles/classes/0/0/-1.png",
    "/tiles/classes/1e3/0/0.png",
    "/tiles/classes/1.5/0/0.png",
    "/tiles/classes/0/0.5/0.png",
    "/tiles/classes/0/0/0.5.png",
    "/tiles/classes/99999999999999999999999999/0/0.png",
    "/tiles/classes/1/" + "9" * 400 + "/0.png",
    "/tiles/classes/nan/0/0.png",
    "/tiles/classes/0x1/0/0.png",
    "/tiles/classes/%D9%A1/9/0.png",
    "/tiles/classes/0/0/0.tif",
    "/tiles/classes/0/0/0",
    "/tiles/classes/0/0/0.png/",
    "/tiles/classes/0/0",
    # parameters: none is ever an address, and none is passed over
    "/tiles/classes/0/0/0.png?url=http://127.0.0.1:1/a.tif",
    "/tiles/classes/0/0/0.png?src=/etc/passwd",
    "/tiles/classes/0/0/0.png?size=0",
    "/tiles/classes/0/0/0.png?size=-256",
    "/tiles/classes/0/0/0.png?size=100000",
    "/tiles/classes/0/0/0.png?size=256.5",
    "/tiles/classes/0/0/0.png?size=256&size=512",
    "/tiles/classes/0/0/0.png?fade=perhaps",
    "/tiles/classes/0/0/0.png?expression=b1",
    "/tiles/classes/0/0/0.png?v=" + "a" * 5000,
    "/api/layers?url=http://169.254.169.254/latest/meta-data",
    "/api/layers?path=/etc",
    "/api/layers/classes/tilejson?url=file:///etc/passwd",
    "/api/layers/classes/tilejson?size=1",
    "/api/health?x=1",
    "/api/value",
    "/api/value?lon=1",
    "/api/value?lon=1&lat=91",
    "/api/value?lon=1e9&lat=0",
    "/api/value?lon=inf&lat=0",
    "/api/value?lon=nan&lat=nan",
    "/api/value?lon=1&lat=1&lat=2",
    "/api/value?lon=1&lat=1&layer=/etc/passwd",
    "/layers/classes/download?file=/etc/passwd",
    "/layers/classes/estimates?url=http://127.0.0.1/",
    "/?url=http://127.0.0.1/",
    "/?" + "a" * 3000,
]


@pytest.mark.parametrize("target", PATHS, ids=lambda target: target[:60])
def test_addresses_that_lead_nowhere(server: LiveServer, target: str) -> None:
    refused(server.request(f"GET {target}"), (400, 404, 405, 414, 422), said=target)


WRONG_METHODS = [
    ("POST", "/"),
    ("POST", "/api/layers"),
    ("PUT", "/api/layers"),
    ("DELETE", "/api/layers"),
    ("PATCH", "/layers/classes/download"),
    ("DELETE", "/layers/classes/download"),
    ("PUT", "/layers/new/download"),
    ("POST", "/layers/classes/download"),
    ("POST", "/tiles/classes/0/0/0.png"),
    ("TRACE", "/"),
    ("OPTIONS", "/analyse"),
    ("GET", "/analyse"),
    ("GET", "/clip"),
    ("GET", "/polygons"),
    ("PUT", "/analyse"),
    ("POST", "/static/map.js"),
    ("DELETE", "/static/map.js"),
    ("PROPFIND", "/"),
    ("CONNECT", "/"),
    ("BREW", "/api/layers"),
]


@pytest.mark.parametrize(("method", "target"), WRONG_METHODS)
def test_wrong_methods(server: LiveServer, method: str, target: str) -> None:
    answer = server.request(f"{method} {target}", b"{}" if method in ("POST", "PUT", "PATCH") else b"")
    refused(answer, (400, 404, 405))


@pytest.mark.parametrize("address", ["/analyse", "/clip", "/polygons"])
@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/xml",
        "json",
        "a" * 999,
    ],
)
def test_wrong_content_types(server: LiveServer, address: str, kind: str) -> None:
    refused(server.request(f"POST {address}", QUESTION, content_type=kind), (415,))


BODIES = [
    (b"x" * (MAX_BODY + 1), {}, 413),
    (QUESTION, {"content_length": str(10**12)}, 413),
    (QUESTION, {"content_length": "9" * 18}, 413),
    (QUESTION, {"content_length": "-1"}, 400),
    (QUESTION, {"content_length": "1e3"}, 400),
    (b"40\r\n" + b" " * 64 + b"\r\n0\r\n\r\n", {"transfer_encoding": "chunked"}, 422),
    ((b"10000\r\n" + b" " * 65536 + b"\r\n") * 18 + b"0\r\n\r\n", {"transfer_encoding": "chunked"}, 413),
    (QUESTION, {"content_encoding": "gzip"}, 415),
    (QUESTION, {"content_encoding": "br"}, 415),
    (json.dumps({"layer": "classes", "area": HUGE_BOX}).encode(), {}, 422),
    (json.dumps({"layer": "../secret.txt", "area": BOX}).encode(), {}, 404),
    (json.dumps({"layer": "\x00", "area": BOX}).encode(), {}, 404),
    (json.dumps({"layer": "\ud800", "area": BOX}).encode(), {}, 404),
    (json.dumps({"layer": "<img src=x>" * 5000, "area": BOX}).encode(), {}, 404),
    (json.dumps({"layer": "http://127.0.0.1/a.tif", "area": BOX}).encode(), {}, 404),
    (json.dumps({"layer": "classes", "area": BOX, "url": "http://127.0.0.1/a.tif"}).encode(), {}, 422),
    (json.dumps({"layer": "classes", "area": "http://127.0.0.1/area.geojson"}).encode(), {}, 422),
    (json.dumps({"layer": "classes", "area": {"$ref": "file:///etc/passwd"}}).encode(), {}, 422),
    (json.dumps({"layer": "classes", "area": {**BOX, "coordinates": [[[[]]]]}}).encode(), {}, 422),
    (b"[" * 500_000, {}, 422),
    (b'{"a":' * 100_000, {}, 422),
    (b"\x80\x04\x95", {}, 422),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_bodies_that_are_no_question(server: LiveServer, number: int) -> None:
    body, headers, status = BODIES[number]
    refused(
        server.request("POST /analyse", body, content_type="application/json", **headers),
        (status,),
        body.decode("latin-1"),
    )


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1@evil.example",
        "10.0.0.1",
        "169.254.169.254",
        "[::2]",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "127.1",
        "localhost:",
        "localhost:99999999",
        "127.0.0.1/../x",
        "*",
        "any number",
        "",
    ],
)
def test_names_that_are_not_ours(server: LiveServer, host: str) -> None:
    refused(server.request("GET /api/layers", host=host), (400, 421))


def test_our_names(server: LiveServer) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST:1", "[::1]:8000", f"127.0.0.1:{server.port}"):
        assert server.request("GET /api/health", host=host).status == 200
    two = b"GET /api/health HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n"
    refused(server.send(two), (400, 421))
    refused(server.send(b"GET /api/health HTTP/1.0\r\n\r\n"), (400, 421))
    assert server.request("GET /api/health", host="127.0.0.1", x_forwarded_host="evil.example").status == 200


def test_names_that_are_given(map_directory: Path) -> None:
    assert {"127.0.0.1", "localhost", "maps.example"} <= hosts_for("127.0.0.1", ["Maps.example"])
    assert "any number" not in hosts_for("127.0.0.1")
    assert {"any number", socket.gethostname().lower()} <= hosts_for("0.0.0.0")
    with LiveServer(map_directory, ["any number", "maps.example"]) as server:
        for host in ("10.1.2.3:80", "[fe80::1]", "maps.example"):
            assert server.request("GET /api/health", host=host).status == 200
        refused(server.request("GET /api/health", host="evil.example"), (421,))


@pytest.mark.parametrize(
    "name", ["https://maps.example", "maps.example:80", "maps.example/x", "any number", "[::1]", ""]
)
def test_host_names_that_are_addresses(name: str) -> None:
    with pytest.raises(ConfigError, match=r"The host name"):
        hosts_for("127.0.0.1", [name])


def test_host_names_that_are_names(map_directory: Path) -> None:
    assert {"maps.example", "fe80::1", "10.0.0.7", "*"} <= hosts_for("", ["Maps.Example", "fe80::1", "10.0.0.7", "*"])
    with LiveServer(map_directory, ["Maps.Example"]) as server:
        assert server.request("GET /api/health", host="maps.example:443").status == 200
        answer = server.request("GET /api/health", host="other.example")
        assert answer.status == 421
        assert "--host-name" in answer.sentence


def test_a_side_file_that_names_an_address(tmp_path: Path, write_raster: Writer) -> None:
    path = write_raster(tmp_path / "map.tif", np.ones((4, 4), np.uint8), 0, 4, 1)
    assert len(layers_of(tmp_path)) == 1
    side = path.with_name(path.name + ".aux.xml")
    side.write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/http://10.0.0.1/x.tif</MDI>'
        "</Metadata></PAMDataset>"
    )
    assert len(layers_of(tmp_path)) == 0


def test_heads_that_are_too_long(server: LiveServer) -> None:
    assert 400 <= server.request("GET /" + "a" * 100_000).status < 500
    assert 400 <= server.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100 + b"\r\n\r\n").status < 500


def test_after_all_of_this_the_server_serves(server: LiveServer) -> None:
    answer = server.request("POST /analyse", QUESTION, content_type="application/geo+json; charset=utf-8")
    assert answer.status == 200
    assert json.loads(answer.body)["pixels"] == 64


def test_a_body_that_does_not_come(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swath.serve.guard.BODY_SECONDS", 0.2)
    answer = server.request("POST /analyse", b"{", content_type="application/json", content_length="500")
    refused(answer, (408,))


def test_a_failure_of_our_own_tells_nothing(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("/secret/path.tif")

    monkeypatch.setattr("swath.serve.areas.read_question", broken)
    answer = server.request("POST /analyse", QUESTION, content_type="application/json")
    assert (answer.status, answer.sentence) == (500, "The server failed; its log says why.")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_links_that_lead_out_of_the_folder(tmp_path: Path, map_directory: Path) -> None:
    away, root = tmp_path / "away", tmp_path / "maps"
    shutil.copytree(map_directory, away)
    root.mkdir()
    (root / "classes.tif").symlink_to(away / "classes.tif")
    assert layers_of(root) == ()
    (layer,) = [layer for layer in layers_of(map_directory) if layer.id == "classes"]
    (root / "classes.tif").unlink()
    shutil.copy(away / "classes.tif", root / "classes.tif")
    write_layers(root, [layer], "Links")
    with LiveServer(root) as server:
        assert server.request("GET /layers/classes/download").status == 200
        # The file is replaced by a link while the server runs.
        (root / "classes.tif").unlink()
        (root / "classes.tif").symlink_to(away / "classes.tif")
        for line in ("GET /layers/classes/download", "GET /tiles/classes/0/0/0.png", "GET /api/value?lon=1&lat=1"):
            answer = server.request(line)
            assert answer.status == 503
            assert str(away) not in answer.body.decode()
        answer = server.request("POST /analyse", QUESTION, content_type="application/json")
        assert answer.status == 503
    with pytest.raises(InputError, match="a link that leads out"):
        create_app(root)


@pytest.mark.parametrize("source", ["/etc/hostname", "/vsicurl/http://127.0.0.1:{port}/a.tif"])
def test_a_virtual_raster_in_disguise_is_not_followed(tmp_path: Path, source: str) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            with contextlib.suppress(OSError):
                asked.append(listener.accept()[0].recv(100))

        threading.Thread(target=listen, daemon=True).start()
        name = source.format(port=listener.getsockname()[1])
        (tmp_path / "map.tif").write_text(
            '<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>EPSG:4326</SRS><GeoTransform>0,1,0,4,0,-1</GeoTransform>'
            f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>{name}</SourceFilename>'
            "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
        )
        assert layers_of(tmp_path) == ()
        layer = Layer(id="map", title="Map", path="map.tif", kind="continuous", minimum=0, maximum=1)
        write_layers(tmp_path, [layer], "Disguise")
        with pytest.raises(InputError, match="cannot be read as a raster"):
            create_app(tmp_path)
        listener.shutdown(socket.SHUT_RDWR)
    assert asked in ([], [b""])


def test_blocks_that_would_fill_the_memory(
    tmp_path: Path, write_raster: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    write_raster(tmp_path / "map.tif", np.ones((512, 512), np.uint8), 0, 50, 0.01, **blocks)
    layer = Layer(id="map", title="Map", path="map.tif", kind="continuous", minimum=0, maximum=1)
    write_layers(tmp_path, [layer], "Blocks")
    monkeypatch.setattr("swath.serve.suited.MAX_BLOCK_BYTES", 2**17)
    with pytest.raises(InputError, match="blocks of 512 x 512 pixels take 0 MiB"):
        create_app(tmp_path)


def test_idle_handles_are_bounded(tmp_path: Path, write_raster: Writer) -> None:
    handles = Handles(3)
    pools = [
        ReaderPool(write_raster(tmp_path / f"{number}.tif", np.ones((2, 2), np.uint8), 0, 2, 1), handles)
        for number in range(6)
    ]
    for pool in pools:
        with pool.open() as one, pool.open() as other:
            assert one is not other
    assert len(handles) == 3
    with pools[-1].open() as one, pools[-1].open():
        assert len(handles) == 1
        first = one
    with pools[-1].open():
        pools[-1].close()
    with pools[-1].open() as again:
        assert not again.closed
    assert not first.closed or len(handles) <= 3
