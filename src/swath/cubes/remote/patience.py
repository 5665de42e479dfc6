"""How long servers are waited for, and by which clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from swath.errors import ConfigError


@dataclass(frozen=True)
class Patience:
    """How long servers are waited for.

    Args:
        attempts: failed attempts in a row until a request is given up; one that brought bytes starts the count anew.
        first_s: longest pause after the first failure [s]; doubles with each one.
        most_s: longest pause [s]; servers that ask for more are given up.
        timeout_s: seconds without a byte after which a connection counts as dead.
        per_minute: requests a minute, or None for no limit.
    """

    attempts: int = 6
    first_s: float = 0.5
    most_s: float = 120.0
    timeout_s: float = 30.0
    per_minute: float | None = None

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.timeout_s <= 0 or (self.per_minute is not None and self.per_minute <= 0):
            raise ConfigError(
                f"attempts = {self.attempts}, timeout_s = {self.timeout_s}, per_minute = {self.per_minute}",
                expected="at least one attempt, and times and rates above 0",
                remedy="correct them",
            )


def _draw() -> float:
    """A number from 0 to 1 that no other process draws: clients that failed together must not come back together."""
    return int.from_bytes(os.urandom(4), "big") / 2**32


@dataclass(frozen=True)
class Clock:
    """Time as a connection sees it; tests bring their own.

    Args:
        now: seconds that only grow.
        sleep: waits for some seconds.
        jitter: a number from 0 to 1, another one each time.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = _draw
