"""The race of inference: torch against onnxruntime and OpenVINO, float32 and int8, on tiles of 224 pixels.

``vit`` has the shape of ``prithvi_eo_v2_tiny_tl`` under a linear head, ``unet`` is swath's U-Net of default size; both
learn four classes of simulated smooth fields for a moment, so that classes differ by more than rounding. ``swath
export`` writes the graph with its normalisation, onnxruntime runs it in float32 and in swath's int8, OpenVINO (in an
environment of its own) in float32 and in the int8 of its own tool NNCF, both with ranges from the same tiles. torch
runs eagerly without its inference mode, with it, as ``swath predict`` does, and with channels last; bfloat16 only where
the processor computes in it, for elsewhere it is many times slower. Each contender is a process that lives through the
race and has one turn per round, in an order that turns.

Prints one line of JSON per turn and a table: input megapixels a second (median over rounds), the ratio to eager torch
with a 95 % t interval over rounds, the largest difference to it over its largest logit, and the share of pixels that
keep their class.

    python bench/inference.py --network vit
    python bench/inference.py --network unet
    python bench/inference.py --quick
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from peers import inference_contender as peer
from peers.environments import interpreter
from torch import Tensor, nn
from turns import race, ratio

from swath.learn import SegmentationTask
from swath.models import sizes
from swath.nn import Normalise, UNet
from swath.nn.heads import LinearHead
from swath.nn.space_time import SpaceTimeEncoder
from swath.predict.export import OnnxPredictor, quantise, write_onnx
from swath.sensors import BandSet
from swath.types import Batch, Features, Modality

BANDS, CLASSES, MEAN, STD = 6, 4, 0.3, 0.2
NAMES = BandSet.of(*(f"band {number}" for number in range(BANDS)))
CONTENDERS = (
    "torch",
    "torch_inference_mode",
    "torch_channels_last",
    "torch_bf16",
    "onnxruntime",
    "onnxruntime_int8",
    "openvino",
    "openvino_int8",
)


class Prithvi(nn.Module):
    """The encoder under a linear head; without the encodings of time and place, which a graph is not told."""

    def __init__(self) -> None:
        super().__init__()
        spec = replace(sizes.PRITHVI["prithvi_eo_v2_tiny_tl"], dates=1, conditions=())
        self.encoder = SpaceTimeEncoder(spec)
        self.head = LinearHead((spec.width,), (spec.patch[1],), CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """``(B, K, H, W)`` from ``(B, C, H, W)``."""
        found = self.encoder(image[:, None])
        logits: Tensor = self.head(Features((found.maps[-1][:, 0],), found.strides))
        return logits


def network(kind: str) -> nn.Module:
    """First weights."""
    torch.manual_seed(0)
    return UNet(BANDS, CLASSES) if kind == "unet" else Prithvi()


def tiles(number: int, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values and mask ``(B, 1, C, H, W)`` and labels ``(B, H, W)``: the class is the largest of four smooth fields."""
    source = torch.Generator().manual_seed(seed)
    cells = max(2, size // 32)
    coarse = torch.randn(number, CLASSES, cells, cells, generator=source)
    fields = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)
    bands = torch.cat([fields, fields[:, :2] - fields[:, 2:]], dim=1)
    values = MEAN + 0.1 * (bands + 0.3 * torch.randn(bands.shape, generator=source))
    valid = torch.rand(number, 1, 1, size, size, generator=source) > 0.02
    return values[:, None], valid.expand(-1, -1, BANDS, -1, -1).contiguous(), fields.argmax(1)


