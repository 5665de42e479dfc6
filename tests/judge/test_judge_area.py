"""Areas and accuracies against two published examples, by hand, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from swath.errors import ConfigError, InputError
from swath.judge.area import AreaEstimate, Strata, estimate

CLASSES = ("deforestation", "gain", "forest", "other")


def points_of(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stratum, map class and reference of each point, for counts (map = stratum, reference)."""
    rows, columns = np.indices(counts.shape)
    mapped, reference = (np.repeat(each.ravel(), counts.ravel()) for each in (rows, columns))
    return mapped, mapped, reference


def olofsson() -> AreaEstimate:
    """Olofsson et al. (2014), table 8: points of 30 m pixels."""
    counts = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    pixels = np.array([200_000, 150_000, 3_200_000, 6_450_000])
    return estimate(CLASSES, Strata(CLASSES, pixels * 0.0009, pixels), points_of(counts), mapped_km2=pixels * 0.0009)


def test_published_example_of_olofsson() -> None:
    found = olofsson()
    hectares = [each.scaled(100) for each in found.area]
    # Section 5.2: deforestation 235,086 pixels = 21,158 ha, 95 % interval +- 68,418 pixels = 6,158 ha.
    assert hectares[0].value == pytest.approx(21_158, abs=0.5)
    assert hectares[0].high - hectares[0].value == pytest.approx(6_158, abs=1)
    assert [each.value for each in hectares[1:]] == pytest.approx([11_686, 285_770, 581_386], abs=1)
    assert [each.error for each in hectares] == pytest.approx([3_142, 1_916, 7_913, 8_307], abs=1)
    assert found.overall.value == pytest.approx(0.95, abs=0.005)
    assert found.overall.high - found.overall.value == pytest.approx(0.02, abs=0.005)
    assert [each.value for each in found.users] == pytest.approx([0.88, 0.73, 0.93, 0.96], abs=0.005)
    assert [each.high - each.value for each in found.users] == pytest.approx([0.07, 0.10, 0.04, 0.02], abs=0.005)
    assert [each.value for each in found.producers] == pytest.approx([0.75, 0.85, 0.93, 0.96], abs=0.005)
    assert found.producers[0].high - found.producers[0].value == pytest.approx(0.21, abs=0.005)
    assert found.proportions[3] == pytest.approx([0.0040, 0.0020, 0.0179, 0.6212], abs=5e-5)
    assert found.proportions.sum() == pytest.approx(1)


def test_variances_are_those_of_the_equations() -> None:
    """Olofsson et al. (2014), equations 5, 6, 7 and 10, written out for the published counts."""
    found = olofsson()
    n = found.counts.astype(float)
    total = n.sum(axis=1)
    size = np.array([200_000, 150_000, 3_200_000, 6_450_000.0])
    weight, share = size / size.sum(), n / total[:, None]
    users = np.diag(share)
    eq5 = (weight**2 * users * (1 - users) / (total - 1)).sum()
    assert found.overall.error**2 == pytest.approx(eq5)
    assert [each.error**2 for each in found.users] == pytest.approx((users * (1 - users) / (total - 1)).tolist())
    eq10 = (weight[:, None] * found.proportions - found.proportions**2) / (total[:, None] - 1)
    assert [(each.error / (size.sum() * 0.0009)) ** 2 for each in found.area] == pytest.approx(
        eq10.sum(axis=0).tolist()
    )
    for j, producer in enumerate(found.producers):
        true = (size[:, None] * share).sum(axis=0)[j]
        own = size[j] ** 2 * (1 - producer.value) ** 2 * users[j] * (1 - users[j]) / (total[j] - 1)
        others = sum(
            size[i] ** 2 * share[i, j] * (1 - share[i, j]) / (total[i] - 1) for i in range(len(size)) if i != j
        )
        assert producer.error**2 == pytest.approx((own + producer.value**2 * others) / true**2)


def test_published_example_of_stehman() -> None:
    """Stehman (2014), tables 1 to 3 and pages 4932 to 4936: strata that are not the classes of the map."""
    stratum = np.repeat([0, 1, 2, 3], 10)
    letters = {letter: number for number, letter in enumerate("ABCD")}
    mapped = np.array([letters[c] for c in "AAAAAAABBB" + "A" + "B" * 9 + "BB" + "C" * 6 + "BB" + "D" * 10])
    text = "AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB"
    reference = np.array([letters[c] for c in text])
    strata = Strata(tuple("1234"), np.array([40_000.0, 30_000, 20_000, 10_000]), np.zeros(4, np.int64))
    found = estimate(tuple("ABCD"), strata, (stratum, mapped, reference))
    shares = [each.scaled(1 / 100_000) for each in found.area]
    assert [shares[0].value, shares[2].value] == pytest.approx([0.35, 0.20])
    assert [shares[0].error, shares[2].error] == pytest.approx([0.082, 0.064], abs=5e-4)
    assert (found.overall.value, found.overall.error) == pytest.approx((0.63, 0.085), abs=5e-4)
    assert (found.users[1].value, found.users[1].error) == pytest.approx((0.574, 0.125), abs=6e-4)
    assert (found.producers[1].value, found.producers[1].error) == pytest.approx((0.794, 0.116), abs=6e-4)
    assert found.proportions[1, 2] == pytest.approx(0.08)


