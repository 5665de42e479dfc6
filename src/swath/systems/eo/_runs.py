"""How a run is told in its report: what repeats it, and what its scores are worth."""

from __future__ import annotations

from typing import Protocol, Self


class Options(Protocol):
    """The options of a system, a pydantic model with a quick mode."""

    @classmethod
    def quick(cls) -> Self:
        """The options of a smoke of seconds."""
        ...

    def model_dump_json(self, *, exclude_defaults: bool = ...) -> str:
        """The options as JSON."""
        ...


def is_quick(config: Options) -> bool:
    """Whether these are the options of the quick mode."""
    return config == type(config).quick()


def command(slug: str, config: Options, seed: int, *, verb: str | None = None) -> str:
    """What repeats a run: a command for the two modes that it knows, else lines of Python.

    Args:
        slug: the system.
        config: the options of the run.
        seed: its seed.
        verb: the command that runs the system; ``swath run SLUG`` by default.
    """
    verb = verb or f"swath run {slug}"
    if is_quick(config):
        return f"{verb} --quick --seed {seed}"
    if config == type(config)():
        return f"{verb} --seed {seed}"
    changed = config.model_dump_json(exclude_defaults=True)
    return (
        f"from pathlib import Path\nfrom {type(config).__module__} import Config, run\n\n"
        f"run(Config.model_validate_json({changed!r}), Path('again'), seed={seed})"
    )


def quick_note(config: Options) -> tuple[str, ...]:
    """The note that a quick run begins with; nothing for a full one."""
    return ("This is a quick run: its scores mean nothing.",) if is_quick(config) else ()
