"""The page of a static site in a real browser, from a host that answers range requests and from one that does not."""

from __future__ import annotations

import functools
import http.server
import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devtools import Browser, find_chromium
from PIL import Image
from pyproj import Transformer

from swath.serve import Layer, LegendEntry, write_layers, write_site
from swath.serve.site import VENDOR_FILES
from swath.serve.site_copies import HALF_WORLD, SIDE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="chromium is not installed (tools/install_chromium.sh)"),
    pytest.mark.skipif(
        not all(path.is_file() for path in VENDOR_FILES.values()),
        reason="the libraries of the page are not fetched (python tools/fetch_maplibre.py)",
    ),
]

FOREST, BARREN, OCEAN = (0x11, 0x77, 0x33), (0xDD, 0xCC, 0x77), (20, 60, 120)
WIDTH, HEIGHT = 960, 600
CENTRE = ((WIDTH + 360) // 2, HEIGHT // 2)  # the panel covers 360 pixels on the left
COLOURS = ("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255")


class PlainHandler(http.server.SimpleHTTPRequestHandler):
    """Python's own handler, which sends whole files; it keeps a record."""

    record: list[tuple[str, int, int]]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        try:
            outputfile.write(content)
        finally:
            self.record.append((self.path, self.status, len(content)))

    def send_response(self, code: int, message: str | None = None) -> None:
        self.status = int(code)
        super().send_response(code, message)


class RangeHandler(PlainHandler):
    """Answers range requests as common hosts of static files do."""

    def send_head(self) -> Any:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            return super().send_head()
        size, start = path.stat().st_size, int(wanted[1])
        stop = min(int(wanted[2]) + 1, size)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Type", "image/tiff")
        self.end_headers()
        part = path.open("rb")
        part.seek(start)
        return _Part(part, stop - start)


class _Part:
    def __init__(self, file: Any, length: int) -> None:
        self.file, self.length = file, length

    def read(self) -> bytes:
        return bytes(self.file.read(self.length))

    def close(self) -> None:
        self.file.close()


class Host:
    """A host of static files on loopback; ``record`` holds address, status and bytes of each answer."""

    def __init__(self, folder: Path, kind: type[PlainHandler]) -> None:
        self.record: list[tuple[str, int, int]] = []
        handler = type("Handler", (kind,), {"record": self.record})
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
        )
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def rasters(self, name: str) -> list[tuple[int, int]]:
        """Status and bytes of the answers with a raster of the page."""
        return [(status, size) for path, status, size in self.record if f"/data/{name}-" in path]

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(WIDTH, HEIGHT) as browser:
        yield browser


