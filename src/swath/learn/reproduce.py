"""Where a run is computed, and what has to hold for it to give the same bits again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from swath import rng
from swath.errors import ConfigError, ResourceError
from swath.learn.config import FitConfig
from swath.learn.parallel import GLOO, NCCL


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
        torch.backends.cudnn.allow_tf32,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling memory before it is written finds bugs in kernels and costs time; results do not depend on it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # Graphics cards round the inputs of convolutions to 11 bits by default; who asks for float32 gets it.
    torch.backends.cudnn.allow_tf32 = False
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(former[0], warn_only=former[1])
        torch.utils.deterministic.fill_uninitialized_memory = former[2]  # type: ignore[attr-defined]
        torch.set_num_threads(former[3])
        torch.backends.cudnn.allow_tf32 = former[4]


def threads_of(config: FitConfig) -> int | None:
    """Processor threads of each process of a run: those asked for, or an even share of those there are."""
    if config.threads is not None or config.processes == 1:
        return config.threads
    return max(1, torch.get_num_threads() // config.processes)


def choose_device(config: FitConfig, rank: int = 0) -> tuple[torch.device, bool]:
    """The device of process ``rank`` of a run, and whether to use bfloat16 on it.

    Raises:
        ResourceError: a graphics card was asked for and there is none.
        ConfigError: bfloat16 was asked for on a processor.
    """
    present = torch.cuda.is_available()
    if config.device == "cuda" and not present:
        raise ResourceError(
            "'device' is 'cuda' and torch finds no graphics card", expected="a card", remedy="set device to auto or cpu"
        )
    device = torch.device("cpu")
    if present and config.device != "cpu":
        first = torch.cuda.current_device()
        device = torch.device("cuda", (first + rank) % torch.cuda.device_count())
    if device.type == "cpu" and config.precision == "bfloat16":
        raise ConfigError(
            "'precision' is 'bfloat16' on a processor, where it is about a hundred times slower",
            expected="float32 on a processor",
            remedy="set precision to auto or float32",
        )
    half = device.type == "cuda" and config.precision != "float32" and torch.cuda.is_bf16_supported()
    return device, half


def backend_of(config: FitConfig) -> str:
    """What adds up the gradients of several processes: NCCL where each has a graphics card of its own, else gloo."""
    on_cards = choose_device(config)[0].type == "cuda"
    return NCCL if on_cards and torch.cuda.device_count() >= config.processes else GLOO
