"""The stored table of the atmosphere and its evaluation wavelength by wavelength.

`tools/make_atmosphere.py` writes it from runs of 6SV 1.1 (Vermote et al. 1997; Kotchenova et al. 2006). Light that is
scattered once is computed exactly, layer by layer, with the aerosol's phase function; what is scattered again is smooth
in every variable, so few runs carry it:

- molecules: path reflectance over single scattering, `1 + sum_d c_d depth^d`, per sun and view; transmittance and
  spherical albedo are polynomials in the optical depth too. Pressure and wavelength act through the depth alone.
- molecules with aerosol: the multiply scattered path in units of a single isotropic scattering, over the molecules'
  own; extinction and albedo per unit of aerosol optical depth. Nodes: load, sun, view; pressure enters as a
  first-order correction.
- gases: `exp(-a x / sqrt(1 + b x))` per wavelength with x = column times air mass, which holds the band models of 6SV
  within 0.0002 for water vapour and 0.0015 for the well-mixed gases; `exp(-k x)` for ozone. As in 6SV, a column is that
  above sea level, and above a higher place lies the part that the US 62 atmosphere has there.

Wavelengths between the nodes follow 6SV: powers for the path, straight lines for transmittance and albedo.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

FILE = Path(__file__).with_name("data") / "atmosphere.npz"
AEROSOLS = ("continental",)
VIEW_LIMIT = 30.0
_MOLECULES_KM, _AEROSOL_KM = 8.0, 2.0  # scale heights in 6SV
_LEVELS_KM = np.concatenate([np.arange(0.0, 8.0, 0.4), np.array([8.0, 10.0, 14.0, 20.0, 32.0, 60.0])])

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scattering:
    """Scattering without gases; each array (elevation, wavelength)."""

    molecular_path: Array
    path: Array
    down: Array
    up: Array
    albedo: Array
    direct: Array


@dataclass(frozen=True)
class Gases:
    """Transmittance on both ways: all gases but water, water, and half of the water; (elevation, wavelength)."""

    dry: Array
    water: Array
    half_water: Array


@dataclass(frozen=True)
class View:
    """Zenith angles of sun and view and the azimuth between them (0 is backscatter), degrees."""

    sun: float
    view: float
    azimuth: float

    @property
    def zeniths(self) -> tuple[float, float]:
        """Of sun and view."""
        return self.sun, self.view


@lru_cache(maxsize=1)
def table() -> dict[str, Array]:
    """The arrays of the file by name, float64."""
    with np.load(FILE) as stored:
        return {name: stored[name].astype(np.float64) for name in stored.files}


def airmass(sun: float, view: float) -> float:
    """Length of the path down and up in units of the vertical one, for a plane-parallel atmosphere."""
    return float(1 / np.cos(np.radians(sun)) + 1 / np.cos(np.radians(view)))


def scattering_cosine(sun: float, view: float, azimuth: float) -> float:
    """Cosine of the scattering angle; azimuth 0 has sun and sensor on one side (backscatter)."""
    s, v, a = np.radians((sun, view, azimuth))
    return float(-np.cos(s) * np.cos(v) - np.sin(s) * np.sin(v) * np.cos(a))


def rayleigh_phase(cosine: float) -> float:
    """Phase function of molecules with the depolarisation that 6SV uses."""
    return 0.76032 + 0.71904 * cosine**2


def single_scattering(depth: Array, phase: Array | float, sun: float, view: float) -> Array:
    """Reflectance of a homogeneous layer where light is scattered once; `phase` includes the albedo of scattering."""
    total = np.cos(np.radians(sun)) + np.cos(np.radians(view))
    return np.asarray(phase * -np.expm1(-depth * airmass(sun, view)) / (4 * total))


def view_basis(view: float, azimuth: float) -> Array:
    """Functions that carry the path's dependence on a near-vertical view: even, odd and double azimuth."""
    v, a = np.radians((view, azimuth))
    odd = np.sin(v) * np.cos(a)
    return np.array([1, 1 - np.cos(v), odd, odd**2, odd * (1 - np.cos(v))])


def _powers(depth: Array, count: int) -> Array:
    return np.asarray(depth[..., None] ** np.arange(1, count + 1))


