"""One block of an observation: from the layers of a truth to stored numbers on every native grid.

Everything but the sun, which is that of the cell's centre, is a function of absolute place with a finite margin. So
what a pixel holds does not depend on the window it is made with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from swath.sources.world.render import air as airs
from swath.sources.world.render import clouds, illumination, numbers
from swath.sources.world.render.air import Air, Heights
from swath.sources.world.render.atmosphere import Atmosphere
from swath.sources.world.render.clouds import Ray
from swath.sources.world.render.plan import Node, Plan, band_shapes
from swath.sources.world.render.quality import REACH, Overhead, Unusable, ground_of, grown, quality
from swath.sources.world.render.resolution import (
    Rectangle,
    block_mean,
    enlarge,
    kernel,
    resample,
)
from swath.sources.world.render.surface import surface_reflectance

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Made:
    """A cell's share of one native grid: stored numbers and validity ``(band, H, W)``, quality ``(H, W)`` or None."""

    data: NDArray[Any]
    valid: Mask
    quality: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class _Tile:
    """A block on one native grid.

    Args:
        plan: of the observation.
        node: the grid.
        sun: over the cell.
        place: pixels of the truth whose layers are known.
        target: native pixels.
        heights: of these, or None without an elevation.
        lost: which hold no data: the truth covers them in part, or their blur reaches a hole of it.
    """

    plan: Plan
    node: Node
    sun: Ray
    place: Rectangle
    target: Rectangle
    heights: Heights | None
    lost: Mask


@dataclass(frozen=True, eq=False)
class _Light:
    """Light on terrain, on the pixels of the truth, float32 ``(H, W)``.

    Args:
        direct: sunlight over that on level ground, cast shadows included.
        sky: share of the sky in view.
        lit: share of the sun's disc above the terrain.
        heights: where the pixels lie among the heights of the atmosphere.
    """

    direct: Values
    sky: Values
    lit: Values
    heights: Heights


@dataclass(frozen=True, eq=False)
class _Sky:
    """Clouds over a cell on their mesh, with the margin that quality layers and interpolation need.

    Args:
        place: pixels of the mesh.
        margin: pixels around the cell's.
        seen: optical thickness of low cloud and of cirrus towards the satellite.
        passing: share of the sunlight that passes both.
    """

    place: Rectangle
    margin: int
    seen: tuple[Values, Values]
    passing: Values

    @cached_property
    def clear(self) -> bool:
        """Whether nothing of it can be seen: leaving it out then changes no bit."""
        return not (self.seen[0].any() or self.seen[1].any() or (self.passing != 1.0).any())


def render(plan: Plan, sun: Ray, layers: xr.Dataset, elevation: Values | None, part: Rectangle) -> tuple[Made, ...]:
    """Everything a sensor stores of a part of a cell.

    Args:
        plan: of the observation.
        sun: over the cell.
        layers: of the truth over ``plan.surface(part)``, in memory, with its coordinates.
        elevation: float32 over ``plan.relief(part)`` [m], or None.
        part: pixels of the truth, inside one cell.

    Returns:
        one piece per node, over the native pixels that ``part`` touches.
    """
    reflectance = surface_of(plan, sun, layers)
    holes = np.asarray(~np.isfinite(reflectance).all(axis=0))
    if holes.any():
        reflectance = np.where(holes, np.float32(0.0), reflectance)
    sky = sky_over(plan, sun, part)
    true, believed = _atmospheres(plan, sun)
    light = None if elevation is None else _light(plan, sun, elevation)
    made, first = [], 0
    for node in plan.nodes:
        bands = slice(first, first + len(node.names))
        tile = _tile(plan, node, sun, elevation, holes, part)
        air = true.select(bands)
        ground = np.stack(
            [_blurred(tile, index, reflectance[first + index], light, air) for index in range(len(node.names))]
        )
        above = _above(tile, ground, air, sky)
        data, full = _stored(tile, above, believed.select(bands) if believed else None)
        valid = np.broadcast_to(~tile.lost, data.shape)
        if node.product.saturated is not None:
            valid = valid & ~full
        layer = _quality(tile, layers, light, sky, full.any(axis=0) & ~tile.lost) if node.quality else None
        made.append(Made(data, np.ascontiguousarray(valid), layer))
        first = bands.stop
    return tuple(made)


def surface_of(plan: Plan, sun: Ray, layers: xr.Dataset) -> Values:
    """Reflectance of the ground, float32 ``(band, y, x)`` on the pixels of the truth."""
    moment = plan.moment
    satellite = moment.said.platform
    day = int((moment.time.astype("datetime64[D]") - moment.time.astype("datetime64[Y]")).astype(int)) + 1
    view = moment.view
    azimuth = 0.0 if view.zenith == 0.0 else _rounded(airs.relative_azimuth(sun, view), airs.AZIMUTH_STEP)
    return surface_reflectance(
        layers,
        band_shapes(plan.sensor, satellite, plan.names),
        _rounded(sun.zenith, airs.ZENITH_STEP),
        view.zenith,
        azimuth,
        day_of_year=float(day),
        seed=int(layers.attrs.get("seed", 0)),
    )


