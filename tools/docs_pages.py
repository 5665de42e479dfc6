"""Hook of mkdocs: pages that come from the code, and links that lead out of ``docs``.

Verbs come from the commands of ``swath.cli``, rooms from the packages below ``src/swath``, the gallery from the
pictures that the pages show, notebooks from their cells. None of these pages is a file, so none can be older than the
code.
"""

from __future__ import annotations

import ast
import fnmatch
import json
import posixpath
import re
from pathlib import Path
from typing import Any

from docs_blocks import DOCUMENTS, FENCE, ROOT, Block, blocks_of
from docs_verbs import verb_list, verb_pages
from mkdocs.structure.files import File, Files

SOURCE = ROOT / "src" / "swath"
TIMES = DOCUMENTS / "slow_blocks.json"
INCLUDED = ("CONTRIBUTING.md", "CHANGELOG.md")
NO_ROOMS = ("__init__", "__main__", "cli", "verbs")  # the verbs have pages of their own
LINK = re.compile(r"(?P<bang>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
ITEM = re.compile(r"(?:[*+-]|\d+\.) ")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here, and put them into the navigation."""
    pages = {**verb_pages(), **room_pages(), **notebook_pages(), **linked_files()}
    for address, text in pages.items():
        files.append(File.generated(config, address, content=text))
    for name in INCLUDED:
        files.append(File.generated(config, name.lower(), abs_src_path=str(ROOT / name)))
    # Pages of source files are reached by the links to them.
    addresses = [file.src_uri for file in files.documentation_pages() if not file.src_uri.startswith("source/")]
    config.nav = navigation(config.nav, addresses)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Fill what the page leaves to the hook, mend its lists, and turn links that lead out of ``docs``."""
    address = page.file.src_uri
    if page.file.generated_by and page.file.abs_src_path is None:
        return markdown
    folder = "../" * address.count("/")
    markdown = markdown.replace("<!-- verbs -->", verb_list(folder)).replace("<!-- rooms -->", room_cards(folder))
    markdown = markdown.replace("<!-- pictures -->", gallery())
    markdown = with_times(markdown, page_of(page.file.abs_src_path), times())
    return outside_code(markdown, lambda text: loose_lists(turned(text, Path(page.file.abs_src_path).parent, address)))


# --- rooms


def rooms() -> dict[str, str]:
    """Every room by name, with the first line of its docstring."""
    found = {}
    for path in sorted(SOURCE.iterdir(), key=lambda path: (path.is_file(), path.stem)):
        module = path / "__init__.py" if path.is_dir() else path
        if path.stem in NO_ROOMS or module.suffix != ".py" or not module.is_file():
            continue
        found[path.stem] = (ast.get_docstring(ast.parse(module.read_text("utf-8"))) or "").partition("\n")[0]
    return found


def room_pages() -> dict[str, str]:
    """One page for each room, made from its docstrings by mkdocstrings."""
    return {f"rooms/{name}.md": f"# {name}\n\n`swath.{name}`\n\n::: swath.{name}\n" for name in rooms()}


def room_cards(folder: str) -> str:
    """A grid of cards, one for each room that is a package, and a line for the modules beside them."""
    cards = [
        f"-   **[{name}]({folder}rooms/{name}.md)**\n\n    {line}"
        for name, line in rooms().items()
        if (SOURCE / name).is_dir()
    ]
    small = ", ".join(f"[{name}]({folder}rooms/{name}.md)" for name in rooms() if not (SOURCE / name).is_dir())
    grid = "\n\n".join(cards)
    return f'## Rooms\n\n<div class="grid cards" markdown>\n\n{grid}\n\n</div>\n\nAnd the small ones: {small}.'


# --- pictures and notebooks


def gallery() -> str:
    """Every picture of ``docs/pictures`` with the words and the page that show it."""
    shown: dict[str, tuple[str, str]] = {}
    for path in [ROOT / "README.md", *sorted(DOCUMENTS.rglob("*.md"))]:
        address = "index.md" if path.parent == ROOT else path.relative_to(DOCUMENTS).as_posix()
        for match in LINK.finditer(path.read_text("utf-8")):
            if match["bang"]:
                name = posixpath.basename(match["target"])
                shown[name] = shown.get(name) or (match["text"], address)
    parts = []
    for path in sorted((DOCUMENTS / "pictures").glob("*.png")):
        words, address = shown.get(path.name, (path.stem.replace("_", " "), ""))
        source = f" ([from this page]({address}))" if address not in ("", "index.md") else ""
        parts.append(f"![{words}](pictures/{path.name})\n\n*{words}*{source}\n")
    return "\n".join(parts)


def notebook_pages() -> dict[str, str]:
    """The cells of every notebook as a page; the notebook itself lies beside it."""
    found = {}
    for path in sorted((DOCUMENTS / "notebooks").glob("*.ipynb")):
        parts = []
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            text = "".join(cell["source"])
            parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts.append(f"[The notebook]({path.name})")
        found[f"notebooks/{path.stem}.md"] = "\n\n".join(parts) + "\n"
    return found


# --- navigation


def navigation(entries: list[Any], addresses: list[str]) -> list[Any]:
    """The navigation of ``mkdocs.yml`` with patterns filled in, and a last section for pages that nothing names."""
    left = sorted(set(addresses) - set(_named(entries)))

    def filled(entry: Any) -> list[Any]:
        if isinstance(entry, dict):
            ((title, inner),) = entry.items()
            inner = inner if isinstance(inner, list) else [inner]
            return [{title: [each for part in inner for each in filled(part)]}]
        if "*" not in entry:
            return [entry]
        fitting = [address for address in left if fnmatch.fnmatch(address, entry)]
        left[:] = [address for address in left if address not in fitting]
        return fitting

    done = [each for entry in entries for each in filled(entry)]
    return [*done, {"More": left}] if left else done


def _named(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    inner = entry.values() if isinstance(entry, dict) else entry
    return [name for each in inner for name in _named(each)]


# --- links


def outside_code(markdown: str, change: Any) -> str:
    """The text with ``change`` applied to all that stands between code blocks."""
    parts, position = [], 0
    for match in FENCE.finditer(markdown):
        parts += [change(markdown[position : match.start("indent")]), markdown[match.start("indent") : match.end()]]
        position = match.end()
    return "".join([*parts, change(markdown[position:])])


def place_on_site(target: Path) -> str | None:
    """Where the site has a file of the repository; None for folders and for what lies elsewhere."""
    if not target.is_file() or not target.is_relative_to(ROOT):
        return None
    if target.is_relative_to(DOCUMENTS):
        return target.relative_to(DOCUMENTS).as_posix()
    name = target.relative_to(ROOT).as_posix()
    if name == "README.md":
        return "index.md"
    return name.lower() if name in INCLUDED else f"source/{name}.md"


def turned(text: str, folder: Path, address: str) -> str:
    """Links to files outside of ``docs`` lead to their pages on the site; links to folders become plain text."""

    def one(match: re.Match[str]) -> str:
        name, _, anchor = match["target"].partition("#")
        if not name or re.match(r"[a-z][a-z0-9+.-]*:", name):
            return match[0]
        target = (folder / name).resolve()
        place = place_on_site(target)
        if place is None:
            return match["text"] if target.is_dir() else match[0]  # a broken link stays, and mkdocs complains
        inside = posixpath.relpath(place, posixpath.dirname(address) or ".")
        kept = f"#{anchor}" if anchor and place != "index.md" else ""
        return f"{match['bang']}[{match['text']}]({inside}{kept})"

    return LINK.sub(one, text)


def linked_files() -> dict[str, str]:
    """Pages for the files outside of ``docs`` that a page links to."""
    found = {}
    for path in [*(ROOT / name for name in INCLUDED), *sorted(DOCUMENTS.rglob("*.md"))]:
        for match in LINK.finditer(path.read_text("utf-8")):
            target = (path.parent / match["target"].partition("#")[0]).resolve()
            place = place_on_site(target)
            if place is not None and place.startswith("source/"):
                kind = "python" if target.suffix == ".py" else "text"
                name = target.relative_to(ROOT).as_posix()
                found[place] = f"# {target.name}\n\n`{name}`\n\n~~~~{kind}\n{target.read_text('utf-8')}\n~~~~\n"
    return found


def loose_lists(text: str) -> str:
    """An empty line before lists that follow a paragraph directly: code hosts need none there, this site does."""
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        before = lines[-1] if lines else ""
        if ITEM.match(line):
            if before.strip() and not inside:
                lines.append("")
            inside = True
        elif line.startswith("#") or (line.strip() and not before.strip() and not line.startswith(" ")):
            inside = False
        lines.append(line)
    return "\n".join(lines)


# --- blocks marked slow


def times() -> dict[str, Any]:
    """When each slow block was last run, by its digest."""
    return json.loads(TIMES.read_text("utf-8")) if TIMES.exists() else {}


def page_of(path: str) -> str:
    """A document as the blocks name it."""
    return Path(path).resolve().relative_to(ROOT).as_posix()


def with_times(markdown: str, page: str, known: dict[str, Any]) -> str:
    """Say under each block that is marked slow how long it takes, and when it was last run."""
    blocks = iter(blocks_of(markdown, page))

    def one(match: re.Match[str]) -> str:
        block = next(blocks)
        return f"{match[0]}\n\n*{told(block, known)}*\n" if block.mark == "slow" else match[0]

    return FENCE.sub(one, markdown)


def told(block: Block, known: dict[str, Any]) -> str:
    """One sentence about a slow block."""
    run = known.get(block.digest)
    if run is None:
        return f"Takes about {block.note}; not run as it stands here."
    return f"Last run on {run['date']}: {run['minutes']} minutes, {run['processor_minutes']} of processor time."
