"""A student learns from a teacher: the loss by hand, nothing that is invalid, and a checkpoint of the student alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from learn_samples import Loader, MadeUp

from swath.errors import ConfigError, InputError
from swath.learn import FitConfig, ModelTask, SegmentationTask, fit, load_checkpoint, read_options, save_checkpoint
from swath.learn.building import build
from swath.learn.distil import Distilled, distance, load_teacher
from swath.learn.options import DistilOptions
from swath.learn.students import chosen_blocks, copy_blocks, shaped_like
from swath.learn.task import evaluation
from swath.nn import Normalise, UNet
from swath.types import Task

VIT = {"backbone": "vit_micro", "head_width": 8, "options": {"width": 12, "depth": 4, "patch": 4}}
CONFIG = FitConfig(epochs=2, learning_rate=0.01, threads=1, checkpoint_every_steps=1)


def made(samples: MadeUp, seed: int = 0, **options: Any) -> ModelTask:
    return build(samples, samples.measured(), read_options(options), seed=seed, say=lambda text: None)


def plain(width: int, seed: int, classes: tuple[str, ...] = ("dark", "bright", "never")) -> SegmentationTask:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        bands = MadeUp().inputs["image"]
        network = UNet(2, len(classes), width=width, depth=1)
        return SegmentationTask(network, Normalise([0.5, 0.5], [0.3, 0.3], names=bands.names), bands, classes)


def state(task: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in task.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_divergence_by_hand_and_only_where_it_counts() -> None:
    student = torch.tensor([[[0.0, 5.0]], [[math.log(3.0), -7.0]]]).permute(1, 0, 2)  # (1, K, 2 places)
    teacher = torch.tensor([[[2 * math.log(3.0), math.nan]], [[0.0, math.nan]]]).permute(1, 0, 2)
    usable = torch.tensor([[True, False]])
    found = distance({"logits": student}, {"logits": teacher}, usable, plain(4, 0), 2.0)
    # At temperature 2 the teacher says (3, 1) / 4 and the student (1, sqrt 3) / (1 + sqrt 3).
    root = math.sqrt(3.0)
    shares = (1 / (1 + root), root / (1 + root))
    wanted = 4 * (0.75 * math.log(0.75 / shares[0]) + 0.25 * math.log(0.25 / shares[1]))
    assert float(found.total) == pytest.approx(wanted, rel=1e-5)
    assert float(found.count) == 1


def test_labels_and_quantities_by_hand() -> None:
    labels = made(MadeUp("multilabel"), network=VIT)
    logits = {"logits": torch.tensor([[0.0, 9.0]])}, {"logits": torch.tensor([[math.log(3.0), 0.0]])}
    found = distance(*logits, torch.tensor([[True, False]]), labels, 1.0)
    assert float(found.total) == pytest.approx(0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5), rel=1e-5)
    values = made(MadeUp("regression"), network=VIT)  # spreads of 50 m and 2 t
    means = {"mean": torch.tensor([[100.0, 5.0]])}, {"mean": torch.tensor([[125.0, 7.0]])}
    found = distance(*means, torch.tensor([[True, True]]), values, 1.0)
    assert (float(found.total), float(found.count)) == (pytest.approx(0.5**2 + 1.0), 2)


@pytest.mark.parametrize("task", ["segmentation", "change", "classification", "multilabel", "regression",
                                  "pixel_regression"])  # fmt: skip
def test_the_loss_is_the_own_one_and_a_weighted_mean(task: Task) -> None:
    samples = MadeUp(task, {"image": 2 if task == "change" else 1})
    student, teacher = made(samples, network=VIT), made(samples, 1, network=VIT)
    batch, stream = samples.batch(samples.ids[:6]), torch.Generator()
    own = student.loss(batch, stream)
    both = Distilled(student, teacher, DistilOptions(weight=2.0)).loss(batch, stream)
    assert torch.equal(both["count"], own["count"])
    far = float((both["loss_sum"] - own["loss_sum"]).detach() / own["count"])
    assert far > 1e-4
    alike = Distilled(student, student, DistilOptions()).loss(batch, stream)
    assert float(alike["loss_sum"].detach()) == pytest.approx(float(own["loss_sum"].detach()), rel=1e-5)
    # What lies where no target is valid teaches nothing.
    name = student.goal.target
    nothing = {name: torch.zeros_like(batch.target_valid[name])}
    blind = Distilled(student, teacher, DistilOptions()).loss(
        type(batch)(batch.inputs, batch.targets, nothing, batch.ids), stream
    )
    assert float(blind["loss_sum"].detach()) == 0


def test_a_narrower_unet_learns_from_a_wide_one_and_stands_alone(tmp_path: Path) -> None:
    samples, teacher = MadeUp(size=16), plain(8, 1)
    before, loader = state(teacher), Loader(samples, 12)

    task = Distilled(plain(4, 0), teacher, DistilOptions(temperature=2), "one")
    fit(task, loader, config=CONFIG, out=tmp_path / "run", seed=0, progress=False)
    assert same(before, state(teacher)) and not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
    again = load_checkpoint(tmp_path / "run" / "last")
    assert isinstance(again, SegmentationTask)
    assert set(again.state_dict()) == set(plain(4, 0).state_dict())
    batch = samples.batch(samples.ids[:2])
    assert torch.equal(again.predict(batch).outputs["logits"], task.student.predict(batch).outputs["logits"])
    alone = plain(4, 0)
    fit(alone, loader, config=CONFIG, out=tmp_path / "alone", seed=0, progress=False)
    assert not same(state(alone), state(task.student))  # the teacher makes a difference
    with pytest.raises(ConfigError, match=r"distil\.temperature was 2\.0 and is now 1\.0"):
        fit(
            Distilled(plain(4, 0), teacher, DistilOptions(), "one"), loader, config=CONFIG, out=tmp_path / "run", seed=0
        )


class Stopping(Loader):
    """Gives up in the middle of the second epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Any:
        for number, batch in enumerate(super().epoch(epoch, start)):
            if epoch == 1 and start + number == 1:
                raise KeyboardInterrupt
            yield batch


