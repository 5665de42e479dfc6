"""Systems: one module each, found by listing the package. A system composes shared parts and registers its claim."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from swath.errors import ConfigError, nearest


def slugs() -> dict[str, str]:
    """Slug to dotted module path, found by listing the family packages; nothing is imported beyond the families."""
    found: dict[str, str] = {}
    for family in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        if family.ispkg:
            package = importlib.import_module(family.name)
            names = (m.name for m in pkgutil.iter_modules(package.__path__, f"{family.name}."))
            found.update({name.rsplit(".", 1)[1]: name for name in names if not name.rsplit(".", 1)[1].startswith("_")})
    return dict(sorted(found.items()))


def load(slug: str) -> ModuleType:
    """The module of a system.

    Raises:
        ConfigError: there is no such system; the nearest names are told.
    """
    known = slugs()
    if slug not in known:
        raise ConfigError(
            f"There is no system '{slug}'",
            expected=f"one of {', '.join(known)}",
            remedy=f"the nearest names are: {nearest(slug, known)}; 'swath systems' lists all",
        )
    return importlib.import_module(known[slug])


def table() -> list[dict[str, str]]:
    """One row per system: slug, title, family, tier (supported, reproduced, sketched), data."""
    rows = []
    for slug, path in slugs().items():
        module, family = importlib.import_module(path), path.split(".")[-2]
        row = {"slug": slug, "title": module.TITLE, "family": family, "tier": module.TIER, "data": module.DATA}
        rows.append(row)
    return rows
