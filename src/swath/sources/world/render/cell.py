"""One cell of an observation: from the layers of a truth to stored numbers on every native grid.

Cells are 6 km wide and lie at whole multiples of that in the plane of the CRS. In a cell the sun is that of its
centre (Sentinel-2 tells its angles every 5 km); all else is a function of absolute place with a finite margin. So what
a pixel holds does not depend on the window it is made with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from swath.sensors import Scaling
from swath.sources.world.render import air as airs
from swath.sources.world.render import clouds, illumination, numbers
from swath.sources.world.render.air import Air, Heights
from swath.sources.world.render.atmosphere import Atmosphere
from swath.sources.world.render.clouds import Ray
from swath.sources.world.render.conditions import Moment
from swath.sources.world.render.instrument import Instrument
from swath.sources.world.render.quality import REACH, Overhead, ground_of, grown, quality
from swath.sources.world.render.resolution import (
    Rectangle,
    TruthGrid,
    block_mean,
    enlarge,
    kernel,
    resample,
)
from swath.sources.world.render.responses import BandWeights, band_weights, responses
from swath.sources.world.render.surface import surface_reflectance

CELL = 6000
"""Metres along a side: whole pixels of 10, 20, 30 and 60 m."""

BLOCKS = ((5.0, 6000), (1.0, 1200), (0.0, 240))
"""Finest pixel of a truth [m] and side of the blocks that cells are made in [m]: at most 1200 pixels for most."""

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Node:
    """One native grid.

    Args:
        gsd: of its pixels [m].
        names: its bands.
        product: scaling of the stored numbers of these bands.
        raw: the same at level 1.
        blurs: taps of the blur of each band, on pixels of the truth.
        above: for each band whether it stays as seen from above the atmosphere.
        quality: whether this grid carries the quality layer.
    """

    gsd: float
    names: tuple[str, ...]
    product: Scaling
    raw: Scaling
    blurs: tuple[tuple[float, ...], ...]
    above: tuple[bool, ...]
    quality: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """What all cells of an observation share.

    Args:
        sensor: name.
        level: of the product.
        tool: the instrument.
        grid: of the truth.
        moment: time, sky, atmosphere.
        distance: to the sun [astronomical units].
        nodes: finest first.
        terrain: whether the truth has an elevation.
    """

    sensor: str
    level: str
    tool: Instrument
    grid: TruthGrid
    moment: Moment
    distance: float
    nodes: tuple[Node, ...]
    terrain: bool

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All bands, node by node."""
        return tuple(name for node in self.nodes for name in node.names)

    @cached_property
    def coarsest(self) -> int:
        """Pixels of the truth along the widest native pixel."""
        return max(self.grid.times(node.gsd) for node in self.nodes)

    @cached_property
    def blur(self) -> int:
        """Pixels of the truth that the blur reaches."""
        return max(len(taps) // 2 for node in self.nodes for taps in node.blurs)

    @property
    def shade(self) -> int:
        """Pixels of the truth that cast shadows and slopes reach, beyond the blur."""
        if not self.terrain:
            return 0
        return max(1, illumination.reach_pixels(self.grid.gsd, self.moment.said.terrain_reach))

    @property
    def mesh(self) -> float:
        """Pixel that clouds are worked out at [m]: 20 m for Sentinel-2, 30 m where all pixels are that wide."""
        return float(self.tool.pixel_m or 20)

    def core(self, part: Rectangle) -> Rectangle:
        """Pixels of the truth under the native pixels of a part of a cell."""
        return part.coarser(self.coarsest).finer(self.coarsest)

    def surface(self, part: Rectangle) -> Rectangle:
        """Pixels of the truth whose layers a part of a cell needs."""
        return self.core(part).pad(self.blur)

    def relief(self, part: Rectangle) -> Rectangle:
        """Pixels of the truth whose elevation it needs."""
        return self.surface(part).pad(self.shade)


@dataclass(frozen=True, eq=False)
class Made:
    """A cell's share of one native grid: stored numbers and validity ``(band, H, W)``, quality ``(H, W)`` or None."""

    data: NDArray[Any]
    valid: Mask
    quality: NDArray[Any] | None


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
    place = plan.surface(part)
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
        target = part.coarser(plan.grid.times(node.gsd))
        lost = _lost(plan, node, holes, place, target)
        heights = None if elevation is None else _heights(plan, node, elevation, part, target)
        ground = [
            _blurred(plan, node, index, reflectance[first + index], light, true.select(bands), place, target)
            for index in range(len(node.names))
        ]
        above = _above(plan, node, np.stack(ground), true.select(bands), heights, sky, sun, target)
        data, full = _stored(
            plan, node, above, believed.select(bands) if believed else None, heights, sun, target, lost
        )
        valid = np.broadcast_to(~lost, data.shape)
        if node.product.saturated is not None:
            valid = valid & ~full
        layer = None
        if node.quality:
            layer = _quality(plan, layers, light, sky, place, target, lost, full.any(axis=0) & ~lost)
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


@lru_cache(maxsize=16)
def band_shapes(sensor: str, satellite: str | None, names: tuple[str, ...]) -> BandWeights:
    """What turns spectra into the bands of a satellite."""
    return band_weights(responses(sensor, satellite, names))


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


def _lost(plan: Plan, node: Node, holes: Mask, place: Rectangle, target: Rectangle) -> Mask:
    """Where a node has no data: pixels that the truth covers in part, or whose blur reaches a hole of it."""
    times, known = plan.grid.times(node.gsd), plan.grid.place
    rows = (target.row + np.arange(target.height)) * times
    columns = (target.column + np.arange(target.width)) * times
    inside_y = (rows >= known.row) & (rows + times <= known.bottom)
    inside_x = (columns >= known.column) & (columns + times <= known.right)
    lost = ~(inside_y[:, None] & inside_x[None, :])
    if holes.any():
        reach = max(len(taps) // 2 for taps in node.blurs)
        near = grown(holes[target.finer(times).pad(reach).within(place)], reach)
        lost |= block_mean(near.astype(np.float32), times) > 0
    return np.asarray(lost)


def _heights(plan: Plan, node: Node, elevation: Values, part: Rectangle, target: Rectangle) -> Heights:
    times = plan.grid.times(node.gsd)
    return airs.heights_of(block_mean(elevation[target.finer(times).within(plan.relief(part))], times))


def _blurred(
    plan: Plan,
    node: Node,
    index: int,
    reflectance: Values,
    light: _Light | None,
    air: Air,
    place: Rectangle,
    target: Rectangle,
) -> Values:
    """Reflectance of a band times the light on the ground, over that on level ground, on native pixels."""
    times, taps = plan.grid.times(node.gsd), node.blurs[index]
    window = target.finer(times).pad(len(taps) // 2).within(place)
    fine = reflectance[window]
    if light is not None:
        # Arranged so that level ground in the sun keeps its reflectance to the last bit.
        share, sky = air.direct(index, light.heights.part(window)), light.sky[window]
        fine = fine * (sky + share * (light.direct[window] - sky))
    return resample(fine, kernel(taps, times), times)


def _above(
    plan: Plan,
    node: Node,
    ground: Values,
    air: Air,
    heights: Heights | None,
    sky: _Sky,
    sun: Ray,
    target: Rectangle,
) -> Values:
    """Reflectance at the top of the atmosphere ``(band, H, W)``."""
    if sky.clear:
        return air.to_toa(ground, heights)
    passing = _on_node(plan, node, sky, sky.passing, target)
    for index in range(len(ground)):
        ground[index] *= _shade(passing, air.direct(index, heights), plan.moment.clouds[0].share)
    seen = air.to_toa(ground, heights)
    present = [(number, layer) for number, layer in enumerate(plan.moment.clouds) if layer.share > 0.0]
    shells: dict[tuple[int, float], tuple[Values, Values]] = {}
    for index, band in enumerate(node.product.bands):
        for number, layer in present:
            omega = clouds.albedo(band.wavelength_nm or 0.0, layer.ice)
            if (number, omega) not in shells:
                shells[number, omega] = _shell(plan, node, sky, sun, number, omega, target)
            clear, path = air.over_cloud[present.index((number, layer))][:, index]
            seen[index] = clouds.over(seen[index], shells[number, omega], (float(clear), float(path)))
    return seen


def _shade(passing: Values, direct: Any, share: float) -> Values:
    """Light on the ground over that under a clear sky: direct light passes the clouds towards the sun, and the light
    of the sky, which comes from everywhere, is taken to be dimmed by the share of it that clouds cover.
    """
    one = np.float32(1.0)
    diffuse = one - np.float32(share) * (one - passing)
    return diffuse + direct * (passing - diffuse)


def _shell(
    plan: Plan, node: Node, sky: _Sky, sun: Ray, index: int, omega: float, target: Rectangle
) -> tuple[Values, Values]:
    """Reflectance of one layer of cloud and its transmittance both ways, on a node."""
    ice, depth = plan.moment.clouds[index].ice, sky.seen[index]
    reflected, down = clouds.optics(sun.cosine, omega, ice)(depth)
    _, up = clouds.optics(plan.moment.view.cosine, omega, ice)(depth)
    return _on_node(plan, node, sky, reflected, target), _on_node(plan, node, sky, down * up, target)


def _on_node(plan: Plan, node: Node, sky: _Sky, values: Values, target: Rectangle) -> Values:
    """From the mesh of the clouds to native pixels."""
    inner = sky.place.pad(-sky.margin)
    if node.gsd < plan.mesh:
        times, margin = round(plan.mesh / node.gsd), sky.margin - 1
        large = enlarge(values[margin : values.shape[0] - margin, margin : values.shape[1] - margin], times)
        return large[target.within(inner.finer(times))]
    times = round(node.gsd / plan.mesh)
    return block_mean(values[target.finer(times).within(sky.place)], times)


def _stored(
    plan: Plan,
    node: Node,
    above: Values,
    believed: Air | None,
    heights: Heights | None,
    sun: Ray,
    target: Rectangle,
    lost: Mask,
) -> tuple[NDArray[Any], Mask]:
    """Stored numbers and saturation, each ``(band, H, W)``."""
    exposures = numbers.exposures(plan.tool, node.names, node.raw, sun.zenith, plan.distance)
    normals: list[Values | None] = [None] * len(node.names)
    if plan.moment.said.noise:
        key = numbers.noise_key(plan.moment.seed, plan.sensor, plan.moment.time, node.gsd)
        normals = [*numbers.normals_of(key, target, len(node.names))]
    seen, full = np.empty_like(above), np.empty(above.shape, np.bool_)
    for index, exposure in enumerate(exposures):
        seen[index], full[index] = numbers.measure(above[index], exposure, normals[index])
    if believed is not None:
        ground = believed.to_surface(seen, heights)
        seen = np.where(np.array(node.above)[:, None, None], seen, ground) if any(node.above) else ground
    else:
        seen *= np.array([exposure.factor for exposure in exposures], np.float32)[:, None, None]
    data = np.empty(seen.shape, numbers.stored_type(node.product))
    for index in range(len(node.names)):
        data[index] = numbers.encode(seen[index], node.product, index, lost, full[index])
    return data, full


def _quality(
    plan: Plan,
    layers: xr.Dataset,
    light: _Light | None,
    sky: _Sky,
    place: Rectangle,
    target: Rectangle,
    lost: Mask,
    full: Mask,
) -> NDArray[Any]:
    times, scheme = plan.grid.times(plan.tool.quality_gsd_m), plan.tool.scheme
    reach, coarser = REACH[scheme], round(plan.tool.quality_gsd_m / plan.mesh)
    window = target.finer(times).within(place)
    around = target.pad(reach).finer(coarser).within(sky.place)
    cloud, cirrus, passing = (block_mean(values[around], coarser) for values in (*sky.seen, sky.passing))
    return quality(
        scheme,
        ground_of(layers, *window, times),
        Overhead(cloud, cirrus, passing),
        None if light is None else block_mean(light.lit[window], times),
        lost,
        full,
        aerosol=plan.moment.retrieved.aerosol_optical_depth,
        sees_cirrus=plan.sensor == "landsat8_oli",
    )
