"""The error classes of swath.

Every error is a plain sentence in three parts: what was given, what was expected, what to do.
Commands print that sentence and leave with ``exit_code``; nobody should need the traceback.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class SwathError(Exception):
    """Base of all errors that swath raises on purpose.

    Args:
        given: what was found, with names and values.
        expected: what would have been right.
        remedy: what the user can do about it.
    """

    exit_code = 2

    def __init__(self, given: str, *, expected: str, remedy: str) -> None:
        self.given = given.rstrip(" .")
        self.expected = expected.rstrip(" .")
        self.remedy = remedy.rstrip(" .")
        super().__init__(f"{self.given}. Expected: {self.expected}. What to do: {self.remedy}.")

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive default pickling, and errors travel between processes.
        return (_rebuild, (type(self), self.given, self.expected, self.remedy))


class InputError(SwathError):
    """A file, table or array that the user gave cannot be used."""


class ConfigError(SwathError):
    """An option, key or value is unknown or out of range."""


class ContractError(SwathError):
    """An object passed between two parts breaks its contract (``check()`` raises this)."""


class MissingError(SwathError):
    """Something that has to be installed, built or downloaded first is absent."""

    exit_code = 3


class ResourceError(SwathError):
    """A port, disk, memory or device is not available."""

    exit_code = 4


class ClaimError(SwathError):
    """Evidence and registration of a claim do not belong together."""

    exit_code = 5


def _rebuild(kind: type[SwathError], given: str, expected: str, remedy: str) -> SwathError:
    return kind(given, expected=expected, remedy=remedy)


def nearest(name: str, options: Iterable[str], count: int = 3) -> str:
    """The options most like ``name`` as a readable list; all of them when none is alike and they are few.

    >>> nearest("B4", ["B02", "B04", "SCL"])
    'B04, B02'
    """
    known = [str(option) for option in options]
    lowered = {option.lower(): option for option in known}
    close = difflib.get_close_matches(str(name).lower(), list(lowered), n=count, cutoff=0.4)
    if close:
        return ", ".join(lowered[key] for key in close)
    return ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module, or say in one line which extra brings it.

    Raises:
        MissingError: ``module`` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingError(
            f"The Python module '{error.name or module}' is not installed",
            expected=f"the extra '{extra}'",
            remedy=f"run: pip install 'swath[{extra}]'",
        ) from error
