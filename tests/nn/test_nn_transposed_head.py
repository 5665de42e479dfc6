"""The head of transposed convolutions: sizes of every patch, numbers of weights, and dates that become channels."""

from __future__ import annotations

import pytest
import torch

from swath.errors import ConfigError, ContractError
from swath.nn.network import HEADS, Network, make_head
from swath.nn.pyramid import TimePool, dates_to_channels
from swath.nn.token_maps import multiple_of_four, present_tokens, to_pixels
from swath.nn.transposed_head import TransposedHead
from swath.types import Features


def features(places: int, channels: int, stride: int) -> Features:
    return Features((torch.randn(2, channels, places, places),), (stride,))


@pytest.mark.parametrize(
    ("stride", "places", "sides"), [(16, 3, (6, 12, 24, 48)), (8, 1, (2, 4, 8)), (14, 16, (30, 58, 114, 224))]
)
def test_every_step_has_its_size(stride: int, places: int, sides: tuple[int, ...]) -> None:
    head = TransposedHead((32,), (stride,), 3).eval()
    seen: list[int] = []
    for step in head.steps:
        step.register_forward_hook(lambda module, given, out: seen.append(int(out.shape[-1])))
    found = head(features(places, 32, stride))
    assert tuple(seen) == sides
    assert found.shape == (2, 3, stride * places, stride * places)


def test_other_sizes_of_patches_of_14_come_out_whole() -> None:
    head = TransposedHead((16,), (14,), 1).eval()
    assert head.smallest == 3
    assert head(features(3, 16, 14)).shape == (2, 1, 42, 42)
    with pytest.raises(ContractError, match="at least 3 x 3 places"):
        head(features(2, 16, 14))
    assert TransposedHead((4,), (1,), 2).eval()(features(5, 4, 1)).shape == (2, 2, 5, 5)


def test_weights_by_hand() -> None:
    head = TransposedHead((8,), (4,), 3)
    # Two steps, 8 -> 4 -> 2: both kernels of 3 x 3, biases, factor and shift of the normalisation; 1 x 1 to 3.
    steps = (9 * 8 * 4 + 4) + (9 * 4 * 4 + 4) + 2 * 4 + (9 * 4 * 2 + 2) + (9 * 2 * 2 + 2) + 2 * 2
    assert sum(value.numel() for value in head.parameters()) == steps + 2 * 3 + 3
    assert {name.rsplit(".", 1)[-1] for name, _ in head.named_buffers()} == {
        "running_mean", "running_var", "num_batches_tracked",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="at least 16"):
        TransposedHead((15,), (16,), 1)


def test_it_is_a_head_like_any_other() -> None:
    assert "transposed" in HEADS
    assert isinstance(make_head("transposed", (4, 8), (4, 8), 2, 16), TransposedHead)
    network = Network("vit_micro", 2, 3, head="transposed", options={"width": 24, "depth": 1, "patch": 8})
    assert network.eval()(torch.randn(1, 2, 20, 17)).shape == (1, 3, 20, 17)


def test_order_of_channels() -> None:
    maps = torch.arange(2 * 3).reshape(1, 2, 3, 1, 1).float()  # date, channel
    given = Features((maps,), (4,))
    assert dates_to_channels(given).maps[0].flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert dates_to_channels(given, "channel").maps[0].flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_places_of_a_date_that_are_not_there_count_nowhere() -> None:
    maps = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 1, 1, 2)
    present = torch.tensor([[[[True, False]], [[True, True]]]])  # date, row, column
    for kind, wanted in (("mean", [2.0, 3.0]), ("max", [3.0, 3.0]), ("attention", [2.0, 3.0])):
        pool = TimePool((1,), (4,), kind)  # type: ignore[arg-type]
        assert pool(Features((maps,), (4,)), present).maps[0].flatten().tolist() == wanted
    nothing = TimePool((1,), (4,))(Features((maps,), (4,)), torch.zeros(1, 2, 1, 2, dtype=torch.bool))
    assert nothing.maps[0].flatten().tolist() == [0.0, 0.0]


def test_pixels_to_tokens_and_back() -> None:
    seen = torch.zeros(1, 1, 5, 9, dtype=torch.bool)
    seen[0, 0, 4, 8] = True
    padded = present_tokens(seen, (2, 3), 4, resized=False)
    assert padded.shape == (1, 1, 2, 3) and padded.sum() == 1 and bool(padded[0, 0, 1, 2])
    resized = present_tokens(seen, (1, 2), 4, resized=True)
    assert resized.flatten().tolist() == [False, True]
    numbers = torch.randn(1, 2, 8, 12)
    assert torch.equal(to_pixels(numbers, (5, 9), (2, 3), 4, resized=False), numbers[..., :5, :9])
    assert to_pixels(numbers, (5, 9), (1, 2), 4, resized=True).shape == (1, 2, 5, 9)
    assert [multiple_of_four(stride) for stride in (1, 4, 14, 16)] == [4, 4, 16, 16]
