"""Tensors into a file of the safetensors format, one after another.

The library's own writer wants all tensors as bytes at once, several times the memory of a large network and its
optimiser. The format is simple: the length of a header as 8 bytes, the header as JSON (type, shape and place of every
tensor), then the numbers. Ours differs in nothing that a reader sees; no more than one tensor is copied at a time, and
none that lies in order on the processor.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from swath.errors import ContractError

TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Types of numbers by their names in the format."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write tensors, which may lie on any device and share memory, and return the SHA-256 of the file.

    Args:
        path: the file, replaced where it is there; not atomic.
        tensors: by name.
        metadata: texts by name.

    Raises:
        ContractError: a tensor of a type that the format does not know, or a machine whose bytes come in other order.
    """
    if sys.byteorder != "little":
        raise ContractError(
            "This machine writes numbers with the high byte first", expected="a little-endian one", remedy="train there"
        )
    # Widest types first, so that every tensor lies at a multiple of its width; by name, so that files are comparable.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for data in _pieces(tensors, order, metadata or {}):
            file.write(data)
            digest.update(data)
    return digest.hexdigest()


def _pieces(
    tensors: Mapping[str, Tensor], order: list[str], metadata: Mapping[str, str]
) -> Iterator[bytes | memoryview]:
    yield _header(tensors, order, metadata)
    for name in order:
        yield tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def _header(tensors: Mapping[str, Tensor], order: list[str], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON, filled up with spaces so that the numbers begin at a multiple of 8."""
    described: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name in order:
        tensor = tensors[name]
        if tensor.dtype not in TYPES:
            raise ContractError(
                f"The tensor '{name}' holds {tensor.dtype}",
                expected=f"one of {', '.join(TYPES.values())}",
                remedy="cast it",
            )
        size = tensor.numel() * tensor.element_size()
        described[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
