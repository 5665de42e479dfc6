"""How well hidden pixels are made up on held-out samples, in numbers and as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from swath import rng
from swath.errors import ConfigError
from swath.files import write_whole
from swath.learn.fit import BatchLoader, Validate
from swath.learn.objectives.masked import MaskedReconstruction, Restored
from swath.types import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLOURS = ("red", "green", "blue")
_CELL = 1.6  # inches


def masked_validation(loader: BatchLoader, *, seed: int = 0) -> Validate:
    """What ``fit`` calls after each epoch: the error on held-out samples, with the same tokens hidden every time.

    The numbers are ``masked_mse``, the mean squared error over the valid hidden pixels in standard deviations of the
    training set; ``masked_mse_mean``, that of always giving the mean; ``masked_psnr``, the peak signal-to-noise ratio
    ``10 log10(R^2 / mse)`` in dB, where R is the range of the valid pixels of the held-out samples, all bands
    standardised and together. For finer images the same ratio over all valid pixels, ``psnr_2x``, beside that of
    bilinear enlargement of what the network gives, ``psnr_2x_bilinear``, and of the same with the pixels that were seen
    put back, ``psnr_2x_bilinear_seen``. The last is the rival to beat: of seen pixels no loss asks that they be given.
    ``psnr_2x_bicubic_input`` is cubic enlargement of the whole coarse image, of which nothing is hidden then.

    Args:
        loader: held-out batches; ``epoch(0)`` is taken each time.
        seed: of the tokens that are hidden.
    """

    def validate(task: Any, epoch: int) -> dict[str, float]:
        batches = enumerate(loader.epoch(0))
        found = (task.restore(batch, rng.torch_generator(seed, "held-out mask", number)) for number, batch in batches)
        return scores(found)

    return validate


def scores(restored: Iterable[Restored]) -> dict[str, float]:
    """The numbers of ``masked_validation``; NaN where nothing valid was hidden."""
    sums: dict[str, float] = {}
    lowest, highest = math.inf, -math.inf
    for part in restored:
        counted = part.hidden & part.valid
        _add(sums, "masked", part.made, part.original, counted)
        _add(sums, "mean", torch.zeros_like(part.original), part.original, counted)
        for number, (original, made, valid) in enumerate(part.finer):
            name = f"{2 ** (number + 1)}x"
            _add(sums, name, made, original, valid)
            rivals = {"bilinear": part.made, "bilinear_seen": part.pasted(), "bicubic_input": part.original}
            for kind, coarse in rivals.items():
                mode, size = kind.partition("_")[0], original.shape[-2:]
                larger = F.interpolate(coarse.flatten(0, 1), size=size, mode=mode, align_corners=False)
                _add(sums, f"{name}_{kind}", larger.view_as(original), original, valid)
        seen = part.original[part.valid]
        if len(seen):
            lowest, highest = min(lowest, float(seen.min())), max(highest, float(seen.max()))
    error = {name: sums[name] / sums[f"{name} count"] if sums[f"{name} count"] else math.nan for name in sums if
             not name.endswith("count")}  # fmt: skip
    spread = highest - lowest
    found = {"masked_mse": error.pop("masked", math.nan), "masked_mse_mean": error.pop("mean", math.nan)}
    found["masked_psnr"] = _psnr(found["masked_mse"], spread)
    return found | {f"psnr_{name}": _psnr(value, spread) for name, value in error.items()}


def picture(task: MaskedReconstruction, batch: Batch, path: Path | str, *, seed: int = 0, samples: int = 4) -> Path:
    """Draw original, masked and reconstructed images as a PNG, one row per sample; the first date is shown.

    Red, green and blue where the bands have them, else the first band in grey; stretched between the 2nd and 98th
    percentile of the originals. Hidden and invalid pixels are grey in the middle. With finer images two more columns
    show the finest that was made and the one that was there.

    Args:
        task: the objective.
        batch: samples to draw.
        path: file to write.
        seed: of the tokens that are hidden.
        samples: how many to draw at most.

    Raises:
        ConfigError: ``samples`` is below 1, or the batch is empty.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    number = min(samples, batch.batch_size)
    if number < 1:
        raise ConfigError(f"{number} samples are to be drawn", expected="at least 1", remedy="give more samples")
    restored = task.restore(batch, rng.torch_generator(seed, "picture mask"))
    named = [task.bands.position(name) for name in _COLOURS if any(band.called(name) for band in task.bands)]
    channels = named if len(named) == len(_COLOURS) else [0]
    stretch = _stretch(restored, channels)
    visible = restored.valid & ~restored.hidden
    columns = [
        ("original", stretch(restored.original, restored.valid)),
        ("seen", stretch(restored.original, visible)),
        ("made up", stretch(restored.pasted(), restored.valid | restored.hidden)),
    ]
    if restored.finer:
        original, made, valid = restored.finer[-1]
        columns += [("finest made", stretch(made, torch.ones_like(valid))), ("finest there", stretch(original, valid))]
    figure = Figure(figsize=(_CELL * len(columns), _CELL * number + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    cells = figure.subplots(number, len(columns), squeeze=False)
    for column, (title, images) in enumerate(columns):
        cells[0, column].set_title(title, fontsize=8)
        for row in range(number):
            cells[row, column].set_axis_off()
            cells[row, column].imshow(images[row], interpolation="nearest")
    return write_whole(Path(path), lambda part: figure.savefig(part, format="png", dpi=120))


def _add(sums: dict[str, float], name: str, made: Tensor, original: Tensor, counted: Tensor) -> None:
    """Add the squared error over the counted pixels."""
    error = (made[counted].double() - original[counted].double()).square().sum()
    sums[name] = sums.get(name, 0.0) + float(error)
    sums[f"{name} count"] = sums.get(f"{name} count", 0.0) + float(counted.sum())


def _psnr(error: float, spread: float) -> float:
    """Peak signal-to-noise ratio in dB."""
    if not math.isfinite(error) or not math.isfinite(spread):
        return math.nan
    return math.inf if error == 0 else 10 * math.log10(max(spread, 1e-12) ** 2 / error)


def _stretch(restored: Restored, channels: list[int]) -> Any:
    """Function from images ``(B, T, C, H, W)`` and a mask to pictures ``(B, H, W, 3)`` from 0 to 1."""
    shown = restored.original[:, 0, channels].movedim(1, -1)[restored.valid[:, 0, channels].movedim(1, -1)]
    ends = torch.quantile(shown.double()[:: max(1, len(shown) // 100_000)], torch.tensor([0.02, 0.98]).double()) if len(
        shown) else torch.tensor([0.0, 1.0])  # fmt: skip
    low, high = ends.tolist()

    def draw(images: Tensor, known: Tensor) -> NDArray[np.float64]:
        scaled = ((images[:, 0, channels] - low) / max(high - low, 1e-9)).clamp(0, 1)
        scaled = torch.where(known[:, 0, channels], scaled, 0.5).movedim(1, -1)
        return scaled.expand(*scaled.shape[:-1], 3).cpu().double().numpy()

    return draw
