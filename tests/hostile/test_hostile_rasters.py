"""Damaged and malicious rasters: a sentence or success, no network, no code, nothing allocated for a mere claim."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hostile_seeds import GRID, UTM, Bench, survive, tif, use_labels, use_scene

import swath
from swath import cubes, limits
from swath.cubes.guard import open_raster
from swath.errors import ConfigError, InputError

pytestmark = pytest.mark.filterwarnings("ignore")

BAND = '<VRTRasterBand dataType="Byte" band="1"{attributes}>{inside}</VRTRasterBand>'
VRT = (
    '<VRTDataset rasterXSize="{side}" rasterYSize="{side}"><SRS>EPSG:32633</SRS>'
    "<GeoTransform>500000,10,0,5000000,0,-10</GeoTransform>{bands}</VRTDataset>"
)
SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="{relative}">{name}</SourceFilename><SourceBand>1</SourceBand>'
    "</SimpleSource>"
)


def vrt(path: Path, inside: str, attributes: str = "", side: int = 8) -> Path:
    path.write_text(VRT.format(side=side, bands=BAND.format(attributes=attributes, inside=inside)))
    return path


def test_damaged_rasters(bench: Callable[[str], Bench]) -> None:
    counts = survive(bench("raster"), 80)
    assert min(counts.values()) > 10


@pytest.mark.parametrize(
    "content", [b"", b"text", b"II*\0", b"II*\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n", b"<VRTDataset", b"\0" * 5000]
)
def test_what_is_no_raster(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scene.tif").write_bytes(content)
    for use in (use_scene, use_labels):
        with pytest.raises(InputError, match=r"scene\.tif"):
            use(tmp_path)


def test_a_folder_called_tif_and_a_name_with_a_zero_byte(tmp_path: Path) -> None:
    (tmp_path / "scene.tif").mkdir()
    for path in (tmp_path / "scene.tif", str(tmp_path / "a\0b.tif")):
        with pytest.raises(InputError):
            swath.open(path)
        with pytest.raises(InputError):
            cubes.read_labels(path)


def test_a_format_that_nobody_asked_for_is_not_tried(tmp_path: Path) -> None:
    (tmp_path / "scene.tif").write_text("ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n3 4\n")
    with pytest.raises(InputError, match="first bytes are those of none of the formats"):
        swath.open(tmp_path / "scene.tif")


@pytest.fixture
def visits() -> list[str]:
    return []


@pytest.fixture
def address(visits: list[str]) -> object:
    """A server on this machine that notes who comes."""

    class Note(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Note)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "way",
    [
        "/vsicurl/{}/a.tif",
        "{}/a.tif",
        "WMS:{}/x",
        "&lt;GDAL_WMS&gt;{}&lt;/GDAL_WMS&gt;",
        "/vsizip//vsicurl/{}/a.zip/a.tif",
    ],
)
def test_a_local_vrt_reaches_no_network(tmp_path: Path, address: str, visits: list[str], way: str) -> None:
    name = way.format(address)
    for number, inside in enumerate((SOURCE.format(relative=0, name=name), f'<SimpleSource SourceFilename="{name}"/>')):
        with pytest.raises(InputError, match="does not follow from inside a file"):
            swath.open(vrt(tmp_path / f"{number}.tif", inside))
    vrt(tmp_path / "inner.vrt", SOURCE.format(relative=0, name=name))
    with pytest.raises(InputError, match="does not follow"):
        swath.open(vrt(tmp_path / "outer.vrt", SOURCE.format(relative=1, name="inner.vrt")))
    assert visits == []


def test_a_source_that_is_a_service_description_is_refused(tmp_path: Path, address: str, visits: list[str]) -> None:
    (tmp_path / "wms.tif").write_text(
        f"<GDAL_WMS><Service name='TMS'><ServerUrl>{address}</ServerUrl></Service></GDAL_WMS>"
    )
    with pytest.raises(InputError, match="no raster of a known format"):
        swath.open(vrt(tmp_path / "a.vrt", SOURCE.format(relative=1, name="wms.tif")))
    with pytest.raises(InputError):
        swath.open(tmp_path / "wms.tif")
    assert visits == []


def test_python_in_a_vrt_never_runs(tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", "YES")
    tif(tmp_path, "source.tif")
    code = f"<![CDATA[def f(*a, **k): open({str(canary)!r}, 'w').write('x')]]>"
    inside = (
        f"<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>"
        f"<PixelFunctionCode>{code}</PixelFunctionCode>" + SOURCE.format(relative=1, name="source.tif")
    )
    with pytest.raises(InputError, match="program code"):
        use_scene(vrt(tmp_path / "scene.vrt", inside, ' subClass="VRTDerivedRasterBand"').parent)


def test_vrts_that_nest_without_end(tmp_path: Path) -> None:
    vrt(tmp_path / "a.vrt", SOURCE.format(relative=1, name="b.vrt"))
    vrt(tmp_path / "b.vrt", SOURCE.format(relative=1, name="a.vrt"))
    with pytest.raises(InputError, match="names itself"):
        swath.open(tmp_path / "a.vrt")
    entity = '<!DOCTYPE a [<!ENTITY b "bbbb">]>'
    (tmp_path / "c.vrt").write_text(entity + VRT.format(side=8, bands=""))
    with pytest.raises(InputError, match="entities"):
        swath.open(tmp_path / "c.vrt")


def test_a_good_vrt_still_opens(tmp_path: Path) -> None:
    tif(tmp_path, "source.tif")
    scene = swath.open(vrt(tmp_path / "good.vrt", SOURCE.format(relative=1, name="source.tif")))
    assert next(iter(cubes.nodes_of(scene).values()))["data"].max().compute() == 6


def test_declared_sizes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="declares 1000000000 pixels along one side"):
        swath.open(vrt(tmp_path / "wide.vrt", "", side=10**9))
    sparse = {"driver": "GTiff", "crs": UTM, "transform": GRID, "dtype": "int16", "sparse_ok": True, "bigtiff": "YES"}
    with rasterio.open(tmp_path / "large.tif", "w", width=40_000, height=40_000, count=6, tiled=True, **sparse):
        pass
    node = next(iter(cubes.nodes_of(swath.open(tmp_path / "large.tif")).values()))
    assert node.sizes["y"] == 40_000 and not node["data"][..., -2:, -2:].compute().any()
    with rasterio.open(
        tmp_path / "block.tif",
        "w",
        width=50_000,
        height=50_000,
        count=1,
        compress="deflate",
        blockysize=50_000,
        **sparse,
    ):
        pass
    with pytest.raises(InputError, match="bytes in one stored block"):
        swath.open(tmp_path / "block.tif")
    with rasterio.open(tmp_path / "labels.tif", "w", width=60_000, height=60_000, count=1, tiled=True, **sparse):
        pass
    with pytest.raises(InputError, match="label raster, which is held in memory"):
        cubes.read_labels(tmp_path / "labels.tif")


def test_limits_are_raised_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = tif(tmp_path)
    monkeypatch.setenv("SWATH_MAX_SIDE", "40")
    with pytest.raises(InputError, match="set SWATH_MAX_SIDE=48"):
        swath.open(path)
    monkeypatch.setenv("SWATH_MAX_SIDE", "48")
    open_raster(path).close()
    monkeypatch.setenv("SWATH_MAX_SIDE", "many")
    with pytest.raises(ConfigError, match="SWATH_MAX_SIDE is 'many'"):
        open_raster(path)
    assert limits.BANDS.value == 10_000


def test_a_crs_that_proj_cannot_use(tmp_path: Path) -> None:
    wkt = rasterio.crs.CRS.from_epsg(32633).to_wkt().replace('PARAMETER["false_easting",500000]', 'PARAMETER["x",5]')
    text = VRT.format(side=8, bands=BAND.format(attributes="", inside="")).replace("EPSG:32633", wkt)
    (tmp_path / "a.vrt").write_text(text)
    with pytest.raises(InputError, match=r"a\.vrt"):
        swath.open(tmp_path / "a.vrt")


def test_labels_of_several_blocks_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swath.cubes.raster.CHUNK_ELEMENTS", 48 * 5)
    numbers = np.arange(32 * 48, dtype=np.int16).reshape(1, 32, 48)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", crs=UTM, transform=GRID, width=48, height=32, count=1, dtype="int16",
        nodata=7, blockysize=5,
    ) as file:  # fmt: skip
        file.write(numbers)
    labels = cubes.read_labels(tmp_path / "a.tif").values
    assert (labels == np.where(numbers[0] == 7, -100, numbers[0])).all()
