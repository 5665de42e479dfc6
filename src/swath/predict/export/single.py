"""A task of one input as a function of values and their mask, which is what a graph can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from swath.errors import ConfigError
from swath.sensors import BandSet
from swath.types import Task
from swath.types.prediction import OUTPUTS


class SingleInput(nn.Module):
    """The first output of a task from the values of its one input.

    Args:
        task: a ``ModelTask``: its network, intake and goal are used as they are.

    Raises:
        ConfigError: the network reads several inputs, batches, or the days of its dates.
    """

    def __init__(self, task: Any) -> None:
        super().__init__()
        _check(task)
        self.network, self.goal = task.network, task.goal
        ((name, bands),) = task.inputs.items()
        self.normalise = task.intake.normalise[name]
        self.task: Task = task.task
        self.inputs: Mapping[str, BandSet] = {name: bands}
        self.classes: tuple[str, ...] = task.classes
        self.colours: tuple[str, ...] = task.colours
        self.dates: int = task.dates[name]
        self.name = name
        pair = getattr(self.network.spec, "time", "") in ("difference", "concat") and self.dates == 2
        self.valid_rule: Literal["any", "each"] = "each" if pair else "any"

    @property
    def multiple(self) -> int:
        """What rows and columns are padded to inside."""
        branches = self.network.branches() if hasattr(self.network, "branches") else {}
        return max((int(branch.multiple) for branch in branches.values()), default=1)

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Logits or means, from physical values and their mask ``(B, T, C, H, W)``."""
        days = torch.zeros(values.shape[:2], dtype=torch.float64, device=values.device)
        image = self.normalise(values, valid)
        raw = self.network({self.name: image}, {self.name: valid.any(dim=2)}, {self.name: days})
        found: Tensor = self.goal.outputs(raw.float())[OUTPUTS[self.task][0]]
        return found


def _check(task: Any) -> None:
    """Refuse what a graph of values and mask alone cannot compute."""
    reasons = {
        f"reads the inputs {', '.join(task.inputs)}": len(task.inputs) != 1,
        "is a published encoder, which reads dates, places and its own choice of bands": task.intake is None,
        "reads the days of its dates": bool(getattr(task.network, "needs_days", False)),
    }
    for reason, wrong in reasons.items():
        if wrong:
            raise ConfigError(
                f"The model {reason}, and an exported graph is given values and their mask alone",
                expected="one input whose dates are pooled or compared",
                remedy="predict with the folder of the run, or train with another network or time: pool",
            )
