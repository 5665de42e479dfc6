"""Maps of what a trained network sees: its features as an embedding of every pixel or cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.errors import ConfigError
from swath.learn.task import SegmentationTask, evaluation
from swath.nn import UNet
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task


class Embedder:
    """The features of a segmentation network as a predictor for the task ``embedding``.

    Cells are as large as the features are coarse: ``output_stride`` input pixels along each axis, so that an image of
    H x W pixels gives ceil(H / stride) x ceil(W / stride) cells. A cell is valid where the task can predict at least
    one of its pixels; masked pixels enter as the average of their band.

    Args:
        task: a trained task whose network is a ``UNet``.
        level: ``decoder`` (what the head sees; stride of the stem), or the number of an encoder level, 0 for the
            finest; each next one has twice the stride and twice the channels.
        full_resolution: enlarge bilinearly to one embedding per pixel.

    Raises:
        ConfigError: the network has no features to show, or no such level.
    """

    def __init__(
        self, task: SegmentationTask, level: int | Literal["decoder"] = "decoder", *, full_resolution: bool = False
    ) -> None:
        network = task.network
        if not isinstance(network, UNet):
            raise ConfigError(
                f"The network is a {type(network).__name__}, which does not show its features",
                expected="a UNet",
                remedy="train one with swath train, or write a predictor for the task 'embedding'",
            )
        levels = range(network.spec.depth + 1)
        if level != "decoder" and (isinstance(level, bool) or level not in levels):
            raise ConfigError(
                f"The level is {level!r}",
                expected=f"'decoder', or an encoder level from 0 to {levels[-1]}",
                remedy="use 'decoder' for the finest and best informed features",
            )
        place = 0 if level == "decoder" else level
        self.source = task
        self.level = level
        self.task: Task = "embedding"
        self.inputs: Mapping[str, BandSet] = task.inputs
        self.classes = tuple(f"e{number}" for number in range(network.spec.channels[place]))
        self.stride = network.spec.strides[place]
        self.full_resolution = full_resolution
        self._network = network

    @property
    def output_stride(self) -> int:
        """Input pixels per cell along each axis."""
        return 1 if self.full_resolution else self.stride

    def predict(self, batch: Batch) -> Prediction:
        """``embedding``, float32 ``(B, D, h, w)``, on the device of the batch, without gradients.

        Raises:
            ContractError: the modality is absent or has several dates.
            InputError: a wanted band is not among the bands of the batch.
        """
        task = self.source
        with evaluation(task), torch.inference_mode():
            values, valid = task._select(batch)
            device = task.normalise.mean.device
            image = task.normalise(values.to(device), valid.to(device))[:, 0]
            cells = self._features(image).float().to(values.device)
            known = task._predictable(valid)
            if self.output_stride > 1:
                size = self.output_stride
                known = F.max_pool2d(known.float()[:, None], size, ceil_mode=True)[:, 0] > 0
            return Prediction("embedding", {"embedding": cells}, known)

    def _features(self, image: Tensor) -> Tensor:
        """``(B, D, h, w)`` for an image ``(B, C, H, W)``; the padding of the network is cut off."""
        height, width = image.shape[-2:]
        features = self._network.encode(image)
        maps = self._network.decoder.before_head(features) if self.level == "decoder" else features.maps[self.level]
        if self.full_resolution and self.stride > 1:
            enlarged: Tensor = F.interpolate(maps, scale_factor=self.stride, mode="bilinear")
            return enlarged[..., :height, :width]
        return maps[..., : -(-height // self.stride), : -(-width // self.stride)]
