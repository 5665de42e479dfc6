"""What the documents tell people to type exists, and what they point at is there."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from swath import cli
from swath.errors import MissingError

sys.path.append(str(Path(__file__).parents[1] / "tools"))

import docs_blocks

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>[\w-]*)[^\n]*\n(?P<text>.*?)^ *```\s*$", re.MULTILINE | re.DOTALL)
SHELLS = ("", "sh", "bash", "shell", "console")


class Passage(NamedTuple):
    """A piece of a document: where it is and what it says."""

    place: str
    text: str


def fenced(path: Path, *kinds: str) -> list[Passage]:
    """The code blocks of some kinds."""
    document = path.read_text(encoding="utf-8")
    return [
        Passage(f"{path.relative_to(ROOT)}:{document.count(chr(10), 0, block.start()) + 1}", block["text"])
        for block in FENCE.finditer(document)
        if block["kind"] in kinds
    ]


def prose(path: Path) -> str:
    """The document without its code blocks, line for line."""
    return FENCE.sub(lambda block: "\n" * block[0].count("\n"), path.read_text(encoding="utf-8"))


def lines_to_type(path: Path) -> list[Passage]:
    """Every line of a shell block that calls swath or make, without prompt, comment and continuation."""
    found = []
    for place, text in fenced(path, *SHELLS):
        for line in re.sub(r"\\\n\s*", " ", text).splitlines():
            commands = re.split(r"&&|\|\||[;|]", line.strip().removeprefix("$ "))
            found += [Passage(place, part.strip()) for part in commands if re.match(r"\s*(swath|make)\b", part)]
    return found


def commands_in_prose(path: Path) -> list[Passage]:
    """Inline code that names a command."""
    spans = re.findall(r"`((?:swath|make) [^`\n]+)`", prose(path))
    return [Passage(str(path.relative_to(ROOT)), span) for span in spans]


LINES = [line for path in DOCUMENTS for line in lines_to_type(path)]
SPANS = [span for path in DOCUMENTS for span in commands_in_prose(path)]
BLOCKS = [block for path in DOCUMENTS for block in fenced(path, "python", "py")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_placeholder_is_left(path: Path) -> None:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    assert [f"{number}: {line.strip()[:80]}" for number, line in lines if "@@" in line] == []


def check_line(line: str, *, complete: bool) -> None:
    """Compare one line with the command line of swath, or with the Makefile.

    Args:
        line: what is to be typed.
        complete: whether required arguments and options must be there.

    Raises:
        AssertionError: it would be refused.
    """
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        check_make(line, words)
    else:
        check_swath(line, words, complete=complete)


def check_make(line: str, words: Sequence[str]) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z_]+) *[?:]?=", MAKEFILE, re.MULTILINE))
    for word in words:
        name, _, value = word.partition("=")
        known = variables if value else targets
        assert word.startswith("-") or name in known, f"'{line}': make knows {', '.join(sorted(known))}, not {name}"


def check_swath(line: str, words: Sequence[str], *, complete: bool) -> None:
    command: Any = typer.main.get_command(cli.app)
    context = command.context_class(command, info_name="swath", **command.context_settings)
    rest = list(words)
    while True:
        try:
            given, rest, _ = command.make_parser(context).parse_args(rest)
        except Exception as error:
            raise AssertionError(f"'{line}': {error}") from error
        if not hasattr(command, "commands"):
            break
        if not rest:  # the group itself, as in 'swath --help' or "see `swath data`"
            return
        assert rest[0] in command.commands, f"'{line}': no command '{rest[0]}' in {', '.join(command.commands)}"
        command, rest = command.commands[rest[0]], rest[1:]
        context = command.context_class(command, info_name=command.name, parent=context)
    assert not rest, f"'{line}': too many arguments: {rest}"
    if complete and not {"--help", "-h"} & set(words):
        told = {name for name, value in given.items() if isinstance(value, str | list | tuple)}
        absent = [p.name for p in command.params if p.required and p.name not in told]
        assert not absent, f"'{line}': {', '.join(absent)} are required"


def commands_in_sentences() -> list[Passage]:
    """Commands that messages and docstrings of the code tell people to run."""
    found = []
    for path in sorted((ROOT / "src" / "swath").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        pieces = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            text = ""
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pieces:
                text = node.value
            elif isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
            spans = re.findall(r"`(swath [a-z][^`\n]+)`|'(swath [a-z][^'\n]+)'|run: (swath [^,;()\n]+)", text)
            found += [Passage(f"{path.relative_to(ROOT)}:{node.lineno}", "".join(span).strip()) for span in spans]
    return sorted(set(found))


def test_commands_in_messages_of_the_code_exist() -> None:
    passages = commands_in_sentences()
    assert len(passages) > 10
    for place, text in passages:
        try:
            check_line(text, complete=False)
        except AssertionError as error:
            raise AssertionError(f"{place}: {error}") from error


@pytest.mark.parametrize("passage", LINES, ids=lambda passage: f"{passage.place} {passage.text}")
def test_a_shell_line_names_what_exists(passage: Passage) -> None:
    check_line(passage.text, complete=True)


@pytest.mark.parametrize("passage", SPANS, ids=lambda passage: f"{passage.place} {passage.text}")
def test_a_command_in_prose_exists(passage: Passage) -> None:
    check_line(passage.text, complete=False)


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "make demo NOTHING=1",
        "swath nothing",
        "swath data nothing",
        "swath demo --nothing",
        "swath demo surplus",
        "swath demo --out",
        "swath train chips",
    ],
)
def test_a_wrong_line_is_noticed(line: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(f"'{line}'")):
        check_line(line, complete=True)


@pytest.mark.parametrize(
    "line",
    ["make demo OUT=map SERVE=0", "make -j2 lint", "swath --help", "swath demo -h", "swath demo --out=x --no-serve"],
)
def test_a_right_line_passes(line: str) -> None:
    check_line(line, complete=True)


@pytest.mark.parametrize("passage", BLOCKS, ids=lambda passage: passage.place)
def test_a_python_block_compiles_and_names_what_exists(passage: Passage) -> None:
    check_python(compile(passage.text, passage.place, "exec", ast.PyCF_ONLY_AST))


def check_python(tree: ast.AST) -> None:
    """Look up every name that a block takes from swath, and the keywords of its calls.

    Raises:
        AssertionError: a name or a keyword does not exist.
    """
    roots: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "swath":
            module = importlib.import_module(str(node.module))
            for name in node.names:
                if not hasattr(module, name.name) and importlib.util.find_spec(f"{node.module}.{name.name}"):
                    importlib.import_module(f"{node.module}.{name.name}")  # a part that nothing has imported yet
                assert hasattr(module, name.name), f"{node.module} has no '{name.name}'"
                roots[name.asname or name.name] = getattr(module, name.name)
        if isinstance(node, ast.Import):
            ours = [name.name for name in node.names if name.name.split(".")[0] == "swath" and name.asname is None]
            for dotted in ours:
                importlib.import_module(dotted)
                roots["swath"] = importlib.import_module("swath")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            resolve(node, roots)
        if isinstance(node, ast.Call):
            check_keywords(node, resolve(node.func, roots))


def resolve(node: ast.AST, roots: dict[str, Any]) -> Any:
    """The object behind ``swath.chips.cut``; None for anything that does not start at an import from swath."""
    if isinstance(node, ast.Name):
        return roots.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    owner = resolve(node.value, roots)
    if not inspect.ismodule(owner):  # fields of dataclasses and models are no attributes of their class
        return None
    assert hasattr(owner, node.attr), f"{owner.__name__} has no '{node.attr}'"
    return getattr(owner, node.attr)


def check_keywords(call: ast.Call, function: Any) -> None:
    if inspect.ismodule(function):  # a room that is also a verb
        function = getattr(importlib.import_module("swath.verbs"), function.__name__.rpartition(".")[2])
    if not callable(function):
        return
    known = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for keyword in call.keywords:
        assert keyword.arg is None or keyword.arg in known, f"{function.__name__} has no argument '{keyword.arg}'"


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("import swath\nswath.open('x.tif', sensor='y')\nprint(swath.nothing)", "nothing"),
        ("import swath\nswath.chips('a', 'b', 'c', colum='d')", "colum"),
        ("from swath import chips\nchips.cut(1, nothing=2)", "nothing"),
        ("from swath.judge import nothing", "nothing"),
    ],
)
def test_a_wrong_python_block_is_noticed(code: str, wrong: str) -> None:
    with pytest.raises((AssertionError, AttributeError), match=f"'{wrong}'"):
        check_python(ast.parse(code))


def runnable() -> list[Path]:
    """The documents with Python blocks that run here; the same block as in the quickstart runs there alone."""
    quickstart = {block.text for block in docs_blocks.blocks_to_run(docs_blocks.QUICKSTART)}
    texts = {path: {block.text for block in docs_blocks.blocks_to_run(path)} for path in DOCUMENTS}
    return [path for path, found in texts.items() if path == docs_blocks.QUICKSTART or found - quickstart]


def run_blocks(blocks: Sequence[docs_blocks.Block]) -> dict[str, Any]:
    """Run blocks in one namespace, in the current folder; data sets that are not installed skip the test."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        try:
            exec(compile(block.text, block.place, "exec"), names)
        except MissingError as error:
            pytest.skip(f"{block.place}: {error}")
        except NameError as error:
            raise AssertionError(
                f"{block.place}: {error}; mark a block that is no whole program as an excerpt"
            ) from error
    return names


