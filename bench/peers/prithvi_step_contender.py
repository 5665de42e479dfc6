"""One contender of the race of Prithvi's training steps in a process of its own: TerraTorch's task or its network.

The protocol is that of train_step_contender.py: ``go`` on standard input trains the same network on the same batches
from the same weights and answers with one line of JSON. Weights come by formula from the names of the published code
(tests/parity/parity_recipe.py), so that nothing but numbers has to be passed on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests" / "parity")]
import parity_recipe as recipe  # noqa: E402
import train_step_contender as steps  # noqa: E402
from network import BANDS  # noqa: E402

WORKS = ("full", "lora", "masked")
NETWORK, CLASSES = "prithvi_eo_v2_tiny_tl", 2
RATE, RANK, RATIO = 1e-4, 8, 0.75
_KEPT: dict[str, Tensor] = {}
Turn = Callable[["Series"], tuple[list[float], nn.Module]]


class Series(steps.Batches):
    """Series in memory, images ``(B, T, 6, H, W)``, labels ``(B, H, W)`` of which a tenth is unknown, noise ``(B, N)``.

    Args:
        options: steps, batch, size, dates and work.
        bands_first: images are ``(B, 6, T, H, W)``, as the published code wants them.

    ``peak_mb`` is the peak of memory when a batch was last asked for in the first turn, before anything was written.
    """

    def __init__(self, options: argparse.Namespace, *, bands_first: bool = False) -> None:
        super().__init__(0, options.batch, options.size, options.device)
        source = torch.Generator().manual_seed(0)
        self.masked, self.noise = options.work == "masked", []
        self.turns, self.peak_mb = 0, 0.0
        for _ in range(options.steps):
            images = torch.rand(options.batch, options.dates, BANDS, options.size, options.size, generator=source)
            labels = (images[:, 0, 0] + images[:, 0, 1] > 1).long()
            unknown = torch.rand(labels.shape, generator=source) < 0.1
            images = images.movedim(1, 2).contiguous() if bands_first else images
            self.pairs.append((images, labels.masked_fill(unknown, steps.IGNORE)))
            tokens = options.dates * (options.size // patch_of(options.network)) ** 2
            self.noise.append(torch.rand(options.batch, tokens, generator=source))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.turns += 1
        for pair in super().__iter__():
            self._note_peak()
            yield pair
        self._note_peak()

    def _note_peak(self) -> None:
        if self.turns == 1:
            self.peak_mb = steps.peak_mb()

    def numbered(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Number, images and labels of each step."""
        for number, (images, labels) in enumerate(self):
            yield number, images, labels

    def mean(self, losses: list[float]) -> float:
        """Mean loss per known label, or per hidden token, of which every step has as many."""
        return sum(losses) / len(losses) if self.masked else super().mean(losses)


def patch_of(network: str) -> int:
    """Side of a token in pixels."""
    return 14 if "_600" in network else 16


def set_weights(parameters: Iterator[tuple[str, Tensor]]) -> None:
    """Weights by the published names, in place."""
    keep = torch.cuda.is_available()  # large networks, and plenty of memory; on a processor it would be in the figures
    with torch.no_grad():
        for name, parameter in parameters:
            given = _KEPT.get(name)
            if given is None:
                given = torch.from_numpy(recipe.weight(name, tuple(parameter.shape)).astype(np.float32))
            parameter.copy_(given)
            if keep:
                _KEPT[name] = given


def plain_loop(
    batches: Series, model: nn.Module, loss_of: Callable[[int, Tensor, Tensor], Tensor], options: argparse.Namespace
) -> tuple[list[float], nn.Module]:
    """What people write without a framework, for a network of anybody."""
    half = options.precision == "bfloat16"
    model.to(options.device)
    learns = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learns, lr=RATE, weight_decay=0.0)
    losses = []
    for number, images, labels in batches.numbered():
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(options.device, dtype=torch.bfloat16, enabled=half):
            loss = loss_of(number, images.to(options.device), labels.to(options.device))
        loss.backward()
        nn.utils.clip_grad_norm_(learns, steps.CLIP)
        optimiser.step()
        losses.append(loss.item())
    return losses, model


