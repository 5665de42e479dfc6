"""The ten tasks, and what is frozen about them.

For every task ``frozen.toml`` holds two digests: ``data`` over the bytes that are read, and ``split`` over the
assignment of every sample to training and test, and the few-label draws, of the seeds 0 to 9. A task whose digests
differ is another task, and is refused.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swath.errors import InputError, MissingError
from swath.judge.real10 import globe, pictures, scenes, series
from swath.judge.real10.samples import Samples
from swath.judge.real10.splits import few, given_split, group_split, strip_split
from swath.sources.published import eolearn, jasper_ridge, presto_tables, rsscn7, rstoolbox, sen1floods11, sits
from swath.sources.published.common import fingerprint
from swath.types import Split

VARIABLE = "SWATH_DATA"
FROZEN = "frozen.toml"
SEEDS = tuple(range(10))
"""The seeds whose splits are frozen; others are refused."""
Metric = Literal["miou", "balanced_accuracy", "rmse"]
Rule = Literal["given", "strip", "groups"]


@dataclass(frozen=True)
class Task:
    """One task of the suite.

    Args:
        name: short name.
        title: one line for people.
        folder: folder below ``$SWATH_DATA``; None for the planet, which lies in the user's cache.
        metric: the score that ranks: mean IoU of maps, balanced accuracy of samples, RMSE of quantities.
        rule: ``given`` by the authors or by region (the same for all seeds), whole ``strip`` of a scene, or whole
            ``groups``, both drawn by the seed.
        per_kind: samples of every class, or fifth of a quantity, in the few-label variant.
        load: reads the folder.
        files: the files that ``load`` reads.
        write_fake: writes a miniature of the folder.
        share: share of the groups that is held out, for the rule ``groups``.
    """

    name: str
    title: str
    folder: str | None
    metric: Metric
    rule: Rule
    per_kind: int
    load: Callable[[Path], Samples]
    files: Callable[[Path], list[Path]]
    write_fake: Callable[[Path, int], Path]
    share: float = 0.3

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher score is a better one."""
        return self.metric != "rmse"

    def split(self, samples: Samples, seed: int) -> Split:
        """Who is learned from and who is scored; groups stay whole.

        Raises:
            InputError: the seed is not one of ``SEEDS``, or no split leaves every class on both sides.
        """
        if seed not in SEEDS:
            raise InputError(
                f"The seed is {seed}",
                expected=f"{SEEDS[0]} to {SEEDS[-1]}, whose splits are frozen",
                remedy="choose one",
            )
        if self.rule == "given":
            return given_split(self.name, samples)
        if self.rule == "strip":
            return strip_split(self.name, samples, seed)
        return group_split(self.name, samples, seed, self.share)

    def few(self, samples: Samples, split: Split, seed: int) -> list[str]:
        """Ids that the few-label variant learns from."""
        return few(self.name, samples, split, self.per_kind, seed)

    def digests(self, root: Path) -> dict[str, str]:
        """What ``frozen.toml`` holds of this task, computed from the data in ``root``."""
        return {"data": self.data_digest(root), "split": self.split_digest(self.load(root))}

    def data_digest(self, root: Path) -> str:
        """Sixteen hexadecimal digits over the bytes that are read.

        Raises:
            InputError: a file is absent.
        """
        if self.folder is None:
            return globe.digest(root)
        files = self.files(root)
        absent = [path.name for path in files if not path.is_file()]
        if absent or not files:
            raise InputError(
                f"{root} lacks {', '.join(absent[:5]) or 'every file'}",
                expected=f"the data of the task {self.name}",
                remedy="download the data set again",
            )
        return fingerprint(root, files)

    def split_digest(self, samples: Samples) -> str:
        """Twelve hexadecimal digits over the splits and few-label draws of all seeds."""
        total = hashlib.sha256()
        for seed in SEEDS:
            split = self.split(samples, seed)
            total.update(f"{seed} {split.hash} {','.join(self.few(samples, split, seed))}\n".encode())
        return total.hexdigest()[:12]


def _rstoolbox(which: str) -> Callable[[Path], list[Path]]:
    return lambda root: [root / f"{which}.tif", root / f"trainingPolygons_{which}.geojson"]


