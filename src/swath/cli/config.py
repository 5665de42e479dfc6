"""``--config FILE.yaml``: the options of a command from a file; what is typed beats the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from swath.errors import ConfigError, nearest
from swath.files import read_yaml

_WHAT = "a YAML file with the options of the command, in lines such as 'tile: 256' or 'bands: [B02, B03]'"


def _take(ctx: typer.Context, path: Path | None) -> Path | None:
    """Make the options of the file the defaults of this call.

    Raises:
        ConfigError: the file is no mapping, names an unknown option, or gives one a value that no option takes.
        InputError: there is no such file.
    """
    if path is None:
        return None
    content = read_yaml(path, _WHAT)
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise ConfigError(f"{path} holds {found}", expected=_WHAT, remedy="write one option a line, without dashes")
    known = {
        str(each.name): bool(getattr(each, "is_flag", False))
        for each in ctx.command.params
        if each.param_type_name == "option" and each.name not in ("config", "help")
    }
    values = {}
    for (key, value), text in zip(content.items(), _as_written(path).values(), strict=True):
        name = _name(key, known, path)
        if value is not None:
            values[name] = value if known[name] and isinstance(value, bool) else _typed(key, text, path)
    ctx.default_map = {**(ctx.default_map or {}), **values}
    return path


def _as_written(path: Path) -> dict[str, Any]:
    """The file once more, every number, date and word as text: 05.10 is another processing baseline than 5.1."""
    import yaml

    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    return content


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="YAML with options of this command; what is typed beats it.",
        callback=_take,
        is_eager=True,
    ),
]


def _name(key: object, known: Mapping[str, bool], path: Path) -> str:
    """The parameter of an option as it is written on the command line, with or without its dashes."""
    name = str(key).removeprefix("--").replace("-", "_")
    if name not in known:
        spelt = sorted(each.replace("_", "-") for each in known)
        raise ConfigError(
            f"{path} gives the option '{key}', which the command does not have",
            expected=f"one of {', '.join(spelt)}",
            remedy=f"the nearest are: {nearest(str(key), spelt)}",
        )
    return name


def _typed(key: object, text: Any, path: Path) -> str:
    """A value as it would be typed; lists become names between commas."""
    items = text if isinstance(text, list) else [text]
    if not all(isinstance(item, str) for item in items):
        raise ConfigError(
            f"{path} gives the option '{key}' a value with parts of its own",
            expected="a number, a text, true or false, or a plain list",
            remedy=f"write '{key}: VALUE' or '{key}: [FIRST, SECOND]'",
        )
    return ",".join(items)
