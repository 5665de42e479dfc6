"""How a batch is worked through: in parts of a few samples that stay in the cache, spread over threads.

What happens to a sample never depends on the part that it falls into.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

VALUES = 1 << 18
"""A part has at least so many values, unless the batch is smaller: one image of 300 x 300 pixels in three bands."""


def for_each_part(work: Callable[[slice], None], samples: int, values: int, *, spread: bool = True) -> None:
    """Call ``work`` with slices that cover all samples, in as many threads as torch may use.

    Args:
        work: changes the samples of the slice; NumPy lets go of the interpreter lock in its long loops.
        samples: B, at least 1.
        values: numbers per sample.
        spread: False for work that torch spreads over threads by itself.
    """
    size = max(1, VALUES // max(values, 1))
    spans = [slice(start, min(start + size, samples)) for start in range(0, samples, size)]
    workers = min(torch.get_num_threads(), len(spans)) if spread else 1
    if workers < 2:
        for span in spans:
            work(span)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, spans):
            pass  # raises what the thread raised
