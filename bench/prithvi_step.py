"""The race of Prithvi's training steps: swath against TerraTorch, network and loop.

The network has the shape of ``prithvi_eo_v2_tiny_tl`` (5.6 million weights without the decoder of pretraining) at 224
pixels, or of ``--network``: ``full`` fine-tunes all of it under a linear head for segmentation, ``lora`` a change of
rank 8 beside query, key and value, and ``masked`` is a step of pretraining with its decoder (three quarters of the
tokens hidden).
TerraTorch builds its network by its own factory. Everybody has the same weights, batches in memory, masks, AdamW,
clipping to norm 1 and threads; losses and weights at the end of a turn have to agree, or the race is void. ``plain`` is
either network in the same loop of a few lines, so that network and loop can be told apart. Each contender is a process
that lives through the race; in every round each has one turn, in an order that turns.

Prints one line of JSON per turn and a table: seconds per step (median over rounds of the round's median), the ratio to
TerraTorch's task with a 95 % t interval over rounds, and peak resident memory: in all, and beyond imports and batches
once while stepping (in the first turn) and once in all, when ``fit`` has also written its checkpoint.

    python bench/prithvi_step.py --work full --dates 1
    python bench/prithvi_step.py --work masked --dates 3 --batch 2
    python bench/prithvi_step.py --network prithvi_eo_v2_300_tl --device cuda --precision bfloat16 --batch 16
    python bench/prithvi_step.py --quick
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine
from odc.geo.geobox import GeoBox
from peers import prithvi_step_contender as peer
from peers.environments import interpreter
from peers.network import BANDS
from peers.train_step_contender import CLIP, IGNORE, MEAN, STD
from torch import Tensor, nn
from turns import race, ratio

from swath.learn import FitConfig, fit
from swath.learn.goals import LabelGoal
from swath.learn.intake import Intake
from swath.learn.model_task import ModelTask
from swath.learn.objectives.masked import MaskedReconstruction, MaskingOptions
from swath.learn.transferred import TransferredNetwork
from swath.models import sizes
from swath.models.prithvi_keys import published_name
from swath.nn import Normalise
from swath.nn.masked_autoencoder import MaskedAutoencoder
from swath.nn.masking import random_mask
from swath.nn.time_place import TimePlace
from swath.nn.tuning import adapt
from swath.sensors import BandSet
from swath.types import Batch, Modality

CONTENDERS = ("terratorch", "swath", "terratorch_plain", "swath_plain")
NAMES = BandSet.of(*(f"band {number}" for number in range(BANDS)))
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
"""Of losses and norms of weights, relative; eight bits say less."""


def network_for_maps(options: argparse.Namespace) -> TransferredNetwork:
    """The encoder under a linear head, with the weights of the race."""
    spec = replace(sizes.PRITHVI[options.network], dates=options.dates)
    inputs = {"image": {"bands": BANDS, "dates": options.dates}}
    # The published neck puts dates side by side as channels, date by date; ours goes channel by channel.
    join = "channels" if options.dates > 1 else "mean"
    network = TransferredNetwork(inputs, peer.CLASSES, asdict(spec), head="linear", join=join)
    encoder = network.body.encoder.named_parameters()
    peer.set_weights((published_name(f"encoder.{name}"), value) for name, value in encoder)
    head = network.body.head.named_parameters()
    peer.set_weights((f"head.{name.rpartition('.')[2]}", value) for name, value in head)
    weight = network.body.head.output.weight
    with torch.no_grad():
        weight.copy_(weight.unflatten(1, (options.dates, spec.width)).transpose(1, 2).reshape(weight.shape))
    if options.work == "lora":
        adapt(network, "lora", rank=peer.RANK, scale=peer.RANK, targets=("qkv",), train=("body.head",))
        blocks = enumerate(network.body.encoder.blocks)
        peer.set_weights((f"blocks.{number}.low", block.attention.qkv.low_down) for number, block in blocks)
    return network.train()


def network_of_pretraining(options: argparse.Namespace) -> MaskedAutoencoder:
    """Encoder and decoder, with the weights of the race."""
    network = MaskedAutoencoder(replace(sizes.PRITHVI[options.network], dates=options.dates))
    peer.set_weights((published_name(name), value) for name, value in network.named_parameters())
    return network.train()


class Objective(MaskedReconstruction):
    """The objective with the masks of the race; time and place are told to nobody."""

    def __init__(self, network: MaskedAutoencoder, noise: list[Tensor]) -> None:
        told = MaskingOptions(ratio=peer.RATIO, drop_metadata=1.0)
        super().__init__(network, Normalise([MEAN] * BANDS, [STD] * BANDS, names=NAMES.names), NAMES, told)
        self.noise, self.number = noise, 0

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """As ever."""
        self.number = int(batch.ids[0].partition("-")[0])
        return super().loss(batch, rng)

    def _mask(self, images: Tensor, rng: torch.Generator) -> Any:
        return random_mask(self.noise[self.number].to(images.device), peer.RATIO)


class Loader:
    """The batches of the race as ``fit`` wants them; made once, like those of everybody."""

    def __init__(self, batches: peer.Series) -> None:
        self.batches = batches
        self.made = []
        for number, (images, labels) in enumerate(batches.pairs):
            box = GeoBox(images.shape[-2:], Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
            time = torch.full(images.shape[:2], 1_600_000_000)
            valid = torch.ones_like(images, dtype=torch.bool)
            image = Modality(images, valid, NAMES, time, (box,) * len(images))
            ids = tuple(f"{number}-{sample}" for sample in range(len(images)))
            known = {} if batches.masked else {"label": labels != IGNORE}
            self.made.append(Batch({"image": image}, {} if batches.masked else {"label": labels}, known, ids))

    def __len__(self) -> int:
        return len(self.made)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches, with the stamps of the race."""
        for batch, _ in zip(self.made, self.batches, strict=True):
            yield batch


