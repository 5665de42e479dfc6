"""Where the ledger lies, and what evidence is being measured under."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from swath.errors import ClaimError, MissingError
from swath.files import sha256, write_json

LEDGER = "claims"
CONDITIONS = "conditions.json"
PACKAGE = Path(__file__).resolve().parents[1]


def ledger_folder() -> Path | None:
    """The folder of the registrations: ``./claims``, else that of the checkout this code runs from, else None.

    An installed wheel has no ledger: registrations mean something only together with the history of their repository.
    """
    here = Path(LEDGER)
    if here.is_dir():
        return here
    checkout = PACKAGE.parents[1] / LEDGER
    return checkout if PACKAGE.parent.name == "src" and checkout.is_dir() else None


def require_ledger() -> Path:
    """As ``ledger_folder``.

    Raises:
        MissingError: there is no ledger here.
    """
    folder = ledger_folder()
    if folder is None:
        raise MissingError(
            f"There is no folder '{LEDGER}' in {Path.cwd()}: the ledger lies in the repository, not in the package",
            expected="a checkout of the repository",
            remedy="run the command in a clone of the repository, or name the folder of the registrations",
        )
    return folder


def code_hash() -> str:
    """SHA-256 over the Python files of swath, whether they are committed or not."""
    lines = [f"{path.relative_to(PACKAGE).as_posix()} {sha256(path)}" for path in sorted(PACKAGE.rglob("*.py"))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def same_conditions(registration: Path | str, out: Path | str, *, data_hash: str) -> Path:
    """Make sure that all rows in ``out`` were and will be measured under one registration, code and data.

    The first call notes the three in ``out/conditions.json``, later ones compare. Call it before the first seed: what
    was half measured under something else must not be finished either.

    Args:
        registration: ``claims/SLUG.toml``.
        out: folder of the evidence, with one folder ``seed_N`` for each seed.
        data_hash: fingerprint of the data.

    Raises:
        ClaimError: the folder holds seeds that were measured under something else, or nobody knows under what.
    """
    path = Path(out) / CONDITIONS
    mine = {"registration_sha256": sha256(Path(registration)), "data_hash": data_hash, "code_sha256": code_hash()}
    seeds = sorted(each.name for each in Path(out).glob("seed_*"))
    if not seeds:
        return write_json(path, mine)
    differing = sorted(name for name, value in mine.items() if _noted(path).get(name) != value)
    if differing:
        raise ClaimError(
            f"{out} holds {', '.join(seeds[:5])}, measured under another or an unknown {', '.join(differing)}",
            expected="all seeds under one registration, one code and the same data",
            remedy="choose another --out, or delete the folder and measure all seeds again",
        )
    return path


def _noted(path: Path) -> dict[str, object]:
    """What was noted; nothing when the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
