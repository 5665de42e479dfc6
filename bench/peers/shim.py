"""Make torchvision import beside a torch that was built for processors only, in the peers' environments.

torchvision's wheel is compiled against CUDA; without it the import fails because two operators are not declared. Here
they are declared, and ``nms`` gets a plain implementation. Import this module before torchvision or a package that
imports it. swath itself never needs torchvision.
"""

from __future__ import annotations

import torch


def _nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Positions of the boxes (x0, y0, x1, y1) that no better box overlaps by more than the threshold, best first."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    rest, kept = scores.argsort(descending=True), []
    while rest.numel():
        best, rest = rest[0], rest[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[rest, :2])
        high = torch.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        rest = rest[shared / (area[best] + area[rest] - shared) <= iou_threshold]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)


if torch.version.cuda is None:  # else torchvision declares them itself
    _LIBRARY = torch.library.Library("torchvision", "DEF")
    _LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARY.impl("nms", _nms, "CPU")
