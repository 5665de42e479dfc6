"""What a corruption of appearance sees: one modality on the unit scale, and the random streams of its samples.

A corruption writes its result into ``View.values``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from swath import rng
from swath.sensors import BandSet

if TYPE_CHECKING:
    from torch import Tensor

VISIBLE_UM = 0.55
_STEPS = 65_536


@dataclass(frozen=True, eq=False)
class View:
    """One modality on the unit scale.

    Args:
        values: float32 ``(B, T, C, H, W)``, 0 to 1 is the range of the band; the result is written here.
        valid: bool, broadcastable to ``values``.
        bands: C bands.
        ids: B names.
        seed: seed of all streams.
        corruption: canonical name, part of the names of the streams.
        modality: name of the modality.
    """

    values: Tensor
    valid: Tensor
    bands: BandSet
    ids: tuple[str, ...]
    seed: int
    corruption: str
    modality: str

    @cached_property
    def whole(self) -> bool:
        """Whether every pixel is valid."""
        return bool(self.valid.numpy().all())

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """B, T, C, H, W."""
        count, dates, bands, height, width = self.values.shape
        return count, dates, bands, height, width

    def streams(self, *, shared: bool = False) -> Iterator[np.random.Generator]:
        """One stream per sample, the same for every severity, so that one and the same field grows with it.

        Args:
            shared: the same stream for all modalities of a sample, for what lies between the ground and all sensors.
        """
        for name in self.ids:
            yield rng.generator(self.seed, f"corruption/{self.corruption}", name, *(() if shared else (self.modality,)))

    def wavelengths_um(self) -> Tensor:
        """Float32 ``(C, 1, 1)``; a band without a wavelength counts as 0.55 micrometres."""
        found = [VISIBLE_UM if band.wavelength_nm is None else band.wavelength_nm / 1000 for band in self.bands]
        return torch.tensor(found, dtype=torch.float32).view(-1, 1, 1)


def words(stream: np.random.Generator, count: int) -> NDArray[np.uint16]:
    """Uniform 16-bit numbers, four from each raw number of the stream."""
    # The same numbers as random_raw gives, drawn without holding the interpreter lock.
    raw = stream.integers(0, 2**64 - 1, -(-count // 4), np.uint64, endpoint=True)
    return raw.astype("<u8", copy=False).view("<u2")[:count]


def _normal_table() -> NDArray[np.float32]:
    quantiles = ndtri((np.arange(_STEPS) + 0.5) / _STEPS)
    return np.asarray(quantiles / quantiles.std(), np.float32)


NORMAL = _normal_table()
"""65,536 quantiles of the normal distribution with standard deviation 1, ending at 4.3: drawing from them is several
times faster than drawing normal numbers, and no image can tell."""
EXPONENTIAL = np.asarray(-np.log1p(-(np.arange(_STEPS) + 0.5) / _STEPS), np.float32)
"""The same for the exponential distribution with mean 1."""
