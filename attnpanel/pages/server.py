"""The server behind `attnpanel serve`."""

from __future__ import annotations

import contextlib
import gc
import re
import secrets
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.settings import settings as bokeh_settings

from attnpanel.pages.explorer.static_page import Toy, static_page, toy_of
from attnpanel.pages.registry import PAGES, SitePage
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.serving.auth import auth_options
from attnpanel.pages.serving.bounded_log import bound_logs
from attnpanel.pages.serving.common_texts import COMMON_TEXTS
from attnpanel.pages.serving.compression import compress_static_files
from attnpanel.pages.serving.connections import limit_connections, request_limits
from attnpanel.pages.serving.early_page import send_html_early
from attnpanel.pages.serving.garbage import collect_seldom
from attnpanel.pages.serving.headers import add_security_headers, keep_to_own_site
from attnpanel.pages.serving.health import HEALTH
from attnpanel.pages.serving.hosts import LOOPBACK, AllowedHosts, require_allowed_hosts
from attnpanel.pages.serving.own_sessions import keep_sessions_apart
from attnpanel.pages.serving.page_scripts import leave_out_unused
from attnpanel.pages.serving.sessions import limit_sessions
from attnpanel.pages.serving.static_start import (
    StaticStart,
    library_addresses,
    start_without_session,
)
from attnpanel.pages.serving.turns import take_turns
from attnpanel.pages.serving.websocket import guard_websockets
from attnpanel.trace import Trace
from attnpanel.ui.bokeh_defaults import remember_defaults
from attnpanel.ui.header import Link, link_pages, set_default_language, visitor_language
from attnpanel.ui.page_status import with_status
from attnpanel.ui.words import check_language, t, use_language
from attnpanel.ui.worker_pool import WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tornado.httputil import HTTPServerRequest

PAGE_NAME = re.compile("[a-z][a-z0-9-]*")
# How long a thread that computes keeps the others waiting, in seconds. The event loop waits after
# each call of the system; with Python's 0.005 a ping beside a session that is made takes 22 ms.
SWITCH_S = 0.001