class Ours:
    """A turn of ``fit`` with swath's network."""

    def __init__(self, options: argparse.Namespace, batches: peer.Series) -> None:
        self.options, self.loader = options, Loader(batches)
        self.config = FitConfig(
            epochs=1,
            learning_rate=peer.RATE,
            final_share=1.0,
            warmup_share=0.0,
            weight_decay=0.0,
            clip_norm=CLIP,
            ema_decay=None,
            threads=options.threads,
            device=options.device,
            precision=options.precision,
        )

    def __call__(self, batches: peer.Series) -> tuple[list[float], nn.Module]:
        """Mean loss of the epoch, for every batch, and the network."""
        task: Any
        if batches.masked:
            task = Objective(network_of_pretraining(self.options), batches.noise)
        else:
            normalise = {"image": Normalise([MEAN] * BANDS, [STD] * BANDS, names=NAMES.names)}
            intake = Intake({"image": NAMES}, normalise, {"image": self.options.dates})
            task = ModelTask(network_for_maps(self.options), LabelGoal("segmentation", ("no", "yes")), intake)
        with tempfile.TemporaryDirectory() as out:
            result = fit(task, self.loader, config=self.config, out=out, seed=0, progress=False)
        return [result.history[0]["loss"]] * len(batches), task


def ours_alone(options: argparse.Namespace) -> Callable[[peer.Series], tuple[list[float], nn.Module]]:
    """A turn of swath's network in a plain loop."""

    def turn(batches: peer.Series) -> tuple[list[float], nn.Module]:
        normalise = Normalise([MEAN] * BANDS, [STD] * BANDS, names=NAMES.names)
        model: Any = network_of_pretraining(options) if batches.masked else network_for_maps(options)

        def loss_of(number: int, images: Tensor, labels: Tensor) -> Tensor:
            image = normalise.to(images.device)(images, torch.ones_like(images, dtype=torch.bool))
            if batches.masked:
                unknown = TimePlace.unknown(len(image)).to(images.device)
                mask = random_mask(batches.noise[number].to(images.device), peer.RATIO)
                found = model(image, mask, about=unknown).loss
                loss: Tensor = found.total / found.count
                return loss
            return nn.functional.cross_entropy(model.body(image), labels, ignore_index=IGNORE)

        return peer.plain_loop(batches, model, loss_of, options)

    return turn