TASKS = (
    Task(
        "polygons_s2", "Land cover at hand-drawn polygons, Sentinel-2, Amazon", "rstoolbox", "miou", "groups", 2,
        lambda root: scenes.polygons(root, "sen2"), _rstoolbox("sen2"), rstoolbox.write_fake, 0.5,
    ),
    Task(
        "polygons_landsat", "Land cover at hand-drawn polygons, Landsat 5, Amazon", "rstoolbox", "miou", "groups", 2,
        lambda root: scenes.polygons(root, "lsat"), _rstoolbox("lsat"), rstoolbox.write_fake, 0.5,
    ),
    Task(
        "floods", "Flood water, Sentinel-1 and Sentinel-2, Spain", "sen1floods11_sample", "miou", "strip", 2,
        scenes.floods, lambda root: list(sen1floods11.open(root)[0].files.values()), sen1floods11.write_fake,
    ),
    Task(
        "land_use", "Land use, five dates of Sentinel-2, Slovenia", "eolearn_eopatch", "miou", "strip", 2,
        scenes.land_use, eolearn.files, eolearn.write_fake,
    ),
    Task(
        "vegetation", "Vegetation and use, a year of MODIS NDVI, Brazil", "sits_modis_s2", "balanced_accuracy",
        "groups", 10, series.vegetation, lambda root: sits.files(root)[:1], sits.write_fake,
    ),
    Task(
        "scenes_rgb", "Kinds of scenes, RGB pictures", "rsscn7_128", "balanced_accuracy", "groups", 10,
        pictures.scenes, pictures.files, rsscn7.write_fake,
    ),
    Task(
        "planet", "Land cover of the globe at 10 km, Americas held out", None, "miou", "given", 5,
        globe.land_cover, lambda root: [], globe.write_fake,
    ),
    Task(
        "fuel_moisture", "Live fuel moisture, three months, United States, sites held out", "presto_fuel_moisture",
        "rmse", "given", 10, lambda root: series.table(root, "fuel moisture", "%"), presto_tables.files,
        presto_tables.write_fake,
    ),
    Task(
        "algae_blooms", "Severity of algal blooms, twelve months, United States, region held out",
        "presto_algae_blooms", "rmse", "given", 10, lambda root: series.table(root, "severity", "1"),
        presto_tables.files, lambda root, seed: presto_tables.write_fake(root, seed, named_sites=False),
    ),
    Task(
        "materials", "Shares of four materials, 198 bands of AVIRIS, Jasper Ridge", "hyperspectral_jasper_ridge",
        "rmse", "strip", 2, scenes.materials, jasper_ridge.files, jasper_ridge.write_fake,
    ),
)  # fmt: skip
"""In the order in which they are measured and shown."""


def root_of(task: Task, data: Path | None = None) -> Path:
    """Where the data of a task lie: below ``data``, ``$SWATH_DATA`` by default, or the planet in the user's cache.

    Raises:
        MissingError: there is no such folder.
    """
    if task.folder is None:
        root = globe.folder() if data is None or not (data / "planet").is_dir() else data / "planet"
        remedy = f"run: swath data make planet --out {root}"
    else:
        told = data or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
        if told is None:
            raise MissingError(
                f"${VARIABLE} is not set", expected=f"the directory that holds {task.folder}", remedy=f"set {VARIABLE}"
            )
        root, remedy = told / task.folder, f"put the data set there, or set {VARIABLE} to where it is"
    if not root.is_dir():
        raise MissingError(f"There is no directory {root}", expected=f"the data of {task.name}", remedy=remedy)
    return root


def load(task: Task, root: Path, *, frozen: bool = True) -> Samples:
    """The samples of a task, checked, and compared with what is frozen about it.

    Args:
        task: which.
        root: its folder.
        frozen: refuse data or splits that differ from the frozen ones; False for miniatures and other data.

    Raises:
        InputError: a file is absent or damaged, or the data or the splits are others than the frozen ones.
    """
    if frozen:
        _same(task, "data", task.data_digest(root), root)
    samples = task.load(root)
    samples.check()
    if frozen:
        _same(task, "split", task.split_digest(samples), root)
    return samples


def frozen_digests() -> dict[str, dict[str, str]]:
    """The content of ``frozen.toml``: task to ``data`` and ``split``."""
    text = importlib.resources.files("swath.judge.real10").joinpath(FROZEN).read_text(encoding="utf-8")
    return tomllib.loads(text)


def _same(task: Task, what: str, found: str, root: Path) -> None:
    wanted = frozen_digests().get(task.name, {}).get(what)
    if found != wanted:
        meaning = "files" if what == "data" else "assignment of samples to training and test"
        raise InputError(
            f"The {what} hash of the task {task.name} in {root} is {found}",
            expected=f"{wanted}: the {meaning} that real10 was frozen with",
            remedy="download the data set again; scores on another task cannot stand beside those of real10",
        )
