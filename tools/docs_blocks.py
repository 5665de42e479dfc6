"""The code blocks of the documents, and how they are marked.

A Python block is run by the tests, page by page in one namespace, in a folder that holds what the first block of
``docs/quickstart.md`` makes. A comment on the line before a block says otherwise: ``<!-- slow: 3 minutes -->`` (Python
or shell: run by ``make docs-check`` alone) or ``<!-- excerpt: REASON -->`` (never run; its names are looked up).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ROOT / "docs"
QUICKSTART = DOCUMENTS / "quickstart.md"
SHELLS = ("", "sh", "bash", "shell", "console")
PYTHONS = ("python", "py")
FENCE = re.compile(
    r"(?:^ *<!-- *(?P<mark>slow|excerpt): *(?P<note>[^\n]*?) *-->[ ]*\n)?"
    r"^(?P<indent> *)```(?P<kind>[\w-]*)[^\n]*\n(?P<text>.*?)^ *``` *$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A code block: its page below the root of the repository, the line of its fence, and what the mark says."""

    page: str
    line: int
    kind: str
    text: str
    mark: str = ""
    note: str = ""

    @property
    def place(self) -> str:
        """Page and line, as editors jump to it."""
        return f"{self.page}:{self.line}"

    @property
    def digest(self) -> str:
        """What tells this text from any other."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


def blocks_of(text: str, page: str) -> list[Block]:
    """All code blocks of a document, in order."""
    found = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("indent")) + 1
        found.append(Block(page, line, match["kind"], match["text"], match["mark"] or "", match["note"] or ""))
    return found


def documents() -> list[Path]:
    """The documents of the repository: those at its root, then those in ``docs``."""
    return sorted([*ROOT.glob("*.md"), *DOCUMENTS.rglob("*.md")])


def blocks_of_page(path: Path) -> list[Block]:
    """The code blocks of one document."""
    return blocks_of(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())


def blocks_to_run(path: Path) -> list[Block]:
    """The Python blocks of a document that are quick enough for every run of the tests."""
    return [block for block in blocks_of_page(path) if block.kind in PYTHONS and not block.mark]


def slow_blocks() -> list[Block]:
    """The blocks of all documents that are marked slow."""
    return [block for path in documents() for block in blocks_of_page(path) if block.mark == "slow"]


def scenery() -> Block:
    """The block that makes the files which the other blocks find in their folder."""
    return next(block for block in blocks_of_page(QUICKSTART) if block.kind in PYTHONS)
