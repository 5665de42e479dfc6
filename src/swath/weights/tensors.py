"""Reading files of weights without running anything in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath import limits
from swath.errors import InputError
from swath.reading import reading

if TYPE_CHECKING:
    from torch import Tensor

_EXPECTED = "weights alone: safetensors, or a torch file of tensors by name"
_REMEDY = "fetch the file again; files that hold code are never loaded: save their state_dict instead"
_WRAPPINGS = ("state_dict", "model", "model_state_dict")
"""Names under which training scripts put the weights beside optimisers and counters."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the processor.

    Torch files are read with ``weights_only``: nothing in them is run. Weights may lie one level down, under
    ``state_dict``, ``model`` or ``model_state_dict``.

    Raises:
        InputError: there is no such file, it is damaged, holds anything but tensors, or asks for more numbers than
            ``limits.PARAMETERS``.
    """
    import torch

    if not path.is_file():
        given = f"'{path}' is a folder" if path.is_dir() else f"There is no file {path}"
        raise InputError(given, expected=_EXPECTED, remedy="check the path")
    with reading(path, expected=_EXPECTED, remedy=_REMEDY):
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path, device="cpu")
        else:
            # Saved on a GPU as often as not, so the place has to be named.
            content = torch.load(path, map_location="cpu", weights_only=True)
        tensors = _unwrapped(content, path)
        _check_sizes(tensors, path)
        return tensors


def _unwrapped(content: Any, path: Path) -> dict[str, Tensor]:
    import torch

    for name in _WRAPPINGS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    named = isinstance(content, Mapping) and all(isinstance(name, str) for name in content)
    if not named or not content or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise InputError(f"'{path}' holds something else than tensors by name", expected=_EXPECTED, remedy=_REMEDY)
    return dict(content)


def _check_sizes(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that a small file only pretends to hold (repeated by strides of 0)."""
    limits.PARAMETERS.check(sum(tensor.numel() for tensor in tensors.values()), path)
    for name, tensor in tensors.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise InputError(
                f"'{path}' declares {tensor.numel()} numbers for '{name}' and stores fewer",
                expected=_EXPECTED,
                remedy=_REMEDY,
            )