def _cosine(degrees: float | Array) -> Array:
    return np.asarray(np.cos(np.radians(degrees)))


def _clear(depth: Array, geometry: View) -> tuple[Array, Array]:
    """Molecules alone: gain of the path over single scattering, and the path itself."""
    t = table()
    sun, view, azimuth = geometry.sun, geometry.view, geometry.azimuth
    nodes = _cosine(t["clear_sun"])[::-1]
    coefficients = CubicSpline(nodes, t["clear_path"][::-1])(_cosine(sun))
    powers = _powers(depth, coefficients.shape[1])
    gain = 1 + powers @ (view_basis(view, azimuth) @ coefficients)
    return gain, gain * single_scattering(depth, rayleigh_phase(scattering_cosine(sun, view, azimuth)), sun, view)


def _clear_transmittance(depth: Array, zenith: float) -> Array:
    t = table()
    coefficients = CubicSpline(_cosine(t["clear_sun"])[::-1], t["clear_transmittance"][::-1])(_cosine(zenith))
    return np.asarray(np.exp(-(_powers(depth, len(coefficients)) @ coefficients) / _cosine(zenith)))


def _clear_albedo(depth: Array) -> Array:
    coefficients = table()["clear_albedo"]
    return np.asarray(_powers(depth, len(coefficients)) @ coefficients)


def _aerosol_phase(aerosol: str, cosine: float) -> Array:
    """Albedo of scattering times phase function at the nodes' wavelengths."""
    t = table()
    degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    phase = CubicSpline(t["phase_degrees"], t[f"{aerosol}_phase"].T)(degrees)
    return np.asarray(t[f"{aerosol}_single"] * np.interp(np.log(t["node_nm"]), np.log(t["phase_nm"]), phase))


def _isotropic(depth: Array, sun: float, view: float) -> Array:
    """What a homogeneous layer that scatters evenly would reflect in one scattering: the measure of all the rest."""
    return single_scattering(depth, 1.0, sun, view)


def _layered_single(aerosol: str, load: float, depth: Array, geometry: View) -> Array:
    """Single scattering by molecules and aerosol whose densities fall with height, (..., node)."""
    t = table()
    sun, view = geometry.sun, geometry.view
    cosine = scattering_cosine(sun, view, geometry.azimuth)
    haze = load * t[f"{aerosol}_extinction"]
    molecules, particles = np.exp(-_LEVELS_KM / _MOLECULES_KM), np.exp(-_LEVELS_KM / _AEROSOL_KM)
    molecules[-1] = particles[-1] = 0.0  # the top
    above = depth[..., None] * molecules + haze[:, None] * particles
    within = -np.diff(above)
    source = -depth[..., None] * np.diff(molecules) * rayleigh_phase(cosine)
    source = source - (haze * _aerosol_phase(aerosol, cosine))[:, None] * np.diff(particles)
    attenuation = np.exp(-above[..., 1:] * airmass(sun, view))
    layers = attenuation * single_scattering(within, source / within, sun, view)
    return np.asarray(layers.sum(-1))


def _excess(aerosol: str, load: float, depth: Array, geometry: View, path: Array) -> Array:
    """Light scattered more than once, in units of `_isotropic`, over what molecules alone add to it."""
    haze = load * table()[f"{aerosol}_extinction"]
    more = (path - _layered_single(aerosol, load, depth, geometry)) / _isotropic(depth + haze, *geometry.zeniths)
    return np.asarray(more - _clear_excess(depth, geometry))


def _clear_excess(depth: Array, geometry: View) -> Array:
    gain, path = _clear(depth, geometry)
    return np.asarray(path * (1 - 1 / gain) / _isotropic(depth, *geometry.zeniths))


@dataclass(frozen=True)
class _Haze:
    """Nodes of one aerosol. Each `high` holds the change from sea level to the high elevation at one load."""

    excess: Array  # (load, sun, view basis of 4, node)
    high_excess: Array  # (high sun, view basis of 3, node)
    extinction: Array  # (load, zenith, node), per unit of aerosol optical depth
    high_extinction: Array  # (high sun, node)
    albedo: Array  # (load, node), per unit of aerosol optical depth
    high_albedo: Array  # (node,)


