"""Who makes up a hidden date of a series, and how well: a masked autoencoder, a U-Net, and what needs no training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swath.learn.objectives import MaskedReconstruction
from swath.learn.task import evaluation
from swath.metrics.image import Ssim
from swath.nn import Normalise, UNet
from swath.nn.masked_autoencoder import MaskedAutoencoder
from swath.nn.masking import draw_noise, frame_mask
from swath.systems.eo import _prithvi_gaps as gaps
from swath.types import Batch

RANGE = 4.0
"""Data range of SSIM in standard deviations of a band over the places that are learned from."""
SIMPLE = ("nearest", "mean", "interpolated")
Fill = Callable[[Batch, Tensor], NDArray[np.float32]]
"""From a batch and its hidden dates, bool ``(B, T)``, to the hidden images ``(B, C, H, W)``, standardised."""


class GapUNet(nn.Module):
    """A U-Net that makes up one hidden date of a series: a ``Trainable`` for ``fit``.

    It sees all dates, 0 where hidden, and one channel a date that is 1 where the date is hidden. While training it
    hides the dates that ``MaskedReconstruction`` with the kind ``dates`` hides with the same seed.

    Args:
        network: from ``T (C + 1)`` channels to C.
        normalise: statistics of the C bands.
    """

    def __init__(self, network: UNet, normalise: Normalise) -> None:
        super().__init__()
        self.network, self.normalise = network, normalise

    def forward(self, values: Tensor, hidden: Tensor) -> Tensor:
        """The hidden images ``(B, C, H, W)`` from standardised ``(B, T, C, H, W)`` and bool ``(B, T)``."""
        marks = hidden[:, :, None, None, None]
        seen = torch.where(marks, 0.0, values)
        marked = torch.cat([seen, marks.expand_as(values[:, :, :1]).to(values)], dim=2)
        made: Tensor = self.network(marked.flatten(1, 2))
        return made

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """``loss_sum`` and ``count``: squared error, mean over each hidden image, summed over samples."""
        values = standardised(self.normalise, batch)
        hidden = frame_mask(draw_noise(rng, *values.shape[:2]), 1, 1).hidden
        error = (self(values, hidden) - values[hidden]).square().mean(dim=(1, 2, 3))
        return {"loss_sum": error.sum(), "count": torch.tensor(len(error))}

    def record(self) -> dict[str, Any]:
        """What fixes the network, for the checkpoint that ``fit`` writes."""
        return {"task": "gap filling", "architecture": {"name": "gap_unet", "arguments": asdict(self.network.spec)}}

    def fill(self, batch: Batch, hidden: Tensor) -> NDArray[np.float32]:
        """The hidden images; see ``Fill``."""
        with evaluation(self), torch.inference_mode():
            made: NDArray[np.float32] = self(standardised(self.normalise, batch), hidden).numpy()
        return made


@dataclass(frozen=True)
class NetworkFill:
    """A masked autoencoder of series as a ``Fill``.

    Args:
        task: the network.
    """

    task: MaskedReconstruction

    def __call__(self, batch: Batch, hidden: Tensor) -> NDArray[np.float32]:
        """The hidden images; see ``Fill``."""
        model = self.task.model
        assert isinstance(model, MaskedAutoencoder)  # made so by the system
        values = batch.inputs["image"].values
        _, rows, columns = model.spec.grid(values.shape[1], *values.shape[-2:])
        # The date with the largest noise is hidden: that of the wanted one is 1, the others' is 0.
        made = self.task.restore(batch, frame_mask(hidden.float(), rows * columns, 1)).made
        found: NDArray[np.float32] = made[hidden].numpy()
        return found


def simple_fills(normalise: Normalise) -> dict[str, Fill]:
    """Nearest date, mean of the others and linear interpolation in time."""

    def fill_by(name: str) -> Fill:
        def fill(batch: Batch, hidden: Tensor) -> NDArray[np.float32]:
            values, time = standardised(normalise, batch).numpy(), batch.inputs["image"].time.numpy()
            return np.asarray(gaps.simple(values, time, hidden.numpy())[name], np.float32)

        return fill

    return {name: fill_by(name) for name in SIMPLE}


def scores(
    fills: Mapping[str, Fill], samples: Sequence[Batch], normalise: Normalise, seed: int
) -> dict[str, dict[str, float]]:
    """``mse`` in standard deviations, squared, and ``ssim`` with the range ``RANGE``, on the same hidden dates for all.

    Args:
        fills: name to who fills.
        samples: batches of series.
        normalise: statistics of the bands.
        seed: of the hidden dates.
    """
    found = {}
    for name, fill in fills.items():
        similar, total, count = Ssim(RANGE), 0.0, 0
        for number, batch in enumerate(samples):
            hidden = gaps.hidden_dates(batch, 1, seed, number).hidden
            target = standardised(normalise, batch)[hidden].numpy()
            made = fill(batch, hidden)
            total += float(np.square(made - target, dtype=np.float64).sum())
            count += target.size
            similar.update(target, made)
        found[name] = {"mse": total / count, "ssim": similar.compute()["ssim"].value}
    return found


def standardised(normalise: Normalise, batch: Batch) -> Tensor:
    """Values ``(B, T, C, H, W)`` of the series in standard deviations."""
    image = batch.inputs["image"]
    values: Tensor = normalise(image.values, image.valid)
    return values
