"""InstaGeo's networks: numbers of weights as published, names of both layouts, and logits by equations of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from swath import rng
from swath.errors import ConfigError, ContractError, InputError
from swath.models import instageo, sizes
from swath.models.instageo import InstaGeo, InstaGeoSpec
from swath.models.instageo_keys import encoder_of, house_names, published_names

MILLIONS = {
    "instageo_tiny_t1": 4.1,
    "instageo_v1_100_t1": 91.5,
    "instageo_v1_100_t3": 133.8,
    "instageo_v2_300_t1": 313.3,
    "instageo_v2_300_t3": 388.5,
    "instageo_v2_600_t1": 654.7,
    "instageo_v1_100_t1_depth1": 13.6,
    "instageo_v1_100_t1_depth2": 20.6,
    "instageo_v1_100_t1_depth3": 27.7,
    "instageo_v1_100_t1_depth4": 34.8,
    "instageo_v2_300_t1_depth1": 23.6,
    "instageo_v2_300_t1_depth2": 36.2,
    "instageo_v2_300_t1_depth4": 61.4,
}
SMALL = InstaGeoSpec(width=32, depth=2, heads=2, dates=2, outputs=3)


def published(spec: InstaGeoSpec, old: bool = False) -> dict[str, Tensor]:
    """Random numbers under the published names, which are written out here and depend on nothing of swath."""
    width, encoder = spec.width, "net.prithvi_100M_backbone." if old else "net.prithvi_encoder."
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "patch_embed.proj.weight": (width, spec.bands, 1, spec.patch, spec.patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(spec.depth):
        for layer, (out, into) in {
            "attn.qkv": (3, 1),
            "attn.proj": (1, 1),
            "mlp.fc1": (4, 1),
            "mlp.fc2": (1, 4),
        }.items():
            shapes[f"blocks.{block}.{layer}.weight"] = (out * width, into * width)
            shapes[f"blocks.{block}.{layer}.bias"] = (out * width,)
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{block}.{norm}.{kind}": (width,) for kind in ("weight", "bias")}
    named = {encoder + name: shape for name, shape in shapes.items()}
    channels = [width * spec.dates // 2**step for step in range(5)]
    kernels = (5, 5, 5, 7) if spec.patch == 14 else (3, 3, 3, 3)
    for step, kernel in enumerate(kernels):
        given, made = channels[step], channels[step + 1]
        part = f"net.segmentation_head.{step}."
        named |= {f"{part}0.weight": (given, made, 3, 3), f"{part}2.weight": (made, made, kernel, kernel)}
        names = ("0.bias", "2.bias", "3.weight", "3.bias", "3.running_mean", "3.running_var")
        named |= {part + name: (made,) for name in names}
    named |= {"net.segmentation_head.5.weight": (spec.outputs, channels[4], 1, 1)}
    named |= {"net.segmentation_head.5.bias": (spec.outputs,)}
    found = {}
    for name, shape in named.items():
        drawn = torch.randn(shape, generator=rng.torch_generator(0, "instageo", name))
        found[name] = 0.5 + drawn.abs() if name.endswith("running_var") else 0.15 * drawn
        if "norm" in name and name.endswith("weight"):
            found[name] = found[name] + 1
    for step in range(4):
        found[f"net.segmentation_head.{step}.3.num_batches_tracked"] = torch.tensor(7)
    found[encoder + "pos_embed"] = torch.full((1, 5, width), 1e6)  # must never be used
    return found


def waves(width: int, places: int) -> np.ndarray:
    angle = np.arange(places)[:, None] / 10000 ** (np.arange(width // 2) / (width / 2))
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def positions(width: int, dates: int, rows: int, columns: int) -> Tensor:
    """Six sixteenths tell the column, six the row, four the date."""
    across, down, when = waves(6 * width // 16, columns), waves(6 * width // 16, rows), waves(4 * width // 16, dates)
    table = [
        np.concatenate([across[x], down[y], when[t]]) for t in range(dates) for y in range(rows) for x in range(columns)
    ]
    return torch.from_numpy(np.stack(table)).float()


def by_hand(images: Tensor, weights: dict[str, Tensor], spec: InstaGeoSpec, encoder: str) -> Tensor:
    """The network in plain operations, from its description alone."""
    width, depth = spec.width, spec.depth
    w = {name.removeprefix(encoder): value for name, value in weights.items()}
    x = F.conv3d(images.transpose(1, 2), w["patch_embed.proj.weight"], w["patch_embed.proj.bias"],
                 stride=(1, spec.patch, spec.patch))  # fmt: skip
    batch, _, dates, rows, columns = x.shape
    x = x.flatten(2).transpose(1, 2) + positions(width, dates, rows, columns)
    x = torch.cat([w["cls_token"].expand(batch, 1, width), x], dim=1)
    for block in range(depth):
        p = f"blocks.{block}."
        y = F.layer_norm(x, (width,), w[p + "norm1.weight"], w[p + "norm1.bias"])
        y = F.linear(y, w[p + "attn.qkv.weight"], w[p + "attn.qkv.bias"])
        q, k, v = (part.unflatten(2, (spec.heads, -1)).transpose(1, 2) for part in y.split(width, dim=2))
        mixed = (q @ k.transpose(2, 3) / (width // spec.heads) ** 0.5).softmax(-1) @ v
        x = x + F.linear(mixed.transpose(1, 2).flatten(2), w[p + "attn.proj.weight"], w[p + "attn.proj.bias"])
        y = F.layer_norm(x, (width,), w[p + "norm2.weight"], w[p + "norm2.bias"])
        y = F.gelu(F.linear(y, w[p + "mlp.fc1.weight"], w[p + "mlp.fc1.bias"]))
        x = x + F.linear(y, w[p + "mlp.fc2.weight"], w[p + "mlp.fc2.bias"])
    x = F.layer_norm(x, (width,), w["norm.weight"], w["norm.bias"])[:, 1:]
    maps = x.permute(0, 2, 1).reshape(batch, width * dates, rows, columns)
    for step in range(4):
        p = f"net.segmentation_head.{step}."
        maps = F.conv_transpose2d(maps, w[p + "0.weight"], w[p + "0.bias"], stride=2, padding=1, output_padding=1)
        maps = F.conv2d(maps, w[p + "2.weight"], w[p + "2.bias"], padding=1)
        maps = F.relu(F.batch_norm(maps, w[p + "3.running_mean"], w[p + "3.running_var"], w[p + "3.weight"],
                                   w[p + "3.bias"]))  # fmt: skip
    return F.conv2d(maps, w["net.segmentation_head.5.weight"], w["net.segmentation_head.5.bias"])


@pytest.mark.parametrize("name", sorted(MILLIONS))
def test_numbers_of_weights_are_the_published_ones(name: str) -> None:
    rows = dict(sizes.describe(name))
    assert round(rows["total"] / 1e6, 1) == MILLIONS[name]
    assert rows["encoder"] + rows["head"] == rows["total"]
    assert name in sizes.names()


def test_the_head_of_three_dates() -> None:
    assert round(dict(sizes.describe("instageo_v1_100_t3"))["head"] / 1e6, 1) == 47.6


@pytest.mark.parametrize("old", [False, True])
def test_logits_are_those_of_the_equations(tmp_path: Path, old: bool) -> None:
    tensors = published(SMALL, old)
    torch.save({"state_dict": tensors}, tmp_path / "best.ckpt")
    told: list[str] = []
    network, report = instageo.load(tmp_path / "best.ckpt", heads=2, say=told.append)
    assert network.spec == SMALL
    assert report.numbers[0] == report.numbers[1] and not report.new and not report.unused and "instageo" in told[0]
    images = torch.randn(2, 2, 6, 32, 48)
    with torch.no_grad():
        found = network(images)
        wanted = by_hand(images, tensors, SMALL, "net.prithvi_100M_backbone." if old else "net.prithvi_encoder.")
    assert found.shape == (2, 3, 32, 48)
    assert float((found - wanted).abs().max()) < 1e-4
    assert float(wanted.std()) > 1e-2  # what is compared is not flat


def test_logits_of_patches_of_14_pixels(tmp_path: Path) -> None:
    spec = InstaGeoSpec(width=16, depth=1, heads=2, patch=14, outputs=1)
    tensors = published(spec)
    torch.save(tensors, tmp_path / "weights.pt")
    network, _ = instageo.load(tmp_path / "weights.pt", heads=2)
    images = torch.randn(1, 1, 6, 224, 224)
    with torch.no_grad():
        found, wanted = network(images), by_hand(images, tensors, spec, "net.prithvi_encoder.")
    assert found.shape == wanted.shape == (1, 1, 224, 224)
    assert float((found - wanted).abs().max()) < 1e-4


def test_names_there_and_back() -> None:
    tensors = published(SMALL)
    ours = house_names(tensors, name="instageo", source="a file")
    assert set(ours) == set(InstaGeo(SMALL).state_dict())
    again = published_names(ours)
    assert set(again) == {name for name in tensors if not name.endswith("pos_embed")}
    assert all(torch.equal(again[name], tensors[name]) for name in again)
    assert set(encoder_of({"encoder.norm.weight": torch.zeros(1)})) == {"encoder.norm.weight"}


def test_other_files_are_refused(tmp_path: Path) -> None:
    tensors = published(SMALL)
    path = tmp_path / "weights.pt"

    def refused(part: str, changed: dict[str, Tensor], error: type[Exception] = InputError, heads: int = 2) -> None:
        torch.save(changed, path)
        with pytest.raises(error, match=part):
            instageo.load(path, heads=heads or None)

    def without(name: str) -> dict[str, Tensor]:
        return {key: value for key, value in tensors.items() if key != name}

    refused("no checkpoint of InstaGeo", {"encoder.norm.weight": torch.zeros(1)})
    refused("running_var is missing", without("net.segmentation_head.2.3.running_var"))
    refused("holds no head", without("net.segmentation_head.5.weight"))
    refused("steps.9.enlarge.weight has no place", {**tensors, "net.segmentation_head.9.0.weight": torch.zeros(1)})
    refused("segmentation_head.6.weight has no place", {**tensors, "net.segmentation_head.6.weight": torch.zeros(1)})
    refused("NaN", {**tensors, "net.segmentation_head.5.bias": torch.full((3,), float("nan"))})
    refused("number of attention heads", tensors, ConfigError, 0)


def test_a_student_has_the_first_blocks() -> None:
    teacher = InstaGeo(SMALL)
    made = InstaGeo(instageo.student(SMALL, 1))
    names = instageo.copy_first_blocks(teacher, made)
    assert set(made.encoder.state_dict()) == set(names)
    assert torch.equal(made.encoder.blocks[0].mlp.expand.weight, teacher.encoder.blocks[0].mlp.expand.weight)
    for depth in (0, 3):
        with pytest.raises(ConfigError, match="from 1 to 2"):
            instageo.student(SMALL, depth)


def test_other_dates_and_sizes() -> None:
    network = InstaGeo(SMALL).eval()
    assert network(torch.randn(1, 2, 6, 20, 37)).shape == (1, 3, 20, 37)
    with pytest.raises(ContractError, match="2 dates"):
        network(torch.randn(1, 3, 6, 32, 32))
    told = InstaGeo(InstaGeoSpec(16, 1, 2, conditions=("time", "place"))).eval()
    assert told(torch.randn(1, 1, 6, 16, 16)).shape == (1, 2, 16, 16)
    with pytest.raises(ConfigError, match="nearest is instageo_tiny_t1"):
        instageo.build("instageo_tiny")
