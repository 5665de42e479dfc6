"""Confusion matrices: swath against torchmetrics, which runs in an environment of its own on the same labels.

Both count the same made-up maps (smooth patches, a fifth of the predictions wrong), turn by turn, with as many threads.
The labels lie in memory, as arrays for one and tensors for the other; nobody reads files on the clock. swath always
checks that labels are inside the classes; torchmetrics is timed with its checks and without, and the ratio is to the
faster.

Prints one line of JSON a case: Mpixel/s of wall time (best and median of the rounds) and per second of processor time,
the ratio of the best times and its range over the rounds, and whether all counts are equal. On a shared machine the
processor time says more than the wall.

    python bench/metrics.py --side 4096 --rounds 7
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peers.environments import interpreter

from swath.metrics import ConfusionMatrix

HERE = Path(__file__).parent
CHECKED_TURNS = 2
"""How often torchmetrics is timed with its checks, which take most of the time of the race."""


@dataclass(frozen=True)
class Case:
    """What is counted: the dtype of the labels, the number of classes, and the share of pixels that are unknown."""

    name: str
    dtype: str
    classes: int
    unknown: float = 0.0


CASES = (
    Case("uint8", "uint8", 10),
    Case("uint8, 2 classes", "uint8", 2),
    Case("uint8, 19 classes", "uint8", 19),
    Case("uint8, a tenth unknown", "uint8", 10, 0.1),
    Case("int64", "int64", 10),
    Case("int64, a tenth unknown", "int64", 10, 0.1),
)


def make(case: Case, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction ``(y, x)``; unknown truth is 255 in uint8 and -100 in int64."""
    stream = np.random.default_rng(case.classes)
    patches = stream.integers(0, case.classes, (side // 16, side // 16), dtype=np.uint8)
    truth = np.kron(patches, np.ones((16, 16), np.uint8))
    wrong = stream.random(truth.shape, dtype=np.float32) < 0.2
    guess = np.where(wrong, stream.integers(0, case.classes, truth.shape, dtype=np.uint8), truth)
    truth, guess = truth.astype(case.dtype), guess.astype(case.dtype)
    if case.unknown:
        truth[stream.random(truth.shape, dtype=np.float32) < case.unknown] = ignored(case)
    return truth, guess


def ignored(case: Case) -> int | None:
    if not case.unknown:
        return None
    return 255 if case.dtype == "uint8" else -100


def ours(case: Case, truth: np.ndarray, guess: np.ndarray, threads: int) -> dict[str, Any]:
    """One count; making the mask of unknown bytes is part of the work, int64 needs none."""
    matrix = ConfusionMatrix([str(number) for number in range(case.classes)])
    began, began_cpu = time.perf_counter(), time.process_time()
    mask = truth != 255 if case.unknown and case.dtype == "uint8" else None
    matrix.update(truth, guess, mask, threads)
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return {"wall": wall, "cpu": cpu, "counts": matrix.counts.tolist()}


def race(case: Case, folder: Path, peer: subprocess.Popen[str], options: argparse.Namespace) -> dict[str, Any]:
    """Turn by turn, so that a busy minute hits both."""
    truth, guess = make(case, options.side)
    np.save(folder / "labels_true.npy", truth)
    np.save(folder / "labels_guess.npy", guess)
    rounds: dict[str, list[dict[str, Any]]] = {"swath": [], "checked": [], "unchecked": []}
    for turn in range(options.rounds + 1):
        rounds["swath"].append(ours(case, truth, guess, options.threads))
        for name, checks in (("checked", True), ("unchecked", False)):
            if checks and turn > CHECKED_TURNS:
                continue
            asked = {"data": "labels", "classes": case.classes, "ignore": ignored(case), "checks": checks}
            rounds[name].append(ask(peer, asked))
    counts = [answer["counts"] for answers in rounds.values() for answer in answers]
    rounds = {name: answers[1:] for name, answers in rounds.items()}  # the first is a warm-up
    seconds = {name: np.array([answer["wall"] for answer in answers]) for name, answers in rounds.items()}
    faster = min(("checked", "unchecked"), key=lambda name: seconds[name].min())
    turns = min(map(len, (seconds[faster], seconds["swath"])))
    ratios = seconds[faster][:turns] / seconds["swath"][:turns]
    pixels = truth.size / 1e6
    line: dict[str, Any] = {"case": case.name, "mpixel": round(pixels, 1), "equal": all(c == counts[0] for c in counts)}
    for name, values in seconds.items():
        cpu = min(answer["cpu"] for answer in rounds[name])
        line[name] = {
            "best": round(pixels / values.min()),
            "median": round(pixels / float(np.median(values))),
            "per_cpu_second": round(pixels / cpu),
        }
    line["ratio"] = round(float(seconds[faster].min() / seconds["swath"].min()), 1)
    line["ratio_range"] = [round(float(ratios.min()), 1), round(float(ratios.max()), 1)]
    cpu = {name: min(answer["cpu"] for answer in answers) for name, answers in rounds.items()}
    line["ratio_cpu"] = round(min(cpu["checked"], cpu["unchecked"]) / cpu["swath"], 1)
    return line


def ask(peer: subprocess.Popen[str], case: dict[str, Any]) -> dict[str, Any]:
    assert peer.stdin is not None
    assert peer.stdout is not None
    peer.stdin.write(json.dumps(case) + "\n")
    peer.stdin.flush()
    answer: dict[str, Any] = json.loads(peer.stdout.readline())
    return answer


def main() -> int:
    """Race, print; returns 1 if any counts differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096, help="height and width of the maps, a multiple of 16")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="of each side; 1 where others use the machine")
    options = parser.parse_args()
    python = interpreter("torchmetrics")
    equal = True
    with tempfile.TemporaryDirectory() as place:
        command = [str(python), str(HERE / "peers" / "metrics_contender.py"), place, str(options.threads)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
            assert peer.stdout is not None
            peer.stdout.readline()
            print(
                json.dumps({"cores": os.cpu_count(), "threads": options.threads, "load": os.getloadavg()}), flush=True
            )
            for case in CASES:
                line = race(case, Path(place), peer, options)
                equal = equal and line["equal"]
                print(json.dumps(line), flush=True)
            assert peer.stdin is not None
            peer.stdin.close()
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
