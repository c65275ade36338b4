"""Who may ask the page: the browser of the person who started it, or whoever an authenticating proxy let through."""

import hmac
import re
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
_API: Final = "/api/"
_TOKEN: Final = re.compile(r"Bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
"""A token as RFC 6750 (section 2.1) writes it: nothing in it that ends a header or begins another."""


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
        if (request.method not in _SAFE or request.path.startswith(_API)) and not self._same_origin(request):
            return web.Response(status=403, text="This request comes from another site.")
        if self.token is not None and not self._is_known(request):
            return web.Response(status=401, text="Open the address that `finetune ui` printed.")
        if self.token is None and user_token(request) is None:
            text = "The proxy before this page must pass on the user's token, and no other (Authorization: Bearer …)."
            return web.Response(status=401, text=text, headers={"WWW-Authenticate": "Bearer"})
        return None

    def admit(self, request: web.Request) -> web.Response | None:
        """Return the way on for a browser that comes with the token in its address: the same without it, and a cookie."""
        given = request.query.get("token")
        if self.token is None or given is None or not hmac.compare_digest(given.encode(), self.token.encode()):
            return None
        response = web.Response(status=303, headers={"Location": str(request.rel_url.without_query_params("token"))})
        response.set_cookie(self.cookie, self.token, httponly=True, samesite="Strict", path="/")
        return response

    def _same_origin(self, request: web.Request) -> bool:
        """Browsers say where a request comes from; who says nothing is no browser, and has no cookie that a site could use.

        A proxy may ask for the page by another name than its own. What it says of that no site can say: a browser sends such a
        header to another site only if that allows it.
        """
        site = request.headers.get("Sec-Fetch-Site")
        if site is not None:
            # "none": the person typed the address.
            return site == "same-origin" or (site == "none" and request.method in _SAFE)
        origin = request.headers.get("Origin")
        hosts = [request.host, *([] if self.token else request.headers.getall("X-Forwarded-Host", []))]
        return origin is None or urlsplit(origin).netloc in hosts

    def _is_known(self, request: web.Request) -> bool:
        given = request.cookies.get(self.cookie, "")
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())


def guarded(guard: Guard) -> Middleware:
    """Return the middleware that checks each request before it is answered."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = guard.admit(request) or guard.refuse(request)
        return refusal if refusal is not None else await handler(request)

    return middleware


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add what holds for every answer, an error and a stream too: nothing is kept by a proxy; files alone by the browser, which asks whether they are new."""
    response.headers.update(SECURITY_HEADERS)
    response.headers["Cache-Control"] = "private, no-cache" if isinstance(response, web.FileResponse) else "no-store"


def user_token(request: web.Request) -> str | None:
    """Return the token that the proxy passed on; None where there is none, or more than one: whose would it be?"""
    given = request.headers.getall("Authorization", [])
    match = _TOKEN.fullmatch(given[0].strip()) if len(given) == 1 else None
    return match[1] if match else None


def _hostname(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""
