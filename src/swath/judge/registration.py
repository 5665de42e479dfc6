"""Registrations: what a system claims, written down and committed before it is measured."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from swath import limits
from swath.errors import ClaimError, ConfigError, InputError, nearest
from swath.judge import history
from swath.reading import reading
from swath.types import Claim

TOP = ("system", "title", "claim")


def load_registration(path: Path | str) -> tuple[Claim, ...]:
    """Read ``claims/SLUG.toml``: ``system``, ``title`` and one ``[[claim]]`` table per claim, in file order.

    Raises:
        InputError: the file is missing or is not TOML.
        ConfigError: a key is unknown (the nearest is named), missing or out of range; a name or seed comes twice;
            not exactly one claim is primary; ``system`` is not the name of the file.
    """
    path = Path(path)
    expected = "a TOML file with system, title and [[claim]] tables"
    try:
        limits.YAML_BYTES.check(path.stat().st_size, path)
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # no text, no TOML, nested too deeply, too many digits
        raise InputError(
            f"The registration {path} cannot be read ({error})",
            expected=expected,
            remedy="check the path and the syntax",
        ) from error
    with reading(path, expected=expected, remedy="correct the file"):
        return _claims(path, content)


def _claims(path: Path, content: dict[str, Any]) -> tuple[Claim, ...]:
    """The claims of a registration, checked one by one and together."""
    _check_keys(path, content, TOP, "the top level")
    if content.get("system") != path.stem or not isinstance(content.get("title"), str):
        raise ConfigError(
            f"{path.name} has system = {content.get('system')!r} and title = {content.get('title')!r}",
            expected=f"system = '{path.stem}', as the file is called, and a title",
            remedy="correct the two keys",
        )
    tables = content.get("claim", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(
            f"'claim' in {path.name} is not a list of tables",
            expected="[[claim]] with two brackets",
            remedy="write [[claim]] above every claim",
        )
    claims = tuple(_claim(path, number, table) for number, table in enumerate(tables, start=1))
    _check_together(path, claims)
    return claims


def registration_commit(path: Path | str) -> str | None:
    """The commit that holds the registration as it stands now; None outside git or when it is not committed so.

    The file counts as registered by the last commit that changed it, and only while the working copy equals it.
    """
    path = Path(path).resolve()
    return history.last_commit(path) if path.exists() and history.is_clean(path) else None


def require_committed(path: Path) -> str:
    """The commit of the registration, which must be in the history of what is checked out.

    Raises:
        ClaimError: the registration is not committed, was edited since, or its history cannot be seen.
    """
    problem = history.history_problem(path.resolve().parent)
    commit = registration_commit(path) if problem is None else None
    if commit is None:
        raise ClaimError(
            f"The registration {path} is not committed as it stands" + (f" ({problem})" if problem else ""),
            expected="a registration that was committed before the evidence is written",
            remedy="commit it first, then measure",
        )
    return commit


def _check_keys(path: Path, table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in known:
            raise ConfigError(
                f"The key '{name}' at {where} of {path.name} is unknown",
                expected=f"one of {', '.join(known)}",
                remedy=f"the nearest is: {nearest(name, known)}",
            )


def _claim(path: Path, number: int, table: dict[str, Any]) -> Claim:
    where = f"claim {number} ({table.get('name', 'without a name')})"
    _check_keys(path, table, tuple(Claim.model_fields), where)
    try:
        claim = Claim.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        given = "nothing" if first["type"] == "missing" else repr(first["input"])
        raise ConfigError(
            f"'{key}' of {where} in {path.name} is {given}",
            expected=first["msg"][0].lower() + first["msg"][1:],
            remedy="correct the key",
        ) from error
    if not math.isfinite(claim.margin):
        raise ConfigError(
            f"'margin' of {where} in {path.name} is {claim.margin}",
            expected="a finite number above 0",
            remedy="register the smallest effect that matters",
        )
    if len(set(claim.seeds)) != len(claim.seeds) or not claim.seeds:
        raise ConfigError(
            f"{where} in {path.name} has the seeds {list(claim.seeds)}",
            expected="at least one seed, each once; ten or more for a verdict",
            remedy="list the seeds that will be run",
        )
    return claim


def _check_together(path: Path, claims: tuple[Claim, ...]) -> None:
    names = [claim.name for claim in claims]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"{path.name} registers {', '.join(twice)} more than once",
            expected="one name per claim",
            remedy="rename one of them",
        )
    primary = [claim.name for claim in claims if claim.primary]
    if len(primary) != 1:
        raise ConfigError(
            f"{path.name} has {len(primary)} primary claims{': ' if primary else ''}{', '.join(primary)}",
            expected="exactly one claim with primary = true; the others are exploratory",
            remedy="choose the claim that the system stands for",
        )
