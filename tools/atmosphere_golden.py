"""Reference values of 6SV for the closure test: `python tools/atmosphere_golden.py CACHE PYRSR [--sixs PROGRAM]`.

Draws 500 settings (geometry, aerosol load, water vapour, ozone, elevation, surface) that know nothing of the table's
nodes, runs 6SV with each band's response, and writes `tests/world/golden/atmosphere_6sv.npz`. PYRSR is the folder
`pyrsr/data` of the package pyrsr (measured relative spectral responses). About 15 minutes on one quiet core; a
stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sixs import STEP_UM, Case, SixS

from swath.rng import generator

GOLDEN = Path(__file__).parents[1] / "tests" / "world" / "golden" / "atmosphere_6sv.npz"
SENSORS = {
    "Sentinel-2A/MSI": ("1", "2", "3", "4", "5", "6", "7", "8", "8A", "9", "10", "11", "12"),
    "Landsat-8/OLI_TIRS": ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
    "Landsat-5/TM": ("1", "2", "3", "4", "5", "7"),
    "Landsat-7/ETM+": ("1", "2", "3", "4", "5", "7", "8"),
}
SETTINGS = 500
BANDS_EACH = 1
# name, low, high: all uniform
RANGES = (
    ("sun_zenith", 0.0, 80.0),
    ("view_zenith", 0.0, 30.0),
    ("relative_azimuth", 0.0, 360.0),
    ("aerosol_optical_depth", 0.0, 1.0),
    ("water_vapour", 0.2, 5.0),
    ("ozone", 0.2, 0.5),
    ("elevation_m", 0.0, 5000.0),
)


def sampled(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The response every 2.5 nm (um, relative), as 6SV wants it; feet below a thousandth of the peak are cut."""
    wavelength, response = np.loadtxt(file, skiprows=1).T
    wavelength = wavelength / 1000 if wavelength[0] > 100 else wavelength  # Sentinel-2 is in nm, Landsat in um
    low, high = wavelength[response > 1e-3 * response.max()][[0, -1]]
    grid = STEP_UM * np.arange(np.floor(low / STEP_UM + 1e-6), np.ceil(high / STEP_UM - 1e-6) + 1)
    return grid, np.interp(grid, wavelength, response, left=0, right=0).clip(0) / response.max()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("pyrsr", type=Path)
    parser.add_argument("--sixs", default=None)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    sixs = SixS(arguments.cache, arguments.sixs)
    names = [f"{sensor}/band_{band}" for sensor, bands in SENSORS.items() for band in bands]
    curves = {name: sampled(arguments.pyrsr / name) for name in names}
    draw = generator(0, "atmosphere closure")
    columns = {name: draw.uniform(low, high, SETTINGS).astype(np.float32) for name, low, high in RANGES}
    band = np.stack([draw.permutation(len(names))[:BANDS_EACH] for _ in range(SETTINGS)]).astype(np.int16)
    surface = draw.uniform(0.0, 0.8, band.shape).astype(np.float32)

    def value(index: tuple[int, ...]) -> float:
        which, setting = index
        values = {name: float(column[setting]) for name, column in columns.items()}
        case = Case(surface=float(surface[setting, which]), **values)
        return sixs.band(case, *curves[names[band[setting, which]]])

    with ThreadPoolExecutor(arguments.jobs) as pool:
        toa = np.array(list(pool.map(value, np.ndindex(*band.T.shape))), dtype=np.float32).reshape(band.T.shape).T
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    curve = {f"response {name}": np.stack(curves[name]).astype(np.float32) for name in names}
    np.savez_compressed(GOLDEN, names=np.array(names), band=band, surface=surface, toa=toa, **columns, **curve)


if __name__ == "__main__":
    main()