@pytest.fixture(scope="module")
def world(map_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the site of the made-up world in a folder below it."""
    root = tmp_path_factory.mktemp("host")
    write_site(map_directory, root / "maps" / "world")
    return root


def clean(browser: Browser, host: Host) -> None:
    """Nothing went wrong, and nothing was asked of anyone else."""
    assert browser.evaluate("window.__errors") == []
    assert browser.complaints == []
    own = (host.url, "data:image/", f"blob:{host.url}")
    assert [sent for sent in browser.requests if not sent.startswith(own)] == []


def show(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.wait("window.__ready === true")


def picture(browser: Browser, tmp_path: Path) -> Image.Image:
    browser.wait("window.__ready === true")
    with Image.open(browser.screenshot(tmp_path / "map.png")) as image:
        return image.convert("RGB")


def near(found: Any, wanted: tuple[int, ...], tolerance: int = 4) -> bool:
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= tolerance


def press(browser: Browser, selector: str) -> None:
    browser.evaluate(f"document.querySelector('{selector}').click()")


@pytest.mark.parametrize("kind", [RangeHandler, PlainHandler])
def test_the_page_shows_the_layers_from_either_host(
    browser: Browser, world: Path, tmp_path: Path, kind: type[PlainHandler]
) -> None:
    with Host(world, kind) as host:
        show(browser, host.url + "maps/world/#map=1/0/0")
        image = picture(browser, tmp_path)
        assert near(image.getpixel((CENTRE[0] - 100, CENTRE[1])), FOREST)
        assert near(image.getpixel((CENTRE[0] + 100, CENTRE[1])), BARREN)
        assert browser.evaluate("document.title") == "A made-up world"
        names = browser.evaluate("[...document.querySelectorAll('.legend li')].map((item) => item.textContent)")
        assert names == ["forest", "barren"]
        assert "Ocean <b>" in browser.evaluate("document.querySelector('#cards').textContent")
        assert "Nobody & <i>all</i>" in browser.evaluate(
            "document.querySelector('.maplibregl-ctrl-attrib').textContent"
        )
        assert {status for status, _ in host.rasters("classes")} == {206 if kind is RangeHandler else 200}
        assert host.rasters("score") == []  # hidden layers are not fetched
        whole = browser.evaluate("document.querySelector('#host').hidden")
        assert whole is (kind is RangeHandler)
        clean(browser, host)


def test_layers_opacity_values_and_downloads(browser: Browser, world: Path, tmp_path: Path) -> None:
    with Host(world, RangeHandler) as host:
        show(browser, host.url + "maps/world/#map=1/0/0")
        browser.click(CENTRE[0] - 100, CENTRE[1])
        browser.wait("document.querySelector('.values dl') !== null")
        assert browser.evaluate("document.querySelector('.values dl').textContent") == "Land coverforest"
        press(browser, "#show-classes")
        assert near(picture(browser, tmp_path).getpixel((CENTRE[0] - 100, CENTRE[1] - 100)), OCEAN)
        press(browser, "#show-classes")
        press(browser, "#show-score")
        browser.wait("document.querySelectorAll('.ramp .bar').length === 1")
        browser.evaluate(
            "(() => { const s = document.querySelector('#fade-classes'); s.value = 0.5;"
            " s.dispatchEvent(new Event('input', { bubbles: true })); })()"
        )
        browser.evaluate("document.querySelector('#map canvas').focus()")
        browser.press("Enter")
        browser.wait("document.querySelector('.values')?.textContent.includes('Score') === true")
        # Half a degree from the middle of the map lies the first cell: 0.5 / 180.
        assert re.search(r"Score-?0\.00277778\sm", browser.evaluate("document.querySelector('.values').textContent"))
        browser.press("Escape")
        browser.wait("document.querySelector('.values') === null")
        address = browser.evaluate("document.querySelector('#get-classes').href")
        assert address == host.url + "maps/world/download/classes.tif"
        assert browser.evaluate("document.querySelector('#get-classes').hasAttribute('download')")
        clean(browser, host)


def mosaic(root: Path, write_raster: Any, crs: str, west: float, north: float, cell: float, parts: int) -> np.ndarray:
    """A raster of eight classes in squares of nine cells, each of parts x parts pixels, with its list of layers."""
    rows, columns = np.mgrid[0:90, 0:70] // 9
    classes = ((rows * 3 + columns * 5) % 8 + 1).astype(np.uint8)
    classes[36:45, 27:36] = 0
    fine = np.kron(classes, np.ones((parts, parts), dtype=np.uint8))
    write_raster(root / "map.tif", fine, west, north, cell / parts, crs=crs, nodata=0)
    legend = tuple(LegendEntry(value=code, name=f"class {code}", colour=COLOURS[code - 1]) for code in range(1, 9))
    write_layers(root, [Layer(id="map", title="Map", path="map.tif", kind="categorical", legend=legend)], "Squares")
    return classes


@pytest.mark.parametrize(
    ("crs", "west", "north", "cell", "zoom", "parts"),
    [
        ("EPSG:32633", 399_000.0, 5_601_000.0, 30.0, 13.3, 1),
        ("EPSG:32633", 399_000.0, 5_601_000.0, 30.0, 13.3, 12),  # from an overview
        ("EPSG:4326", 12.3, 67.2, 0.01, 8.5, 1),
        ("EPSG:32701", 100_000.0, 8_000_000.0, 2000.0, 7.4, 1),  # across the antimeridian
        ("EPSG:3413", -300_000.0, -900_000.0, 4000.0, 5.6, 1),  # polar stereographic
    ],
)
def test_every_colour_stands_where_the_raster_has_it(
    browser: Browser,
    tmp_path: Path,
    write_raster: Any,
    crs: str,
    west: float,
    north: float,
    cell: float,
    zoom: float,
    parts: int,
) -> None:
    classes = mosaic(tmp_path, write_raster, crs, west, north, cell, parts)
    write_site(tmp_path, tmp_path / "site")
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    back = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    longitude, latitude = to_degrees.transform(west + 35 * cell, north - 45 * cell)
    with Host(tmp_path / "site", RangeHandler) as host:
        show(browser, f"{host.url}#map={zoom}/{latitude}/{longitude}")
        image = picture(browser, tmp_path)
        clean(browser, host)
    pixel = 2 * HALF_WORLD / SIDE / 2**zoom
    x0 = longitude / 180 * HALF_WORLD
    y0 = math.atanh(math.sin(math.radians(latitude))) / math.pi * HALF_WORLD
    seen = 0
    for dx in range(-270, 271, 15):
        for dy in range(-260, 261, 15):
            lon = (x0 + dx * pixel) / HALF_WORLD * 180
            lat = math.degrees(math.asin(math.tanh((y0 - dy * pixel) / HALF_WORLD * math.pi)))
            x, y = back.transform(lon, lat)
            column, row = (x - west) / cell, (north - y) / cell
            # Within a cell of the edge of a square, the copy may lie on either side.
            if not (0 <= column < 63 and 0 <= row < 90) or not (1.2 < column % 9 < 7.8 and 1.2 < row % 9 < 7.8):
                continue
            code = int(classes[int(row), int(column)])
            wanted = COLOURS[code - 1] if code else "#dbe4ea"  # the ground of the light theme
            colour = tuple(int(wanted[at : at + 2], 16) for at in (1, 3, 5))
            found = image.getpixel((CENTRE[0] + dx, CENTRE[1] + dy))
            assert near(found, colour), (dx, dy, column, row, code, found)
            seen += 1
    assert seen > 100


def test_numbers_of_every_type_are_read_as_they_are(browser: Browser, tmp_path: Path, write_raster: Any) -> None:
    numbers = {"uint8": 250, "int8": -7, "int16": -12345, "uint16": 65000, "int32": -2_000_000_001}
    numbers |= {"uint32": 4_000_000_001, "int64": 2**40 + 1, "float32": 0.15625, "float64": -1e-9}
    layers = []
    for nodata in (None, 3):
        for dtype, number in numbers.items():
            name = f"{dtype}-{'none' if nodata is None else 'declared'}"
            write_raster(tmp_path / f"{name}.tif", np.full((6, 6), number, dtype=dtype), 10, 50, 0.5, nodata=nodata)
            layers.append(
                Layer(id=name, title=name, path=f"{name}.tif", kind="continuous", minimum=0, maximum=1, visible=False)
            )
    write_layers(tmp_path, layers, "Numbers")
    write_site(tmp_path, tmp_path / "site")
    script = """(async (longitude, latitude) => {
      const { Copy } = await import(new URL('app/copies.js', document.baseURI));
      const { layers } = await (await fetch('site.json')).json();
      return Promise.all(layers.map((layer) => new Copy(layer, () => true).value(longitude, latitude)));
    })"""
    with Host(tmp_path / "site", RangeHandler) as host:
        show(browser, host.url)
        found = browser.evaluate(f"{script}(11.3, 48.2)")
        assert found[: len(numbers)] == pytest.approx(list(numbers.values()), rel=1e-7)
        assert found[len(numbers) :] == pytest.approx(list(numbers.values()), rel=1e-7)
        assert found[6] == 2**40 + 1
        assert set(browser.evaluate(f"{script}(20.0, 48.2)")) == {None}
        assert set(browser.evaluate(f"{script}(13.05, 48.2)")) == {None}
        clean(browser, host)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, write_raster: Any) -> Path:
    """The site of a raster of random numbers, which hardly compress: 12 MB."""
    root = tmp_path_factory.mktemp("large")
    step = 2 * HALF_WORLD / 2**10 / SIDE
    numbers = np.random.default_rng(0).integers(0, 250, (3072, 3072), dtype=np.uint8)
    numbers[:256, :256] = 77
    west, north = -2 * SIDE * step, 4 * SIDE * step
    write_raster(root / "noise.tif", numbers, west, north, step, crs="EPSG:3857", nodata=255)
    layers = [
        Layer(id="noise", title="Noise", path="noise.tif", kind="continuous", minimum=0, maximum=249, colormap="gray")
    ]
    write_layers(root, layers, "Noise")
    write_site(root, root / "site")
    return root / "site"


# The upper left corner of the raster, with 77 on 256 x 256 pixels, in the middle of the view.
CORNER = f"#map=10/{math.degrees(math.asin(math.tanh(4 * 2 * math.pi / 2**10)))}/{-2 / 2**10 * 360}"


def test_only_the_parts_that_are_seen_are_sent(browser: Browser, large: Path, tmp_path: Path) -> None:
    with Host(large, RangeHandler) as host:
        show(browser, host.url + CORNER)
        found = picture(browser, tmp_path).getpixel((CENTRE[0] + 100, CENTRE[1] + 100))
        assert near(found, (79, 79, 79))  # 77 of 249
        answers = host.rasters("noise")
        whole = next((large / "data").glob("noise-*.tif")).stat().st_size
        assert whole > 8e6
        assert {status for status, _ in answers} == {206}
        assert sum(size for _, size in answers) < whole / 4
        browser.click(CENTRE[0] + 100, CENTRE[1] + 100)
        browser.wait("document.querySelector('.values')?.textContent.includes('Noise77') === true")
        clean(browser, host)


def test_a_large_file_is_downloaded_whole_only_when_the_reader_says_so(
    browser: Browser, large: Path, tmp_path: Path
) -> None:
    with Host(large, PlainHandler) as host:
        show(browser, host.url + CORNER)
        browser.wait("document.querySelector('#take-noise') !== null")
        assert "sends whole files" in browser.evaluate("document.querySelector('#host').textContent")
        assert re.search(
            r"Download 1\d\.\d\sMB to draw Noise", browser.evaluate("document.querySelector('#host').textContent")
        )
        assert browser.evaluate("document.querySelector('#toasts').children.length") == 0
        press(browser, "#take-noise")
        browser.wait("window.__ready === true && document.querySelector('#take-noise') === null")
        found = picture(browser, tmp_path).getpixel((CENTRE[0] + 100, CENTRE[1] + 100))
        assert near(found, (79, 79, 79))
        clean(browser, host)


def test_a_phone_sees_the_map_above_the_panel(world: Path, tmp_path: Path) -> None:
    with Browser(390, 780) as browser, Host(world, RangeHandler) as host:
        show(browser, host.url + "maps/world/#map=1/0/0")
        panel = browser.evaluate("document.querySelector('#panel').getBoundingClientRect().top")
        assert panel > 400
        # The centre of the map is the centre of what the panel leaves.
        middle = (780 - round(780 * 0.46)) // 2
        image = picture(browser, tmp_path)
        assert near(image.getpixel((195 - 40, middle)), FOREST)
        assert near(image.getpixel((195 + 40, middle)), BARREN)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        clean(browser, host)


@pytest.mark.parametrize("fault", ["missing", "damaged", "other"])
def test_a_raster_that_cannot_be_read_is_named(
    browser: Browser, map_directory: Path, tmp_path: Path, fault: str
) -> None:
    write_site(map_directory, tmp_path / "site")
    path = next((tmp_path / "site" / "data").glob("classes-*.tif"))
    if fault == "missing":
        path.unlink()
    elif fault == "damaged":
        path.write_bytes(b"\x00" * path.stat().st_size)
    else:
        path.write_bytes(path.read_bytes() + b"more")
    with Host(tmp_path / "site", RangeHandler) as host:
        browser.open(host.url + "#map=1/0/0")
        browser.wait("window.__errors?.length > 0")
        message = browser.evaluate("window.__errors[0]")
        assert message.startswith("Land cover cannot be drawn.")
        assert {"missing": "404", "damaged": "", "other": "has changed"}[fault] in message
        assert browser.evaluate("document.querySelectorAll('#toasts p').length") >= 1
        # The other layers are drawn all the same.
        browser.wait("window.__ready === true")
        assert near(picture(browser, tmp_path).getpixel((CENTRE[0] - 100, CENTRE[1])), OCEAN)


def test_a_site_without_its_description_says_so(browser: Browser, map_directory: Path, tmp_path: Path) -> None:
    write_site(map_directory, tmp_path / "site")
    (tmp_path / "site" / "site.json").unlink()
    with Host(tmp_path / "site", PlainHandler) as host:
        browser.open(host.url)
        browser.wait("window.__errors?.length > 0")
        assert "404 for site.json" in browser.evaluate("window.__errors[0]")
        assert "swath map" in browser.evaluate("document.querySelector('#empty').innerText")
