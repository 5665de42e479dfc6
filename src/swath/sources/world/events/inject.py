"""Put a flood, a burn or a clearing into a real scene, and keep the truth.

Only pixels of the event change, and only by linear mixing of what is there with what the event brings (Adams, Smith and
Johnson 1986, Journal of Geophysical Research 91, 8098-8112). With the share ``f`` of a pixel that the event takes and
the reflectance ``r`` before, in every band

    r' = (1 - f) r + f m (1 + c g)

where ``m`` is the spectrum of the material (``materials.py``), ``g`` the brightness of the pixel over that of its 5 x 5
neighbours, less one, and ``c`` how much of that contrast survives. What the event takes:

* flood: ``f = strength x coverage x (1 - emergent)``; vegetation with a high NDVI stands out of the water, and what is
  water already stays. ``m`` is water of one random turbidity.
* burn: ``f = strength x coverage x patchiness x fuel``; fuel is nought at NDVI below 0.1 and whole from 0.3 on, so
  water and bare ground do not burn. ``f`` is the severity, and ``m`` is char as far as severe, else scorched leaves.
* clearing: ``f = strength x coverage x vegetation``, which is nought at NDVI below 0.3 and whole from 0.5 on. ``m`` is
  bare soil and litter in one random proportion.

Random outlines start where the event can take at least a quarter of a pixel, and keep to such ground.

Backscatter is mixed in linear power, and keeps its speckle because the local contrast survives whole: a flooded pixel
drops to the echo of smooth water, a cleared or burnt one moves to that of bare ground (burnt: half way). Top-of-
atmosphere reflectance keeps the path reflectance of its scene: the darkest thousandth of each band less 0.01 (Chavez
1988, Remote Sensing of Environment 24, 459-479) is added to ``m``. Thermal and quality bands, labels and masks stay.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import cubes, grids
from swath.cubes import bands_of, geobox_of, nodes_of, same_grid
from swath.errors import ConfigError, InputError
from swath.sensors import Band, BandSet
from swath.sources.world import noise
from swath.sources.world.events.materials import backscatter_of, reflectance_of
from swath.sources.world.events.mixing import Mixture, mixed_node, physical
from swath.sources.world.events.shapes import Event, Shape, check_event, coverage_of, random_shape
from swath.sources.world.truth import quantised

Array = NDArray[np.float64]

_LEAST = 2.0**-10  # a smaller share changes nothing that a sensor could store
_RED_NIR = BandSet((Band("red", (), 665.0, 40.0, kind="reflectance"), Band("nir", (), 850.0, 60.0, kind="reflectance")))


def inject(
    scene: xr.DataTree | xr.Dataset,
    event: str,
    *,
    shape: Shape | None = None,
    strength: float = 1.0,
    hectares: float = 25.0,
    since: np.datetime64 | None = None,
    rng: np.random.Generator,
) -> tuple[xr.DataTree | xr.Dataset, xr.Dataset]:
    """A copy of a scene with an event in it, and the truth of the event.

    The pixels of the scene are read into memory. Numbers keep their type, scale and offset; stored numbers that mean
    "no data" or "saturated" never come out of it, and invalid pixels are left alone.

    Args:
        scene: a scene or cube, stored numbers or physical ones, of reflectance or backscatter.
        event: ``flood``, ``burn`` or ``clearing``.
        shape: a geometry in the CRS of the finest node, a table of geometries, a mask of the finest node, or None for a
            random outline.
        strength: 0 (nothing happens) to 1.
        hectares: size of a random outline; without meaning for a given shape.
        since: the first time that shows the event; by default all times show it.
        rng: stream for outline, patchiness and material, for example ``swath.rng.generator(seed, "event")``.

    Returns:
        the scene, of the type that was given, and a Dataset on the grid of its finest node: ``mask`` (bool, at least
        half of the pixel belongs to the event and it shows there), ``fraction`` (share of the pixel that was replaced,
        0 where not a bit changed) and ``severity`` (of a burn, else equal to ``fraction``).

    Raises:
        InputError: unknown event, the shape does not fit, no band can show the event, or a band lacks its wavelength.
        ConfigError: the strength is outside of 0 to 1.
    """
    chosen = check_event(event)
    if not 0.0 <= strength <= 1.0:
        raise ConfigError(f"The strength is {strength}", expected="0 to 1", remedy="give the share that is replaced")
    nodes = {name: node.compute() for name, node in nodes_of(scene).items()}
    finest = min(nodes.values(), key=lambda node: grids.gsd_m(geobox_of(node)))
    _check_bands(nodes)
    box, shown = geobox_of(finest), _shown(finest, since)
    free = _any_valid(finest, shown)
    able = _susceptible(chosen, _red_and_near(nodes, box, shown), box, rng)
    outline = shape if shape is not None else random_shape(chosen, hectares, box, free & (able >= 0.25), rng)
    coverage = coverage_of(outline, box).astype(np.float64)
    fraction = coverage * strength * able
    fraction = np.where(free & (fraction >= _LEAST), quantised("open_water", fraction), 0.0).astype(np.float64)
    blend = float(rng.uniform(0.0, 1.0))
    changed = {}
    for name, node in nodes.items():
        here = fraction if node is finest else _carried(fraction, box, geobox_of(node))
        first = here if chosen == "burn" else blend
        changed[name] = mixed_node(node, Mixture(chosen, here, first), _shown(node, since))
    truth = _truth(chosen, coverage, fraction, finest)
    return _rebuilt(scene, changed), truth


def _shown(node: xr.Dataset, since: np.datetime64 | None) -> NDArray[np.bool_]:
    """Which times show the event ``(time,)``."""
    times = node["time"].values
    shown = np.ones(len(times), bool) if since is None else times >= np.datetime64(since)
    if not shown.any():
        raise InputError(
            f"No time of the scene is {since} or later; the last is {times.max() if len(times) else 'missing'}",
            expected="a time that the scene still sees",
            remedy="leave since out, so that all times show the event",
        )
    return np.asarray(shown)


def _check_bands(nodes: dict[str, xr.Dataset]) -> None:
    bands = [band for node in nodes.values() for band in bands_of(node)]
    useful = [band for band in bands if band.kind in ("reflectance", "backscatter")]
    if not useful:
        raise InputError(
            f"No band of the scene can show an event: {', '.join(f'{band.name} ({band.kind})' for band in bands)}",
            expected="bands of reflectance or backscatter",
            remedy="open the scene with its sensor= and level=",
        )
    for band in useful:
        if band.kind == "reflectance":
            reflectance_of("char", band)
        else:
            backscatter_of("water", band)


def _any_valid(node: xr.Dataset, shown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels ``(y, x)`` of which a time that shows the event has a valid number."""
    valid = node["valid"].values[shown]
    return np.asarray(valid.any(axis=tuple(range(valid.ndim - 2))))


