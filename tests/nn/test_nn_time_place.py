"""Time and place as numbers added to tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import ConfigError, ContractError, InputError
from swath.nn.positions import resize_block, sine_cosine, sine_cosine_3d
from swath.nn.time_place import PlaceEncoding, TimeEncoding, TimePlace, waves


def about(samples: int = 2, dates: int = 3) -> TimePlace:
    return TimePlace.of(
        year=torch.full((samples, dates), 2020),
        day=torch.arange(dates).expand(samples, -1),
        latitude=torch.linspace(-60, 60, samples),
        longitude=torch.linspace(-170, 170, samples),
    )


def test_waves_are_sines_then_cosines_by_hand() -> None:
    found = waves(torch.tensor([3.0], dtype=torch.float64), 4)
    wanted = [math.sin(3), math.sin(0.03), math.cos(3), math.cos(0.03)]
    assert found.tolist() == [pytest.approx(wanted, abs=1e-15)]


def test_single_precision_is_kept_as_published_and_differs_from_exact_for_years() -> None:
    years = torch.arange(2010, 2024)
    rough, exact = waves(years.float(), 96), sine_cosine(years, 96)
    difference = float((rough - exact).abs().max())
    assert 1e-6 < difference < 2e-4


def test_the_encoding_is_factor_times_year_then_day_and_latitude_then_longitude() -> None:
    time, place = TimeEncoding(16).double(), PlaceEncoding(16).double()
    known = about()
    wanted = 0.1 * torch.cat([waves(known.year, 8), waves(known.day, 8)], dim=-1)
    assert torch.allclose(time(known, 3), wanted, atol=1e-8)
    wanted = 0.1 * torch.cat([waves(known.latitude, 8), waves(known.longitude, 8)], dim=-1)
    assert torch.allclose(place(known)[:, 0], wanted, atol=1e-8)
    assert time(known, 3).shape == (2, 3, 16) and place(known).shape == (2, 1, 16)


def test_unknown_adds_nothing_whatever_the_number_of_dates_and_still_has_a_gradient() -> None:
    time, place = TimeEncoding(8), PlaceEncoding(8)
    nothing = TimePlace.unknown(2)
    total = time(nothing, 5).sum() + place(nothing).sum()
    total.backward()
    assert time(nothing, 5).shape == (2, 5, 8) and float(total.detach()) == 0
    assert float(time.scale.grad) == 0 and float(place.scale.grad) == 0  # type: ignore[arg-type]


def test_half_precision_still_tells_days_apart() -> None:
    time = TimeEncoding(32).to(torch.bfloat16)
    found = time(about(1, 2), 2)
    assert found.dtype == torch.bfloat16 and not torch.equal(found[:, 0], found[:, 1])


def test_items_are_dropped_each_by_itself_and_sample_by_sample() -> None:
    noise = torch.tensor([[0.05, 0.5], [0.5, 0.05]])
    found = about().dropped(noise, 0.1)
    assert found.time_known.tolist() == [False, True] and found.place_known.tolist() == [True, False]
    encoded = TimeEncoding(8)(found, 3)
    assert bool((encoded[0] == 0).all()) and bool((encoded[1] != 0).any())
    assert bool((TimeEncoding(8)(about().dropped(noise, 1.0), 3) == 0).all())
    assert about().dropped(noise, 0.0).time_known.all()


def test_the_share_that_is_dropped_is_the_rate() -> None:
    many = about(4000, 1)
    noise = torch.rand((4000, 2), generator=torch.Generator().manual_seed(0))
    kept = many.dropped(noise, 0.1)
    for known in (kept.time_known, kept.place_known):
        assert abs(float((~known).float().mean()) - 0.1) < 3 * math.sqrt(0.09 / 4000)
    both = (~kept.time_known & ~kept.place_known).float().mean()
    assert abs(float(both) - 0.01) < 3 * math.sqrt(0.0099 / 4000)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"latitude": torch.tensor([122.0]), "longitude": torch.tensor([37.0])}, r"latitude is 122.*may be swapped"),
        ({"latitude": torch.tensor([float("nan")]), "longitude": torch.tensor([37.0])}, "latitude is nan"),
        ({"latitude": torch.tensor([5e6]), "longitude": torch.tensor([5e5])}, "projected coordinates"),
        ({"latitude": torch.tensor([5.0]), "longitude": torch.tensor([400.0])}, "longitude is 400"),
        ({"year": torch.tensor([[2021]]), "day": torch.tensor([[365]])}, r"365 in 2021.*counted from 1"),
        ({"year": torch.tensor([[2020]]), "day": torch.tensor([[366]])}, "366 in 2020"),
        ({"year": torch.tensor([[2021]]), "day": torch.tensor([[-1]])}, "-1 in 2021"),
        ({"year": torch.tensor([[120]]), "day": torch.tensor([[2021]])}, "may be swapped"),
    ],
)
def test_swapped_places_and_days_counted_from_one_are_refused(given: dict[str, torch.Tensor], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        TimePlace.of(**given)


def test_the_last_day_of_a_leap_year_is_a_day() -> None:
    assert TimePlace.of(year=torch.tensor([[2020]]), day=torch.tensor([[365]])).time_known.all()


@given(st.integers(1970, 2100), st.integers(0, 365))
def test_days_are_those_of_the_calendar(year: int, day: int) -> None:
    start = np.datetime64(f"{year}-01-01")
    real = (start + day).astype("datetime64[Y]").astype(int) + 1970 == year
    pair = {"year": torch.tensor([[year]]), "day": torch.tensor([[day]])}
    if real:
        TimePlace.of(**pair)
    else:
        with pytest.raises(InputError):
            TimePlace.of(**pair)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"year": torch.zeros(1, 1)},
        {"latitude": torch.zeros(1)},
        {"year": torch.zeros(1, 1), "day": torch.zeros(1, 1), "longitude": torch.zeros(1)},
    ],
)
def test_half_of_a_pair_is_refused(given: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ConfigError, match="whole pairs"):
        TimePlace.of(**given)


def test_shapes_that_disagree_are_refused() -> None:
    with pytest.raises(ContractError, match="'year' has shape"):
        TimePlace.of(year=torch.full((2, 3), 2020), day=torch.zeros(2, 2))
    with pytest.raises(ContractError, match="Time is given for 2 samples and place for 1"):
        TimePlace.of(
            year=torch.full((2, 3), 2020), day=torch.zeros(2, 3), latitude=torch.zeros(1), longitude=torch.zeros(1)
        )
    with pytest.raises(ContractError, match="4 dates and the times 3"):
        TimeEncoding(8)(about(), 4)
    with pytest.raises(ContractError, match="noise has shape"):
        about().dropped(torch.zeros(2), 0.1)
    with pytest.raises(ConfigError, match="rate"):
        about().dropped(torch.zeros(2, 2), 1.1)
    with pytest.raises(ConfigError, match="multiple of 4"):
        TimeEncoding(6)


def test_rows_and_device_keep_all_that_is_known() -> None:
    part = about(3).rows(torch.tensor([2])).to("cpu")
    assert part.samples == 1 and float(part.latitude[0]) == 60 and part.year.shape == (1, 3)


def test_positions_with_the_date_last_hold_the_same_numbers_in_the_published_order() -> None:
    first, last = sine_cosine_3d(2, 3, 4, 32), sine_cosine_3d(2, 3, 4, 32, date_last=True)
    assert torch.equal(last, torch.cat([first[..., 8:], first[..., :8]], dim=-1))
    # Column, row, date: token (date 1, row 2, column 3) by hand.
    assert float(last[1, 2, 3, 0]) == pytest.approx(math.sin(3), abs=1e-7)
    assert float(last[1, 2, 3, 12]) == pytest.approx(math.sin(2), abs=1e-7)
    assert float(last[1, 2, 3, 24]) == pytest.approx(math.sin(1), abs=1e-7)


def test_resized_positions_keep_their_corners_and_the_dates() -> None:
    table = sine_cosine_3d(2, 3, 4, 16, date_last=True)
    assert resize_block(table, 3, 4) is table
    found = resize_block(table, 5, 9)
    assert found.shape == (2, 5, 9, 16)
    for row, old in ((0, 0), (4, 2)):
        for column, other in ((0, 0), (8, 3)):
            assert torch.allclose(found[:, row, column], table[:, old, other], atol=1e-6)
