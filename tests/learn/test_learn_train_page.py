"""Every YAML block of docs/train.md is read, fits samples of its task, learns a step and predicts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from learn_samples import MadeUp

from swath.learn import read_options
from swath.learn.building import build
from swath.learn.goals import MONITOR, TASKS
from swath.learn.objective import SUITED

PAGE = (Path(__file__).parents[2] / "docs" / "train.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n# (.+?)\n(.*?)```", PAGE, re.DOTALL)


def _samples(title: str) -> MadeUp:
    task: Any = title.split()[0].rstrip(":")
    if "two sensors" in title:
        return MadeUp(task, {"optical": 1, "radar": 1}, size=16, coarse=True)
    return MadeUp(task, {"image": 3 if "3 dates" in title else 2 if "two dates" in title else 1}, size=16)


def test_every_task_has_a_block() -> None:
    assert {title.split()[0].rstrip(":") for title, _ in BLOCKS} == set(TASKS)


@pytest.mark.parametrize(("title", "text"), BLOCKS, ids=[title for title, _ in BLOCKS])
def test_a_block_trains(title: str, text: str) -> None:
    samples = _samples(title)
    model = build(samples, samples.measured(), read_options(yaml.safe_load(text)), seed=0)
    batch = samples.batch(samples.ids[:4])
    loss = model.loss(batch, torch.Generator().manual_seed(0))
    (loss["loss_sum"] / loss["count"]).backward()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in learning)
    model.predict(batch).check(batch, model.extras)


def test_the_table_of_tasks_is_what_the_code_has() -> None:
    for task in TASKS:
        row = next(line for line in PAGE.splitlines() if line.startswith("| `") and f"`{task}`" in line)
        assert f"`{MONITOR[task][0]}`" in row
        assert re.findall(r"`(\w+)`", row.split("|")[3]) == list(SUITED[task])
