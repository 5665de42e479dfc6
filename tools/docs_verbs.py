"""Pages of the command line, made from the commands themselves."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import typer


def commands() -> dict[str, Any]:
    """The commands of swath by name, as they stand in ``swath --help``."""
    command: Any = typer.main.get_command(importlib.import_module("swath.cli").app)
    return {name: each for name, each in command.commands.items() if not each.hidden}


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """What can be run: the command itself, or the commands of a group, with their full names."""
    if not hasattr(command, "commands"):
        yield f"swath {name}", command
        return
    for part, inner in command.commands.items():
        yield from leaves(f"{name} {part}", inner)


def verb_pages() -> dict[str, str]:
    """One page for each verb: address below ``docs`` to text."""
    known = commands()
    calls = {name: _calls(name, command) for name, command in known.items()}
    owners = {function: name for name in reversed(known) for function in calls[name]}
    owners.update({name: name for name in known if name in calls[name]})
    return {f"verbs/{name}.md": _page(name, command, calls[name], owners) for name, command in known.items()}


def _calls(name: str, command: Any) -> list[str]:
    """The functions of ``swath.verbs`` behind a command."""
    return sorted({each for _, leaf in leaves(name, command) for each in mirrored(leaf.callback)})


def verb_list(folder: str) -> str:
    """A table of all verbs with links, seen from a page of ``folder``."""
    rows = [f"| [`swath {name}`]({folder}verbs/{name}.md) | {_summary(each)} |" for name, each in commands().items()]
    return "\n".join(["## Verbs", "", "| command | does |", "|---|---|", *rows])


def _page(name: str, command: Any, calls: list[str], owners: dict[str, str]) -> str:
    """The page of a command; functions that it calls and that another page owns become links."""
    parts = [f"# swath {name}", ""]
    if hasattr(command, "commands"):
        parts += [_prose(command.help), ""]
    for full, leaf in leaves(name, command):
        if hasattr(command, "commands"):
            parts += [f"## {full}", ""]
        parts += [_prose(leaf.help), "", *_table(full, leaf)]
    own = [each for each in calls if owners[each] == name]
    others = [f"[`swath.{each}`]({owners[each]}.md)" for each in calls if owners[each] != name]
    if calls:
        parts += ["## In Python", ""]
    for function in own:
        parts += [f"::: swath.verbs.{function}", "    options:", "      show_root_heading: true"]
        parts += ["      show_root_full_path: false", "      heading_level: 3", ""]
    if others:
        parts += [f"This command also uses {', '.join(others)}.", ""]
    return "\n".join(parts).rstrip() + "\n"


def mirrored(callback: Any) -> set[str]:
    """The functions of ``swath.verbs`` that a command calls: the same job in Python.

    They are read from its source, also through helpers of the same module that it calls by name.
    """
    module = inspect.getmodule(callback)
    public = set(getattr(importlib.import_module("swath"), "__all__", ()))
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [callback]
    while waiting:
        tree = ast.parse(textwrap.dedent(inspect.getsource(waiting.pop())))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "verbs":
                found.add(node.attr)
            if isinstance(node, ast.Name) and node.id.startswith("_") and node.id not in seen:
                seen.add(node.id)
                helper = getattr(module, node.id, None)
                if inspect.isfunction(helper) and helper.__module__ == getattr(module, "__name__", ""):
                    waiting.append(helper)
    return found & (public | {"score_corrupted"})


def _table(full: str, command: Any) -> list[str]:
    """Usage, and a table of arguments and options, as the command itself tells them."""
    context = command.context_class(command, info_name=full)
    usage = " ".join([full, *command.collect_usage_pieces(context)])
    records = [each.get_help_record(context) for each in command.params if not getattr(each, "hidden", False)]
    rows = [f"| `{_plain(names)}` | {_cell(words)} |" for names, words in filter(None, records)]
    head = ["| argument or option | what |", "|---|---|"] if rows else []
    return ["```sh", usage, "```", "", *head, *rows, ""]


def _plain(text: str) -> str:
    """Text that may stand in inline code in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _summary(command: Any) -> str:
    """The first paragraph of the help, for a cell."""
    return _cell((command.help or "").partition("\n\n")[0])


def _prose(text: str | None) -> str:
    """Help as Markdown: the markup of rich goes."""
    plain = re.sub(r"\[/?(?:bold|dim|italic|red|green|yellow|cyan|blue)\]", "", inspect.cleandoc(text or ""))
    return _escaped(plain.replace("\f", ""))


def _escaped(text: str) -> str:
    """Text whose marks mean nothing to Markdown, outside of inline code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_\[\]])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def _cell(text: str) -> str:
    """Help in a cell of a table."""
    return _plain(_prose(text))
