"""The Presto network: published numbers, stored golden tensors, masks."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from model_batches import filled

from swath import weights
from swath.models._parts import house_names
from swath.models.presto import CHANNELS, GROUPS, NO_LAND_COVER, PixelSeries, Presto

CASES = ("fuel3", "algae12", "masked12", "single1", "long24")


@lru_cache(maxsize=1)
def real(folder: Path) -> Presto:
    network = Presto()
    tensors = house_names(weights.read_tensors(folder / "presto_weights" / "default_model.pt"))
    weights.fill(network, tensors, name="presto", source="presto", verified=True)
    return network.eval()


@lru_cache(maxsize=1)
def golden(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "presto_weights" / "golden.npz") as stored:
        return dict(stored)


def case(stored: dict[str, np.ndarray], name: str) -> PixelSeries:
    fields = {key.partition("__")[2]: value for key, value in stored.items() if key.startswith(f"{name}__")}
    values = torch.from_numpy(fields["x"]).float()
    mask = torch.from_numpy(fields["mask"]).bool() if "mask" in fields else torch.zeros(values.shape, dtype=torch.bool)
    months = torch.from_numpy(fields["month"]).long()
    if months.ndim == 1:
        months = (months[:, None] + torch.arange(values.shape[1])) % 12
    latlon = torch.from_numpy(fields["latlon"])
    cover = torch.from_numpy(fields["dynamic_world"]).long()
    return PixelSeries(values, ~mask, cover, latlon.flip(-1), months)


def made_up(count: int, steps: int) -> PixelSeries:
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(count, steps, CHANNELS, generator=generator)
    seen = torch.rand(count, steps, CHANNELS, generator=generator) > 0.4
    cover = torch.randint(0, 10, (count, steps), generator=generator)
    lonlat = torch.rand(count, 2, generator=generator) * 100 - 50
    return PixelSeries(values, seen, cover, lonlat, torch.randint(0, 12, (count, steps), generator=generator))


def test_the_published_number_of_numbers() -> None:
    network = Presto()
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == 823_002
    assert sum(tensor.numel() for tensor in network.encoder.state_dict().values()) == 404_160
    assert weights.entry("presto").numbers == 823_002


@pytest.mark.parametrize("steps", [1, 2, 12, 24])
def test_shapes(steps: int) -> None:
    network = Presto().eval()
    filled(network)
    series = made_up(3, steps)
    with torch.inference_mode():
        assert network(series).shape == (3, 128)
        tokens = network.encoder.tokens(series)
        channels, logits = network.reconstruct(series)
    assert tokens.values.shape == (3, 2 + 9 * steps, 128)
    assert channels.shape == (3, steps, 17) and logits.shape == (3, steps, 9)
    assert bool((channels[:, :1, 14:16] == channels[:, :, 14:16]).all())  # terrain is one token


def test_numbers_under_the_mask_change_nothing() -> None:
    network = Presto().eval()
    filled(network)
    series = made_up(4, 3)
    whole = torch.stack([series.seen[..., list(part)].all(dim=-1) for part in GROUPS.values()], dim=-1)
    hidden = torch.cat(
        [whole[..., [place]].expand(-1, -1, len(part)) for place, part in enumerate(GROUPS.values())], -1
    )
    other = PixelSeries(
        torch.where(hidden, series.values, 1e6), series.seen, series.land_cover, series.lonlat, series.months
    )
    other.values[:, 1:, 14:16] = -1e6  # terrain is read from the first step alone
    with torch.inference_mode():
        assert torch.equal(network(series), network(other))


def test_nothing_seen_but_the_place_still_gives_numbers() -> None:
    network = Presto().eval()
    filled(network)
    series = made_up(2, 2)
    blind = PixelSeries(
        series.values,
        torch.zeros_like(series.seen),
        torch.full_like(series.land_cover, NO_LAND_COVER),
        series.lonlat,
        series.months,
    )
    with torch.inference_mode():
        assert bool(torch.isfinite(network(blind)).all())


def test_a_pixel_does_not_depend_on_those_beside_it() -> None:
    network = Presto().eval()
    filled(network)
    series = made_up(6, 4)
    with torch.inference_mode():
        together = network(series)
        alone = torch.cat([network(series.rows(slice(row, row + 1))) for row in range(6)])
    assert float((together - alone).abs().max()) < 1e-5


@pytest.mark.parametrize("name", CASES)
def test_embeddings_equal_the_golden_ones(real_data: Path, name: str) -> None:
    stored = golden(real_data)
    with torch.inference_mode():
        made = real(real_data)(case(stored, name)).numpy()
    assert np.abs(made - stored[f"{name}__embedding"]).max() < 1e-5


@pytest.mark.parametrize("name", CASES)
def test_tokens_equal_the_golden_ones(real_data: Path, name: str) -> None:
    stored = golden(real_data)
    with torch.inference_mode():
        tokens = real(real_data).encoder.tokens(case(stored, name))
    wanted = stored[f"{name}__tokens"]  # cut to the longest sample
    index, pad = (stored[f"{name}__token_{part}"][:, : wanted.shape[1]] for part in ("index", "pad"))
    assert np.array_equal(tokens.seen.sum(dim=1).numpy(), (pad == 0).sum(axis=1))
    rows = np.take_along_axis(tokens.values.numpy(), index.astype(int)[..., None], axis=1)
    assert np.abs(rows - wanted)[pad == 0].max() < 1e-5


@pytest.mark.parametrize("name", ["fuel3", "masked12"])
def test_reconstructions_equal_the_golden_ones(real_data: Path, name: str) -> None:
    stored = golden(real_data)
    with torch.inference_mode():
        channels, logits = real(real_data).reconstruct(case(stored, name))
    assert np.abs(channels.numpy() - stored[f"{name}__recon_x"]).max() < 1e-5
    assert np.abs(logits.numpy() - stored[f"{name}__recon_dw_logits"]).max() < 1e-4


def test_stored_tables_are_the_described_ones(real_data: Path) -> None:
    network = real(real_data)
    angle = 2 * np.pi * np.arange(12) / 12
    for table, width in ((network.encoder.month_embed.weight, 32), (network.decoder.month_embed.weight, 48)):
        expected = np.concatenate(
            [np.tile(np.sin(angle)[:, None], width // 2), np.tile(np.cos(angle)[:, None], width // 2)], 1
        )
        assert np.abs(table.detach().numpy() - expected).max() < 1e-6
    for table, width in ((network.encoder.pos_embed, 64), (network.decoder.pos_embed, 48)):
        place = np.arange(width)
        phase = np.arange(24)[:, None] / 1000 ** (2 * (place // 2) / width)
        expected = np.where(place % 2 == 0, np.sin(phase), np.cos(phase))
        assert np.abs(table[0].detach().numpy() - expected).max() < 1e-6
