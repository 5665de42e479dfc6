"""Run the code blocks of the documents that are marked slow: ``python tools/docs_check.py [--only TEXT]``.

Each runs in a fresh folder that holds what the first block of ``docs/quickstart.md`` makes, after the earlier Python
blocks of its page where it is Python itself. Date, minutes and processor minutes are noted in
``docs/slow_blocks.json``, and the site shows them under the block. Blocks that are gone or were changed leave the file.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from docs_blocks import DOCUMENTS, PYTHONS, ROOT, SHELLS, Block, blocks_of_page, scenery, slow_blocks

TIMES = DOCUMENTS / "slow_blocks.json"


def main() -> int:
    """Run the blocks, note the times; returns 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only blocks whose page or text holds this")
    only = parser.parse_args().only
    blocks = slow_blocks()
    known = json.loads(TIMES.read_text(encoding="utf-8")) if TIMES.exists() else {}
    times = {block.digest: known[block.digest] for block in blocks if block.digest in known}
    failed = 0
    for block in blocks:
        if only not in block.page and only not in block.text:
            continue
        print(f"{block.place}: about {block.note}", flush=True)
        status, minutes, processor = run(block)
        if status:
            failed += 1
            times.pop(block.digest, None)
            print(f"{block.place}: failed with exit status {status}", file=sys.stderr)
        else:
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            times[block.digest] = {
                "page": block.page,
                "date": today,
                "minutes": round(minutes, 2),
                "processor_minutes": round(processor, 2),
            }
            print(f"{block.place}: {minutes:.2f} minutes, {processor:.2f} of processor time")
        write(times)
    return int(failed > 0)


def write(times: dict[str, dict[str, object]]) -> None:
    """Save the notes, in the order of the pages."""
    ordered = dict(sorted(times.items(), key=lambda item: (str(item[1]["page"]), item[0])))
    TIMES.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def script(block: Block) -> str:
    """What has to run: a Python block after the quick ones above it, a shell block alone."""
    if block.kind not in PYTHONS:
        return block.text
    page = blocks_of_page(ROOT / block.page)
    above = [each.text for each in page if each.kind in PYTHONS and not each.mark and each.line < block.line]
    return "\n".join([*above, block.text])


def run(block: Block) -> tuple[int, float, float]:
    """Exit status, minutes and processor minutes of one block.

    Raises:
        ValueError: the block is neither Python nor shell.
    """
    if block.kind in PYTHONS:
        command = [sys.executable, "-c", script(block)]
    elif block.kind in SHELLS:
        command = ["bash", "-euo", "pipefail", "-c", script(block)]
    else:
        raise ValueError(f"{block.place}: a block of '{block.kind}' cannot be run; mark Python and shell blocks only")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", scenery().text], cwd=folder, env=environment, check=True)
        before, start = used(), time.monotonic()
        done = subprocess.run(command, cwd=folder, env=environment, check=False)
        return done.returncode, (time.monotonic() - start) / 60, (used() - before) / 60


def used() -> float:
    """Seconds of processor time that finished child processes took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
