"""Teachers, students and their rivals on the chips of the flood archive, all trained by the everyday code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from swath import judge
from swath.chips import ChipSet
from swath.errors import InputError
from swath.failures import Failures
from swath.jobs import Job, run_each
from swath.judge.baselines import ForestOptions, RandomForest
from swath.judge.pixels import PixelSampling
from swath.learn import train
from swath.learn.options import read_options
from swath.learn.reproduce import repeatable
from swath.systems.eo._instageo_sizes import Networks, SmallUNet
from swath.types import Predictor, Split

FOREST, PIXEL_FOREST = "forest", "forest_pixel"
TEACHER, MISLED, NARROW = "teacher", "teacher_mixed", "narrow"
NOTHING = 1e-9
"""Weight of a teacher that is not listened to: the student still starts from its blocks."""


@dataclass(frozen=True)
class Lesson:
    """What one network learns.

    Args:
        content: its training file.
        teacher: whom it listens to, by name.
        mixed: whether it learns from the labels of other chips.
    """

    content: Mapping[str, Any]
    teacher: str = ""
    mixed: bool = False


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

    def lessons(self) -> dict[str, Lesson]:
        """What everybody learns, by name."""
        networks, depth = self.networks, self.networks.student_depth
        found = {
            TEACHER: Lesson(self._shape(networks.depth) | self._epochs(networks.teacher_epochs)),
            "student": self._student(depth),
        }
        if networks.copied:
            found["copied"] = self._student(depth, weight=NOTHING)
        found["untaught"] = Lesson(self._shape(depth) | self._epochs(networks.student_epochs))
        found |= {f"student_{other}": self._student(other) for other in networks.depths}
        found |= {"small": self._small(taught=True), "small_untaught": self._small(taught=False)}
        if networks.narrow is not None:
            narrow = networks.narrow
            content = {
                "network": narrow.network(self.chipset.size, networks.patch), "distil": {"weight": narrow.weight},
            }  # fmt: skip
            found[NARROW] = Lesson(content | self._epochs(narrow.epochs, narrow.rate), TEACHER)
        found[MISLED] = Lesson(self._shape(networks.depth) | self._epochs(networks.misled_epochs), mixed=True)
        return {**found, "mistaught": self._student(depth, teacher=MISLED)}

    def trained(self, name: str, lesson: Lesson) -> Any:
        """A network after its lesson; a finished one in the folder of the seed is taken up again."""
        teacher = {"teacher": str(self.out / lesson.teacher)} if lesson.teacher else {}
        options = read_options({"batch_size": self.networks.batch_size, **lesson.content, **teacher})
        return train(
            self.mixed if lesson.mixed else self.chipset, self.part, options, self.out / name, seed=self.seed,
            progress=False, say=lambda text: None,
        )  # fmt: skip

    def _student(self, depth: int, *, teacher: str = TEACHER, weight: float = 1.0) -> Lesson:
        """For the teacher's network with its first ``depth`` blocks, which start from it."""
        content = {"distil": {"depth": depth, "weight": weight}}
        return Lesson(content | self._epochs(self.networks.student_epochs), teacher)

    def _small(self, *, taught: bool) -> Lesson:
        """For a narrower network with a narrower head, or one of convolutions; starts from random weights."""
        shape, teacher = self.networks.small, TEACHER if taught else ""
        if isinstance(shape, SmallUNet):
            weight: dict[str, Any] = {"distil": {"weight": shape.weight}} if taught else {}
            return Lesson({"network": shape.network(), **weight, **self._epochs(shape.epochs, shape.rate)}, teacher)
        width, depth, head = shape
        network = self.networks.network(self.chipset.size, width, depth, head)
        return Lesson({"network": network, **self._epochs(self.networks.student_epochs)}, teacher)

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

    def everybody(self, workers: int = 0) -> dict[str, Predictor]:
        """All by name but the teacher with the labels of others.

        Args:
            workers: processes that train, each one network at a time; below 2 trains here. The networks are the same.

        Raises:
            InputError: a network could not be trained.
        """
        lessons = self.lessons()
        if workers > 1:
            for taught in (False, True):
                self._ahead([name for name, lesson in lessons.items() if bool(lesson.teacher) == taught], workers)
        found: dict[str, Predictor] = {FOREST: self.forest(7), PIXEL_FOREST: self.forest(1)}
        found |= {name: self.trained(name, lesson) for name, lesson in lessons.items()}
        del found[MISLED]
        return found

    def _ahead(self, names: list[str], workers: int) -> None:
        """Train some networks in processes of their own; they are found in their folders after that."""
        failures = Failures()
        job = Job(workers, stage="train", progress="training networks")
        list(run_each(names, partial(_learn, self), job=job, failures=failures))
        if failures.rows:
            first = failures.rows[0]
            raise InputError(
                f"The network {first.item} could not be trained: {first.reason}",
                expected="all of them",
                remedy="run the same command again; finished networks are taken up",
            )

    def score(self, predictor: Predictor, split: str = "test") -> float:
        """Mean IoU over the pixels of a part."""
        return mean_iou(predictor, self.chipset, self.part.ids(split))

    def _shape(self, depth: int) -> dict[str, Any]:
        networks = self.networks
        return {"network": networks.network(self.chipset.size, networks.width, depth, networks.head_width)}

    def _epochs(self, epochs: int, rate: float | None = None) -> dict[str, Any]:
        fit = {"epochs": epochs, "learning_rate": rate or self.networks.rate, "weight_decay": 0.05, "device": "cpu"}
        return {"fit": {**fit, "threads": 1, "checkpoint_every_epochs": epochs}}


def _learn(everybody: Class, name: str) -> None:
    """One network, in the process of a worker."""
    with repeatable(1):
        everybody.trained(name, everybody.lessons()[name])


def mean_iou(predictor: Predictor, chipset: ChipSet, names: list[str]) -> float:
    """Mean IoU of a predictor over the labelled pixels of some chips."""
    batches = (chipset.batch(names[at : at + 32]) for at in range(0, len(names), 32))
    return float(judge.score(predictor, batches, target=chipset.target).value("miou"))
