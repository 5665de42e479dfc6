"""Open raster files that others wrote: common formats only, sane sizes only, and no way out of the machine.

GDAL knows some 140 raster formats, few of which are tested against hostile files, and its virtual format (VRT) can name
addresses of the network and Python code to run. A local file opens as one of ``RASTER_DRIVERS``, told by its first
bytes; a VRT is read first, and refused when it or a VRT below it holds Python code, or names anything but local files
of those formats.
Whoever passes an address (``/vsicurl/...``, ``https://...``) has chosen the network, and it is not looked into.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader

from swath import limits
from swath.errors import InputError
from swath.reading import reading, reason

RASTER_DRIVERS = ("GTiff", "VRT", "JP2OpenJPEG", "PNG", "JPEG", "HFA", "ENVI")
"""The formats that open; the environment variable SWATH_RASTER_DRIVERS names further ones, separated by commas."""
_SIGNATURES = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),  # BigTIFF
    (b"MM\0+", "GTiff"),
    (b"\x89PNG\r\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\0\0\0\x0cjP  ", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),  # a code stream without its box
    (b"EHFA_HEADER_TAG", "HFA"),
)
_HEAD = 4096

_NETWORK = re.compile(
    r"(^|[\s:{}\"'=,/])((https?|ftp|s3|gs|az|abfss?|wmt?s|tms|vrt)://|vsi(curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)\b"
    r"|vsi(curl|s3|gs|az|adls|oss|swift)_streaming|vsistdin)",
    re.IGNORECASE,
)
_PLAIN_TEXT = frozenset({"metadata", "srs", "gcplist", "description", "categorynames", "colortable", "unittype"})
_DEEPEST = 8


def open_raster(path: str | Path, *, overview_level: int | None = None) -> DatasetReader:
    """Open a raster for reading, after what could harm was ruled out.

    Args:
        path: a local file, or an address that the user gave.
        overview_level: number of an overview to read instead of the full resolution, 0 for the finest.

    Raises:
        InputError: it is a VRT that names the network, Python code or too many files, or it declares more pixels,
            bands or bytes in one stored block than ``swath.limits`` allow.
        RasterioError: GDAL cannot open it with one of the known formats.
    """
    name = str(path)
    driver = None if is_address(name) else _check_local(Path(name))
    with warnings.catch_warnings():
        # A file without georeferencing gets a sentence of its own from those who need it.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            options = {} if overview_level is None else {"overview_level": overview_level}
            dataset = rasterio.open(name, driver=driver, **options)
        except RasterioError:
            raise
        except Exception as error:  # such as the message of GDAL about a name that is no text
            raise RasterioIOError(reason(error)) from error
    try:
        _check_size(dataset, name)
        with reading(name, expected="a raster whose tags are text"):
            elsewhere = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE", "")
        if not is_address(name) and _NETWORK.search(elsewhere):
            raise _leads_out(name, f"keeps its overviews at '{elsewhere[:80]}'")
    except BaseException:
        dataset.close()
        raise
    return dataset


def is_address(name: str) -> bool:
    """Whether a name is one that GDAL resolves itself, not a local path."""
    return "://" in name or name.startswith("/vsi")


def _check_size(dataset: DatasetReader, name: str) -> None:
    limits.SIDE.check(max(dataset.width, dataset.height), name)
    limits.BANDS.check(dataset.count, name)
    limits.NUMBERS.check(dataset.width * dataset.height * dataset.count, name)
    rows, columns = dataset.block_shapes[0]
    together = dataset.count if str(dataset.profile.get("interleave", "band")).lower() == "pixel" else 1
    limits.BLOCK_BYTES.check(rows * columns * together * _bytes(dataset.dtypes[0]), name)


def _bytes(dtype: str) -> int:
    """Bytes of one number; the types that only GDAL has are named with their bits."""
    bits = re.search(r"\d+$", dtype.removeprefix("complex_"))
    return int(bits.group()) // 8 * (2 if dtype.startswith("complex_") else 1) if bits else 8


def driver_of(path: Path) -> str:
    """GDAL's name of the format of a local file, by its first bytes: no other driver gets to see it.

    Raises:
        RasterioIOError: it is of none of the known formats, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD)
    except (OSError, ValueError) as error:
        raise RasterioIOError(getattr(error, "strerror", None) or str(error)) from error
    found = next((driver for signature, driver in _SIGNATURES if start.startswith(signature)), None)
    if found is not None:
        return found
    if b"<VRTDataset" in start:
        return "VRT"
    if path.with_suffix(".hdr").is_file() or path.with_name(path.name + ".hdr").is_file():
        return "ENVI"
    for name in os.environ.get("SWATH_RASTER_DRIVERS", "").split(","):
        with contextlib.suppress(RasterioError, ValueError):
            if name.strip():
                rasterio.open(path, driver=name.strip()).close()
                return name.strip()
    raise RasterioIOError(f"its first bytes are those of none of the formats {', '.join(RASTER_DRIVERS)}")


