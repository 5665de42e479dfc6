"""The few questions that the ledger asks git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

LOCATIONS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
"""Set inside the hooks of a repository; they would answer for that one instead of the one asked about."""


def git(directory: Path, *words: str) -> str | None:
    """Output of a git command in ``directory``; None when it fails or git is not installed."""
    output = git_bytes(directory, *words)
    return None if output is None else output.decode(errors="replace")


def git_bytes(directory: Path, *words: str) -> bytes | None:
    """As ``git``, without decoding."""
    environment = {name: value for name, value in os.environ.items() if name not in LOCATIONS}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(directory), *words]
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=environment)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def history_problem(directory: Path) -> str | None:
    """Why ancestors cannot be looked up in ``directory``, or None when they can."""
    if git(directory, "--version") is None:
        return "git is not installed, or the folder is missing"
    shallow = git(directory, "rev-parse", "--is-shallow-repository")
    if shallow is None:
        return f"{directory} is not in a git repository"
    if shallow.strip() == "true":
        return "the clone is shallow, so old commits are not there"
    if git(directory, "rev-parse", "--verify", "HEAD") is None:
        return "the repository has no commit"
    return None


def head(directory: Path) -> str | None:
    """The commit that is checked out."""
    text = git(directory, "rev-parse", "--verify", "HEAD")
    return text.strip() if text else None


def last_commit(path: Path) -> str | None:
    """The newest commit that changed ``path``; None when it was never committed."""
    text = git(path.parent, "log", "-1", "--format=%H", "--", path.name)
    return text.strip() if text and text.strip() else None


def is_clean(path: Path) -> bool:
    """Whether ``path`` (a file or folder) is exactly as in HEAD."""
    folder, name = (path, ".") if path.is_dir() else (path.parent, path.name)
    text = git(folder, "status", "--porcelain", "--untracked-files=all", "--", name)
    return text is not None and not text.strip()


def is_ancestor(directory: Path, older: str, newer: str) -> bool:
    """Whether ``older`` is ``newer`` or one of its ancestors; False also for commits that do not exist."""
    return git(directory, "merge-base", "--is-ancestor", older, newer) is not None


def content_at(path: Path, commit: str) -> bytes | None:
    """The bytes of ``path`` in ``commit``; None when it was not there."""
    return git_bytes(path.parent, "cat-file", "blob", f"{commit}:./{path.name}")
