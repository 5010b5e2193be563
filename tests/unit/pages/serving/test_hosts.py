"""Which Host and Origin are allowed, without a server."""

from types import SimpleNamespace

import pytest
from tornado.httputil import HTTPHeaders

from attnpanel.pages.serving.hosts import AllowedHosts

LOCAL = AllowedHosts("localhost", 5006)
EVERYWHERE = AllowedHosts("0.0.0.0", 5006)  # noqa: S104 - not bound
NAMED = AllowedHosts("localhost", 5006, ("example.org", "*.lan:8080"))
PROXIED = AllowedHosts("localhost", 5006, ("example.org",), behind_proxy=True)
WILD = AllowedHosts("localhost", 5006, ("*",))
ANY_PORT = AllowedHosts("localhost", 5006, ("example.org:*",))


def problem(hosts, **headers):
    """Why a request with these headers is refused; underscores are hyphens."""
    sent = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})
    return hosts.problem(SimpleNamespace(headers=sent))


@pytest.mark.parametrize(
    ("hosts", "host"),
    [
        (LOCAL, "localhost:5006"),
        (LOCAL, "LOCALHOST:5006"),
        (LOCAL, "127.0.0.1:5006"),
        (LOCAL, "[::1]:5006"),
        (AllowedHosts("192.0.2.7", 80), "192.0.2.7"),
        (AllowedHosts("192.0.2.7", 80), "192.0.2.7:80"),
        (AllowedHosts("box", 5006), "box:5006"),
        (AllowedHosts("::1", 5006), "[::1]:5006"),
        (EVERYWHERE, "192.0.2.7:5006"),
        (EVERYWHERE, "192.0.2.7:80"),
        (EVERYWHERE, "[2001:db8::1]:5006"),
        (EVERYWHERE, "localhost:5006"),
        (NAMED, "example.org"),
        (NAMED, "example.org:443"),
        (NAMED, "a.lan:8080"),
        (WILD, "anything.example:1"),
        (WILD, "[2001:db8::1]:1"),
        (ANY_PORT, "example.org:5006"),
        (ANY_PORT, "example.org"),
    ],
)
def test_the_servers_own_names_are_allowed(hosts, host):
    assert problem(hosts, Host=host) is None
    assert problem(hosts, Host=host, Origin=f"http://{host}") is None


@pytest.mark.parametrize(
    ("hosts", "host"),
    [
        (LOCAL, "evil.example"),
        (LOCAL, "evil.example:5006"),
        (LOCAL, "localhost"),
        (LOCAL, "localhost:5007"),
        (LOCAL, "localhost:5006@evil.example"),
        (LOCAL, "localhost:5006.evil.example"),
        (LOCAL, "localhost:5006,evil.example"),
        (LOCAL, "localhost.:5006"),
        (LOCAL, "localhost.evil.example:5006"),
        (LOCAL, "127.0.0.1.evil.example:5006"),
        (NAMED, "example.org.evil.example"),
        (NAMED, "a.lan.evil.example:8080"),
        (NAMED, "lan:8080"),
        (NAMED, "a.lan:8081"),
        (NAMED, "a.lan"),
        (LOCAL, "[::1]"),
        (LOCAL, "[::2]:5006"),
        (LOCAL, "localhost:5006:80"),
        (LOCAL, "localhost:5006:443"),
        (LOCAL, "localhost:05006"),
        (LOCAL, "me@localhost:5006"),
        (LOCAL, "127.1:5006"),
        (LOCAL, "[::ffff:127.0.0.1]:5006"),
        (LOCAL, "192.0.2.7:5006"),
        (LOCAL, ""),
        (AllowedHosts("192.0.2.7", 5006), "localhost:5006"),
        (EVERYWHERE, "evil.example:5006"),
        (EVERYWHERE, "192.0.2.7.evil.example:5006"),
        (EVERYWHERE, "me@192.0.2.7:5006"),
        (EVERYWHERE, "[::1:5006"),
        (EVERYWHERE, "::1"),
        (EVERYWHERE, "192.0.2.7#.evil.example:5006"),
        (EVERYWHERE, "192.0.2.7:5006/.evil.example"),
        (WILD, "anything.example/1"),
        (WILD, ""),
        (NAMED, "a.example.org"),
        (NAMED, "a.b.lan:8080"),
    ],
)
def test_another_name_is_refused_though_the_origin_is_the_same(hosts, host):
    assert "is not reached by the name" in problem(hosts, Host=host)
    assert "is not reached by the name" in problem(hosts, Host=host, Origin=f"http://{host}")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://localhost:8888",
        "http://localhost",
        "null",
        "file://",
        "http://localhost:5006/path",
        "http://localhost:5006@evil.example",
        "http://evil.example@localhost:5006",
        "http://localhost:5006?",
        "http://localhost:5006#",
        "http://localhost:5006:80",
        "http://localhost.:5006",
        "http://localhost:5006,http://evil.example",
        "http:localhost:5006",
        "ws://localhost:5006",
        "http://[::1",
        "",
    ],
)
def test_a_page_of_another_origin_is_refused(origin):
    assert "may not use this server" in problem(LOCAL, Host="localhost:5006", Origin=origin)


def test_a_named_origin_may_call_by_any_of_the_servers_names():
    assert problem(NAMED, Host="localhost:5006", Origin="https://example.org") is None
    assert problem(LOCAL, Host="127.0.0.1:5006", Origin="http://localhost:5006") is None


def test_a_forwarded_host_counts_behind_a_proxy_only_and_never_instead_of_host():
    assert problem(LOCAL, Host="evil.example", X_Forwarded_Host="localhost:5006") is not None
    assert problem(LOCAL, Host="localhost:5006", X_Forwarded_Host="evil.example") is None
    assert problem(PROXIED, Host="localhost:5006", X_Forwarded_Host="example.org") is None
    assert problem(PROXIED, Host="localhost:5006", X_Forwarded_Host="evil.example") is not None
    assert problem(PROXIED, Host="evil.example", X_Forwarded_Host="example.org") is not None
    public = {"Host": "localhost:5006", "X_Forwarded_Host": "example.org"}
    assert problem(PROXIED, **public, Origin="https://example.org") is None


@pytest.mark.parametrize(
    ("site", "mode", "dest", "refused"),
    [
        ("same-origin", "no-cors", "script", False),
        ("none", "navigate", "document", False),
        ("cross-site", "navigate", "document", False),  # a link
        ("cross-site", "navigate", "iframe", True),
        ("cross-site", "no-cors", "script", True),
        ("cross-site", "no-cors", "image", True),
        ("same-site", "no-cors", "image", True),  # another port of this machine
    ],
)
def test_another_sites_page_may_link_but_load_nothing(site, mode, dest, refused):
    fetch = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest}

    assert (problem(LOCAL, Host="localhost:5006", **fetch) is not None) is refused
    # Whoever names an origin has others show the pages.
    assert problem(NAMED, Host="localhost:5006", **fetch) is None
