"""The encoder of series as a graph for export: any number of samples, one size, and nothing left behind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from swath.nn.masked_autoencoder import MaskedAutoencoderSpec, SpaceTimeEncoder

SPEC = MaskedAutoencoderSpec(
    bands=2, image=16, dates=1, patch=(1, 8, 8), width=16, depth=1, heads=2, decoder_width=16, decoder_depth=1,
    decoder_heads=2,
)  # fmt: skip
BATCH = torch.export.Dim("batch", min=1, max=64)


class Last(nn.Module):
    """The last map of an encoder."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = SpaceTimeEncoder(SPEC)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, t, D, h, w)``."""
        found: Tensor = self.encoder(images).maps[-1]
        return found


def test_a_graph_takes_any_number_of_samples_and_gives_the_same() -> None:
    network = Last().eval()
    graph = torch.export.export(network, (torch.zeros(2, 1, 2, 16, 24),), dynamic_shapes=({0: BATCH},)).module()
    for samples in (1, 5):
        images = torch.randn(samples, 1, 2, 16, 24, generator=torch.Generator().manual_seed(samples))
        torch.testing.assert_close(graph(images), network(images))


def test_tracing_leaves_no_traced_numbers_in_the_positions() -> None:
    # A size that nothing else in this process has asked for, so that it is not remembered from before.
    network, size = Last().eval(), (2, 3, 2, 40, 56)
    torch.export.export(network, (torch.zeros(size),), dynamic_shapes=({0: BATCH},))
    found = network(torch.zeros(size))
    assert type(found) is Tensor and found.detach().numpy().shape == (2, 3, 16, 5, 7)


def test_a_graph_is_for_one_size_and_says_so() -> None:
    free = {0: BATCH, 3: torch.export.Dim("rows", min=16, max=64), 4: torch.export.Dim("columns", min=16, max=64)}
    with pytest.raises(Exception, match=r"(?i)constraint|specializ"):
        torch.export.export(Last().eval(), (torch.zeros(2, 1, 2, 16, 24),), dynamic_shapes=(free,))
