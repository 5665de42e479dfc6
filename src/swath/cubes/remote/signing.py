"""How archives want to be asked: openly, with a token of the user, or with addresses that are signed for a while.

A secret goes only to the hosts that the archive names, and is never part of a message or of what is kept on disk.
"""

from __future__ import annotations

import datetime
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from swath.errors import InputError, MissingError

MARGIN_S = 60.0
"""Seconds before its end at which a signature counts as expired: a request takes time too."""


class Signer(Protocol):
    """Signs requests."""

    def sign(self, address: str) -> tuple[str, dict[str, str]]:
        """The address to ask, and headers to send along.

        Raises:
            MissingError: a secret is not set, or no signature can be had.
        """

    def renew(self, address: str, signed: str) -> bool:
        """Forget the signature that ``signed`` carries, after a server refused it; False where that cannot help."""


@dataclass(frozen=True)
class Open:
    """No signature."""

    def sign(self, address: str) -> tuple[str, dict[str, str]]:
        """The address as it is."""
        return address, {}

    def renew(self, address: str, signed: str) -> bool:
        """Nothing to renew."""
        return False


@dataclass(frozen=True)
class Bearer:
    """A token of the user, from an environment variable, read anew for each request.

    Args:
        variable: name of the environment variable.
        hosts: hosts and their subdomains that get the token.
        archive: for sentences.
        where: where users get a token.
    """

    variable: str
    hosts: tuple[str, ...]
    archive: str
    where: str = ""

    def sign(self, address: str) -> tuple[str, dict[str, str]]:
        """The header ``Authorization`` for hosts of the archive."""
        if not within(address, self.hosts):
            return address, {}
        token = os.environ.get(self.variable, "").strip()
        if not token or not token.isprintable():
            raise MissingError(
                f"The archive '{self.archive}' wants a token, and the environment variable {self.variable} is not set",
                expected=f"a token in {self.variable}",
                remedy=f"get one{f' at {self.where}' if self.where else ''} and set the variable",
            )
        return address, {"Authorization": f"Bearer {token}"}

    def renew(self, address: str, signed: str) -> bool:
        """The user's token cannot be renewed here."""
        return False


@dataclass
class Sas:
    """Addresses signed with tokens of a service that answers ``{"token": ..., "msft:expiry": ...}``.

    Args:
        endpoint: address of the service; ``{collection}`` stands for the collection.
        collection: id of the collection.
        hosts: hosts and their subdomains whose addresses are signed.
        ask: fetches JSON (``Connection.json`` of an unsigned connection).
        variable: environment variable with a key that raises the limits of the service; need not be set.
        now: seconds since 1970.
    """

    endpoint: str
    collection: str
    hosts: tuple[str, ...]
    ask: Callable[[str, dict[str, str]], Any]
    variable: str = ""
    now: Callable[[], float] = time.time
    count: Callable[[], None] = lambda: None
    _token: str = ""
    _until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sign(self, address: str) -> tuple[str, dict[str, str]]:
        """The address with the token behind it; a new token is fetched when the old one ends soon."""
        if not within(address, self.hosts):
            return address, {}
        with self._lock:
            if not self._token or self.now() > self._until - MARGIN_S:
                self._fetch()
            return f"{address}{'&' if '?' in address else '?'}{self._token}", {}

    def renew(self, address: str, signed: str) -> bool:
        """Forget the token, if another thread has not renewed it already."""
        if not within(address, self.hosts):
            return False
        with self._lock:
            if self._token and signed.endswith(self._token):
                self._token = ""
        return True

    def _fetch(self) -> None:
        place = self.endpoint.replace("{collection}", quote(self.collection, safe=""))
        key = os.environ.get(self.variable, "").strip() if self.variable else ""
        answer = self.ask(place, {"Ocp-Apim-Subscription-Key": key} if key else {})
        try:
            self._token = str(answer["token"]).lstrip("?&")
            expiry = datetime.datetime.fromisoformat(str(answer["msft:expiry"]).replace("Z", "+00:00"))
            self._until = expiry.replace(tzinfo=expiry.tzinfo or datetime.UTC).timestamp()
        except (KeyError, TypeError, ValueError) as error:
            self._token = ""
            raise InputError(
                f"{place} gave no signature",
                expected="JSON with token and msft:expiry",
                remedy="check the address of the signing service in the archive's preset",
            ) from error
        self.count()


def within(address: str, hosts: tuple[str, ...]) -> bool:
    """Whether an address lies on one of the hosts (``example.org`` or ``127.0.0.1:8000``) or below one."""
    parts = urlsplit(address)
    names = {parts.hostname or "", parts.netloc.rpartition("@")[2]}
    return any(name == host or name.endswith(f".{host}") for name in names for host in hosts)
