"""The spine of every task but the plain U-Net: what is read, a network, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.learn.goals import AnyGoal, ValueGoal, goal_from_record
from swath.learn.intake import Intake
from swath.learn.published import PublishedNetwork
from swath.learn.record import architecture_of, bands_from_records, bands_to_records, build_network
from swath.learn.task import Answer, evaluation
from swath.nn import Loss, Normalise
from swath.nn.branch import PAIRS
from swath.nn.joint import JointNetwork
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task

if TYPE_CHECKING:
    from swath.learn.transferred import TransferredNetwork

SECTIONS = ("task", "architecture", "inputs", "classes", "colours", "loss")
"""What ``model.json`` of such a task has to hold."""


class ModelTask(nn.Module):
    """A network with its inputs and its goal: source of the training loss and ``Predictor`` in one.

    Args:
        network: a ``JointNetwork`` or ``TransferredNetwork``, which gets an ``intake``; or a ``PublishedNetwork``,
            which reads batches itself.
        goal: what the numbers mean.
        intake: bands and statistics of every input.
        colours: one ``#rrggbb`` per class for maps, or empty.
        modality_dropout: share of samples in which each of several inputs is hidden while training.

    Raises:
        ConfigError: network, inputs and goal do not fit together.
    """

    def __init__(
        self,
        network: JointNetwork | PublishedNetwork | TransferredNetwork,
        goal: AnyGoal,
        intake: Intake | None = None,
        *,
        colours: Sequence[str] = (),
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.network, self.goal, self.intake = network, goal, intake
        self.task: Task = goal.task
        self.classes = goal.names
        self.colours = tuple(colours)
        self.modality_dropout = modality_dropout
        self.inputs: Mapping[str, BandSet] = intake.bands if intake is not None else _inputs_of(network)
        self.extras = {"variance": goal.names} if isinstance(goal, ValueGoal) and goal.spread else {}
        self._check()

    @property
    def dates(self) -> dict[str, int]:
        """Usual number of dates of each input; empty where the network takes any."""
        return dict(self.intake.dates) if self.intake is not None else {}

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Raw numbers ``(B, R, [H, W])``, and where they mean something ``(B, [H, W])``; on the device of the weights.

        Raises:
            ContractError: no input of the network is in the batch, or shapes do not fit.
            InputError: a wanted band is missing, or dates are needed and not known.
        """
        return self._raw(batch, None)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """``loss_sum`` and ``count`` over the valid targets whose input can be seen.

        Raises:
            ContractError: the batch has no such target, or it has other pixels than the first input.
            InputError: as ``forward``.
        """
        found = self.own_loss(self.answer(batch, rng))
        return {"loss_sum": found.total, "count": found.count}

    def answer(self, batch: Batch, rng: torch.Generator) -> Answer:
        """What the network says, as in training, and what it should have said.

        Raises:
            ContractError: as ``loss``.
            InputError: as ``forward``.
        """
        target, valid = self._target(batch)
        raw, known = self._raw(batch, rng)
        target, valid = target.to(raw.device), valid.to(raw.device).expand_as(target)
        if isinstance(self.goal, ValueGoal) or self.task == "multilabel":
            known = known[:, None]  # one mask for all quantities or labels
        wanted = target.shape if self.goal.target == "label" and self.task != "multilabel" else target[:, 0].shape
        if raw[:, 0].shape != wanted:
            raise ContractError(
                f"The network gives {tuple(raw.shape)} and the target has the shape {tuple(target.shape)}",
                expected="a target on the pixels of the first input",
                remedy="bring the target to that grid, or let the input whose grid it has come first",
            )
        return Answer(raw.float(), target, valid & known)

    def own_loss(self, answer: Answer) -> Loss:
        """The loss of an answer against its targets."""
        return self.goal.loss(answer.raw, answer.target, answer.usable)

    def outputs(self, raw: Tensor) -> dict[str, Tensor]:
        """Logits or means from raw numbers, as in a prediction."""
        return self.goal.outputs(raw)

    def predict(self, batch: Batch) -> Prediction:
        """Logits or means, in evaluation mode and without gradients, on the device of the batch.

        Raises:
            ContractError: no input of the network is in the batch, or shapes do not fit.
            InputError: as ``forward``.
        """
        with evaluation(self), torch.inference_mode():
            raw, known = self._raw(batch, None)
            device = next(iter(batch.inputs.values())).values.device
            outputs = {name: value.to(device) for name, value in self.goal.outputs(raw.float()).items()}
            return Prediction(self.task, outputs, known.to(device), self.classes)

    def record(self) -> dict[str, Any]:
        """All that rebuilds the task except its weights; see ``learn.checkpoint`` and ``from_record``."""
        inputs = {
            name: {"bands": bands_to_records(bands), **self._input_record(name)} for name, bands in self.inputs.items()
        }
        return {
            "task": self.task,
            "architecture": architecture_of(self.network),
            "inputs": inputs,
            "classes": list(self.classes),
            "colours": list(self.colours),
            "modality_dropout": self.modality_dropout,
            **self.goal.record(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> ModelTask:
        """The task that ``record()`` describes, with fresh weights.

        Raises:
            InputError: the record does not fit this version of swath.
        """
        network: Any = build_network(record["architecture"], where)
        goal = goal_from_record(record)
        options: dict[str, Any] = {
            "colours": record["colours"],
            "modality_dropout": float(record.get("modality_dropout", 0.0)),
        }
        if isinstance(network, PublishedNetwork):
            bands = bands_from_records(next(iter(record["inputs"].values()))["bands"], where)
            return cls(network.using(bands), goal, **options)
        bands_of = {name: bands_from_records(each["bands"], where) for name, each in record["inputs"].items()}
        normalise = {
            name: Normalise(each["statistics"]["mean"], each["statistics"]["std"], names=bands_of[name].names)
            for name, each in record["inputs"].items()
        }
        dates = {name: int(each["dates"]) for name, each in record["inputs"].items()}
        places = bool(getattr(network, "needs_places", False))
        intake = Intake(bands_of, normalise, dates, needs_days=network.needs_days, needs_places=places)
        return cls(network, goal, intake, **options)

    def _raw(self, batch: Batch, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """As ``forward``; with a generator, inputs are hidden as in training."""
        if isinstance(self.network, PublishedNetwork):
            found: tuple[Tensor, Tensor] = self.network(batch)
            return found
        assert self.intake is not None  # _check has seen to it
        seen = self.intake(batch)
        if rng is not None:
            seen = seen.hiding(self.modality_dropout, rng)
        where = (seen.places,) if self.intake.needs_places else ()
        raw: Tensor = self.network(seen.images, seen.seen, seen.days, *where)
        known = seen.known(self.network.spec.time in PAIRS)
        return raw, known if self.goal.dense else known.flatten(1).any(1)

    def _target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        name = self.goal.target
        if name not in batch.targets:
            raise ContractError(
                f"The batch has no target '{name}' (it has {', '.join(sorted(batch.targets)) or 'none'})",
                expected=f"the target of the task '{self.task}'",
                remedy=f"name the target '{name}' in the loader",
            )
        return batch.targets[name], batch.target_valid[name]

    def _input_record(self, name: str) -> dict[str, Any]:
        if self.intake is None:
            return {}
        normalise: Any = self.intake.normalise[name]
        statistics = {"mean": normalise.mean.tolist(), "std": normalise.std.tolist()}
        return {"statistics": statistics, "dates": self.intake.dates[name]}

    def _check(self) -> None:
        spec = self.network.spec
        wanted = {
            "outputs of the network": (spec.outputs, self.goal.raw, f"numbers that '{self.task}' needs"),
            "colours": (len(self.colours or self.classes), len(self.classes), "classes"),
        }
        if not isinstance(self.network, PublishedNetwork):
            if self.intake is None or set(self.intake.bands) != set(self.network.spec.inputs):
                raise ConfigError(
                    f"The inputs are {', '.join(self.inputs)} and those of the network "
                    f"{', '.join(self.network.spec.inputs)}",
                    expected="the same",
                    remedy="build the network for these inputs",
                )
            for name, bands in self.inputs.items():
                wanted[f"bands of '{name}'"] = (len(bands), self.network.spec.inputs[name]["bands"], "of the network")
        for what, (given, expected, of) in wanted.items():
            if given != expected:
                raise ConfigError(
                    f"There are {given} {what} and {expected} {of}",
                    expected="the same number of both",
                    remedy="build the network, the inputs and the legend for the same bands and classes",
                )
        if (spec.head == "vector") == self.goal.dense:
            raise ConfigError(
                f"The task is '{self.task}' and the head '{spec.head}'",
                expected="a head that gives numbers per pixel (linear, fcn, unet, upernet)" if self.goal.dense
                else "the head 'vector'",
                remedy="leave the head out for the usual one",
            )  # fmt: skip


def _inputs_of(network: nn.Module) -> Mapping[str, BandSet]:
    if isinstance(network, PublishedNetwork):
        return network.inputs
    raise ConfigError(
        "The network has no intake", expected="bands and statistics of every input", remedy="give an Intake"
    )
