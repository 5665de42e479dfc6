"""What answers of servers mean, in numbers and in words."""

from __future__ import annotations

import email.utils
import re
import time
from typing import Any

from swath.errors import MissingError
from swath.reading import reason

PIECE = 1 << 18
"""Bytes that are taken from an answer at a time."""


class PassingError(Exception):
    """Something that may be different at the next attempt."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


def finish(response: Any) -> None:
    """Give a connection back when its answer was read to the end, or close it: what is left would spoil the next."""
    left = response.length_remaining
    if left is not None and left <= PIECE:
        response.drain_conn()
        response.release_conn()
    else:
        response.close()


def plain(address: str) -> str:
    """An address without its query, which may hold a secret, short enough for a sentence."""
    return address.partition("?")[0][:200]


def asked_to_wait(text: str | None) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or a date; None where it does not."""
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def total_of(content_range: str | None) -> int | None:
    """The size that an answer 416 tells (``bytes */1234``)."""
    size = (content_range or "").rpartition("/")[2]
    return int(size) if size.isdigit() else None


def said(response: Any) -> str:
    """The first line that a server says about its refusal."""
    try:
        text = response.read(400).decode("utf-8", "replace")
    except Exception:  # a refusal without a readable reason is still one
        return ""
    found = re.search(r'"(?:description|detail|message)"\s*:\s*"([^"]{1,160})', text)
    return f", {found.group(1)}" if found else ""


def in_words(error: BaseException) -> str:
    """What broke a connection, without the address that the library repeats."""
    error = getattr(error, "reason", None) or error
    name = type(error).__name__
    known = {
        "NameResolutionError": "its name is unknown",
        "NewConnectionError": "nothing answers there",
        "ConnectTimeoutError": "it does not answer in time",
        "ReadTimeoutError": "it stopped answering",
        "ProtocolError": "the connection was closed early",
        "IncompleteRead": "the connection was closed early",
    }
    return known.get(name, reason(error))


def unreachable(address: str, trouble: PassingError, asked: int) -> MissingError:
    """The error of a request that was given up."""
    asked_for = trouble.wait_s
    longer = f" and asks to wait {asked_for:.0f} s" if asked_for else ""
    return MissingError(
        f"{plain(address)} cannot be fetched ({trouble}{longer}; {asked} attempts)",
        expected="a server that answers",
        remedy="check the address and the network, and try again later",
    )


def refused(address: str, why: str) -> MissingError:
    """The error of a request that a server refused."""
    return MissingError(
        f"{plain(address)} cannot be fetched: {why}",
        expected="the file or answer at this address",
        remedy="check the address, and the token or key of the archive if it wants one; a file can be fetched by other "
        "means and opened from disk",
    )
