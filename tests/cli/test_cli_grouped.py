"""Options that commands share: each field of a dataclass is an option of its own, and arrives in the dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from swath.cli.chips_archive import app as archive
from swath.cli.grouped import grouped


@dataclass(frozen=True)
class Shared:
    size: Annotated[int, typer.Option(min=1, help="Rows of a chip.")] = 3
    turned: Annotated[bool, typer.Option("--turned", help="Whether to turn.")] = False


app = typer.Typer()


@app.command()
@grouped
def command(*, name: Annotated[str, typer.Argument()], shared: Shared, last: Annotated[str, typer.Option()]) -> None:
    """Say what was given."""
    print(name, shared, last)


def test_options_arrive_in_their_group() -> None:
    run = CliRunner().invoke
    assert run(app, ["a", "--last", "b"]).stdout == "a Shared(size=3, turned=False) b\n"
    assert run(app, ["a", "--last", "b", "--size", "4", "--turned"]).stdout == "a Shared(size=4, turned=True) b\n"
    assert run(app, ["a", "--last", "b", "--size", "0"]).exit_code == 2
    told = run(app, ["--help"]).stdout
    assert "Rows of a chip." in told and told.index("--size") < told.index("--turned") < told.index("--last")
    assert "Say what was given." in told


@pytest.mark.parametrize("name", ["points", "rasters", "boxes"])
def test_the_archive_commands_have_the_options_that_they_share(name: str) -> None:
    made = typer.main.get_command(archive).commands[name]  # type: ignore[attr-defined]
    spelt = {word for each in made.params for word in (*each.opts, *each.secondary_opts)}
    assert {"--size", "--max-cloud", "--single", "--month-start", "--physical", "--workers", "--cluster"} <= spelt
    assert ("--resolution" in spelt) == (name != "rasters") and ("--regression" in spelt) == (name != "boxes")
