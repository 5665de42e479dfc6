"""Rebuild the atmosphere's table from 6SV: `python tools/make_atmosphere.py CACHE [--sixs PROGRAM] [--jobs N]`.

Writes `src/swath/sources/world/render/data/atmosphere.npz`. A few minutes on one quiet core; a stopped build goes on
where it was. What the arrays mean stands in `swath.sources.world.render._atmosphere_table`, which also evaluates them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sixs import Case, SixS

from swath.sources.world.render._atmosphere_table import (
    AEROSOLS,
    FILE,
    airmass,
    rayleigh_phase,
    scattering_cosine,
    single_scattering,
    view_basis,
)

Arrays = dict[str, np.ndarray]

# Scattering: 6SV solves the transfer at these wavelengths (its own, moved by at most 1 nm to its output grid).
NODES_NM = np.array(
    [400, 412.5, 442.5, 470, 487.5, 515, 550, 590, 632.5, 670, 695, 760, 860, 1240, 1535, 1650, 1950, 2250, 2500]
)
CLEAR_SUN = (0.0, 30.0, 50.0, 62.0, 70.0, 76.0, 80.0)
HAZY_SUN = (0.0, 30.0, 50.0, 70.0, 80.0)
HAZY_VERTICAL = (6.0, *HAZY_SUN[1:])  # straight back from straight above 6SV is 5 % too dim: look beside it
AZIMUTHS = ((0.0, 90.0, 180.0), (45.0, 90.0, 180.0)) + ((0.0, 90.0, 180.0),) * 3  # 30 degrees: not into the glory
ZENITH = (0.0, 30.0, 50.0, 62.0, 70.0, 80.0)
HIGH_SUN = (0.0, 50.0, 70.0, 80.0)
CLEAR_VIEW = (0.0, 15.0, 30.0)
VIEW = 30.0
LOADS = (0.15, 0.5, 1.2)
HIGH_M, HIGH_LOAD = 4000.0, 0.5
PHASE_NM = np.array([412, 488, 550, 670, 860, 1240, 1650, 2250])
PHASE_DEGREES = np.arange(70, 181, 10)
DEGREE = 4

# Gases
ELEVATIONS_M = (0.0, 1500.0, 3000.0, 5000.0, 7000.0, 9000.0)
WATER = (0.05, 0.15, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 25.0)
GAS_SUN = (0.0, 50.0, 70.0, 80.0)


def spectrum(sixs: SixS, case: Case) -> np.ndarray:
    return sixs.spectrum(case, 0.4, 2.5)


def at_nodes(table: np.ndarray) -> np.ndarray:
    """Rows of the scattering nodes with the gases (without water and ozone) taken out of the path: (node, quantity)."""
    rows = table[np.round((NODES_NM - 400) / 2.5).astype(int)]
    return np.stack([rows[:, 2], rows[:, 3], rows[:, 4], rows[:, 5] / rows[:, 1]], axis=1)


def clear_air(sixs: SixS) -> Arrays:
    """Molecular scattering: polynomials in the optical depth, so that pressure and wavelength need no axis."""
    depth = np.array([sixs.optics(Case(), w / 1000)[0] for w in NODES_NM])
    powers = depth[:, None] ** np.arange(1, DEGREE + 1)
    path, transmittance = [], []
    for sun in CLEAR_SUN:
        gains, rows = [], []
        views = [(view, azimuth) for view in CLEAR_VIEW for azimuth in ((0.0, 90.0, 180.0) if view else (0.0,))]
        for view, azimuth in views:
            values = at_nodes(spectrum(sixs, Case(sun, view, azimuth if sun else 0.0, "none")))
            single = single_scattering(depth, rayleigh_phase(scattering_cosine(sun, view, azimuth)), sun, view)
            # Printed with four decimals: the weight is the number of steps of the last one.
            gains.append(fit(powers, values[:, 3] / single - 1, weight=values[:, 3]))
            rows.append(view_basis(view, azimuth))
        path.append(np.linalg.lstsq(np.array(rows), np.array(gains), rcond=None)[0])
        extinction = -np.log(values[:, 0]) * np.cos(np.radians(sun))
        transmittance.append(fit(powers, extinction, weight=np.ones_like(depth)))
    albedo = fit(powers, values[:, 2], weight=np.ones_like(depth))
    return {
        "molecular_depth": depth,
        "clear_sun": np.array(CLEAR_SUN),
        "clear_path": np.array(path),
        "clear_transmittance": np.array(transmittance),
        "clear_albedo": albedo,
    }


def fit(design: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(design * weight[:, None], target * weight, rcond=None)[0]


def aerosol_optics(sixs: SixS, aerosol: str) -> Arrays:
    """Extinction relative to 550 nm, single scattering albedo and phase function of one aerosol."""
    case = Case(aerosol=aerosol, aerosol_optical_depth=1.0)
    optics = np.array([sixs.optics(case, w / 1000) for w in NODES_NM])
    phase = np.array([[sixs.phase(aerosol, angle, w / 1000) for angle in PHASE_DEGREES] for w in PHASE_NM])
    return {f"{aerosol}_extinction": optics[:, 1], f"{aerosol}_single": optics[:, 2], f"{aerosol}_phase": phase}


def water_like(x: np.ndarray, transmittance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parameters a, b of exp(-a x / sqrt(1 + b x)) for each column, by damped Gauss-Newton steps on all at once.

    Args:
        x: absorber along the path, (sample,).
        transmittance: (sample, wavelength).
    """
    best = np.full(transmittance.shape[1], np.inf)
    found = np.zeros((transmittance.shape[1], 2))
    for start in [(a, b) for a in (-7.0, -3.0, 0.0, 3.0) for b in (-4.0, 0.0, 4.0)]:
        p = np.tile(start, (len(best), 1))
        damping = np.full(len(best), 1e-2)
        error, jacobian = residual(p, x, transmittance)
        for _ in range(80):
            normal = np.einsum("nsi,nsj->nij", jacobian, jacobian)
            gradient = np.einsum("nsi,ns->ni", jacobian, error)
            step = np.linalg.solve(normal + damping[:, None, None] * np.eye(2) * 1e-2, -gradient[..., None])[..., 0]
            trial = np.clip(p + np.clip(step, -1, 1), -14, 14)
            new_error, new_jacobian = residual(trial, x, transmittance)
            better = (new_error**2).sum(1) < (error**2).sum(1)
            p[better], error[better], jacobian[better] = trial[better], new_error[better], new_jacobian[better]
            damping = np.where(better, damping / 3, damping * 4)
        cost = (error**2).sum(1)
        found[cost < best] = p[cost < best]
        best = np.minimum(best, cost)
    found[(transmittance > 0.99995).all(0)] = (-14.0, -14.0)
    return found[:, 0], found[:, 1]