def test_by_hand() -> None:
    """Two strata of 90 and 10 km2; 4 and 2 points. Area of b: 0.9 * 1/4 + 0.1 * 1/2 = 0.275 of 100 km2."""
    strata = Strata(("a", "b"), np.array([90.0, 10.0]), np.array([9000, 1000]))
    stratum = np.array([0, 0, 0, 0, 1, 1])
    reference = np.array([0, 0, 0, 1, 1, 0])
    found = estimate(("a", "b"), strata, (stratum, stratum, reference), mapped_km2=strata.km2)
    assert found.area[1].value == pytest.approx(27.5)
    # 0.81 * (3/4 * 1/4) / 3 + 0.01 * (1/4) / 1
    assert found.area[1].error == pytest.approx(100 * np.sqrt(0.81 * 0.1875 / 3 + 0.01 * 0.25))
    assert found.overall.value == pytest.approx(0.9 * 0.75 + 0.1 * 0.5)
    assert found.area[1].low == 0.0  # cut off at what is possible
    assert any("'a' has 4 points" in note for note in found.notes)


def population(random: np.random.Generator, draws: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Samples of a map whose classes are 10, 30 and 60 % of the area, with known mistakes."""
    truth = np.array([[0.8, 0.15, 0.05], [0.05, 0.85, 0.10], [0.02, 0.08, 0.90]])
    taken = np.array([300, 300, 600])
    counts = np.stack([random.multinomial(n, row, size=draws) for n, row in zip(taken, truth, strict=True)], axis=1)
    return [points_of(each) for each in counts]


def test_intervals_cover_and_counting_pixels_is_biased() -> None:
    weights = np.array([0.1, 0.3, 0.6])
    true = np.array([0.1 * 0.8 + 0.3 * 0.05 + 0.6 * 0.02, 0.1 * 0.15 + 0.3 * 0.85 + 0.6 * 0.08, 0.0])
    true[2] = 1 - true.sum()
    strata = Strata(tuple("abc"), weights * 100, np.array([10**6, 3 * 10**6, 6 * 10**6]))
    right = np.array([0.8, 0.85, 0.9])
    covered, values = [], []
    draws = population(np.random.default_rng(20140301), 1500)
    for points in draws:
        found = estimate(tuple("abc"), strata, points)
        inside = [each.low <= 100 * t <= each.high for each, t in zip(found.area, true, strict=True)]
        inside += [each.low <= t <= each.high for each, t in zip(found.users, right, strict=True)]
        producers = weights * right / true
        inside += [each.low <= t <= each.high for each, t in zip(found.producers, producers, strict=True)]
        covered.append([*inside, found.overall.low <= weights @ right <= found.overall.high])
        values.append([each.value for each in found.area])
    share = np.mean(covered, axis=0)
    assert ((share > 0.935) & (share < 0.965)).all(), share
    mean, error = np.mean(values, axis=0), np.std(values, axis=0) / np.sqrt(len(draws))
    assert (np.abs(mean - 100 * true) < 3.5 * error).all()
    # The map says 10 % of class a where 10.7 % is true: three standard errors of this simulation are far less.
    assert (np.abs(100 * weights - 100 * true)[:2] > 3 * error[:2]).all()


@pytest.mark.parametrize("left", [0, 1])
def test_a_stratum_without_variance_is_refused(left: int) -> None:
    strata = Strata(("a", "b"), np.array([90.0, 10.0]), np.array([9000, 1000]))
    stratum = np.array([0, 0, 0, *[1] * left])
    with pytest.raises(InputError, match=rf"'b' \({left}\).*at least two"):
        estimate(("a", "b"), strata, (stratum, stratum, stratum))


def test_a_stratum_labelled_whole_has_no_variance() -> None:
    strata = Strata(("a", "b"), np.array([90.0, 3.0]), np.array([9000, 2]))
    stratum = np.array([0, 0, 0, 1, 1])
    reference = np.array([0, 0, 0, 1, 0])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 2.0])
    found = estimate(("a", "b"), strata, (stratum, stratum, reference), weights=weights)
    assert found.area[1].value == pytest.approx(1.0) and found.area[1].error == 0.0
    assert any("'a' agree" in note for note in found.notes)
    single = Strata(("a", "b"), np.array([90.0, 3.0]), np.array([9000, 1]))
    one = estimate(("a", "b"), single, (stratum[:4], stratum[:4], reference[:4]))
    assert one.area[1].value == pytest.approx(3.0)


def test_a_class_without_points_is_undefined_and_json_says_null(tmp_path) -> None:  # type: ignore[no-untyped-def]
    strata = Strata(("a",), np.array([90.0]), np.array([9000]))
    zeros = np.zeros(3, np.int64)
    found = estimate(("a", "b"), strata, (zeros, zeros, zeros), mapped_km2=np.array([90.0, 0.0]))
    assert np.isnan([found.users[1].value, found.users[1].low, found.producers[1].high]).all()
    text = found.save(tmp_path / "map.areas.json", "map.tif").read_text()
    assert "NaN" not in text and '"low": null' in text
    keys = {"map", "method", "confidence", "samples", "overall_accuracy", "classes"}
    assert keys <= set(found.as_dict("map.tif"))
    wanted = {"name", "mapped_km2", "area_km2", "low_km2", "high_km2", "users_accuracy", "producers_accuracy"}
    assert wanted <= set(found.as_dict("map.tif")["classes"][0])


def test_confidence_out_of_range() -> None:
    strata = Strata(("a",), np.array([90.0]), np.array([9000]))
    with pytest.raises(ConfigError, match="confidence"):
        estimate(("a",), strata, (np.zeros(2, int),) * 3, confidence=1.0)
