"""The verbs of embeddings: scenes, chips and points to files, and models from a few labels on them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import ConfigError, InputError, SwathError

if TYPE_CHECKING:
    import xarray as xr

    from swath.chips import ChipSet
    from swath.embed import EmbedReport, FewOptions, FewReport, Storage, TableReport
    from swath.models import Encoder
    from swath.types import DataKind, Predictor, ResultRow

PathLike = Path | str
_CHIPS = "chips.json"
_SCORES = "scores.parquet"


def embed(
    source: xr.DataTree | xr.Dataset | ChipSet | PathLike,
    out: PathLike,
    *,
    model: Encoder | str,
    weights: PathLike | None = None,
    points: PathLike | None = None,
    window: int | None = None,
    storage: Storage = "float16",
    strict: bool = False,
    resume: bool = True,
    progress: bool = True,
) -> EmbedReport | TableReport:
    """Embed a scene (to a GeoTIFF), or points of it or chips (to GeoParquet), with the record of the model beside it.

    Args:
        source: an opened scene, an aligned cube, a chip set, or the path of a scene or chip set.
        out: ``.tif`` for a scene, ``.parquet`` for points and chips.
        model: name of a published encoder, or an encoder.
        weights: file of the weights, for a name.
        points: vector file of points, of which alone the scene is embedded.
        window: with points: pixels along one side around each; one cell of the encoder by default.
        storage: of a scene: ``float16``, or ``int8`` with one scale.
        strict: of a scene: only where all used bands are valid.
        resume: of a scene: take what an earlier run has finished.
        progress: of a scene: show a progress bar.

    Raises:
        InputError: no band fits, dates are unknown, values cannot be what they are said to be, or no place is valid.
        ConfigError: an option that does not go with the source, or a name with another ending.
    """
    from swath import chips as chip_room
    from swath import cubes, models
    from swath import embed as room

    encoder = models.load(model, weights) if isinstance(model, str) else model
    folder = isinstance(source, Path | str) and (Path(source) / _CHIPS).is_file()
    if folder or isinstance(source, chip_room.ChipSet):
        if points is not None or window is not None or strict or storage != "float16":
            raise ConfigError(
                "Chips were given with an option of scenes or points",
                expected="chips alone",
                remedy="leave out --scene, --window, --strict and --storage, or give a scene",
            )
        chipset = source if isinstance(source, chip_room.ChipSet) else chip_room.open(Path(str(source)))
        return room.embed_chips(encoder, chipset, out)
    assert not isinstance(source, chip_room.ChipSet)
    tree = cubes.open(source) if isinstance(source, Path | str) else source
    cube = tree if not hasattr(tree, "subtree") else cubes.to_cube(tree)
    if points is not None:
        if strict or storage != "float16":
            raise ConfigError(
                "Points were given with an option of maps",
                expected="--window alone",
                remedy="leave out --strict and --storage",
            )
        return room.embed_points(encoder, cube, room.read_places(points), out, window=window, name=str(points))
    if window is not None:
        raise ConfigError("A window was given without points", expected="points with it", remedy="leave --window out")
    return room.embed_scene(encoder, cube, out, storage=storage, strict=strict, resume=resume, progress=progress)


def fit_features(
    features: PathLike,
    labels: PathLike,
    out: PathLike,
    *,
    options: FewOptions | None = None,
    scene: xr.DataTree | xr.Dataset | PathLike | None = None,
    data_kind: DataKind = "real",
) -> FewReport:
    """Train a head on embeddings with a few labels, and score it by spatial blocks.

    ``swath.load(out)`` then gives the model, and ``swath.predict(out, features, "map.tif")`` the map.

    Args:
        features: GeoTIFF or table of ``swath.embed``.
        labels: vector file of points or polygons with a class, reprojected to the features; for a table itself, or a
            table with the columns id and class.
        out: folder of the model; new, empty, or of such a model, which is replaced.
        options: see ``swath.embed.FewOptions``.
        scene: the scene for the comparison to a forest on its bands; by default the one that the record names, if it
            can be opened.
        data_kind: what the rows of ``scores.parquet`` in the folder say of the data.

    Raises:
        InputError: features without record, labels outside of the scene, fewer than two classes, an unreadable scene.
        ConfigError: an option out of range, or ``out`` holds something else.
    """
    from swath import embed as room

    _check_folder(Path(out))
    given = scene is not None
    if not given:
        named = room.read_record(features).source
        scene = Path(named) if named and Path(named).exists() else None
    try:
        cube = _cube_of(scene)
    except SwathError:
        if given:
            raise
        cube = None
    report = room.train_head(features, labels, out, options, scene=cube)
    rows = _rows(report, data_kind, str(labels))
    if rows:
        from swath.judge import ResultTable

        table = ResultTable()
        table.extend(rows)
        table.save(Path(out) / _SCORES)
    return report


def _rows(report: FewReport, data_kind: DataKind, labels: str) -> list[ResultRow]:
    """What was measured, as rows of the result table."""
    from swath.types import ResultRow

    record, blocks = report.features.record, report.blocks
    rows = []
    for score, backbone, head in (
        (report.score, record.version, report.model.name),
        (report.bands, "bands", "forest"),
    ):
        if score is None or blocks is None:
            continue
        for metric in ("accuracy", "mean_f1"):
            found = getattr(score, metric)
            low, high = float(found.low), float(found.high)
            known = math.isfinite(low) and math.isfinite(high)
            rows.append(
                ResultRow(
                    run_id=Path(labels).stem,
                    system="few_labels",
                    dataset=Path(record.source).name or None,
                    data_kind=data_kind,
                    split="held out",
                    protocol=f"{blocks.count} spatial blocks of {blocks.side:.6g} {report.unit} in {blocks.folds} "
                    "folds",
                    backbone=backbone,
                    head=head,
                    seed=report.seed,
                    n_train=len(report.labels.cells),
                    n_test=len(report.labels.cells),
                    metric=metric,
                    value=float(found.estimate),
                    higher_is_better=True,
                    ci_low=low if known else None,
                    ci_high=high if known else None,
                )
            )
    return rows


def check_features(predictor: Predictor, cube: xr.Dataset) -> None:
    """Refuse to map with a head on embeddings anything but embeddings of its version; other models pass.

    Raises:
        InputError: the file has no record beside it, or that of another version.
    """
    from swath import embed as room

    if not isinstance(predictor, room.FeatureHead):
        return
    source = str(cube.attrs.get("source", ""))
    if not source or not Path(source).is_file():
        raise InputError(
            f"'{source or 'the scene'}' is no file of embeddings",
            expected=f"a map of embeddings by {predictor.origin.encoder}, which this model was trained on",
            remedy=f"make it first: swath embed SCENE --model {predictor.origin.encoder} -o emb.tif",
        )
    predictor.check_features(source)


def _cube_of(scene: xr.DataTree | xr.Dataset | PathLike | None) -> xr.Dataset | None:
    import xarray as xr

    from swath import cubes

    if scene is None or isinstance(scene, xr.Dataset):
        return scene
    return cubes.to_cube(scene if isinstance(scene, xr.DataTree) else cubes.open(scene))


def _check_folder(out: Path) -> None:
    """A head may be written to a new or empty folder, or replace another head."""
    from swath.embed.head_model import RECORD, WEIGHTS

    if not out.exists():
        return
    known = {RECORD, WEIGHTS, _SCORES, Path(_SCORES).with_suffix(".csv").name}
    others = [entry.name for entry in out.iterdir() if entry.name not in known] if out.is_dir() else None
    if others is None or (others and not (out / RECORD).exists()):
        held = "a file" if others is None else f"a folder that holds {', '.join(sorted(others)[:3])}"
        raise ConfigError(
            f"'{out}' is {held}",
            expected="a new folder, an empty one, or that of another model on embeddings",
            remedy="choose another folder",
        )
