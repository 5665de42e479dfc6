"""The command line starts without heavy modules, and the front door mirrors it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "xarray", "rasterio", "sklearn", "scipy", "pandas", "geopandas", "matplotlib", "fastapi", "dask")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["chips", "--help"], ["train", "--help"], ["data", "-h"]]
)
def test_help_loads_no_heavy_module(arguments: list[str]) -> None:
    code = f"""
import json, sys
sys.argv = ["swath", *{arguments!r}]
from swath.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
print("LOADED" + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    out = run_python(code)
    assert json.loads(out.rsplit("LOADED", 1)[1]) == []
    assert "swath" in out or "chips" in out or "train" in out


def test_import_of_the_front_door_is_light() -> None:
    out = run_python(f"import sys, swath; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert out.strip() == "[]"


def test_every_public_name_resolves_and_is_callable() -> None:
    code = """
import swath
for name in swath.__all__:
    assert callable(getattr(swath, name)), name
import swath.chips, swath.predict, swath.serve
assert callable(swath.chips) and callable(swath.chips.cut)
print("good")
"""
    assert run_python(code).strip() == "good"


def test_unknown_name_of_the_front_door_lists_what_there_is() -> None:
    import swath

    with pytest.raises(AttributeError, match="fit, fit_features, load, open"):
        swath.nothing  # noqa: B018


def test_unknown_command_exits_with_two(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from swath.cli import main

    monkeypatch.setattr(sys, "argv", ["swath", "tarin"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "train" in capsys.readouterr().err
