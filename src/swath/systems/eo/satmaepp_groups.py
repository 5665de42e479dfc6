"""SatMAE++: are tokens of groups of bands sturdier than one token for all bands when a group is missing?

SatMAE and SatMAE++ (Cong et al., NeurIPS 2022; Noman et al., CVPR 2024) give every group of bands its own patch
embedding and tokens, and hide the tokens of each group by themselves. What is tested is this mechanism at a size that a
desk can train, not the published models: networks of width 96 and depth 4 on the simulated Earth, with the same
schedule and the same windows.

Data: world/v1, simulated: Sentinel-2 in six bands over 14 places on two days, without clouds; the scenes of
``world_transfer``. ``grouped`` has tokens of visible, near and short-wave infrared bands, hidden independently, as
published; ``consistent`` the same with the same places hidden in all groups; ``single`` one token for all six bands. A
linear probe on the frozen tokens learns the land cover of patches of 80 m from places that the seed chooses, with all
bands, and is tested on other places: with all bands, and with each group in turn replaced by its mean. ``left_out``
leaves the tokens of the missing group out. Beside them, on the same patches: Presto and Galileo nano with their
published weights, which are told place, month and what is missing; a random forest on bands and indices; and the
encoder with random weights.

Controls: labels in another order must be worse than random weights with true ones; features with a planted hint, which
no missing band takes away, must be better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from swath import judge, rng
from swath.learn import FitConfig, fit
from swath.learn.objectives import MaskedReconstruction, MaskingOptions
from swath.learn.reproduce import repeatable, seeded
from swath.nn.grouped import GroupedAutoencoder, GroupedDecoderSpec, GroupedSpec
from swath.systems.eo import _real10_controls as published
from swath.systems.eo import _runs
from swath.systems.eo import _satmaepp_cover as cover
from swath.systems.eo import _satmaepp_windows as ground
from swath.systems.eo import _scene_parts as parts
from swath.systems.eo._world_data import Scenes, WindowLoader, band_set
from swath.types import DataKind, Report, ResultRow

SLUG = "satmaepp_groups"
TITLE = "SatMAE++: groups of bands, when one is missing"
TIER = "reproduced"
DATA: DataKind = "simulated"
PLACES = (
    "rondonia", "mato_grosso", "congo", "borneo", "kenya", "po_valley", "bavaria", "iowa", "ganges", "mekong", "murray",
    "california", "alberta", "1.5,48.3",
)  # fmt: skip
PRETRAINED = ("grouped", "consistent", "single")


class Config(BaseModel):
    """Options; the defaults are those of the registered claims.

    Args:
        folder: where simulated scenes are kept; the user's cache by default.
        miniature: made-up scenes, and Presto and Galileo with random weights.
        scene: side of a scene in pixels of 10 m.
        size: side of a window in pixels.
        tested: how many of the 14 places are tested.
        epochs, batches, batch_size, rate: schedule of pretraining; windows are drawn anew in each epoch.
        patch, width, depth, heads: of the encoder.
        decoder_width, decoder_depth: of the decoder.
        per_class: most patches of each class that are learned from, and most that are tested.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path | None = None
    miniature: bool = False
    scene: int = Field(default=384, ge=16)
    size: int = Field(default=32, ge=4)
    tested: int = Field(default=5, ge=1, le=13)
    epochs: int = Field(default=10, ge=1)
    batches: int = Field(default=20, ge=1)
    batch_size: int = Field(default=32, ge=1)
    rate: float = Field(default=1.5e-3, gt=0)
    patch: int = Field(default=8, ge=1)
    width: int = Field(default=96, ge=16, multiple_of=16)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    decoder_width: int = Field(default=64, ge=16, multiple_of=16)
    decoder_depth: int = Field(default=2, ge=1)
    per_class: int = Field(default=300, ge=1)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds on made-up scenes; its scores mean nothing."""
        return cls(
            miniature=True, size=8, patch=4, tested=2, epochs=1, batches=2, batch_size=4, width=16, depth=1, heads=2,
            decoder_width=16, decoder_depth=1, per_class=20,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Prepared:
    """What all seeds share.

    Args:
        land: scenes and windows.
        known: features of the published encoders by name, for every case.
    """

    land: ground.Land
    known: dict[str, dict[str, NDArray[np.float32]]]

    @property
    def hash(self) -> str:
        """Of the simulated data."""
        return self.land.hash


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: pretrain the three networks, probe all contenders, write the report.

    Args:
        config: see ``Config``.
        out: folder of the run; finished networks in it are taken up again.
        seed: of tested places, first weights, data order, hidden tokens and drawn patches.

    Raises:
        MissingError: the weights of Presto or Galileo are absent, or the layers of the planet, where scenes have to
            be made.
    """
    return _runs.one_seed(_parts(), config, out, seed)


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
        MissingError: as ``run``.
    """
    return _runs.all_seeds(_parts(), out)


def _parts() -> _runs.Parts[Config, Prepared]:
    return _runs.Parts(SLUG, Config, prepare, seed_rows, _report)


def prepare(config: Config, out: Path) -> Prepared:
    """Scenes, which are made where they are absent, and the features of the published encoders."""
    if config.miniature:
        land, encoders = ground.made_up(config.size, config.patch), published.stand_ins()
    else:
        encoders = published.published()
        land = ground.land(config.folder, PLACES, config.scene, config.size, config.patch)
    with repeatable(1):
        known = {name: cover.published_features(each.encoder, land.windows) for name, each in encoders.items()}
    return Prepared(land, known)


def seed_rows(config: Config, data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """Every number of one seed."""
    seen, tested = data.land.windows, data.land.split(config.tested, seed)
    scenes = data.land.learned(tested)
    held = np.isin(seen.places, tested)
    drawn = (
        cover.drawn(seen, ~held, config.per_class, seed, "learned patches"),
        cover.drawn(seen, held, config.per_class, seed, "tested patches"),
    )
    labels = seen.labels.reshape(-1)
    # A class that no place to learn from has cannot be told by anybody.
    drawn = (drawn[0], drawn[1][np.isin(labels[drawn[1]], labels[drawn[0]])])
    base = ResultRow(
        run_id=f"{SLUG}-{seed}", system=SLUG, data_kind=data.land.kind, split="test", seed=seed, device="cpu",
        dataset="world/v1", dataset_hash=data.hash, n_train=len(drawn[0]), n_test=len(drawn[1]),
        bands=",".join(ground.BANDS), note=f"tested places: {', '.join(tested)}",
    )  # fmt: skip
    mixed = labels.copy()
    mixed[drawn[0]] = rng.generator(seed, "shuffled labels").permutation(mixed[drawn[0]])
    with repeatable(1):
        features = _features(config, scenes, seen, out, seed)
        features |= data.known | {"planted": cover.planted(features["grouped"], seen, seed)}
        found = []
        for name, maps in features.items():
            found += cover.rows(maps, labels, drawn, cover.linear(), replace(base, backbone=name))
        found += cover.rows(features["grouped"], mixed, drawn, cover.linear(), replace(base, backbone="shuffled"))
        plain = cover.plain_features(ground.normalise_of(scenes), seen)
        found += cover.rows(plain, labels, drawn, cover.forest(seed), replace(base, backbone="random_forest"))
    return found


def _features(config: Config, scenes: Scenes, seen: ground.Windows, out: Path, seed: int) -> dict[str, Any]:
    """Features of the pretrained networks, and of one with random weights, in every case."""
    networks = {name: pretrained(config, name, scenes, out / name, seed) for name in PRETRAINED}
    networks["random_weights"] = objective(config, "grouped", scenes, seed)
    found = {name: cover.masked_features(task, seen) for name, task in networks.items()}
    return found | {"left_out": cover.masked_features(networks["grouped"], seen, left_out=True)}


def pretrained(config: Config, name: str, scenes: Scenes, out: Path, seed: int) -> MaskedReconstruction:
    """One of ``PRETRAINED`` after its pretraining; labels are not looked at.

    Args:
        config: sizes and schedule.
        name: which network.
        scenes: of the places that are learned from.
        out: folder of the run.
        seed: of weights, windows and hidden tokens; the same windows for all three.
    """
    task = objective(config, name, scenes, seed)
    loader = WindowLoader(
        scenes, band_set(ground.BANDS), size=config.size, batch_size=config.batch_size, batches=config.batches,
        seed=seed,
    )  # fmt: skip
    options = FitConfig(
        epochs=config.epochs,
        learning_rate=config.rate,
        weight_decay=0.05,
        checkpoint_every_epochs=config.epochs,
        device="cpu",
        threads=1,
    )
    fit(task, loader, config=options, out=out, seed=seed, progress=False)
    return task


def objective(config: Config, name: str, scenes: Scenes, seed: int) -> MaskedReconstruction:
    """The network with the seed's first weights."""
    bands = ground.BANDS
    grouped = name != "single"
    groups = tuple(tuple(bands.index(band) for band in group) for group in ground.GROUPS.values())
    encoder = GroupedSpec(
        len(bands), groups if grouped else (tuple(range(len(bands))),), patch=config.patch, width=config.width,
        depth=config.depth, heads=config.heads, group_width=None if grouped else 0,
    )  # fmt: skip
    decoder = GroupedDecoderSpec(
        width=config.decoder_width, depth=config.decoder_depth, heads=config.heads,
        group_width=None if grouped else 0,
    )  # fmt: skip
    with seeded(seed, "satmaepp groups weights"):
        network = GroupedAutoencoder(encoder, decoder)
    masking = MaskingOptions(kind="consistent" if name == "consistent" else "random")
    return MaskedReconstruction(network, ground.normalise_of(scenes), band_set(bands), masking)


def _report(
    config: Config, data: Prepared, out: Path, rows: tuple[ResultRow, ...], timer: judge.Timer, note: str
) -> Report:
    return Report(
        system=SLUG,
        title=TITLE,
        data=data.land.kind,
        rows=rows,
        claims=_runs.claims_of(SLUG),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        notes=(
            *_runs.quick_note(config),
            f"{parts.KINDS[data.land.kind]} {note} Fingerprint of the data: {data.hash}.",
            "Accuracies are balanced over the classes of land cover; probes learn with all bands.",
        ),
    )
