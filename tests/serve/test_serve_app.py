from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from swath.errors import InputError
from swath.serve import create_app, write_layers

STATIC = Path(__file__).parents[2] / "src" / "swath" / "serve" / "static"


@pytest.fixture(scope="module")
def client(map_directory: Path) -> Iterator[TestClient]:
    with TestClient(create_app(map_directory), base_url="http://127.0.0.1") as client:
        yield client


def test_the_page_and_its_files(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for name, kind in (("map.js", "javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")):
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200
        assert kind in answer.headers["content-type"]


def test_modules_of_the_map_library_have_the_type_that_browsers_demand(client: TestClient) -> None:
    if not (STATIC / "vendor" / "maplibre-gl.mjs").is_file():
        pytest.skip("MapLibre GL is not fetched (python tools/fetch_maplibre.py)")
    for name in ("maplibre-gl.mjs", "maplibre-gl-worker.mjs"):
        answer = client.get(f"/static/vendor/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


def test_static_files_are_asked_for_again_but_not_sent_again(client: TestClient) -> None:
    first = client.get("/static/map.js")
    assert first.headers["cache-control"] == "no-cache"
    second = client.get("/static/map.js", headers={"if-none-match": first.headers["etag"]})
    assert second.status_code == 304


def test_the_page_names_nothing_outside_its_origin() -> None:
    for path in (path for path in STATIC.iterdir() if path.is_file()):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path.name
        assert "https://" not in text, path.name
        assert "//cdn" not in text, path.name


@pytest.mark.parametrize("address", ["/", "/static/map.js", "/api/health", "/api/layers", "/tiles/no/0/0/0.png", "/no"])
def test_every_answer_holds_the_browser_to_this_origin(client: TestClient, address: str) -> None:
    headers = client.get(address, headers={"origin": "http://elsewhere.test"}).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert not [name for name in headers if name.startswith("access-control-")]


def test_health(client: TestClient) -> None:
    answer = client.get("/api/health").json()
    assert answer["status"] == "ok"


def test_layers_are_described(client: TestClient) -> None:
    answer = client.get("/api/layers").json()
    assert answer["title"] == "A made-up world"
    by_name = {layer["id"]: layer for layer in answer["layers"]}
    assert list(by_name) == ["classes", "swapped", "score", "ocean"]
    assert by_name["classes"]["legend"][1] == {"value": 2, "name": "barren", "colour": "#ddcc77"}
    assert by_name["classes"]["data"] == "real"
    assert len(by_name["score"]["colours"]) == 9
    assert by_name["score"]["unit"] == "m"
    assert by_name["ocean"]["bounds"] == pytest.approx([-180, -85.051129, 180, 85.051129])
    assert not {"path", "bands"} & set(by_name["classes"])


def test_tilejson_leads_to_a_tile(client: TestClient) -> None:
    answer = client.get("/api/layers/classes/tilejson?size=256").json()
    assert answer["tilejson"] == "3.0.0"
    address = answer["tiles"][0].format(z=0, x=0, y=0)
    assert address.startswith("http://127.0.0.1/tiles/classes/0/0/0.png")
    assert client.get(address).status_code == 200


@pytest.mark.parametrize("size", [256, 512])
def test_tiles(client: TestClient, size: int) -> None:
    answer = client.get(f"/tiles/classes/0/0/0.png?size={size}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (size, size)
        assert image.getpixel((size // 4, size // 2)) == (0x11, 0x77, 0x33, 255)


def test_tiles_are_cached_by_version(client: TestClient) -> None:
    plain = client.get("/tiles/classes/1/0/0.png")
    assert plain.headers["cache-control"] == "no-cache"
    again = client.get("/tiles/classes/1/0/0.png", headers={"if-none-match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    stale = client.get("/tiles/classes/1/0/0.png", headers={"if-none-match": '"old"'})
    assert stale.status_code == 200
    address = client.get("/api/layers").json()["layers"][0]["tiles"].format(z=1, x=0, y=0)
    assert "immutable" in client.get(address).headers["cache-control"]
    assert client.get("/tiles/classes/1/0/0.png?v=0000").headers["cache-control"] == "no-cache"


def test_outside_the_raster_a_tile_is_transparent(tmp_path: Path, map_directory: Path) -> None:
    import numpy as np
    import rasterio
    from rasterio.transform import Affine

    from swath.serve import Layer

    with rasterio.open(
        tmp_path / "a.tif",
        "w",
        driver="GTiff",
        width=2,
        height=2,
        count=1,
        dtype="uint8",
        crs="EPSG:4326",
        transform=Affine(1, 0, 10, 0, -1, 10),
    ) as target:
        target.write(np.ones((1, 2, 2), dtype=np.uint8))
    write_layers(tmp_path, [Layer(id="a", title="A", path="a.tif", kind="continuous", minimum=0, maximum=1)], "T")
    with TestClient(create_app(tmp_path), base_url="http://127.0.0.1") as client:
        answer = client.get("/tiles/a/3/0/0.png")
        assert answer.status_code == 200
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.getextrema()[3] == (0, 0)
        assert client.get("/api/value?lon=-100&lat=0").json()["layers"][0]["value"] is None


@pytest.mark.parametrize(
    ("address", "status", "sentence"),
    [
        ("/tiles/clases/0/0/0.png", 404, "There is no layer 'clases'. Known layers: classes"),
        ("/api/layers/zzz/tilejson", 404, "There is no layer 'zzz'"),
        ("/tiles/classes/1/2/0.png", 404, "at zoom 1, x and y end at 1"),
        ("/tiles/classes/1/0/2.png", 404, "There is no tile 1/0/2"),
        ("/tiles/classes/1/-1/0.png", 422, "'x' cannot be used"),
        ("/tiles/classes/23/0/0.png", 422, "'z' cannot be used"),
        ("/tiles/classes/-1/0/0.png", 422, "'z' cannot be used"),
        ("/tiles/classes/a/0/0.png", 422, "'z' cannot be used"),
        ("/tiles/classes/1/0.5/0.png", 422, "'x' cannot be used"),
        ("/tiles/classes/0/0/0.png?size=257", 422, "'size' cannot be used"),
        ("/tiles/classes/0/0/0.png?size=x", 422, "'size' cannot be used"),
        ("/api/value?lon=0", 422, "'lat' cannot be used"),
        ("/api/value?lon=0&lat=91", 422, "'lat' cannot be used"),
        ("/api/value?lon=nan&lat=0", 422, "'lon' cannot be used"),
        ("/nothing", 404, "There is nothing at this address"),
    ],
)
def test_bad_addresses_get_a_sentence(client: TestClient, address: str, status: int, sentence: str) -> None:
    answer = client.get(address)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_value_of_every_layer(client: TestClient) -> None:
    answer = client.get("/api/value?lon=-100.5&lat=10.5").json()
    rows = {row["id"]: row for row in answer["layers"]}
    assert (rows["classes"]["value"], rows["classes"]["name"]) == (1, "forest")
    assert rows["swapped"]["name"] == "barren"
    assert rows["score"]["value"] == pytest.approx(-100.5 / 180, rel=1e-5)
    assert rows["score"]["unit"] == "m"
    assert rows["ocean"]["value"] == {"band 1": 20, "band 2": 60, "band 3": 120}


@pytest.mark.parametrize("longitude", [-100.5 - 360, -100.5 + 360, -100.5 + 720])
def test_longitudes_of_other_revolutions(client: TestClient, longitude: float) -> None:
    answer = client.get(f"/api/value?lon={longitude}&lat=10.5").json()
    assert answer["lon"] == pytest.approx(-100.5)
    assert answer["layers"][0]["name"] == "forest"


@pytest.mark.parametrize("lat", [-90, 90])
def test_values_at_the_poles(client: TestClient, lat: int) -> None:
    answer = client.get(f"/api/value?lon=180&lat={lat}")
    assert answer.status_code == 200
    assert answer.json()["layers"][3]["value"] == {"band 1": 20, "band 2": 60, "band 3": 120}


@pytest.mark.parametrize(
    "address",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2ferrors.py",
        "/static//etc/passwd",
        "/static/vendor/%2e%2e/%2e%2e/app.py",
        "/tiles/..%2f..%2fetc/0/0/0.png",
        "/tiles/classes.tif/0/0/0.png",
        "/classes.tif",
        "/static/classes.tif",
        "/layers.json",
        "/docs",
        "/openapi.json",
    ],
)
def test_no_address_leads_to_other_files(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert "import" not in answer.text
    assert "root:" not in answer.text


def test_no_answer_names_a_path(map_directory: Path) -> None:
    with TestClient(create_app(map_directory), base_url="http://127.0.0.1") as client:
        addresses = ["/", "/api/layers", "/api/health", "/api/layers/classes/tilejson", "/api/value?lon=1&lat=1"]
        answers = [client.get(address) for address in [*addresses, "/tiles/x/0/0/0.png", "/tiles/classes/9/x/0.png"]]
    for answer in answers:
        text = answer.text + json.dumps(dict(answer.headers))
        assert ".tif" not in text
        assert str(map_directory) not in text
        assert str(STATIC) not in text


def test_a_raster_that_breaks_while_served_is_told_without_its_path(tmp_path: Path, map_directory: Path) -> None:
    shutil.copytree(map_directory, tmp_path / "copy")
    broken = tmp_path / "copy" / "classes.tif"
    with TestClient(create_app(tmp_path / "copy"), base_url="http://127.0.0.1") as client:
        broken.write_bytes(b"garbage")
        for address in ("/tiles/classes/2/1/1.png", "/api/value?lon=0&lat=0"):
            answer = client.get(address)
            assert answer.status_code == 503
            assert "'classes' cannot be read at the moment" in answer.json()["error"]
            assert ".tif" not in answer.text
        broken.unlink()
        for address in ("/tiles/classes/2/1/1.png", "/api/layers"):
            answer = client.get(address)
            assert answer.status_code == 503
            assert ".tif" not in answer.text
        assert client.get("/tiles/swapped/2/1/1.png").status_code == 200


def test_an_empty_map_has_a_page(tmp_path: Path) -> None:
    write_layers(tmp_path, [], "Nothing yet")
    with TestClient(create_app(tmp_path), base_url="http://127.0.0.1") as client:
        assert client.get("/").status_code == 200
        assert client.get("/api/layers").json() == {"title": "Nothing yet", "layers": []}
        assert client.get("/api/value?lon=0&lat=0").json()["layers"] == []
        assert client.get("/tiles/a/0/0/0.png").json() == {"error": "There is no layer 'a'."}


def test_no_directory_no_app(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no directory"):
        create_app(tmp_path / "absent")
