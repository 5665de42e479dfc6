"""How tasks of real10 are fed to encoders, features that are kept, and tasks that cannot be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from swath.cli import app
from swath.errors import ContractError, InputError
from swath.judge.real10 import BASELINES, ENCODERS, TASKS, Contender, Inputs, RowLearner, linear_head, page, run
from swath.judge.real10.ask import miniature
from swath.judge.real10.encoders import (
    LEFT_OUT,
    FrozenEncoder,
    _as_taken,
    _grid,
    _monthly,
    _times,
    encoder_contenders,
    heads_on,
    shuffled,
)
from swath.judge.real10.features import raw
from swath.judge.real10.kept import Features
from swath.sensors import Band, BandSet
from swath.sensors import load as sensor
from swath.systems.eo._real10_controls import stand_ins

TASK = {task.name: task for task in TASKS}
S2 = sensor("sentinel2_l1c").bands.select(["B02", "B03", "B04", "B08"])
STAND_INS = stand_ins()


def inputs(
    shape: tuple[int, int, int, int], bands: BandSet = S2, month: list[int] | None = None, *, dense: bool = True
) -> Inputs:
    """Reflectance between 0.1 and 0.3 at (N, T, H, W)."""
    count, steps, height, width = shape
    values = np.random.default_rng(0).uniform(0.1, 0.3, (count, steps, len(bands), height, width)).astype(np.float32)
    months = np.broadcast_to(np.array(month or range(steps), np.int64), (count, steps))
    return Inputs(values, np.ones(values.shape, bool), bands, months, np.full((count, 2), 10.0), dense)


def test_images_of_one_month_are_averaged_where_they_are_valid() -> None:
    given = inputs((1, 3, 1, 1), month=[6, 6, 8])
    given.valid[0, 0, 0] = False
    given.valid[0, :2, 1] = False
    found = _monthly(given)
    assert found.month.tolist() == [[6, 8]] and found.values.shape == (1, 2, 4, 1, 1)
    assert found.values[0, 0, 0, 0, 0] == given.values[0, 1, 0, 0, 0] and not found.valid[0, 0, 1].any()
    np.testing.assert_allclose(found.values[0, 0, 2], given.values[0, :2, 2].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(found.values[:, 1], given.values[:, 2])
    assert _monthly(inputs((2, 3, 1, 1))).values.shape[1] == 3
    assert _monthly(inputs((1, 3, 1, 1), month=[6, 6, 8], dense=False)).values.shape[1] == 3


def test_precipitation_goes_as_each_encoder_takes_it_and_indices_stay_behind() -> None:
    bands = BandSet((Band("total_precipitation", unit="m"), Band("NDVI", kind="index")))
    given = inputs((1, 1, 1, 1), bands)
    daily, monthly = _as_taken(given, "presto"), _as_taken(given, "galileo_nano")
    assert [(band.name, band.unit) for band in daily.bands] == [("total_precipitation", "m d-1")]
    assert [(band.name, band.unit) for band in monthly.bands] == [("total_precipitation_sum", "m month-1")]
    np.testing.assert_allclose(monthly.values, 30 * daily.values)
    np.testing.assert_array_equal(daily.values, given.values[:, :, :1])


def test_months_run_on_into_the_next_year_and_a_missing_one_is_august() -> None:
    found = _times(np.array([[10, 11, 0], [3, 4, 4], [-1, -1, -1]])).astype("datetime64[s]").astype("datetime64[D]")
    assert found.astype(str).tolist() == [
        ["2017-11-15", "2017-12-15", "2018-01-15"],
        ["2017-04-15", "2017-05-15", "2017-05-15"],
        ["2017-08-15"] * 3,
    ]


def test_tiles_have_pixels_of_ten_metres_around_their_place_and_points_none() -> None:
    from swath import grids

    tile = _grid([11.0, 48.0], 16, 16)
    assert grids.gsd_m(tile) == pytest.approx(10, abs=0.01) and grids.gsd_m(_grid([11.0, 48.0], 1, 1)) == 0
    assert np.mean(tile.lat) == pytest.approx(48) and np.mean(tile.lon) == pytest.approx(11) and tile.lat[0] > 48
    metres = np.diff(tile.lon)[0] * np.cos(np.deg2rad(48)) / np.diff(tile.lat)[0]
    assert abs(metres) == pytest.approx(1)


@pytest.mark.parametrize("name", list(STAND_INS))
@pytest.mark.parametrize("side", [1, 2, 5])
def test_every_answer_gets_one_embedding_and_what_is_masked_none(name: str, side: int) -> None:
    given = inputs((3, 2, side, side), dense=side > 1)
    given.valid[1] = False
    found = STAND_INS[name].features(given, "floods")
    assert found.shape == (3, 128, side, side)
    assert np.isnan(found[1]).all() and np.isfinite(found[[0, 2]]).all()
    alone = STAND_INS[name].features(given.take(np.array([2])), "floods")
    np.testing.assert_allclose(alone[0], found[2], atol=1e-5)


def test_shuffled_weights_keep_their_numbers_and_lose_their_order() -> None:
    for frozen in STAND_INS.values():
        other = shuffled(frozen.encoder, 0)
        assert other.version != frozen.encoder.version and other.version == shuffled(frozen.encoder, 0).version
        before, after = frozen.encoder.network.state_dict(), other.network.state_dict()
        for key, tensor in before.items():
            assert torch.equal(tensor.flatten().sort().values, after[key].flatten().sort().values), key
            if "pos_embed" in key or "month_embed" in key:
                assert torch.equal(tensor, after[key]), key


def test_every_task_is_asked_or_has_a_reason_and_bands_decide() -> None:
    assert set(LEFT_OUT) < set(TASK)
    colour = BandSet.of("red", "green", "blue", kind="colour")
    with pytest.raises(InputError, match="No band of the scene fits"):
        STAND_INS["presto"].features(inputs((1, 1, 2, 2), colour), "scenes_rgb")


@dataclass
class Counting:
    """Features that count how often they are computed."""

    version: str = "counting-1"
    left_out: Mapping[str, str] = field(default_factory=lambda: {"vegetation": "because"})
    calls: int = 0

    def features(self, given: Inputs, task: str) -> np.ndarray:
        self.calls += 1
        return np.nan_to_num(raw(given)).mean(axis=1, keepdims=True)


def contender(frozen: Counting, name: str = "counted") -> Contender:
    return Contender(name, f"frozen {frozen.version}", lambda seed: RowLearner(raw, linear_head, seed), frozen)


def test_features_are_computed_once_for_all_seeds_variants_heads_and_runs(tmp_path: Path) -> None:
    frozen = Counting()
    plan = miniature(tmp_path / "data", (TASK["fuel_moisture"], TASK["vegetation"]), (BASELINES[0], contender(frozen)))
    found = run(tmp_path / "out", replace(plan, seeds=(0, 1)))
    assert frozen.calls == 1 and not found.failures
    assert {row.dataset for row in found.table if row.backbone == "counted"} == {"fuel_moisture"}
    assert found.left_out == {("counted", "vegetation"): "because"}
    assert "Left out: vegetation for counted (because)." in page(found) and "| all labels | 1 |" in page(found)
    both = (contender(frozen), contender(frozen, "second"))
    run(tmp_path / "out", replace(plan, seeds=(0, 1, 2), contenders=both))
    assert frozen.calls == 1
    run(tmp_path / "out", replace(plan, contenders=(contender(Counting("counting-2")),)))
    assert len(list((tmp_path / "out" / "features").glob("*.npy"))) == 2


def test_kept_features_of_other_shapes_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    given = inputs((2, 1, 3, 3))
    kept = Features(tmp_path, "floods", "abc", given)
    found = kept.of(Counting())
    assert found.values.shape == (2, 1, 1, 3, 3) and found.bands.names == ("e0",) and found.dense
    (path,) = tmp_path.glob("*.npy")
    path.write_bytes(b"no array")
    with pytest.raises(InputError, match=r"counting-1.npy.* cannot be read"):
        Features(tmp_path, "floods", "abc", given).of(Counting())

    class Wrong(Counting):
        def features(self, given: Inputs, task: str) -> np.ndarray:
            return np.zeros((2, 4, 1, 1), np.float32)

    with pytest.raises(ContractError, match=r"The features of floods have shape \(2, 4, 1, 1\)"):
        Features(tmp_path, "floods", "abc", given).of(Wrong("wrong"))


def test_names_and_versions_of_the_contenders() -> None:
    made = [each for name, frozen in STAND_INS.items() for each in heads_on(name, frozen)]
    assert tuple(each.name for each in made) == ENCODERS
    assert all(each.frozen is not None and each.frozen.version in each.options for each in made)
    assert isinstance(made[0].frozen, FrozenEncoder) and not made[0].asked("planet") and made[0].asked("floods")


def test_absent_weights_are_told_and_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWATH_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lines: list[str] = []
    assert encoder_contenders(lines.append) == ()
    assert len(lines) == 2 and lines[0].startswith("presto+linear and presto+forest are left out: The weights")


def test_the_command_names_encoders_and_says_what_is_not_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SWATH_DATA", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))

    def call(*words: str) -> tuple[int, str]:
        asked = ["bench", "real10", "--quick", "--tasks", "algae_blooms", "--out", str(tmp_path / "out"), *words]
        found = CliRunner().invoke(app, asked)
        return found.exit_code, " ".join(f"{found.output} {found.exception or ''}".split())

    code, out = call("--contenders", "constant", "--encoders")
    assert code == 0 and "galileo+linear and galileo+forest are left out" in out and "| algae_blooms | RMSE |" in out
    code, out = call("--contenders", "constant,presto+linear")
    assert code == 0 and "presto+linear and presto+forest are left out" in out
    code, out = call("--contenders", "presto+linear")
    assert code != 0 and "The weights of presto+linear are not here" in out