def test_a_stopped_run_goes_on_to_the_bit(tmp_path: Path) -> None:
    samples = MadeUp("classification", size=16)
    teacher = made(samples, 1, network=VIT)
    found = []
    for stop in (False, True):
        out = tmp_path / str(stop)
        if stop:
            with pytest.raises(KeyboardInterrupt):
                fit(Distilled(made(samples, network=VIT), teacher, DistilOptions()), Stopping(samples, 8),
                    config=CONFIG, out=out, seed=0, progress=False)  # fmt: skip
        task = Distilled(made(samples, network=VIT), teacher, DistilOptions())
        ended = fit(task, Loader(samples, 8), config=CONFIG, out=out, seed=0, progress=False)
        assert ended.resumed is stop
        found.append(state(task.student))
    assert same(*found)


@pytest.mark.parametrize(("layers", "blocks"), [("first", (0, 1)), ("even", (0, 3))])
def test_a_student_of_fewer_blocks_starts_from_its_teacher(layers: str, blocks: tuple[int, ...]) -> None:
    samples = MadeUp(size=16)
    teacher = made(samples, 1, network=VIT)
    options = shaped_like(teacher, read_options({"teacher": "run", "distil": {"depth": 2, "layers": layers}}))
    student = build(samples, samples.measured(), options, seed=0)
    fresh = state(student)
    told = copy_blocks(teacher, student, layers)
    assert f"blocks {blocks[0]}, {blocks[1]} of 4" in told
    ours, theirs = student.state_dict(), teacher.state_dict()
    for place, block in enumerate(blocks):
        name = "network.encoder.backbone.blocks.{}.attention.qkv.weight"
        assert torch.equal(ours[name.format(place)], theirs[name.format(block)])
    assert all(torch.equal(ours[name], fresh[name]) for name in ours if ".head." in name)
    found = Distilled(student, teacher, DistilOptions()).loss(samples.batch(samples.ids[:4]), torch.Generator())
    assert torch.isfinite(found["loss_sum"])


def test_choices_of_blocks() -> None:
    assert chosen_blocks(12, 4, "first") == (0, 1, 2, 3)
    assert chosen_blocks(12, 4, "even") == (0, 4, 7, 11)
    assert chosen_blocks(12, 1, "even") == chosen_blocks(1, 1, "first") == (0,)
    for depth in range(1, 13):
        found = chosen_blocks(12, depth, "even")
        assert list(found) == sorted(set(found)) and max(found) < 12


def test_teachers_of_something_else_are_refused() -> None:
    student = plain(4, 0)
    for teacher, part in (
        (plain(4, 0, ("bright", "dark", "never")), "classes"),
        (made(MadeUp("classification"), network=VIT), "task is"),
        (made(MadeUp(), network=VIT, bands=["B04"]), "bands"),
        (made(MadeUp(dates={"image": 2}), network=VIT), "dates"),
    ):
        with pytest.raises(InputError, match=part):
            Distilled(student, teacher, DistilOptions())


def test_students_that_cannot_be_are_refused(tmp_path: Path) -> None:
    shorter = read_options({"teacher": "run", "distil": {"depth": 9}})
    with pytest.raises(ConfigError, match="no transformer of equal blocks"):
        shaped_like(plain(4, 0), shorter)
    with pytest.raises(ConfigError, match="has 4"):
        shaped_like(made(MadeUp(size=16), network=VIT), shorter)
    with pytest.raises(ConfigError, match="tuned by 'adapter'"):
        shaped_like(made(MadeUp(size=16), network=VIT, tuning="bottleneck"), shorter)
    for wrong, part in (
        ({"distil": {"weight": 2}}, "a 'teacher'"),
        ({"teacher": "run", "distil": {"layers": "even"}}, "distil.depth"),
        ({"teacher": "run", "distil": {"depth": 2}, "network": {"width": 4}}, "not both"),
        ({"teacher": "run", "cache_views": 2}, "no 'teacher'"),
    ):
        with pytest.raises(ConfigError, match=part):
            read_options(wrong)
    with pytest.raises(ConfigError, match="no such folder"):
        load_teacher(str(tmp_path / "nowhere"))
    save_checkpoint(tmp_path / "best", plain(4, 0), config={}, provenance={})
    teacher, fingerprint = load_teacher(str(tmp_path))
    assert len(fingerprint) == 64 and same(state(teacher), state(plain(4, 0)))


def test_dropout_of_the_teacher_is_off() -> None:
    samples = MadeUp(size=16)
    network = {**VIT, "options": {**VIT["options"], "drop_path": 0.5}}
    teacher = made(samples, 1, network=network).train()
    task = Distilled(made(samples, network=VIT), teacher, DistilOptions())
    batch = samples.batch(samples.ids[:4])
    with evaluation(task.student):
        first, second = (task.loss(batch, torch.Generator())["loss_sum"] for _ in range(2))
    assert torch.equal(first, second)