@pytest.mark.parametrize("path", runnable(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_python_blocks_of_a_page_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if path != docs_blocks.QUICKSTART:
        run_blocks([docs_blocks.scenery()])
    names = run_blocks(docs_blocks.blocks_to_run(path))
    if path == docs_blocks.QUICKSTART:
        assert names["model"].classes == ("field", "forest", "water")
        assert (tmp_path / "map.tif").stat().st_size > 1_000


def test_the_six_lines_are_the_same_everywhere() -> None:
    six = docs_blocks.blocks_to_run(docs_blocks.QUICKSTART)[1].text
    assert len([line for line in six.splitlines() if line]) == 6
    for page in ("README.md", "docs/index.md"):
        assert six in [block.text for block in docs_blocks.blocks_of_page(ROOT / page)], page


def test_a_block_that_is_no_program_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"page:3.*nothing_such.*excerpt"):
        run_blocks(docs_blocks.blocks_of("a\n\n```python\nprint(nothing_such)\n```\n", "page"))


def test_marks_are_read() -> None:
    text = "<!-- slow: 3 minutes -->\n```sh\na\n```\nx\n<!-- excerpt: yours -->\n```python\nb\n```\n```python\nc\n```\n"
    blocks = docs_blocks.blocks_of(text, "page")
    assert [(block.line, block.kind, block.text, block.mark, block.note) for block in blocks] == [
        (2, "sh", "a\n", "slow", "3 minutes"),
        (7, "python", "b\n", "excerpt", "yours"),
        (10, "python", "c\n", "", ""),
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_mark_stands_before_a_block_and_says_something(path: Path) -> None:
    marks = re.findall(r"^ *<!-- *(?:slow|excerpt)\b", prose(path), re.MULTILINE)
    blocks = [block for block in docs_blocks.blocks_of_page(path) if block.mark]
    assert len(marks) == len(blocks)
    for block in blocks:
        assert block.note, f"{block.place}: for how long, or why?"
        slow = re.fullmatch(r"\d+ (?:seconds|minutes?|hours?)", block.note)
        assert block.mark == "excerpt" or slow, f"{block.place}: '{block.note}' is no time such as '3 minutes'"


NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_cells_of_a_notebook_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], len({cell["id"] for cell in notebook["cells"]})) == (4, len(notebook["cells"]))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code[0] + "\n" == docs_blocks.scenery().text, "the notebook and the quickstart make the same scene"
    blocks = [docs_blocks.Block(path.name, number, "python", text) for number, text in enumerate(code, start=1)]
    names = run_blocks(blocks)
    assert names["agreement"] > 0.9
    assert {row.data_kind for row in names["score"].rows} == {"fixture"}


