"""Who may look, and who may act: tokens, the page's own origin, and what browsers are told to refuse."""

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.output import Dashboard

COOKIE = "anabranch_reader"
ACTION_HEADER = "X-Action-Token"
"""No page of another origin can send it without being asked for permission first."""

OPEN = ("/", "/healthz", "/api/session")
"""What needs no token: the page itself, which says nothing of any model, and where the token is entered."""

SECURITY = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Access:
    """Decides on requests by the settings."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.origins = frozenset(dashboard.origins)
        self.hosts = frozenset(urlsplit(each).netloc for each in dashboard.origins)

    @property
    def needs_token(self) -> bool:
        """Whether a reader has to bring one."""
        return bool(self.dashboard.tokens)

    def cookie_for(self, token: str) -> str | None:
        """What a reader's browser keeps in place of the token; None: it is none of those that count."""
        return _mark(token) if is_one_of(token, self.dashboard.tokens) else None

    def may_read(self, headers: Headers) -> bool:
        """By the cookie, or by a bearer token, as programs bring it."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        marks = [_mark(each.get_secret_value()) for each in self.dashboard.tokens]
        known = [hmac.compare_digest(cookie.encode(), each.encode()) for each in marks]
        return any(known) or (kind.lower() == "bearer" and is_one_of(token.strip(), self.dashboard.tokens))

    def may_act(self, headers: Headers) -> bool:
        """By the header that only the page itself can send."""
        return is_one_of(headers.get(ACTION_HEADER, ""), self.dashboard.action_tokens)

    def is_own(self, headers: Headers) -> bool:
        """Whether a request comes from the page itself, or from no page."""
        origin = headers.get("origin")
        if origin is None or origin in self.origins:
            return True
        return urlsplit(origin).netloc == headers.get("host", "")

    def is_host(self, headers: Headers) -> bool:
        """Whether it is asked under a name of its own: on loopback a foreign name was made to point here."""
        host = headers.get("host", "")
        return not _is_loopback(self.dashboard.host) or host in self.hosts or _is_loopback(_without_port(host))


def is_one_of(token: str, several: Iterable[SecretStr]) -> bool:
    """Whether the token is known. All are compared, each in constant time."""
    found = [hmac.compare_digest(token.encode(), each.get_secret_value().encode()) for each in several]
    return any(found)


def _mark(token: str) -> str:
    return hmac.new(token.encode(), b"anabranch dashboard", sha256).hexdigest()


def _without_port(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Gate:
    """Before the routes: the host's name, the origin, the reader's token; behind them: headers for the browser."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks for."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None and scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refused[1][:120]})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_headers(scope["path"]))
            await send(message)

        if refused is None:
            await self.app(scope, receive, guarded)
        else:
            await JSONResponse({"error": refused[1]}, status_code=refused[0])(scope, receive, guarded)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers, path = Headers(scope=scope), scope["path"]
        if not self.access.is_host(headers):
            return 421, "this address is not known here: name it in dashboard.origins"
        is_written = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if is_written and not self.access.is_own(headers):
            return 403, "the request comes from a page of another origin (dashboard.origins)"
        is_open = path in OPEN or path.startswith("/static/")
        if self.access.needs_token and not is_open and not self.access.may_read(headers):
            return 401, "a token is needed (one of dashboard.tokens)"
        return None


def _headers(path: str) -> Mapping[str, str]:
    """Of what is asked for anew each time nothing is kept; what the page is made of is asked after each time."""
    return {**SECURITY, "Cache-Control": "no-store" if path.startswith("/api/") else "no-cache"}
