"""Conformal sets and intervals: quantiles by hand, coverage by simulation, and what breaks the promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import ConfigError, InputError
from swath.predict.conformal import (
    ConformalInterval,
    ConformalSets,
    conformal_quantile,
    coverage,
    interval_layers,
    set_layers,
)
from swath.predict.fields import Fields, Group

ABC = ("a", "b", "c")


@pytest.mark.parametrize(
    ("count", "alpha", "rank"), [(9, 0.1, 9), (10, 0.1, 10), (19, 0.1, 18), (99, 0.05, 95), (3, 0.5, 2), (8, 0.1, None)]
)
def test_rank_by_hand(count: int, alpha: float, rank: int | None) -> None:
    """The ceil((n + 1)(1 - alpha))-th smallest of 1 to n, and infinity where that is more than n."""
    scores = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    expected = math.inf if rank is None else rank
    assert conformal_quantile(scores, alpha) == expected
    assert conformal_quantile(scores, alpha, np.arange(count)) == expected


def test_groups_by_hand() -> None:
    """Groups (1, 1, 1, 9) and (5): weights 1/4 and 1. At alpha 1/2 and G = 2, 1.5 is first reached at 5."""
    scores, groups = np.array([1.0, 1, 1, 9, 5]), np.array([0, 0, 0, 0, 1])
    assert conformal_quantile(scores, 0.5, groups) == 5.0
    assert conformal_quantile(scores, 0.6, groups) == 5.0  # 1.2
    assert conformal_quantile(scores, 0.75, groups) == 1.0  # 0.75
    assert conformal_quantile(scores, 0.34, groups) == 9.0  # 1.98
    assert conformal_quantile(scores, 0.1, groups) == math.inf  # 2.7
    assert conformal_quantile(np.empty(0), 0.1) == math.inf


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_member_for_each_of_several_copies(scores: list[float], alpha: float) -> None:
    """Copying every score within its group changes nothing: copies are no information."""
    values = np.array(scores)
    groups = np.arange(len(values))
    assert conformal_quantile(values.repeat(7), alpha, groups.repeat(7)) == conformal_quantile(values, alpha)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, math.nan])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(ConfigError, match="alpha"):
        conformal_quantile(np.ones(3), alpha)


def test_sets_by_hand() -> None:
    """Nine pixels whose true class got 0.9, ..., 0.1: at alpha 0.2 the 8th score, 1 - 0.2, is the threshold."""
    true = np.arange(0.9, 0.05, -0.1)
    probability = np.stack([true, 1 - true, np.zeros(9)], axis=1)
    sets = ConformalSets.fit(probability, np.zeros(9, int), ABC, 0.2)
    assert sets.thresholds == pytest.approx((0.8,) * 3) and sets.units == (9, 9, 9)
    members = sets.members(np.array([[0.2, 0.75, 0.05], [0.19, 0.81, 0.0]]))
    assert members.tolist() == [[True, True, False], [False, True, False]]
    assert sets.members(np.full((3, 2, 2), 0.1), axis=0).sum() == 0  # nothing is typical


def test_by_class_and_infinite_thresholds() -> None:
    labels = np.array([0] * 9 + [1] * 3)
    probability = np.full((12, 3), 0.25)
    sets = ConformalSets.fit(probability, labels, ABC, 0.1, by_class=True)
    assert sets.thresholds[0] == pytest.approx(0.75) and sets.thresholds[1:] == (math.inf, math.inf)
    assert sets.units == (9, 3, 0)
    assert sets.members(np.array([[0.0, 0.0, 1.0]])).tolist() == [[False, True, True]]
    assert ConformalSets.from_record(sets.record()) == sets


@pytest.mark.parametrize(("rows", "labels"), [(0, []), (2, [0, 3]), (2, [-1, 0])])
def test_bad_calibration(rows: int, labels: list[int]) -> None:
    with pytest.raises(InputError):
        ConformalSets.fit(np.full((rows, 3), 1 / 3), np.array(labels, int), ABC, 0.1)


def simulated(random: np.random.Generator, chips: int, pixels: int, shared: float) -> tuple[np.ndarray, ...]:
    """Probabilities, labels and chips of pixels whose difficulty is partly that of their chip."""
    chip = np.repeat(np.arange(chips), pixels)
    hard = np.sqrt(shared) * random.normal(size=chips)[chip] + np.sqrt(1 - shared) * random.normal(size=len(chip))
    labels = random.integers(0, 3, len(chip))
    logits = random.normal(size=(len(chip), 3)) * 0.1
    logits[np.arange(len(chip)), labels] += 1.5 - 1.5 * hard
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True), labels, chip


def covered(random: np.random.Generator, draws: int, *, shared: float, grouped: bool, chips: int) -> float:
    """Share of draws in which a random pixel of a new chip lies in its set; alpha is 0.1."""
    hits = 0
    for _ in range(draws):
        probability, labels, chip = simulated(random, chips, 20, shared)
        sets = ConformalSets.fit(probability, labels, ABC, 0.1, groups=chip if grouped else None)
        new, truth, _ = simulated(random, 1, 1, shared)
        hits += bool(sets.members(new)[0, truth[0]])
    return hits / draws


def test_coverage_by_simulation() -> None:
    """Independent pixels, and pixels of one chip alike: with groups the promise of 90 % holds for both."""
    draws = 1200
    slack = 3 * math.sqrt(0.09 / draws)  # three standard errors: 0.026
    for shared in (0.0, 0.95):
        share = covered(np.random.default_rng(5), draws, shared=shared, grouped=True, chips=15)
        assert share > 0.9 - slack, shared


def test_what_fails_when_alike_pixels_are_counted_one_by_one() -> None:
    """Six chips of 20 nearly equal pixels are not 120 pixels: about 5.4 + rounding of 7 ranks, not 90 %."""
    draws = 1200
    share = covered(np.random.default_rng(6), draws, shared=0.95, grouped=False, chips=6)
    assert share < 0.9 - 3 * math.sqrt(0.09 / draws), share
    right = covered(np.random.default_rng(6), 100, shared=0.95, grouped=True, chips=6)
    assert right == 1.0  # fewer chips than 1 / alpha - 1: all classes, because nothing can be promised


def test_a_shift_breaks_the_promise() -> None:
    """Harder chips than those of calibration: no calibration can know, hence the area of applicability."""
    random = np.random.default_rng(7)
    probability, labels, chip = simulated(random, 200, 20, 0.5)
    sets = ConformalSets.fit(probability, labels, ABC, 0.1, groups=chip)
    weights = simulated(random, 200, 20, 0.5)
    assert coverage(sets, weights[0], weights[1])["all"]["coverage"] > 0.87
    wrong = np.roll(weights[0], 1, axis=1)
    assert coverage(sets, wrong, weights[1])["all"]["coverage"] < 0.6


def test_coverage_by_class_by_hand() -> None:
    sets = ConformalSets(ABC, (0.5, 0.5, 0.5), 0.1, False, (9, 9, 9))
    probability = np.array([[0.6, 0.4, 0.0], [0.6, 0.4, 0.0], [0.5, 0.5, 0.0]])
    rows = coverage(sets, probability, np.array([0, 1, 1]))
    assert rows["all"] == {"pixels": 3, "coverage": pytest.approx(2 / 3), "size": pytest.approx(4 / 3)}
    assert rows["b"]["coverage"] == 0.5 and math.isnan(rows["c"]["coverage"])


def test_coverage_of_each_class_when_calibrated_by_class() -> None:
    """A rare class that the model dislikes is missed by one threshold for all, and held by its own."""
    random = np.random.default_rng(8)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (random.random(count) < 0.1).astype(int)
        share = np.where(labels == 1, random.uniform(0, 0.5, count), random.uniform(0.5, 1, count))
        probability = np.zeros((count, 2))
        probability[np.arange(count), labels] = share
        probability[np.arange(count), 1 - labels] = 1 - share
        return probability, labels

    calibration, fresh = draw(4000), draw(20000)
    one = coverage(ConformalSets.fit(*calibration, ("common", "rare"), 0.1), *fresh)
    own = coverage(ConformalSets.fit(*calibration, ("common", "rare"), 0.1, by_class=True), *fresh)
    assert one["rare"]["coverage"] < 0.2 and one["all"]["coverage"] == pytest.approx(0.9, abs=0.02)
    assert own["rare"]["coverage"] == pytest.approx(0.9, abs=0.04)


# intervals


def test_interval_by_hand() -> None:
    mean, truth = np.zeros(9), np.arange(-4.0, 5.0)
    found = ConformalInterval.fit(mean, truth, 0.2)  # sorted residuals 0 1 1 2 2 3 3 4 4, the 8th
    assert found.radius == 4.0 and found.units == 9
    low, high = found.bounds(np.array([10.0]))
    assert (low[0], high[0]) == (6.0, 14.0)
    scaled = ConformalInterval.fit(mean, truth, 0.2, deviation=np.full(9, 2.0))
    assert scaled.radius == 2.0 and scaled.bounds(np.array([10.0]), np.array([3.0]))[1][0] == 16.0
    with pytest.raises(ConfigError, match="scaled"):
        scaled.bounds(np.array([10.0]))


def test_intervals_cover() -> None:
    random = np.random.default_rng(9)
    hits = []
    for _ in range(1500):
        spread = random.uniform(0.5, 2, 31)
        truth = random.normal(0, spread)
        found = ConformalInterval.fit(np.zeros(30), truth[:30], 0.1, deviation=spread[:30])
        low, high = found.bounds(np.zeros(1), spread[30:])
        hits.append(low[0] <= truth[30] <= high[0])
    assert 0.9 - 0.024 < np.mean(hits) < 0.9 + 1 / 31 + 0.024


@pytest.mark.parametrize("truth", [[], [1.0, math.nan]])
def test_intervals_from_nothing(truth: list[float]) -> None:
    with pytest.raises(InputError):
        ConformalInterval.fit(np.zeros(len(truth)), np.array(truth), 0.1)
    with pytest.raises(InputError, match="deviations"):
        ConformalInterval.fit(np.zeros(2), np.zeros(2), 0.1, deviation=np.array([0.0, 1.0]))


# layers


def test_set_layers() -> None:
    sets = ConformalSets(ABC, (0.6, 0.6, 0.6), 0.1, False, (9, 9, 9))
    probability = np.array([[0.5, 1 / 3], [0.45, np.nan]], np.float32)
    rest = (1 - probability) / 2
    fields = Fields(np.stack([probability, rest, rest]), (Group("probability", ABC),))
    valid = np.array([[True, True], [True, False]])
    layers = set_layers(sets)
    size, members = (layers[name].encode(fields, valid) for name in ("set_size", "set"))
    assert size.dtype == np.uint8 and size.tolist() == [[[1, 0], [1, 255]]]
    assert members.shape == (3, 2, 2) and members[:, 0, 0].tolist() == [1, 0, 0] and (members[:, 1, 1] == 255).all()
    many = ConformalSets(tuple(map(str, range(300))), (1.0,) * 300, 0.1, False, (9,) * 300)
    assert set_layers(many)["set_size"].dtype == "uint16"


def test_interval_layers() -> None:
    fields = Fields(np.array([[[5.0]], [[4.0]]], np.float32), (Group("mean", ("t",)), Group("variance", ("t",))))
    plain = interval_layers(ConformalInterval(1.5, 0.1, False, 30), ("t",))
    scaled = interval_layers(ConformalInterval(1.5, 0.1, True, 30), ("t",))
    one = np.ones((1, 1), bool)
    assert [plain[name].encode(fields, one).item() for name in ("lower", "upper")] == [3.5, 6.5]
    assert [scaled[name].encode(fields, one).item() for name in ("lower", "upper")] == [2.0, 8.0]
    assert plain["lower"].needs == ("mean",) and scaled["lower"].needs == ("mean", "variance")


def test_calibration_with_nan_is_refused() -> None:
    with pytest.raises(InputError, match="1 of 3 calibration pixels"):
        ConformalSets.fit(np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]]), np.array([0, 1, 1]), ("a", "b"), 0.4)


def test_an_endless_radius_times_no_deviation_is_endless() -> None:
    lower, upper = ConformalInterval(math.inf, 0.1, True, 1).bounds(np.zeros(2), np.array([0.0, 1.0]))
    assert np.isneginf(lower).all()
    assert np.isposinf(upper).all()
