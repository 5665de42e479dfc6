"""Students of a teacher on a pretrained encoder: fewer blocks, narrower ones, weights of the right blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from learn_samples import Loader, MadeUp
from masked_fakes import grouped, space_time

from swath.errors import ConfigError
from swath.learn import FitConfig, ModelTask, fit, load_checkpoint, read_options, save_checkpoint
from swath.learn.building import build
from swath.learn.distil import Distilled
from swath.learn.options import DistilOptions, TrainOptions
from swath.learn.plan import parts_of
from swath.learn.students import student_of
from swath.learn.transferred import TransferredNetwork
from swath.nn.depth import ordered_parts

FAMILIES = ("space_time", "grouped")
CONFIG = FitConfig(epochs=1, learning_rate=0.01, threads=1)


def teacher_of(folder: Path, samples: MadeUp, family: str = "space_time", **options: Any) -> ModelTask:
    pretraining = space_time(("time", "place"), depth=4) if family == "space_time" else grouped()
    save_checkpoint(folder / "pretraining", pretraining, config={}, provenance={})
    given = {"pretrained": str(folder / "pretraining"), "network": {"head": "fcn", "head_width": 8}, **options}
    if samples.task == "classification":
        given["network"] = {}
    return build(samples, samples.measured(), read_options(given), seed=1, say=lambda text: None)


def options_of(**distil: Any) -> TrainOptions:
    return read_options({"teacher": "run", "distil": distil})


def student(teacher: ModelTask, samples: MadeUp, **distil: Any) -> tuple[ModelTask, str]:
    told: list[str] = []
    made = student_of(teacher, samples, samples.measured(), options_of(**distil), seed=0, say=told.append)
    return made, told[0]


@pytest.mark.parametrize(("layers", "blocks"), [("first", (0, 1)), ("even", (0, 3))])
def test_fewer_blocks_start_from_those_of_the_teacher(tmp_path: Path, layers: str, blocks: tuple[int, int]) -> None:
    samples = MadeUp(size=16)
    teacher = teacher_of(tmp_path, samples)
    made, told = student(teacher, samples, depth=2, layers=layers)
    assert f"student: blocks {blocks[0]}, {blocks[1]} of 4" in told
    ours, theirs = made.state_dict(), teacher.state_dict()
    for name, value in ours.items():
        if not name.startswith("network.body.encoder."):
            continue
        words = name.split(".")
        if words[3] == "blocks":
            words[4] = str(blocks[int(words[4])])
        assert torch.equal(value, theirs[".".join(words)]), name  # patch embedding and norm among them
    differs = [name for name in ours if ".head." in name and name.endswith("weight") and ours[name].ndim > 1]
    assert differs and not any(torch.equal(ours[name], theirs[name]) for name in differs)
    assert dict(made.inputs) == dict(teacher.inputs) and made.dates == teacher.dates
    assert made.intake is not None and teacher.intake is not None
    means = [each.normalise["image"].mean for each in (made.intake, teacher.intake)]
    assert torch.equal(*means) and means[0] is not means[1]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", ["segmentation", "classification", "pixel_regression"])
def test_it_learns_and_comes_back_from_its_checkpoint(tmp_path: Path, family: str, task: Any) -> None:
    samples = MadeUp(task, size=8)
    teacher = teacher_of(tmp_path, samples, family)
    made, _ = student(teacher, samples, depth=1)
    learner = Distilled(made, teacher, DistilOptions(depth=1))
    found = fit(learner, Loader(samples, 12), config=CONFIG, out=tmp_path / "run", seed=0, progress=False)
    again = load_checkpoint(found.last)
    batch = samples.batch(samples.ids[:2])
    first, second = made.predict(batch), again.predict(batch)
    assert all(torch.equal(value, second.outputs[name]) for name, value in first.outputs.items())
    assert isinstance(again.network, TransferredNetwork) and again.network.spec.encoder["depth"] == 1


def test_a_narrower_one_starts_anew(tmp_path: Path) -> None:
    samples = MadeUp(size=8)
    teacher = teacher_of(tmp_path, samples)
    made, told = student(teacher, samples, depth=2, width=12)
    assert isinstance(made.network, TransferredNetwork)
    spec = made.network.spec.encoder
    assert (spec["width"], spec["heads"], spec["depth"]) == (12, 1, 2)
    # Only the two factors of time and place have one size at every width.
    assert "2 of its" in told
    grouped_teacher = teacher_of(tmp_path / "other", samples, "grouped")
    narrow, _ = student(grouped_teacher, samples, depth=1, width=16)
    answer = Distilled(narrow, grouped_teacher, DistilOptions()).loss(samples.batch(samples.ids[:2]), torch.Generator())
    assert torch.isfinite(answer["loss_sum"])


def test_a_teacher_tuned_by_lora_gives_its_merged_weights(tmp_path: Path) -> None:
    samples = MadeUp(size=8)
    teacher = teacher_of(tmp_path, samples, tuning="lora")
    with torch.no_grad():
        for name, value in teacher.named_parameters():
            if name.endswith(("low_up", "low_down")):
                value.fill_(0.1)
    made, _ = student(teacher, samples, depth=4)
    assert isinstance(teacher.network, TransferredNetwork) and isinstance(made.network, TransferredNetwork)
    image = torch.rand(1, 1, 2, 8, 8)
    ours, theirs = (each.network.body.eval().features(image).maps[-1] for each in (made, teacher))  # type: ignore[union-attr]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    samples = MadeUp(size=8)
    teacher = teacher_of(tmp_path, samples)
    for distil, part in (({"depth": 5}, "has 4"), ({"depth": 2, "width": 64}, "has 32")):
        with pytest.raises(ConfigError, match=part):
            student(teacher, samples, **distil)
    with pytest.raises(ConfigError, match="tuned by 'adapter'"):
        student(teacher_of(tmp_path / "other", samples, tuning="bottleneck"), samples, depth=2)
    with pytest.raises(ConfigError, match=r"'distil\.depth' beside it"):
        options_of(width=8)


def test_its_parts_in_order_and_the_tuning_of_the_last(tmp_path: Path) -> None:
    samples = MadeUp(size=8)
    teacher = teacher_of(tmp_path, samples, tuning={"method": "partial", "blocks": 2})
    names = ordered_parts(teacher.network)
    assert names[1] == ("body.encoder.blocks.0",) and names[-1] == ("body.head",)
    learning = {name.split(".")[2] for name, value in teacher.named_parameters() if value.requires_grad}
    assert learning == {"encoder", "head"}
    assert all("norm" in name or "head" in name for name, value in teacher.named_parameters() if value.requires_grad)
    assert [part for part, _, _ in parts_of(teacher.network)] == ["body.encoder", "body.head"]