class Standardised(nn.Module):
    """The published network behind standardised bands; images are ``(B, C, T, H, W)``."""

    mean: Tensor
    std: Tensor

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", torch.full((BANDS, 1, 1, 1), steps.MEAN))
        self.register_buffer("std", torch.full((BANDS, 1, 1, 1), steps.STD))

    def forward(self, images: Tensor) -> Any:
        """What the published network gives."""
        return self.inner((images - self.mean) / self.std)


class Published:
    """TerraTorch's network by its own factory: with a linear head, low-rank changes, or the decoder of pretraining."""

    def __init__(self, options: argparse.Namespace) -> None:
        import shim  # noqa: F401 (before torchvision)
        import terratorch.tasks  # noqa: F401

        self.options = options

    def network(self) -> Standardised:
        """With the weights of the race."""
        from terratorch.models import EncoderDecoderFactory, FullModelFactory

        options = self.options
        sizes = {"num_frames": options.dates, "img_size": options.size}
        if options.work == "masked":
            whole = FullModelFactory().build_model(f"{options.network}_mae", mask_ratio=RATIO, **sizes)
            set_weights(whole.named_parameters())
            return Standardised(whole)
        whole = EncoderDecoderFactory().build_model(
            "segmentation",
            options.network,
            "IdentityDecoder",
            backbone_kwargs={**sizes, "out_indices": [options.depth - 1]},
            num_classes=CLASSES,
            peft_config=self.low_rank() if options.work == "lora" else None,
        )
        encoder = whole.encoder.base_model.model if options.work == "lora" else whole.encoder
        names = ((name.replace(".base_layer.", "."), value) for name, value in encoder.named_parameters())
        set_weights((f"encoder.{name}", value) for name, value in names if "lora_" not in name)
        set_weights((f"head.{name.rpartition('.')[2]}", value) for name, value in whole.head.named_parameters())
        if options.work == "lora":
            set_weights(
                (f"blocks.{number}.low", block.attn.qkv.lora_A["default"].weight)
                for number, block in enumerate(encoder.blocks)
            )
        return Standardised(whole)

    @staticmethod
    def low_rank() -> dict[str, Any]:
        """Beside the joint layer of query, key and value, as swath has it."""
        kept = {"r": RANK, "lora_alpha": RANK, "lora_dropout": 0.0, "target_modules": ["qkv"]}
        return {"method": "LORA", "peft_config_kwargs": kept}

    def hide(self, model: Standardised, batches: Series) -> Callable[[int], None]:
        """Give the masks of the race to a masked autoencoder; what is returned chooses the step."""
        encoder: Any = model.inner.encoder
        masking, step = type(encoder).random_masking, [0]
        where = self.options.device
        encoder.random_masking = lambda tokens, ratio: masking(
            encoder, tokens, ratio, noise=batches.noise[step[0]].to(where)
        )
        return lambda number: step.__setitem__(0, number)


class PublishedAlone(Published):
    """TerraTorch's network in a plain loop."""

    def __call__(self, batches: Series) -> tuple[list[float], nn.Module]:
        """A turn."""
        model = self.network().train()
        choose = self.hide(model, batches) if batches.masked else None

        def loss_of(number: int, images: Tensor, labels: Tensor) -> Tensor:
            if choose is not None:
                choose(number)
                loss: Tensor = model(images)[0]["loss"]
                return loss
            return nn.functional.cross_entropy(model(images).output, labels, ignore_index=steps.IGNORE)

        return plain_loop(batches, model, loss_of, self.options)


