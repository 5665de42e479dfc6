"""Options that several commands share, declared once: a dataclass of options stands for all of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameters that are dataclasses appear as one option for each of their fields.

    Fields are annotated as options of typer are, and have defaults; they appear where the parameter stands, and the
    command gets the dataclass filled with what was given. Names must differ among all options of the command.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)}
    names = inspect.signature(command).parameters
    parameters: list[inspect.Parameter] = []
    for name, parameter in names.items():
        if name in groups:
            parameters += _expanded(groups[name])
        else:
            kept = parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            parameters.append(kept)

    @functools.wraps(command)
    def whole(**options: Any) -> None:
        given = {name: _filled(groups[name], options) if name in groups else options[name] for name in names}
        command(**given)

    whole.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    whole.__annotations__ = {each.name: each.annotation for each in parameters}
    return whole


def _filled(kind: type[Any], options: Mapping[str, Any]) -> Any:
    """A group of options with what was given for each."""
    return kind(**{each.name: options[each.name] for each in fields(kind)})


def _expanded(kind: type[Any]) -> list[inspect.Parameter]:
    """One keyword parameter for each field."""
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=_default(each), annotation=hints[each.name]
        )
        for each in fields(kind)
    ]


def _default(each: Field[Any]) -> Any:
    return inspect.Parameter.empty if each.default is MISSING else each.default
