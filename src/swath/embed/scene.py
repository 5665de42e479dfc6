"""A whole scene as a map of embeddings: windowed, masked, resumable, in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from swath import cubes, units
from swath.embed.record import EmbeddingRecord
from swath.errors import ConfigError, InputError
from swath.files import make_folder
from swath.models import Encoder
from swath.predict import PredictionReport, check_request, predict_scene
from swath.predict.fields import Fields
from swath.predict.inputs import SceneInputs
from swath.predict.layers import Layer
from swath.predict.window import Window

Storage = Literal["float16", "int8"]
OUTPUT = "embedding"
_TILE_CELLS = {1: 128}
_COARSE_CELLS = 12
"""Patches along one side of a tile: the largest square of pretraining."""
_SAMPLES = 4
_LEVELS = 127
_LOST = -128
_REACH = 0.9995
"""Share of the sampled numbers that 8 bits reach; the rest is clipped."""


@dataclass(frozen=True)
class EmbedReport:
    """What ``embed_scene`` did.

    Args:
        prediction: files, counts, seconds and failures.
        record: what was written beside the file.
    """

    prediction: PredictionReport
    record: EmbeddingRecord


def embed_scene(
    encoder: Encoder,
    cube: xr.Dataset | xr.DataTree,
    out: Path | str,
    *,
    storage: Storage = "float16",
    batch_size: int = 1,
    strict: bool = False,
    resume: bool = True,
    progress: bool = True,
) -> EmbedReport:
    """Embed every pixel (or patch) of a cube and write a COG of D bands, with its record beside it.

    The encoder is restricted to the bands that the cube has. All dates go to it as one series. Memory depends on the
    tile, not on the scene; a stopped run goes on where it was.

    Args:
        encoder: see ``swath.models.load``.
        cube: stored or physical numbers with dates; see docs/architecture.md.
        out: the file.
        storage: ``float16`` (half precision) or ``int8`` with one scale for the file, chosen from a sample of the scene
            so that 0.05 % of the numbers are clipped.
        batch_size: tiles at once.
        strict: a cell gets an embedding only where all used bands are valid (on one date at least); otherwise where any
            is, which is what the encoders were made for.
        resume: take what an earlier run has finished.
        progress: show a progress bar.

    Raises:
        InputError: no band fits, dates are unknown, or values cannot be what they are said to be.
        ConfigError: the storage is unknown.
    """
    _check_storage(storage)
    dataset, restricted = check_cube(encoder, cube)
    stride = restricted.output_stride
    tile = stride * _TILE_CELLS.get(stride, _COARSE_CELLS)
    source = str(dataset.attrs.get("source", ""))
    make_folder(Path(out).parent)
    check_request(restricted, out, tile=tile, overlap=0, outputs=(OUTPUT,), source=source)
    sample = _sample(restricted, dataset, tile)
    scale = _scale(sample, storage)
    extra = None if storage == "float16" else {OUTPUT: _bytes_layer(restricted, scale)}
    report = predict_scene(
        restricted,
        dataset,
        Path(out),
        tile=tile,
        overlap=0,
        batch_size=batch_size,
        outputs=(OUTPUT,),
        strict=strict,
        extra=extra,
        resume=resume,
        progress=progress,
    )
    record = _record_of(restricted, dataset, storage, scale, _rounding(sample, storage, scale))
    record.write(Path(out))
    return EmbedReport(report, record)


def _check_storage(storage: str) -> None:
    if storage not in ("float16", "int8"):
        raise ConfigError(
            f"The storage is '{storage}'", expected="float16 or int8", remedy="float16 is exact to three digits"
        )


def _record_of(
    encoder: Encoder, dataset: xr.Dataset, storage: Storage, scale: float, rounding: float | None
) -> EmbeddingRecord:
    return EmbeddingRecord(
        encoder=encoder.name,
        version=encoder.version,
        dimensions=encoder.embedding_dim,
        stride=encoder.output_stride,
        bands=encoder.inputs["image"].names,
        dates=tuple(str(item) for item in dataset["time"].values.astype("datetime64[s]")),
        storage=storage,
        scale=scale,
        rounding=rounding,
        source=str(dataset.attrs.get("source", "")),
    )


def check_cube(encoder: Encoder, cube: xr.Dataset | xr.DataTree) -> tuple[xr.Dataset, Encoder]:
    """A cube in physical numbers, and the encoder restricted to its bands.

    Raises:
        InputError: the date is unknown, no band fits, or a band has another unit than the encoder takes.
    """
    dataset = cubes.as_cube(cube)
    _check_dates(dataset, encoder)
    dataset = dataset if cubes.is_physical(dataset) else cubes.to_physical(dataset)
    restricted = encoder.using(cubes.bands_of(dataset))
    _check_units(dataset, restricted)
    return dataset, restricted


def _check_dates(cube: xr.Dataset, encoder: Encoder) -> None:
    if not cube.attrs.get("time_known", 1):
        raise InputError(
            f"'{cube.attrs.get('source', 'the cube')}' has no date",
            expected=f"the time of acquisition, because {encoder.name} knows the month",
            remedy="give the time when opening the scene (time=, --time)",
        )


def _check_units(cube: xr.Dataset, encoder: Encoder) -> None:
    """A map is made of numbers as the cube has them, so their units have to be those of the encoder."""
    for wanted, offered, _ in cubes.bands_of(cube).match(encoder.inputs["image"]).rows():
        bands = cubes.bands_of(cube)
        there = bands[bands.position(offered)]
        unit = encoder.inputs["image"][encoder.inputs["image"].position(wanted)].unit
        undeclared = there.kind == "variable" and units.canonical(there.unit) == "1"
        if not undeclared and units.canonical(there.unit) != units.canonical(unit):
            raise InputError(
                f"The band {offered} of '{cube.attrs.get('source', 'the cube')}' has the unit '{there.unit}'",
                expected=f"'{unit}', as {encoder.name} takes {wanted}",
                remedy="convert it first, for example with units.convert",
            )


def _bytes_layer(encoder: Encoder, scale: float) -> Layer:
    """Embeddings as signed bytes."""

    def values(fields: Fields) -> NDArray[np.float32]:
        reach = np.float32(_LEVELS * scale)
        clipped: NDArray[np.float32] = np.clip(fields[OUTPUT], -reach, reach)
        return clipped

    return Layer(OUTPUT, encoder.classes, "int8", _LOST, None, scale, None, values, (OUTPUT,))


def _sample(encoder: Encoder, cube: xr.Dataset, tile: int) -> NDArray[np.float32]:
    """Embeddings ``(N, D)`` of the valid cells of some small windows along both diagonals of a scene."""
    inputs = SceneInputs(cube, encoder.inputs)
    height, width = cube.sizes["y"], cube.sizes["x"]
    size = max(encoder.output_stride, min(tile, 16 * encoder.output_stride, height, width))
    found = []
    chosen = inputs.cube.isel(band=list(inputs.bands))
    for step in range(_SAMPLES):
        share = (step + 0.5) / _SAMPLES
        rows = round(share * max(height - size, 0))
        for columns in {round(share * max(width - size, 0)), round((1 - share) * max(width - size, 0))}:
            window = chosen.isel(y=slice(rows, rows + size), x=slice(columns, columns + size))
            found.append(_window_embeddings(encoder, inputs, window, (rows, columns), size))
    return np.concatenate(found) if found else np.empty((0, encoder.embedding_dim), np.float32)


def _window_embeddings(
    encoder: Encoder, inputs: SceneInputs, window: xr.Dataset, start: tuple[int, int], size: int
) -> NDArray[np.float32]:
    values = np.asarray(window["data"].values, np.float32)
    mask = window["valid"].values
    valid = mask if mask.ndim == 4 else mask[:, None]
    values = np.where(valid & np.isfinite(values), values, np.float32(0))
    missing = ((0, 0), (0, 0), (0, size - values.shape[2]), (0, size - values.shape[3]))
    part = Window(np.pad(values, missing), np.pad(valid, missing), *start)
    with torch.inference_mode():
        embeddings = encoder.encode(inputs.batch([part], [start], size))
    return embeddings.values.permute(0, 2, 3, 1)[embeddings.valid].cpu().numpy()


def _scale(sample: NDArray[np.float32], storage: Storage) -> float:
    """The step of 8 bits that reaches nearly all sampled numbers; 1 for half precision."""
    if storage == "float16":
        return 1.0
    reach = float(np.quantile(np.abs(sample), _REACH)) if sample.size else 1.0
    return max(reach, 1e-6) / _LEVELS


def _rounding(sample: NDArray[np.float32], storage: Storage, scale: float) -> float | None:
    """How much storing changes the sample, relative to its size."""
    if not sample.size:
        return None
    if storage == "float16":
        stored = sample.astype(np.float16).astype(np.float32)
    else:
        stored = np.clip(np.rint(sample / scale), -_LEVELS, _LEVELS).astype(np.float32) * np.float32(scale)
    return math.sqrt(float(np.mean((stored - sample) ** 2)) / max(float(np.mean(sample**2)), 1e-12))
