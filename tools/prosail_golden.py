"""Golden values for tests/world/test_world_canopy.py: what the package prosail says for random leaves and canopies.

Run it in an environment of its own (bench/peers/prosail.txt), because the package needs numba:

    python tools/prosail_golden.py tests/world/prosail_golden.csv

Edge cases come first: no leaves, the hot spot, a flat hot spot, sun at the zenith, sun at 75 degrees.
"""

from __future__ import annotations

import csv
import sys

import numpy as np
import prosail

LEAF = ("structure", "chlorophyll", "carotenoids", "anthocyanins", "brown", "water", "dry_matter")
STAND = ("leaf_area", "mean_angle", "hot_spot", "sun_zenith", "view_zenith", "relative_azimuth", "soil")
NAMES = LEAF + STAND
WAVELENGTHS = (400, 442, 490, 550, 560, 665, 705, 740, 783, 865, 945, 1240, 1375, 1610, 1950, 2190, 2500)


def parameters(number: int) -> dict[str, float]:
    generator = np.random.default_rng(number)
    low = dict(zip(NAMES, (1.0, 0, 0, 0, 0, 0.001, 0.001, 0, 20, 0.0, 0, 0, 0, 0.02), strict=True))
    high = dict(zip(NAMES, (3.0, 90, 20, 5, 1, 0.05, 0.02, 8, 80, 0.5, 75, 40, 180, 0.5), strict=True))
    drawn = {name: float(np.round(generator.uniform(low[name], high[name]), 4)) for name in NAMES}
    edges: tuple[dict[str, float], ...] = (
        {"leaf_area": 0.0},
        {"view_zenith": drawn["sun_zenith"] % 40, "sun_zenith": drawn["sun_zenith"] % 40, "relative_azimuth": 0.0},
        {"sun_zenith": 0.0, "view_zenith": 0.0},
        {"sun_zenith": 0.0},
        {"sun_zenith": 75.0},
        {"hot_spot": 0.0},
        {"view_zenith": 0.0},
        {"relative_azimuth": 180.0},
        {"leaf_area": 0.01},
        {"structure": 1.0},
        {"hot_spot": 0.001},
    )
    return drawn | (edges[number] if number < len(edges) else {})


def main(path: str) -> None:
    places = np.asarray(WAVELENGTHS) - 400
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        kinds = ("leaf", "through", "canopy")
        writer.writerow([*NAMES, *(f"{kind}_{wavelength}" for kind in kinds for wavelength in WAVELENGTHS)])
        for number in range(80):
            p = parameters(number)
            pigments = [p[name] for name in ("structure", "chlorophyll", "carotenoids", "brown", "water", "dry_matter")]
            _, reflectance, transmittance = prosail.run_prospect(*pigments, ant=p["anthocyanins"], prospect_version="D")
            canopy = prosail.run_sail(
                reflectance,
                transmittance,
                p["leaf_area"],
                p["mean_angle"],
                p["hot_spot"],
                p["sun_zenith"],
                p["view_zenith"],
                p["relative_azimuth"],
                typelidf=2,
                rsoil0=np.full(2101, p["soil"]),
            )
            values = [np.asarray(part)[places] for part in (reflectance, transmittance, canopy)]
            writer.writerow([*(p[name] for name in NAMES), *(f"{value:.10g}" for value in np.concatenate(values))])


if __name__ == "__main__":
    main(sys.argv[1])