def _rounded(value: float, step: float) -> float:
    """To a multiple of ``step``: the ground's models are tabulated for each geometry, and cells differ by less."""
    return round(value / step) * step


def sky_over(plan: Plan, sun: Ray, part: Rectangle) -> _Sky:
    """The clouds over a part of a cell."""
    margin = max(REACH[plan.tool.scheme] * round(plan.tool.quality_gsd_m / plan.mesh), 1)
    place = plan.core(part).coarser(plan.grid.times(plan.mesh)).pad(margin)
    y, x = plan.grid.northings(plan.mesh, place), plan.grid.eastings(plan.mesh, place)
    low, high = plan.moment.clouds
    seen = [clouds.depth_along(layer, plan.moment.view, y, x) for layer in (low, high)]
    passing = np.ones(place.shape, np.float32)
    for layer in (low, high):
        if layer.share > 0.0:
            passing *= clouds.optics(sun.cosine, 1.0, layer.ice)(clouds.depth_along(layer, sun, y, x))[1]
    return _Sky(place, margin, (seen[0], seen[1]), passing)


def _atmospheres(plan: Plan, sun: Ray) -> tuple[Air, Air | None]:
    """The air as it is, and as surface products believe it is."""
    moment = plan.moment

    def over(atmosphere: Atmosphere, heights: tuple[float, ...] = ()) -> Air:
        return airs.air(plan.sensor, plan.names, moment.said.platform, atmosphere, sun, moment.view, heights)

    heights = tuple(layer.height for layer in moment.clouds if layer.share > 0.0)
    true = over(moment.atmosphere, heights)
    return true, over(moment.retrieved) if plan.level in plan.tool.surface else None


def _light(plan: Plan, sun: Ray, elevation: Values) -> _Light:
    """Light over ``plan.surface(part)``, from the elevation over ``plan.relief(part)``."""
    gsd, reach = plan.grid.gsd, plan.moment.said.terrain_reach
    height, width = (size - 2 * plan.shade for size in elevation.shape)

    def around(pixels: int) -> Values:
        first = plan.shade - pixels
        return elevation[first : first + height + 2 * pixels, first : first + width + 2 * pixels]

    east, north = illumination.gradients(around(1), gsd)
    lit = illumination.cast_shadow(around(illumination.reach_pixels(gsd, reach)), gsd, sun, reach)
    direct = illumination.incidence(east, north, sun) * lit
    return _Light(direct, illumination.sky_view(east, north), lit, airs.heights_of(around(0)))