def serve(
    traces: Sequence[Path] = (),
    *,
    port: int = 5006,
    address: str = "localhost",
    models: tuple[str, ...] = ("minilm",),
    max_tokens: int = 512,
    max_upload_bytes: int = 64_000_000,
    origins: tuple[str, ...] = (),
    pages: Mapping[str, Path] | None = None,
    further: Sequence[SitePage] = (),
    runs: Path | None = None,
    max_trainings: int = 2,
    shared_runs: bool | None = None,
    behind_proxy: bool = False,
    auth: str | None = None,
    limits: Mapping[str, Any] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    max_prompt_s: float = 300.0,
    static_start: bool = True,
    language: str | None = None,
) -> int:
    """Serve all pages until interrupted; prints the URL first.

    Parameters
    ----------
    traces : sequence of path
        Trace files to offer on the page; each is read and checked before serving.
    port : int
        0 takes any free port.
    address : str
        Address to listen on; anything but a loopback address lets other machines in.
    models, max_tokens, max_upload_bytes
        As in :class:`attnpanel.pages.server_settings.ServerSettings`.
    origins : tuple of str
        Further ``HOST[:PORT]`` names that browsers may use for this server, and whose pages may
        show its pages in a frame.
    pages : mapping of str to path, optional
        Further Panel apps by name, which is also their URL: ``{"mine": app.py}``.
    further : sequence of SitePage
        Pages of ours beside :data:`attnpanel.pages.registry.PAGES`, and guarded as those are.
    runs, max_trainings
        As in :class:`attnpanel.pages.server_settings.ServerSettings`.
    shared_runs : bool, optional
        Whether visitors of the lab may change each other's runs; by default only if no other
        machine can connect.
    behind_proxy : bool
        Whether a proxy on the way sets X-Forwarded-For, -Proto and -Host; otherwise they are
        ignored, because anybody can send them.
    limits : mapping, optional
        ``max_sessions``, ``max_prompts``, ``max_uploads`` and ``max_idle_s`` of
        :class:`attnpanel.pages.server_settings.ServerSettings`.
    workers : int, optional
        How many prompts, reports and other long works run at a time, of all pages together; by
        default one a core.
    scheduler : str, optional
        Address of a Dask scheduler, ``tcp://HOST:PORT``, on whose workers prompts run; by default
        they run here.
    max_prompt_s : float
        How long a prompt may take there, in seconds.
    static_start : bool, optional
        Whether the explorer's page on the toy is one cached document, which gets a session when
        its reader first needs one.
    language : str, optional
        The pages' language, unless an address names another; by default the one of
        :func:`attnpanel.ui.words.languages` that a browser prefers.
    auth : str, optional
        Who may come in: a JSON file of ``{"user": "password"}``, or one of Panel's OAuth providers,
        set up by its environment variables. By default everybody who can connect.

    Returns
    -------
    int
        0 when interrupted.

    Raises
    ------
    OSError
        If the port is taken or the address is not this machine's.
    ValueError
        If a file is not a trace that can be shown, or a page's name or file or the scheduler's
        address is invalid.
    MissingDependencyError
        If there is a scheduler and no Dask.
    """
    offered = {}
    for path in traces:
        trace = Trace.load(path)
        if not trace.calls:
            raise ValueError(f"{path}: a trace must hold at least one attention call; got none")
        offered[path.name if path.name not in offered else str(path)] = trace
    apps = _check_pages(pages or {}, further)
    # Further origins mean that other machines connect, for example through a proxy.
    local = address in LOOPBACK and not (origins or behind_proxy)
    settings = ServerSettings(
        models=models,
        traces=offered,
        max_tokens=max_tokens,
        max_upload_bytes=max_upload_bytes,
        runs=runs,
        max_trainings=max_trainings,
        shared_runs=local if shared_runs is None else shared_runs,
        **_prompts(scheduler, max_prompt_s),
        **(limits or {}),
    )
    if workers is not None:
        WORKERS.size = workers
    port = _free_port(address, port)
    if language is not None:
        check_language(language)
    set_default_language(language)
    name = "localhost" if address in ("localhost", "127.0.0.1", "0.0.0.0", "::") else address  # noqa: S104 - compared, not bound
    hosts = AllowedHosts(address, port, tuple(origins), behind_proxy)
    auth_set = auth_options(auth)
    server = make_server(settings, hosts, apps, auth_set, further, static_start=static_start)
    print(f"attnpanel: http://{name}:{port}/", flush=True)
    # Bokeh's own prints first, which raises, and stops nothing, once nobody reads the output.
    server._sigterm = partial(_stop, server)  # noqa: SLF001 - Bokeh offers no other way
    sys.setswitchinterval(SWITCH_S)
    collect_seldom(server._tornado)  # noqa: SLF001 - Bokeh offers no other way to it
    gc.freeze()  # what is imported by now stays: later collections need not walk it
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.run_until_shutdown()
    finally:
        gc.unfreeze()
    return 0


def _prompts(scheduler: str | None, max_prompt_s: float) -> dict[str, Any]:
    """Return the settings of where prompts run."""
    if scheduler is None:
        return {}
    from attnpanel.pages.prompt_runs.on_dask import DaskPrompts  # with Dask, which takes a second

    return {"prompts": DaskPrompts(scheduler, max_prompt_s)}


def _stop(server: Any) -> None:
    server.io_loop.stop()


