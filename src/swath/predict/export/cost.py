"""What a model costs: parameters, multiplications, seconds, memory, an estimate of energy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.errors import ConfigError

if TYPE_CHECKING:
    import torch

WATTS_PER_CORE = 10.0
"""Assumed power of one busy core of a server processor; the energy is an estimate and named so."""


@dataclass(frozen=True)
class Cost:
    """What one model costs on one machine.

    Args:
        name: of the model.
        parameters: numbers that were learned, or None where they cannot be counted.
        macs: multiplications with addition per input pixel, or None.
        megabytes: size of the file.
        p50_ms: median milliseconds of a batch by the clock.
        p90_ms: 90th percentile.
        mpixel_s: input megapixels a second (median).
        joule_per_mpixel: processor seconds times ``WATTS_PER_CORE``, per megapixel: an estimate.
    """

    name: str
    parameters: int | None
    macs: float | None
    megabytes: float
    p50_ms: float
    p90_ms: float
    mpixel_s: float
    joule_per_mpixel: float


def measure(
    name: str,
    run: Callable[[], Any],
    pixels: int,
    *,
    files: tuple[Path, ...] = (),
    parameters: int | None = None,
    macs: float | None = None,
    rounds: int = 15,
) -> Cost:
    """Time ``run`` after two calls that do not count.

    Args:
        name: of the model.
        run: predicts one batch.
        pixels: input pixels of the batch.
        files: whose sizes are added up.
        parameters: for the table.
        macs: per pixel, for the table.
        rounds: calls that count.

    Raises:
        ConfigError: fewer than one round or pixel.
    """
    if rounds < 1 or pixels < 1:
        raise ConfigError(f"rounds = {rounds}, pixels = {pixels}", expected="at least 1 of both", remedy="change them")
    for _ in range(2):
        run()
    walls, work = [], time.process_time()
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        walls.append(time.perf_counter() - start)
    work = (time.process_time() - work) / rounds
    median, late = (float(value) for value in np.quantile(walls, [0.5, 0.9]))
    return Cost(
        name=name,
        parameters=parameters,
        macs=macs,
        megabytes=sum(file.stat().st_size for file in files) / 1e6,
        p50_ms=median * 1e3,
        p90_ms=late * 1e3,
        mpixel_s=pixels / 1e6 / median,
        joule_per_mpixel=work * WATTS_PER_CORE / (pixels / 1e6),
    )


def count_macs(module: torch.nn.Module, shape: tuple[int, ...]) -> float:
    """Multiplications with addition per input pixel, counted over one forward pass.

    Args:
        module: takes ``values`` and ``valid``.
        shape: of both, ``(B, T, C, H, W)``.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    device = next(module.parameters()).device
    training = module.training
    module.eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        module(torch.zeros(shape, device=device), torch.ones(shape, dtype=torch.bool, device=device))
    module.train(training)
    return counter.get_total_flops() / 2 / (shape[0] * shape[3] * shape[4])
