"""The space-time masked autoencoder: shapes, borders, masks, what stays out of the loss. Parity is in tests/parity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from swath.errors import ConfigError, ContractError
from swath.nn.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderSpec, SpaceTimeEncoder, masked_error
from swath.nn.masking import draw_noise, frame_mask, random_mask
from swath.nn.patches import patchify
from swath.nn.pyramid import SimplePyramid, TimePool, dates_to_channels, restride
from swath.nn.time_place import TimePlace

SPEC = MaskedAutoencoderSpec(
    bands=2,
    image=16,
    dates=3,
    patch=(1, 4, 4),
    width=32,
    depth=2,
    heads=2,
    decoder_width=16,
    decoder_depth=1,
    decoder_heads=2,
)


def made(**change: Any) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(replace(SPEC, **change)).eval()


def images(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def mask(samples: int, tokens: int, ratio: float = 0.75) -> Any:
    return random_mask(draw_noise(torch.Generator().manual_seed(2), samples, tokens), ratio)


@pytest.mark.parametrize(("dates", "rows", "columns"), [(1, 4, 8), (1, 16, 16), (3, 8, 12), (5, 16, 4)])
def test_any_number_of_dates_and_any_size_goes_in(dates: int, rows: int, columns: int) -> None:
    network = made()
    given = images(2, dates, 2, rows, columns)
    grid = network.spec.grid(dates, rows, columns)
    tokens = grid[0] * grid[1] * grid[2]
    found = network(given, mask(2, tokens, 0.5))
    assert found.images().shape == given.shape
    assert found.latent.shape == (2, 1 + tokens // 2, 32)
    assert bool(torch.isfinite(found.loss.mean()))
    features = network.encoder(given)
    assert features.maps[0].shape == (2, dates, 32, rows // 4, columns // 4)
    features.check()


def test_tubelets_of_two_dates_have_one_token_per_pair() -> None:
    network = made(patch=(2, 4, 4))
    given = images(1, 4, 2, 8, 8)
    assert network.spec.grid(4, 8, 8) == (2, 2, 2)
    assert network(given, mask(1, 8)).images().shape == given.shape
    with pytest.raises(ContractError, match="3 dates and the patch 2"):
        network.encoder(images(1, 3, 2, 8, 8))


def test_hidden_pixels_never_reach_the_prediction_and_seen_ones_do() -> None:
    network = made()
    given, drawn = images(1, 3, 2, 8, 8), mask(1, 12)
    hidden = drawn.hidden[0].unflatten(0, (3, 2, 2)).repeat_interleave(4, 1).repeat_interleave(4, 2)[None, :, None]
    other = torch.where(hidden, images(1, 3, 2, 8, 8) * 5 + 3, given)
    assert torch.equal(network(given, drawn).predicted, network(other, drawn).predicted)
    other = torch.where(hidden, given, given + 1)
    assert not torch.allclose(network(given, drawn).predicted, network(other, drawn).predicted)


def test_the_loss_is_the_mean_over_hidden_tokens_of_their_mean_squared_error() -> None:
    network = made()
    given, drawn = images(2, 3, 2, 8, 8), mask(2, 12)
    found = network(given, drawn)
    error = (found.predicted - patchify(given, (1, 4, 4), "tpqc")).square().mean(-1)
    assert torch.allclose(found.loss.mean(), error[drawn.hidden].mean())
    assert int(found.loss.count) == int(drawn.hidden.sum()) == 18


def test_a_series_with_whole_dates_hidden_is_filled() -> None:
    network = made()
    drawn = frame_mask(torch.tensor([[0.9, 0.1, 0.5]]), places=4, frames=1)
    found = network(images(1, 3, 2, 8, 8), drawn)
    assert int(found.loss.count) == 4 and found.images().shape == (1, 3, 2, 8, 8)


def test_pixels_that_are_not_valid_may_be_nan_and_stay_out_of_loss_and_gradient() -> None:
    network = made()
    given, drawn = images(2, 3, 2, 8, 8), mask(2, 12)
    valid = torch.rand((2, 3, 1, 8, 8), generator=torch.Generator().manual_seed(3)) > 0.4
    valid[0, 0, :, :4, :4] = False
    whole = torch.where(valid, given, torch.nan)
    found = network(whole, drawn, valid=valid)
    other = network(torch.where(valid, given, 77.0), drawn, valid=valid)
    assert torch.equal(found.predicted, other.predicted) and torch.equal(found.loss.total, other.loss.total)
    counted = patchify(valid.expand(given.shape), (1, 4, 4), "tpqc") & drawn.hidden[..., None]
    squared = (found.predicted - patchify(torch.where(valid, given, 0.0), (1, 4, 4), "tpqc")).square()
    some = counted.any(-1)
    per_token = torch.where(counted, squared, 0.0).sum(-1)[some] / counted.sum(-1)[some]
    assert torch.allclose(found.loss.mean(), per_token.mean())
    found.loss.mean().backward()
    assert all(bool(torch.isfinite(value.grad).all()) for value in network.parameters() if value.grad is not None)


def test_with_nothing_valid_the_loss_and_its_gradients_are_0() -> None:
    network = made(normalise_target=True)
    found = network(images(1, 1, 2, 8, 8), mask(1, 4), valid=torch.zeros(1, 1, 1, 8, 8, dtype=torch.bool))
    found.loss.mean().backward()
    assert float(found.loss.mean().detach()) == 0
    assert all(float(value.grad.abs().max()) == 0 for value in network.parameters() if value.grad is not None)


def test_nan_without_a_mask_and_masks_that_do_not_fit_are_refused() -> None:
    network = made()
    given = images(1, 1, 2, 8, 8)
    broken = given.clone()
    broken[0, 0, 0, 0, 0] = torch.nan
    with pytest.raises(ContractError, match=r"NaN or infinite numbers in 1 places.*mark what is missing"):
        network(broken, mask(1, 4))
    with pytest.raises(ContractError, match="mask of valid pixels has shape"):
        network(given, mask(1, 4), valid=torch.ones(1, 1, 3, 8, 8, dtype=torch.bool))
    with pytest.raises(ContractError, match=r"mask is for \(1, 12\).*\(1, 2, 2\)"):
        network(given, mask(1, 12))
    with pytest.raises(ContractError, match="with 2 bands"):
        network(images(1, 1, 3, 8, 8), mask(1, 4))
    with pytest.raises(ContractError, match="mask of tokens has shape"):
        network.encoder(given, None, torch.ones(1, 1, 3, 3, dtype=torch.bool))


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_hiding_nothing_or_everything_is_refused(ratio: float) -> None:
    with pytest.raises(ConfigError, match="share of hidden tokens"):
        mask(1, 4, ratio)


def test_an_image_that_the_patch_does_not_divide_is_refused_padded_or_resized_but_never_cut() -> None:
    given = images(1, 1, 2, 10, 7)
    with pytest.raises(ContractError, match=r"10 rows and the patch 4.*8 or 12"):
        made().encoder(given)
    padded, resized = made(border="pad"), made(border="resize")
    assert padded.spec.grid(1, 10, 7) == (1, 3, 2) and resized.spec.grid(1, 10, 7) == (1, 2, 2)
    assert padded.encoder(given).maps[0].shape[-2:] == (3, 2)
    # The last column and row reach the features of both.
    for network in (padded, resized):
        other = given.clone()
        other[..., -1] += 1
        assert not torch.allclose(network.encoder(given).maps[0], network.encoder(other).maps[0])
    found = padded(given, mask(1, 6, 0.5))
    assert found.images().shape == (1, 1, 2, 12, 8)


def test_padding_stays_out_of_the_loss() -> None:
    network = made(border="pad")
    given, drawn = images(1, 1, 2, 4, 6), random_mask(torch.tensor([[0.1, 0.9]]), 0.5)
    found = network(given, drawn)
    error = (found.images()[..., 4:6] - given[..., 4:6]).square().mean()
    assert torch.allclose(found.loss.mean(), error)


def test_resizing_counts_only_pixels_made_of_valid_ones() -> None:
    network = made(border="resize")
    valid = torch.ones(1, 1, 1, 10, 10, dtype=torch.bool)
    valid[..., :5] = False
    _, mended = network.encoder.fit(images(1, 1, 2, 10, 10), valid.expand(1, 1, 2, 10, 10))
    assert mended is not None and mended.shape[-2:] == (8, 8)
    assert not bool(mended[..., :4].any()) and bool(mended[..., 5:].all())


def test_a_small_image_is_resized_up_to_one_patch() -> None:
    assert made(border="resize").spec.grid(1, 1, 1) == (1, 1, 1)
    assert made(border="resize").encoder(images(1, 1, 2, 1, 1)).maps[0].shape == (1, 1, 32, 1, 1)


def test_resized_positions_equal_recomputed_ones_at_the_size_they_are_laid_out_for_alone() -> None:
    first, second = made(), made(positions="resized")
    given = images(1, 2, 2, 16, 16)
    assert torch.equal(first.encoder(given).maps[0], second.encoder(given).maps[0])
    given = images(1, 2, 2, 8, 16)
    assert not torch.allclose(first.encoder(given).maps[0], second.encoder(given).maps[0])


def test_missing_tokens_change_nothing_and_come_back_as_0() -> None:
    network = made(taps=(0, 1))
    given = images(1, 2, 2, 8, 8)
    present = torch.ones(1, 2, 2, 2, dtype=torch.bool)
    present[0, 1] = False
    other = given.clone()
    other[:, 1] = 9.0
    first, second = network.encoder(given, None, present), network.encoder(other, None, present)
    for left, right in zip(first.maps, second.maps, strict=True):
        assert torch.equal(left, right) and bool((left[:, 1] == 0).all()) and bool((left[:, 0] != 0).any())
    alone = network.encoder(given[:, :1])
    assert torch.allclose(first.maps[1][:, 0], alone.maps[1][:, 0], atol=1e-6)


def test_earlier_taps_are_as_the_blocks_give_them_and_the_last_is_normalised() -> None:
    network = made(taps=(0, 1))
    maps = network.encoder(images(1, 1, 2, 8, 8)).maps
    assert abs(float(maps[1].mean(2).detach().abs().max())) < 1e-5
    assert float(maps[0].mean(2).detach().abs().max()) > 1e-3


def test_time_and_place_have_to_be_told_and_change_the_tokens() -> None:
    network = made(conditions=("time", "place"))
    given, drawn = images(2, 3, 2, 8, 8), mask(2, 12)
    known = TimePlace.of(
        year=torch.full((2, 3), 2020),
        day=torch.tensor([[0, 100, 200]] * 2),
        latitude=torch.tensor([47.0, 47.0]),
        longitude=torch.tensor([8.0, 8.0]),
    )
    with pytest.raises(ContractError, match=r"not told.*TimePlace.unknown"):
        network(given, drawn)
    with pytest.raises(ContractError, match="those of 1 samples"):
        network(given, drawn, about=TimePlace.unknown(1))
    with pytest.raises(ContractError, match="2 dates and the times 3"):
        network.encoder(given[:, :2], known)
    nothing = network(given, drawn, about=TimePlace.unknown(2)).predicted
    assert not torch.allclose(network(given, drawn, about=known).predicted, nothing)
    kept = known.dropped(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), 0.5)
    assert torch.equal(network(given, drawn, about=kept).predicted[0], nothing[0])


def test_a_token_gets_the_time_of_its_own_date_whatever_the_number_of_dates() -> None:
    network = made(conditions=("time",))
    same = images(1, 1, 2, 8, 8).expand(1, 5, 2, 8, 8)
    days = torch.tensor([[0.0, 50, 100, 150, 200]])
    about = TimePlace.of(year=torch.full((1, 5), 2020.0), day=days)
    grid = network.encoder.tokens(same, about)
    plain = network.encoder.tokens(same, TimePlace.unknown(1))
    added = (grid - plain)[0]
    for date in range(5):
        one = TimePlace.of(year=torch.tensor([[2020.0]]), day=days[:, date : date + 1])
        wanted = network.encoder.time(one, 1)[0, 0]  # type: ignore[misc]
        assert torch.allclose(added[date], wanted.expand(2, 2, -1), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bands": 0}, "'bands' is 0"),
        ({"patch": (1, 0, 4)}, "'rows of a patch' is 0"),
        ({"border": "crop"}, "'border' is 'crop'"),
        ({"positions": "learned"}, "'positions' is 'learned'"),
        ({"conditions": ("weather",)}, "'conditions' is 'weather'"),
        ({"conditions": ("time",), "patch": (2, 4, 4)}, "a token covers 2 dates"),
        ({"taps": (1, 0)}, "rising order"),
        ({"taps": (2,)}, "different blocks from 0 to 1"),
        ({"width": 10**6, "depth": 100}, "parameters"),
        ({"drop_path": 1.0}, "drop_path"),
    ],
)
def test_sizes_out_of_range_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        replace(SPEC, **change)


def test_width_and_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 16"):
        MaskedAutoencoder(replace(SPEC, width=24, heads=2)).encoder(images(1, 1, 2, 4, 4))
    with pytest.raises(ConfigError, match="32 and 3 heads"):
        SpaceTimeEncoder(replace(SPEC, heads=3))


def test_lists_of_a_checkpoint_make_the_same_spec() -> None:
    again = MaskedAutoencoderSpec(**{**vars(SPEC), "patch": [1, 4, 4], "conditions": [], "taps": [1]})
    assert again == SPEC and hash(again) == hash(SPEC)


def test_normalised_targets_have_mean_0_and_variance_1_over_what_counts() -> None:
    target = torch.tensor([[[1.0, 3.0, 5.0, 99.0]]])
    counted = torch.tensor([[[True, True, True, False]]])
    wanted = torch.tensor([[[-1.0, 0.0, 1.0, 0.0]]])
    assert float(masked_error(wanted, target, counted, normalise=True).mean()) < 1e-9
    assert float(masked_error(target, target, counted).mean()) == 0


def test_names_of_layers_name_parts_that_are_there() -> None:
    network = made(conditions=("time", "place")).encoder
    prefixes = [name for group in network.layer_names() for name in group]
    names = [name for name, _ in network.named_parameters()]
    assert all(any(name.startswith(prefix) for prefix in prefixes) for name in names)


def test_it_learns_on_a_few_images() -> None:
    network = made().train()
    given, drawn = images(4, 1, 2, 16, 16).round(), mask(4, 16, 0.5)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = network(given, drawn).loss.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_maps_of_all_dates_go_to_a_pyramid_as_channels_or_pooled() -> None:
    network = made(patch=(1, 16, 16), taps=(0, 1)).encoder
    features = network(images(2, 3, 2, 32, 64))
    stacked = dates_to_channels(features)
    assert stacked.maps[0].shape == (2, 96, 2, 4) and torch.equal(stacked.maps[1][:, 32:64], features.maps[1][:, 1])
    levels = SimplePyramid((96, 96), stacked.strides, 8)(stacked)
    assert [tuple(level.shape[-2:]) for level in levels.maps] == [(8, 16), (4, 8), (2, 4), (1, 2)]
    assert levels.strides == (4, 8, 16, 32)
    pooled = TimePool(network.channels, network.strides)(features)
    assert torch.allclose(pooled.maps[0], features.maps[0].mean(1))
    with pytest.raises(ContractError, match="channels where there are dates"):
        dates_to_channels(pooled)


def test_patches_of_14_pixels_reach_a_pyramid_at_stride_16() -> None:
    network = made(patch=(1, 14, 14)).encoder
    features = dates_to_channels(network(images(1, 1, 2, 224, 224)))
    assert features.maps[0].shape == (1, 32, 16, 16)
    with pytest.raises(ConfigError, match="multiple of 4"):
        SimplePyramid((32,), features.strides, 8)
    even = restride(features, 16)
    assert even.maps[0].shape == (1, 32, 14, 14) and even.strides == (16,)
    levels = SimplePyramid((32,), even.strides, 8)(even)
    assert levels.maps[0].shape == (1, 8, 56, 56)
    constant = replace(features, maps=(torch.full((1, 2, 3, 16, 16), 7.0),))
    assert torch.allclose(restride(constant, 16).maps[0], torch.full((1, 2, 3, 14, 14), 7.0))
    with pytest.raises(ConfigError, match="maps of one stride"):
        restride(levels, 16)