def residual(p: np.ndarray, x: np.ndarray, transmittance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.exp(p)[:, :1], np.exp(p)[:, 1:]
    root = np.sqrt(1 + b * x)
    depth = a * x / root
    model = np.exp(-depth)
    by_a = -model * depth
    by_b = model * depth * 0.5 * b * x / root**2
    return model - transmittance.T, np.stack([by_a, by_b], axis=-1)


def gases(sixs: SixS) -> Arrays:
    """Two parameters a wavelength for water vapour and for the well-mixed gases, one for ozone, by elevation."""
    out: dict[str, list[np.ndarray]] = {"water_a": [], "water_b": [], "mixed_a": [], "mixed_b": [], "ozone": []}
    for elevation in ELEVATIONS_M:
        plain = spectrum(sixs, Case(elevation_m=elevation))[:, 1].clip(1e-4)
        wet = [spectrum(sixs, Case(water_vapour=u, elevation_m=elevation))[:, 1] / plain for u in WATER]
        a, b = water_like(airmass(0, 0) * np.array(WATER), np.array(wet).clip(0, 1))
        mixed = [spectrum(sixs, Case(sun, elevation_m=elevation))[:, 1] for sun in GAS_SUN]
        c, d = water_like(np.array([airmass(sun, 0) for sun in GAS_SUN]), np.array(mixed))
        high = spectrum(sixs, Case(80.0, ozone=0.5, elevation_m=elevation))[:, 1] / mixed[-1].clip(1e-4)
        ozone = -np.log(high.clip(1e-3, 1)) / (airmass(80, 0) * 0.5)
        for name, value in zip(out, (a, b, c, d, ozone), strict=True):
            out[name].append(value)
    table = spectrum(sixs, Case())
    return {
        **{name: np.array(value) for name, value in out.items()},
        "wavelength_nm": np.round(table[:, 0] * 1000, 1),
        "solar": table[:, 6],
        "elevation_m": np.array(ELEVATIONS_M),
        "pressure": np.array([sixs.pressure(e) for e in ELEVATIONS_M]) / sixs.pressure(0),
    }


def view_cases(sun: float, vertical_sun: float, azimuths: Iterable[float], **state: object) -> list[Case]:
    """A vertical view and one at `VIEW` for each azimuth."""
    oblique = [Case(sun, VIEW, azimuth if sun else 0.0, **state) for azimuth in azimuths]
    return [Case(vertical_sun, **state), *oblique]


def grids(aerosol: str) -> dict[str, list[list[list[Case]]]]:
    """The runs with one aerosol by name: (load or elevation, sun, view)."""
    sea, high = [], []
    for load in LOADS:
        state = {"aerosol": aerosol, "aerosol_optical_depth": load}
        sea.append([view_cases(*node, **state) for node in zip(HAZY_SUN, HAZY_VERTICAL, AZIMUTHS, strict=True)])
    for elevation in (0.0, HIGH_M):
        state = {"aerosol": aerosol, "aerosol_optical_depth": HIGH_LOAD, "elevation_m": elevation}
        high.append([view_cases(sun, sun, (0.0, 180.0), **state) for sun in HIGH_SUN])
    return {f"{aerosol}_runs": sea, f"{aerosol}_high_runs": high}


def down_cases(aerosol: str) -> list[list[Case]]:
    """The runs that the transmittance comes from: (load, zenith)."""
    return [[Case(zenith, aerosol=aerosol, aerosol_optical_depth=load) for zenith in ZENITH] for load in LOADS]


def hazy_air(sixs: SixS, aerosol: str) -> Arrays:
    """What 6SV prints at the nodes with this aerosol; last axes: node, quantity."""
    runs = {
        name: np.array([[[at_nodes(spectrum(sixs, case)) for case in views] for views in suns] for suns in grid])
        for name, grid in grids(aerosol).items()
    }
    down = [[at_nodes(spectrum(sixs, case))[:, 0] for case in row] for row in down_cases(aerosol)]
    return runs | {f"{aerosol}_down": np.array(down)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--sixs", default=None)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    sixs = SixS(arguments.cache, arguments.sixs)
    runs = [case for name in AEROSOLS for grid in grids(name).values() for suns in grid for row in suns for case in row]
    runs += [case for name in AEROSOLS for row in down_cases(name) for case in row]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda case: spectrum(sixs, case), runs))
    high = np.array([HIGH_LOAD, sixs.pressure(HIGH_M) / sixs.pressure(0)])
    table = {"node_nm": NODES_NM, "load": np.array(LOADS), "high": high, "zenith": np.array(ZENITH)}
    table |= {"hazy_sun": np.array([HAZY_SUN, HAZY_VERTICAL]), "hazy_azimuth": np.array(AZIMUTHS)}
    table |= {"high_sun": np.array([HIGH_SUN, HIGH_SUN]), "high_azimuth": np.array([(0.0, 180.0)] * len(HIGH_SUN))}
    table |= {"phase_nm": PHASE_NM, "phase_degrees": PHASE_DEGREES}
    table |= clear_air(sixs) | gases(sixs)
    for aerosol in AEROSOLS:
        table |= aerosol_optics(sixs, aerosol) | hazy_air(sixs, aerosol)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(FILE, **{name: value.astype(np.float32) for name, value in table.items()})
    print(f"{FILE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