@lru_cache(maxsize=8)
def _haze(aerosol: str) -> _Haze:
    """The nodes from what 6SV printed: `runs` (load, sun, view) and `high_runs` (low or high, sun, view)."""
    t = table()
    runs, high_runs = t[f"{aerosol}_runs"], t[f"{aerosol}_high_runs"]
    excess = [
        _on_basis(aerosol, load, t["molecular_depth"], t["hazy_sun"], t["hazy_azimuth"], run[..., 3])
        for load, run in zip(t["load"], runs, strict=True)
    ]
    high_load, high_pressure = t["high"]
    high_depth = t["molecular_depth"] * high_pressure
    depths = np.stack([t["molecular_depth"], high_depth])
    low, high = (
        _on_basis(aerosol, high_load, depth, t["high_sun"], t["high_azimuth"], run[..., 3])
        for depth, run in zip(depths, high_runs, strict=True)
    )
    extinction = [
        _extinction(aerosol, load, t["molecular_depth"], t["zenith"], run)
        for load, run in zip(t["load"], t[f"{aerosol}_down"], strict=True)
    ]
    low_extinction, high_extinction = (
        _extinction(aerosol, high_load, depth, t["high_sun"][0], run[:, 0, :, 0])
        for depth, run in zip(depths, high_runs, strict=True)
    )
    haze = t[f"{aerosol}_extinction"]
    albedo = (runs[..., 2].mean((1, 2)) - _clear_albedo(t["molecular_depth"])) / (t["load"][:, None] * haze)
    low_albedo, high_albedo = (high_runs[..., 2].mean((1, 2)) - _clear_albedo(depths)) / (high_load * haze)
    return _Haze(
        np.array(excess),
        high - low,
        np.array(extinction),
        high_extinction - low_extinction,
        albedo,
        high_albedo - low_albedo,
    )


def _on_basis(aerosol: str, load: float, depth: Array, suns: Array, azimuths: Array, path: Array) -> Array:
    """Coefficients (sun, basis, node) of the excess in a vertical view and one at `VIEW_LIMIT` per azimuth.

    Args:
        aerosol: of the run.
        load: of the run.
        depth: optical depth of the molecules, (node,).
        suns: zenith angles for the oblique and for the vertical view, (2, sun).
        azimuths: of the oblique views, (sun, view).
        path: (sun, view, node), the vertical view first.
    """
    count = 1 + len(azimuths[0])
    out = np.zeros((suns.shape[1], count, len(depth)))
    for i, (sun, vertical_sun) in enumerate(suns.T):
        views = [View(vertical_sun, 0.0, 0.0), *(View(sun, VIEW_LIMIT, azimuth) for azimuth in azimuths[i])]
        excess = [_excess(aerosol, load, depth, view, path[i, j]) for j, view in enumerate(views)]
        basis = [view_basis(view.view, view.azimuth)[:count] for view in views]
        out[i] = np.linalg.lstsq(np.array(basis), np.array(excess), rcond=None)[0]
    return out


def _extinction(aerosol: str, load: float, depth: Array, zeniths: Array, transmittance: Array) -> Array:
    """Extinction by aerosol per unit of its optical depth, (zenith, node)."""
    haze = load * table()[f"{aerosol}_extinction"]
    clear = np.array([_clear_transmittance(depth, zenith) for zenith in zeniths])
    return np.asarray(-np.log(transmittance / clear) * _cosine(zeniths)[:, None] / haze)


def _over(nodes: Array, values: Array, zenith: float) -> Array:
    """Cubic in the cosine of a zenith angle; the nodes (degrees, ascending) lie along the first axis."""
    return np.asarray(CubicSpline(_cosine(nodes)[::-1], values[::-1])(_cosine(zenith)))


def _parabola(nodes: Array, values: Array, x: float) -> Array:
    """The parabola through three nodes along the first axis."""
    a, b, c = nodes
    weight = [(x - b) * (x - c) / (a - b) / (a - c), (x - a) * (x - c) / (b - a) / (b - c)]
    return np.asarray(np.tensordot([*weight, 1 - sum(weight)], values, axes=1))