def _red_and_near(nodes: dict[str, xr.Dataset], box: GeoBox, shown: NDArray[np.bool_]) -> tuple[Array, Array] | None:
    """Red and near infrared ``(y, x)`` on a grid at the first time that shows the event; None where one is missing."""
    for node in nodes.values():
        match = bands_of(node).match(_RED_NIR, tolerance_nm=60.0)
        if not match.missing and same_grid(geobox_of(node), box):
            red, near = (physical(node, index, int(np.argmax(shown))) for index in match.require())
            return red, near
    return None


def _susceptible(event: Event, bands: tuple[Array, Array] | None, box: GeoBox, rng: np.random.Generator) -> Array:
    """Share of each pixel that the event can take ``(y, x)``; the whole without red and near infrared."""
    patches = noise.fractal(int(rng.integers(2**63)), np.arange(box.shape.y), np.arange(box.shape.x), 12.0, 3, 0.6)
    patchy = np.clip(0.85 + 0.15 * patches, 0.2, 1.0) if event == "burn" else np.ones(box.shape.yx)
    if bands is None:
        return np.asarray(patchy)
    red, near = bands
    total = red + near
    ndvi = np.where(total > 1e-6, (near - red) / np.where(total > 1e-6, total, 1.0), 0.0)
    if event == "burn":
        return np.asarray(patchy * np.clip((ndvi - 0.1) / 0.2, 0.0, 1.0))
    if event == "clearing":
        return np.clip((ndvi - 0.3) / 0.2, 0.0, 1.0)
    water = (ndvi < 0.0) & (near < 0.1)
    return np.where(water, 0.0, 1.0 - 0.6 * np.clip((ndvi - 0.4) / 0.5, 0.0, 1.0))


def _carried(fraction: Array, source: GeoBox, target: GeoBox) -> Array:
    """A share on another grid: the mean over its pixels."""
    layer = cubes.make_cube(
        fraction[None, None],
        np.ones((1, *fraction.shape), bool),
        source,
        BandSet.of("fraction"),
        time=np.array(["2000-01-01"], "datetime64[ns]"),
        scale=[1.0],
        offset=[0.0],
        stored=False,
        attrs={},
    )
    moved = cubes.to_cube(layer, geobox=target, resampling="average")
    share = np.where(moved["valid"].values[0], moved["data"].values[0, 0], 0.0).astype(np.float64)
    return np.where(share >= _LEAST, share, 0.0)


def _truth(event: Event, coverage: Array, fraction: Array, node: xr.Dataset) -> xr.Dataset:
    severity = np.where(coverage > 0.0, fraction / np.where(coverage > 0.0, coverage, 1.0), 0.0)
    layers = {
        "mask": (("y", "x"), (coverage >= 0.5) & (fraction > 0.0)),
        "fraction": (("y", "x"), fraction.astype(np.float32), {"unit": "1"}),
        "severity": (("y", "x"), (severity if event == "burn" else fraction).astype(np.float32), {"unit": "1"}),
    }
    kept = {name: node.coords[name] for name in ("y", "x", "spatial_ref") if name in node.coords}
    return xr.Dataset(layers, coords=kept, attrs={"event": event, "data": "hybrid"})


def _rebuilt(scene: xr.DataTree | xr.Dataset, changed: dict[str, xr.Dataset]) -> xr.DataTree | xr.Dataset:
    """The scene with other cubes in its nodes."""
    if isinstance(scene, xr.Dataset):
        return changed["cube"]
    result = scene.copy()
    for node in list(result.subtree):
        name = node.path.strip("/") or "cube"
        if name in changed:
            node.dataset = changed[name]
    return result
