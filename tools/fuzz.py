"""Hand damaged files to swath and count what happens: a sentence, success, or a finding.

    python tools/fuzz.py --kind raster --examples 5000

Every example runs in a worker process with bounded memory (2 GB above its start) and time (20 s), so that a crash of a
native library and a hang are findings too, and the campaign goes on. Kinds: raster, store, table, config, checkpoint,
or all. Prints one line of counts per seed file, then every kind of finding with one number that repeats it:

    python tools/fuzz.py --kind raster --only 1234
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1] / "tests" / "hostile"))
MEMORY, SECONDS = 2 * 2**30, 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="all")
    parser.add_argument("--examples", type=int, default=500, help="per kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first example")
    parser.add_argument("--only", type=int, help="run one example here and show what it raises")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.only is not None:
        return _only(wanted.kind, wanted.only)
    if wanted.worker:
        _work(wanted.kind, wanted.first, wanted.examples)
        return 0
    kinds = ("raster", "store", "table", "config", "checkpoint") if wanted.kind == "all" else (wanted.kind,)
    return max([_campaign(kind, wanted.first, wanted.examples) for kind in kinds])


def _campaign(kind: str, first: int, examples: int) -> int:
    counts: dict[str, Counter[str]] = {}
    findings: dict[str, list[int]] = {}
    number, end = first, first + examples
    while number < end:
        number = _one_worker(kind, number, end, counts, findings)
    total = sum((count for count in counts.values()), Counter[str]())
    for name, count in sorted(counts.items()):
        print(f"{kind:>10} {name:<16} " + "  ".join(f"{what} {many}" for what, many in sorted(count.items())))
    print(f"{kind:>10} {'all':<16} " + "  ".join(f"{what} {many}" for what, many in sorted(total.items())), flush=True)
    for what, numbers in findings.items():
        print(f"  finding in {len(numbers)} examples, such as --only {numbers[0]}: {what}", flush=True)
    return 1 if findings else 0


def _one_worker(
    kind: str, number: int, end: int, counts: dict[str, Counter[str]], findings: dict[str, list[int]]
) -> int:
    """Run one worker until it is done, dies or hangs; gives the number to go on with."""
    command = [sys.executable, str(HERE), "--worker", "--kind", kind]
    command += ["--first", str(number), "--examples", str(end - number)]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        stream, seed, patience = process.stdout, "?", 180.0
        assert stream is not None
        waiting = b""
        while True:
            ready = select.select([stream], [], [], patience)[0]
            chunk = os.read(stream.fileno(), 65536) if ready else b""
            if not chunk:
                break
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                told: dict[str, Any] = json.loads(line)
                seed, patience = told["seed"], 2.0 * SECONDS
                if "outcome" in told:
                    counts.setdefault(seed, Counter())[told["outcome"]] += 1
                    if told["outcome"] == "finding":
                        findings.setdefault(told["what"], []).append(number)
                    number += 1
        hanging = process.poll() is None and not ready
        process.kill() if hanging else None
        code = process.wait()
        if number < end:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().splitlines()[-1:] or [""]
            what = "hang" if hanging else f"crash ({-code})" if code < 0 else f"exit {code}"
            counts.setdefault(seed, Counter())[what.split()[0]] += 1
            findings.setdefault(f"{what} on {seed}: {last[0][:120]}", []).append(number)
            number += 1
    return number


def _work(kind: str, first: int, examples: int) -> None:
    faulthandler.enable()
    warnings.simplefilter("ignore")
    from hostile_seeds import Bench

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(kind, Path(folder))
        bench.untouched()
        held = int(
            next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmSize" in line).split()[1]
        )
        resource.setrlimit(resource.RLIMIT_AS, (held * 1024 + MEMORY,) * 2)
        signal.signal(signal.SIGALRM, _late)
        for number in range(first, first + examples):
            name, _, use = bench.trial(number)
            _tell({"seed": name})
            signal.alarm(SECONDS)
            told = _outcome(use)
            signal.alarm(0)
            _tell({"seed": name, **told})


class TooLate(BaseException):
    """An example took longer than it may."""


def _late(number: int, frame: object) -> None:
    raise TooLate


def _outcome(use: Any) -> dict[str, str]:
    from swath.errors import SwathError

    try:
        use()
    except SwathError:
        return {"outcome": "sentence"}
    except TooLate:
        return {"outcome": "finding", "what": f"took more than {SECONDS} s"}
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/swath/" in frame.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        return {"outcome": "finding", "what": f"{type(error).__name__} at {place}: {str(error)[:100]}"}
    return {"outcome": "success"}


def _only(kind: str, number: int) -> int:
    warnings.simplefilter("ignore")
    from hostile_seeds import Bench

    with tempfile.TemporaryDirectory() as folder:
        name, place, use = Bench(kind, Path(folder)).trial(number)
        print(f"{kind} {number}: {name} in {place}", flush=True)
        use()
    return 0


def _tell(content: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
