"""How a run is told in its report: what repeats it, and what its scores are worth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self, TypeVar

from swath import judge
from swath.files import make_folder
from swath.judge import ResultTable
from swath.types import ResultRow

Data = TypeVar("Data")


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


def measure_evidence(
    slug: str,
    out: Path,
    *,
    prepare: Callable[[], Data],
    hash_of: Callable[[Data], str],
    rows_of: Callable[[Data, Path, int], list[ResultRow]],
) -> tuple[Data, tuple[ResultRow, ...]]:
    """Measure all registered seeds of a system, resumable per seed, and write the evidence beside the registration.

    Args:
        slug: the system.
        out: folder of the run; finished seeds in it are taken up again.
        prepare: finds the data that all seeds share.
        hash_of: fingerprint of these data.
        rows_of: every number of one seed, from the data, the folder of the seed and the seed.

    Returns:
        The data, and the rows of all seeds.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
    """
    registration = judge.require_ledger() / f"{slug}.toml"
    claims = judge.load_registration(registration)
    started_at = judge.require_committed(registration)
    make_folder(out)
    data = prepare()
    judge.same_conditions(registration, out, data_hash=hash_of(data))
    rows: list[ResultRow] = []
    for seed in claims[0].seeds:
        done = out / f"seed_{seed}" / "rows.parquet"
        if not done.exists():
            ResultTable(rows_of(data, out / f"seed_{seed}", seed)).save(done)
        rows += list(ResultTable.load(done).rows)
    judge.write_evidence(registration, rows, data_hash=hash_of(data), started_at=started_at)
    return data, tuple(rows)
