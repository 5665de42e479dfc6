"""The race of chips: the same windows of the same scenes, cut by swath and by what people use today.

Ways, each turn in a process of its own: ``swath`` (``cubes.remote.read_windows``: all windows of all files in one
plan), ``swath_archive`` (``chips.archive.from_rasters``: from a catalogue and label rasters to a chip set on disk; it
alone also searches, masks and writes), a loop over rasterio, the same with a file a thread, ``odc.stac.load`` with a
pool and with dask, ``GeoTIFF.read`` of async-geotiff for all chips at once, and async-tiff by hand. ``swath`` takes two
turns in a row: the second finds the headers that the first left. GDAL has the settings that its documents advise.
``roof``: the codec alone, all needed blocks from memory.

Files lie on disk, then on a server on loopback, in a process of its own, that waits before each answer. Rounds turn the
order of the ways. Prints a line of JSON a turn, then a table: median seconds and ratio to ``swath`` (second job where
the files are far), with the range over rounds for fewer than six and else the 95 % interval of the median; requests,
headers, blocks and MB/s of decoded blocks against the roof. The chips of all ways have to be equal to the bit.

    python bench/chips.py --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from peers.chips_contender import GDAL, WAYS, turn
from peers.chips_data import Sizes, addressed, make
from scipy import stats

HERE = Path(__file__).parent
QUICK = Sizes(size=384, block=128, scenes=2, chips=4, window=64)


@contextmanager
def served(folder: Path, latency_s: float) -> Iterator[str]:
    """The address of a server over a folder, in a process of its own."""
    command = [sys.executable, str(HERE / "peers" / "range_server.py"), str(folder), str(latency_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def ask(way: str, root: str, index: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One turn in a process of its own; a quick one in this process."""
    if options.quick:
        return turn(way, options.data, root, index, options.workers)
    command = [sys.executable, "-W", "ignore", __file__, "--turn", way, "--data", str(options.data), "--root", root]
    command += ["--index", str(index), "--workers", str(options.workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | GDAL)
    if done.returncode:
        return {"way": way, "error": (done.stderr.strip().splitlines() or ["?"])[-1]}
    row: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def race(options: argparse.Namespace, place: str, root: str) -> list[dict[str, Any]]:
    """All rounds of one place."""
    ways, rows = [way for way in WAYS if way not in options.without], []
    for number in range(options.rounds):
        shift = number % len(ways)
        for way in [*ways[shift:], *ways[:shift]]:
            with tempfile.TemporaryDirectory() as index:
                jobs = 2 if way.startswith("swath") and place == "far" else 1
                for job in range(1, jobs + 1):
                    row = {"bench": "chips", "place": place, "round": number, "job": job}
                    row |= ask(way, root, Path(index), options)
                    shown = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
                    print(json.dumps(shown), flush=True)
                    rows.append(row)
    return rows


def interval(values: list[float]) -> tuple[float, float, float]:
    """Median with the order statistics that hold it in 95 of 100 cases; the range of fewer than six values."""
    held = np.sort(values)
    below = int(stats.binom.ppf(0.025, len(held), 0.5)) if len(held) >= 6 else 0
    low = max(below - 1, 0) if len(held) >= 6 else 0
    return float(np.median(held)), float(held[low]), float(held[-1 - low])


def table(rows: list[dict[str, Any]]) -> bool:
    """Print the ways of a place beside ``swath``; whether all chips are equal."""
    sound = [row for row in rows if "error" not in row]
    chips = [row for row in sound if not row["way"].startswith("roof")]
    equal = len({row["digest"] for row in chips}) == 1 and len(sound) == len(rows)
    place, last = rows[0]["place"], max(row["job"] for row in rows)
    by = {row["round"]: row["wall_s"] for row in chips if row["way"] == "swath" and row["job"] == last}
    roofs = {row["round"]: row["decoded_mb"] / row["wall_s"] for row in sound if row["way"] == "roof_2"}
    needed = next(((row["decoded_mb"], row["blocks"]) for row in sound if row["way"].startswith("roof")), None)
    print(f"{place}: chips {'equal' if equal else 'NOT EQUAL'}, {chips[0]['chips']} chips, {chips[0]['valid']} valid")
    for way in WAYS:
        for job in range(1, last + 1):
            own = [row for row in sound if row["way"] == way and row["job"] == job]
            if own:
                print("  " + line(own, by, roofs, needed))
    for row in rows:
        if "error" in row:
            print(f"  {row['way']}: {row['error']}")
    return equal


def line(
    own: list[dict[str, Any]], by: dict[int, float], roofs: dict[int, float], needed: tuple[float, int] | None
) -> str:
    """One way in words."""
    seconds = interval([row["wall_s"] for row in own])
    parts = [f"{own[0]['way']:17s} job {own[0]['job']}  {seconds[0]:.3f} s [{seconds[1]:.3f}, {seconds[2]:.3f}]"]
    if own[0]["way"].startswith("roof"):
        return f"{parts[0]}  {own[0]['decoded_mb'] / seconds[0]:.0f} MB/s of {own[0]['blocks']} blocks"
    ratios = interval([row["wall_s"] / by[row["round"]] for row in own if row["round"] in by])
    busy = np.median([row["cpu_s"] for row in own])
    parts.append(f"to swath x{ratios[0]:.2f} [{ratios[1]:.2f}, {ratios[2]:.2f}]  processor {busy:.2f} s")
    if needed is not None:
        speed = [needed[0] / row["wall_s"] for row in own]
        share = [value / roofs[row["round"]] for value, row in zip(speed, own, strict=True) if row["round"] in roofs]
        parts.append(f"{np.median(speed):.0f} MB/s" + (f" = {np.median(share):.2f} of the roof" if share else ""))
    first = own[0]
    if "server_requests" in first:
        parts.append(f"{first['server_requests']} requests, {first['server_bytes'] / 1e6:.1f} MB")
    if "runs" in first:
        runs = first["run_requests"] / max(first["runs"], 1)
        parts.append(f"headers {first['headers_read']}, {runs:.2f} requests a run of {first['runs']}")
        wanted = first["blocks_needed"] if needed is None else needed[1]
        parts.append(f"blocks decoded / needed {first['blocks_decoded']} / {wanted}")
    return "  ".join([*parts, f"peak {max(row['peak_rss_mb'] for row in own)} MiB"])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=Sizes.size, help="rows and columns of a scene")
    parser.add_argument("--block", type=int, default=Sizes.block, help="rows and columns of a stored block")
    parser.add_argument("--scenes", type=int, default=Sizes.scenes)
    parser.add_argument("--chips", type=int, default=Sizes.chips, help="windows of each scene")
    parser.add_argument("--window", type=int, default=Sizes.window)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer of the server")
    parser.add_argument("--workers", type=int, default=32, help="threads of those who wait for servers in threads")
    parser.add_argument("--without", nargs="*", default=(), choices=tuple(WAYS), help="ways to leave out")
    parser.add_argument("--quick", action="store_true", help="one round of small scenes in this process: no figures")
    parser.add_argument("--data", type=Path, help="folder with data of an earlier run; made when it is empty")
    for name in ("--turn", "--root", "--index"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run the race, or one turn of it; returns 1 where chips differ or a way failed."""
    options = parsed()
    if options.turn:
        print(json.dumps(turn(options.turn, options.data, options.root, Path(options.index), options.workers)))
        return 0
    sizes = Sizes(options.size, options.block, options.scenes, options.chips, options.window)
    with tempfile.TemporaryDirectory() as folder:
        options.data = (options.data or Path(folder)).resolve()
        options.data.mkdir(parents=True, exist_ok=True)
        if options.quick:
            sizes, options.rounds, options.latency = QUICK, 1, min(options.latency, 0.01)
            os.environ |= GDAL
        make(options.data, sizes)
        print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg(), **sizes.__dict__}), flush=True)
        near = race(options, "near", str(options.data))
        with served(options.data, options.latency) as address:
            addressed(options.data, address)
            far = race(options, "far", address)
    return 0 if all([table(near), table(far)]) else 1


if __name__ == "__main__":
    sys.exit(main())
