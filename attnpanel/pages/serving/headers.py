"""Security headers on every response, whichever handler writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tornado.web import Application, OutputTransform, RequestHandler

if TYPE_CHECKING:
    from collections.abc import Collection

    from tornado.httputil import HTTPHeaders, HTTPServerRequest

    from attnpanel.pages.serving.hosts import AllowedHosts

# Bokeh makes functions of text, Panel imports modules from blobs and compiles with the styles of
# its own inlined. Of the network, a page uses its own server alone.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "worker-src blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "Server": "attnpanel",
    "X-Content-Type-Options": "nosniff",
    # A link carries the prompt.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


def add_security_headers(
    application: Application, hosts: AllowedHosts, foreign: Collection[str] = ()
) -> None:
    """Have an application send security headers with each response.

    Parameters
    ----------
    application : Application
    hosts : AllowedHosts
        Whose `embedders` may show a page in a frame.
    foreign : collection of str
        Paths of pages that are not attnpanel's own and may load what they need from anywhere.
    """
    ancestors = f"frame-ancestors {' '.join(hosts.embedders)}"
    paths = tuple(foreign)

    class SecurityHeaders(OutputTransform):
        """Adds the headers to what a handler has set."""

        def __init__(self, request: HTTPServerRequest) -> None:
            self._foreign = request.path.startswith(paths) if paths else False

        def transform_first_chunk(
            self,
            status_code: int,
            headers: HTTPHeaders,
            chunk: bytes,
            finishing: bool,  # noqa: ARG002, FBT001 - tornado's signature
        ) -> tuple[int, HTTPHeaders, bytes]:
            """Add the headers to the first part of a response."""
            for name, value in HEADERS.items():
                headers[name] = value
            policy = ancestors if self._foreign else f"{PAGE_POLICY}; {ancestors}"
            headers["Content-Security-Policy"] = policy
            return status_code, headers, chunk

    application.add_transform(SecurityHeaders)


class _OwnSiteCookies(RequestHandler):
    """Keeps the cookies of Panel's authentication from other sites, and behind TLS on TLS."""

    def set_cookie(  # type: ignore[override]  # the names of the options are tornado's
        self, name: str, value: str | bytes, **options: Any
    ) -> None:
        """Set a cookie that no other site's page sends along."""
        options["samesite"] = "Lax"
        options["secure"] = self.request.protocol == "https"
        super().set_cookie(name, value, **options)


def restrict_cookies(application: Application) -> None:
    """Have every handler of an application set its cookies for its own site alone."""
    for rule in application.wildcard_router.rules:
        if isinstance(rule.target, type) and issubclass(rule.target, RequestHandler):
            rule.target = type(rule.target.__name__, (_OwnSiteCookies, rule.target), {})
