"""Pictures of the simulated Earth for ``docs/world.md``: a year in three sensors, events, an injected event, truth.

Scenes and truth layers are kept under the hash of the world, so that a second run only draws. ``$SWATH_DATA`` is needed
for the injected events alone.

    python bench/world_gallery.py --data $SWATH_DATA --out docs/pictures
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image
from world_scenes import CLEAR, largest_flood

from swath import cubes, rng
from swath.sources.published import rstoolbox
from swath.sources.published.common import one_cube
from swath.sources.world.events.inject import inject
from swath.sources.world.places import place_of
from swath.sources.world.render import observe
from swath.sources.world.truth import COVER, legend_of
from swath.sources.world.world import World

NATURAL = {"sentinel2_l2a": ("B04", "B03", "B02"), "hls_l30": ("B04", "B03", "B02")}
INFRARED = {"sentinel2_l2a": ("B11", "B8A", "B04"), "hls_l30": ("B06", "B05", "B04")}
RADAR = ("VV", "VH")
BRIGHT = {"natural": 0.25, "infrared": 0.45}
YEAR = ("2023-01-10", "2023-03-16", "2023-05-10", "2023-07-04", "2023-09-07", "2023-11-11")
SPAIN, AROUND = (-0.7589, 38.1058), (-10, 0, 16)
"""Where the flood is shown, and days before and after the largest one from 2015 to 2023."""
FIRE = ((-62.7965, -9.8765), ("2018-08-15", "2018-08-27", "2019-08-25"))
CLEARING = ((-113.5518, 54.4753), ("2014-06-10", "2014-07-05", "2014-08-10", "2015-07-15"))
MOST_BYTES = 380_000
PICTURES = ("year", "flood", "fire", "clearing", "injected", "truth")


@dataclass(frozen=True)
class Album:
    """Where scenes are made and kept."""

    world: World
    kept: Path
    data: Path
    out: Path

    def scene(
        self, sensor: str, day: str, lonlat: tuple[float, float], size: int, bands: tuple[str, ...], clear: bool = True
    ) -> NDArray[Any]:
        """Physical bands ``(C, H, W)``."""
        path = self._path(sensor, day, lonlat, size, "-".join(bands), "" if clear else "weather")
        if not path.is_file():
            box = self.world.box(*lonlat, (size, size))
            truth = self.world.truth(box, day)
            seed = rng.key(0, "gallery", sensor) % 2**63
            sky = CLEAR if clear else self.world.conditions(box, day)
            scene = observe(truth, sensor, day, None, seed, conditions=sky)
            cube = cubes.to_cube(scene, bands=bands)
            cube = (cube if cubes.is_physical(cube) else cubes.to_physical(cube)).compute()
            np.savez_compressed(path, data=cube["data"].values[0].astype(np.float32))
        with np.load(path) as held:
            return np.asarray(held["data"])

    def truth(self, day: str, lonlat: tuple[float, float], size: int, layers: tuple[str, ...]) -> dict[str, Any]:
        """Layers of truth by name."""
        path = self._path("truth", day, lonlat, size, "-".join(layers), "")
        if not path.is_file():
            truth = self.world.truth(self.world.box(*lonlat, (size, size)), day, layers)
            np.savez_compressed(path, **{name: truth[name].values for name in layers})
        with np.load(path) as held:
            return {name: held[name] for name in held.files}

    def save(self, figure: Figure, name: str) -> None:
        """Write a picture; where it is large, with 256 colours, which suffices for maps."""
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=100, format="png")
        picture = Image.open(drawn).convert("RGB")
        path = self.out / f"world_{name}.png"
        picture.save(path, optimize=True)
        if path.stat().st_size > MOST_BYTES:
            picture.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size // 1000} kB", flush=True)

    def _path(self, what: str, day: str, lonlat: tuple[float, float], size: int, *more: str) -> Path:
        folder = self.kept / self.world.version_hash()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"gallery_{what}_{day}_{lonlat[0]:.4f}_{lonlat[1]:.4f}_{size}_{'_'.join(more)}.npz"


def shown(axes: Axes, picture: NDArray[Any], title: str = "", **looks: Any) -> Any:
    """An image without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9)
    return axes.imshow(picture, interpolation="nearest", **looks)


def coloured(values: NDArray[Any], bright: float) -> NDArray[Any]:
    """Three bands as a picture ``(H, W, 3)``, the same stretch for every date."""
    return np.moveaxis(np.clip(np.nan_to_num(values) / bright, 0, 1) ** (1 / 1.6), 0, -1)


