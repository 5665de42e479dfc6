"""Read files that others wrote: whatever is wrong with them ends as one sentence, and nothing in them is run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from swath import limits
from swath.errors import InputError, SwathError

if TYPE_CHECKING:
    import pyarrow.parquet

_PARQUET = b"PAR1"


@contextmanager
def reading(where: str | Path, *, expected: str, remedy: str = "check the file, or fetch it again") -> Iterator[None]:
    """Turn whatever a parser raises over a damaged file into a sentence with the parser's own reason.

    For calls into libraries that read foreign bytes: between them they raise dozens of unrelated classes, and damaged
    metadata reach as far as the first code that uses them.

    Args:
        where: the file, for the sentence.
        expected: what the file should have been.
        remedy: what to do.

    Raises:
        InputError: anything but an error of swath was raised in the block.
    """
    try:
        yield
    except SwathError:
        raise
    except MemoryError as error:
        raise InputError(
            f"'{where}' asks for more memory than there is ({reason(error)})", expected=expected, remedy=remedy
        ) from error
    except Exception as error:  # see above
        raise InputError(f"'{where}' cannot be read ({reason(error)})", expected=expected, remedy=remedy) from error


def reason(error: BaseException) -> str:
    """The class of an error and the first line of what it says, short enough for a sentence."""
    lines = str(error).strip().splitlines()
    first = "".join(letter for letter in lines[0][:160] if letter.isprintable()) if lines else ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def read_text(path: Path, *, expected: str, remedy: str = "check the path") -> str:
    """The UTF-8 text of a file of bounded size.

    Raises:
        InputError: there is no such file, it is too large, cannot be read or is no UTF-8 text.
    """
    with reading(path, expected=expected, remedy=remedy):
        if not path.is_file():
            given = f"'{path}' is a folder" if path.is_dir() else f"There is no file {path}"
            raise InputError(given, expected=expected, remedy=remedy)
        limits.TEXT_BYTES.check(path.stat().st_size, path)
        return path.read_text(encoding="utf-8")


def parse_json(text: str, where: str | Path, *, expected: str, remedy: str = "write the file again") -> Any:
    """The value of a JSON text; NaN and Infinity, which standard JSON does not have, are refused.

    Raises:
        InputError: the text is no JSON, nests too deeply, or holds a number of thousands of digits.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"'{where}' cannot be read as JSON: it is not JSON or is damaged ({reason(error)})",
            expected=expected,
            remedy=remedy,
        ) from error


def read_json(path: Path, *, expected: str, remedy: str = "write the file again") -> Any:
    """The value in a JSON file; see ``parse_json``.

    Raises:
        InputError: there is no such file, it is too large, or is no JSON.
    """
    return parse_json(read_text(path, expected=expected, remedy=remedy), path, expected=expected, remedy=remedy)


def check_parquet(path: Path, *, expected: str, remedy: str = "make the table again") -> pyarrow.parquet.FileMetaData:
    """What a parquet file declares, when it is one and of bounded size; no row is read.

    Raises:
        InputError: there is no such file, it is no parquet, or it declares more rows or bytes than the limits.
    """
    import pyarrow.parquet

    with reading(path, expected=expected, remedy=remedy):
        if not path.is_file():
            given = f"'{path}' is a folder" if path.is_dir() else f"There is no file {path}"
            raise InputError(given, expected=expected, remedy=remedy)
        with path.open("rb") as file:
            if file.read(4) != _PARQUET:
                raise InputError(f"'{path}' is not parquet", expected=expected, remedy=remedy)
        facts = pyarrow.parquet.read_metadata(path)
        groups = [facts.row_group(index) for index in range(facts.num_row_groups)]
        limits.ROWS.check(max(facts.num_rows, sum(group.num_rows for group in groups)), path)
        limits.BANDS.check(facts.num_columns, path)
        limits.TABLE_BYTES.check(sum(group.total_byte_size for group in groups), path)
        return facts


def inside(name: object) -> bool:
    """Whether a name from a record stays in the folder of the record: relative, and never upwards."""
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name or ":" in name:
        return False
    return not name.startswith(("/", "~")) and ".." not in name.split("/")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"the number {name} is not standard JSON")
