"""The server behind `attnpanel serve`."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.choosers import Settings
from attnpanel.navigation import Link, offer
from attnpanel.site import PAGES, SitePage
from attnpanel.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

OWN_ADDRESSES = ("localhost", "127.0.0.1", "::1")
PAGE_NAME = re.compile("[a-z][a-z0-9-]*")


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
    runs: Path | None = None,
    max_trainings: int = 2,
    shared_runs: bool | None = None,
) -> int:
    """Serve the dashboard until interrupted; the first line printed is its address.

    Parameters
    ----------
    traces : sequence of path
        Trace files to offer on the page; each is read and checked before serving.
    port : int
        0 takes any free port.
    address : str
        What to listen on; anything but this machine's own name lets others in.
    models, max_tokens, max_upload_bytes
        As in :class:`attnpanel.choosers.Settings`.
    origins : tuple of str
        Further ``HOST[:PORT]`` names that browsers may reach this server by.
    pages : mapping of str to path, optional
        Further Panel apps by the name they are served and linked under: ``{"bench": app.py}``.
    runs, max_trainings
        As in :class:`attnpanel.choosers.Settings`.
    shared_runs : bool, optional
        Whether visitors of the lab may change one another's runs; by default where nobody but
        this machine is listened to.

    Returns
    -------
    int
        0 when interrupted.

    Raises
    ------
    OSError
        If the port is taken or the address is not this machine's.
    ValueError
        If a file is not a trace that can be shown, or a page has no name or file of its own.
    """
    offered = {}
    for path in traces:
        trace = Trace.load(path)
        if not trace.calls:
            raise ValueError(f"{path}: a trace must hold at least one attention call; got none")
        offered[path.name if path.name not in offered else str(path)] = trace
    beside = _check_pages(pages or {})
    # A further name is one that others reach it by, as behind a proxy.
    local = address in OWN_ADDRESSES and not origins
    settings = Settings(
        models=models,
        traces=offered,
        max_tokens=max_tokens,
        max_upload_bytes=max_upload_bytes,
        runs=runs,
        max_trainings=max_trainings,
        shared_runs=local if shared_runs is None else shared_runs,
    )
    port = _free_port(address, port)
    name = "localhost" if address in ("localhost", "127.0.0.1", "0.0.0.0", "::") else address  # noqa: S104 - compared, not bound
    reached_by = {f"{host}:{port}" for host in ("localhost", "127.0.0.1", address)}
    pn.extension()
    own = {f"/{page.name}": _visit(page, settings) for page in PAGES}
    offer(
        [
            *(Link(page.name, page.title) for page in PAGES),
            *(Link(name, name.capitalize()) for name in beside),
        ]
    )
    server = pn.serve(
        {**own, **beside},
        port=port,
        address=address,
        websocket_origin=sorted({*reached_by, *origins}),
        title={
            **{f"/{page.name}": f"{page.title} · attnpanel" for page in PAGES},
            **{name: f"{name.capitalize()} · attnpanel" for name in beside},
        },
        show=False,
        start=False,
        verbose=False,
    )
    print(f"attnpanel: http://{name}:{port}/", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.run_until_shutdown()
    return 0


def _visit(page: SitePage, settings: Settings) -> Callable[[], Any]:
    """Return what makes a visitor's page: a function, since Panel prints other callables."""
    return lambda: page.make(settings)


def _check_pages(pages: Mapping[str, Path]) -> dict[str, str]:
    """Return what Panel serves the pages by, or say what is wrong with one."""
    taken = {page.name for page in PAGES}
    for name, path in pages.items():
        if not PAGE_NAME.fullmatch(name):
            raise ValueError(f"a page's name must be a word of a-z, 0-9 and -; got {name!r}")
        if path.suffix != ".py" or not path.is_file():
            raise ValueError(f"a page must be a Python file that exists; got {path}")
        if name in taken:
            raise ValueError(f"a page's name must be one that attnpanel has not; got {name!r}")
    return {name: str(path) for name, path in pages.items()}


def _free_port(address: str, port: int) -> int:
    """Return the port if it can be listened on, or a free one for 0.

    Bokeh tells of a taken port by a stack trace; asking first gives one sentence.
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
            f"{address}:{port} can't be listened on ({reason}); choose another, "
            "as in: make serve PORT=5007"
        ) from None
