"""SatMAE++: does it help a masked autoencoder to make finer images up as well?

Noman et al., "Rethinking transformers pre-training for multi-spectral satellite imagery", CVPR 2024 (arXiv 2403.05419):
a masked autoencoder whose decoder also gives the image at twice (and four times) its size through convolutions, and is
compared there with the finer image of the same place. The published models are ViT-L on millions of pictures of fMoW;
what is tested here is the mechanism, with the published head, loss and shares at a size that a desk can train: colour
pictures, one finer scale, as in the published colour model.

Data: RSSCN7 (real), seven kinds of scene. The network sees pictures at 32 pixels; the finer image is the same picture
at 64. Three networks with the same first weights, the same order of the same pictures and the same hidden patches:
``single`` makes up the hidden patches alone; ``multi`` the finer image, too; ``multi_lowpass`` a finer image without
detail (every coarse pixel four times), which is the control: inputs are the same to the bit, and if only the presence
of a second loss helped, it would help there as well. Judged by a linear probe on the mean token of the frozen encoder,
with few labels and with more, on blocks of pictures that nothing has seen, next to the encoder with random weights and
a random forest on colour and texture of the same 32 pixels.

Published sizes: ``satmaepp_vitl_grouped`` and ``satmaepp_vitl_rgb`` (``swath check NAME``, ``models.satmaepp``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from swath import judge
from swath.learn import FitConfig, fit
from swath.learn.objectives import MaskedReconstruction, MaskingOptions, masked_validation, picture
from swath.learn.reproduce import repeatable, seeded
from swath.nn.grouped import GroupedAutoencoder, GroupedDecoderSpec, GroupedSpec
from swath.nn.multiscale import halve
from swath.sources.published import rsscn7
from swath.systems.eo import _runs
from swath.systems.eo import _satmaepp_probe as probe
from swath.systems.eo import _scene_parts as parts
from swath.systems.eo._pictures import Library, PictureLoader, Pictures, colours, statistics_of
from swath.types import DataKind, Report, ResultRow
from swath.types.report import Picture

SLUG = "satmaepp"
TITLE = "SatMAE++: masked pretraining at several scales"
TIER = "reproduced"
DATA: DataKind = "real"
PAPER = ("satmaepp_vitl_grouped", "satmaepp_vitl_rgb")
"""The published sizes, by their names in ``swath.models.sizes``."""
FOLDER = "rsscn7_128"
PRETRAINED = ("single", "multi", "multi_lowpass")


class Config(BaseModel):
    """Options; the defaults are those of the registered claims.

    Args:
        root: folder with ``rsscn7_128``; ``$SWATH_DATA`` by default.
        miniature: use a made-up miniature tree where the data are absent.
        size: side of the finer pictures in pixels; the network sees half of it.
        pictures: most pictures to pretrain on, or None for all of the training blocks.
        epochs: passes over them.
        batch_size: pictures per step.
        rate: peak learning rate.
        patch, width, depth, heads: of the encoder.
        decoder_width, decoder_depth: of the decoder.
        labels: labelled pictures per class, for each of the two probes.
        draws: how often the fewer labels are drawn in a seed; scores are averaged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path | None = None
    miniature: bool = False
    size: int = Field(default=64, ge=16, multiple_of=8)
    pictures: int | None = Field(default=None, ge=7)
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=32, ge=1)
    rate: float = Field(default=1.5e-3, gt=0)
    patch: int = Field(default=4, ge=1)
    width: int = Field(default=96, ge=4, multiple_of=4)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    decoder_width: int = Field(default=64, ge=4, multiple_of=4)
    decoder_depth: int = Field(default=2, ge=1)
    labels: tuple[int, int] = (7, 70)
    draws: int = Field(default=5, ge=1)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds; its scores mean nothing, and without the data it uses a made-up miniature tree."""
        return cls(
            miniature=True,
            size=32,
            pictures=28,
            epochs=1,
            batch_size=14,
            width=16,
            depth=1,
            heads=2,
            decoder_width=8,
            decoder_depth=1,
            labels=(1, 2),
            draws=2,
        )


class Prepared:
    """What all seeds share: the scenes, their pictures read once, the hash, and whether the data are real."""

    def __init__(self, config: Config, out: Path) -> None:
        fake = rsscn7.write_fake if config.miniature else None
        root, self.kind = parts.data_folder(
            None if config.root is None else config.root / FOLDER, FOLDER, out / FOLDER, write_fake=fake
        )
        self.scenes = rsscn7.open(root)
        self.hash = rsscn7.describe(root).fingerprint[:12]
        self.pictures = Library(self.scenes, config.size)


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: pretrain the three networks, probe them, write the report with a picture of reconstructions.

    Args:
        config: see ``Config``.
        out: folder of the run; finished networks in it are taken up again.
        seed: of first weights, data order, hidden patches and drawn labels. The test blocks are the same for all.

    Raises:
        MissingError: the data are absent.
        InputError: a file is missing or damaged.
    """
    return _runs.one_seed(_parts(), config, out, seed)


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
    """
    return _runs.all_seeds(_parts(), out)


def _parts() -> _runs.Parts[Config, Prepared]:
    return _runs.Parts(SLUG, Config, Prepared, seed_rows, _report)


def seed_rows(config: Config, data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """Every number of one seed."""
    split = rsscn7.split(data.scenes, seed)
    learned = data.pictures.take(split.ids("train"), config.pictures)
    tested = data.pictures.take(split.ids("test"))
    base = ResultRow(
        run_id=f"{SLUG}-{seed}", system=SLUG, data_kind=data.kind, split="test", seed=seed, device="cpu",
        dataset=FOLDER, dataset_hash=data.hash, n_train=len(learned), n_test=len(tested), bands="rgb",
    )  # fmt: skip
    with repeatable(1):
        networks = {name: pretrained(config, name, learned, out / name, seed) for name in PRETRAINED}
        networks["random_weights"] = objective(config, 0, learned, seed)
        features = {name: _features(each, learned, tested) for name, each in networks.items()}
        rows = probe.rows(features, learned, tested, config.labels, config.draws, base)
        rows += probe.forest_rows(coarse(learned), coarse(tested), config.labels, config.draws, base)
        finer = masked_validation(PictureLoader(tested, batch_size=64, seed=seed))(networks["multi"], 0)
    for who, name in (("multi", "psnr_2x"), ("bilinear", "psnr_2x_bilinear")):
        rows.append(replace(base, backbone=who, metric="psnr_2x", value=finer[name], note="dB"))
    return rows


def pretrained(config: Config, name: str, learned: Pictures, out: Path, seed: int) -> MaskedReconstruction:
    """One of ``PRETRAINED`` after its pretraining; labels are not looked at.

    Args:
        config: sizes and schedule.
        name: which network.
        learned: pictures at the finer size.
        out: folder of the run.
        seed: of weights, order and hidden patches; the same for all three.
    """
    task = objective(config, 0 if name == "single" else 1, learned, seed)
    seen = coarse(learned) if name == "single" else lowpass(learned) if name == "multi_lowpass" else learned
    options = FitConfig(
        epochs=config.epochs,
        learning_rate=config.rate,
        weight_decay=0.05,
        checkpoint_every_epochs=config.epochs,
        device="cpu",
        threads=1,
    )
    loader = PictureLoader(seen, batch_size=config.batch_size, seed=seed)
    fit(task, loader, config=options, out=out, seed=seed, progress=False)
    return task


def objective(config: Config, doublings: int, learned: Pictures, seed: int) -> MaskedReconstruction:
    """The network with the seed's first weights; encoder and decoder start alike with and without the head."""
    bands = len(rsscn7.BANDS)
    encoder = GroupedSpec(
        bands, (tuple(range(bands)),), patch=config.patch, width=config.width, depth=config.depth, heads=config.heads,
        group_width=0,
    )  # fmt: skip
    decoder = GroupedDecoderSpec(
        width=config.decoder_width, depth=config.decoder_depth, heads=config.heads, group_width=0, order="pqc",
        doublings=doublings,
    )  # fmt: skip
    with seeded(seed, "satmaepp weights"):
        network = GroupedAutoencoder(encoder, decoder)
    return MaskedReconstruction(network, statistics_of(coarse(learned)), colours(), MaskingOptions())


