"""Published sizes on a graphics card: do they agree with the processor, how fast are they, what do they take.

For every size: one sample of its published shape on the processor and on the card (32 bits, then bfloat16), with the
same weights; images a second of the encoder alone; steps of masked pretraining with AdamW in bfloat16, where the loss
has to fall on a batch that does not change; and the peak of the card's memory in such steps beyond the weights. Numbers
are random and weights are as at the start of training: the speed of a network does not depend on either. Where
TerraTorch can be imported by the same interpreter, its network gets the same weights and does the same, in turns.

Prints a line of JSON per size and a table.

    python bench/graphics_card.py
    python bench/graphics_card.py prithvi_eo_v2_300_tl --batch 32 --seconds 5
    python bench/graphics_card.py prithvi_eo_v2_tiny_tl --device cpu --batch 1 --side 32 --seconds 0
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from swath.models import satmaepp, sizes
from swath.models.prithvi_keys import published_name
from swath.nn.grouped import GroupedAutoencoder
from swath.nn.masked_autoencoder import MaskedAutoencoder
from swath.nn.masking import random_mask
from swath.nn.time_place import TimePlace

sys.path.insert(0, str(Path(__file__).parent / "peers"))
RATE, RATIO = 1e-4, 0.75


class Ours:
    """A published size of swath with a batch of its published shape.

    Args:
        name: of the size.
        device: where it computes.
        side: rows and columns of images for Prithvi.
    """

    def __init__(self, name: str, device: str, side: int) -> None:
        self.name, self.device, self.side = name, device, side
        torch.manual_seed(0)
        self.network = sizes.build(name, device=device)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample: dates, bands, rows and columns; without dates for SatMAE++."""
        if isinstance(self.network, MaskedAutoencoder):
            return (self.network.spec.dates, self.network.spec.bands, self.side, self.side)
        side = satmaepp.SIDES[self.name]
        return (cast(GroupedAutoencoder, self.network).encoder_spec.bands, side, side)

    def images(self, batch: int) -> Tensor:
        """Random numbers ``(B, *shape)``, the same on every device."""
        return torch.randn(batch, *self.shape, generator=torch.Generator().manual_seed(1)).to(self.device)

    def tokens(self, images: Tensor) -> int:
        """Tokens of a sample."""
        if isinstance(self.network, MaskedAutoencoder):
            _, rows, columns = self.network.spec.patch
            return images.shape[1] * (images.shape[3] // rows) * (images.shape[4] // columns)
        network = cast(GroupedAutoencoder, self.network)
        return len(network.encoder_spec.groups) * int(np.prod(network.grid(images)))

    def encode(self, images: Tensor) -> Tensor:
        """Tokens after the last block."""
        if isinstance(self.network, MaskedAutoencoder):
            return cast(Tensor, self.network.encoder(images, self._about(images)).maps[-1])
        return cast(Tensor, cast(GroupedAutoencoder, self.network).encoder(images).maps[-1])

    def loss(self, images: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of what was hidden; of SatMAE++ at all its scales, the finer ones made from the coarse."""
        mask = random_mask(noise, RATIO)
        if isinstance(self.network, MaskedAutoencoder):
            found = self.network(images, mask, about=self._about(images)).loss
            return cast(Tensor, found.total / found.count)
        made = cast(GroupedAutoencoder, self.network)(images, mask)
        total = (made.image - images).square().mean()
        for larger in made.larger:
            target = nn.functional.interpolate(images, larger.shape[-2:], mode="nearest")
            total = total + (larger - target).abs().mean()
        return cast(Tensor, total)

    def _about(self, images: Tensor) -> TimePlace | None:
        spec = cast(MaskedAutoencoder, self.network).spec
        return TimePlace.unknown(len(images)).to(images.device) if spec.conditions else None


class Theirs:
    """TerraTorch's network with the weights of ours."""

    def __init__(self, ours: Ours) -> None:
        import shim  # noqa: F401 (before torchvision)
        from terratorch.models.backbones import prithvi_mae

        torch.set_float32_matmul_precision("highest")  # the import asks for less, of everybody in the process
        spec = cast(MaskedAutoencoder, ours.network).spec
        with torch.device(ours.device):
            self.network: Any = prithvi_mae.PrithviMAE(
                img_size=ours.side,
                patch_size=spec.patch,
                num_frames=spec.dates,
                in_chans=spec.bands,
                embed_dim=spec.width,
                depth=spec.depth,
                num_heads=spec.heads,
                decoder_embed_dim=spec.decoder_width,
                decoder_depth=spec.decoder_depth,
                decoder_num_heads=spec.decoder_heads,
                coords_encoding=list(spec.conditions and ("time", "location")),
                coords_scale_learn=bool(spec.conditions),
            )
        self.network.to(ours.device)
        given = {published_name(name): value for name, value in ours.network.named_parameters()}
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(given[name])
        self.noise: Tensor | None = None
        masking = self.network.encoder.random_masking
        self.network.encoder.random_masking = lambda tokens, ratio: masking(tokens, ratio, noise=self.noise)

    def encode(self, images: Tensor) -> Tensor:
        """As ours: ``(B, 1 + N, D)``."""
        return cast(Tensor, self.network.forward_features(images.movedim(2, 1))[-1])

    def loss(self, images: Tensor, noise: Tensor) -> Tensor:
        """As ours."""
        self.noise = noise
        return cast(Tensor, self.network(images.movedim(2, 1), None, None, mask_ratio=RATIO)[0]["loss"])


def seconds_of(work: Callable[[], object], device: str, seconds: float) -> float:
    """Median seconds of a call, after three that warm up."""
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < 8 or (time.perf_counter() - began < seconds and len(taken) < 200):
        before = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - before)
    return float(np.median(taken[3:]))


def half(device: str, wanted: bool) -> torch.autocast:
    """Bfloat16 where it is wanted."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=wanted)


def learning(made: Ours | Theirs, images: Tensor, noise: Tensor, options: argparse.Namespace) -> dict[str, float]:
    """Steps of pretraining on one batch: seconds of a step, first and last loss, peak of memory."""
    network = made.network.train()
    optimiser = torch.optim.AdamW([each for each in network.parameters() if each.requires_grad], lr=RATE)
    losses = []

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with half(options.device, options.device == "cuda"):
            loss = made.loss(images, noise)
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())

    before = 0
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    taken = seconds_of(step, options.device, options.seconds)
    peak = (torch.cuda.max_memory_allocated() - before) / 2**30 if options.device == "cuda" else float("nan")
    network.zero_grad(set_to_none=True)
    return {"step_s": taken, "first_loss": float(losses[0]), "last_loss": float(losses[-1]), "peak_gib": peak}


@torch.no_grad()
def encoding(made: Ours | Theirs, images: Tensor, options: argparse.Namespace) -> dict[str, float]:
    """Images a second of the encoder, with 32 bits and with 16."""
    made.network.eval()
    rates = {}
    for name, wanted in (("float32", False), ("bfloat16", True)):
        if wanted and options.device == "cpu":
            continue
        with half(options.device, wanted):
            taken = seconds_of(lambda: made.encode(images), options.device, options.seconds)
        rates[f"encode_{name}_per_s"] = len(images) / taken
    return rates


@torch.no_grad()
def agreement(name: str, device: str, image: int) -> dict[str, float]:
    """Largest difference of features and relative difference of the loss between processor and device."""
    base, other = Ours(name, "cpu", image), Ours(name, "meta", image)
    base.network.eval()
    torch.backends.cudnn.allow_tf32 = False  # or convolutions round their inputs to 11 bits
    images = base.images(1)
    noise = torch.rand(1, base.tokens(images), generator=torch.Generator().manual_seed(2))
    features, loss = base.encode(images), base.loss(images, noise)
    other.network, other.device = base.network.to(device), device
    found = {}
    for label, wanted in (("float32", False), ("bfloat16", True)):
        with half(device, wanted and device == "cuda"):
            own = other.encode(images.to(device)).float().cpu()
            own_loss = other.loss(images.to(device), noise.to(device)).float().cpu()
        found[f"features_{label}"] = float((own - features).norm() / features.norm())
        found[f"loss_{label}"] = float((own_loss / loss - 1).abs())
    torch.backends.cudnn.allow_tf32 = True
    return found


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A row of the table."""
    row: dict[str, Any] = {"bench": "graphics_card", "network": name, "batch": options.batch, **card(options.device)}
    row |= {"parameters": dict(sizes.describe(name))["total"], **agreement(name, options.device, options.side)}
    ours = Ours(name, options.device, options.side)
    images = ours.images(options.batch)
    noise = torch.rand(len(images), ours.tokens(images), generator=torch.Generator().manual_seed(2)).to(options.device)
    contenders: dict[str, Ours | Theirs] = {"": ours}
    if options.peer and isinstance(ours.network, MaskedAutoencoder):
        contenders["terratorch_"] = Theirs(ours)
    for prefix, made in contenders.items():
        row |= {f"{prefix}{key}": value for key, value in encoding(made, images, options).items()}
    for prefix, made in contenders.items():
        row |= {f"{prefix}{key}": value for key, value in learning(made, images, noise, options).items()}
    row |= {"shape": list(ours.shape), "learns": row["last_loss"] < row["first_loss"]}
    return row


def card(device: str) -> dict[str, str]:
    """What computes."""
    name = torch.cuda.get_device_name() if device == "cuda" else "processor"
    return {"device": name, "torch": torch.__version__}


def table(rows: list[dict[str, Any]]) -> None:
    """One line a size."""
    print(
        "size | sample | parameters | features and loss off in 32 bits | in bfloat16 | encoder images/s 32 bits, "
        "bfloat16 | step images/s | GiB | of TerraTorch: speed of encoder 32, 16, speed of step, memory"
    )
    for row in rows:
        near = [f"{row[f'{what}_{bits}']:.0e}" for bits in ("float32", "bfloat16") for what in ("features", "loss")]
        speeds = [row.get(f"encode_{bits}_per_s", float("nan")) for bits in ("float32", "bfloat16")]
        text = (
            f"{row['network']} | {'x'.join(map(str, row['shape']))} | {row['parameters']:,} | {near[0]}, {near[1]} | "
            f"{near[2]}, {near[3]} | {speeds[0]:.0f}, {speeds[1]:.0f} | {row['batch'] / row['step_s']:.1f} | "
            f"{row['peak_gib']:.1f} | "
        )
        if "terratorch_step_s" in row:
            other = [row.get(f"terratorch_encode_{bits}_per_s", float("nan")) for bits in ("float32", "bfloat16")]
            text += (
                f"{speeds[0] / other[0]:.2f}, {speeds[1] / other[1]:.2f}, "
                f"{row['terratorch_step_s'] / row['step_s']:.2f}, {row['peak_gib'] / row['terratorch_peak_gib']:.2f}; "
                f"first losses {row['first_loss']:.5f} {row['terratorch_first_loss']:.5f}"
            )
        print(text + ("" if row["learns"] else " THE LOSS DOES NOT FALL"))


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=[*sizes.PRITHVI, *satmaepp.NAMES])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=224, help="rows and columns of images for Prithvi")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    parser.add_argument("--peer", action="store_true", help="also TerraTorch, which this interpreter has to have")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if options.device == "cuda":
        measure("prithvi_eo_v2_tiny_tl", options)  # the first kernels of a process take their time
    for name in options.networks:
        rows.append(measure(name, options))
        print(json.dumps(rows[-1]), flush=True)
        if options.device == "cuda":
            torch.cuda.empty_cache()
    table(rows)


if __name__ == "__main__":
    main()
