"""One turn of the race of chips: cut the same windows, by one way, in this process; prints a line of JSON.

Files lie in a folder, or on the range server over it. The clock starts after all imports and after a window of another
scene was cut by the same way, so that nobody pays for imports or codecs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers.chips_data import BANDS, CORNER, CRS, GSD, NODATA, Place, item_of

GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif",
    "CPL_VSIL_CURL_USE_HEAD": "NO",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": "67108864",
    "CPL_VSIL_CURL_CACHE_SIZE": "536870912",
    "GDAL_CACHEMAX": "1024",
    "GDAL_NUM_THREADS": "ALL_CPUS",
}
"""What the documents of GDAL, rasterio and TiTiler advise for COGs on servers, with caches that hold the whole race."""


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Args:
        folder: data of the race.
        root: the folder once more, or the address of the server over it.
        kind: ``race`` or ``warm``.
        places: the windows.
        window: their rows and columns.
        index: where swath keeps headers.
        workers: threads that wait for servers.
    """

    folder: Path
    root: str
    kind: str
    places: list[Place]
    window: int
    index: Path
    workers: int

    @property
    def far(self) -> bool:
        """Whether the files lie on a server."""
        return self.root.startswith("http")

    @property
    def catalogue(self) -> Path:
        """Catalogue whose items name the files where they are to be read."""
        return self.folder / "far" / self.kind if self.far else self.folder / self.kind

    def files(self, scene: int) -> list[str]:
        """Path or address of each band of a scene."""
        return [f"{self.root}/{item_of(self.kind, scene)}/{band}.tif" for band in BANDS]

    def at(self, number: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of a window."""
        _, row, column = self.places[number]
        return (row, row + self.window), (column, column + self.window)

    def tasks(self) -> list[tuple[str, int, list[int]]]:
        """For each file its name, its band, and the numbers of its windows."""
        return [(n, band, at) for scene, at in self.of_scene().items() for band, n in enumerate(self.files(scene))]

    def of_scene(self) -> dict[int, list[int]]:
        """Numbers of the windows of each scene."""
        found: dict[int, list[int]] = {}
        for number, (scene, _, _) in enumerate(self.places):
            found.setdefault(scene, []).append(number)
        return found

    def empty(self) -> NDArray[np.int16]:
        """Room for all chips ``(chip, band, y, x)``."""
        return np.empty((len(self.places), len(BANDS), self.window, self.window), np.int16)


def by_swath(job: Job) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """``cubes.remote.read_windows``: all windows of all files in one plan."""
    from swath.cubes import remote

    connection, tasks, out = remote.Connection(), job.tasks(), job.empty()
    files = remote.probe_all([name for name, _, _ in tasks], connection, remote.HeaderIndex(job.index))
    read = remote.read_windows(files, [[job.at(number) for number in numbers] for _, _, numbers in tasks])
    for (_, band, numbers), chips in zip(tasks, read, strict=True):
        for number, chip in zip(numbers, chips, strict=True):
            out[number, band] = chip[0]
    return out, connection.report.counts() if job.far else {}


def by_archive(job: Job) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """``chips.archive.from_rasters``: from label rasters to a chip set on disk, which is read back off the clock."""
    from swath.chips import archive
    from swath.cubes import Legend, remote

    before = remote.shared_connection().report.counts()
    began = time.perf_counter()
    request = archive.Request(
        size=job.window, steps=1, time_series=False, tolerance_days=1.0, source="hls", max_cloud=100.0
    )
    labels = job.folder / job.kind / "labels"
    records = archive.read_records(labels / "labels.csv", labels)
    with tempfile.TemporaryDirectory() as out:
        legend = Legend.of("no", "yes")
        archive.from_rasters(job.catalogue, records, Path(out) / "set", request=request, legend=legend)
        wall = time.perf_counter() - began
        chips = job.empty()
        for path in sorted((Path(out) / "set" / "images").glob("*.tif")):
            chips[int(path.stem.split("_")[0][1:])] = stored(path)
    after = remote.shared_connection().report.counts() if job.far else {}
    return chips, {name: count - before[name] for name, count in after.items()} | {"wall_s": wall}


def stored(path: Path) -> NDArray[np.int16]:
    """The numbers of a chip of a set, no data where its mask says so."""
    import rasterio

    with rasterio.open(path) as dataset:
        beside = path.parent.parent / "valid" / path.name
        values = dataset.read()
        valid = dataset.read_masks() > 0
    if beside.is_file():
        with rasterio.open(beside) as dataset:
            valid = dataset.read() > 0
    return np.where(valid, values, NODATA).astype(np.int16)


def by_rasterio(job: Job, workers: int = 1) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """A loop over files and windows; with workers, several files at the same time."""
    import rasterio
    from rasterio.windows import Window

    out = job.empty()

    def cut(task: tuple[str, int, list[int]]) -> None:
        name, band, numbers = task
        with rasterio.open(name) as dataset:
            for number in numbers:
                (top, bottom), (left, right) = job.at(number)
                out[number, band] = dataset.read(1, window=Window(left, top, right - left, bottom - top))

    if workers < 2:
        for task in job.tasks():
            cut(task)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(cut, job.tasks()))
    return out, {}


def by_rasterio_threads(job: Job) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """``by_rasterio`` with a file a thread."""
    return by_rasterio(job, job.workers)


def by_odc(job: Job, *, lazy: bool = False) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """``odc.stac.load`` chip by chip: with a pool, or lazily with all chips in one computation of dask."""
    import odc.stac
    import pystac
    from dask.base import compute
    from odc.geo.geobox import GeoBox
    from rasterio.transform import Affine

    odc.stac.configure_rio(cloud_defaults=True)  # and GDAL, which are in the environment
    held = {}
    for scene in job.of_scene():
        item = Path(item_of(str(job.catalogue), scene))
        held[scene] = pystac.Item.from_file(str(item / f"{item.name}.json"))
        held[scene].make_asset_hrefs_absolute()
    found, out = [], job.empty()
    for scene, row, column in job.places:
        corner = Affine(GSD, 0, CORNER[0] + column * GSD, 0, -GSD, CORNER[1] - row * GSD)
        box = GeoBox((job.window, job.window), corner, CRS)
        how: dict[str, Any] = {"chunks": {}} if lazy else {"pool": job.workers}
        found.append(odc.stac.load([held[scene]], list(BANDS), geobox=box, dtype="int16", nodata=NODATA, **how))
    if lazy:
        found = list(compute(*found, scheduler="threads", num_workers=job.workers))
    for number, chip in enumerate(found):
        for band, name in enumerate(BANDS):
            out[number, band] = chip[name].values[0]
    return out, {}


def by_odc_dask(job: Job) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """``by_odc`` with dask."""
    return by_odc(job, lazy=True)


def store_of(job: Job) -> tuple[Any, Callable[[str], str]]:
    """A store of obstore, and how it names a file."""
    from obstore.store import HTTPStore, LocalStore

    if job.far:
        made: Any = HTTPStore.from_url(job.root, client_options={"allow_http": True})
    else:
        made = LocalStore(job.root)
    return made, lambda name: name.removeprefix(job.root).lstrip("/")


def by_async_geotiff(job: Job) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """``GeoTIFF.read(window=...)`` for all chips and bands at once."""
    from async_geotiff import GeoTIFF, Window

    store, name_of = store_of(job)
    out = job.empty()

    async def cut(name: str, band: int, numbers: list[int]) -> None:
        file = await GeoTIFF.open(name_of(name), store=store)

        async def one(number: int) -> None:
            (top, _), (left, _) = job.at(number)
            window = Window(col_off=left, row_off=top, width=job.window, height=job.window)
            out[number, band] = (await file.read(window=window)).data[0]

        await asyncio.gather(*[one(number) for number in numbers])

    async def all_of_them() -> None:
        await asyncio.gather(*[cut(*task) for task in job.tasks()])

    asyncio.run(all_of_them())
    return out, {}


def by_async_tiff(job: Job) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """async-tiff by hand: of every file the distinct tiles of all windows in one call, decoded by its pool."""
    from async_tiff import TIFF

    store, name_of = store_of(job)
    out = job.empty()

    async def cut(name: str, band: int, numbers: list[int]) -> None:
        image = (await TIFF.open(name_of(name), store=store)).ifds[0]
        side, wanted = int(image.tile_width), set()
        for number in numbers:
            down, along = (range(first // side, -(-last // side)) for first, last in job.at(number))
            wanted |= {(x, y) for y in down for x in along}
        keys = sorted(wanted, key=lambda key: (key[1], key[0]))
        tiles = await image.fetch_tiles(keys)
        for (x, y), block in zip(keys, await asyncio.gather(*[tile.decode() for tile in tiles]), strict=True):
            put(job, np.asarray(block)[..., 0], (y * side, x * side), out[:, band], numbers)

    async def all_of_them() -> None:
        await asyncio.gather(*[cut(*task) for task in job.tasks()])

    asyncio.run(all_of_them())
    return out, {}


def put(job: Job, block: NDArray[Any], corner: tuple[int, int], out: NDArray[np.int16], numbers: list[int]) -> None:
    """Copy a block into the chips that it touches."""
    for number in numbers:
        (top, bottom), (left, right) = job.at(number)
        a, b = max(top, corner[0]), min(bottom, corner[0] + block.shape[0])
        c, d = max(left, corner[1]), min(right, corner[1] + block.shape[1])
        if a < b and c < d:
            part = block[a - corner[0] : b - corner[0], c - corner[1] : d - corner[1]]
            out[number, a - top : b - top, c - left : d - left] = part


def by_roof(job: Job, threads: int = 2) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """The codec alone: all needed blocks, once each, from memory, by async-tiff; and how many MB they are."""
    from swath.cubes.remote.index import Header
    from swath.cubes.remote.layout import Blocks
    from swath.cubes.remote.plan import blocks_of

    tasks = []
    for name, _, numbers in replace(job, root=str(job.folder)).tasks():
        content = Path(name).read_bytes()
        blocks = Blocks(Header(name, len(content), "", ((0, content),)))
        needed = blocks_of([job.at(number) for number in numbers], blocks.data.block, blocks.data.across)
        for part in np.array_split(needed, 4):
            ends = [(int(blocks.data.starts[i]), int(blocks.data.lengths[i])) for i in part]
            tasks.append((blocks, part.tolist(), [content[a : a + n] for a, n in ends]))
    busy, began = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        decoded = pool.map(lambda task: sum(b.nbytes for b in task[0].decode(task[0].data, task[1], task[2])), tasks)
        total = sum(decoded)
    wall = time.perf_counter() - began
    count = sum(len(task[1]) for task in tasks)
    cpu = time.process_time() - busy
    return job.empty()[:0], {"wall_s": wall, "cpu_s": cpu, "decoded_mb": total / 1e6, "blocks": count}


def by_roof_alone(job: Job) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """``by_roof`` with one thread."""
    return by_roof(job, 1)


WAYS: dict[str, Callable[[Job], tuple[NDArray[np.int16], dict[str, Any]]]] = {
    "swath": by_swath,
    "swath_archive": by_archive,
    "rasterio": by_rasterio,
    "rasterio_threads": by_rasterio_threads,
    "odc_stac": by_odc,
    "odc_stac_dask": by_odc_dask,
    "async_geotiff": by_async_geotiff,
    "async_tiff": by_async_tiff,
    "roof_1": by_roof_alone,
    "roof_2": by_roof,
}


def counted(job: Job) -> dict[str, int]:
    """Requests and bytes that the server saw since this was last asked."""
    if not job.far:
        return {}
    with urllib.request.urlopen(f"{job.root}/count") as answer:
        found: dict[str, int] = json.loads(answer.read())
    return found


def digest(chips: NDArray[np.int16]) -> dict[str, Any]:
    """What tells whether two ways cut the same: a hash over valid numbers and validity, and the count of valid ones."""
    valid = chips != NODATA
    told = hashlib.sha256(np.where(valid, chips, 0).tobytes() + np.packbits(valid).tobytes())
    return {"chips": len(chips), "valid": int(valid.sum()), "digest": told.hexdigest()[:16]}


def turn(way: str, folder: Path, root: str, index: Path, workers: int) -> dict[str, Any]:
    """Warm up, cut all windows by one way, and tell.

    Args:
        way: one of ``WAYS``.
        folder: data of the race.
        root: the folder once more, or the address of the server over it.
        index: where swath keeps headers.
        workers: threads that wait for servers.
    """
    window = json.loads((folder / "sizes.json").read_text())["window"]
    jobs = []
    for kind in ("warm", "race"):
        places = [tuple(place) for place in json.loads((folder / kind / "windows.json").read_text())]
        jobs.append(Job(folder, root, kind, places, window, index / kind, workers))
    for job in jobs:
        os.environ["SWATH_CACHE"] = str(job.index)
        counted(job)
        busy, began = time.process_time(), time.perf_counter()
        chips, facts = WAYS[way](job)
        row = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - busy} | facts
    row |= {f"server_{name}": number for name, number in counted(job).items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"way": way, **row, **digest(chips), "peak_rss_mb": round(peak)}