def radar(values: NDArray[Any]) -> NDArray[Any]:
    """VV, VH and their ratio [dB] as red, green and blue; linear power is turned to decibels."""
    db = values if np.nanmin(values) < 0 else 10 * np.log10(np.maximum(values, 1e-5))
    vv, vh = (db[0] + 20) / 18, (db[1] + 27) / 18
    return np.stack([np.clip(layer, 0, 1) for layer in (vv, vh, (db[0] - db[1] - 2) / 12)], axis=-1)


def figure_of(rows: int, columns: int, side: float = 2.0, extra: float = 0.0) -> tuple[Figure, NDArray[Any]]:
    figure = Figure(figsize=(side * columns + extra, (side + 0.2) * rows + 0.2), layout="constrained")
    figure.get_layout_engine().set(rect=(0.0, 0.0, 1.0, 0.97))
    return figure, np.reshape(figure.subplots(rows, columns), (rows, columns))


def classes(axes: Axes, codes: NDArray[Any], layer: str, title: str) -> None:
    """A class layer with the names of the classes that are there."""
    legend = legend_of(layer) or COVER
    colours = ListedColormap([entry.colour for entry in legend])
    shown(axes, codes, title, cmap=colours, vmin=-0.5, vmax=len(legend) - 0.5)
    found = [entry for entry in legend if (codes == entry.value).mean() > 0.002]
    handles = [Patch(color=entry.colour, label=entry.name) for entry in found]
    axes.legend(handles=handles, fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, frameon=False)


def amounts(figure: Figure, axes: Axes, values: NDArray[Any], title: str, cmap: str = "cividis", **looks: Any) -> None:
    drawn = shown(axes, values, title, cmap=cmap, **looks)
    figure.colorbar(drawn, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)


def year(album: Album) -> None:
    """One place through a year: Sentinel-2 and radar, and HLS L30 under the weather of the day."""
    place = place_of("po_valley")
    lonlat, size = (place.lon, place.lat), 300
    figure, axes = figure_of(3, len(YEAR))
    for column, day in enumerate(YEAR):
        natural = album.scene("sentinel2_l2a", day, lonlat, size, NATURAL["sentinel2_l2a"])
        shown(axes[0, column], coloured(natural, BRIGHT["natural"]), day)
        landsat = album.scene("hls_l30", day, lonlat, size, INFRARED["hls_l30"], clear=False)
        shown(axes[1, column], coloured(landsat, BRIGHT["infrared"]))
        shown(axes[2, column], radar(album.scene("sentinel1_grd", day, lonlat, size, RADAR)))
    labels = ("Sentinel-2\nnatural colour, clear", "HLS L30\nswir1, nir, red, its weather", "Sentinel-1\nVV, VH, ratio")
    for row, label in enumerate(labels):
        axes[row, 0].set_ylabel(label, fontsize=8)
    album.save(figure, "year")


def flood(album: Album) -> None:
    """Before, during and after: optical, radar, depth."""
    lonlat = SPAIN
    peak = np.datetime64(largest_flood(album.world, lonlat, (500, 500)))
    days = [str(peak + after) for after in AROUND]
    figure, axes = figure_of(3, 3, side=2.3, extra=0.6)
    for column, day in enumerate(days):
        optical = album.scene("sentinel2_l2a", day, lonlat, 500, INFRARED["sentinel2_l2a"])
        shown(axes[0, column], coloured(optical, BRIGHT["infrared"]), f"{day}")
        shown(axes[1, column], radar(album.scene("sentinel1_grd", day, lonlat, 500, RADAR)))
        depth = album.truth(day, lonlat, 500, ("flood_depth",))["flood_depth"]
        last = shown(axes[2, column], depth, cmap="Blues", vmin=0, vmax=3)
    figure.colorbar(last, ax=axes[2, :], label="depth [m]", shrink=0.8)
    for row, label in enumerate(("Sentinel-2: swir1, nir, red", "Sentinel-1: VV, VH, ratio", "truth: flood depth")):
        axes[row, 0].set_ylabel(label, fontsize=8)
    album.save(figure, "flood")


