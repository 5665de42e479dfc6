"""One contender of the race of training steps, in a process of its own: a plain torch loop, Lightning or TerraTorch.

Reads lines from standard input: ``go`` trains the same network on the same batches from the same weights and answers
with one line of JSON, anything else ends. The seconds of a step are those between two requests for a batch, so that
they hold all that a tool does in a step and nothing of what it does before and after.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

try:
    from peers.network import BANDS, network
except ModuleNotFoundError:  # run as a script, in the environment of a contender
    from network import BANDS, network

RATE, CLIP, IGNORE = 1e-3, 1.0, -100
MEAN, STD = 0.3, 0.2


class Batches:
    """Batches in memory, images ``(B, 6, H, W)`` and labels ``(B, H, W)`` of which a tenth is unknown.

    ``stamps`` are the times, by the clock and of this process's processor, at which each was taken.

    Args:
        steps: number of batches.
        batch: samples B.
        size: rows H and columns W.
        device: where everybody computes; a stamp waits until a graphics card has done what it was given.
    """

    def __init__(self, steps: int, batch: int, size: int, device: str = "cpu") -> None:
        source = torch.Generator().manual_seed(0)
        self.pairs = []
        for _ in range(steps):
            images = torch.rand(batch, BANDS, size, size, generator=source)
            labels = (images[:, 0] + images[:, 1] > 1).long()
            unknown = torch.rand(labels.shape, generator=source) < 0.1
            self.pairs.append((images, labels.masked_fill(unknown, IGNORE)))
        self.stamps: list[tuple[float, float]] = []
        self.device = device

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.stamps.clear()
        for pair in self.pairs:
            self._stamp()
            yield pair
        self._stamp()

    def _stamp(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.stamps.append((time.perf_counter(), time.process_time()))

    def mean(self, losses: list[float]) -> float:
        """Mean loss per known label over all batches."""
        counts = [int((labels != IGNORE).sum()) for _, labels in self.pairs]
        return sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)


class Standardised(nn.Module):
    """The network of the race behind standardised bands."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.network = network("unet").train()
        self.register_buffer("mean", torch.full((BANDS, 1, 1), MEAN))
        self.register_buffer("std", torch.full((BANDS, 1, 1), STD))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 6, H, W) to (B, 2, H, W)."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def plain(batches: Batches) -> tuple[list[float], nn.Module]:
    """What people write without a framework."""
    model = Standardised()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    losses = []
    for images, labels in batches:
        optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(images), labels, ignore_index=IGNORE)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        losses.append(loss.item())
    return losses, model


def averaged(batches: Batches) -> tuple[list[float], nn.Module]:
    """The same with an exponential moving average of the weights."""
    model = Standardised()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    losses = []
    for images, labels in batches:
        optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(images), labels, ignore_index=IGNORE)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        average.update_parameters(model)
        losses.append(loss.item())
    return losses, model


def trained(task: Any, batches: Any, device: str = "cpu", precision: str = "float32") -> None:
    """Lightning's loop, with everything off that a step does not need."""
    import lightning

    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator=device,
        precision={"float32": "32-true", "bfloat16": "bf16-mixed"}[precision],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=CLIP,
        gradient_clip_algorithm="norm",
    )
    trainer.fit(task, batches)


def lightning_turn(batches: Batches) -> tuple[list[float], nn.Module]:
    import shim  # noqa: F401, I001
    import lightning

    class Task(lightning.LightningModule):
        """The network of the race as Lightning wants it."""

        def __init__(self) -> None:
            super().__init__()
            self.model, self.losses = Standardised(), []

        def training_step(self, batch: tuple[Tensor, Tensor], position: int) -> Tensor:
            """Loss of a batch."""
            loss = nn.functional.cross_entropy(self.model(batch[0]), batch[1], ignore_index=IGNORE)
            self.losses.append(loss.detach())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            """AdamW, as everybody."""
            return torch.optim.AdamW(self.parameters(), lr=RATE, weight_decay=0.0)

    task = Task()
    trained(task, batches)
    return [float(loss) for loss in task.losses], task.model


def terratorch_turn(batches: Batches) -> tuple[list[float], nn.Module]:
    import shim  # noqa: F401
    from terratorch.models.model import ModelOutput
    from terratorch.tasks import SemanticSegmentationTask

    class Model(Standardised):
        """The network of the race as TerraTorch wants it."""

        def forward(self, images: Tensor) -> Any:
            """Logits in TerraTorch's wrapper."""
            return ModelOutput(output=super().forward(images))

    class Task(SemanticSegmentationTask):
        """TerraTorch's own task, which also keeps its losses."""

        def training_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
            """Loss of a batch."""
            loss = super().training_step(batch, batch_idx, dataloader_idx)
            self.losses.append(loss.detach())
            return loss

    class Named:
        """The batches as mappings, with which TerraTorch works."""

        def __len__(self) -> int:
            return len(batches)

        def __iter__(self) -> Iterator[dict[str, Tensor]]:
            for images, labels in batches:
                yield {"image": images, "mask": labels}

    task = Task(
        model=Model(),
        model_args={"num_classes": 2},
        loss="ce",
        ignore_index=IGNORE,
        lr=RATE,
        optimizer="AdamW",
        optimizer_hparams={"weight_decay": 0.0},
    )
    task.losses = []
    trained(task, Named())
    return [float(loss) for loss in task.losses], task.model


TURNS: dict[str, Callable[[Batches], tuple[list[float], nn.Module]]] = {
    "plain": plain,
    "averaged": averaged,
    "lightning": lightning_turn,
    "terratorch": terratorch_turn,
}


def peak_mb() -> float:
    """Peak resident memory in MiB; not ``ru_maxrss``, which a child inherits from its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def answer(turn: Callable[[Batches], tuple[list[float], nn.Module]], batches: Batches) -> dict[str, Any]:
    """One round: seconds of each step, mean loss, norm of the weights."""
    began = time.perf_counter()
    losses, model = turn(batches)
    wall = time.perf_counter() - began
    wall_s, cpu_s = (
        [after - before for before, after in pairwise(times)] for times in zip(*batches.stamps, strict=True)
    )
    norm = torch.stack([parameter.detach().norm() for parameter in model.parameters()]).norm()
    row = {"steps": wall_s, "cpu_steps": cpu_s, "wall_s": wall, "loss": batches.mean(losses), "norm": float(norm)}
    return {**row, "peak_rss_mb": peak_mb()}


def serve(turn: Callable[[Batches], tuple[list[float], nn.Module]], options: argparse.Namespace) -> None:
    """Answer until the race is over. What libraries print goes to standard error."""
    torch.set_num_threads(options.threads)
    batches = Batches(options.steps, options.batch, options.size)
    speak, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        if line.strip() != "go":
            break
        print(json.dumps(answer(turn, batches)), file=speak, flush=True)


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """Options that the race and all its contenders share."""
    parser.add_argument("--steps", type=int, default=12, help="steps per round; the first one is not counted")
    parser.add_argument("--batch", type=int, default=8, help="samples per step")
    parser.add_argument("--size", type=int, default=64, help="rows and columns, multiples of 8")
    parser.add_argument("--threads", type=int, default=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=tuple(TURNS))
    add_sizes(parser)
    options = parser.parse_args()
    serve(TURNS[options.contender], options)


if __name__ == "__main__":
    main()
