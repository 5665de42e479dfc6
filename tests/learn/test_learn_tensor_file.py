"""Files of tensors: read back by the library of the format, whatever type, shape and memory order; small memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from swath.errors import ContractError
from swath.files import sha256
from swath.learn.tensor_file import TYPES, write_tensors


def test_the_library_reads_what_was_written(tmp_path: Path) -> None:
    shared = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "turned": shared.T,
        "rows": shared[1:3],
        "every second": shared.flatten()[::2],
        "one number": torch.tensor(3, dtype=torch.int64),
        "none": torch.zeros(0, 3),
        "ordered by channel": torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "learns": torch.nn.Parameter(torch.rand(3)),
        "odd": torch.tensor([1, 2, 3], dtype=torch.uint8),
        **{f"of {name}": torch.tensor([[0, 1], [1, 1]]).to(dtype) for dtype, name in TYPES.items()},
    }
    path = tmp_path / "a.safetensors"
    digest = write_tensors(path, tensors, {"said": 'a "word"', "ü": ""})
    assert digest == sha256(path)
    found = load_file(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor.detach()), name
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"said": 'a "word"', "ü": ""}


def test_nothing_makes_a_file_too(tmp_path: Path) -> None:
    write_tensors(tmp_path / "empty", {})
    assert load_file(tmp_path / "empty") == {}


def test_bytes_are_those_of_the_library(tmp_path: Path) -> None:
    tensors = {"b": torch.rand(3), "a": torch.rand(2, 2), "c": torch.rand(2).double(), "d": torch.tensor([True])}
    write_tensors(tmp_path / "ours", tensors)
    assert (tmp_path / "ours").read_bytes() == save(tensors)


def test_one_tensor_at_a_time(tmp_path: Path) -> None:
    tensors = {f"t{number}": torch.rand(1000, 1000) for number in range(8)}
    tracemalloc.start()
    write_tensors(tmp_path / "big", tensors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_type_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"'odd' holds torch\.complex64"):
        write_tensors(tmp_path / "a", {"odd": torch.zeros(1, dtype=torch.complex64)})
