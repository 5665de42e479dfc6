"""Run by TerraTorch's own interpreter: what the published code makes of the recipe. swath is not imported here.

    PYTHON tests/parity/parity_upstream.py golden OUT.npz
    PYTHON tests/parity/parity_upstream.py NAME OUT.npz

``golden`` writes digests of the narrow cases in double and single precision. A published size writes whole features,
predictions and the loss, in single precision. The published code (Apache-2.0) is run, not copied.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "peers"))
import parity_recipe as recipe
import shim  # noqa: F401 (before torchvision)
import torch
from terratorch.models.backbones import prithvi_mae


def exactly(width: int, position: Any) -> Any:
    """Encodings of time and place in double precision, by the published code's own function for arrays.

    The published function for tensors refuses double precision.
    """
    made = prithvi_mae.get_1d_sincos_pos_embed_from_grid(width, position.numpy())
    return torch.from_numpy(made).to(position.device)


def model(case: recipe.Case, dtype: torch.dtype) -> Any:
    arguments = dict(case.model) | {"img_size": case.model["img_size"], "patch_size": tuple(case.model["patch_size"])}
    network = prithvi_mae.PrithviMAE(**arguments).to(dtype)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.from_numpy(recipe.weight(name, tuple(parameter.shape))))
    masking, fixed = network.encoder.random_masking, torch.from_numpy(recipe.noise(case))
    network.encoder.random_masking = lambda tokens, ratio: masking(tokens, ratio, noise=fixed)
    return network


def run(case: recipe.Case, dtype: torch.dtype, gradients: bool) -> dict[str, np.ndarray]:
    """Features of every block, predictions as images, loss, and gradients of the loss and of the last features."""
    network = model(case, dtype)
    given = torch.from_numpy(recipe.images(case)).to(dtype)
    about: tuple[Any, ...] = ()
    if case.about:
        about = tuple(torch.from_numpy(part).to(dtype) for part in recipe.about(case))
    with torch.set_grad_enabled(gradients):
        features = network.forward_features(given, *about)
        loss, predicted, _ = network(given, *(about or (None, None)), mask_ratio=case.ratio)
    made = {f"features {index}": part.detach()[:, 1:].numpy() for index, part in enumerate(features)}
    made["class"] = features[-1].detach()[:, 0].numpy()
    made["predicted"] = predicted.detach().numpy()
    made["loss"] = loss["loss"].detach().numpy().reshape(1)
    if gradients:
        loss["loss"].backward()
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                made[f"gradient {name}"] = parameter.grad.numpy()
    return made


def golden() -> dict[str, np.ndarray]:
    kept: dict[str, np.ndarray] = {}
    published = prithvi_mae._get_1d_sincos_embed_from_grid_torch
    for case in recipe.CASES:
        for label, dtype in (("double", torch.float64), ("single", torch.float32)):
            double = label == "double"
            prithvi_mae._get_1d_sincos_embed_from_grid_torch = exactly if double else published
            tensors = run(case, dtype, gradients=double and case.gradients)
            kept |= recipe.golden(f"{case.name} {label}", tensors)
    return kept


if __name__ == "__main__":
    what, out = sys.argv[1:]
    torch.manual_seed(0)
    made = golden() if what == "golden" else run(recipe.published(what), torch.float32, gradients=False)
    versions = {name: metadata.version(name) for name in ("terratorch", "timm", "torch", "numpy")}
    made["upstream"] = np.array([f"{name} {version}" for name, version in versions.items()])
    save = np.savez_compressed if what == "golden" else np.savez
    save(out, **made)
    print(f"{out}: {len(made)} arrays, {Path(out).stat().st_size} bytes, {', '.join(made['upstream'])}")
