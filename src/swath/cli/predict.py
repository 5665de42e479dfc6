"""``swath predict``: a scene to maps, with what makes them defensible beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swath.cli.cluster import Cluster
from swath.cli.config import Config
from swath.cli.everyday import Bands, Baseline, Level, NoData, Sensor, Time, split_names
from swath.failures import EXIT_WITH_FAILURES

if TYPE_CHECKING:
    import xarray as xr

    from swath.loading import Device as DeviceName
    from swath.mapping import Request
    from swath.predict import PredictionReport
    from swath.predict.layers import Layer
    from swath.types import Predictor


Model = Annotated[Path, typer.Argument(help="Folder of a trained model.")]
Outputs = Annotated[
    str,
    typer.Option(
        help="Maps to write, separated by commas: class, probability, probability_float16, confidence, margin,"
        " entropy; with --augment also spread, disagreement."
    ),
]
TrustToo = Annotated[
    bool, typer.Option("--trust", help="Also write where the model applies and sets of classes ('swath trust').")
]
Augment = Annotated[str | None, typer.Option(help="Average over turned views: flips, rotations or d4 (all eight).")]
Vectorise = Annotated[
    Path | None, typer.Option(help="Also write the classes as polygons: .geojson, .gpkg or .parquet.")
]
Tile = Annotated[int, typer.Option(min=1, help="Tile size in pixels.")]
Overlap = Annotated[str, typer.Option(help="Overlap of tiles: pixels, or a share of the tile up to 50%.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Tiles that the model sees at once.")]
Lenient = Annotated[
    bool, typer.Option("--lenient/--strict", help="Predict where one band is valid, or only where all are.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Begin anew, even if a stopped run left finished strips.")]


class Device(StrEnum):
    """Where a model computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


