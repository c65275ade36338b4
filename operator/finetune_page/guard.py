"""Who may ask the page: the browser of the person who started it, or whoever an authenticating proxy let through."""

import hmac
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
HEALTH: Final = "/healthz"
"""Answered to everybody: a probe has no token."""
_SAFE: Final = ("GET", "HEAD")


@dataclass(frozen=True)
class Guard:
    """The checks before each request.

    On loopback every program of the machine, and every site that the browser shows, can send requests to the page: a
    token in the address becomes a cookie, and the host must be a name of the loopback, which a site's rebound name is not.
    """

    token: str | None
    """What the address must hold once; None behind a proxy, which authenticates."""
    cookie: str = "finetune"

    def refuse(self, request: web.Request) -> web.Response | None:
        """Return why the request is not answered; None if it is."""
        if request.path == HEALTH:
            return None
        if self.token is not None and _hostname(request.host) not in _LOOPBACK:
            return web.Response(status=421, text="This page answers to names of the loopback alone.")
        if request.method not in _SAFE and not _same_origin(request):
            return web.Response(status=403, text="This request comes from another site.")
        if self.token is not None and not self._is_known(request):
            return web.Response(status=401, text="Open the address that `finetune ui` printed.")
        if self.token is None and user_token(request) is None:
            return web.Response(status=401, text="The proxy before this page must pass on the user's token.")
        return None

    def admit(self, request: web.Request) -> web.Response | None:
        """Return the way on for a browser that comes with the token in its address: the same without it, and a cookie."""
        given = request.query.get("token")
        if self.token is None or given is None or not hmac.compare_digest(given.encode(), self.token.encode()):
            return None
        response = web.Response(status=303, headers={"Location": str(request.rel_url.without_query_params("token"))})
        response.set_cookie(self.cookie, self.token, httponly=True, samesite="Strict", path="/")
        return response

    def _is_known(self, request: web.Request) -> bool:
        given = request.cookies.get(self.cookie, "")
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())


def guarded(guard: Guard) -> Middleware:
    """Return the middleware: checks before, headers after."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = guard.admit(request) or guard.refuse(request)
        response = refusal if refusal is not None else await handler(request)
        if not response.prepared:
            response.headers.update(SECURITY_HEADERS)
        return response

    return middleware


def user_token(request: web.Request) -> str | None:
    """Return the token that the proxy passed on."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _hostname(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""


def _same_origin(request: web.Request) -> bool:
    """Browsers say where a request comes from in both headers; who says neither is no browser."""
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    return site == "same-origin" and (origin is None or urlsplit(origin).netloc == request.host)
