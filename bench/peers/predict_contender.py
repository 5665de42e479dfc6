"""One contender of the prediction race, run in its own environment: MONAI or TerraTorch.

Does what its users do: read the scene, tile it with the package, take the largest, write a GeoTIFF. Prints one line of
JSON. The probes ask what happens at seams and around a hole of NaN.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import rasterio
import torch
from network import network
from torch import Tensor

TILE, OVERLAP, BATCH = 256, 64, 8
DN = 10_000.0


class Timed:
    """A network that counts its own seconds."""

    def __init__(self, name: str) -> None:
        self.network = network(name)
        self.seconds = 0.0

    def __call__(self, values: Tensor) -> Tensor:
        """The answer of the network."""
        began = time.perf_counter()
        answer = self.network(values)
        self.seconds += time.perf_counter() - began
        return answer


def monai() -> Callable[[Timed, Tensor], Tensor]:
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer(TILE, sw_batch_size=BATCH, overlap=OVERLAP / TILE, mode="gaussian")
    return lambda model, image: inferer(image, model)


def terratorch() -> Callable[[Timed, Tensor], Tensor]:
    import shim  # noqa: F401
    from terratorch.tasks.tiled_inference import tiled_inference

    return lambda model, image: tiled_inference(
        model, image, crop=TILE, stride=TILE - OVERLAP, delta=8, batch_size=BATCH
    )


def peak_mb() -> float:
    """Peak resident memory in MiB; not ``ru_maxrss``, which a child inherits from its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def read(path: Path) -> tuple[Tensor, dict[str, object]]:
    with rasterio.open(path) as dataset:
        values = dataset.read(out_dtype="float32")
        profile = {"crs": dataset.crs, "transform": dataset.transform}
    values /= DN
    return torch.from_numpy(values)[None], profile


def scene(infer: Callable[[Timed, Tensor], Tensor], name: str, source: Path, target: Path) -> dict[str, object]:
    model, before, began, busy = Timed(name), peak_mb(), time.perf_counter(), time.process_time()
    image, profile = read(source)
    probability = infer(model, image).softmax(dim=1)
    labels = probability.argmax(dim=1).to(torch.uint8).numpy()
    layout = {"driver": "COG", "compress": "deflate", "blocksize": 512, "overview_resampling": "nearest"}
    size = {"height": labels.shape[1], "width": labels.shape[2], "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(target, "w", **layout, **size, **profile) as dataset:
        dataset.write(labels)
    wall, busy = time.perf_counter() - began, time.process_time() - busy
    row = {"wall_s": wall, "cpu_s": busy, "model_s": model.seconds}
    return {**row, "peak_rss_mb": peak_mb(), "over_imports_mb": peak_mb() - before}


def probes(infer: Callable[[Timed, Tensor], Tensor], source: Path) -> dict[str, object]:
    """Largest difference to one pass over the whole image, away from its border; and what a hole of NaN does."""
    with rasterio.open(source) as dataset:
        size = min(1024, dataset.height)
        window = rasterio.windows.Window(0, 0, size, size)
        image = torch.from_numpy(dataset.read(window=window, out_dtype="float32") / DN)[None]
    answer: dict[str, object] = {}
    for name in ("mean", "unet"):
        whole, tiled = Timed(name)(image).softmax(dim=1), infer(Timed(name), image).softmax(dim=1)
        inside = (..., slice(48, -48), slice(48, -48))
        answer[f"seam_{name}"] = float((whole[inside] - tiled[inside]).abs().max())
    hole = image.clone()
    hole[..., 500:510, 500:510] = torch.nan
    try:
        labels = infer(Timed("mean"), hole)
        answer["nan_pixels_out"] = int((~torch.isfinite(labels)).any(dim=1).sum())
    except (RuntimeError, ValueError) as error:
        answer["nan_pixels_out"] = f"error: {str(error)[:120]}"
    for key, small in (("size_100", image[..., :100, :100]), ("size_1", image[..., :1, :1])):
        try:
            answer[key] = "x".join(str(size) for size in infer(Timed("mean"), small).shape[-2:])
        except (RuntimeError, ValueError, IndexError) as error:
            answer[key] = f"{type(error).__name__}: {str(error)[:80]}"
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=("monai", "terratorch"))
    parser.add_argument("model", choices=("identity", "unet", "probes"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        infer = {"monai": monai, "terratorch": terratorch}[options.contender]()
        if options.model == "probes":
            row = probes(infer, options.source)
        else:
            row = scene(infer, options.model, options.source, options.target)
    print(json.dumps({"contender": options.contender, "model": options.model, **row}))


if __name__ == "__main__":
    main()