def _check_local(path: Path) -> str:
    """Look into a local file if it is a VRT, and into the side file that GDAL would read with it; gives the driver."""
    driver = driver_of(path)
    side = path.with_name(path.name + ".aux.xml")
    if side.is_file():
        limits.TEXT_BYTES.check(side.stat().st_size, side)
        text = side.read_text(encoding="utf-8", errors="replace")
        found = re.search(r"OVERVIEW_FILE[^<]{0,8}<?[^<]*", text)
        if found and _NETWORK.search(found.group()):
            raise _leads_out(str(path), f"has a side file {side.name} that names an address")
    if driver == "VRT":
        _count_sources(path, (), {})
    return driver


def is_vrt(path: Path) -> bool:
    """Whether GDAL would take a local file for a VRT, whatever its name says."""
    try:
        with path.open("rb") as file:
            return b"<VRTDataset" in file.read(_HEAD)
    except OSError:
        return False


def _count_sources(path: Path, above: tuple[Path, ...], known: dict[Path, int]) -> int:
    """Files that reading a VRT may open, nested ones written out; refuses what leads elsewhere.

    Args:
        path: the VRT.
        above: the VRTs that led here.
        known: counts of VRTs seen already.
    """
    here = path.resolve()
    if here in known:
        return known[here]
    if here in above or len(above) >= _DEEPEST:
        raise InputError(
            f"'{path}' is a VRT that names itself, or lies below {len(above)} others",
            expected=f"a VRT of rasters, nested at most {_DEEPEST} times",
            remedy="build it from the rasters themselves, for example with gdalbuildvrt",
        )
    total = 0
    for source in _sources(path):
        # A relative name may be meant from the VRT or from the working folder.
        for place in dict.fromkeys((path.parent / source, source)):
            total += _count_sources(place, (*above, here), known) if is_vrt(place) else 1
            limits.VRT_SOURCES.check(total, path)
            _check_kind(place, path)
    known[here] = total
    return total


def _sources(path: Path) -> Iterator[Path]:
    """The files that a VRT names, relative ones as they are written."""
    limits.TEXT_BYTES.check(path.stat().st_size, path)
    text = path.read_text(encoding="utf-8", errors="replace")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise _not_vrt(path, "it defines entities of its own")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise _not_vrt(path, str(error)) from error
    named: set[str] = set()
    waiting = [root]
    while waiting:
        element = waiting.pop()
        tag = element.tag.lower()
        if tag in _PLAIN_TEXT:
            continue
        waiting.extend(element)
        # GDAL takes attributes for elements of the same name.
        for key, value in ((tag, element.text or ""), *element.attrib.items()):
            named |= _named(path, key.lower(), value.strip())
        if len(named) > limits.VRT_SOURCES.value:
            limits.VRT_SOURCES.check(len(named), path)
    for name in sorted(named):
        if name.startswith("<") or "\0" in name:
            raise _leads_out(str(path), "holds a data set inside a file name")
        yield Path(name)


def _named(path: Path, key: str, value: str) -> set[str]:
    """The file that one element or attribute of a VRT names, if it names one; refuses addresses and program code."""
    if (key == "pixelfunctionlanguage" and value.lower() == "python") or key == "pixelfunctioncode":
        raise _leads_out(str(path), "holds program code (a Python pixel function)")
    if _NETWORK.search(value):
        raise _leads_out(str(path), f"names the address '{value[:80]}'")
    return {value} if value and key in ("sourcefilename", "sourcedataset", "filename", "overviewfile") else set()


def _check_kind(source: Path, path: Path) -> None:
    """A source has to be a local file of a known format; what is absent is GDAL's to complain about."""
    name = str(source)
    if "/vsi" in name or not source.is_file():
        if ":" in source.name or "/vsi" in name:
            raise _leads_out(str(path), f"names '{source.name[:80]}', which is no plain file")
        return
    try:
        driver_of(source)
    except RasterioIOError as error:
        shown = f"names '{source.name[:80]}', which is no raster of a known format"
        raise _leads_out(str(path), shown) from error


def _leads_out(name: str, what: str) -> InputError:
    return InputError(
        f"'{name}' {what}, which swath does not follow from inside a file",
        expected=f"a raster that names local files of the formats {', '.join(RASTER_DRIVERS)} at most",
        remedy="open the address itself if it is trusted, or write the raster to a GeoTIFF with gdal_translate",
    )


def _not_vrt(path: Path, why: str) -> InputError:
    return InputError(
        f"The file '{path}' cannot be read as a raster: it is no sound VRT ({why[:160]})",
        expected="XML as gdalbuildvrt writes it",
        remedy="build it again",
    )