def coarse(pictures: Pictures) -> Pictures:
    """The pictures at half the size: the mean of two by two pixels, as the network of several scales sees them."""
    values = torch.from_numpy(pictures.values)
    halved = halve(values, torch.ones_like(values, dtype=torch.bool))[0]
    return replace(pictures, values=halved.numpy())


def lowpass(pictures: Pictures) -> Pictures:
    """The pictures without detail: every pixel of ``coarse`` four times. Halved they are ``coarse`` to the bit."""
    return replace(pictures, values=coarse(pictures).values.repeat(2, axis=-1).repeat(2, axis=-2))


def _features(task: MaskedReconstruction, learned: Pictures, tested: Pictures) -> probe.Features:
    """Mean tokens ``(N, D)`` of the frozen encoder for the pictures that are learned from and the tested ones."""

    def encoded(pictures: Pictures) -> NDArray[np.float32]:
        values = torch.from_numpy(coarse(pictures).values)
        task.eval()
        with torch.inference_mode():
            chunks = [
                task.model.encoder(task.normalise(chunk, torch.ones_like(chunk, dtype=torch.bool))).cls
                for chunk in values.split(256)
            ]
        return torch.cat([chunk for chunk in chunks if chunk is not None]).numpy()

    return probe.Features(encoded(learned), encoded(tested))


def _report(
    config: Config, data: Prepared, out: Path, rows: tuple[ResultRow, ...], timer: judge.Timer, note: str
) -> Report:
    return Report(
        system=SLUG,
        title=TITLE,
        data=data.kind,
        rows=rows,
        claims=_runs.claims_of(SLUG),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        pictures=(_picture(config, data, out, rows[0].seed or 0),),
        notes=(
            *_runs.quick_note(config),
            f"{parts.KINDS[data.kind]} {note} Fingerprint of the data: {data.hash}.",
            "The networks see pictures at half the size of the finer ones; patches are hidden at a ratio of 0.75.",
        ),
    )


def _picture(config: Config, data: Prepared, out: Path, seed: int) -> Picture:
    """Reconstructions of test pictures by the network of two scales."""
    split = rsscn7.split(data.scenes, seed)
    learned = data.pictures.take(split.ids("train"), config.pictures)
    task = pretrained(config, "multi", learned, out / f"seed_{seed}" / "multi", seed)
    shown = data.pictures.take(split.ids("test"), 4).batch()
    path = picture(task, shown, out / "reconstructions.png", seed=seed)
    return Picture(path, f"Test pictures: what was there, what the network saw, what it made up (seed {seed})")