class PublishedTask(Published):
    """TerraTorch's network in TerraTorch's task and Lightning's loop."""

    def __call__(self, batches: Series) -> tuple[list[float], nn.Module]:
        """A turn."""
        model = self.network().train()
        choose = self.hide(model, batches) if batches.masked else None
        task = _reconstruction(model) if batches.masked else _segmentation(model)
        losses: list[Tensor] = []
        inner = task.training_step

        def training_step(batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
            loss: Tensor = inner(batch, batch_idx, dataloader_idx)
            losses.append(loss.detach())
            return loss

        task.training_step = training_step
        steps.trained(task, _Named(batches, choose), self.options.device, self.options.precision)
        return [float(loss) for loss in losses], model


def _segmentation(model: Standardised) -> Any:
    from terratorch.tasks import SemanticSegmentationTask

    return SemanticSegmentationTask(
        model=model,
        model_args={"num_classes": CLASSES},
        loss="ce",
        ignore_index=steps.IGNORE,
        lr=RATE,
        optimizer="AdamW",
        optimizer_hparams={"weight_decay": 0.0},
    )


def _reconstruction(model: Standardised) -> Any:
    from terratorch.tasks.reconstruction_tasks import ReconstructionTask

    class Task(ReconstructionTask):
        """TerraTorch's own task, metrics included, with a network that is there already."""

        def configure_models(self) -> None:
            """Nothing is left to do."""
            self.model = model

        def configure_optimizers(self) -> torch.optim.Optimizer:
            """AdamW, as everybody; TerraTorch's own interface on the command line sets it the same way."""
            return torch.optim.AdamW(self.parameters(), lr=RATE, weight_decay=0.0)

    return Task(model_factory="FullModelFactory", model_args={}, lr=RATE)


class _Named:
    """The batches as mappings, with which TerraTorch works."""

    def __init__(self, batches: Series, choose: Callable[[int], None] | None) -> None:
        self.batches, self.choose = batches, choose

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for number, images, labels in self.batches.numbered():
            if self.choose is not None:
                self.choose(number)
                yield {"image": images}
            else:
                yield {"image": images, "mask": labels}


def resident_mb() -> float:
    """Resident memory now in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def serve(turn: Turn, batches: Series, options: argparse.Namespace) -> None:
    """Answer until the race is over. What libraries print goes to standard error."""
    import torch._dynamo  # the first optimiser of a process imports it, which is no memory of a step

    torch.set_num_threads(options.threads)
    before, counts = resident_mb(), {}

    def counted(_: Any) -> tuple[list[float], nn.Module]:
        losses, model = turn(batches)
        sizes = [(each.numel(), each.requires_grad) for each in model.parameters()]
        counts.update(parameters=sum(size for size, _ in sizes), learn=sum(size for size, learns in sizes if learns))
        return losses, model

    speak, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        if line.strip() != "go":
            break
        row = steps.answer(counted, batches)
        if options.device == "cuda":
            row["card_mb"] = torch.cuda.max_memory_allocated() / 2**20
        row |= {"over_imports_mb": row["peak_rss_mb"] - before, "stepping_mb": batches.peak_mb - before, **counts}
        print(json.dumps(row), file=speak, flush=True)


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """Options that the race and all its contenders share."""
    parser.add_argument("--work", choices=WORKS, default="full", help="all weights, low-rank changes, or pretraining")
    parser.add_argument("--dates", type=int, default=1, help="dates T of a sample")
    parser.add_argument("--steps", type=int, default=4, help="steps per round; the first one is not counted")
    parser.add_argument("--batch", type=int, default=4, help="samples per step")
    parser.add_argument("--size", type=int, default=224, help="rows and columns, multiples of 16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--network", default=NETWORK, help="a published size of Prithvi")
    parser.add_argument("--depth", type=int, default=12, help="its blocks")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=("terratorch", "terratorch_plain"))
    parser.add_argument("--beside", type=Path, help="packages that stand last on the path: peft and what it needs")
    add_sizes(parser)
    options = parser.parse_args()
    if options.beside is not None:
        sys.path.append(str(options.beside))
    made = {"terratorch": PublishedTask, "terratorch_plain": PublishedAlone}[options.contender](options)
    serve(made, Series(options, bands_first=True), options)


if __name__ == "__main__":
    main()
