"""Made-up images for the tests of corruptions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy import ndimage

from swath.sensors import Band, BandSet
from swath.types import Batch, Modality


def grid(height: int, width: int) -> GeoBox:
    return GeoBox((height, width), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32632")


def bands(count: int, kind: str = "colour", unit: str = "1", waves: Sequence[float | None] = ()) -> BandSet:
    found = [None] * count if not waves else list(waves)
    return BandSet(tuple(Band(f"b{i}", wavelength_nm=w, kind=kind, unit=unit) for i, w in enumerate(found)))  # type: ignore[arg-type]


def image(values: np.ndarray, valid: np.ndarray | None = None, names: BandSet | None = None) -> Modality:
    """A modality from ``(B, T, C, H, W)``."""
    count, dates, channels, height, width = values.shape
    seen = np.ones((count, 1, 1, height, width), bool) if valid is None else valid
    return Modality(
        torch.from_numpy(values.astype(np.float32)),
        torch.from_numpy(seen),
        names or bands(channels),
        torch.zeros(count, dates, dtype=torch.int64),
        (grid(height, width),) * count,
    )


def batch(
    count: int = 4, size: int = 32, channels: int = 3, dates: int = 1, seed: int = 0, names: BandSet | None = None
) -> Batch:
    """Smooth random images from 0 to 1."""
    stream = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(stream.normal(size=(count, dates, channels, size, size)), (0, 0, 0, 3, 3))
    fields = (fields - fields.min()) / max(float(np.ptp(fields)), 1e-9)
    return Batch({"image": image(fields, names=names)}, ids=tuple(f"sample{place}" for place in range(count)))