def scattering(aerosol: str, load: float, geometry: View, elevation_m: Array) -> Scattering:
    """Scattering at each wavelength of the table.

    Args:
        aerosol: one of ``AEROSOLS``.
        load: aerosol optical depth at 550 nm.
        geometry: of the beams.
        elevation_m: (elevation,).
    """
    t = table()
    haze = _haze(aerosol)
    pressure = _pressure(elevation_m)
    depth = pressure[:, None] * t["molecular_depth"]
    step = ((1 - pressure) / (1 - t["high"][1]))[:, None]
    aerosol_depth = load * t[f"{aerosol}_extinction"]
    _, molecular_path = _clear(depth, geometry)

    # Per unit of load the excess saturates; in 1 / (1 + 2 load) it is nearly a straight line.
    nodes = 1 / (1 + 2 * t["load"])
    per_load = haze.excess / t["load"][:, None, None, None]
    by_load = load * _parabola(nodes, per_load, 1 / (1 + 2 * load))
    basis = view_basis(geometry.view, geometry.azimuth)
    excess = basis[:4] @ _over(t["hazy_sun"][0], by_load, geometry.sun)
    share = load * (t["high"][0] + 0.3) / (t["high"][0] * (load + 0.3))
    excess = excess + step * share * (basis[:3] @ _over(t["high_sun"][0], haze.high_excess, geometry.sun))
    scattered_again = excess + _clear_excess(depth, geometry)
    path = _layered_single(aerosol, load, depth, geometry)
    path = path + scattered_again * _isotropic(depth + aerosol_depth, *geometry.zeniths)

    def transmittance(zenith: float) -> Array:
        extinction = _over(t["zenith"], _parabola(t["load"], haze.extinction, load), zenith)
        extinction = extinction + step * _over(t["high_sun"][0], haze.high_extinction, zenith)
        return np.asarray(_clear_transmittance(depth, zenith) * np.exp(-aerosol_depth * extinction / _cosine(zenith)))

    sun, view = geometry.zeniths
    albedo = _parabola(t["load"], haze.albedo, load) + step * haze.high_albedo
    albedo = _clear_albedo(depth) + aerosol_depth * albedo
    direct = np.exp(-(depth + aerosol_depth) / _cosine(sun))
    return Scattering(
        molecular_path=_power_law(molecular_path),
        path=_power_law(path),
        down=_straight(transmittance(sun)),
        up=_straight(transmittance(view)),
        albedo=_straight(albedo),
        direct=_straight(direct),
    )


def gases(water: float, ozone: float, geometry: View, elevation_m: Array) -> Gases:
    """Transmittance of the gases at each wavelength of the table.

    Args:
        water: column above sea level, g/cm2.
        ozone: column above sea level, cm-atm.
        geometry: of the beams.
        elevation_m: (elevation,).
    """
    way = airmass(geometry.sun, geometry.view)

    def at(name: str) -> Array:
        return np.asarray(_gas_parameter(name)(elevation_m))

    def band_model(name: str, amount: float) -> Array:
        a, b = np.exp(at(f"{name}_a")), np.exp(at(f"{name}_b"))
        return np.asarray(np.exp(-a * amount / np.sqrt(1 + b * amount)))

    dry = band_model("mixed", way) * np.exp(-at("ozone").clip(0.0) * ozone * way)
    return Gases(dry, band_model("water", water * way), band_model("water", water * way / 2))


@lru_cache(maxsize=8)
def _gas_parameter(name: str) -> PchipInterpolator:
    return PchipInterpolator(table()["elevation_m"], table()[name], extrapolate=True)


def _pressure(elevation_m: Array) -> Array:
    t = table()
    return np.asarray(np.exp(CubicSpline(t["elevation_m"], np.log(t["pressure"]))(elevation_m)))


def _straight(values: Array) -> Array:
    """From the nodes to all wavelengths, (elevation, node) to (elevation, wavelength)."""
    t = table()
    return np.stack([np.interp(t["wavelength_nm"], t["node_nm"], row) for row in values])


def _power_law(values: Array) -> Array:
    t = table()
    x, nodes = np.log(t["wavelength_nm"]), np.log(t["node_nm"])
    return np.stack([np.exp(np.interp(x, nodes, np.log(row))) for row in values])
