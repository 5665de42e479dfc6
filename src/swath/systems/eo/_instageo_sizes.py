"""Sizes and schedules of InstaGeo's teachers and students, as training files have them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class SmallUNet(BaseModel):
    """A small student of convolutions alone, in place of a narrow transformer.

    Every pixel is normalised by itself (``norm: channel``), so that tiles of a scene that hold nothing but water or
    ground are seen like all others.

    Args:
        width: channels at full resolution.
        halvings: of the resolution.
        epochs: passes over the training chips.
        rate: peak learning rate.
        weight: of the teacher against the labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=8, ge=2)
    halvings: int = Field(default=4, ge=1)
    epochs: int = Field(default=12, ge=1)
    rate: float = Field(default=2e-3, gt=0)
    weight: float = Field(default=4.0, gt=0)

    def network(self) -> dict[str, Any]:
        """The ``network`` of a training file."""
        options = {"width": self.width, "depth": self.halvings, "stem_stride": 1, "norm": "channel"}
        return {"backbone": "unet", "options": options}


class Narrow(BaseModel):
    """A student of one narrow block with the patches of its teacher and a narrow head.

    Args:
        width: numbers per token.
        head_width: channels of the head.
        epochs: passes over the training chips.
        rate: peak learning rate.
        weight: of the teacher against the labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=60, ge=6, multiple_of=3)
    head_width: int = Field(default=8, ge=4)
    epochs: int = Field(default=10, ge=1)
    rate: float = Field(default=2e-3, gt=0)
    weight: float = Field(default=4.0, gt=0)

    def network(self, size: int, patch: int) -> dict[str, Any]:
        """The ``network`` of a training file; three heads of attention, whose cost goes with their number."""
        options = {"image": size, "patch": patch, "width": self.width, "depth": 1}
        return {"backbone": "vit_micro", "head": "unet", "head_width": self.head_width, "options": options}


class Networks(BaseModel):
    """Sizes and schedule of the networks.

    Args:
        patch: side of a patch in pixels.
        width, depth, head_width: of the teacher: numbers per token, blocks, channels of its head.
        student_depth: blocks of the student that the claims are about.
        depths: of further students.
        small: width, depth and head width of a student of a shape of its own, or one of convolutions.
        batch_size: chips per step.
        teacher_epochs, student_epochs: passes over the training chips.
        misled_epochs: of the teacher that learns from the labels of other chips.
        narrow: a student of one narrow block, or none.
        copied: have a student that starts from the teacher's blocks and does not listen to it.
        rate: peak learning rate of all.
        trees, forest_pixels: of the forests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch: int = Field(default=8, ge=1)
    width: int = Field(default=96, ge=6, multiple_of=6)
    depth: int = Field(default=6, ge=1)
    head_width: int = Field(default=32, ge=4)
    student_depth: int = Field(default=2, ge=1)
    depths: tuple[int, ...] = (1, 4)
    small: tuple[int, int, int] | SmallUNet = (48, 2, 16)
    batch_size: int = Field(default=8, ge=1)
    teacher_epochs: int = Field(default=6, ge=1)
    student_epochs: int = Field(default=4, ge=1)
    misled_epochs: int = Field(default=2, ge=1)
    narrow: Narrow | None = None
    copied: bool = True
    rate: float = Field(default=1e-3, gt=0)
    trees: int = Field(default=60, ge=1)
    forest_pixels: int = Field(default=60_000, ge=2)

    def network(self, size: int, width: int, depth: int, head_width: int) -> dict[str, Any]:
        """The ``network`` of a training file."""
        options = {"image": size, "patch": self.patch, "width": width, "depth": depth}
        return {"backbone": "vit_small", "head": "unet", "head_width": head_width, "options": options}