def fire(album: Album) -> None:
    lonlat, days = FIRE
    figure, axes = figure_of(2, 3, side=2.4, extra=0.8)
    for column, day in enumerate(days):
        optical = album.scene("sentinel2_l2a", day, lonlat, 500, INFRARED["sentinel2_l2a"])
        shown(axes[0, column], coloured(optical, BRIGHT["infrared"]), day)
        truth = album.truth(day, lonlat, 500, ("burn_severity", "leaf_area", "char_cover"))
        last = shown(axes[1, column], truth["burn_severity"], cmap="inferno", vmin=0, vmax=1)
    figure.colorbar(last, ax=axes[1, :], label="severity", shrink=0.8)
    axes[0, 0].set_ylabel("Sentinel-2: swir1, nir, red", fontsize=8)
    axes[1, 0].set_ylabel("truth: burn severity", fontsize=8)
    album.save(figure, "fire")


def clearing(album: Album) -> None:
    lonlat, days = CLEARING
    figure, axes = figure_of(2, len(days), side=2.4)
    for column, day in enumerate(days):
        optical = album.scene("sentinel2_l2a", day, lonlat, 250, NATURAL["sentinel2_l2a"])
        shown(axes[0, column], coloured(optical, 0.2), day)
        classes(axes[1, column], album.truth(day, lonlat, 250, ("cover",))["cover"], "cover", "")
    axes[0, 0].set_ylabel("Sentinel-2: natural colour", fontsize=8)
    axes[1, 0].set_ylabel("truth: cover", fontsize=8)
    album.save(figure, "clearing")


def injected(album: Album) -> None:
    """Events put into the real Amazon scene; the truth is the share of each pixel that was replaced."""
    place = next(place for place in rstoolbox.open(album.data / "rstoolbox") if place.id == "sen2")
    scene, bands = place.scene(), INFRARED["sentinel2_l2a"]
    figure, axes = figure_of(2, 4, side=2.3, extra=0.6)
    before = cubes.to_physical(one_cube(scene)).sel(band=list(bands)).compute()["data"].values[0]
    shown(axes[0, 0], coloured(before, BRIGHT["infrared"]), "real scene")
    axes[1, 0].axis("off")
    for column, (event, hectares) in enumerate((("flood", 40.0), ("burn", 60.0), ("clearing", 15.0)), start=1):
        made, truth = inject(scene, event, hectares=hectares, rng=rng.generator(0, "gallery", event))
        after = cubes.to_physical(one_cube(made)).sel(band=list(bands)).compute()["data"].values[0]
        shown(axes[0, column], coloured(after, BRIGHT["infrared"]), f"{event} injected")
        last = shown(axes[1, column], np.squeeze(truth["fraction"].values), "share replaced", vmin=0, vmax=1)
    figure.colorbar(last, ax=axes[1, :], shrink=0.8)
    album.save(figure, "injected")


def truth(album: Album) -> None:
    place = place_of("bavaria")
    layers = (
        "cover", "crop", "elevation", "height_above_drainage", "field", "building_cover", "wealth", "leaf_area",
        "soil_moisture", "biomass",
    )  # fmt: skip
    known = album.truth("2023-06-15", (place.lon, place.lat), 500, layers)
    figure, axes = figure_of(2, 5, side=2.3, extra=1.5)
    classes(axes[0, 0], known["cover"], "cover", "land cover")
    classes(axes[1, 0], known["crop"], "crop", "crop of the year")
    fields = np.where(known["field"] > 0, (known["field"] % 19) + 1, 0)
    shown(axes[0, 1], fields, "fields (19 colours)", cmap="tab20")
    amounts(figure, axes[1, 1], known["elevation"], "elevation [m]", "terrain")
    height = known["height_above_drainage"]
    amounts(figure, axes[0, 2], height, "height above drainage [m]", vmin=0, vmax=float(np.quantile(height, 0.98)))
    amounts(figure, axes[1, 2], known["building_cover"], "share under roofs", "magma")
    amounts(figure, axes[0, 3], known["wealth"], "wealth", "viridis")
    amounts(figure, axes[1, 3], known["leaf_area"], "leaf area, 15 June", "Greens")
    amounts(figure, axes[0, 4], known["soil_moisture"], "soil moisture [m3 m-3]", "YlGnBu")
    amounts(figure, axes[1, 4], known["biomass"], "woody biomass [Mg ha-1]", "YlGn")
    album.save(figure, "truth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SWATH_DATA", "data")))
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "swath_world_scenes")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--pictures", nargs="+", choices=PICTURES, default=PICTURES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    album = Album(World(seed=0), options.kept, options.data, options.out)
    draw = {
        "year": year, "flood": flood, "fire": fire, "clearing": clearing, "injected": injected, "truth": truth,
    }  # fmt: skip
    for name in options.pictures:
        draw[name](album)


if __name__ == "__main__":
    main()
