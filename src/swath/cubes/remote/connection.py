"""Asking servers over HTTP: with patience, at the pace they allow, signed where wanted, and never for the same bytes
twice.

A body that ends early is continued by a range from where it ended. Servers that are busy (408, 425, 429, 5xx) or hang
up are asked again after a pause: what they ask for in ``Retry-After``, else a random part of a span that doubles each
time (full jitter). A refusal (401, 403) renews a signature once.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from swath import __version__, limits
from swath.cubes.remote.answers import (
    PIECE,
    PassingError,
    asked_to_wait,
    finish,
    in_words,
    plain,
    refused,
    said,
    total_of,
    unreachable,
)
from swath.cubes.remote.buckets import SCHEME, Buckets
from swath.cubes.remote.patience import Clock, Patience
from swath.cubes.remote.report import RemoteReport
from swath.cubes.remote.signing import Open, Signer
from swath.errors import InputError, require
from swath.reading import parse_json, reason

T = TypeVar("T")
R = TypeVar("R")
EXTRA = "stac"
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same question may succeed."""
REFUSALS = frozenset({301, 400, 401, 403})
"""Answers after which a new signature may help; the first two come from buckets of another region."""
_SPAN = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True)
class Span:
    """Bytes of a file on a server.

    Args:
        content: the bytes.
        total: size of the whole file, None where the server does not tell.
        tag: its ETag, empty where there is none.
    """

    content: bytes
    total: int | None
    tag: str


@dataclass
class _Question:
    """A request under way: what is asked, and what came so far."""

    address: str
    start: int = 0
    stop: int | None = None
    ranged: bool = False
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    got: bytearray = field(default_factory=bytearray)
    take: Callable[[bytes], None] | None = None
    restart: Callable[[], None] | None = None
    received: int = 0
    total: int | None = None
    tag: str = ""
    renewed: bool = False

    def keep(self, piece: bytes) -> None:
        self.received += len(piece)
        if self.take is None:
            self.got += piece
        else:
            self.take(piece)


