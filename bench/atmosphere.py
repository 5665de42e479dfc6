"""How close the world's atmosphere is to 6SV, band by band, and how fast it is: `python bench/atmosphere.py`.

Reads the 500 reference settings in `tests/world/golden/atmosphere_6sv.npz` (made by `tools/atmosphere_golden.py`).
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from swath.sources.world.render.atmosphere import Atmosphere, coefficients, elevation_nodes, to_toa

GOLDEN = Path(__file__).parents[1] / "tests" / "world" / "golden" / "atmosphere_6sv.npz"


def differences() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the bands, position of the band and difference ours - 6SV, both (setting, band drawn)."""
    with np.load(GOLDEN) as stored:
        golden = dict(stored)
    names = [str(name) for name in golden["names"]]
    difference = np.zeros(golden["band"].shape)
    for setting, which in np.ndindex(*golden["band"].shape):
        name = names[golden["band"][setting, which]]
        wavelength, response = golden[f"response {name}"]
        state = Atmosphere(*(float(golden[key][setting]) for key in ("aerosol_optical_depth", "water_vapour", "ozone")))
        angles = (float(golden[key][setting]) for key in ("sun_zenith", "view_zenith", "relative_azimuth"))
        air = coefficients({name: (wavelength * 1000, response)}, state, *angles, float(golden["elevation_m"][setting]))
        toa = to_toa(golden["surface"][setting, which].reshape(1, 1), air)
        difference[setting, which] = toa[0, 0] - golden["toa"][setting, which]
    return names, golden["band"], difference


def speed() -> tuple[float, float]:
    """Milliseconds for the coefficients of ten bands at 6 elevations, and Mpixel band / s of to_toa on relief."""
    responses = {f"{nm} nm": (np.arange(nm - 15.0, nm + 16.0), np.hanning(31)) for nm in range(450, 950, 50)}
    relief = np.linspace(0.0, 2000.0, 1024 * 1024, dtype=np.float32).reshape(1024, 1024)
    nodes = elevation_nodes(relief)
    coefficients(responses, Atmosphere(), 40.0, 5.0, 60.0, nodes)  # reads the table
    start = time.perf_counter()
    air = coefficients(responses, Atmosphere(), 40.0, 5.0, 60.0, nodes)
    middle = time.perf_counter()
    surface = np.full((10, 1024, 1024), 0.2, dtype=np.float32)
    to_toa(surface, air, relief, out=surface)
    return 1e3 * (middle - start), surface.size / 1e6 / (time.perf_counter() - middle)


def main() -> None:
    names, band, difference = differences()
    print("| band | settings | max abs difference | root mean square |\n|---|---|---|---|")
    for number, name in enumerate(names):
        found = difference[band == number]
        print(f"| {name} | {found.size} | {np.abs(found).max():.5f} | {np.sqrt((found**2).mean()):.5f} |")
    share = (np.abs(difference) <= 0.005).mean()
    print(f"| all | {difference.size} | {np.abs(difference).max():.5f} | {np.sqrt((difference**2).mean()):.5f} |")
    print(f"within 0.005: {100 * share:.1f} %")
    milliseconds, rate = speed()
    print(f"coefficients: {milliseconds:.0f} ms; to_toa on relief: {rate:.0f} Mpixel band / s")


if __name__ == "__main__":
    main()
