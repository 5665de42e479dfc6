"""Counter-based random streams.

One integer seed gives an independent stream for every ``(purpose, id, ...)``. A stream depends on its
name alone, never on the order in which streams are drawn, the batch they fall into, or the number of workers.
Seed 0 is a seed like any other.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Key = str | int


def key(seed: int, purpose: str, *ids: Key) -> int:
    """A 128-bit key for the stream ``(seed, purpose, *ids)``; types and boundaries of the parts are kept apart."""
    parts = [f"{type(part).__name__}:{part}" for part in (int(seed), purpose, *ids)]
    text = "\x1f".join(f"{len(part)}|{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(seed: int, purpose: str, *ids: Key) -> np.random.Generator:
    """A NumPy generator (Philox, Salmon et al. 2011) for the named stream."""
    return np.random.Generator(np.random.Philox(key=key(seed, purpose, *ids)))


def torch_generator(seed: int, purpose: str, *ids: Key) -> torch.Generator:
    """A CPU torch generator for the named stream."""
    import torch

    return torch.Generator().manual_seed(key(seed, purpose, *ids) % (2**63))
