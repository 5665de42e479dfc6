"""Damaged and malicious checkpoints and training states: nothing is unpickled, nothing absurd is allocated."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_seeds import Bench, checkpoint, state, survive, use_checkpoint, use_state
from safetensors.torch import load_file, save_file

from swath.errors import ConfigError, InputError, SwathError
from swath.learn.state import STATE
from swath.nn import UNet


def test_damaged_checkpoints(bench: Callable[[str], Bench]) -> None:
    counts = survive(bench("checkpoint"), 150)
    assert min(counts.values()) > 5


class Bomb:
    """Unpickled, it touches the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.canary,))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_are_never_read(tmp_path: Path, canary: Path, zipped: bool) -> None:
    checkpoint(tmp_path)
    state(tmp_path)
    for name in ("model.safetensors", STATE):
        if zipped:
            torch.save({"a": Bomb(canary)}, tmp_path / name)
        else:
            (tmp_path / name).write_bytes(pickle.dumps(Bomb(canary)))
    for use in (use_checkpoint, use_state):
        with pytest.raises(InputError, match="cannot be read"):
            use(tmp_path)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 0, 3])
def test_headers_of_impossible_length(tmp_path: Path, length: int) -> None:
    checkpoint(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        use_checkpoint(tmp_path)


def edited(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def arguments(**changes: object) -> dict[str, object]:
    plain = {"in_channels": 2, "out_channels": 2, "width": 4, "depth": 1, "stem_stride": 2, "norm": "group"}
    return {"name": "unet", "arguments": plain | changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 10**9}, "parameters"),
        ({"width": 10**300}, "parameters"),
        ({"depth": 10**9}, "at most 16"),
        ({"stem_stride": 10**6}, "parameters"),
        ({"in_channels": 10**12}, "parameters"),
        ({"width": 2000}, "holds 1210 numbers|parameters"),
        ({"width": "4"}, "width"),
        ({"width": 4.5}, "width"),
        ({"evil": 1}, "do not fit the architecture"),
    ],
)
def test_records_that_ask_for_too_much_allocate_nothing(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    checkpoint(tmp_path)
    edited(tmp_path, architecture=arguments(**changes))
    with pytest.raises(SwathError, match=said):
        use_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "section", ["task", "architecture", "bands", "statistics", "classes", "colours", "loss", "modality"]
)
@pytest.mark.parametrize("value", [None, 5, "x", [], {}, [[]], {"name": []}])
def test_sections_of_other_types(tmp_path: Path, section: str, value: object) -> None:
    checkpoint(tmp_path)
    edited(tmp_path, **{section: value})
    if (section, value) in (("modality", "x"), ("colours", []), ("colours", {}), ("loss", {})):
        use_checkpoint(tmp_path)  # another name, no colours, the usual loss: nothing is wrong with that
        return
    with pytest.raises(SwathError, match=r"Expected: .*What to do:"):
        use_checkpoint(tmp_path)


@pytest.mark.parametrize("version", [2, 99, -1, True, "1", None, 10**30, [1]])
def test_schema_versions(tmp_path: Path, version: object) -> None:
    checkpoint(tmp_path)
    edited(tmp_path, schema_version=version, versions="none")
    with pytest.raises(InputError, match="schema version"):
        use_checkpoint(tmp_path)


def reweighted(folder: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    save_file(tensors | {name: change(tensors[name]).contiguous()}, path)
    record = json.loads((folder / "model.json").read_text())
    record.pop("weights_sha256", None)
    (folder / "model.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensor: tensor * float("nan"), "NaN or infinite"),
        (lambda tensor: tensor + float("inf"), "NaN or infinite"),
        (lambda tensor: tensor.half(), "holds float16 instead of float32"),
        (lambda tensor: tensor.to(torch.int32), "holds int32 instead of float32"),
        (lambda tensor: tensor[:1], "has shape"),
        (lambda tensor: tensor[None], "has shape"),
    ],
)
def test_weights_that_cannot_be(tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], said: str) -> None:
    checkpoint(tmp_path)
    reweighted(tmp_path, change)
    with pytest.raises(InputError, match=said):
        use_checkpoint(tmp_path)


def test_a_network_for_nobody_is_refused_when_training_too() -> None:
    with pytest.raises(ConfigError, match="change the width"):
        UNet(3, 2, width=10**6)
    with pytest.raises(ConfigError, match="'depth' is 100"):
        UNet(3, 2, depth=100)
