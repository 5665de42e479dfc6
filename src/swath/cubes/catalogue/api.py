"""Ask a STAC API: items by place, time and collection, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np

from swath.cubes.catalogue import archives
from swath.cubes.catalogue.items import Item, item_of
from swath.cubes.catalogue.wanted import EARLIEST, LATEST, Wanted
from swath.cubes.remote.answers import plain
from swath.cubes.remote.connection import Connection
from swath.errors import InputError
from swath.failures import Failure, Failures

PAGE = 100
MOST = 50_000
"""Items of one search: more are a mistake, or a job for a table of all items."""
_EXPECTED = "a STAC API (its root, with a link 'search'), a stac-geoparquet table, or a catalogue on disk"


def items(
    address: str, wanted: Wanted, connection: Connection, archive: str = "", failures: Failures | None = None
) -> Iterator[Item]:
    """Items that an API finds and that fit, in the API's order, each once.

    Args:
        address: root of the API.
        wanted: filters; all are applied here too, as servers differ in which they know.
        connection: how it is asked.
        archive: name of the archive, whose names of sensors and bands apply.
        failures: items that cannot be understood are noted here and passed over; None = the first one ends the search.

    Raises:
        MissingError: the server cannot be reached or refuses.
        InputError: it is no STAC API, or answers nonsense.
    """
    seen: set[tuple[str, str]] = set()
    for record in records(address, wanted, connection):
        try:
            named = archives.translated(record, archive) if archive else record
            item = item_of(named, Path(f"{record.get('id')}.json"), base=_own_address(record, address))
        except InputError as error:
            if failures is None:
                raise
            failures.add(Failure.of(str(record.get("id")), "read", error))
            continue
        key = (item.collection, item.id)
        if key not in seen and wanted.fits(item):
            seen.add(key)
            yield item


def records(address: str, wanted: Wanted, connection: Connection) -> Iterator[dict[str, Any]]:
    """Item records of all pages of a search.

    Raises:
        MissingError: as ``items``.
        InputError: as ``items``, or there are more than ``MOST``.
    """
    place, query_known = _search_address(address, connection)
    body: Mapping[str, Any] | None = _body(wanted, query_known)
    asked: set[str] = set()
    count = 0
    while True:
        key = f"{place} {body}"
        if key in asked:
            raise _nonsense(address, "its pages lead back to an earlier one")
        asked.add(key)
        page = connection.json(place, body)
        features = page.get("features") if isinstance(page, dict) else None
        if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
            raise _nonsense(address, "its answer has no list of features")
        yield from features
        count += len(features)
        if count > MOST:
            raise InputError(
                f"{plain(address)} has more than {MOST:,} items for this search",
                expected="a search that a person meant",
                remedy="narrow place, time or collections, or search month by month",
            )
        following = _next(page, place, body)
        if following is None or not features:
            return
        place, body = following


def _search_address(address: str, connection: Connection) -> tuple[str, bool]:
    """Where to search, and whether the extension ``query`` is known there."""
    root = connection.json(address)
    if not isinstance(root, dict):
        raise _nonsense(address, "its root is no JSON object")
    links = [link for link in root.get("links") or () if isinstance(link, dict) and link.get("rel") == "search"]
    posts = [link for link in links if str(link.get("method", "")).upper() == "POST"]
    if not links:
        raise _nonsense(address, f"its root is a {root.get('type') or 'text'} without a link 'search'")
    conforms = [str(entry) for entry in root.get("conformsTo") or ()]
    href = str((posts or links)[0].get("href", ""))
    return urljoin(address.rstrip("/") + "/", href), any("item-search#query" in entry for entry in conforms)


def _body(wanted: Wanted, query_known: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"limit": PAGE}
    if wanted.bbox is not None:
        body["bbox"] = list(wanted.bbox)
    if wanted.collections is not None:
        body["collections"] = list(wanted.collections)
    if wanted.ids is not None:
        body["ids"] = sorted(wanted.ids)
    if (wanted.first, wanted.last) != (EARLIEST, LATEST):
        body["datetime"] = f"{_instant(wanted.first, EARLIEST)}/{_instant(wanted.last, LATEST)}"
    if wanted.max_cloud is not None and query_known:
        body["query"] = {"eo:cloud_cover": {"lte": wanted.max_cloud}}
    return body


def _instant(moment: np.datetime64, open_end: np.datetime64) -> str:
    return ".." if moment == open_end else f"{moment.astype('datetime64[ms]')}Z"


def _next(
    page: Mapping[str, Any], place: str, body: Mapping[str, Any] | None
) -> tuple[str, Mapping[str, Any] | None] | None:
    """Address and body of the next page, or None at the end (STAC API, "Paging")."""
    link = next(
        (link for link in page.get("links") or () if isinstance(link, dict) and link.get("rel") == "next"), None
    )
    if link is None:
        return None
    href = urljoin(place, str(link.get("href", "")))
    if str(link.get("method", "GET")).upper() != "POST":
        return href, None
    own = link.get("body")
    own = own if isinstance(own, dict) else {}
    return href, (dict(body or {}) | own) if link.get("merge") else own


def _own_address(record: Mapping[str, Any], address: str) -> str:
    """Where the relative addresses of an item start from: its link ``self``."""
    own = next(
        (
            str(link.get("href", ""))
            for link in record.get("links") or ()
            if isinstance(link, dict) and link.get("rel") == "self"
        ),
        "",
    )
    return urljoin(address.rstrip("/") + "/", own)


def _nonsense(address: str, why: str) -> InputError:
    return InputError(f"{plain(address)} cannot be searched: {why}", expected=_EXPECTED, remedy="check the address")
