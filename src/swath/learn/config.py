"""Options of a training run, and the sentences for options that are wrong."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import annotated_types
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from swath.errors import ConfigError, nearest

Model = TypeVar("Model", bound=BaseModel)
Share = Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)]


class FitConfig(BaseModel):
    """How to train; the same for every task.

    Args:
        epochs: passes over the training set.
        learning_rate: peak learning rate of AdamW (Loshchilov and Hutter 2019).
        final_share: learning rate at the end, as a share of the peak.
        warmup_share: share of all steps over which the learning rate rises linearly; a cosine brings it down after.
        betas: decay per step of AdamW's averages of the gradient and of its square.
        weight_decay: decoupled weight decay; biases and normalisation parameters have none.
        layer_decay: factor of the learning rate per part of the network from output to input (Clark et al. 2020; Bao et
            al. 2022): the head learns at the full rate, the embedding slowest; 1 for one rate. 0.65 to 0.75 is usual
            for transformers. See ``nn.ordered_parts`` for the parts.
        encoder_learning_rate: learning rate of the encoder as a share of ``learning_rate``, not a rate by itself; the
            rest learns at the full rate. Multiplies what ``layer_decay`` gives.
        accumulate: batches per optimiser step; the loss is divided by the valid count of all of them together.
        clip_norm: largest norm of the gradient, or None.
        ema_decay: decay per step of the moving average of the weights, which is validated and kept; None to go without.
            Early in a run it is at most ``(1 + step) / (10 + step)``, so that the start is forgotten.
        monitor: validation value that decides which epoch is the best.
        monitor_mode: whether a larger (max) or smaller (min) value is better.
        checkpoint_every_epochs: epochs between saved training states.
        checkpoint_every_steps: optimiser steps between saved training states within an epoch, or None.
        device: ``auto`` takes a graphics card if there is one.
        precision: ``auto`` is bfloat16 on a graphics card that has it and float32 on a processor, where bfloat16 would
            be about a hundred times slower.
        threads: processor threads, or None to leave torch as it is (with several processes: to share them evenly).
            Bit-identical resumption is promised for 1.
        processes: processes of this machine that share every batch; see ``learn.parallel``. Each takes a graphics
            card of its own where there are enough.
        tensorboard: whether to write curves for TensorBoard into ``curves/``, beside ``log.csv``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=20, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0, allow_inf_nan=False)
    final_share: float = Field(default=0.01, ge=0, le=1)
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    # The lower limit is a fence: whoever gives a rate instead of a share is told.
    encoder_learning_rate: float = Field(default=1.0, ge=0.01, le=1)
    accumulate: int = Field(default=1, ge=1)
    clip_norm: float | None = Field(default=1.0, gt=0)
    ema_decay: float | None = Field(default=0.99, ge=0, lt=1)
    monitor: str = "miou"
    monitor_mode: Literal["max", "min"] = "max"
    checkpoint_every_epochs: int = Field(default=1, ge=1)
    checkpoint_every_steps: int | None = Field(default=None, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    processes: int = Field(default=1, ge=1)
    tensorboard: bool = False


def parse(model_class: type[Model], mapping: Any, where: str) -> Model:
    """Build a pydantic model from what a user wrote, or say in plain words what is wrong.

    Args:
        model_class: the model, with ``extra="forbid"``.
        mapping: keys and values as read from a file or from flags.
        where: the file or command, for the message.

    Raises:
        ConfigError: one sentence that lists every unknown key (with the nearest known one), missing key and bad value.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(
            f"{where} holds {_shown(mapping)}",
            expected=f"keys and values; the keys are {', '.join(model_class.model_fields)}",
            remedy="write one 'key: value' per line",
        )
    try:
        model = model_class.model_validate(dict(mapping))
    except ValidationError as error:
        parts = [_sentence(model_class, detail) for detail in error.errors(include_url=False)]
    else:
        _check_numbers(mapping, where)
        return model
    raise ConfigError(
        f"{where}: " + "; ".join(given for given, _, _ in parts),
        expected="; ".join(dict.fromkeys(expected for _, expected, _ in parts)),
        remedy="; ".join(dict.fromkeys(remedy for _, _, remedy in parts)),
    )


def _check_numbers(mapping: Mapping[Any, Any], where: str) -> None:
    """Refuse numbers that are right for their field and yet mean nothing: endless, or too long to print."""
    wild = _wild_number(mapping)
    if wild is not None:
        raise ConfigError(
            f"{where}: '{wild}' is infinite, no number (NaN), or beyond 64 bits",
            expected="finite numbers",
            remedy=f"change '{wild}'",
        )


def _wild_number(value: Any, path: str = "") -> str | None:
    """Dotted place of the first number that no option can mean, or None."""
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        huge = isinstance(value, int) and value.bit_length() > 63
        return path if huge or (isinstance(value, float) and not math.isfinite(value)) else None
    found = (_wild_number(item, f"{path}.{key}" if path else str(key)) for key, item in items)
    return next((place for place in found if place is not None), None)


def _sentence(model_class: type[BaseModel], detail: ErrorDetails) -> tuple[str, str, str]:
    """What was given, what was expected, what to do, for one error of pydantic."""
    path = [str(part) for part in detail["loc"]]
    dotted = ".".join(path)
    owner = _owner(model_class, path[:-1])
    fields = owner.model_fields if owner is not None else {}
    if detail["type"] == "extra_forbidden":
        return (
            f"the key '{dotted}' is unknown",
            f"one of the keys {', '.join(fields)}",
            f"write {nearest(path[-1], fields, 1)} instead of {path[-1]}",
        )
    if detail["type"] == "missing":
        return f"the key '{dotted}' is missing", f"a value for '{dotted}'", f"add '{dotted}'"
    if path and path[-1] in fields:
        field = fields[path[-1]]
        wanted = f"'{dotted}' to be {_type_in_words(field.annotation, field.metadata)}"
    else:  # an item of a list, a rule across fields, or a key that is no text: pydantic's own words
        wanted = f"for '{dotted}': {detail['msg']}"
    return f"'{dotted}' is {_shown(detail['input'])}", wanted, f"change '{dotted}'"


def _owner(model_class: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    """The model that holds the key at the end of ``path``, or None when the path leaves the models."""
    current: type[BaseModel] | None = model_class
    for part in path:
        field = current.model_fields.get(part) if current is not None else None
        options = (field.annotation, *typing.get_args(field.annotation)) if field is not None else ()
        current = next((kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return current


WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    type(None): "nothing (null)",
    tuple: "a list",
}


def _type_in_words(annotation: Any, metadata: list[Any]) -> str:
    """An annotation and its limits as a person would say them."""
    arguments, origin = typing.get_args(annotation), typing.get_origin(annotation)
    if origin is Literal:
        words = "one of " + ", ".join(repr(argument) for argument in arguments)
    elif origin in (typing.Union, types.UnionType):
        return " or ".join(_type_in_words(a, [] if a is type(None) else metadata) for a in arguments)
    elif origin is Annotated:
        return _type_in_words(arguments[0], list(arguments[1:]))
    else:
        words = WORDS.get(origin or annotation) or str(getattr(annotation, "__name__", annotation))
        if arguments:
            words += " of " + ", ".join(_type_in_words(a, []) for a in arguments if a is not Ellipsis)
    limits = []
    for rule in metadata:
        if isinstance(rule, annotated_types.Ge):
            limits.append(f"at least {rule.ge}")
        elif isinstance(rule, annotated_types.Gt):
            limits.append(f"above {rule.gt}")
        elif isinstance(rule, annotated_types.Le):
            limits.append(f"at most {rule.le}")
        elif isinstance(rule, annotated_types.Lt):
            limits.append(f"below {rule.lt}")
    return ", ".join([words, *limits])


def _shown(value: Any) -> str:
    """A value with its kind, short enough for a message."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
