"""A server of one small page, running in a thread of the test's process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from types import SimpleNamespace
from typing import Any

import panel as pn
import pytest

from attnpanel.pages.registry import SitePage
from attnpanel.pages.server import _free_port, make_server
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.serving.auth import auth_options
from attnpanel.pages.serving.hosts import AllowedHosts
from attnpanel.ui import Explanation, Upload
from attnpanel.ui.header import start_page
from tests.page_socket import PageSocket


def small_page(seen: Queue) -> pn.Column:
    """A page of the kinds of widgets and components that the pages have."""
    start_page()
    number = pn.widgets.IntInput(label="T", value=8, start=1, end=2048)
    choice = pn.widgets.Select(label="Model", options=["small", "large"])
    group = pn.widgets.RadioButtonGroup(options=["a", "b"], value="a")
    text = pn.widgets.TextInput(label="Prompt", max_length=100)
    for widget in (number, choice, group, text):
        widget.param.watch(lambda event: seen.put((event.name, event.new)), "value")
    button = pn.widgets.Button(label="Fail")
    button.on_click(lambda _event: 1 / 0)
    explanation, upload = Explanation(), Upload()
    explanation.param.watch(lambda event: seen.put(("text", event.new)), "text")
    upload.on_msg(lambda event: seen.put(("message", event.data)))
    return pn.Column(number, choice, group, text, button, explanation, upload)


@contextmanager
def running(
    *,
    behind_proxy: bool = False,
    origins: tuple[str, ...] = (),
    settings: ServerSettings | None = None,
    make: Callable[[Queue], Any] = small_page,
    **options,
) -> Iterator[SimpleNamespace]:
    """Run a server of one page; yield its port, its parts, and what the page's callbacks see."""
    seen: Queue = Queue()
    made: Queue = Queue()
    port = _free_port("localhost", 0)
    hosts = AllowedHosts("localhost", port, origins, behind_proxy)

    def serve() -> None:
        # An event loop of its own, so that several servers run in one process of tests.
        asyncio.set_event_loop(asyncio.new_event_loop())
        try:
            server = make_server(settings or ServerSettings(), hosts, **options)
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            made.put(error)
            return
        server.start()
        made.put(server)
        server.io_loop.start()
        server.stop()
        server.io_loop.close()

    with pytest.MonkeyPatch.context() as patch:
        page = SitePage("", "Small", lambda _settings: make(seen))
        patch.setattr("attnpanel.pages.server.PAGES", (page,))
        patch.setattr(pn.state, "cache", {})
        thread = threading.Thread(target=serve)
        thread.start()
        server = made.get(timeout=300)
        if isinstance(server, BaseException):
            raise server
        try:
            yield SimpleNamespace(
                port=port,
                seen=seen,
                application=server._tornado,
                loop=server.io_loop.asyncio_loop,
            )
        finally:
            server.io_loop.add_callback(server.io_loop.stop)
            thread.join()


@contextmanager
def panel_settings_kept() -> Iterator[None]:
    """Put Panel's settings of authentication back afterwards."""
    names = ("basic_auth", "cookie_secret")
    kept = {name: getattr(pn.config, name) for name in names}
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(pn.config, name, value)


@pytest.fixture(scope="module")
def live() -> Iterator[SimpleNamespace]:
    """A server that everybody may use."""
    with running() as server:
        yield server


@pytest.fixture
def closed(tmp_path) -> Iterator[SimpleNamespace]:
    """A server for the user ada alone."""
    users = tmp_path / "users.json"
    users.write_text('{"ada": "enchantress"}')
    options = auth_options(str(users))
    with panel_settings_kept(), running(auth=options, behind_proxy=True) as server:
        yield server


@pytest.fixture
def page(live) -> Iterator[PageSocket]:
    """A visitor's connection to that page."""
    socket = PageSocket(live.port)
    yield socket
    socket.close()
    assert live.seen.empty()
