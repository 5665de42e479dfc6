"""Prithvi against TerraTorch 1.2.11, offline: golden numbers of narrow networks in tests/parity/prithvi_golden.npz."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import parity_ours as ours  # noqa: E402
import parity_recipe as recipe  # noqa: E402

LARGEST = {("double", "gradient"): 1e-8, ("double", ""): 1e-10, ("single", ""): 1e-5}


@lru_cache(maxsize=1)
def golden() -> dict[str, np.ndarray]:
    with np.load(HERE / "prithvi_golden.npz") as stored:
        return dict(stored)


@pytest.mark.parametrize("label", ["double", "single"])
@pytest.mark.parametrize("case", recipe.CASES, ids=lambda case: case.name)
def test_features_predictions_loss_and_gradients_are_the_published_ones(case: recipe.Case, label: str) -> None:
    double = label == "double"
    made = ours.run(case, torch.float64 if double else torch.float32, gradients=double and case.gradients)
    found = recipe.golden(f"{case.name} {label}", made)
    wanted = {name: value for name, value in golden().items() if name.startswith(f"{case.name} {label} ")}
    assert set(found) == set(wanted) and len(wanted) >= 4
    for name, value in found.items():
        largest = LARGEST[label, "gradient" if name.endswith("gradient") else ""]
        assert np.abs(value).max() > 1e-3, f"{name} says nothing"
        np.testing.assert_allclose(value, wanted[name], rtol=0, atol=largest, err_msg=name)


def test_every_case_is_stored_with_the_versions_that_made_it() -> None:
    stored = golden()
    assert "terratorch 1.2.11" in stored["upstream"].tolist()
    assert {name.split()[0] for name in stored} - {"upstream"} == {case.name for case in recipe.CASES}
    assert (HERE / "prithvi_golden.npz").stat().st_size < 200_000


def test_a_swapped_axis_or_an_epsilon_of_other_families_would_be_seen() -> None:
    case = recipe.CASES[1]
    network = ours.network_of(case, torch.float64)
    images = torch.from_numpy(recipe.images(case)).movedim(2, 1)
    right = network.encoder(images).maps[-1]
    for part in network.encoder.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.eps = 1e-6
    assert (network.encoder(images).maps[-1] - right).abs().max() > 1e-8
