"""How fast scenes can be read for training on this machine, and what holds it back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import rasterio

from swath.chips.blocks import Layout, Plan
from swath.chips.handles import Handles
from swath.chips.stored import StoredScene
from swath.chips.stream import WindowStream
from swath.cubes.guard import open_raster

MIB = 2**20
BATCH = 16
_CACHE = 64 * MIB


@dataclass(frozen=True)
class CodecSpeed:
    """Decoding of one scene, block after block with one thread.

    Args:
        scene: its name.
        codec: compression and predictor of its heaviest file.
        block: rows and columns that are read at once.
        blocks: blocks read.
        mb_s: MiB of numbers per second.
    """

    scene: str
    codec: str
    block: str
    blocks: int
    mb_s: float


@dataclass(frozen=True)
class IoReport:
    """What ``measure`` found.

    Args:
        codecs: the decode roof of each scene, with one thread.
        random_chips_s: chips per second, windows read one by one in fully random order from open files.
        planned_chips_s: chips per second of a ``WindowStream`` with the same windows.
        planned_mb_s: MiB of blocks that the stream decodes per second.
        assembly_chips_s: chips per second where nothing has to be decoded: numbers to physical values, validity, batch.
        decode_chips_s: chips per second where nothing but decoding has to be done, by the roof and the plan.
        workers: threads that decode.
        limit: what the stream is near, in a sentence.
        plan: blocks, memory and shuffling of the stream (see ``Plan.summary``).
    """

    codecs: tuple[CodecSpeed, ...]
    random_chips_s: float
    planned_chips_s: float
    planned_mb_s: float
    assembly_chips_s: float
    decode_chips_s: float
    workers: int
    limit: str
    plan: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def measure(
    scenes: Sequence[StoredScene], *, size: int, count: int, memory_mb: float, workers: int, seconds: float = 20.0
) -> IoReport:
    """Measure reading of random windows; what the machine does meanwhile counts too.

    Files that were read before lie in the memory of the operating system: a second run tells what decoding costs, a
    first run what the disk costs on top.

    Args:
        scenes: scenes without labels.
        size: rows and columns of a window.
        count: windows.
        memory_mb: MiB for the stream.
        workers: threads for the stream.
        seconds: most time for each of the three measurements.

    Raises:
        InputError: a scene cannot be read, or the scenes hold fewer windows.
        ConfigError: as ``WindowStream``.
    """
    stream = WindowStream(scenes, count, size=size, batch_size=BATCH, seed=0, memory_mb=memory_mb, workers=workers)
    made = stream.plan(0)
    codecs = tuple(
        _codec(scene, layout, seconds / len(scenes)) for scene, layout in zip(scenes, stream.layouts, strict=True)
    )
    assembly = _assembly(scenes[0], size)
    loop = _loop(scenes, made, seconds)
    chips, planned_mb, wall = _planned(stream, made, seconds)
    per_chip = len(made.reads) * made.block_bytes / MIB / len(made.windows)
    decode = workers * float(np.mean([codec.mb_s for codec in codecs])) / per_chip
    planned = chips / wall
    return IoReport(
        codecs=codecs,
        random_chips_s=loop,
        planned_chips_s=planned,
        planned_mb_s=planned_mb / wall,
        assembly_chips_s=assembly,
        decode_chips_s=decode,
        workers=workers,
        limit=_limit(planned, decode, assembly, workers),
        plan=made.summary(),
    )


def _limit(planned: float, decode: float, assembly: float, workers: int) -> str:
    roof, what, hint = min(
        (decode, "decoding", f"more workers than {workers}, if cores are free, or a faster codec such as ZSTD"),
        (assembly, "putting windows together on one core", "smaller windows or fewer bands"),
    )
    share = planned / roof
    near = f"{share:.0%} of the roof of {what} ({roof:.0f} chips/s)"
    return f"{near}: {hint}" if share >= 0.6 else f"{near}; the rest goes to disk, threads or other programs"


def _codec(scene: StoredScene, layout: Layout, seconds: float) -> CodecSpeed:
    """Blocks in order, from the middle of the scene on, where there are more likely data."""
    handles, memory = Handles(), np.empty(layout.block[0] * layout.block[1] * layout.pixel_bytes, np.uint8)
    rows, columns = layout.blocks
    places = [(row, column) for row in range(rows) for column in range(columns)]
    places = places[len(places) // 2 :] + places[: len(places) // 2]
    done, total, began = 0, 0, time.perf_counter()
    with rasterio.Env(GDAL_CACHEMAX=_CACHE):
        for row, column in places[:256]:
            top, left = row * layout.block[0], column * layout.block[1]
            bottom, right = min(top + layout.block[0], layout.shape[0]), min(left + layout.block[1], layout.shape[1])
            arrays = scene.arrays(memory, bottom - top, right - left)
            scene.read(handles, (top, bottom), (left, right), arrays)
            total += sum(array.nbytes for array in arrays)
            done += 1
            if time.perf_counter() - began > seconds:
                break
    wall = time.perf_counter() - began
    handles.close()
    block = f"{layout.block[0]} x {layout.block[1]}"
    return CodecSpeed(scene.name, _name_of_codec(scene), block, done, total / MIB / wall)


def _name_of_codec(scene: StoredScene) -> str:
    heaviest = max(scene.parts, key=lambda part: part.depth * part.dtype.itemsize)
    with open_raster(heaviest.file.path) as dataset:
        compression = str(dataset.profile.get("compress") or "none").lower()
        predictor = dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", "")
    order = "by pixel" if heaviest.file.by_pixel else "by band"
    return f"{compression}{f', predictor {predictor}' if predictor else ''}, {heaviest.dtype.name}, {order}"


def _assembly(scene: StoredScene, size: int) -> float:
    """Chips per second of converting windows that lie in memory."""
    bands = len(scene.bands)
    arrays = scene.arrays(np.ones(size * size * scene.pixel_bytes, np.uint8), size, size)
    values, valid = np.empty((bands, size, size), np.float32), np.empty((bands, size, size), np.bool_)
    scene.convert(arrays, values, valid)
    times = []
    for _ in range(8):
        began = time.perf_counter()
        scene.convert(arrays, values, valid)
        values.copy()  # pieces are copied into their window before
        times.append(time.perf_counter() - began)
    return 1 / max(float(np.median(times)), 1e-9)


def _loop(scenes: Sequence[StoredScene], made: Plan, seconds: float) -> float:
    """Chips per second of reading the same windows one by one in fully random order, files kept open."""
    handles, size = Handles(), made.size
    order = np.random.default_rng(0).permutation(len(made.windows))
    memory = np.empty(size * size * max(scene.pixel_bytes for scene in scenes), np.uint8)
    bands = len(scenes[0].bands)
    values, valid = np.empty((bands, size, size), np.float32), np.empty((bands, size, size), np.bool_)
    done, began = 0, time.perf_counter()
    for scene, row, column in made.windows[order].tolist():
        arrays = scenes[scene].arrays(memory, size, size)
        scenes[scene].read(handles, (row, row + size), (column, column + size), arrays)
        scenes[scene].convert(arrays, values, valid)
        done += 1
        if time.perf_counter() - began > seconds:
            break
    wall = time.perf_counter() - began
    handles.close()
    return done / wall


def _planned(stream: WindowStream, made: Plan, seconds: float) -> tuple[int, float, float]:
    """Chips given out by the stream, MiB decoded for them, and seconds."""
    next(stream.epoch(0))  # imports of torch count on nobody's account
    chips, began = 0, time.perf_counter()
    for batch in islice(stream.epoch(0), len(stream)):
        chips += batch.batch_size
        if time.perf_counter() - began > seconds:
            break
    wall = time.perf_counter() - began
    reads = int(made.before[min(chips, len(made.windows)) - 1]) if chips else 0
    return chips, reads * made.block_bytes / MIB, wall
