"""Areas, uncertainty, phones and keyboards in a real browser. Any map error, console error or foreign request fails."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from devtools import Browser, find_chromium
from live import LiveServer
from PIL import Image
from serve_maps import Writer

from swath.serve import Layer, read_layers, write_layers
from swath.serve.run import VENDOR

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="chromium is not installed (tools/install_chromium.sh)"),
    pytest.mark.skipif(
        not (VENDOR / "maplibre-gl.mjs").is_file(),
        reason="MapLibre GL is not fetched (python tools/fetch_maplibre.py)",
    ),
]
WIDTH, HEIGHT, MIDDLE = 960, 640, ((960 + 360) // 2, 320)
VIEW = "#map=1/0/0&flat"
ROWS = (
    "[...document.querySelectorAll('#area-result tbody tr')]"
    ".map((row) => [...row.children].map((cell) => cell.textContent))"
)

# Everything with text of its own against what lies behind it, as WCAG 2.2 counts contrast.
CONTRAST = """
(() => {
  const parts = (colour) => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
    const brush = canvas.getContext('2d'); brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => {
    const v = c[i] / 255; return sum + w * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
  const behind = (element) => {
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.unshift(parts(getComputedStyle(e).backgroundColor));
    // Behind the glass lies a map of any colour: the worst of black and white counts.
    const grounds = [[0, 0, 0, 1], [255, 255, 255, 1]];
    return grounds.map((ground) => chain.slice(2).reduce((under, top) => over(top, under), ground));
  };
  const poor = [];
  for (const element of document.querySelectorAll('#panel *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.disabled || element.tagName === 'OPTION') continue;
    const style = getComputedStyle(element);
    for (const ground of behind(element)) {
      const ink = over(parts(style.color), ground);
      const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5) poor.push(`${element.tagName}.${element.className}#${element.id} ${ratio.toFixed(2)}`);
    }
  }
  return poor;
})()
"""


@pytest.fixture(scope="module")
def server(map_directory: Path, tmp_path_factory: pytest.TempPathFactory, write_raster: Writer) -> Iterator[LiveServer]:
    root = tmp_path_factory.mktemp("web") / "maps"
    shutil.copytree(map_directory, root)
    sure = np.ones((180, 360), np.float32)
    sure[:, 180:] = 0.0  # nothing is sure in the east
    write_raster(root / "classes_confidence.tif", sure, -180, 90, 1)
    told = Layer(
        id="sure",
        title="Confidence",
        path="classes_confidence.tif",
        kind="continuous",
        minimum=0,
        maximum=1,
        visible=False,
        of="classes",
        measure="confidence",
    )
    layers = read_layers(root)
    write_layers(root, [*layers.layers, told], layers.title)
    estimate = {"name": "forest", "mapped_km2": 10.0, "area_km2": 11.0, "low_km2": 9.5, "high_km2": 12.5}
    (root / "classes.areas.json").write_text(json.dumps({"confidence": 0.95, "samples": 64, "classes": [estimate]}))
    with LiveServer(root) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(WIDTH, HEIGHT) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, server: LiveServer) -> Iterator[Browser]:
    """A browser in which nothing may go wrong."""
    browser.resize(WIDTH, HEIGHT)
    address = f"http://127.0.0.1:{server.port}/"
    browser.open(address + VIEW)
    browser.wait("window.__ready === true")
    yield browser
    assert browser.evaluate("window.__errors") == []
    assert browser.complaints == []
    foreign = [sent for sent in browser.requests if not sent.startswith((address, "data:image/", f"blob:{address}"))]
    assert foreign == []
    assert [answer for answer in browser.responses if answer[1] not in (200, 304)] == []


@pytest.fixture
def phone(page: Browser) -> Browser:
    page.resize(390, 844, phone=True)
    page.wait("window.__ready === true")
    return page


def centre(browser: Browser, selector: str) -> tuple[float, float]:
    box = browser.evaluate(
        f"(() => {{ const e = document.querySelector('{selector}'); e.scrollIntoView({{ block: 'center' }});"
        " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    return box[0], box[1]


def result(browser: Browser) -> list[list[str]]:
    browser.wait("document.querySelector('#area-result table') !== null && !document.querySelector('[aria-busy]')")
    return browser.evaluate(ROWS)


def test_a_box_by_mouse(page: Browser) -> None:
    page.click(*centre(page, "#draw-box"))
    before = page.evaluate("location.hash")
    x, y = MIDDLE
    page.drag([(x - 80, y - 40), (x, y), (x + 40, y + 40)])
    rows = result(page)
    assert [row[0] for row in rows] == ["forest", "barren"]
    assert 60 < float(rows[0][2].rstrip("%")) < 73
    assert page.evaluate("location.hash") == before  # the map stayed where it was
    assert page.evaluate("document.querySelectorAll('.values').length") == 0
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#area-result .swatch')).backgroundColor")
        == "rgb(17, 119, 51)"
    )
    page.press("Escape")
    assert page.evaluate("document.querySelector('#area-result').childElementCount") == 0


def test_two_clicks_make_a_box_too(page: Browser) -> None:
    page.click(*centre(page, "#draw-box"))
    x, y = MIDDLE
    page.click(x + 20, y - 40)
    page.click(x + 60, y + 40)
    assert [row[0] for row in result(page)] == ["barren"]


def test_a_polygon_by_mouse(page: Browser) -> None:
    page.click(*centre(page, "#draw-polygon"))
    x, y = MIDDLE
    for place in ((x - 90, y - 30), (x - 20, y - 30), (x - 50, y + 40)):
        page.click(*place)
    assert page.evaluate("document.querySelector('#area-finish').disabled") is False
    page.click(x - 90, y - 30)
    assert [row[0] for row in result(page)] == ["forest"]
    page.evaluate(
        "(() => { const s = document.querySelector('#area-layer'); s.value = 'score';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    page.wait("document.querySelector('#area-result').textContent.includes('Standard deviation')")


def test_a_box_by_keyboard_alone(page: Browser) -> None:
    page.evaluate("(document.querySelector('#area details').open = true, document.querySelector('#west').focus())")
    for text in ("170", "-9.6", "-160", "9.6"):
        page.send("Input.insertText", {"text": text})
        page.press("Tab")
    page.press("Enter")
    rows = result(page)
    assert [(row[0], row[2]) for row in rows] == [("forest", "66.7%"), ("barren", "33.3%")]
    assert (
        page.evaluate("document.querySelector('#east').value") == "-160"
        or page.evaluate("document.querySelector('#east').value") == "200"
    )


def test_a_polygon_by_keyboard_at_the_cross(page: Browser) -> None:
    page.evaluate("document.querySelector('#draw-polygon').focus()")
    page.press("Enter")
    page.evaluate("document.querySelector('#before canvas').focus()")
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight"):
        page.press(key)
        page.wait("window.__ready === true")
        page.press(" ")
    assert page.evaluate("document.querySelector('#area-finish').disabled") is False
    page.press("Backspace")
    assert page.evaluate("document.querySelector('#area-finish').disabled") is True
    page.press(" ")
    page.press("Enter")
    assert result(page)
    page.evaluate("document.querySelector('#draw-box').focus()")
    page.press("Enter")
    page.press("Escape")
    assert page.evaluate("document.querySelector('#draw-box').getAttribute('aria-pressed')") == "false"


def test_what_is_taken_along(page: Browser, tmp_path: Path) -> None:
    page.send("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.evaluate(
        "(() => { for (const [k, v] of Object.entries({ west: -20, south: -10, east: 10, north: 10 }))"
        " document.querySelector('#' + k).value = v;"
        " document.querySelector('#area-form').requestSubmit(); })()"
    )
    result(page)
    page.evaluate("[...document.querySelectorAll('.takes button')].slice(1).forEach((button) => button.click())")
    wanted = ["classes_area.csv", "classes_area.geojson", "classes_area.tif"]
    end = time.monotonic() + 20
    while sorted(path.name for path in tmp_path.iterdir()) != wanted and time.monotonic() < end:
        time.sleep(0.05)
    assert sorted(path.name for path in tmp_path.iterdir()) == wanted
    lines = (tmp_path / wanted[0]).read_text().splitlines()
    assert lines[0] == "value,class,pixels,area_km2,share"
    assert lines[1].startswith("1,forest,400,")
    with rasterio.open(tmp_path / wanted[2]) as source:
        assert source.shape == (20, 30)


def test_uncertainty_fades_the_map(page: Browser, tmp_path: Path) -> None:
    def colour(x: int) -> tuple[int, ...]:
        page.wait("window.__ready === true")
        with Image.open(page.screenshot(tmp_path / "map.png")) as image:
            return image.convert("RGB").getpixel((x, MIDDLE[1]))  # type: ignore[return-value]

    west, east = MIDDLE[0] - 60, MIDDLE[0] + 60
    plain = colour(west), colour(east)
    page.click(*centre(page, "#unsure"))
    page.wait("window.__ready === true")
    page.wait("performance.getEntriesByType('resource').some((entry) => entry.name.includes('fade=true'))")
    assert max(abs(a - b) for a, b in zip(colour(west), plain[0], strict=True)) <= 4
    # An eighth of the colour of the class is left over the ocean.
    ocean = [round(0.12 * a + 0.88 * b) for a, b in zip(plain[1], (20, 60, 120), strict=True)]
    assert max(abs(a - b) for a, b in zip(colour(east), ocean, strict=True)) <= 8


def test_estimates_are_shown(page: Browser) -> None:
    page.evaluate("document.querySelector('#estimates-classes').open = true")
    page.wait("document.querySelector('#estimates-classes table') !== null")
    text = page.evaluate("document.querySelector('#estimates-classes').textContent")
    for words in ("forest", "9.5 to 12.5", "95.0% intervals", "64 reference samples"):
        assert words in text


def test_every_control_is_reached_by_tab_and_seen(page: Browser) -> None:
    wanted = page.evaluate(
        "[...document.querySelectorAll('button, input, select, summary, a[href], canvas')]"
        ".filter((e) => e.checkVisibility() && !e.disabled && !e.closest('details:not([open]) > :not(summary)')).length"
    )
    page.evaluate("(window.__seen = [], document.activeElement.blur())")
    for _ in range(wanted + 4):
        page.press("Tab")
        page.evaluate(
            "(() => { const e = document.activeElement; if (window.__seen.includes(e) || e === document.body) return;"
            " window.__seen.push(e); const s = getComputedStyle(e);"
            " const name = e.ariaLabel || e.title || e.textContent || e.labels?.[0]?.textContent;"
            " if (s.outlineStyle === 'none' && s.boxShadow === 'none')"
            " (window.__dull ??= []).push(e.outerHTML.slice(0, 80));"
            " if (!name?.trim() && e.tagName !== 'CANVAS') (window.__dumb ??= []).push(e.outerHTML.slice(0, 80)); })()"
        )
    assert page.evaluate("window.__seen.length") >= wanted
    assert page.evaluate("window.__dull ?? []") == []
    assert page.evaluate("window.__dumb ?? []") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_can_be_read(page: Browser, theme: str) -> None:
    if theme == "dark":
        page.click(*centre(page, "#theme"))
    page.evaluate("for (const box of document.querySelectorAll('#panel details')) box.open = true; ")
    page.evaluate("document.querySelector('#area-form').requestSubmit !== undefined")
    page.click(*centre(page, "#draw-box"))
    x, y = MIDDLE
    page.drag([(x - 80, y - 40), (x, y), (x + 40, y + 40)])
    result(page)
    page.wait("document.querySelector('#estimates-classes table') !== null")
    assert page.evaluate(CONTRAST) == []


def test_a_phone_shows_a_sheet_and_no_sideways_scroll(phone: Browser) -> None:
    panel = phone.evaluate(
        "(() => { const b = document.querySelector('#panel').getBoundingClientRect();"
        " return [b.left, b.right, b.top, b.bottom]; })()"
    )
    assert panel[:2] == [0, 390]
    assert panel[3] == 844
    assert panel[2] > 844 * 0.5
    phone.evaluate("for (const box of document.querySelectorAll('#panel details')) box.open = true; ")
    phone.wait("document.querySelector('#estimates-classes table') !== null")
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    assert phone.evaluate(
        "(() => { const b = document.querySelector('#body'); return b.scrollWidth <= b.clientWidth; })()"
    )
    small = phone.evaluate(
        "[...document.querySelectorAll('#panel button, #panel input[type=checkbox]')]"
        ".filter((e) => e.checkVisibility()).map((e) => [e.id, e.getBoundingClientRect()])"
        ".filter(([, b]) => Math.min(b.width, b.height) < 22).map(([id]) => id)"
    )
    assert small == []


def test_a_box_by_touch(phone: Browser) -> None:
    phone.evaluate("document.querySelector('#draw-box').click()")
    phone.touch([(120, 200), (180, 230), (260, 280)])
    rows = result(phone)
    assert {row[0] for row in rows} == {"forest", "barren"}
