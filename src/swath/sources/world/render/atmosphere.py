r"""What the atmosphere does to reflectance between the surface and a satellite.

Over a uniform Lambertian surface of reflectance :math:`\rho_s` a satellite sees (Vermote et al. 1997, equations 10-12)

.. math:: \rho_{toa} = \rho_{path} + T \frac{\rho_s}{1 - S \rho_s}

with the path reflectance of molecules and aerosol, attenuated by the gases (aerosol by half of the water vapour), the
transmittance of gases and scattering on both ways, and the spherical albedo. The three are found at wavelengths 2.5 nm
apart from a table of 6SV 1.1 and averaged over the measured response of a band with the solar spectrum as weight: the
average of the equation over the band, but for the curvature in S. Light from neighbouring pixels is not treated here.

E. F. Vermote, D. Tanré, J. L. Deuzé, M. Herman, J.-J. Morcrette (1997), Second Simulation of the Satellite Signal in
the Solar Spectrum, 6S: an overview, IEEE TGRS 35(3), doi:10.1109/36.581987. S. Y. Kotchenova, E. F. Vermote,
R. Matarrese, F. J. Klemm (2006), Validation of a vector version of the 6S radiative transfer code, Applied Optics 45.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.errors import InputError, nearest
from swath.sources.world.render import _atmosphere_table as spectral

Array = NDArray[np.float64]
Responses = Mapping[str, tuple[Array, Array]]
"""Band name -> wavelength (nm, increasing) and relative response, both (sample,)."""

AEROSOLS = spectral.AEROSOLS
SUN_LIMIT, VIEW_LIMIT = 80.0, spectral.VIEW_LIMIT
ELEVATION_LIMITS = (-500.0, 8900.0)


@dataclass(frozen=True)
class Atmosphere:
    """The state of the atmosphere over a scene.

    Args:
        aerosol_optical_depth: at 550 nm, 0 to 1.2; the load above the surface, whatever its elevation.
        water_vapour_g_cm2: column above sea level, 0 to 8; a higher place has less above it.
        ozone_cm_atm: column, 0 to 0.7.
        aerosol: model of the particles, one of ``AEROSOLS``.

    Raises:
        InputError: a value outside of its range, or an aerosol that is not known.
    """

    aerosol_optical_depth: float = 0.1
    water_vapour_g_cm2: float = 2.0
    ozone_cm_atm: float = 0.3
    aerosol: str = "continental"

    def __post_init__(self) -> None:
        _within("aerosol_optical_depth", self.aerosol_optical_depth, 0.0, 1.2)
        _within("water_vapour_g_cm2", self.water_vapour_g_cm2, 0.0, 8.0)
        _within("ozone_cm_atm", self.ozone_cm_atm, 0.0, 0.7)
        if self.aerosol not in AEROSOLS:
            raise InputError(
                f"The aerosol '{self.aerosol}' is not known",
                expected=f"one of {', '.join(AEROSOLS)}",
                remedy=f"take {nearest(self.aerosol, AEROSOLS)}",
            )


@dataclass(frozen=True)
class Coefficients:
    """The atmosphere as bands see it, at one or more elevations. Arrays are float64 (band, elevation).

    Args:
        bands: names, in the order of the first axis.
        elevation_m: (elevation,), increasing; between them coefficients are interpolated linearly.
        path: reflectance of the atmosphere alone.
        transmittance: sun to surface to satellite, gases and scattering.
        spherical_albedo: share of the light going up that comes down again.
        gas: the gases' share in the transmittance.
        direct: share of the direct beam in the light on a horizontal surface; the rest is diffuse.
    """

    bands: tuple[str, ...]
    elevation_m: Array
    path: Array
    transmittance: Array
    spherical_albedo: Array
    gas: Array
    direct: Array


def coefficients(
    responses: Responses,
    atmosphere: Atmosphere,
    sun_zenith: float,
    view_zenith: float,
    relative_azimuth: float,
    elevation_m: ArrayLike = 0.0,
) -> Coefficients:
    """Band-averaged coefficients for one geometry.

    Args:
        responses: measured spectral responses by band, within 400 to 2500 nm; negative noise counts as zero.
        atmosphere: its state.
        sun_zenith: degrees, 0 to 80.
        view_zenith: degrees at the surface, 0 to 30.
        relative_azimuth: degrees between the directions to the sun and to the satellite; 0 has both on one side.
        elevation_m: one elevation, or increasing ones (elevation,), -500 to 8900; see ``elevation_nodes``.

    Raises:
        InputError: an angle or elevation outside of its range, or a response that cannot be used.
    """
    _within("sun_zenith", sun_zenith, 0.0, SUN_LIMIT)
    _within("view_zenith", view_zenith, 0.0, VIEW_LIMIT)
    _within("relative_azimuth", relative_azimuth, -360.0, 360.0)
    elevation = _elevations(elevation_m)
    grid = spectral.table()["wavelength_nm"]
    weight = np.array([_weights(name, *curve, grid) for name, curve in responses.items()]).reshape(-1, len(grid))
    view = spectral.View(float(sun_zenith), float(view_zenith), float(relative_azimuth))
    air = spectral.scattering(atmosphere.aerosol, atmosphere.aerosol_optical_depth, view, elevation)
    gas = spectral.gases(atmosphere.water_vapour_g_cm2, atmosphere.ozone_cm_atm, view, elevation)

    path = air.molecular_path * gas.dry + (air.path - air.molecular_path) * gas.dry * gas.half_water
    transmission = gas.dry * gas.water
    total = transmission * air.down * air.up
    through = weight @ total.T
    floor = np.finfo(np.float64).tiny  # a band behind saturated gases: means over nothing stay finite
    return Coefficients(
        bands=tuple(responses),
        elevation_m=elevation,
        path=weight @ path.T,
        transmittance=through,
        spherical_albedo=weight @ (total * air.albedo).T / np.maximum(through, floor),
        gas=weight @ transmission.T,
        direct=weight @ (transmission * air.direct).T / np.maximum(weight @ (transmission * air.down).T, floor),
    )


def elevation_nodes(elevation_m: NDArray[np.floating], step_m: float = 400.0) -> Array:
    """Nodes that span the finite elevations of a scene (any shape) evenly, at most ``step_m`` apart.

    With 400 m, linear interpolation between nodes is within 0.0005 of reflectance. A scene without any finite
    elevation gets sea level.
    """
    finite = np.asarray(elevation_m)[np.isfinite(elevation_m)]
    if finite.size == 0:
        return np.zeros(1)
    low, high = np.clip((finite.min(), finite.max()), *ELEVATION_LIMITS)
    if low == high:
        return np.array([low], dtype=np.float64)
    return np.linspace(low, high, int(np.ceil((high - low) / step_m)) + 1)


def to_toa(
    surface: NDArray[np.float32],
    coefficients: Coefficients,
    elevation_m: NDArray[np.floating] | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Reflectance at the top of the atmosphere from that of the surface.

    Args:
        surface: float32 (band, ...), bands as in ``coefficients``; NaN stays NaN.
        coefficients: of the scene.
        elevation_m: (...), metres; may be left out where the coefficients hold for one elevation. Beyond the nodes
            the outermost one is used.
        out: where to write; may be ``surface`` itself.

    Raises:
        InputError: shapes do not fit, or elevations are missing.
    """
    out = _target(surface, coefficients, out)
    place = _place(surface, coefficients, elevation_m)
    for band in range(len(coefficients.bands)):
        path, transmittance, albedo = _planes(coefficients, band, place)
        rho = surface[band]
        lost = np.multiply(rho, albedo)
        np.subtract(np.float32(1), lost, out=lost)
        np.divide(rho, lost, out=lost)
        lost *= transmittance
        np.add(lost, path, out=out[band])
    return out


