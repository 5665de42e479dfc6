"""What a run costs: time, memory, and the versions it ran with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import sys
import time
from types import TracebackType

PACKAGES = ("swath", "numpy", "scipy", "torch", "scikit-learn", "xarray", "rasterio", "pyproj", "pandas", "matplotlib")


def peak_rss_mb() -> float:
    """Peak resident memory in MiB of the largest process so far: this one, or a finished child.

    Parent and child are not added up: a child counts the pages it shares with its parent, which would count twice.
    """
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak / (1024**2 if sys.platform == "darwin" else 1024)  # bytes on macOS, KiB on Linux


class Timer:
    """Wall time of a block in seconds.

    >>> with Timer() as timer:
    ...     pass
    >>> timer.seconds >= 0
    True
    """

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._end: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the start, or until the end of the block."""
        return (time.perf_counter() if self._end is None else self._end) - self._start

    def __enter__(self) -> Timer:
        self._start, self._end = time.perf_counter(), None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end = time.perf_counter()


def environment() -> dict[str, str]:
    """Python, platform, CPU count and package versions; nothing that names a machine or a person."""
    facts = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": str(os.cpu_count() or 0),
    }
    for name in PACKAGES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts
