"""Weights, images, dates and noise by formula, the same in every environment: numpy and the standard library only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One network and one input.

    Args:
        name: prefix of its golden tensors.
        model: arguments of the masked autoencoder, by the names of the published code.
        image: rows and columns of the input.
        dates: dates of the input.
        samples: samples of the input.
        about: whether time and place are given.
        ratio: share of hidden tokens.
        gradients: whether gradients are compared as well.
    """

    name: str
    model: dict[str, Any]
    image: tuple[int, int]
    dates: int
    samples: int = 2
    about: bool = False
    ratio: float = 0.75
    gradients: bool = False

    @property
    def tokens(self) -> int:
        _, rows, columns = self.model["patch_size"]
        return self.dates * (self.image[0] // rows) * (self.image[1] // columns)


_NARROW = {
    "img_size": [24, 16],
    "patch_size": [1, 8, 8],
    "num_frames": 3,
    "in_chans": 6,
    "embed_dim": 48,
    "depth": 3,
    "num_heads": 3,
    "decoder_embed_dim": 32,
    "decoder_depth": 2,
    "decoder_num_heads": 4,
    "mlp_ratio": 4,
    "norm_pix_loss": False,
    "coords_encoding": [],
    "coords_scale_learn": True,
}
_KNOWING = _NARROW | {"coords_encoding": ["time", "location"]}

CASES = (
    Case("one_date", _NARROW | {"num_frames": 1}, (24, 16), 1, gradients=True),
    Case("three_dates", _NARROW, (24, 16), 3),
    Case("one_date_known", _KNOWING | {"num_frames": 1}, (24, 16), 1, about=True),
    Case("three_dates_known", _KNOWING, (24, 16), 3, about=True, gradients=True),
    Case("nothing_given", _KNOWING, (24, 16), 3, samples=1),
    Case("one_of_three_dates", _NARROW, (24, 16), 1, samples=1),
    Case("other_size", _NARROW | {"img_size": [24, 24]}, (32, 40), 3, samples=1, ratio=0.5, gradients=True),
    Case("own_variance", _NARROW | {"norm_pix_loss": True, "num_frames": 1}, (24, 16), 1, samples=1, gradients=True),
)
"""Narrow networks that go through the same code as the published ones."""

PUBLISHED = {
    "prithvi_eo_v1_100": (768, 12, 12, 16, 3, False),
    "prithvi_eo_v2_tiny_tl": (192, 12, 3, 16, 4, True),
    "prithvi_eo_v2_100_tl": (768, 12, 12, 16, 4, True),
    "prithvi_eo_v2_300": (1024, 24, 16, 16, 4, False),
    "prithvi_eo_v2_300_tl": (1024, 24, 16, 16, 4, True),
    "prithvi_eo_v2_600": (1280, 32, 16, 14, 4, False),
    "prithvi_eo_v2_600_tl": (1280, 32, 16, 14, 4, True),
}
"""Width, depth, heads, patch, dates, whether it knows time and place."""


def published(name: str) -> Case:
    """A published size on one sample at 224 pixels; ``NAME@T`` is the size built for T dates in place of its own."""
    size, _, wanted = name.partition("@")
    width, depth, heads, patch, dates, knows = PUBLISHED[size]
    dates = int(wanted or dates)
    model = _NARROW | {
        "img_size": 224,
        "patch_size": [1, patch, patch],
        "num_frames": dates,
        "embed_dim": width,
        "depth": depth,
        "num_heads": heads,
        "decoder_embed_dim": 512,
        "decoder_depth": 8,
        "decoder_num_heads": 16,
        "coords_encoding": ["time", "location"] if knows else [],
    }
    return Case(name, model, (224, 224), dates, samples=1, about=knows)


def numbers(name: str, *shape: int) -> Array:
    """Uniform numbers from 0 to 1 that depend on their name and shape alone."""
    key = int.from_bytes(hashlib.blake2b(f"{name}|{shape}".encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key)).random(shape)


def weight(name: str, shape: tuple[int, ...]) -> Array:
    """A weight by its published name: layer norms around 1, matrices of the size that keeps variances."""
    spread = 2 * numbers(name, *shape) - 1
    if name.endswith("scale"):
        return 0.1 + 0.05 * spread
    if "norm" in name and name.endswith("weight"):
        return 1 + 0.2 * spread
    if len(shape) < 2 or "token" in name:
        return 0.2 * spread
    inputs = int(np.prod(shape[1:]))
    return float(np.sqrt(3 / inputs)) * spread


def images(case: Case) -> Array:
    """``(B, C, T, H, W)``, the axis order of the published code."""
    size = (case.samples, case.model["in_chans"], case.dates, *case.image)
    return 4 * numbers(f"{case.name} images", *size) - 2


def noise(case: Case) -> Array:
    """``(B, N)``."""
    return numbers(f"{case.name} noise", case.samples, case.tokens)


def about(case: Case) -> tuple[Array, Array]:
    """Year and day ``(B, T, 2)``, latitude and longitude ``(B, 2)``."""
    drawn = numbers(f"{case.name} about", case.samples, case.dates + 1, 2)
    when = np.stack([2014 + np.floor(10 * drawn[:, :-1, 0]), np.floor(365 * drawn[:, :-1, 1])], axis=-1)
    # Sixteenths of a degree are exact in single precision.
    where = np.round((drawn[:, -1] * [180, 360] - [90, 180]) * 16) / 16
    return when, where


def kept_places(name: str, size: int, most: int) -> NDArray[np.int64]:
    """Places of a flattened tensor that a small golden file keeps."""
    if size <= most:
        return np.arange(size)
    return np.sort(np.argsort(numbers(f"{name} places", size), kind="stable")[:most])


def digest(name: str, tensor: Array, most: int) -> Array:
    """Some numbers of a tensor, and two sums over all of them with random factors that no change leaves alone."""
    flat = np.asarray(tensor, dtype=np.float64).reshape(-1)
    signs = 2 * numbers(f"{name} signs", 2, flat.size) - 1
    return np.concatenate([flat[kept_places(name, flat.size, most)], signs @ flat / np.sqrt(flat.size)])


LIMITS = {"features": 120, "predicted": 160, "class": 96, "gradient": 8, "loss": 1}
"""Numbers that the golden file keeps of one tensor, by the first word of its name."""


def golden(label: str, tensors: dict[str, Array]) -> dict[str, Array]:
    """Digests, those of tensors of one kind in one array, in the order of their names."""
    kept: dict[str, list[Array]] = {}
    for name in sorted(tensors):
        kind = name.split()[0]
        kept.setdefault(f"{label} {kind}", []).append(digest(name, tensors[name], LIMITS[kind]))
    return {kind: np.concatenate(parts) for kind, parts in kept.items()}