def to_surface(
    toa: NDArray[np.float32],
    coefficients: Coefficients,
    elevation_m: NDArray[np.floating] | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Reflectance of the surface from that at the top of the atmosphere: the inverse of ``to_toa``, same arguments."""
    out = _target(toa, coefficients, out)
    place = _place(toa, coefficients, elevation_m)
    for band in range(len(coefficients.bands)):
        path, transmittance, albedo = _planes(coefficients, band, place)
        seen = np.subtract(toa[band], path)
        seen /= transmittance
        feedback = np.multiply(seen, albedo)
        feedback += np.float32(1)
        np.divide(seen, feedback, out=out[band])
    return out


Place = tuple[NDArray[np.intp], NDArray[np.float32]] | None
Plane = NDArray[np.float32] | np.float32


def _target(
    values: NDArray[np.float32], coefficients: Coefficients, out: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    count = len(coefficients.bands)
    if values.ndim < 1 or values.shape[0] != count or values.dtype != np.float32:
        raise InputError(
            f"The reflectance has shape {values.shape} and dtype {values.dtype}",
            expected=f"float32 with the {count} bands of the coefficients on the first axis",
            remedy="select these bands in this order and convert to float32",
        )
    if out is None:
        return np.empty_like(values)
    if out.shape != values.shape or out.dtype != np.float32:
        raise InputError(
            f"'out' has shape {out.shape} and dtype {out.dtype}",
            expected=f"float32 of shape {values.shape}",
            remedy="leave it out, or give an array like the reflectance",
        )
    return out


def _place(values: NDArray[np.float32], coefficients: Coefficients, elevation_m: NDArray[np.floating] | None) -> Place:
    """For each pixel the node below it and the way to the next one, 0 to 1."""
    nodes = coefficients.elevation_m
    if len(nodes) == 1:
        return None
    if elevation_m is None or elevation_m.shape != values.shape[1:]:
        raise InputError(
            f"The elevations have shape {None if elevation_m is None else elevation_m.shape}",
            expected=f"one for each pixel, {values.shape[1:]}, as the coefficients hold for {len(nodes)} elevations",
            remedy="give elevation_m, or compute the coefficients for one elevation",
        )
    elevation = np.clip(elevation_m, nodes[0], nodes[-1])
    elevation = np.where(np.isfinite(elevation), elevation, nodes[0])
    below = np.clip(np.searchsorted(nodes, elevation, side="right") - 1, 0, len(nodes) - 2)
    way = (elevation - nodes[below]) / np.diff(nodes)[below]
    return below, way.astype(np.float32)


def _planes(coefficients: Coefficients, band: int, place: Place) -> tuple[Plane, Plane, Plane]:
    rows = (coefficients.path[band], coefficients.transmittance[band], coefficients.spherical_albedo[band])
    if place is None:
        path, transmittance, albedo = (np.float32(row[0]) for row in rows)
        return path, transmittance, albedo
    below, way = place

    def plane(row: Array) -> NDArray[np.float32]:
        values = np.take(np.diff(row).astype(np.float32), below)
        values *= way
        values += np.take(row[:-1].astype(np.float32), below)
        return values

    return plane(rows[0]), plane(rows[1]), plane(rows[2])


def _weights(name: str, wavelength: Array, response: Array, grid: Array) -> Array:
    """Response times solar irradiance on the table's wavelengths, normalised."""
    nm, curve = np.asarray(wavelength, dtype=np.float64), np.asarray(response, dtype=np.float64)
    if nm.ndim != 1 or nm.shape != curve.shape or len(nm) < 2 or not np.isfinite(curve).all():
        raise InputError(
            f"The response of band '{name}' has the shapes {nm.shape} and {curve.shape}, or holds gaps",
            expected="two finite arrays of one length, at least 2",
            remedy="give wavelengths in nm and the response at each",
        )
    curve = curve.clip(0.0)
    used = nm[curve > 0.01 * curve.max()] if curve.max() > 0 else nm[:0]
    if not (np.diff(nm) > 0).all() or used.size == 0 or used[0] < grid[0] or used[-1] > grid[-1]:
        raise InputError(
            f"The response of band '{name}' covers {nm.min():g} to {nm.max():g} nm, or does not increase, or is zero",
            expected=f"increasing wavelengths within {grid[0]:g} to {grid[-1]:g} nm and a response above zero",
            remedy="give nm, not micrometres, and leave thermal bands out",
        )
    weight = np.interp(grid, nm, curve, left=0.0, right=0.0) * spectral.table()["solar"]
    if weight.sum() <= 0:
        raise InputError(
            f"The response of band '{name}' is narrower than the spectral step",
            expected=f"a band wider than {grid[1] - grid[0]:g} nm",
            remedy="use a broader band; this table cannot resolve it",
        )
    return np.asarray(weight / weight.sum())


def _elevations(elevation_m: ArrayLike) -> Array:
    nodes = np.atleast_1d(np.asarray(elevation_m, dtype=np.float64))
    low, high = ELEVATION_LIMITS
    if (
        nodes.ndim != 1
        or nodes.size == 0
        or not ((nodes >= low) & (nodes <= high)).all()
        or (np.diff(nodes) <= 0).any()
    ):
        raise InputError(
            "The elevations of the coefficients are not increasing, not numbers, or out of range",
            expected=f"one or more increasing values from {low:g} to {high:g} m",
            remedy="use elevation_nodes() of the scene's elevations",
        )
    return nodes


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also catches NaN
        raise InputError(
            f"{name} is {value:g}",
            expected=f"{low:g} to {high:g}",
            remedy="choose a value in that range: the table ends there",
        )
