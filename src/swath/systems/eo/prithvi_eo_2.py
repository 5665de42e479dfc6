"""Prithvi-EO-2.0: does a masked autoencoder do better when it knows when and where its images were taken?

Szwarcman et al., "Prithvi-EO-2.0: a versatile multi-temporal foundation model for Earth observation applications"
(arXiv 2412.02732): masked autoencoders on four dates of six HLS bands, up to 600 M parameters, whose larger ones add
fixed codes of (year, day of the year) and (latitude, longitude), scaled by learned numbers, to every token, and forget
either for one sample in ten so that they work without. What is tested here is that mechanism, with the published codes,
first scales and rate of forgetting, at a size that a desk can train. What differs: one whole date of three is hidden (a
cloudy image) where the published pretraining hides three quarters of all tokens at random, because that is where the
season decides what has to be made up.

Data: series of the simulated Earth (``_world_series``), 42 places from 60 degrees north to 44 south on ten days each;
places are split by seed. Four networks see the same samples: ``plain`` without codes; ``time_place`` with them;
``mixed`` with the codes of other samples (the negative control); and two on made-up series whose brightness is the
season and nothing else, ``planted`` (the positive one). ``time_place`` is judged with its codes, without any
(``absent``), and with the codes of other samples (``wrong``). All are compared with repeating the nearest date and with
interpolating in time.

Published sizes: ``prithvi_eo_v2_tiny_tl`` to ``prithvi_eo_v2_600_tl`` (``swath check NAME``, ``models.prithvi``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from swath import judge
from swath.learn import FitConfig, fit
from swath.learn.objectives import MaskedReconstruction, MaskingOptions, picture
from swath.learn.reproduce import repeatable, seeded
from swath.nn.masked_autoencoder import MaskedAutoencoder
from swath.nn.space_time import Condition, MaskedAutoencoderSpec
from swath.systems.eo import _prithvi_gaps as gaps
from swath.systems.eo import _runs
from swath.systems.eo import _scene_parts as parts
from swath.systems.eo import _world_series as world_series
from swath.systems.eo._world_series import Series, SeriesLoader
from swath.types import DataKind, Report, ResultRow
from swath.types.report import Picture

SLUG = "prithvi_eo_2"
TITLE = "Prithvi-EO-2.0: masked pretraining that knows time and place"
TIER = "reproduced"
DATA: DataKind = "simulated"
LIMIT = 1.02
"""Relative error that a network with codes may have without them: the published promise is that it works without."""


class Config(BaseModel):
    """Options; the defaults are those of the registered claims.

    Args:
        folder: where the simulated series are kept; the user's cache by default.
        made_up: use made-up series in place of the simulated Earth.
        places, days, side: of the series.
        dates: T, dates of a sample, one of which is hidden.
        size: side of a sample in pixels.
        patch, width, depth, heads: of the encoder.
        decoder_width, decoder_depth: of the decoder.
        steps: optimiser steps of each network.
        planted_steps: of the two networks on made-up series.
        batch_size: samples per step.
        rate: peak learning rate.
        test_places: places of the test, drawn by the seed.
        per_place: fixed samples of each of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path | None = None
    made_up: bool = False
    places: int = Field(default=len(world_series.PLACES), ge=3, le=len(world_series.PLACES))
    days: int = Field(default=10, ge=3)
    side: int = Field(default=64, ge=8)
    dates: int = Field(default=3, ge=2)
    size: int = Field(default=32, ge=8)
    patch: int = Field(default=8, ge=1)
    width: int = Field(default=96, ge=16, multiple_of=16)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    decoder_width: int = Field(default=64, ge=16, multiple_of=16)
    decoder_depth: int = Field(default=2, ge=1)
    steps: int = Field(default=500, ge=1)
    planted_steps: int = Field(default=200, ge=1)
    batch_size: int = Field(default=32, ge=2)
    rate: float = Field(default=1e-3, gt=0)
    test_places: int = Field(default=12, ge=1)
    per_place: int = Field(default=24, ge=2)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds on made-up series; its scores mean nothing."""
        return cls(
            made_up=True,
            places=6,
            days=5,
            side=16,
            size=16,
            width=16,
            depth=1,
            heads=2,
            decoder_width=16,
            decoder_depth=1,
            steps=4,
            planted_steps=4,
            batch_size=4,
            test_places=2,
            per_place=3,
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """What all seeds share: the series and their fingerprint."""

    series: Series
    hash: str

    @classmethod
    def of(cls, config: Config) -> Prepared:
        """The series of a configuration, made where they are not yet kept."""
        series = world_series.series_for(
            config.folder, made_up_instead=config.made_up, places=config.places, days=config.days, size=config.side
        )
        return cls(series, gaps.fingerprint(series))


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: train the networks, hide one date of every test series, write the report.

    Args:
        config: see ``Config``.
        out: folder of the run; finished networks in it are taken up again.
        seed: of first weights, samples, hidden dates and the places of the test.
    """
    return _runs.one_seed(_parts(), config, out, seed)


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
    """
    return _runs.all_seeds(_parts(), out)


def _parts() -> _runs.Parts[Config, Prepared]:
    return _runs.Parts(SLUG, Config, lambda config, out: Prepared.of(config), seed_rows, _report)


def seed_rows(config: Config, data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """Every number of one seed; errors are relative to that of the network without codes, whose own is 1."""
    learned, tested = gaps.split(data.series, config.test_places, seed)
    samples = world_series.fixed(tested, dates=config.dates, size=config.size, per_place=config.per_place, seed=seed)
    base = ResultRow(
        run_id=f"{SLUG}-{seed}", system=SLUG, data_kind=data.series.kind, split="test", seed=seed, device="cpu",
        dataset="world_series", dataset_hash=data.hash, n_train=len(learned), n_test=len(samples), bands="hls6",
        higher_is_better=False,
    )  # fmt: skip
    with repeatable(1):
        plain = trained(config, "plain", learned, out, seed)
        knowing = trained(config, "time_place", learned, out, seed)
        mixed = trained(config, "mixed", learned, out, seed)
        errors = gaps.simple_errors(plain, samples, seed)
        errors["plain"] = gaps.error(plain, samples, seed)
        for how in ("told", "absent", "wrong"):
            errors["time_place" if how == "told" else how] = gaps.error(knowing, samples, seed, how)
        errors["mixed"] = gaps.error(mixed, samples, seed, "wrong")
        planted = _planted(config, out, seed)
    rows = [replace(base, backbone=who, metric="gap_mse", value=value) for who, value in errors.items()]
    relative = {who: value / errors["plain"] for who, value in errors.items()} | planted | {"limit": LIMIT}
    rows += [replace(base, backbone=who, metric="relative_mse", value=value) for who, value in relative.items()]
    scales = {f"{name} scale": value for name, value in gaps.scales(knowing).items()}
    return rows + [replace(base, backbone=who, metric="learned_scale", value=value) for who, value in scales.items()]


def trained(config: Config, name: str, learned: Series, out: Path, seed: int) -> MaskedReconstruction:
    """One of the networks after its training.

    Args:
        config: sizes and schedule.
        name: ``plain``, ``time_place`` or ``mixed``; with ``planted_`` before it the shorter schedule is taken.
        learned: series of the places to learn from.
        out: folder of the seed.
        seed: of weights, samples and hidden dates; the same for all.
    """
    kind = name.removeprefix("planted_")
    steps = config.steps if kind == name else config.planted_steps
    conditions: tuple[Condition, ...] = () if kind == "plain" else ("time", "place")
    spec = MaskedAutoencoderSpec(
        bands=len(world_series.BANDS), image=config.size, dates=config.dates, patch=(1, config.patch, config.patch),
        width=config.width, depth=config.depth, heads=config.heads, decoder_width=config.decoder_width,
        decoder_depth=config.decoder_depth, decoder_heads=config.heads, conditions=conditions,
    )  # fmt: skip
    with seeded(seed, "prithvi weights"):
        network = MaskedAutoencoder(spec)
    task = MaskedReconstruction(network, learned.normalise(), world_series.bands(), MaskingOptions(kind="dates"))
    loader = SeriesLoader(
        learned, dates=config.dates, size=config.size, batch_size=config.batch_size, batches=steps, seed=seed,
        mix_times=kind == "mixed",
    )  # fmt: skip
    options = FitConfig(epochs=1, learning_rate=config.rate, weight_decay=0.05, device="cpu", threads=1)
    fit(task, loader, config=options, out=out / name, seed=seed, progress=False)
    return task


def _planted(config: Config, out: Path, seed: int) -> dict[str, float]:
    """Relative errors with and without codes on series that are the season and nothing else."""
    series = world_series.made_up(24, 8, config.patch, seed, south=False)
    learned, tested = gaps.split(series, 8, seed)
    small = config.model_copy(update={"size": config.patch})
    samples = world_series.fixed(tested, dates=config.dates, size=config.patch, per_place=config.per_place, seed=seed)
    found = {
        name: gaps.error(trained(small, f"planted_{name}", learned, out, seed), samples, seed)
        for name in ("plain", "time_place")
    }
    return {"planted": found["time_place"] / found["plain"], "planted_plain": 1.0}


def _report(
    config: Config, data: Prepared, out: Path, rows: tuple[ResultRow, ...], timer: judge.Timer, note: str
) -> Report:
    return Report(
        system=SLUG,
        title=TITLE,
        data=data.series.kind,
        rows=rows,
        claims=_runs.claims_of(SLUG),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        pictures=(_picture(config, data, out, rows[0].seed or 0),),
        notes=(
            *_runs.quick_note(config),
            f"{parts.KINDS[data.series.kind]} {note} Fingerprint of the series: {data.hash}.",
            f"One date of {config.dates} is hidden; errors are means over its pixels in standard deviations, squared.",
        ),
    )


def _picture(config: Config, data: Prepared, out: Path, seed: int) -> Picture:
    learned, tested = gaps.split(data.series, config.test_places, seed)
    task = trained(config, "time_place", learned, out / f"seed_{seed}", seed)
    samples = world_series.fixed(tested, dates=config.dates, size=config.size, per_place=4, seed=seed)
    path = picture(task, samples[0], out / "reconstructions.png", seed=seed)
    return Picture(path, f"First date of test series: what was there, what was seen, what was made up (seed {seed})")
