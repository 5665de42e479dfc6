"""REOBench, the part in words: what models answered about corrupted images of VRSBench.

Layout: ``{task}_{corruption}_{s}.json`` in one folder, the task ``cap`` (captions) or ``vqa``
(questions), one JSON object a line. Corruptions go by the same many names as the folders of the images
(``reobench.FOLDERS``). The three geometric corruptions are not part of it. Which keys an object has depends on the
task and the model that wrote it, so objects are handed on as they are; swath has no model that could judge them.

Citation: Li et al.: REOBench: benchmarking robustness of Earth observation foundation models. 2025.
Licence: CC-BY-4.0 as the authors state for the data.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from swath import rng
from swath.errors import InputError
from swath.files import make_folder
from swath.reading import parse_json, read_text
from swath.sources.published.common import Description, fingerprint, folder_of, nothing_in
from swath.sources.published.reobench import FOLDERS, GEOMETRIC

NAME = "reobench_answers"
Task = Literal["caption", "vqa"]
TASKS: dict[str, Task] = {"cap": "caption", "vqa": "vqa"}
"""Prefix of the file to the task as swath calls it."""
_FILE = re.compile(r"(?P<task>[a-z]+)_(?P<corruption>.+)_(?P<severity>\d+)\.json")
_EXPECTED = "one JSON object per line"


@dataclass(frozen=True)
class Answers:
    """The answers under one corruption and severity; nothing is read before a method asks for it.

    Args:
        task: ``caption`` or ``vqa``.
        corruption: name of the corruption, without the spelling of the file.
        severity: 1 to 5.
        path: the file.
    """

    task: Task
    corruption: str
    severity: int
    path: Path

    def records(self) -> tuple[Mapping[str, Any], ...]:
        """One object per answer, in the order of the file; empty lines are passed over.

        Raises:
            InputError: the file is missing, too large, or a line is no JSON object (the line is named).
        """
        found: list[Mapping[str, Any]] = []
        for number, line in enumerate(read_text(self.path, expected=_EXPECTED).splitlines(), start=1):
            if not line.strip():
                continue
            where = f"{self.path}, line {number}"
            value = parse_json(line, where, expected=_EXPECTED, remedy="download it again")
            if not isinstance(value, dict):
                raise InputError(
                    f"{where} holds a {type(value).__name__}", expected=_EXPECTED, remedy="download it again"
                )
            found.append(cast("Mapping[str, Any]", value))
        return tuple(found)


def open(root: Path | str) -> tuple[Answers, ...]:
    """All files of answers under ``root``, by task, corruption and severity.

    Raises:
        InputError: there is no such directory, or no file of answers in it.
    """
    folder = folder_of(root, NAME)
    found = [answers for path in sorted(folder.rglob("*.json")) if (answers := _answers(path))]
    if not found:
        raise nothing_in(folder, NAME, "{cap|vqa}_{corruption}_{s}.json")
    return tuple(sorted(found, key=lambda each: (each.task, each.corruption, each.severity, each.path)))


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory, or no file of answers in it.
    """
    found = []
    every = open(root)
    for path in sorted(folder_of(root, NAME).rglob("*.json")):
        match = _FILE.fullmatch(path.name)
        if match and match["task"] in TASKS and match["corruption"].lower() not in FOLDERS:
            found.append(f"{path.name}: '{match['corruption']}' is no known corruption")
    counts: dict[Task, Counter[int]] = defaultdict(Counter)
    numbers: dict[Path, int] = {}
    for each in every:
        if not 1 <= each.severity <= 5:
            found.append(f"{each.path.name}: severities run from 1 to 5")
        if each.corruption in GEOMETRIC:
            found.append(f"{each.path.name}: answers about moved images are not part of the data set")
        try:
            numbers[each.path] = len(each.records())
            counts[each.task][numbers[each.path]] += 1
        except InputError as error:
            found.append(f"{each.path.name}: {error.given}")
    for each in every:
        usual = counts[each.task].most_common(1)
        if usual and each.path in numbers and numbers[each.path] != usual[0][0]:
            found.append(f"{each.path.name}: {numbers[each.path]} answers, others have {usual[0][0]}")
    return found


def describe(root: Path | str) -> Description:
    """Number of files and fingerprint; there are no bands and no classes.

    Raises:
        InputError: there is no such directory, or no file of answers in it.
    """
    every = open(root)
    return Description(
        name=NAME,
        title="REOBench, answers of models about corrupted images of VRSBench",
        citation="Li et al. 2025, REOBench",
        licence="CC-BY-4.0 (stated by the authors)",
        records=len(every),
        bands={},
        classes=(),
        labels={},
        missing=(),
        fingerprint=fingerprint(Path(root), [each.path for each in every]),
    )


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """A miniature: two answers per file, two tasks, two corruptions under published names, severities 1 and 3."""
    folder = make_folder(Path(root))
    words = ("a harbour with ships", "a beach", "three aircraft", "a car park")
    for prefix in ("cap", "vqa"):
        for corruption in ("haze_update_new", "data_gaps"):
            for severity in (1, 3):
                draw = rng.generator(seed, "fake reobench answers", prefix, corruption, severity)
                lines = [
                    json.dumps({"image_id": f"P{number}.png", "answer": str(draw.choice(words))}) for number in range(2)
                ]
                (folder / f"{prefix}_{corruption}_{severity}.json").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def _answers(path: Path) -> Answers | None:
    """What a file is, or None."""
    match = _FILE.fullmatch(path.name)
    if match is None or match["task"] not in TASKS or match["corruption"].lower() not in FOLDERS:
        return None
    return Answers(TASKS[match["task"]], FOLDERS[match["corruption"].lower()], int(match["severity"]), path)
