"""The race of training steps: ``swath.learn.fit`` against a plain torch loop, Lightning and TerraTorch.

Everybody trains the same U-Net of one million parameters from the same weights on the same batches in memory, with
AdamW at a constant rate, gradients clipped to norm 1, and the loss over known labels alone. Each contender is a process
that lives through the whole race; in every round each has one turn, in an order that turns, so that a busy machine hits
all alike. ``swath averaged`` and ``averaged`` also keep the moving average of the weights that swath keeps by default
(``AveragedModel`` in the plain loop). Losses and weights at the end of a turn have to agree, or the race is void.

Prints one line of JSON per turn and a table: seconds per step (smallest, median over rounds of the round's median), and
the ratio to the plain loop with a 95 % t interval over rounds, by the clock and in seconds of the processor, which
other jobs on the machine disturb less.

    python bench/train_step.py --rounds 12
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine
from odc.geo.geobox import GeoBox
from peers import train_step_contender as peer
from peers.environments import interpreter
from peers.network import BANDS, SmallUNet
from torch import nn
from turns import race, ratio

from swath.learn import FitConfig, SegmentationLoss, SegmentationTask, fit
from swath.learn.record import ARCHITECTURES
from swath.nn import Normalise
from swath.sensors import BandSet
from swath.types import Batch, Modality

HERE = Path(__file__).parent
OWN, PEERS = ("swath", "swath averaged"), {"lightning": "terratorch", "terratorch": "terratorch"}
CONTENDERS = ("plain", "swath", "lightning", "terratorch", "averaged", "swath averaged")
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Shape:
    """What a checkpoint notes of the network."""

    in_channels: int = BANDS
    out_channels: int = 2


class OurUNet(SmallUNet):
    """The network of the race with the note that checkpoints want."""

    def __init__(self, in_channels: int = BANDS, out_channels: int = 2) -> None:
        super().__init__()
        self.spec = Shape(in_channels, out_channels)


ARCHITECTURES["race"] = f"{OurUNet.__module__}:OurUNet"


class Loader:
    """The batches of the race as ``fit`` wants them; made once, like those of everybody."""

    def __init__(self, batches: peer.Batches, bands: BandSet) -> None:
        self.batches = batches
        self.made = []
        for images, labels in batches.pairs:
            size = images.shape[-1]
            box = GeoBox((size, size), Affine(10, 0, 0, 0, -10, 0), "EPSG:32633")
            values, time = images[:, None], torch.zeros(len(images), 1, dtype=torch.int64)
            valid = torch.ones_like(values, dtype=torch.bool)
            image = Modality(values, valid, bands, time, (box,) * len(images))
            ids = tuple(f"{len(self.made)}-{sample}" for sample in range(len(images)))
            self.made.append(Batch({"image": image}, {"label": labels}, {"label": labels != peer.IGNORE}, ids))

    def __len__(self) -> int:
        return len(self.made)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches, with the stamps of the race."""
        for batch, _ in zip(self.made, self.batches, strict=True):
            yield batch


class Ours:
    """A turn of ``fit``."""

    def __init__(self, options: argparse.Namespace, decay: float | None) -> None:
        self.bands, self.loader = BandSet.of(*(f"band {number}" for number in range(BANDS))), None
        self.config = FitConfig(
            epochs=1,
            learning_rate=peer.RATE,
            final_share=1.0,
            warmup_share=0.0,
            weight_decay=0.0,
            clip_norm=peer.CLIP,
            ema_decay=decay,
            threads=options.threads,
        )

    def __call__(self, batches: peer.Batches) -> tuple[list[float], nn.Module]:
        """Mean loss of the epoch, for every batch, and the network."""
        self.loader = self.loader or Loader(batches, self.bands)
        torch.manual_seed(0)
        normalise = Normalise([peer.MEAN] * BANDS, [peer.STD] * BANDS, names=self.bands.names)
        task = SegmentationTask(OurUNet(), normalise, self.bands, ("no", "yes"), loss=SegmentationLoss())
        with tempfile.TemporaryDirectory() as out:
            result = fit(task, self.loader, config=self.config, out=out, seed=0, progress=False)
        return [result.history[0]["loss"]] * len(batches), task


def command(name: str, options: argparse.Namespace) -> list[str]:
    """How a contender is started."""
    sizes = [f"--{each}={getattr(options, each)}" for each in ("steps", "batch", "size", "threads")]
    if name in OWN:
        return [sys.executable, __file__, "--turn", name, *sizes]
    python = str(interpreter(PEERS[name], options.peers)) if name in PEERS else sys.executable
    return [python, "-W", "ignore", str(HERE / "peers" / "train_step_contender.py"), name, *sizes]


def finish(row: dict[str, Any]) -> dict[str, Any]:
    """The row of a round, without its first step."""
    seconds, busy = row.pop("steps")[1:], row.pop("cpu_steps")[1:]
    row |= {"bench": "train_step", "step_s": float(np.median(seconds)), "least_s": min(seconds)}
    return {**row, "step_cpu_s": float(np.median(busy))}


def table(rows: list[dict[str, Any]]) -> None:
    """Every contender beside the plain loop that does the same work."""
    found = {name: [row for row in rows if row["contender"] == name] for name in CONTENDERS}
    for name, mine in found.items():
        like = "averaged" if name.endswith("averaged") else "plain"
        base = {row["round"]: row for row in found[like]}
        both = [row for row in mine if row["round"] in base]
        if not both:
            continue
        # Where an average is kept, the weights that are left are the average, of which each has its own start.
        checked = ("loss",) if like == "averaged" else ("loss", "norm")
        far = max(abs(row[key] / base[row["round"]][key] - 1) for row in both for key in checked)
        wall, busy = (
            ratio([row[key] for row in both], [base[row["round"]][key] for row in both])
            for key in ("step_s", "step_cpu_s")
        )
        print(
            f"{name:15s} least {min(row['least_s'] for row in mine):.4f} s  "
            f"median {np.median([row['step_s'] for row in mine]):.4f} s  to {like}: clock {wall}, processor {busy}  "
            f"peak {max(row['peak_rss_mb'] for row in mine):.0f} MiB  "
            f"{' and '.join(checked)} within {far:.0e}{'' if far < TOLERANCE else ': NOT THE SAME WORK'}"
        )


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer.add_sizes(parser)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--contenders", nargs="*", default=CONTENDERS, choices=CONTENDERS)
    parser.add_argument("--peers", type=Path, help="folder of environments; default bench/peers/.env, made when absent")
    parser.add_argument("--turn", choices=OWN, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        peer.serve(Ours(options, 0.99 if options.turn.endswith("averaged") else None), options)
    else:
        commands = {name: command(name, options) for name in options.contenders}
        table(race(commands, options.rounds, finish))


if __name__ == "__main__":
    main()
