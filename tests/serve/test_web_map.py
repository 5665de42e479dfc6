"""The page in a real browser against the real server. Any map error, console error or foreign request fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from devtools import Browser, find_chromium
from PIL import Image

from swath.serve import write_layers
from swath.serve.run import VENDOR

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="chromium is not installed (tools/install_chromium.sh)"),
    pytest.mark.skipif(
        not (VENDOR / "maplibre-gl.mjs").is_file(),
        reason="MapLibre GL is not fetched (python tools/fetch_maplibre.py)",
    ),
]

FOREST, BARREN, OCEAN = (0x11, 0x77, 0x33), (0xDD, 0xCC, 0x77), (20, 60, 120)
# Looking at 0, 0 on the flat map. The panel covers the left, so Greenwich is in the middle of the rest.
WIDTH, HEIGHT, GREENWICH, EQUATOR = 960, 600, (960 + 360) // 2, 300
VIEW = "#map=1/0/0&flat"


class Server:
    """The real server in a process of its own."""

    def __init__(self, directory: Path) -> None:
        script = "import sys; from swath.serve import run; run(sys.argv[1], port=0)"
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(directory)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = next(word for word in self.process.stdout.readline().split() if word.startswith("http://")) + "/"

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=20)


@pytest.fixture(scope="module")
def address(map_directory: Path) -> Iterator[str]:
    server = Server(map_directory)
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(WIDTH, HEIGHT) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Browser]:
    """A browser in which nothing may go wrong."""
    browser.open(address + VIEW)
    browser.wait("window.__ready === true")
    yield browser
    assert browser.evaluate("window.__errors") == []
    assert browser.complaints == []
    foreign = [sent for sent in browser.requests if not sent.startswith((address, "data:image/", f"blob:{address}"))]
    assert foreign == []
    assert [answer for answer in browser.responses if answer[1] not in (200, 304)] == []


def colour(browser: Browser, tmp_path: Path, x: int, y: int) -> tuple[int, ...]:
    browser.wait("window.__ready === true")
    with Image.open(browser.screenshot(tmp_path / "map.png")) as image:
        return image.convert("RGB").getpixel((x, y))  # type: ignore[return-value]


def near(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= 4


def centre(browser: Browser, selector: str) -> tuple[float, float]:
    box = browser.evaluate(
        f"(() => {{ const b = document.querySelector('{selector}').getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    return box[0], box[1]


def test_the_map_shows_the_layers_in_their_colours(page: Browser, tmp_path: Path) -> None:
    assert near(colour(page, tmp_path, GREENWICH - 100, EQUATOR), FOREST)
    assert near(colour(page, tmp_path, GREENWICH + 100, EQUATOR), BARREN)
    tiles = {sent.split("/tiles/")[1].split("/")[0] for sent in page.requests if "/tiles/" in sent}
    assert tiles == {"classes", "ocean"}  # hidden layers are not fetched
    assert any("maplibre-gl-worker.mjs" in sent for sent in page.requests)


def test_the_panel_explains_the_layers(page: Browser) -> None:
    assert page.evaluate("document.querySelector('#title').textContent") == "A made-up world"
    names = page.evaluate("[...document.querySelectorAll('.legend li')].map((item) => item.textContent)")
    assert names == ["forest", "barren"]
    swatch = "getComputedStyle(document.querySelector('.legend i')).backgroundColor"
    assert page.evaluate(swatch) == "rgb(17, 119, 51)"
    tags = page.evaluate("[...document.querySelectorAll('.tag')].map((tag) => tag.textContent)")
    assert tags == ["data: real", "data: simulated", "data: real", "data: real"]
    assert page.evaluate("document.querySelector('.maplibregl-ctrl-scale').textContent").endswith("km")
    # Titles and attributions are text, whatever they contain.
    assert "Ocean <b>" in page.evaluate("document.querySelector('#cards').textContent")
    assert "Nobody & <i>all</i>" in page.evaluate("document.querySelector('.maplibregl-ctrl-attrib').textContent")


def test_unticking_a_layer_uncovers_the_basemap(page: Browser, tmp_path: Path) -> None:
    page.click(*centre(page, "#show-classes"))
    assert near(colour(page, tmp_path, GREENWICH - 100, EQUATOR), OCEAN)
    assert page.evaluate("location.hash").endswith("on=ocean&flat")
    page.click(*centre(page, "#show-score"))
    page.wait("document.querySelectorAll('.ramp .bar').length === 1")
    assert not near(colour(page, tmp_path, GREENWICH + 100, EQUATOR), OCEAN)


def test_opacity_blends_with_the_basemap(page: Browser, tmp_path: Path) -> None:
    page.evaluate(
        "(() => { const s = document.querySelector('#fade-classes'); s.value = 0.5;"
        " s.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    half = tuple(round((a + b) / 2) for a, b in zip(FOREST, OCEAN, strict=True))
    assert near(colour(page, tmp_path, GREENWICH - 100, EQUATOR), half)


def test_a_click_reads_the_values(page: Browser) -> None:
    page.click(GREENWICH - 100, EQUATOR)
    page.wait("document.querySelector('.values dl') !== null")
    text = page.evaluate("document.querySelector('.values').textContent")
    assert "Land coverforest" in text
    assert "Swappedbarren" in text
    assert "° W" in text
    page.click(GREENWICH + 100, EQUATOR)
    page.wait("document.querySelector('.values')?.textContent.includes('Land coverbarren') === true")


def test_enter_reads_the_centre(page: Browser) -> None:
    page.evaluate("document.querySelector('#before canvas').focus()")
    page.press("Enter")
    page.wait("document.querySelector('.values dl') !== null")
    assert "0.00° N" in page.evaluate("document.querySelector('.values').textContent")


def test_swiping_compares_two_layers(page: Browser, tmp_path: Path) -> None:
    page.click(*centre(page, "#compare"))
    page.wait("window.__ready === true && document.querySelectorAll('canvas').length === 2")
    x, _ = centre(page, "#divider")
    assert x == pytest.approx(GREENWICH, abs=2)
    # Left of the divider lies the first layer, right of it the exchanged one: forest on both sides.
    assert near(colour(page, tmp_path, GREENWICH - 100, EQUATOR), FOREST)
    assert near(colour(page, tmp_path, GREENWICH + 100, EQUATOR), FOREST)
    page.drag([(x, 200), (x - 50, 200), (x - 150, 200)])
    assert near(colour(page, tmp_path, GREENWICH - 100, EQUATOR), BARREN)
    page.press("End")
    assert near(colour(page, tmp_path, GREENWICH + 100, EQUATOR), BARREN)
    page.press("ArrowLeft")
    assert page.evaluate("document.querySelector('#divider').getAttribute('aria-valuenow')") == "98"
    page.press("Home")
    assert near(colour(page, tmp_path, GREENWICH - 100, EQUATOR), BARREN)
    page.click(*centre(page, "#explore"))
    assert near(colour(page, tmp_path, GREENWICH + 100, EQUATOR), BARREN)
    assert page.evaluate("document.querySelectorAll('canvas').length") == 1


def test_both_sides_move_together(page: Browser, tmp_path: Path) -> None:
    page.click(*centre(page, "#compare"))
    page.wait("window.__ready === true && document.querySelectorAll('canvas').length === 2")
    # Dragging the right side by 150 pixels moves Greenwich on both sides.
    page.drag([(GREENWICH + 100 + step, 450) for step in (0, 50, 100, 150)])
    assert near(colour(page, tmp_path, GREENWICH + 50, EQUATOR), BARREN)  # right: the exchanged layer, west
    assert near(colour(page, tmp_path, GREENWICH - 50, EQUATOR), FOREST)  # left: the layer itself, west
    assert near(colour(page, tmp_path, GREENWICH + 250, EQUATOR), FOREST)  # right: the exchanged layer, east


def test_the_globe_and_the_dark_theme(page: Browser, tmp_path: Path) -> None:
    page.click(*centre(page, "#globe"))
    page.click(*centre(page, "#theme"))
    assert near(colour(page, tmp_path, GREENWICH - 60, EQUATOR), FOREST)
    assert max(colour(page, tmp_path, WIDTH - 60, HEIGHT - 100)) < 60  # dark sky beside the globe
    page.click(WIDTH - 60, HEIGHT - 120)
    page.click(GREENWICH + 60, EQUATOR)
    page.wait("document.querySelector('.values dl') !== null")
    assert page.evaluate("document.querySelectorAll('.values').length") == 1
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_map_error_reaches_the_user_and_the_tests(browser: Browser, map_directory: Path, tmp_path: Path) -> None:
    shutil.copytree(map_directory, tmp_path / "copy")
    server = Server(tmp_path / "copy")
    try:
        (tmp_path / "copy" / "ocean.tif").write_bytes(b"garbage")
        browser.open(server.url + VIEW)
        browser.wait("window.__errors?.length > 0")
        assert "503" in browser.evaluate("window.__errors[0]")
        assert browser.evaluate("document.querySelectorAll('#toasts p').length") >= 1
    finally:
        server.stop()


def test_a_map_without_layers_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    write_layers(tmp_path, [], "Nothing yet")
    server = Server(tmp_path)
    try:
        browser.open(server.url)
        browser.wait("window.__ready === true")
        assert "swath demo" in browser.evaluate("document.querySelector('#empty').innerText")
        assert browser.complaints == []
    finally:
        server.stop()
