"""What reading from archives cost: requests, headers, blocks and bytes, counted where they happen."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields
from typing import Any

_COUNTS = ("int", "float")


@dataclass
class RemoteReport:
    """Counts of one connection; threads may add at once.

    Args:
        requests: questions sent, repeated ones too.
        retries: requests beyond the first for the same bytes or answer.
        renewals: signatures or tokens that were fetched.
        waited_s: seconds of pauses that servers, their limits or failures caused.
        bytes: received in bodies.
        headers_read: files whose header came from the server.
        headers_known: files whose header came from the index on disk.
        header_requests: requests for headers.
        runs: spans of neighbouring blocks that were asked for.
        run_requests: requests for runs.
        blocks_needed: distinct blocks that the windows touch, summed over reads.
        blocks_decoded: blocks that were decoded.
        blocks_absent: needed blocks that the file does not store (sparse files).
        fallbacks: by address, why GDAL reads it.
    """

    requests: int = 0
    retries: int = 0
    renewals: int = 0
    waited_s: float = 0.0
    bytes: int = 0
    headers_read: int = 0
    headers_known: int = 0
    header_requests: int = 0
    runs: int = 0
    run_requests: int = 0
    blocks_needed: int = 0
    blocks_decoded: int = 0
    blocks_absent: int = 0
    fallbacks: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, name: str, amount: float = 1) -> None:
        """Count something."""
        with self._lock:
            setattr(self, name, getattr(self, name) + amount)

    def fell_back(self, address: str, why: str) -> None:
        """Note that GDAL reads a file."""
        with self._lock:
            self.fallbacks[address] = why

    @property
    def requests_per_run(self) -> float:
        """Requests for one run of neighbouring blocks; 1 where nothing had to be repeated."""
        return self.run_requests / self.runs if self.runs else 0.0

    def counts(self) -> dict[str, int | float]:
        """All counts by name."""
        names = [entry.name for entry in fields(self) if str(entry.type) in _COUNTS]
        return {name: getattr(self, name) for name in names}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())
