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

    class SecurityHeaders(OutputTransform):
        """Adds the headers to what a handler has set."""

        def __init__(self, request: HTTPServerRequest) -> None:
            first = request.path.lstrip("/").partition("/")[0]
            self._foreign = f"/{first}" in foreign

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


class _OwnSite(RequestHandler):
    """Keeps the cookies of Panel's authentication, and who signs in, on this site."""

    def redirect(self, url: str | None, *args: Any, **options: Any) -> None:
        """Lead on to an address; one that begins with slashes, however many, is this server's."""
        own = url is None or url[:1] in ("", "/")
        super().redirect(f"/{(url or '').lstrip('/')}" if own else str(url), *args, **options)

    def set_cookie(  # type: ignore[override]  # the names of the options are tornado's
        self, name: str, value: str | bytes, **options: Any
    ) -> None:
        """Set a cookie that no other site's page sends along."""
        options["samesite"] = "Lax"
        options["secure"] = self.request.protocol == "https"
        super().set_cookie(name, value, **options)


def keep_to_own_site(application: Application) -> None:
    """Have every handler of an application set cookies for, and lead to, its own site alone."""
    for rule in application.wildcard_router.rules:
        if isinstance(rule.target, type) and issubclass(rule.target, RequestHandler):
            rule.target = type(rule.target.__name__, (_OwnSite, rule.target), {})