def _tile(plan: Plan, node: Node, sun: Ray, elevation: Values | None, holes: Mask, part: Rectangle) -> _Tile:
    times, known, place = plan.grid.times(node.gsd), plan.grid.place, plan.surface(part)
    target = part.coarser(times)
    rows = (target.row + np.arange(target.height)) * times
    columns = (target.column + np.arange(target.width)) * times
    inside_y = (rows >= known.row) & (rows + times <= known.bottom)
    inside_x = (columns >= known.column) & (columns + times <= known.right)
    lost = ~(inside_y[:, None] & inside_x[None, :])
    if holes.any():
        reach = max(len(taps) // 2 for taps in node.blurs)
        near = grown(holes[target.finer(times).pad(reach).within(place)], reach)
        lost |= block_mean(near.astype(np.float32), times) > 0
    heights = None
    if elevation is not None:
        inside = target.finer(times).within(plan.relief(part))
        heights = airs.heights_of(block_mean(elevation[inside], times))
    return _Tile(plan, node, sun, place, target, heights, np.asarray(lost))


def _blurred(tile: _Tile, index: int, reflectance: Values, light: _Light | None, air: Air) -> Values:
    """Reflectance of a band times the light on the ground, over that on level ground, on native pixels."""
    times, taps = tile.plan.grid.times(tile.node.gsd), tile.node.blurs[index]
    window = tile.target.finer(times).pad(len(taps) // 2).within(tile.place)
    fine = reflectance[window]
    if light is not None:
        # Arranged so that level ground in the sun keeps its reflectance to the last bit.
        share, sky = air.direct(index, light.heights.part(window)), light.sky[window]
        fine = fine * (sky + share * (light.direct[window] - sky))
    return resample(fine, kernel(taps, times), times)


def _above(tile: _Tile, ground: Values, air: Air, sky: _Sky) -> Values:
    """Reflectance at the top of the atmosphere ``(band, H, W)``."""
    layers, heights = tile.plan.moment.clouds, tile.heights
    if sky.clear:
        return air.to_toa(ground, heights)
    passing = _on_node(tile, sky, sky.passing)
    for index in range(len(ground)):
        ground[index] *= _shade(passing, air.direct(index, heights), layers[0].share)
    seen = air.to_toa(ground, heights)
    present = [number for number, layer in enumerate(layers) if layer.share > 0.0]
    shells: dict[tuple[int, float], tuple[Values, Values]] = {}
    for index, band in enumerate(tile.node.product.bands):
        for number, over in zip(present, air.over_cloud, strict=True):
            omega = clouds.albedo(band.wavelength_nm or 0.0, layers[number].ice)
            if (number, omega) not in shells:
                shells[number, omega] = _shell(tile, sky, number, omega)
            seen[index] = clouds.over(
                seen[index], shells[number, omega], (float(over[0, index]), float(over[1, index]))
            )
    return seen


def _shade(passing: Values, direct: Any, share: float) -> Values:
    """Light on the ground over that under a clear sky: direct light passes the clouds towards the sun, and the light
    of the sky, which comes from everywhere, is taken to be dimmed by the share of it that clouds cover.
    """
    one = np.float32(1.0)
    diffuse = one - np.float32(share) * (one - passing)
    return diffuse + direct * (passing - diffuse)


def _shell(tile: _Tile, sky: _Sky, number: int, omega: float) -> tuple[Values, Values]:
    """Reflectance of one layer of cloud and its transmittance both ways, on a node."""
    moment, depth = tile.plan.moment, sky.seen[number]
    ice = moment.clouds[number].ice
    reflected, down = clouds.optics(tile.sun.cosine, omega, ice)(depth)
    _, up = clouds.optics(moment.view.cosine, omega, ice)(depth)
    return _on_node(tile, sky, reflected), _on_node(tile, sky, down * up)


def _on_node(tile: _Tile, sky: _Sky, values: Values) -> Values:
    """From the mesh of the clouds to native pixels."""
    mesh, gsd = tile.plan.mesh, tile.node.gsd
    if gsd < mesh:
        times, margin = round(mesh / gsd), sky.margin - 1
        large = enlarge(values[margin : values.shape[0] - margin, margin : values.shape[1] - margin], times)
        return large[tile.target.within(sky.place.pad(-sky.margin).finer(times))]
    times = round(gsd / mesh)
    return block_mean(values[tile.target.finer(times).within(sky.place)], times)


def _stored(tile: _Tile, above: Values, believed: Air | None) -> tuple[NDArray[Any], Mask]:
    """Stored numbers and saturation, each ``(band, H, W)``."""
    plan, node = tile.plan, tile.node
    exposures = numbers.exposures(plan.tool, node.names, node.raw, tile.sun.zenith, plan.distance)
    normals: list[Values | None] = [None] * len(node.names)
    if plan.moment.said.noise:
        key = numbers.noise_key(plan.moment.seed, plan.sensor, plan.moment.time, node.gsd)
        normals = [*numbers.normals_of(key, tile.target, len(node.names))]
    seen, full = np.empty_like(above), np.empty(above.shape, np.bool_)
    for index, exposure in enumerate(exposures):
        seen[index], full[index] = numbers.measure(above[index], exposure, normals[index])
    if believed is not None:
        ground = believed.to_surface(seen, tile.heights)
        seen = np.where(np.array(node.above)[:, None, None], seen, ground) if any(node.above) else ground
    else:
        seen *= np.array([exposure.factor for exposure in exposures], np.float32)[:, None, None]
    data = np.empty(seen.shape, numbers.stored_type(node.product))
    for index in range(len(node.names)):
        data[index] = numbers.encode(seen[index], node.product, index, tile.lost, full[index])
    return data, full


def _quality(tile: _Tile, layers: xr.Dataset, light: _Light | None, sky: _Sky, full: Mask) -> NDArray[Any]:
    plan, scheme = tile.plan, tile.plan.tool.scheme
    times, coarser = plan.grid.times(plan.tool.quality_gsd_m), round(plan.tool.quality_gsd_m / plan.mesh)
    window = tile.target.finer(times).within(tile.place)
    around = tile.target.pad(REACH[scheme]).finer(coarser).within(sky.place)
    cloud, cirrus, passing = (block_mean(values[around], coarser) for values in (*sky.seen, sky.passing))
    return quality(
        scheme,
        ground_of(layers, *window, times),
        Overhead(cloud, cirrus, passing),
        None if light is None else block_mean(light.lit[window], times),
        Unusable(tile.lost, full),
        aerosol=plan.moment.retrieved.aerosol_optical_depth,
        sees_cirrus=plan.sensor == "landsat8_oli",
    )