class Connection:
    """A way to the servers of one archive; threads share it.

    Args:
        signer: how requests are signed.
        patience: retries, timeouts and the rate.
        clock: time.
        report: where costs are counted.
        connections: most requests to one host at the same time.
        buckets: how addresses of buckets (``s3://``) are asked for.

    Raises:
        MissingError: the extra ``stac`` is not installed.
    """

    def __init__(
        self,
        *,
        signer: Signer | None = None,
        patience: Patience | None = None,
        clock: Clock | None = None,
        report: RemoteReport | None = None,
        connections: int = 32,
        buckets: Buckets | None = None,
    ) -> None:
        self.signer: Signer = signer or Open()
        self.patience = patience or Patience()
        self.clock = clock or Clock()
        self.report = report if report is not None else RemoteReport()
        self.connections = connections
        self.buckets = buckets or Buckets()
        self._prepare()

    def _prepare(self) -> None:
        self._urllib3 = require("urllib3", EXTRA)
        self._pools: dict[str, Any] = {}
        self._proxies: dict[tuple[str, str], str] = {}
        self._team: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._next = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def side_by_side(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Results of ``work`` in the order of the items, which are done on several connections at once.

        ``work`` must not call this itself: it would wait for its own turn.
        """
        if len(items) < 2:
            return [work(item) for item in items]
        with self._lock:
            if self._team is None:
                self._team = ThreadPoolExecutor(self.connections, thread_name_prefix="swath-remote")
        return list(self._team.map(work, items))

    def json(
        self, address: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The JSON value that a GET, or with ``body`` a POST, is answered with.

        Raises:
            MissingError: the server cannot be reached or refuses.
            InputError: the answer is no JSON.
        """
        sent = {"Accept": "application/geo+json, application/json"} | dict(headers or {})
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        question = _Question(address, body=content, headers=sent)
        self._ask(question)
        expected = "JSON of a STAC API or catalogue"
        try:
            text = bytes(question.got).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{plain(address)} gave no text", expected=expected, remedy="check the address") from error
        return parse_json(text, plain(address), expected=expected, remedy="check the address")

    def span(self, address: str, start: int, stop: int, tag: str = "", counted: str = "") -> Span:
        """Bytes ``start`` to before ``stop`` of a file; fewer where it ends earlier.

        Args:
            address: the file.
            start: first byte.
            stop: byte behind the last one.
            tag: ETag that the file must have, empty for any.
            counted: name of the count of the report that this request adds to.

        Raises:
            MissingError: the server cannot be reached, refuses or does not give ranges.
            InputError: the file is another one than ``tag`` says.
        """
        question = _Question(address, start=start, stop=stop, ranged=True, tag=tag)
        self._ask(question, counted)
        return Span(bytes(question.got), question.total, question.tag)

    def stream(
        self, address: str, start: int, take: Callable[[bytes], None], restart: Callable[[], None], tag: str = ""
    ) -> Span:
        """All bytes of a file from ``start`` on, handed to ``take`` as they come.

        Args:
            address: the file.
            start: first byte; those before are there already.
            take: gets the bytes.
            restart: drops what was taken: a server that cannot go on sends all again.
            tag: ETag that the file must have, empty for any.

        Returns:
            a span without content.

        Raises:
            MissingError: the server cannot be reached or refuses.
            InputError: the file is another one than ``tag`` says.
        """
        question = _Question(address, start=start, ranged=start > 0, take=take, restart=restart, tag=tag)
        self._ask(question)
        return Span(b"", question.total, question.tag)

    def signed(self, address: str) -> tuple[str, dict[str, str]]:
        """The address to ask on the web, and headers to send along.

        Raises:
            MissingError: a secret is not set, or no signature can be had.
            InputError: it names no object of a bucket.
        """
        return (self.buckets.on_the_web(address), {}) if address.startswith(SCHEME) else self.signer.sign(address)

    def _renew(self, address: str, signed: str, response: Any) -> bool:
        if address.startswith(SCHEME):
            return self.buckets.renew(address, response.headers)
        return int(response.status) in (401, 403) and self.signer.renew(address, signed)

    def _ask(self, question: _Question, counted: str = "") -> None:
        failed = asked = 0
        while True:
            before = question.received
            try:
                self._keep_pace()
                self.report.add("requests")
                if counted:
                    self.report.add(counted)
                if asked:
                    self.report.add("retries")
                asked += 1
                self._once(question)
                return
            except PassingError as error:
                trouble = error
            failed = 1 if question.received > before else failed + 1
            pause = self._pause(trouble, failed)
            if failed >= self.patience.attempts or pause > self.patience.most_s:
                raise unreachable(question.address, trouble, asked)
            self._wait(pause)

    def _pause(self, trouble: PassingError, failed: int) -> float:
        """Seconds until the next attempt."""
        if trouble.wait_s is not None:
            return trouble.wait_s
        longest = min(self.patience.first_s * 2.0 ** (failed - 1), self.patience.most_s)
        return longest * self.clock.jitter()

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.report.add("waited_s", seconds)
            self.clock.sleep(seconds)

    def _keep_pace(self) -> None:
        """Wait for a turn where requests are limited; turns are handed out one by one, and waited for side by side."""
        if self.patience.per_minute is None:
            return
        with self._lock:
            now = self.clock.now()
            turn = max(now, self._next)
            self._next = turn + 60.0 / self.patience.per_minute
        self._wait(turn - now)

    def _once(self, question: _Question) -> None:
        """One request for what is still missing."""
        errors = self._urllib3.exceptions
        address, secret = self.signed(question.address)
        sent = {"User-Agent": f"swath/{__version__}", "Accept-Encoding": "identity"} | dict(question.headers) | secret
        begin = question.start + question.received
        if question.ranged or (question.received and question.body is None):
            sent["Range"] = f"bytes={begin}-{'' if question.stop is None else question.stop - 1}"
        try:
            response = self._pool(address).request(
                "GET" if question.body is None else "POST",
                address,
                body=question.body,
                headers=sent,
                preload_content=False,
                timeout=self.patience.timeout_s,
                retries=self._urllib3.Retry(connect=0, read=0, status=0, other=0, redirect=5, total=None),
            )
            try:
                self._answer(question, response, address, begin)
            finally:
                finish(response)
        except (errors.LocationParseError, errors.LocationValueError, UnicodeError) as error:
            raise InputError(
                f"'{plain(question.address)}' is no address ({reason(error)})",
                expected="http://, https:// or s3://",
                remedy="correct it",
            ) from error
        except errors.SSLError as error:
            raise refused(question.address, f"its certificate is not accepted, {reason(error)}") from error
        except (errors.HTTPError, OSError) as error:
            raise PassingError(in_words(error)) from error

    def _answer(self, question: _Question, response: Any, address: str, begin: int) -> None:
        status = int(response.status)
        if status in REFUSALS and not question.renewed and self._renew(question.address, address, response):
            question.renewed = True
            raise PassingError(f"the server answered {status}", wait_s=0.0)
        if status in PASSING:
            raise PassingError(f"the server answered {status}", asked_to_wait(response.headers.get("Retry-After")))
        if status == 416 and question.ranged:
            question.total = total_of(response.headers.get("Content-Range"))
            return
        if status not in (200, 206):
            raise refused(question.address, f"the server answered {status}{said(response)}")
        self._check_same(question, response)
        question.renewed = False
        if status == 206:
            self._check_range(question, response, begin)
        elif begin:
            self._start_over(question)
            begin = 0
        if status == 200:
            length = response.headers.get("Content-Length", "")
            question.total = int(length) if length.isdigit() else question.total
        self._receive(question, response, begin)

    def _receive(self, question: _Question, response: Any, begin: int) -> None:
        ends = question.total if question.stop is None else min(question.stop, question.total or question.stop)
        bounded = limits.TEXT_BYTES.value if question.take is None and question.stop is None else None
        while piece := response.read1(PIECE, decode_content=False):
            room = None if ends is None else ends - question.start - question.received
            piece = piece if room is None else piece[:room]
            self.report.add("bytes", len(piece))
            question.keep(piece)
            if bounded is not None:
                limits.TEXT_BYTES.check(question.received, plain(question.address))
            if room is not None and len(piece) == room:
                break
        have = question.start + question.received
        if ends is not None and have < ends:
            raise PassingError(f"the answer ended after {have - begin} of {ends - begin} bytes")

    def _check_same(self, question: _Question, response: Any) -> None:
        tag = str(response.headers.get("ETag", ""))
        if question.tag and tag and tag != question.tag:
            raise InputError(
                f"{plain(question.address)} is another file than before (ETag {tag}, before {question.tag})",
                expected="a file that stays as it is while it is read",
                remedy="open it again",
            )
        question.tag = question.tag or tag

    def _check_range(self, question: _Question, response: Any, begin: int) -> None:
        told = _SPAN.fullmatch(str(response.headers.get("Content-Range", "")).strip())
        if told is None or int(told.group(1)) != begin:
            raise PassingError(f"the server gave the range {response.headers.get('Content-Range')}")
        if told.group(3) != "*":
            question.total = int(told.group(3))

    def _start_over(self, question: _Question) -> None:
        """The server ignores ranges and sends all from the beginning: only who takes whole files can use that."""
        if question.restart is None:
            raise refused(question.address, "the server gives no parts of files (it ignores Range)")
        question.restart()
        question.start = question.received = 0
        question.ranged = False

    def _pool(self, address: str) -> Any:
        """The pool of connections for an address: direct, or through the proxy that the environment names."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"'{plain(address)}' cannot be fetched",
                expected="an address with http, https or s3",
                remedy="correct it",
            )
        with self._lock:
            if (parts.scheme, parts.hostname) not in self._proxies:  # looking through the environment takes a while
                named = urllib.request.getproxies().get(parts.scheme, "")
                direct = not named or urllib.request.proxy_bypass(parts.hostname)
                self._proxies[parts.scheme, parts.hostname] = "" if direct else named
            proxy = self._proxies[parts.scheme, parts.hostname]
            if proxy not in self._pools:
                options = {"maxsize": self.connections, "block": True, "num_pools": 32}
                made = self._urllib3.ProxyManager(proxy, **options) if proxy else self._urllib3.PoolManager(**options)
                self._pools[proxy] = made
            return self._pools[proxy]
