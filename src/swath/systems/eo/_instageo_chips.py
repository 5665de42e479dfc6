"""Chips of the flood archive, cut as a user would cut them, and splits by place."""

from __future__ import annotations

from pathlib import Path

import rasterio

from swath import chips, rng
from swath.chips import ChipSet
from swath.chips.archive import Request, from_rasters, read_records
from swath.errors import InputError
from swath.files import replacing_folder
from swath.sources.published.common import write_raster
from swath.systems.eo._instageo_archive import LEGEND, NO_LABEL, FloodArchive
from swath.types import Split

TOLERANCE = 2.0
"""Days between label and scene, as the published recipe for floods has it."""


def cut(
    archive: FloodArchive, source: str, *, mixed: bool = False, workers: int = 0, progress: bool = False
) -> ChipSet:
    """Chips over the label rasters, one date each, whatever the cloud: the published recipe for floods.

    They lie beside the archive and are cut once.

    Args:
        archive: scenes and labels.
        source: ``s1``, or ``s2`` with clouds and their shadows hidden.
        mixed: give every chip the labels of another one.
        workers: processes.
        progress: show a bar.

    Raises:
        InputError: chips are missing.
    """
    labels = _mixed_labels(archive) if mixed else archive.labels
    request = Request(
        size=archive.options.label_side, source=source, time_series=False, tolerance_days=TOLERANCE, max_cloud=100.0,
        masks=("cloud", "cloud_shadow") if source == "s2" else (),
    )  # fmt: skip
    records = read_records(archive.folder / "records.csv", labels)
    out = archive.folder / f"chips_{source}{'_mixed' if mixed else ''}"
    report = from_rasters(
        archive.scenes, records, out, request=request, legend=LEGEND, workers=workers, progress=progress
    )
    if report.failures.rows:
        raise InputError(
            f"{len(report.failures.rows)} chips could not be cut: {report.failures.rows[0].reason}",
            expected="a scene for every label raster",
            remedy=f"remove {archive.folder}, which is made again",
        )
    return chips.open(report.folder)


def _mixed_labels(archive: FloodArchive) -> Path:
    """Label rasters of the same places with the contents of others."""
    out = archive.folder / "labels_mixed"
    if out.is_dir():
        return out
    names = sorted(archive.records()["label_filename"])
    others = rng.generator(0, "mixed labels").permutation(len(names))
    with replacing_folder(out) as folder:
        for name, other in zip(names, others, strict=True):
            with rasterio.open(archive.labels / name) as own, rasterio.open(archive.labels / names[other]) as given:
                write_raster(
                    folder / name, given.read(), own.transform, str(own.crs), nodata=NO_LABEL, names=("water",)
                )
    return out


def tile_of_chip(name: str) -> int:
    """Number of the flood of a chip, which its label raster's name begins with."""
    return int(name.split("_")[0])


def phase_of_chip(name: str) -> int:
    """0 before the flood, 1 during it, 2 after it."""
    return int(name.split("_")[1])


def split(chipset: ChipSet, seed: int) -> Split:
    """A third of the places for test, at least one; blocks of the others for validation.

    Args:
        chipset: chips of at least two places.
        seed: of the draw.
    """
    tiles = sorted({tile_of_chip(name) for name in chipset.ids})
    drawn = rng.generator(seed, "instageo places").permutation(tiles)[: max(1, len(tiles) // 3)]
    region = {name: chipset.group(name) for name in chipset.ids}
    test = {region[name] for name in chipset.ids if tile_of_chip(name) in drawn}
    rest = set(region.values()) - test
    return chips.split_by_region(
        chipset, train=sorted(rest), test=sorted(test), validation_share=0.15, block_chips=2, buffer_chips=0.0,
        seed=seed,
    )  # fmt: skip