def test_there_is_a_notebook() -> None:
    assert [path.name for path in NOTEBOOKS] == ["front_door.ipynb"]


def slug(heading: str) -> str:
    """The anchor of a heading as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def links(path: Path) -> Iterator[str]:
    text = re.sub(r"`[^`\n]*`", "", prose(path))
    yield from re.findall(r"\]\(\s*<?([^)\s>]+)", text)
    yield from re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, re.MULTILINE)
    yield from re.findall(r"<(?:img|a|source)\b[^>]*?(?:src|href|srcset)=\"([^\"]+)\"", text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(path: Path) -> None:
    for link in links(path):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_relative_to(ROOT) and target.exists(), f"'{link}' leads nowhere"
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ +(.+?)\s*#*$", prose(target), re.MULTILINE)
            assert anchor in map(slug, headings), f"'{link}': {target.name} has no such heading"


def tracked() -> list[Path]:
    """The text files under version control."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"git does not list the files here ({error}): not a checkout")
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()]


def test_no_file_names_a_machine_or_a_package_registry() -> None:
    folder = re.compile(r"(?<![\w.:/-])/(?:home|Users|root|work|mnt|scratch)/[\w.]")
    # Put together here, so that this file passes its own test.
    names = ("py" + "pi", "python" + "hosted", "npm" + "js")
    host = re.compile(rf"\b(?:{'|'.join(names)})\.(?:org|com)\b", re.IGNORECASE)
    files, found = tracked(), []
    assert len(files) > 100
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if folder.search(line) or host.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []
