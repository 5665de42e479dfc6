"""One network for several inputs and dates: sizes, missing data, parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from swath.errors import ConfigError, ContractError
from swath.nn.joint import FUSIONS, JointNetwork
from swath.nn.tuning import adapt

SMALL: dict[str, Any] = {"options": {"width": 4, "depth": 1}, "head_width": 8, "fusion_width": 8}
SERIES = {"width": 8, "depth": 1, "heads": 2}
ONE = {"image": {"bands": 3, "dates": 1}}
TWO = {"image": {"bands": 3, "dates": 2}}
PAIR = {"optical": {"bands": 3, "dates": 2}, "radar": {"bands": 2, "dates": 1}}
Given = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]


def network(inputs: Any, seed: int = 0, **options: Any) -> JointNetwork:
    torch.manual_seed(seed)
    return JointNetwork(inputs, 2, **{**SMALL, **options}).eval()


def given(inputs: Any, rows: int = 9, columns: int = 9, samples: int = 2) -> Given:
    stream = torch.Generator().manual_seed(1)
    images, seen, days = {}, {}, {}
    for name, each in inputs.items():
        shape = (samples, each["dates"], each["bands"], rows, columns)
        seen[name] = torch.rand((samples, each["dates"], rows, columns), generator=stream) > 0.2
        images[name] = torch.where(seen[name][:, :, None], torch.randn(shape, generator=stream), 0.0)
        days[name] = torch.rand((samples, each["dates"]), generator=stream).double() * 365
    return images, seen, days


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 5)])
@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        (ONE, {}),
        (ONE, {"head": "vector"}),
        (TWO, {"time": "difference"}),
        (TWO, {"time": "concat", "head": "upernet"}),
        (TWO, {"time": "attention"}),
        (TWO, {"time": "gru", "series": SERIES}),
        (TWO, {"time": "tempcnn", "series": SERIES, "backbone": "none", "head": "linear", "options": {}}),
        (PAIR, {"fusion": "late", "time": "max"}),
        (PAIR, {"fusion": "token", "head": "linear", "time": "transformer", "series": SERIES}),
        ({"a": {"bands": 1, "dates": 2}, "b": {"bands": 2, "dates": 2}}, {"fusion": "early"}),
    ],
)
def test_any_size_goes_in_and_comes_out(inputs: Any, options: dict[str, Any], size: tuple[int, int]) -> None:
    made = network(inputs, **options)
    out = made(*given(inputs, *size))
    assert out.shape == ((2, 2) if options.get("head") == "vector" else (2, 2, *size))
    assert torch.isfinite(out).all()
    with torch.device("meta"):
        JointNetwork(inputs, 2, **{**SMALL, **options})
    named = {part for parts in made.layer_names() for part in parts}
    for name, _ in made.named_parameters():  # every parameter belongs to one named part, for rates that fall by depth
        assert sum(name == part or name.startswith(part + ".") for part in named) == 1, name


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_missing_input_never_reaches_the_result(fusion: Any) -> None:
    inputs = {"optical": {"bands": 3, "dates": 1}, "radar": {"bands": 2, "dates": 1}}
    made = network(inputs, fusion=fusion, head="linear")
    with torch.no_grad():  # what is learned for a missing input starts at 0, where it could hide a fault
        for parameter in made.parameters():
            parameter.add_(torch.rand_like(parameter) * 0.1)
    images, seen, days = given(inputs)
    seen["radar"][0] = False
    images["radar"][0] = 0.0
    before = made(images, seen, days)
    images["radar"][0] = torch.nan
    after = made(images, seen, days)
    assert torch.equal(before, after) and torch.isfinite(after).all()
    alone = made({"optical": images["optical"]}, seen, days)
    assert torch.allclose(alone[0], before[0], atol=1e-6)  # left out altogether it is missing in the same way
    assert not torch.allclose(alone[1], before[1], atol=1e-3)
    only = made({"radar": torch.zeros(2, 1, 2, 9, 9)}, seen, days)
    assert torch.isfinite(only).all()


@pytest.mark.parametrize("time", ["pool", "max", "attention", "transformer", "tempcnn", "gru"])
def test_a_date_that_is_not_there_changes_nothing(time: Any) -> None:
    made = network(TWO, time=time, series=SERIES if time in ("transformer", "tempcnn", "gru") else {})
    images, seen, days = given(TWO)
    seen["image"][:, 1] = False
    images["image"][:, 1] = 0.0
    before = made(images, seen, days)
    days["image"][:, 1] += 100.0
    images["image"][:, 1] = 7.0
    assert torch.equal(made(images, seen, days), before)
    if time != "tempcnn":  # whose kernel needs no end, but whose border moves
        one = {"image": images["image"][:, :1]}, {"image": seen["image"][:, :1]}, {"image": days["image"][:, :1]}
        assert torch.allclose(made(*one), before, atol=1e-5)


def test_days_matter_to_encoders_of_dates_alone() -> None:
    images, seen, days = given(TWO)
    later = {"image": days["image"] + torch.tensor([[0.0, 90.0]])}
    for time, matters in (("transformer", True), ("gru", True), ("pool", False)):
        made = network(TWO, time=time, series=SERIES if matters else {})
        assert made.needs_days is matters
        assert torch.equal(made(images, seen, days), made(images, seen, later)) is not matters


def test_the_order_of_two_dates_matters_when_they_lie_side_by_side() -> None:
    images, seen, days = given(TWO)
    turned = {name: value.flip(1) for name, value in images.items()}, {n: v.flip(1) for n, v in seen.items()}, days
    assert torch.equal(network(TWO, time="difference")(*turned), network(TWO, time="difference")(images, seen, days))
    beside = network(TWO, time="concat")
    assert not torch.allclose(beside(*turned), beside(images, seen, days))


def test_pixels_alone_with_channel_norm() -> None:
    """A window and a whole image agree: the decoder has the norm of the encoder."""
    made = network(ONE, options={"width": 4, "depth": 0, "norm": "channel", "stem_stride": 1})
    images, seen, days = given(ONE, 16, 16)
    whole = made(images, seen, days)
    part = made({"image": images["image"][..., :8, :]}, {"image": seen["image"][..., :8, :]}, days)
    assert torch.allclose(whole[..., :3, :], part[..., :3, :], atol=1e-5)


def test_adapting_leaves_what_joins_free() -> None:
    made = network(PAIR, time="attention", head="linear")
    learning = adapt(made, "frozen", train=made.new_parts())
    assert {name.split(".")[0] for name in learning} == {"encoder", "fusion", "head"}
    assert all(".pool." in name for name in learning if name.startswith("encoder"))


@pytest.mark.parametrize(
    ("inputs", "options", "part"),
    [
        ({}, {}, "at least one name"),
        ({"a.b": {"bands": 1, "dates": 1}}, {}, "without a dot"),
        ({"a": {"bands": 0, "dates": 1}}, {}, "bands"),
        (ONE, {"time": "transformer"}, "no input has more than one date"),
        (ONE, {"time": "difference"}, "two dates"),
        (ONE, {"time": "grus"}, "the nearest is gru"),
        ({"image": {"bands": 1, "dates": 3}}, {"time": "concat"}, "two dates"),
        (TWO, {"backbone": "none", "options": {}}, "encoder of dates"),
        (TWO, {"time": "gru", "series": {"wdth": 3}}, "nearest is width"),
        (PAIR, {"fusion": "early"}, "fusion to late or token"),
        (PAIR, {"fusion": "middle"}, "early, late, token"),
        (ONE, {"backbone": "unett"}, "nearest is unet"),
        (ONE, {"backbone": "vit_micro", "options": {"dates": 2}, "head": "linear"}, "dates come from the samples"),
    ],
)
def test_what_cannot_be_built_gets_a_sentence(inputs: Any, options: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        network(inputs, **options)


def test_what_cannot_go_in_gets_a_sentence() -> None:
    made = network(TWO, time="difference")
    images, seen, days = given({"image": {"bands": 3, "dates": 3}})
    with pytest.raises(ContractError, match="3 dates"):
        made(images, seen, days)
    with pytest.raises(ContractError, match="3 bands"):
        made(*given({"image": {"bands": 2, "dates": 2}}))
    with pytest.raises(ContractError, match="nearest is image"):
        made(*given({"imag": {"bands": 3, "dates": 2}}))
    with pytest.raises(ContractError, match="at least one"):
        made({}, {}, {})
