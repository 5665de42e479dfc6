"""Encoders of series: masks, gaps, order, appended dates, all dates missing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.nn import PerPixel, SeriesSpec, series_encoder

KINDS = ("tempcnn", "gru", "transformer")


def encoder(kind: str, inputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return series_encoder(SeriesSpec(kind, inputs, width=16, depth=2, heads=2)).eval()  # type: ignore[arg-type]


def series(samples: int = 2, dates: int = 6, inputs: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(samples, dates, inputs, generator=generator)
    day = torch.rand(samples, dates, generator=generator).mul(365).sort(1).values
    present = torch.rand(samples, dates, generator=generator) > 0.4
    return values, day, present


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31), hidden=st.sampled_from([1e9, -3.0, float("nan"), float("inf")]))
def test_what_lies_under_the_mask_changes_nothing(kind: str, seed: int, hidden: float) -> None:
    network = encoder(kind)
    values, day, present = series(seed=seed)
    first = network(values, day, present)
    second = network(torch.where(present[..., None], values, hidden), torch.where(present, day, hidden), present)
    torch.testing.assert_close(first.cls, second.cls)
    torch.testing.assert_close(first.tokens, second.tokens)
    assert bool((first.tokens[~present] == 0).all())


@pytest.mark.parametrize("kind", KINDS)
def test_dates_appended_as_missing_change_nothing(kind: str) -> None:
    network = encoder(kind)
    values, day, present = series()
    longer = [torch.cat([part, torch.zeros_like(part)], dim=1) for part in (values, day, present)]
    torch.testing.assert_close(network(*longer).cls, network(values, day, present).cls)


@pytest.mark.parametrize("kind", ["gru", "transformer"])
def test_a_missing_date_equals_an_absent_one(kind: str) -> None:
    network = encoder(kind)
    values, day, _ = series()
    present = torch.tensor([[True, False, True, True, False, True]] * 2)
    kept = [0, 2, 3, 5]
    absent = network(values[:, kept], day[:, kept], torch.ones(2, 4, dtype=torch.bool))
    missing = network(values, day, present)
    torch.testing.assert_close(missing.cls, absent.cls)
    torch.testing.assert_close(missing.tokens[:, kept], absent.tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_all_dates_missing_is_finite_and_alike(kind: str) -> None:
    values, day, present = series()
    features = encoder(kind)(values, day, torch.zeros_like(present))
    assert bool(torch.isfinite(features.cls).all())
    assert torch.equal(features.cls[0], features.cls[1])
    if kind != "transformer":
        assert float(features.cls.detach().abs().max()) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dates", "inputs"), [(1, 3), (1, 1), (3, 200)])
def test_one_date_and_many_bands(kind: str, dates: int, inputs: int) -> None:
    values, day, _ = series(dates=dates, inputs=inputs)
    features = encoder(kind, inputs)(values, day, torch.ones(2, dates, dtype=torch.bool))
    features.check()
    assert features.cls.shape == (2, 16) and features.tokens.shape == (2, dates, 16)


@pytest.mark.parametrize("kind", KINDS)
def test_the_day_matters_and_the_year_does_not(kind: str) -> None:
    network = encoder(kind)
    values, day, _ = series()
    present = torch.ones(2, 6, dtype=torch.bool)
    code = network(values, day, present).cls
    torch.testing.assert_close(network(values, day + 365.25, present).cls, code, rtol=1e-3, atol=1e-4)
    assert float((network(values, day + 90, present).cls - code).detach().abs().max()) > 1e-4


def test_the_gru_ends_at_the_last_date_present() -> None:
    network = encoder("gru")
    values, day, _ = series(samples=1)
    present = torch.tensor([[True, True, True, False, False, False]])
    steps = network.embed(values) + network.day(_days(day))  # type: ignore[operator]
    _, state = network.recurrent(steps[:, :3])  # type: ignore[operator]
    torch.testing.assert_close(network(values, day, present).cls, state[-1])


def _days(day: Tensor) -> Tensor:
    from swath.nn.positions import encode_days

    return encode_days(day, 16)


def test_tempcnn_first_layer_by_hand() -> None:
    torch.manual_seed(0)
    network = series_encoder(SeriesSpec("tempcnn", 2, width=4, depth=1, kernel=3))
    values, day = torch.randn(1, 3, 2), torch.tensor([[0.0, 50.0, 100.0]])
    from swath.nn.positions import encode_days

    layer = network.layers[0]["convolution"]  # type: ignore[index,union-attr]
    padded = torch.nn.functional.pad(values[0].T, (1, 1))
    place = network.day(encode_days(day, 4))[0]  # type: ignore[operator]
    rows = [torch.einsum("oik,ik->o", layer.weight, padded[:, t : t + 3]) + layer.bias + place[t] for t in range(3)]
    expected = torch.stack([torch.nn.functional.layer_norm(row, (4,)).relu() for row in rows])
    features = network(values, day, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(features.tokens[0], expected)
    torch.testing.assert_close(features.cls[0], expected.mean(0))


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind: str) -> None:
    network = encoder(kind)
    network(*series(samples=4)).cls[:, 0].sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())
    assert all(float(p.grad.detach().abs().max()) > 0 for p in network.parameters() if p.ndim > 1)  # type: ignore[union-attr]


def test_per_pixel_is_the_encoder_at_each_pixel() -> None:
    network = encoder("gru")
    image = torch.randn(2, 4, 3, 3, 5)
    day = torch.rand(2, 4) * 365
    valid = torch.rand(2, 4, 3, 5) > 0.3
    pixels = PerPixel(network)  # type: ignore[arg-type]
    features = pixels(image, day, valid)
    features.check()
    assert features.maps[0].shape == (2, 16, 3, 5) and features.strides == pixels.strides == (1,)
    alone = network(image[1:, :, :, 2, 4], day[1:], valid[1:, :, 2, 4]).cls[0]
    torch.testing.assert_close(features.maps[0][1, :, 2, 4], alone)


def test_wrong_input_and_options_are_named() -> None:
    values, day, present = series()
    with pytest.raises(ContractError, match="3 numbers"):
        encoder("gru")(values[..., :2], day, present)
    with pytest.raises(ContractError, match="at least one date"):
        encoder("gru")(values[:, :0], day[:, :0], present[:, :0])
    with pytest.raises(ContractError, match="one day and one bool per date"):
        encoder("gru")(values, day[:, :2], present)
    for sizes in ({"width": 10**6}, {"depth": 10**9}, {"inputs": 10**9}):
        with pytest.raises(ConfigError, match="The series encoder would have about"):
            SeriesSpec(**{"kind": "gru", "inputs": 2, **sizes})  # type: ignore[arg-type]
    for name, value in {"kind": "lstm", "width": 3, "kernel": 4, "dropout": 1.0, "period": 0.0, "inputs": 0}.items():
        with pytest.raises(ConfigError, match=f"'{name}' is"):
            SeriesSpec(**{"kind": "gru", "inputs": 2, name: value})  # type: ignore[arg-type]
