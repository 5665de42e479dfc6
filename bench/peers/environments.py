"""The environments of the contenders: made on first use from ``NAME.txt``, never part of swath's own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / ".env"


def interpreter(name: str, folder: Path | None = None) -> Path:
    """The Python of a contender's environment; installs it when it is absent and notes the seconds that took.

    Args:
        name: there is a file ``NAME.txt`` with its requirements; ``{checkout}`` in it is this repository.
        folder: where environments lie; default ``bench/peers/.env``.
    """
    place = (folder or FOLDER) / name
    python = place / "bin" / "python"
    if not (place / "installed.json").is_file():
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        lines = (HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        checkout = str(HERE.parent.parent)
        wanted = [line.strip().format(checkout=checkout) for line in lines if line.strip() and not line.startswith("#")]
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        torch = [line for line in wanted if line.startswith("torch==")]
        if torch:  # first and pinned, so that no CUDA build comes along
            subprocess.run([*pip, *torch], check=True)
        subprocess.run([*pip, *wanted], check=True)
        seconds = time.perf_counter() - began
        (place / "installed.json").write_text(json.dumps({"seconds": round(seconds, 1), "wanted": wanted}))
    return python


def install_seconds(name: str, folder: Path | None = None) -> float:
    """Seconds that the installation took."""
    interpreter(name, folder)
    seconds: float = json.loads(((folder or FOLDER) / name / "installed.json").read_text())["seconds"]
    return seconds
