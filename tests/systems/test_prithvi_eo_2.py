"""Prithvi-EO-2.0: series, hidden dates, what needs no training, and the smoke of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from swath import systems
from swath.errors import InputError
from swath.systems.eo import _prithvi_gaps as gaps
from swath.systems.eo import _world_series as world_series
from swath.systems.eo import prithvi_eo_2
from swath.systems.eo._world_series import SeriesLoader


@pytest.fixture
def config() -> prithvi_eo_2.Config:
    return prithvi_eo_2.Config.quick()


def test_batches_keep_the_contract_and_repeat() -> None:
    series = world_series.made_up(5, 6, 16, 1)
    loader = SeriesLoader(series, dates=3, size=8, batch_size=7, batches=2, seed=4)
    first, again = (list(loader.epoch(0)) for _ in range(2))
    for batch, same in zip(first, again, strict=True):
        batch.check()
        image = batch.inputs["image"]
        assert image.values.shape == (7, 3, 6, 8, 8)
        assert bool((image.time.diff(dim=1) > 0).all())
        assert torch.equal(image.values, same.inputs["image"].values)
    (late,) = loader.epoch(0, start=1)
    assert torch.equal(late.inputs["image"].values, first[1].inputs["image"].values)


def test_values_belong_to_their_day_and_place() -> None:
    series = world_series.made_up(4, 6, 8, 2, noise=0.0)
    batch = next(SeriesLoader(series, dates=3, size=8, batch_size=20, batches=1, seed=0).epoch(0))
    about = gaps.about_of(batch)
    sign = torch.sign(about.latitude)[:, None]
    season = -torch.cos(2 * torch.pi * about.day / 365) * sign
    infrared = batch.inputs["image"].values[:, :, 3, 0, 0].double()
    # Days count from 2020, a leap year, so that the season of the other years is a day late.
    torch.testing.assert_close(infrared, 0.3 + 0.1 * season, atol=0.005, rtol=0)


def test_mixed_times_are_those_of_others_and_values_stay() -> None:
    series = world_series.made_up(6, 6, 8, 3)
    plain, mixed = (
        next(SeriesLoader(series, dates=3, size=8, batch_size=16, batches=1, seed=5, mix_times=mix).epoch(0))
        for mix in (False, True)
    )
    assert torch.equal(plain.inputs["image"].values, mixed.inputs["image"].values)
    times = [batch.inputs["image"].time for batch in (plain, mixed)]
    assert not torch.equal(*times)
    assert sorted(map(tuple, times[0].tolist())) == sorted(map(tuple, times[1].tolist()))


def test_the_season_is_found_by_codes_and_lost_without(config: prithvi_eo_2.Config, tmp_path: Path) -> None:
    small = config.model_copy(update={"planted_steps": 250, "batch_size": 24, "width": 32, "patch": 8, "rate": 3e-3})
    found = prithvi_eo_2._planted(small, tmp_path, 0)
    assert found["planted"] < 0.9


def test_simple_ways_on_a_series_that_is_linear_in_time() -> None:
    time = np.array([[0, 10, 30], [0, 10, 30], [0, 10, 30]])
    values = time[:, :, None, None, None].astype(np.float32) * np.ones((1, 1, 2, 4, 4), np.float32)
    hidden = np.eye(3, dtype=bool)
    made = gaps.simple(values, time, hidden)
    np.testing.assert_allclose(made["interpolated"][:, 0, 0, 0], [10, 10, 10])  # the ends have one neighbour only
    np.testing.assert_allclose(made["nearest"][:, 0, 0, 0], [10, 0, 10])
    np.testing.assert_allclose(made["mean"][:, 0, 0, 0], [20, 15, 5])


def test_places_of_the_test_are_never_learned_from() -> None:
    series = world_series.made_up(9, 4, 8)
    for seed in range(3):
        learned, tested = gaps.split(series, 3, seed)
        assert (len(learned), len(tested)) == (6, 3)
        assert not {grid.affine for grid in learned.grids} & {grid.affine for grid in tested.grids}


def test_without_codes_nothing_that_is_told_matters(config: prithvi_eo_2.Config, tmp_path: Path) -> None:
    series = world_series.made_up(6, 5, 16)
    learned, tested = gaps.split(series, 2, 0)
    samples = world_series.fixed(tested, dates=3, size=16, per_place=3, seed=0)
    plain = prithvi_eo_2.trained(config, "plain", learned, tmp_path, 0)
    assert gaps.error(plain, samples, 0) == gaps.error(plain, samples, 0, "wrong")
    knowing = prithvi_eo_2.trained(config, "time_place", learned, tmp_path, 0)
    errors = {told: gaps.error(knowing, samples, 0, told) for told in ("told", "absent", "wrong")}  # type: ignore[arg-type]
    assert len(set(errors.values())) == 3
    assert set(gaps.scales(knowing)) == {"time", "place"}


def test_series_that_are_too_short_or_small() -> None:
    series = world_series.made_up(2, 3, 8)
    with pytest.raises(InputError, match="4 days"):
        SeriesLoader(series, dates=4, size=8, batch_size=2, batches=1, seed=0)
    with pytest.raises(InputError, match="16 pixels"):
        SeriesLoader(series, dates=3, size=16, batch_size=2, batches=1, seed=0)


def test_the_smoke(tmp_path: Path) -> None:
    module = systems.load("prithvi_eo_2")
    report = module.run(module.Config.quick(), tmp_path, seed=1)
    assert report.data == "fixture"
    found = {(row.backbone, row.metric): row.value for row in report.rows}
    assert found["plain", "relative_mse"] == 1.0
    assert {"nearest", "interpolated", "absent", "wrong", "mixed", "planted"} <= {who for who, _ in found}
    assert (tmp_path / "reconstructions.png").stat().st_size > 1000