def command(name: str, options: argparse.Namespace) -> list[str]:
    """How a contender is started."""
    same = ("work", "dates", "steps", "batch", "size", "threads", "network", "depth", "device", "precision")
    sizes_ = [f"--{each}={getattr(options, each)}" for each in same]
    if name.startswith("swath"):
        return [sys.executable, "-W", "ignore", __file__, "--turn", name, *sizes_]
    python = str(interpreter("terratorch", options.peers))
    beside = []
    if options.work == "lora":
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        own = [str(interpreter("peft", options.peers)), "-c", where]
        beside = ["--beside", subprocess.run(own, capture_output=True, text=True, check=True).stdout.strip()]
    script = Path(__file__).parent / "peers" / "prithvi_step_contender.py"
    return [python, "-W", "ignore", str(script), name, *sizes_, *beside]


def finish(row: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The row of a round, without its first step."""
    seconds, busy = row.pop("steps")[1:], row.pop("cpu_steps")[1:]
    row |= {"bench": "prithvi_step", "work": options.work, "dates": options.dates, "network": options.network}
    row |= {"device": options.device, "precision": options.precision}
    return {**row, "step_s": float(np.median(seconds)), "step_cpu_s": float(np.median(busy))}


def table(rows: list[dict[str, Any]]) -> bool:
    """Every contender beside TerraTorch's task, or the first one there is; whether all did the same work."""
    same = True
    names = [name for name in CONTENDERS if any(row["contender"] == name for row in rows)]
    base = {row["round"]: row for row in rows if row["contender"] == names[0]} if names else {}
    for name in names:
        both = [row for row in rows if row["contender"] == name and row["round"] in base]
        pairs = [(row, base[row["round"]]) for row in both]
        far = max(abs(own[key] / other[key] - 1) for own, other in pairs for key in ("loss", "norm"))
        counts = all(own[key] == other[key] for own, other in pairs for key in ("parameters", "learn"))
        wall, busy = (
            ratio([own[key] for own, _ in pairs], [other[key] for _, other in pairs])
            for key in ("step_s", "step_cpu_s")
        )
        card = f", on the card {both[-1]['card_mb']:.0f}" if "card_mb" in both[-1] else ""
        right = far < TOLERANCE[both[0]["precision"]] and counts
        same = same and right
        print(
            f"{name:17s} median {np.median([row['step_s'] for row in both]):.3f} s  to {names[0]}: clock {wall}, "
            f"processor {busy}  peak {max(row['peak_rss_mb'] for row in both):.0f} MiB, "
            f"over imports {both[0]['stepping_mb']:.0f} while stepping and "
            f"{max(row['over_imports_mb'] for row in both):.0f} in all"
            f"{card}  {both[0]['parameters']:,} weights, "
            f"{both[0]['learn']:,} learn  loss {both[0]['loss']:.5f}, loss and norm within {far:.0e}"
            f"{'' if right else ': NOT THE SAME WORK'}"
        )
    return same


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer.add_sizes(parser)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--contenders", nargs="*", default=CONTENDERS, choices=CONTENDERS)
    parser.add_argument("--peers", type=Path, help="folder of environments; default bench/peers/.env, made when absent")
    parser.add_argument("--quick", action="store_true", help="swath alone on 32 pixels, one thread: does it run")
    parser.add_argument("--turn", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.depth = sizes.PRITHVI[options.network].depth
    if options.quick:
        options.size, options.batch, options.steps, options.rounds, options.threads = 32, 2, 2, 1, 1
        options.contenders = [name for name in options.contenders if name.startswith("swath")]
    if options.turn:
        batches = peer.Series(options)
        peer.serve(Ours(options, batches) if options.turn == "swath" else ours_alone(options), batches, options)
    else:
        commands = {name: command(name, options) for name in options.contenders}
        table(race(commands, options.rounds, partial(finish, options=options)))


if __name__ == "__main__":
    main()