def make_server(
    settings: ServerSettings,
    hosts: AllowedHosts,
    apps: Mapping[str, str] | None = None,
    auth: Mapping[str, str] | None = None,
    further: Sequence[SitePage] = (),
    *,
    static_start: bool = False,
) -> Any:
    """Return a Bokeh server of all pages, which listens but does not run yet.

    Parameters
    ----------
    settings : ServerSettings
    hosts : AllowedHosts
        Where it listens, and who may use it.
    apps : mapping of str to str, optional
        Files of further Panel apps, by name.
    auth : mapping, optional
        What :func:`attnpanel.pages.serving.auth.auth_options` returns.
    further : sequence of SitePage
        As in :func:`serve`.
    static_start : bool, optional
        Whether the explorer's page on the toy is drawn without a session.
    """
    apps, pages = apps or {}, (*PAGES, *further)
    remember_defaults()
    # They check our layouts and our callbacks, at each page.
    bokeh_settings.perform_document_validation = False
    bokeh_settings.perform_error_diagnostics = False
    pn.extension()
    own = {f"/{page.name}": _session_factory(page, settings) for page in pages}
    link_pages(
        [
            *(Link(page.name, page.title) for page in pages),
            *(Link(name, name.capitalize()) for name in apps),
        ]
    )
    server = pn.serve(
        {**own, **apps},
        port=hosts.port,
        address=hosts.address,
        # Bokeh can't read an IPv6 address, and is not asked: see guard_websockets.
        websocket_origin=[name for name in hosts.names if not name.startswith("[")],
        use_xheaders=hosts.behind_proxy,
        extra_patterns=[HEALTH, COMMON_TEXTS],
        # Only tokens that this process has made name a session, and what its page was asked for.
        sign_sessions=True,
        secret_key=secrets.token_bytes(32),
        location=False,  # nothing reads it, and Panel can't read an IPv6 address in it
        title={
            **{f"/{page.name}": f"{page.title} · attnpanel" for page in pages},
            **{name: f"{name.capitalize()} · attnpanel" for name in apps},
        },
        **(auth or {}),
        http_server_kwargs=request_limits(),
        show=False,
        start=False,
        verbose=False,
    )
    application = server._tornado  # noqa: SLF001 - Bokeh offers no other way to it
    application.settings["attnpanel_prompts"] = settings.prompts
    addresses = [*own, *(f"/{name}" for name in apps)]
    leave_out_unused(application, list(own))
    send_html_early(application, list(own))
    keep_sessions_apart(application, list(own))
    take_turns(application, list(own))
    limits = (settings.max_sessions, settings.max_idle_s)
    if static_start:
        start = _static_start(application, settings, private=bool(auth))
        limit_sessions(application, addresses, *limits, needs_none=start.answers)
    else:
        limit_sessions(application, addresses, *limits)
    require_allowed_hosts(application, hosts)  # asked first: it stands before the other rules
    limit_connections(server)
    add_security_headers(application, hosts, foreign=[f"/{name}" for name in apps])
    guard_websockets(application, list(own))
    compress_static_files(application)
    bound_logs(application)
    if auth:
        keep_to_own_site(application)
    return server


def _static_start(application: Any, settings: ServerSettings, *, private: bool) -> StaticStart:
    """Have the first page be drawn without a session where its address allows it."""

    def key_of(request: HTTPServerRequest) -> tuple[Toy, tuple[str, bool]] | None:
        toy = toy_of(settings, request.query_arguments)
        language = visitor_language(request.query_arguments, request.headers)
        return None if toy is None else (toy, language)

    def make(key: tuple[Toy, tuple[str, bool]]) -> str:
        toy, language = key
        with use_language(language[0]):
            title = f"{t(PAGES[0].title)} · attnpanel"
        return static_page(settings, title, library_addresses(application), toy, language)

    first = (Toy(), visitor_language({}, {}))
    start = StaticStart("/", key_of, make, first, private=private)
    start_without_session(application, start, "/")
    return start


def _session_factory(page: SitePage, settings: ServerSettings) -> Callable[[], Any]:
    """Return a function that makes a session's page; Panel accepts no other callable."""
    return lambda: with_status(page.make(settings))


def _check_pages(pages: Mapping[str, Path], further: Sequence[SitePage]) -> dict[str, str]:
    """Check the names and files of further apps; return the files as strings."""
    taken = {page.name for page in (*PAGES, *further)}
    for name, path in pages.items():
        if not PAGE_NAME.fullmatch(name):
            raise ValueError(f"a page's name must be a word of a-z, 0-9 and -; got {name!r}")
        if path.suffix != ".py" or not path.is_file():
            raise ValueError(f"a page must be a Python file that exists; got {path}")
        if name in taken:
            raise ValueError(f"a page's name must differ from attnpanel's own pages; got {name!r}")
    return {name: str(path) for name, path in pages.items()}


def _free_port(address: str, port: int) -> int:
    """Return the port if it can be bound, or a free one for 0.

    Bokeh reports a taken port by a traceback; binding it first gives one sentence.
    """
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            return int(probe.getsockname()[1])
    except OverflowError:
        raise OSError(f"a port must be a number from 0 to 65535; got {port}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"can't listen on {address}:{port} ({reason}); choose another, "
            "as in: make serve PORT=5007"
        ) from None