def trained(options: argparse.Namespace) -> SegmentationTask:
    """A network that has seen a few hundred small tiles."""
    model = network(options.network)
    normalise = Normalise([MEAN] * BANDS, [STD] * BANDS, names=NAMES.names)
    task = SegmentationTask(model, normalise, NAMES, tuple(f"class {number}" for number in range(CLASSES)))
    optimiser = torch.optim.AdamW(task.parameters(), lr=1e-3)
    for step in range(options.steps):
        values, valid, labels = tiles(8, 64, 1000 + step)
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(task(values, valid), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimiser.step()
    return task.eval()


def prepare(options: argparse.Namespace) -> None:
    """Tiles, weights and exported graphs in the folder of the race."""
    folder: Path = options.folder
    torch.set_num_threads(max(options.threads))
    task = trained(options)
    torch.save(task.state_dict(), folder / "weights.pt")
    made = {"tiles": tiles(peer.LARGEST_BATCH, options.size, 0), "calibration": tiles(16, options.size, 1)}
    for name, (values, valid, _) in made.items():
        np.savez(folder / f"{name}.npz", values=values.numpy(), valid=valid.numpy())
    with torch.inference_mode():
        values, valid, labels = made["tiles"]
        right = float((task(values, valid).argmax(1) == labels).float().mean())
    print(json.dumps({"bench": "inference", "network": options.network, "accuracy": right}), flush=True)
    write_onnx(task, folder / "float32.onnx", side=options.size, source=options.network)
    values, valid, _ = made["calibration"]
    time = torch.zeros(len(values), 1, dtype=torch.int64)
    box = GeoBox(values.shape[-2:], Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    image = Modality(values, valid, NAMES, time, (box,) * len(values))
    batch = Batch({"image": image}, {}, {}, tuple(str(number) for number in range(len(values))))
    quantise(folder / "float32.onnx", folder / "int8.onnx", [batch])


class Torch:
    """A turn of torch.

    Args:
        name: of the contender.
        options: of the race.
    """

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        normalise = Normalise([MEAN] * BANDS, [STD] * BANDS, names=NAMES.names)
        self.task = SegmentationTask(network(options.network), normalise, NAMES, tuple(map(str, range(CLASSES))))
        self.task.load_state_dict(torch.load(options.folder / "weights.pt", weights_only=True))
        self.task.eval()
        self.name = name
        if name == "torch_channels_last":
            for part in self.task.modules():
                if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Conv3d):
                    form = torch.channels_last_3d if isinstance(part, nn.Conv3d) else torch.channels_last
                    part.to(memory_format=form)

    def make(self, threads: int, batch: int) -> peer.Run:
        """What runs a batch."""

        def run(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
            torch.set_num_threads(threads)
            mode = torch.no_grad() if self.name == "torch" else torch.inference_mode()
            half = torch.autocast("cpu", torch.bfloat16, enabled=self.name == "torch_bf16")
            with mode, half:
                found: NDArray[np.float32] = self._logits(torch.from_numpy(values), torch.from_numpy(valid))
            return found

        return run

    def _logits(self, values: Tensor, valid: Tensor) -> NDArray[np.float32]:
        image = self.task.normalise(values, valid)[:, 0]
        if self.name == "torch_channels_last":
            image = image.contiguous(memory_format=torch.channels_last)
        found: NDArray[np.float32] = self.task.network(image).float().numpy()
        return found


def onnx_maker(name: str, options: argparse.Namespace) -> peer.Make:
    """A turn of onnxruntime."""
    path = options.folder / ("int8.onnx" if name.endswith("int8") else "float32.onnx")
    sessions: dict[int, OnnxPredictor] = {}

    def make(threads: int, batch: int) -> peer.Run:
        if threads not in sessions:
            sessions[threads] = OnnxPredictor(path, threads)
        return sessions[threads].run

    return make


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16; elsewhere it is emulated, about thirty times slower."""
    table = Path("/proc/cpuinfo")
    return table.is_file() and any(word in table.read_text() for word in ("avx512_bf16", "amx_bf16", " bf16"))


def command(name: str, options: argparse.Namespace) -> list[str]:
    """How a contender is started."""
    own = ["--network", options.network, "--folder", str(options.folder), "--repeats", str(options.repeats)]
    own += ["--threads", *map(str, options.threads), "--batches", *map(str, options.batches)]
    if name.startswith("openvino"):
        script = Path(__file__).parent / "peers" / "inference_contender.py"
        return [str(interpreter("openvino", options.peers)), "-W", "ignore", str(script), name, *own]
    return [sys.executable, "-W", "ignore", __file__, "--turn", name, *own]


def measured(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rounds of those that this processor can run."""
    names = [name for name in options.contenders if name != "torch_bf16" or has_bf16()]
    for name in set(options.contenders) - set(names):
        print(json.dumps({"contender": name, "skipped": "this processor does not compute in bfloat16"}))
    commands = {name: command(name, options) for name in names}
    return race(commands, options.rounds, lambda row: {"bench": "inference", "network": options.network, **row})


def table(found: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Every contender beside eager torch."""
    names = [name for name in CONTENDERS if any(row["contender"] == name for row in found)]
    wanted = np.load(options.folder / f"{names[0]}.npy")
    pixels = options.size**2 / 1e6
    for name in names:
        made = np.load(options.folder / f"{name}.npy")
        far = float(np.abs(made - wanted).max() / np.abs(wanted).max())
        same = float((made.argmax(1) == wanted.argmax(1)).mean())
        peak = max(row["peak_rss_mb"] for row in found if row["contender"] == name)
        print(f"{name}: largest difference {far:.1e}, same class {100 * same:.2f} %, peak {peak:.0f} MiB")
        for threads in options.threads:
            for batch in options.batches:
                times = _times(found, name, threads, batch)
                base = _times(found, names[0], threads, batch)
                both = sorted(set(times) & set(base))
                wall, busy = (
                    ratio([base[at][kind] for at in both], [times[at][kind] for at in both]) for kind in (0, 1)
                )
                speed = batch * pixels / np.median([times[at][0] for at in both])
                print(f"  {threads} threads, batch {batch}: {speed:.3f} Mpixel/s, clock {wall}, processor {busy}")


def _times(found: list[dict[str, Any]], name: str, threads: int, batch: int) -> dict[int, tuple[float, float]]:
    """Seconds by the clock and of the processor, by round."""
    rows = ((row["round"], each) for row in found if row["contender"] == name for each in row["rows"])
    return {
        at: (each["wall_s"], each["cpu_s"]) for at, each in rows if (each["threads"], each["batch"]) == (threads, batch)
    }


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer.add_options(parser)
    parser.add_argument("--size", type=int, default=224, help="rows and columns of a tile, multiples of 16")
    parser.add_argument("--steps", type=int, default=150, help="training steps before the race")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--contenders", nargs="*", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--peers", type=Path, help="folder of environments; default bench/peers/.env, made when absent")
    parser.add_argument("--quick", action="store_true", help="torch and onnxruntime on 32 pixels: does it run")
    parser.add_argument("--turn", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        name = options.turn
        serving = Torch(name, options).make if name.startswith("torch") else onnx_maker(name, options)
        peer.serve(name, serving, options)
        return
    if options.quick:
        options.size, options.steps, options.rounds, options.repeats = 32, 2, 1, 1
        options.threads, options.batches = [1], [2]
        options.contenders = ["torch", "onnxruntime", "onnxruntime_int8"]
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        prepare(options)
        table(measured(options), options)


if __name__ == "__main__":
    main()
