"""Published sizes against the live package, with the same made-up weights: prints the largest differences.

    python tests/parity/parity_live.py              # every size that fits the memory that is free
    python tests/parity/parity_live.py NAME ...     # some of them; NAME@T for T dates in place of its own
    python tests/parity/parity_live.py golden       # writes tests/parity/prithvi_golden.npz anew

TerraTorch runs in an environment of its own, made on first use from bench/peers/terratorch.txt. One sample of 224
pixels with all dates of pretraining, single precision.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "bench" / "peers")]
import parity_ours as ours  # noqa: E402
import parity_recipe as recipe  # noqa: E402
import torch  # noqa: E402
from environments import interpreter  # noqa: E402

from swath.models import sizes  # noqa: E402

LARGEST = 1e-5
"""Largest difference that counts as agreement, relative to the largest number of a tensor where that is above 1."""


def main(names: list[str]) -> int:
    if names == ["golden"]:
        return upstream("golden", HERE / "prithvi_golden.npz")
    failed = 0
    for name in names or list(recipe.PUBLISHED):
        total = dict(sizes.describe(name.partition("@")[0]))["total"]
        needed, there = 3 * 4 * total / 1e9 + 1.5, free_gb()
        if needed > there:
            print(f"{name}: skipped, needs about {needed:.1f} GB and {there:.1f} GB are free")
            continue
        failed += compare(name)
    return min(failed, 1)


def compare(name: str) -> int:
    """Print one row; 1 where a difference is larger than it may be."""
    case, began = recipe.published(name), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upstream.npz"
        if upstream(name, path):
            return 1
        with np.load(path) as stored:
            wanted = {key: stored[key] for key in stored.files}
    made = ours.run(case, torch.float32, gradients=False)
    row, worst = [], 0.0
    for kind in ("features", "predicted", "loss"):
        keys = [key for key in made if key.startswith(kind)]
        difference = max(float(np.abs(made[key] - wanted[key]).max()) for key in keys)
        size = max(float(np.abs(wanted[key]).max()) for key in keys)
        worst = max(worst, difference / max(size, 1.0))
        row.append(f"{kind} {difference:.1e} of {size:.3g}")
    seconds = time.perf_counter() - began
    verdict = "agrees" if worst < LARGEST else "DIFFERS"
    print(f"{name}: {verdict}; largest difference in {', '.join(row)} ({len(made) - 3} blocks, {seconds:.0f} s)")
    return int(worst >= LARGEST)


def upstream(what: str, path: Path) -> int:
    """Run the published code."""
    command = [str(interpreter("terratorch")), str(HERE / "parity_upstream.py"), what, str(path)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


def free_gb() -> float:
    """Memory that can be had without swapping; what files have cached counts where the system tells."""
    table = Path("/proc/meminfo")
    if table.is_file():
        found = re.search(r"MemAvailable:\s+(\d+) kB", table.read_text())
        if found:
            return int(found[1]) * 1024 / 1e9
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
