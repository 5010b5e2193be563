"""Refuse requests for other hosts or from other origins, before any handler sees them.

A page of another site must not reach a server on this machine: neither from its own origin nor by
a name of its own that it has resolve to this machine (DNS rebinding). tornado compares Origin and
Host with each other only, and Bokeh checks neither for a GET.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tornado.routing import Matcher, Rule
from tornado.web import Application, RequestHandler

if TYPE_CHECKING:
    from tornado.httputil import HTTPServerRequest

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
FRAMES = ("iframe", "frame", "embed", "object")
MAX_LETTERS = 100
# HOST[:PORT] as browsers send it; an IPv6 address has brackets.
HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts that a server is reached by, and the origins that may use it.

    Attributes
    ----------
    address : str
        What the server listens on. Of every address, any IP address is a valid host: no name
        that could be resolved to another machine is involved.
    port : int
    origins : tuple of str
        Further ``HOST[:PORT]``; Bokeh's wildcards are allowed.
    behind_proxy : bool
        Whether X-Forwarded-Host is checked besides Host; otherwise it is ignored.
    """

    address: str
    port: int
    origins: tuple[str, ...] = ()
    behind_proxy: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every ``HOST:PORT`` that is allowed by name, without the default ports 80 and 443."""
        local = self.address in (*LOOPBACK, *EVERY_ADDRESS)
        hosts = dict.fromkeys([*LOOPBACK, self.address] if local else [self.address])
        own = [f"{_bracketed(host)}:{self.port}" for host in hosts if host not in EVERY_ADDRESS]
        return tuple(dict.fromkeys(map(_without_default_port, [*own, *self.origins])))

    @property
    def embedders(self) -> tuple[str, ...]:
        """The sites, as in a Content-Security-Policy, that may show a page in a frame."""
        return ("'self'", *map(_without_default_port, self.origins))

    def problem(self, request: HTTPServerRequest) -> str | None:
        """Return why a request is refused, as one sentence; None if it is allowed."""
        headers = request.headers
        hosts = [headers.get("Host", "")]
        if self.behind_proxy and "X-Forwarded-Host" in headers:
            hosts.append(headers["X-Forwarded-Host"])
        for host in hosts:
            if not self._is_own(host):
                return (
                    f"This server is not reached by the name “{host[:MAX_LETTERS]}”. Whoever "
                    f"started it allows a further name by --allow-origin HOST[:PORT]."
                )
        origin = headers.get("Origin")
        if origin is not None and not self._may_call(origin, hosts):
            return f"Pages of “{origin[:MAX_LETTERS]}” may not use this server."
        if origin is None and self._is_foreign_part(headers):
            return "Pages of another site may link to this server, but not use it."
        return None

    def _is_own(self, host: str) -> bool:
        if not HOST.fullmatch(host.lower()):
            return False
        name = _without_default_port(host.lower())
        return self._is_named(name) or (self.address in EVERY_ADDRESS and _is_address(name))

    def _is_named(self, name: str) -> bool:
        return any(_matches(name, allowed.lower()) for allowed in self.names)

    def _may_call(self, origin: str, hosts: list[str]) -> bool:
        """Whether a page of this origin may use the server: one of its own, or a named one."""
        try:
            parts = urlsplit(origin.lower())
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or not HOST.fullmatch(parts.netloc):
            return False
        if origin.lower() != f"{parts.scheme}://{parts.netloc}":
            return False
        name = _without_default_port(parts.netloc)
        own = {_without_default_port(host.lower()) for host in hosts}
        return name in own or self._is_named(name)

    def _is_foreign_part(self, headers: Any) -> bool:
        """Whether another site's page loads this as a part of itself, by what the browser says."""
        if headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin"):
            return False
        if headers.get("Sec-Fetch-Mode") != "navigate":
            return not self.origins
        return headers.get("Sec-Fetch-Dest") in FRAMES and not self.origins


def require_allowed_hosts(application: Application, hosts: AllowedHosts) -> None:
    """Have an application answer 403 to whatever `hosts` refuses, for each of its handlers."""
    rule = Rule(_Refused(hosts), Refusal, {"hosts": hosts})
    application.default_router.rules.insert(0, rule)


class Refusal(RequestHandler):
    """Answers 403 and the reason, whatever the method."""

    def initialize(self, hosts: AllowedHosts) -> None:
        """Take what decides."""
        self._hosts = hosts

    def prepare(self) -> None:
        """Answer before any method of HTTP is looked at."""
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{self._hosts.problem(self.request)}\n")

    def check_xsrf_cookie(self) -> None:
        """Nothing is done for the request, so nothing is to be protected."""


class _Refused(Matcher):
    """Matches the requests that are refused."""

    def __init__(self, hosts: AllowedHosts) -> None:
        self._hosts = hosts

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return no parameters for a request that is refused, None for the others."""
        return None if self._hosts.problem(request) is None else {}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _without_default_port(host: str) -> str:
    return host.removesuffix(":443") if host.endswith(":443") else host.removesuffix(":80")


def _matches(name: str, allowed: str) -> bool:
    """Whether `HOST[:PORT]` is the allowed one, of which each part may be a wildcard.

    Bokeh's own function takes `localhost.evil.example` for `localhost` before 3.9.
    """
    host, port = _host_and_port(name)
    pattern, wanted = _host_and_port(allowed)
    if wanted not in ("", "*", port):
        return False
    if pattern == "*":
        return True
    parts, patterns = host.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(
        expected in ("*", part) for part, expected in zip(parts, patterns, strict=True)
    )


def _host_and_port(name: str) -> tuple[str, str]:
    """Split `HOST[:PORT]`, whose host may be an IPv6 address in brackets."""
    if name.endswith("]"):
        return name, ""
    host, _, port = name.rpartition(":")
    return (host, port) if host else (port, "")


def _is_address(name: str) -> bool:
    try:
        ip_address(urlsplit(f"//{name}").hostname or "")
    except ValueError:
        return False
    return True
