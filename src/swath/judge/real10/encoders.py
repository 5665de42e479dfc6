"""Published encoders as contenders of real10: how each task is fed to them, and the tasks they cannot be asked.

Presto sees every pixel with its own series, Galileo patches of 2 x 2 pixels (single ones where a side is odd), whose
embedding every pixel of the patch gets. Both know month and place. What was decided before any score was seen:

* Bands go by ``BandSet.match``. Precipitation of the tables is the daily mean that Presto takes; Galileo takes the sum
  of a month, thirty times as much. An index among the bands is left out, as the encoders compute their own.
* Several images of one month of a scene are averaged, since both learned from one step a month. The tables keep the
  steps of their authors.
* A scene without a date counts as one of August, the dry season of the Amazon, where the only one lies.
* Pixels of the scenes have 10 m.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.errors import MissingError
from swath.grids import LatLon
from swath.grids.sphere import METRES_PER_DEGREE
from swath.judge.real10.contenders import MOST_ROWS, Contender, RowLearner, forest, linear_head
from swath.judge.real10.features import Values, raw
from swath.judge.real10.samples import Inputs
from swath.models import GalileoPatches, PatchOptions, PrestoPixels, load
from swath.models.presto import Presto
from swath.sensors import Band, BandSet
from swath.types import Batch, Modality
from swath.weights import entry

FEEDING = 1
"""Raised whenever the way from inputs to an encoder changes: stored features are then made again."""
PATCH, PIXEL_M, UNDATED = 2, 10.0, 7
DAYS = 30.0
_AT_ONCE = 64
PUBLISHED = {"presto": "presto", "galileo": "galileo_nano"}
"""Name of the contender to that of the weights."""
LEFT_OUT: Mapping[str, str] = {
    "polygons_landsat": "radiance of Landsat 5, and the encoders know reflectance of Sentinel-2",
    "vegetation": "NDVI of MODIS alone; the encoders compute their own from bands of Sentinel-2",
    "scenes_rgb": "colour pictures without wavelengths, units, dates or places",
    "planet": "a colour composite of cells of ten kilometres, without reflectance or date",
    "materials": "counts of AVIRIS that are no reflectance, without date or place",
}
"""Task to why neither encoder can be asked; ``BandSet.match`` finds no band of a satellite in any of them."""

Published = PrestoPixels | GalileoPatches


@dataclass(frozen=True, eq=False)
class FrozenEncoder:
    """An encoder whose features of a task are computed once, for all seeds and heads.

    Args:
        encoder: with its weights.
    """

    encoder: Published

    @property
    def version(self) -> str:
        """What features are kept under, together with the task."""
        return f"{self.encoder.version}-fed{FEEDING}"

    @property
    def left_out(self) -> Mapping[str, str]:
        """Tasks that it cannot be asked, and why."""
        return LEFT_OUT

    def features(self, inputs: Inputs, task: str) -> Values:
        """Embeddings ``(N, D, h, w)`` of all samples of a task, NaN where nothing was seen.

        Raises:
            InputError: no band fits, or values cannot be what they are said to be.
        """
        fed = _as_taken(_monthly(inputs), self.encoder.name)
        encoder = self.encoder
        if isinstance(encoder, GalileoPatches):
            even = not any(side % PATCH for side in inputs.values.shape[3:])
            encoder = encoder.with_options(PatchOptions(patch=PATCH if inputs.dense and even else 1))
        encoder = encoder.using(fed.bands)
        _, height, width = inputs.answer_shape
        parts = []
        for batch in _batches(fed):
            found = encoder.encode(batch)
            cells = np.where(found.valid[:, None].numpy(), found.values.numpy(), np.float32(np.nan))
            pixels = cells.repeat(found.stride, axis=2).repeat(found.stride, axis=3)
            parts.append(pixels[:, :, :height, :width])
        return np.concatenate(parts).astype(np.float32)


def encoder_contenders(say: Callable[[str], None] = lambda line: None) -> tuple[Contender, ...]:
    """Both encoders with both heads; one whose weights are not here is left out and told.

    Args:
        say: told what is left out, one line each.
    """
    found: list[Contender] = []
    for name, weights in PUBLISHED.items():
        try:
            found += heads_on(name, FrozenEncoder(from_disk(weights)))
        except MissingError as error:
            say(f"{name}+linear and {name}+forest are left out: {error.given}")
    return tuple(found)


def from_disk(weights: str) -> Published:
    """A published encoder, which is not fetched.

    Raises:
        MissingError: its weights are not here.
    """
    found = load(weights, fetch=False)
    assert isinstance(found, PrestoPixels | GalileoPatches), "PUBLISHED names these alone"
    return found


def heads_on(name: str, frozen: FrozenEncoder) -> tuple[Contender, Contender]:
    """``NAME+linear`` and ``NAME+forest``, with the heads of the baselines."""
    fixed = f"frozen {frozen.version}, {MOST_ROWS} rows"
    return (
        Contender(f"{name}+linear", f"{fixed}, linear", lambda seed: RowLearner(raw, linear_head, seed), frozen),
        Contender(f"{name}+forest", f"{fixed}, forest", lambda seed: RowLearner(raw, forest, seed), frozen),
    )


def shuffled(encoder: Published, seed: int) -> Published:
    """The same network with the numbers of every learned tensor in another order.

    Their sizes stay, what was learned goes. Tables of positions and months, which are not learned, keep their order.
    """
    import torch

    network = copy.deepcopy(encoder.network)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "pos_embed" in name or "month_embed" in name:
                continue
            order = rng.generator(seed, "shuffled weights", name).permutation(tensor.numel())
            tensor.copy_(tensor.flatten()[torch.from_numpy(order)].reshape(tensor.shape))
    if isinstance(network, Presto):
        return PrestoPixels(entry(encoder.name), network, encoder.report)
    return GalileoPatches(entry(encoder.name), network, encoder.report)


def _monthly(inputs: Inputs) -> Inputs:
    """Images of the same month as their mean, where all samples share their dates; months in order of time."""
    months = inputs.month
    if not inputs.dense or not len(inputs) or (months != months[0]).any():
        return inputs
    names = list(dict.fromkeys(months[0].tolist()))
    if len(names) == months.shape[1]:
        return inputs
    sums, counts = [], []
    for month in names:
        same = months[0] == month
        mask = inputs.valid[:, same]
        sums.append(np.where(mask, inputs.values[:, same], np.float32(0)).sum(axis=1))
        counts.append(mask.sum(axis=1))
    count = np.stack(counts, axis=1)
    values = np.stack(sums, axis=1) / np.maximum(count, 1)
    month_of = np.broadcast_to(np.array(names, np.int64), (len(inputs), len(names)))
    return Inputs(values.astype(np.float32), count > 0, inputs.bands, month_of, inputs.lonlat, inputs.dense)


def _as_taken(inputs: Inputs, model: str) -> Inputs:
    """Without indices, and with precipitation over the time that the encoder takes."""
    kept = [place for place, band in enumerate(inputs.bands) if band.kind != "index"]
    values, bands = inputs.values[:, :, kept].copy(), [inputs.bands[place] for place in kept]
    for place, band in enumerate(bands):
        if band.called("total_precipitation"):
            if model == "presto":
                bands[place] = Band("total_precipitation", unit="m d-1")
            else:
                bands[place] = Band("total_precipitation_sum", unit="m month-1")
                values[:, :, place] *= DAYS
    return Inputs(values, inputs.valid[:, :, kept], BandSet(tuple(bands)), inputs.month, inputs.lonlat, inputs.dense)


def _batches(inputs: Inputs) -> Iterator[Batch]:
    """The samples in batches, with dates and places."""
    import torch

    times = _times(inputs.month)
    height, width = inputs.values.shape[3:]
    for start in range(0, len(inputs), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        grid = tuple(_grid(place, height, width) for place in inputs.lonlat[part].tolist())
        image = Modality(
            torch.from_numpy(np.ascontiguousarray(inputs.values[part])),
            torch.from_numpy(np.ascontiguousarray(inputs.valid[part])),
            inputs.bands,
            torch.from_numpy(times[part]),
            grid,
        )
        yield Batch({"image": image}, ids=tuple(str(number) for number in range(start, start + len(grid))))


def _times(month: NDArray[np.int64]) -> NDArray[np.int64]:
    """Seconds ``(N, T)`` of the middle of each month; a month before its predecessor is one of the next year."""
    month = np.where(month < 0, UNDATED, month)
    years = np.cumsum(np.diff(month, axis=1, prepend=month[:, :1]) < 0, axis=1)
    first = (47 + years) * 12 + month  # months from January 1970; the year, 2017, is seen by neither encoder
    days = first.astype("datetime64[M]").astype("datetime64[D]") + np.timedelta64(14, "D")
    return np.asarray(days.astype("datetime64[s]").astype(np.int64))


def _grid(place: list[float], height: int, width: int) -> LatLon:
    """Pixels of ``PIXEL_M`` around a place; a single one has no extent."""
    east, north = place
    step = PIXEL_M / METRES_PER_DEGREE
    down, right = (np.arange(count) - (count - 1) / 2 for count in (height, width))
    lon = east + right * step / np.cos(np.deg2rad(north))
    return LatLon(tuple((north - down * step).tolist()), tuple(lon.tolist()))
