"""Groups of bands: positions and losses by hand, groups by name and wavelength, any size, masks, what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from swath import rng, sensors
from swath.errors import ConfigError, ContractError, InputError
from swath.nn.band_groups import check_groups, find_groups, positions
from swath.nn.grouped import GroupedAutoencoder, GroupedDecoderSpec, GroupedEncoder, GroupedSpec
from swath.nn.masking import Masked, consistent_mask, draw_noise, random_mask
from swath.nn.reconstruction import group_loss
from swath.sensors import Band, BandSet

ENCODER = GroupedSpec(3, ((0, 2), (1,)), patch=2, width=32, depth=2, heads=2)


def network(**options: int) -> GroupedAutoencoder:
    torch.manual_seed(0)
    return GroupedAutoencoder(ENCODER, GroupedDecoderSpec(16, 1, 2, **options)).eval()


def mask_for(tokens: int, batch: int = 1, ratio: float = 0.5) -> Masked:
    return random_mask(draw_noise(rng.torch_generator(0, "test"), batch, tokens), ratio)


def test_positions_by_hand() -> None:
    table = positions(2, 3, (0, 5), 12, 4)
    assert table.shape == (1, 2, 2, 3, 12)
    # 8 numbers for the place (4 for the column, 4 for the row), 4 for the group; frequencies 1 and 1/100.
    wave = [1.0, 0.01]
    column, row, group = 2, 1, 5
    expected = [f(place * w) for place in (column, row, group) for f in (math.sin, math.cos) for w in wave]
    torch.testing.assert_close(table[0, 1, row, column], torch.tensor(expected))
    assert table[0, 0, ..., :8].equal(table[0, 1, ..., :8])  # the place is the same in all groups
    assert positions(2, 3, (0,), 8, 0).equal(positions(2, 3, (0,), 12, 4)[..., :8])


def test_tokens_by_hand() -> None:
    encoder = GroupedEncoder(ENCODER).eval()
    image = torch.randn(1, 3, 2, 4)
    tokens = encoder.tokens(image)
    assert tokens.shape == (1, 2, 1, 2, 32)
    patch = image[0, [0, 2], :, 2:].reshape(-1)  # second patch, first group: bands 0 and 2
    first = encoder.project[0]
    by_hand = first.weight.reshape(32, -1) @ patch + first.bias + positions(1, 2, (0, 1), 32, 8)[0, 0, 0, 1]  # type: ignore[operator]
    torch.testing.assert_close(tokens[0, 0, 0, 1], by_hand)


def test_loss_by_hand() -> None:
    target = torch.zeros(1, 3, 2, 4)
    target[0, 0, 0, 0] = float("nan")
    valid = target.isfinite()
    valid[0, 1, :, 2:] = False  # the second token of the second group has no valid pixel
    made = torch.zeros_like(target)
    made[0, 0, :, :2], made[0, 2, :, :2] = 2.0, 4.0  # first group, first token: (3 * 4 + 4 * 16) / 7
    made[0, 1, :, :2] = 3.0  # second group, first token: 9
    made[0, 1, :, 2:] = 100.0  # counts nowhere
    hidden = torch.tensor([[True, False, True, True]])
    loss = group_loss(made, target, valid, hidden, groups=((0, 2), (1,)), patch=2)
    assert float(loss.total) == pytest.approx(76 / 7 + 9) and int(loss.count) == 2
    nothing = group_loss(made, target, torch.zeros_like(valid), hidden, groups=((0, 2), (1,)), patch=2)
    assert float(nothing.total) == 0 and float(nothing.mean()) == 0
    with pytest.raises(ContractError, match="for all three"):
        group_loss(made, target[:, :2], valid, hidden, groups=((0, 2), (1,)), patch=2)


def test_nothing_under_the_mask_reaches_loss_or_gradient() -> None:
    made = torch.zeros(1, 3, 2, 4, requires_grad=True)
    target = torch.full((1, 3, 2, 4), float("nan"))
    valid = torch.zeros_like(target, dtype=torch.bool)
    group_loss(made, target, valid, torch.ones(1, 4, dtype=torch.bool), groups=((0, 2), (1,)), patch=2).total.backward()
    assert made.grad is not None and not made.grad.any()


def test_hidden_tokens_do_not_matter() -> None:
    model, mask = network(), mask_for(2 * 4)
    image = torch.randn(1, 3, 4, 4)
    groups = mask.hidden.reshape(2, 2, 2).repeat_interleave(2, 1).repeat_interleave(2, 2)
    noise = torch.randn(1, 3, 4, 4)
    other = image.clone()
    for band, group in enumerate((0, 1, 0)):
        other[0, band][groups[group]] = noise[0, band][groups[group]]
    assert not other.equal(image)
    assert model(image, mask).image.equal(model(other, mask).image)
    assert not model(noise, mask).image.equal(model(image, mask).image)


def test_masks_of_both_kinds_and_all_heads() -> None:
    model, image = network(doublings=2), torch.randn(2, 3, 4, 6)
    noise = draw_noise(rng.torch_generator(0, "test"), 2, 6)
    made = model(image, consistent_mask(noise, 2, 0.5))
    assert made.image.shape == (2, 3, 4, 6)
    assert [tuple(finer.shape) for finer in made.larger] == [(2, 3, 8, 12), (2, 3, 16, 24)]
    assert network()(image, mask_for(12, batch=2)).larger == ()
    assert model(image[:0], mask_for(12, batch=0)).image.shape == (0, 3, 4, 6)


def test_features_of_any_size() -> None:
    encoder = GroupedEncoder(GroupedSpec(3, ((0, 2), (1,)), patch=2, width=32, depth=2, heads=2, taps=(0, 1))).eval()
    found = encoder(torch.randn(2, 3, 5, 7))
    assert [tuple(level.shape) for level in found.maps] == [(2, 32, 3, 4)] * 2
    assert found.strides == (2, 2) and found.tokens is not None and found.cls is not None
    torch.testing.assert_close(found.cls, found.tokens.mean(1))
    torch.testing.assert_close(found.maps[1], found.tokens.reshape(2, 2, 3, 4, 32).mean(1).movedim(-1, 1))
    assert encoder.layer_names()[1] == ("blocks.0",)


def test_an_absent_group_equals_an_encoder_without_it() -> None:
    torch.manual_seed(0)
    encoder = GroupedEncoder(ENCODER).eval()
    alone = GroupedEncoder(GroupedSpec(1, ((0,),), patch=2, width=32, depth=2, heads=2, group_codes=(1,))).eval()
    state = {name.replace("project.1.", "project.0."): value for name, value in encoder.state_dict().items()
             if not name.startswith("project.0.")}  # fmt: skip
    alone.load_state_dict(state)
    image = torch.randn(1, 3, 4, 4)
    present = torch.tensor([False, True])[None, :, None, None].expand(1, 2, 2, 2)
    hidden, absent = encoder(image, present), alone(image[:, 1:2])
    torch.testing.assert_close(hidden.maps[0], absent.maps[0])
    torch.testing.assert_close(hidden.cls, absent.cls)
    nothing = encoder(image, torch.zeros(1, 2, 2, dtype=torch.bool))
    assert not nothing.maps[0].any() and not nothing.cls.any()
    with pytest.raises(ContractError, match="mask of tokens"):
        encoder(image, torch.ones(1, 3, 2, 2, dtype=torch.bool))


def test_groups_by_name_alias_and_wavelength() -> None:
    sentinel = sensors.load("sentinel2_l2a").bands
    shuffled = sentinel.select(["B8A", "B02", "B04", "B11"])
    assert find_groups(shuffled, (("B02", "red"), ("B11", "B8A"))) == ((1, 2), (3, 0))
    landsat = BandSet(
        (Band("SR_B5", wavelength_nm=865.0, width_nm=28.0, kind="reflectance"),
         Band("SR_B2", wavelength_nm=482.0, width_nm=60.0, kind="reflectance"))
    )  # fmt: skip
    assert find_groups(landsat, (sentinel.select(["B02"]), sentinel.select(["B8A"]))) == ((1,), (0,))


def test_groups_that_do_not_fit_are_explained() -> None:
    bands = sensors.load("sentinel2_l2a").bands.select(["B02", "B03", "B04"])
    with pytest.raises(ConfigError, match="B04 is in the groups 1 and 2"):
        find_groups(bands, (("B02", "red"), ("B03", "B04")))
    with pytest.raises(ConfigError, match="B03 are in no group"):
        find_groups(bands, (("B02",), ("B04",)))
    with pytest.raises(InputError, match="want B08; the bands are B02, B03, B04"):
        find_groups(bands, (("B02", "B03"), ("B04", "B08")))
    with pytest.raises(ConfigError, match=r"the bands \[0\] are in two groups.*\[2\] are in none"):
        check_groups(((0, 1), (0,)), 3)
    for wrong in ((), ((),), ((0, 1, 2), (3,))):
        with pytest.raises(ConfigError, match="do not fit 3 bands"):
            GroupedSpec(3, wrong, width=32, heads=2)


def test_sizes_that_do_not_fit_are_explained() -> None:
    with pytest.raises(ConfigError, match="width 30, of which 4"):
        GroupedSpec(1, ((0,),), width=30, heads=2, group_width=4)
    with pytest.raises(ConfigError, match="set group_width to 8"):
        GroupedSpec(1, ((0,),), width=32, heads=2, group_width=7)
    with pytest.raises(ConfigError, match="decoder has width 16"):
        GroupedDecoderSpec(16, 1, 2, group_width=16)
    with pytest.raises(ConfigError, match="one number of at least 0 per group"):
        GroupedSpec(1, ((0,),), width=32, heads=2, group_codes=(0, 1))
    with pytest.raises(ConfigError, match="'taps'"):
        GroupedSpec(1, ((0,),), width=32, heads=2, depth=2, taps=(2,))
    with pytest.raises(ConfigError, match="bands or listed"):
        GroupedDecoderSpec(16, 1, 2, prediction="group")  # type: ignore[arg-type]
    assert GroupedSpec(1, ((0,),), width=96, heads=2).group_width == 24
    model = network()
    with pytest.raises(ContractError, match="5 rows and the patch 2"):
        model(torch.zeros(1, 3, 5, 4), mask_for(8))
    with pytest.raises(ContractError, match=r"\(1, 8\)"):
        model(torch.zeros(1, 3, 4, 4), mask_for(4))
    with pytest.raises(ContractError, match="3 bands"):
        model(torch.zeros(1, 4, 4, 4), mask_for(8))


def test_everything_learns() -> None:
    model = network(doublings=1).train()
    made = model(torch.randn(1, 3, 4, 4), mask_for(8))
    (made.image.square().mean() + made.larger[0].square().mean()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