OnDevice = Annotated[Device, typer.Option("--device", help="Where the model computes; auto: on a card if there.")]


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command on ``app``."""
    app.command("predict", rich_help_panel=panel)(predict)


def predict(
    model: Model,
    scene: Annotated[Path, typer.Argument(help="Scene to map, of any size; or a table of 'swath embed' (.parquet).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="GeoTIFF to write; further outputs add their name to it.")],
    sensor: Sensor = None,
    level: Level = None,
    baseline: Baseline = None,
    nodata: NoData = None,
    bands: Bands = None,
    time: Time = None,
    outputs: Outputs = "class,confidence",
    trust: TrustToo = False,
    augment: Augment = None,
    vectorise: Vectorise = None,
    tile: Tile = 256,
    overlap: Overlap = "25%",
    batch_size: BatchSize = 8,
    device: OnDevice = Device.AUTO,
    lenient: Lenient = False,
    fresh: Fresh = False,
    cluster: Cluster = "",
    config: Config = None,
) -> None:
    """Map a scene: windowed, blended, with no data where there was none. Writes COGs with QGIS styles.

    A run that was stopped goes on where it was. What cannot be read is no data, listed beside the map; the exit status
    is 6 then. For polygons with a smallest area or simpler borders see 'swath vectorise'.
    """
    from swath import verbs
    from swath.predict import Crew, overlap_pixels

    if scene.suffix.lower() == ".parquet":
        of_scenes: dict[str, object] = {"sensor": sensor, "level": level, "baseline": baseline, "nodata": nodata}
        of_scenes |= {"device": None if device is Device.AUTO else device, "cluster": cluster or None}
        of_scenes |= {"bands": bands, "time": time, "trust": trust or None, "augment": augment, "vectorise": vectorise}
        _rows(model, scene, out, outputs, of_scenes)
        return
    pixels = overlap_pixels(overlap, tile)
    wanted = partial(_request, model, device.value, outputs, trust, augment, vectorise)
    asked = _checked(wanted(), out, scene, (tile, pixels))
    opened = partial(_opened, scene, sensor, level, baseline, nodata, split_names(bands), time)
    report = verbs.predict(
        asked.predictor,
        opened(),
        out,
        tile=tile,
        overlap=pixels,
        outputs=asked.outputs,
        strict=not lenient,
        batch_size=batch_size,
        resume=not fresh,
        extra=asked.extra,
        vectorise=vectorise,
        crew=Crew(partial(_parts, wanted), opened, cluster=cluster, progress="strips") if cluster else None,
    )
    _tell(report, vectorise)


def _rows(model: Path, table: Path, out: Path, outputs: str, of_scenes: Mapping[str, object]) -> None:
    """Classify the rows of a table of embeddings, which none of the options of scenes goes with."""
    from swath import embed
    from swath.cli import show
    from swath.errors import ConfigError

    odd = [f"--{name}" for name, value in of_scenes.items() if value is not None]
    if odd or not embed.is_head(model):
        raise ConfigError(
            f"{', '.join(odd)} {'was' if len(odd) == 1 else 'were'} given with the table '{table}'"
            if odd
            else f"'{table}' is a table, and '{model}' is no model that was trained on embeddings",
            expected="the folder of a head trained with --features, and a table of embeddings, with --outputs alone",
            remedy="leave the options of scenes out" if odd else "map a scene with this model",
        )
    made = embed.predict_table(model, table, out, outputs=split_names(outputs) or ())
    counts = ", ".join(f"{name} {count}" for name, count in made.counts.items())
    show.say(f"{made.path}: {counts}" + (f"; {made.empty} rows have no embedding" if made.empty else ""))


def _request(
    model: Path, device: DeviceName, outputs: str, trust: bool, augment: str | None, vectorise: Path | None
) -> Request:
    """The model and what was wrapped around it."""
    from swath import mapping, verbs

    names = split_names(outputs) or ()
    loaded = verbs.load(model, device=device)
    return mapping.request(loaded, names, trust=model if trust else None, augment=augment, vectorise=vectorise)


def _parts(wanted: Callable[[], Request]) -> tuple[Predictor, Mapping[str, Layer]]:
    """The same for a process that helps."""
    asked = wanted()
    return asked.predictor, asked.extra


def _opened(
    scene: Path, sensor: str | None, level: str | None, baseline: str | None, nodata: float | None,
    bands: list[str] | None, time: str | None,
) -> xr.Dataset:  # fmt: skip
    """The scene as one cube of physical values."""
    from swath import verbs

    tree = verbs.open(scene, sensor=sensor, level=level, baseline=baseline, nodata=nodata, bands=bands, time=time)
    return verbs.physical_cube(tree)


def _checked(asked: Request, out: Path, scene: Path, tiling: tuple[int, int]) -> Request:
    """Check everything before the scene is opened."""
    from swath.predict import check_request

    (tile, overlap), names = tiling, asked.outputs
    check_request(asked.predictor, out, tile=tile, overlap=overlap, outputs=names, source=scene, extra=asked.extra)
    return asked


def _tell(report: PredictionReport, polygons: Path | None) -> None:
    """Files, seams and failures."""
    from swath.cli import show

    for name, path in report.files.items():
        show.say(f"{name}: {path}")
    if polygons is not None:
        show.say(f"polygons: {polygons}")
    shares = [f"{show.percent(report.valid_share)} of the pixels mapped"]
    if report.skipped:
        shares.append(f"{report.skipped:,} empty tiles skipped")
    if report.resumed:
        shares.append(f"{report.resumed} of {report.strips} strips were finished before")
    if report.seams.disagreement is not None:
        shares.append(f"overlapping tiles differ by {report.seams.disagreement:.4f}")
    show.say(", ".join(shares))
    if report.failures:
        count = len(report.failures)
        parts = f"{count:,} parts of the scene" if count > 1 else "1 part of the scene"
        show.say(f"could not be read, and so no data: {parts}, listed in {report.failure_table}")
        raise typer.Exit(EXIT_WITH_FAILURES)
