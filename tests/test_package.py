"""The package as it is shipped: what it brings along, what the wheel holds, how the code is cut."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
import pkgutil
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

import swath
from swath import sensors

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "swath"
VENDOR = SOURCE / "serve" / "static" / "vendor"
MODULES = sorted(SOURCE.rglob("*.py"))
LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 60  # without its docstring
# The one place that forwards keywords: a package that is also a verb (docs/adr/0001).
FORWARDING = {"__init__.py:_CallableRoom.__call__"}


def test_no_cuda_package_is_installed() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("a CUDA build of torch is used on purpose: it finds a graphics card")
    assert torch.version.cuda is None, f"torch {torch.__version__} is a CUDA build"
    names = [each.metadata["Name"].lower().replace("_", "-") for each in importlib.metadata.distributions()]
    assert [name for name in names if name.startswith("nvidia-") or name in ("triton", "pytorch-triton")] == []


def absent(reason: str) -> NoReturn:
    """Something outside of the repository is missing: skip, but fail where the environment variable CI is set."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; under CI this may not be skipped")
    pytest.skip(reason)


@pytest.mark.parametrize(("value", "outcome"), [(None, pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_what_is_absent_fails_under_ci(
    monkeypatch: pytest.MonkeyPatch, value: str | None, outcome: type[BaseException]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if value is not None:
        monkeypatch.setenv("CI", value)
    with pytest.raises(outcome, match="no network"):
        absent("no network")


def recipe(*arguments: str) -> str:
    """The commands that ``make setup`` would run."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "TORCH_INDEX")}
    done = subprocess.run(
        ["make", "--dry-run", *arguments, "setup"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_setup_looks_for_what_was_deleted_even_when_the_environment_is_complete() -> None:
    lines = recipe("--old-file=.venv/.complete")
    assert "tools/fetch_maplibre.py" in lines and "swath data get planet" in lines
    assert "pip install" not in lines


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_index_of_torch_can_be_chosen() -> None:
    changed = "--what-if=pyproject.toml"
    plain, chosen = recipe(changed), recipe(changed, "TORCH_INDEX=file:///wheels")
    assert "--index-url" not in plain
    (line,) = [line for line in chosen.splitlines() if "--index-url" in line]
    assert line.endswith("--constraint constraints.txt --index-url 'file:///wheels' torch")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree without a network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def content(wheel: Path) -> dict[str, int]:
    """Size of every file in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def test_the_wheel_holds_every_file_that_the_code_reads(content: dict[str, int]) -> None:
    kinds = (".py", ".toml", ".html", ".js", ".css", ".svg", ".typed")
    wanted = {path for path in SOURCE.rglob("*") if path.suffix in kinds and VENDOR not in path.parents}
    names = {path.relative_to(SOURCE.parent).as_posix() for path in wanted}
    assert {"swath/py.typed", "swath/sensors/data/sentinel2_l2a.toml", "swath/serve/static/index.html"} <= names
    assert names - set(content) == set()


def test_the_wheel_holds_the_licences(content: dict[str, int]) -> None:
    folder = f"swath-{swath.__version__}.dist-info/licenses"
    assert content[f"{folder}/LICENSE"] > 10_000 and content[f"{folder}/NOTICE"] > 1_000


def test_the_wheel_holds_the_map_library(content: dict[str, int]) -> None:
    if not VENDOR.is_dir():
        absent("MapLibre is not here: run python tools/fetch_maplibre.py")
    for name in ("maplibre-gl.mjs", "maplibre-gl-worker.mjs", "maplibre-gl.css", "LICENSE.txt"):
        assert content[f"swath/serve/static/vendor/{name}"] > 1_000


def test_the_wheel_holds_nothing_else(content: dict[str, int]) -> None:
    assert {name.split("/")[0] for name in content} == {"swath", f"swath-{swath.__version__}.dist-info"}
    assert [name for name in content if "__pycache__" in name or "/." in name] == []


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the installed wheel."""
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check"]
    command += ["--quiet", "--no-compile", "--target", str(target), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def run_installed(installed: Path, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_installed_package_works_outside_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import swath, swath.sensors as s; print(swath.__file__, swath.__version__, s.load('sentinel2_l2a').name)"
    file, version, sensor = run_installed(installed, tmp_path, "-c", code).split()
    assert Path(file).is_relative_to(installed)
    assert (version, sensor) == (swath.__version__, "sentinel2_l2a")


def test_the_installed_command_works(installed: Path, tmp_path: Path) -> None:
    assert "Usage: python -m swath" in run_installed(installed, tmp_path, "-m", "swath", "--help")
    script = installed / "bin" / "swath"
    assert run_installed(installed, tmp_path, str(script), "--version").strip() == f"swath {swath.__version__}"


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == swath.__version__


def test_every_sensor_file_is_a_sensor() -> None:
    files = sorted(path.stem for path in (SOURCE / "sensors" / "data").glob("*.toml"))
    assert files == sorted(sensors.names()) and len(files) >= 9
    assert [sensors.load(name).name for name in files] == files


@pytest.mark.parametrize(
    "room", sorted(module.name for module in pkgutil.walk_packages(swath.__path__, "swath.") if module.ispkg)
)
def test_every_public_name_of_a_room_resolves(room: str) -> None:
    module = importlib.import_module(room)
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("suffix", ["py", "js", "css", "html"])
def test_no_file_is_long(suffix: str) -> None:
    files = [path for path in SOURCE.rglob(f"*.{suffix}") if VENDOR not in path.parents]
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert lengths and {name: n for name, n in lengths.items() if n > LINES_OF_A_FILE} == {}


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of a module with its qualified name."""
    pending: list[tuple[str, ast.AST]] = [("", ast.parse(path.read_text(encoding="utf-8")))]
    while pending:
        prefix, parent = pending.pop()
        for node in ast.iter_child_nodes(parent):
            name = prefix
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}.{node.name}".lstrip(".")
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(SOURCE).as_posix()}:{name}", node
            pending.append((name, node))


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from ``def`` on, without the docstring."""
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


def forwards_keywords(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function takes ``**names`` and gives them on in a call."""
    if node.args.kwarg is None:
        return False
    calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
    given_on = [keyword.value for call in calls for keyword in call.keywords if keyword.arg is None]
    names = {name.id for value in given_on for name in ast.walk(value) if isinstance(name, ast.Name)}
    return node.args.kwarg.arg in names


def test_functions_fit_a_screen() -> None:
    lengths = {name: length(node) for path in MODULES for name, node in functions(path)}
    assert len(lengths) > 500
    assert {name: n for name, n in lengths.items() if n > LINES_OF_A_FUNCTION} == {}


def test_only_the_front_door_forwards_keywords() -> None:
    found = {name for path in MODULES for name, node in functions(path) if forwards_keywords(node)}
    public = {name for name in found if not name.rpartition(":")[2].rpartition(".")[2].startswith("_")}
    assert public | (found & FORWARDING) == FORWARDING


def test_all_extras_resolve_for_python_3_13() -> None:
    try:
        import uv
    except ImportError:
        absent("uv is not installed")
    command = [uv.find_uv_bin(), "pip", "compile", "--quiet", "--python-version", "3.13", "--all-extras"]
    command += ["pyproject.toml", "--output-file", os.devnull]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, cwd=ROOT)
    except subprocess.TimeoutExpired:
        absent("the package index did not answer within three minutes")
    unreachable = ("error sending request", "Failed to fetch", "dns error", "network was disabled")
    if done.returncode and any(phrase in done.stderr for phrase in unreachable):
        absent(f"the package index cannot be reached: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
