"""timm and torchvision, where they are installed. Used by tests only."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import pytest
import torch

_KEEP: list[object] = []


def peer(name: str) -> ModuleType:
    """Import ``timm`` or ``torchvision``, or skip the test.

    The torchvision wheel of a CPU build of torch lacks its compiled operators; declaring two of them lets it import.
    """
    if importlib.util.find_spec(name) is None or importlib.util.find_spec("torchvision") is None:
        pytest.skip(f"{name} is not installed (an environment of its own is described in docs/networks.md)")
    if not _KEEP:
        try:
            library = torch.library.Library("torchvision", "DEF")
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _KEEP.append(library)
        except RuntimeError:
            _KEEP.append(None)  # the operators are there
    return importlib.import_module(name)
