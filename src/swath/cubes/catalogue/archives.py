"""Archives as data: where they are, how they want to be asked, and what their collections and assets are in swath.

``archives.toml`` beside this module tells the form; the file named in $SWATH_ARCHIVES adds to it.
"""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from swath import sensors
from swath.cubes.quality import SCHEMES
from swath.cubes.remote.buckets import Buckets
from swath.cubes.remote.connection import Connection
from swath.cubes.remote.patience import Clock, Patience
from swath.cubes.remote.signing import Bearer, Open, Sas, Signer
from swath.errors import ConfigError, InputError, nearest
from swath.reading import read_text

VARIABLE = "SWATH_ARCHIVES"
ARCHIVE = "swath:archive"
"""Property of an item that names the archive whose connection reads its files."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Collection(_Record):
    """What a collection of an archive is in swath."""

    sensor: str | None = None
    level: str | None = None
    baseline: str | None = None
    bands: dict[str, str] = Field(default_factory=dict)
    quality: dict[str, str] = Field(default_factory=dict)
    offset_removed: str | None = None
    baseline_without_offset: str | None = None


class Archive(_Record):
    """An archive; see ``archives.toml``."""

    title: str = ""
    address: str
    per_minute: float | None = Field(default=None, gt=0)
    auth: Literal["open", "bearer", "sas"] = "open"
    variable: str = ""
    where: str = ""
    endpoint: str = ""
    bucket_endpoint: str = ""
    hosts: tuple[str, ...] = ()
    collections: dict[str, Collection] = Field(default_factory=dict)


def names() -> list[str]:
    """Names of the archives that are known, sorted."""
    return sorted(_all())


def archive(name: str) -> Archive:
    """An archive by name.

    Raises:
        ConfigError: there is none of that name, or the file named in $SWATH_ARCHIVES is wrong.
    """
    known = _all()
    if name not in known:
        raise ConfigError(
            f"There is no archive '{name}'",
            expected=f"one of {', '.join(sorted(known))}, the address of a STAC API, a catalogue, or a saved search",
            remedy=f"the nearest are: {nearest(name, known)}; a file in ${VARIABLE} adds archives",
        )
    return known[name]


def connect(
    name: str, collection: str = "", *, clock: Clock | None = None, patience: Patience | None = None
) -> Connection:
    """A connection to an archive, signed for one of its collections.

    Args:
        name: of the archive.
        collection: whose files are to be read; archives that sign by collection need it.
        clock: time.
        patience: retries; the rate is the archive's where it says none.

    Raises:
        ConfigError: there is no such archive.
        MissingError: the extra ``stac`` is not installed.
    """
    found = archive(name)
    base = patience or Patience()
    pace = Patience(base.attempts, base.first_s, base.most_s, base.timeout_s, base.per_minute or found.per_minute)
    made = Connection(patience=pace, clock=clock, buckets=Buckets(found.bucket_endpoint))
    made.signer = _signer(name, found, collection, made, clock)
    return made


@lru_cache(maxsize=64)
def connection(name: str, collection: str) -> Connection:
    """The connection of this process to a collection of an archive."""
    return connect(name, collection)


def _signer(name: str, found: Archive, collection: str, made: Connection, clock: Clock | None) -> Signer:
    if found.auth == "bearer":
        return Bearer(found.variable, found.hosts, name, found.where)
    if found.auth == "sas" and collection:
        plain = Connection(patience=made.patience, clock=clock, report=made.report)
        return Sas(
            found.endpoint,
            collection,
            found.hosts,
            lambda address, headers: plain.json(address, headers=headers),
            variable=found.variable,
            count=lambda: made.report.add("renewals"),
        )
    return Open()


def translated(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An item of an archive with what swath needs written into it: sensor, level, baseline, bands, quality.

    Args:
        record: the item as the archive gave it.
        name: of the archive.
    """
    item = copy.deepcopy(dict(record))
    facts = item.setdefault("properties", {})
    if isinstance(facts, dict):
        facts[ARCHIVE] = name
    known = archive(name).collections.get(str(item.get("collection")))
    if known is None or not isinstance(facts, dict) or not isinstance(item.get("assets"), dict):
        return item
    if known.sensor:
        facts["swath:sensor"] = known.sensor
    if known.level:
        facts["swath:level"] = known.level
    if known.offset_removed and facts.get(known.offset_removed) is True:
        facts["swath:baseline"] = known.baseline_without_offset
    elif known.baseline:
        facts["swath:baseline"] = known.baseline
    for key, asset in item["assets"].items():
        if not isinstance(asset, dict):
            continue
        if key in known.bands:
            asset["bands"] = [{"name": known.bands[key]}]
            asset["roles"] = ["data"]
        elif key in known.quality:
            asset["swath:scheme"] = known.quality[key]
            asset["roles"] = ["metadata"]
        elif known.bands:  # previews, other resolutions and the like
            asset["roles"] = [role for role in asset.get("roles") or () if role != "data"]
    return item


def _all() -> dict[str, Archive]:
    own = os.environ.get(VARIABLE, "")
    packaged = resources.files("swath.cubes.catalogue") / "archives.toml"
    found = _parse(packaged.read_text(encoding="utf-8"), "archives.toml")
    if own:
        found = found | _parse(read_text(Path(own), expected="a TOML file of archives"), own)
    return found


@lru_cache(maxsize=16)
def _parse(text: str, where: str) -> dict[str, Archive]:
    expected = "tables [archives.NAME] with address, auth, collections and so on, as archives.toml of swath has them"
    try:
        content = tomllib.loads(text)
        unknown = set(content) - {"archives"}
        if unknown:
            raise ConfigError(f"'{where}' has the table {min(unknown)}", expected=expected, remedy="correct it")
        found = {name: Archive.model_validate(entry) for name, entry in content.get("archives", {}).items()}
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"'{where}' is no TOML ({error})", expected=expected, remedy="correct it") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"'{where}' is wrong at {place}: {first['msg']}", expected=expected, remedy="correct it"
        ) from error
    for name, entry in found.items():
        _check(name, entry, where)
    return found


def _check(name: str, entry: Archive, where: str) -> None:
    problem = ""
    if entry.auth == "bearer" and not (entry.variable and entry.hosts):
        problem = "auth 'bearer' needs variable and hosts"
    if entry.auth == "sas" and not (entry.endpoint and entry.hosts):
        problem = "auth 'sas' needs endpoint and hosts"
    for key, known in entry.collections.items():
        if known.sensor is not None:
            try:
                bands = sensors.load(known.sensor).bands
                strangers = [band for band in known.bands.values() if band not in bands.names]
                if strangers:
                    problem = f"collection {key}: {known.sensor} has no band {strangers[0]}"
            except InputError as error:
                problem = f"collection {key}: {error.given}"
        wrong = [scheme for scheme in known.quality.values() if scheme not in SCHEMES]
        if wrong:
            problem = f"collection {key}: there is no quality scheme {wrong[0]}"
    if problem:
        raise ConfigError(
            f"The archive '{name}' in '{where}' is wrong: {problem}",
            expected="as archives.toml of swath tells",
            remedy="correct it",
        )
