"""Several scales: an enlargement worked out in NumPy, halving with invalid pixels, sizes that do not fit."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.errors import ConfigError, ContractError
from swath.nn.multiscale import Enlarge, MultiScaleHead, check_scales, halve, scales

Array = NDArray[np.float64]


def weights(layer: torch.nn.Module) -> tuple[Array, Array]:
    parameters = dict(layer.named_parameters())
    return parameters["weight"].detach().double().numpy(), parameters["bias"].detach().double().numpy()


def convolve(maps: Array, layer: torch.nn.Module) -> Array:
    """Convolution with a border of zeros, ``(F, H, W)``, number by number."""
    kernel, bias = weights(layer)
    reach = kernel.shape[-1] // 2
    padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)))
    out = np.empty((kernel.shape[0], *maps.shape[1:]))
    for row in range(maps.shape[1]):
        for column in range(maps.shape[2]):
            seen = padded[:, row : row + kernel.shape[2], column : column + kernel.shape[3]]
            out[:, row, column] = (kernel * seen).sum((1, 2, 3)) + bias
    return out


def transpose(maps: Array, layer: torch.nn.Module) -> Array:
    """Every pixel paints its 4 x 4 kernel at twice its place; a border of one is cut off."""
    kernel, bias = weights(layer)
    rows, columns = maps.shape[1:]
    canvas = np.zeros((kernel.shape[1], 2 * rows + 2, 2 * columns + 2))
    for row in range(rows):
        for column in range(columns):
            canvas[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += np.einsum(
                "f,fgpq->gpq", maps[:, row, column], kernel
            )
    return canvas[:, 1:-1, 1:-1] + bias[:, None, None]


def normalise(maps: Array, layer: torch.nn.Module) -> Array:
    scale, shift = weights(layer)
    centred = maps - maps.mean(0)
    return centred / np.sqrt((centred**2).mean(0) + 1e-6) * scale[:, None, None] + shift[:, None, None]


def enlarge_by_hand(step: Enlarge, maps: Array) -> tuple[Array, Array]:
    upper = normalise(transpose(maps, step.enlarge), step.enlarge_norm)
    upper = np.where(upper > 0, upper, 0.01 * upper)
    inner = np.maximum(convolve(upper, step.first), 0)
    refined = normalise(upper + 0.5 * convolve(inner, step.second), step.refine_norm)
    return refined, convolve(refined, step.project)


def shake(network: torch.nn.Module) -> None:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))


def test_enlargement_by_hand() -> None:
    step = Enlarge(3, 2)
    shake(step)
    maps = torch.randn(1, 3, 2, 3)
    refined, image = enlarge_by_hand(step, maps[0].double().numpy())
    found_maps, found_image = step(maps)
    assert found_maps.shape == (1, 3, 4, 6) and found_image.shape == (1, 2, 4, 6)
    np.testing.assert_allclose(found_maps[0].detach().numpy(), refined, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found_image[0].detach().numpy(), image, rtol=1e-4, atol=1e-4)


def test_head_by_hand() -> None:
    head = MultiScaleHead(2, 2, ratio=2)
    shake(head)
    image = torch.randn(1, 2, 2, 2)
    wide = convolve(image[0].double().numpy(), head.expand)
    gauss = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
    maps, twice = enlarge_by_hand(head.steps[0], normalise(gauss, head.expand_norm))  # type: ignore[arg-type]
    _, four = enlarge_by_hand(head.steps[1], maps)  # type: ignore[arg-type]
    found = head(image)
    for image_found, by_hand in zip(found, (twice, four), strict=True):
        np.testing.assert_allclose(image_found[0].detach().numpy(), by_hand, rtol=1e-3, atol=1e-3)


def test_every_weight_of_the_head_learns() -> None:
    head = MultiScaleHead(2, 2)
    sum(image.square().mean() for image in head(torch.randn(1, 2, 4, 4))).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in head.parameters())
    with pytest.raises(ConfigError, match="'doublings' is 0"):
        MultiScaleHead(2, 0)


def test_halving_by_hand() -> None:
    values = torch.tensor([[1.0, 3.0, 5.0, float("nan")], [5.0, 7.0, 1.0, 1.0]])
    valid = values.isfinite()
    found, usable = halve(values, valid)
    assert found.tolist() == [[4.0, 0.0]] and usable.tolist() == [[True, False]]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.integers(0, 9))
def test_scales_are_bilinear_and_aligned(bands: int, rows: int, columns: int, doublings: int, seed: int) -> None:
    torch.manual_seed(seed)
    step = 2**doublings
    finest = torch.randn(2, bands, rows * step, columns * step)
    found = scales(finest, torch.ones_like(finest, dtype=torch.bool), doublings)
    assert len(found) == doublings + 1 and found[-1][0].equal(finest)
    check_scales([values for values, _ in found])
    for (coarse, valid), (fine, _) in itertools.pairwise(found):
        assert valid.all()
        bilinear = F.interpolate(fine, scale_factor=0.5, mode="bilinear", align_corners=False)
        torch.testing.assert_close(coarse, bilinear, rtol=1e-5, atol=1e-6)


def test_sizes_that_do_not_fit() -> None:
    image = torch.zeros(1, 1, 10, 8)
    with pytest.raises(ContractError, match=r"10 rows.*nearest is 8 or 12"):
        scales(image, image > -1, 2)
    with pytest.raises(ContractError, match="even sides"):
        halve(torch.zeros(3, 4), torch.ones(3, 4, dtype=torch.bool))
    with pytest.raises(ContractError, match="a mask of the same shape"):
        halve(torch.zeros(2, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool))
    with pytest.raises(ContractError, match=r"2 rows.*nearest is 4"):
        scales(torch.zeros(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool), 2)


def test_images_that_are_no_scales() -> None:
    coarse, fine = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 8, 8)
    check_scales([coarse, fine, torch.zeros(2, 3, 16, 16)])
    for wrong in (torch.zeros(2, 3, 12, 12), torch.zeros(2, 2, 16, 16), torch.zeros(1, 3, 16, 16)):
        with pytest.raises(ContractError, match="scale 3"):
            check_scales([coarse, fine, wrong])
    with pytest.raises(ContractError, match="scale 2"):
        check_scales([fine, coarse])
    with pytest.raises(ContractError, match="no images"):
        check_scales([])
