"""What has to hold for a run to give the same bits again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from swath import rng


@contextmanager
def seeded(seed: int, purpose: str, *ids: str | int) -> Iterator[None]:
    """Torch's global random stream set from ``(seed, purpose, *ids)`` for the length of a block, then put back.

    Build networks inside it: ``with seeded(seed, "weights"): network = UNet(...)``.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(rng.key(seed, purpose, *ids) % 2**63)
        yield


@contextmanager
def repeatable(threads: int | None) -> Iterator[None]:
    """Deterministic algorithms and, when asked, a fixed number of threads, for the length of a block.

    An operation without a deterministic form warns instead of failing (bilinear enlargement on graphics cards).
    """
    former = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.get_num_threads(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling memory before it is written finds bugs in kernels and costs time; results do not depend on it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(former[0], warn_only=former[1])
        torch.utils.deterministic.fill_uninitialized_memory = former[2]  # type: ignore[attr-defined]
        torch.set_num_threads(former[3])
