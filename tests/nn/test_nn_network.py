"""Any backbone with any head: sizes, dates, learning, what a checkpoint stores."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch

from swath.errors import ConfigError, ContractError
from swath.nn import Network, NetworkSpec, losses

SMALL: dict[str, dict[str, Any]] = {
    "vit_micro": {"width": 24, "depth": 2},
    "swin_micro": {"width": 8},
    "swin2_micro": {"width": 8},
    "resnet18": {"width": 8},
    "unet": {"width": 8, "depth": 2},
}
PAIRS = list(itertools.product(SMALL, ("vector", "linear", "fcn", "unet", "upernet")))


@pytest.mark.parametrize(("name", "head"), PAIRS)
@pytest.mark.parametrize(("rows", "columns", "bands"), [(33, 18, 1), (1, 5, 3)])
def test_any_pair_on_odd_sizes(name: str, head: str, rows: int, columns: int, bands: int) -> None:
    network = Network(name, bands, 4, head=head, head_width=8, options=SMALL[name])  # type: ignore[arg-type]
    logits = network(torch.randn(2, bands, rows, columns))
    assert logits.shape == ((2, 4) if head == "vector" else (2, 4, rows, columns))
    assert bool(torch.isfinite(logits).all())


@pytest.mark.parametrize("name", SMALL)
def test_two_hundred_bands(name: str) -> None:
    network = Network(name, 200, 2, head="linear", options=SMALL[name])
    assert network(torch.randn(1, 200, 16, 16)).shape == (1, 2, 16, 16)


@pytest.mark.parametrize(("name", "head"), [("vit_micro", "upernet"), ("resnet18", "unet"), ("swin_micro", "fcn")])
def test_a_network_learns_a_field(name: str, head: str) -> None:
    """Bright halves: a pair of backbone and head that loses the image could not tell them."""
    torch.manual_seed(0)
    network = Network(name, 1, 2, head=head, head_width=16, options=SMALL[name])  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    target = torch.zeros(8, 16, 16, dtype=torch.long)
    target[:4, :, 8:] = target[4:, 8:] = 1
    image = target[:, None].float() + 0.3 * torch.randn(8, 1, 16, 16, generator=generator)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    valid = torch.ones(8, 16, 16, dtype=torch.bool)
    for _ in range(25):
        loss = losses.cross_entropy(network(image), target, valid).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    assert float((network.eval()(image).argmax(1) == target).float().mean()) > 0.85


@pytest.mark.parametrize("head", ["vector", "upernet"])
def test_series_of_images_with_missing_dates(head: str) -> None:
    options = {**SMALL["vit_micro"], "dates": 4, "tubelet": 2}
    network = Network("vit_micro", 2, 3, head=head, head_width=8, options=options).eval()  # type: ignore[arg-type]
    image = torch.randn(2, 4, 2, 17, 9)
    present = torch.tensor([[True, True, False, False], [False, False, False, False]])
    logits = network(image, present)
    assert logits.shape[:2] == (2, 3) and bool(torch.isfinite(logits).all())
    other = torch.where(present[:, :, None, None, None], image, 5.0)
    torch.testing.assert_close(network(other, present), logits)
    assert float((network(image) - logits)[0].detach().abs().max()) > 1e-5
    assert network(torch.randn(1, 1, 2, 8, 8)).shape[:2] == (1, 3)  # one date


def test_the_spec_rebuilds_the_network() -> None:
    network = Network("resnet18", 3, 4, head="fcn", head_width=8, options={"width": 8, "norm": "batch"})
    again = Network(**dataclasses.asdict(network.spec))
    again.load_state_dict(network.state_dict())
    assert again.spec == network.spec
    vit = Network("vit_micro", 3, 4, options={"width": 24, "depth": 2, "groups": [[0], [1, 2]], "taps": [0, 1]})
    assert Network(**dataclasses.asdict(vit.spec)).backbone.spec.groups == ((0,), (1, 2))  # type: ignore[union-attr]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError, match=r"backbone 'resnet' is unknown.*nearest is resnet"):
        Network("resnet", 3, 4)
    with pytest.raises(ConfigError, match="backbone 'gru' is unknown"):
        NetworkSpec("gru", 3, 4)
    with pytest.raises(ConfigError, match=r"head 'uppernet' is unknown.*nearest is upernet"):
        NetworkSpec("unet", 3, 4, "uppernet")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"option 'widht' is unknown.*nearest is width"):
        NetworkSpec("unet", 3, 4, options={"widht": 3})
    with pytest.raises(ConfigError, match="'outputs' is 0"):
        NetworkSpec("unet", 3, 0)
    for sizes in ({"head_width": 10**6}, {"outputs": 10**9}):
        with pytest.raises(ConfigError, match="The head would have about"):
            Network(**{"backbone": "unet", "bands": 1, "outputs": 1, "options": SMALL["unet"], **sizes})
    with pytest.raises(ContractError, match="mask of dates"):
        Network("unet", 1, 1, options=SMALL["unet"])(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, dtype=torch.bool))
