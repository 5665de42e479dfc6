"""Teachers, students and their rivals on the chips of the flood archive, all trained by the everyday code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from swath import judge
from swath.chips import ChipSet
from swath.judge.baselines import ForestOptions, RandomForest
from swath.judge.pixels import PixelSampling
from swath.learn import train
from swath.learn.options import read_options
from swath.types import Predictor, Split

FOREST, PIXEL_FOREST, CONSTANT = "forest", "forest_pixel", "constant"
TEACHER, MISLED, NARROW = "teacher", "teacher_mixed", "narrow"
NOTHING = 1e-9
"""Weight of a teacher that is not listened to: the student still starts from its blocks."""


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


@dataclass(frozen=True, eq=False)
class Class:
    """Who learns from the same chips.

    Args:
        networks: sizes and schedule.
        chipset: chips with their true labels.
        mixed: the same chips with the labels of others.
        part: which is for what.
        out: folder of the seed.
        seed: of weights, order and random changes.
    """

    networks: Networks
    chipset: ChipSet
    mixed: ChipSet
    part: Split
    out: Path
    seed: int

    def trained(self, name: str, content: Mapping[str, Any], chipset: ChipSet | None = None) -> Any:
        """A network after its training; a finished one in the folder of the seed is taken up again."""
        options = read_options({**self._common(), **content})
        return train(
            chipset or self.chipset, self.part, options, self.out / name, seed=self.seed, progress=False,
            say=lambda text: None,
        )  # fmt: skip

    def teacher(self) -> Any:
        """Learns from the labels."""
        return self.trained(TEACHER, self._shape(self.networks.depth) | self._epochs(self.networks.teacher_epochs))

    def misled_teacher(self) -> Any:
        """Learns from the labels of other chips."""
        content = self._shape(self.networks.depth) | self._epochs(self.networks.misled_epochs)
        return self.trained(MISLED, content, self.mixed)

    def student(self, name: str, depth: int, *, teacher: str = TEACHER, weight: float = 1.0) -> Any:
        """The teacher's network with its first ``depth`` blocks, which start from it."""
        content = {"teacher": str(self.out / teacher), "distil": {"depth": depth, "weight": weight}}
        return self.trained(name, content | self._epochs(self.networks.student_epochs))

    def untaught(self, name: str, depth: int) -> Any:
        """The same network from random weights, which learns from the labels alone."""
        return self.trained(name, self._shape(depth) | self._epochs(self.networks.student_epochs))

    def small(self, name: str, *, taught: bool) -> Any:
        """A narrower network with a narrower head, or one of convolutions; starts from random weights."""
        shape = self.networks.small
        teacher: dict[str, Any] = {"teacher": str(self.out / TEACHER)} if taught else {}
        if isinstance(shape, SmallUNet):
            weight = {"distil": {"weight": shape.weight}} if taught else {}
            content = {"network": shape.network(), **teacher, **weight, **self._epochs(shape.epochs, shape.rate)}
            return self.trained(name, content)
        width, depth, head = shape
        network = self.networks.network(self.chipset.size, width, depth, head)
        return self.trained(name, {"network": network, **teacher, **self._epochs(self.networks.student_epochs)})

    def narrow(self, name: str, shape: Narrow) -> Any:
        """One narrow block, which starts from random weights and listens to the teacher."""
        content: dict[str, Any] = {
            "network": shape.network(self.chipset.size, self.networks.patch),
            "teacher": str(self.out / TEACHER),
            "distil": {"weight": shape.weight},
        }
        return self.trained(name, content | self._epochs(shape.epochs, shape.rate))

    def forest(self, window: int) -> RandomForest:
        """A random forest on the bands of a pixel, and (window above 1) their means around it."""
        ids = self.part.ids("train")
        options = ForestOptions(
            trees=self.networks.trees,
            mean_bands=self.chipset.bands.names if window > 1 else (),
            window=window,
            sampling=PixelSampling(max_pixels=self.networks.forest_pixels),
            jobs=1,
        )
        forest = RandomForest(self.chipset.inputs, self.chipset.classes, options, self.seed)
        return forest.fit(self.chipset.batch(ids[at : at + 32]) for at in range(0, len(ids), 32))

    def everybody(self) -> dict[str, Predictor]:
        """All of them by name, in the order of their dependence."""
        depth = self.networks.student_depth
        found: dict[str, Predictor] = {
            FOREST: self.forest(7),
            PIXEL_FOREST: self.forest(1),
            TEACHER: self.teacher(),
            "student": self.student("student", depth),
        }
        if self.networks.copied:
            found["copied"] = self.student("copied", depth, weight=NOTHING)
        found["untaught"] = self.untaught("untaught", depth)
        for other in self.networks.depths:
            found[f"student_{other}"] = self.student(f"student_{other}", other)
        found |= {
            "small": self.small("small", taught=True),
            "small_untaught": self.small("small_untaught", taught=False),
        }
        if self.networks.narrow is not None:
            found[NARROW] = self.narrow(NARROW, self.networks.narrow)
        self.misled_teacher()
        return {**found, "mistaught": self.student("mistaught", depth, teacher=MISLED)}

    def score(self, predictor: Predictor, split: str = "test") -> float:
        """Mean IoU over the pixels of a part."""
        return mean_iou(predictor, self.chipset, self.part.ids(split))

    def _common(self) -> dict[str, Any]:
        return {"batch_size": self.networks.batch_size}

    def _shape(self, depth: int) -> dict[str, Any]:
        networks = self.networks
        return {"network": networks.network(self.chipset.size, networks.width, depth, networks.head_width)}

    def _epochs(self, epochs: int, rate: float | None = None) -> dict[str, Any]:
        fit = {"epochs": epochs, "learning_rate": rate or self.networks.rate, "weight_decay": 0.05, "device": "cpu"}
        return {"fit": {**fit, "threads": 1, "checkpoint_every_epochs": epochs}}


def mean_iou(predictor: Predictor, chipset: ChipSet, names: list[str]) -> float:
    """Mean IoU of a predictor over the labelled pixels of some chips."""
    batches = (chipset.batch(names[at : at + 32]) for at in range(0, len(names), 32))
    return float(judge.score(predictor, batches, target=chipset.target).value("miou"))
