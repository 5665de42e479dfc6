"""The large campaign of faults, outside of the tests: every kill point of every job, and disks of many sizes.

python tools/faults.py [--points N] [--levels N]    # --points 0 tries every kill point; small disks need root
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FAULTS = Path(__file__).parents[1] / "tests" / "faults"


def lines(script: str, count: int) -> list[dict[str, object]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(FAULTS / script), folder, str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def table(title: str, rows: list[dict[str, object]]) -> int:
    print(f"\n{title}\n")
    heads = [name for name in rows[0] if name != "problems"]
    print("| " + " | ".join([*heads, "problems"]) + " |")
    print("|---" * (len(heads) + 1) + "|")
    problems = 0
    for row in rows:
        found = row["problems"]
        assert isinstance(found, list)
        problems += len(found)
        print("| " + " | ".join([*(str(row[name]) for name in heads), str(len(found))]) + " |")
        for problem in found:
            print(f"  {row['job']}: {problem}", file=sys.stderr)
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50, help="kill points a job, 0 = all")
    parser.add_argument("--levels", type=int, default=24, help="disk sizes a job, 0 = none")
    given = parser.parse_args()
    problems = table("Killed with SIGKILL, and started again", lines("harness.py", given.points))
    if given.levels:
        problems += table("Disks that are too small", lines("disk_jobs.py", given.levels))
    sys.exit(problems > 0)


if __name__ == "__main__":
    main()
