"""What every request must be and every answer carries, whatever it asks for."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Collection, Iterable, Iterator

from fastapi import FastAPI, HTTPException, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swath.errors import ConfigError, nearest
from swath.serve.places import Refused

LOG = logging.getLogger("swath.serve")
MAX_BODY = 2**20  # bytes; the largest polygon takes less than half of it
MAX_ADDRESS = 2048  # characters
BODY_SECONDS = 20.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
JSON_TYPES = ("application/json", "application/geo+json")

# The browser is held to this origin. MapLibre draws decoded images through blob: and data: addresses.
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "worker-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not take that kind of request.",
}


def hosts_for(host: str, further: Iterable[str] = ()) -> frozenset[str]:
    """Names under which a server that listens on ``host`` may be asked.

    A page elsewhere can give its own name the address of this machine (DNS rebinding) and would then read what is
    served here; its requests carry that name. Listening on all addresses allows every number, but of names only that of
    the machine and those given.

    Raises:
        ConfigError: a further name is an address with scheme, port or path, or no name at all.
    """
    further = tuple(further)
    for name in further:
        if not re.fullmatch(r"\*|[0-9a-fA-F:]*:[0-9a-fA-F:.]*|[^\s:/\[\]@]+", name):
            raise ConfigError(
                f"The host name '{name}'",
                expected="a name or number alone, such as maps.example.org, or * for every name",
                remedy="leave out scheme, port and path",
            )
    names = {*LOOPBACK, host, *further}
    if host in ("0.0.0.0", "::", ""):
        names |= {"any number", socket.gethostname()}
    return frozenset(name.lower() for name in names)


class Guard:
    """Outermost part of the application: refuses what no address wants, bounds bodies, and sets headers."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] = LOOPBACK) -> None:
        self._app = app
        self._hosts = frozenset(name.lower() for name in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, content in SECURITY.items():
                    headers[name] = content
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            self._check(scope)
            body = await _body(scope, receive)
            await self._app(scope, _replayed(body, receive), guarded)
        except Refused as refusal:
            await _answer(refusal.status, str(refusal))(scope, receive, guarded)
        except Exception:
            LOG.exception("a request failed")
            if started:
                raise
            await _answer(500, "The server failed; its log says why.")(scope, receive, guarded)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        if len(named) != 1 or not self._knows(named[0]):
            raise Refused(
                421,
                "This server is not known by that name. Open it under the address that it printed at its start, or "
                "start it with --host-name and the name by which it is reached.",
            )
        if re.search(r"[\x00-\x1f\x7f\\]", scope["path"]):
            raise Refused(400, "The address holds characters that no address of this server has.")
        if len(scope["path"]) + len(scope.get("query_string", b"")) > MAX_ADDRESS:
            raise Refused(414, f"The address is longer than {MAX_ADDRESS:,} characters.")

    def _knows(self, host: str) -> bool:
        parts = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@]+)(:\d{1,5})?", host.strip())
        if parts is None:
            return False
        name = parts[1].strip("[]").lower()
        if name in self._hosts or "*" in self._hosts:
            return True
        return "any number" in self._hosts and _is_number(name)


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _body(scope: Scope, receive: Receive) -> bytes:
    """The body, at most ``MAX_BODY`` bytes that come within ``BODY_SECONDS``."""
    headers = Headers(scope=scope)
    declared = headers.get("content-length", "0")
    too_large = Refused(413, f"The body is larger than {MAX_BODY // 1024:,} KiB; send a simpler polygon.")
    if not declared.isdecimal() or int(declared[:12]) > MAX_BODY:
        raise too_large
    if scope["method"] in ("POST", "PUT", "PATCH") and headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, "Compressed bodies are not taken; send plain JSON.")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > MAX_BODY:
                    raise too_large
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Refused(408, f"The body did not come within {BODY_SECONDS:g} seconds.") from None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What the application receives: the body at once, then whatever comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def only_known_parameters(request: Request) -> None:
    """Refuse parameters that an address does not have: a misspelt one must not be passed over in silence."""
    route = request.scope.get("route")
    known = list(_parameters(route.dependant)) if isinstance(route, APIRoute) else []
    for name in request.query_params:
        if name not in known:
            listed = f"it has {nearest(name, known)}" if known else "it has none"
            raise HTTPException(422, f"This address has no parameter '{name[:40]}'; {listed}.")
        if len(request.query_params.getlist(name)) > 1:
            raise HTTPException(422, f"The parameter '{name}' is given more than once.")


def _parameters(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for part in dependant.dependencies:
        yield from _parameters(part)


async def json_body(request: Request) -> bytes:
    """The body of a request that says it is JSON.

    Raises:
        Refused: it says something else.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in JSON_TYPES:
        raise Refused(415, "Send JSON, with the header 'Content-Type: application/json'.")
    return await request.body()


def add_sentences(app: FastAPI) -> None:
    """Answer every refusal with one sentence and nothing of the inside."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return _answer(error.status, str(error))

    @app.exception_handler(StarletteHTTPException)
    async def known(_: Request, error: StarletteHTTPException) -> JSONResponse:
        plain = error.detail in ("Not Found", "Method Not Allowed")
        return _answer(error.status_code, SENTENCES[error.status_code] if plain else str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]
        return _answer(422, f"The value of '{problem['loc'][-1]}' cannot be used: {problem['msg']}.")


def _answer(status: int, sentence: str, headers: object = None) -> JSONResponse:
    # What a client sent may hold halves of characters, which UTF-8 cannot carry.
    content = {"error": sentence.encode("utf-8", "replace").decode("utf-8")}
    return JSONResponse(content, status_code=status, headers=headers if isinstance(headers, dict) else None)
