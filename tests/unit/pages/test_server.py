"""The arguments handed to Panel's server; tests of a running server are in tests/browser."""

import socket
from dataclasses import replace
from types import SimpleNamespace

import panel as pn
import pytest
from tornado.httpserver import HTTPServer
from tornado.web import Application

from attnpanel.pages import registry
from attnpanel.pages.server import serve
from attnpanel.ui.header import brand
from tests.hand_made import call, trace_of


def a_server(run):
    """A server as Panel makes one, without pages."""
    made = Application()
    made.io_loop = SimpleNamespace(add_callback=lambda _callback: None)
    made.applications = {}
    return SimpleNamespace(run_until_shutdown=run, _tornado=made, _http=HTTPServer(made))


@pytest.fixture
def panel(monkeypatch):
    """The arguments of pn.serve, which starts no server here."""
    got = SimpleNamespace(options=None, pages=None)

    def fake(pages, **options):
        got.pages, got.options = pages, options
        return a_server(lambda: None)

    monkeypatch.setattr("panel.serve", fake)
    return got


def _recorded(made):
    """A page that is empty, and notes the settings that it is made with."""

    def make(settings):
        made.append(settings)
        return pn.Column()

    return make


@pytest.fixture
def pages(monkeypatch):
    """The settings that the first page is made with; no page is created, and no link is set."""
    made = []
    first, *others = registry.PAGES
    monkeypatch.setattr(
        "attnpanel.pages.server.PAGES", (replace(first, make=_recorded(made)), *others)
    )
    monkeypatch.setattr(pn.state, "cache", {})
    return made


def test_the_first_line_is_the_address(panel, capsys):
    assert serve(port=0) == 0

    port = panel.options["port"]
    assert port > 0
    assert capsys.readouterr().out == f"attnpanel: http://localhost:{port}/\n"


def test_it_listens_on_this_machine_alone_and_takes_no_other_origin(panel):
    serve(port=0)

    port = panel.options["port"]
    assert panel.options["address"] == "localhost"
    assert set(panel.options["websocket_origin"]) == {f"localhost:{port}", f"127.0.0.1:{port}"}
    assert panel.options["show"] is False


def test_a_named_origin_is_let_in_besides(panel):
    serve(port=0, origins=("example.org:443",))

    assert "example.org" in panel.options["websocket_origin"]
    assert "*" not in panel.options["websocket_origin"]


def test_every_visitor_gets_a_page_of_the_operators_settings(panel, pages, tmp_path):
    path = tmp_path / "mine.safetensors"
    trace_of(call(query_len=3)).save(path)

    serve([path], port=0, models=("tiny",), max_tokens=7, max_upload_bytes=11)
    panel.pages["/"]()
    panel.pages["/"]()

    first, second = pages
    assert first is second
    assert (first.models, first.max_tokens, first.max_upload_bytes) == (("tiny",), 7, 11)
    assert list(first.traces) == ["mine.safetensors"]
    assert first.traces["mine.safetensors"].calls[0].query_len == 3


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ({}, True),
        ({"address": "0.0.0.0"}, False),  # noqa: S104 - not bound
        ({"origins": ("example.org",)}, False),
        ({"address": "0.0.0.0", "shared_runs": True}, True),  # noqa: S104 - not bound
    ],
)
def test_where_others_come_in_each_changes_their_own_runs(panel, pages, options, shared):
    serve(port=0, **options)
    panel.pages["/"]()

    assert pages[0].shared_runs is shared


def test_two_files_of_one_name_are_both_offered(panel, pages, tmp_path):
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "same.safetensors")
        trace_of(call()).save(paths[-1])

    serve(paths, port=0)
    panel.pages["/"]()

    assert list(pages[0].traces) == ["same.safetensors", str(paths[1])]


def test_a_taken_port_is_told_before_anything_is_served(panel):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"can't listen on 127.0.0.1:{port}"):
            serve(port=port, address="127.0.0.1")

    assert panel.options is None


def test_an_address_of_another_machine_is_told(panel):
    # 192.0.2.0/24 is reserved for documentation: no machine has it.
    with pytest.raises(OSError, match=r"can't listen on 192\.0\.2\.1:0"):
        serve(port=0, address="192.0.2.1")


def test_an_interrupted_server_ends_well(monkeypatch, panel):
    def interrupted(_pages, **_options):
        def run():
            raise KeyboardInterrupt

        return a_server(run)

    monkeypatch.setattr("panel.serve", interrupted)

    assert serve(port=0) == 0


def test_a_page_beside_is_served_and_linked_under_its_name(panel, pages, tmp_path):
    app = tmp_path / "app.py"
    app.write_text("")

    serve(port=0, pages={"bench": app})

    assert panel.pages["bench"] == str(app)
    assert panel.options["title"]["bench"] == "Bench · attnpanel"
    links = brand("").object
    assert links.index("href='./' aria-current=page>Explorer<") < links.index("'./bench'>Bench<")


def test_every_page_of_the_package_is_served_and_linked_under_its_name(panel, pages):
    serve(port=0)

    assert set(panel.pages) == {f"/{page.name}" for page in registry.PAGES}
    # Panel asks for the titles of just these.
    assert set(panel.options["title"]) == set(panel.pages)
    assert panel.options["title"]["/compare"] == "Compare · attnpanel"
    assert all(f"./{page.name}'" in brand("").object for page in registry.PAGES)


def test_a_row_alone_adds_a_page(panel, monkeypatch, tmp_path):
    made = []
    row = registry.SitePage("fake", "A fake page", _recorded(made))
    monkeypatch.setattr("attnpanel.pages.server.PAGES", (*registry.PAGES, row))
    monkeypatch.setattr(pn.state, "cache", {})

    serve(port=0, max_tokens=7)

    panel.pages["/fake"]()
    assert [settings.max_tokens for settings in made] == [7]
    assert panel.options["title"]["/fake"] == "A fake page · attnpanel"
    for page in registry.PAGES:
        assert "<a href='./fake'>A fake page</a>" in brand(page.name).object
    # Its name is taken: no further app may be served under it.
    (tmp_path / "app.py").write_text("")
    with pytest.raises(ValueError, match="must differ from attnpanel's own pages; got 'fake'"):
        serve(port=0, pages={"fake": tmp_path / "app.py"})


@pytest.mark.parametrize(
    ("name", "file", "rule"),
    [
        ("<b>", "app.py", "a page's name must be a word"),
        ("", "app.py", "a page's name must be a word"),
        ("lab", "app.py", "a page's name must differ from attnpanel's own pages"),
        ("bench", "gone.py", "must be a Python file that exists"),
        ("bench", "app.html", "must be a Python file that exists"),
    ],
)
def test_a_page_that_is_none_is_refused_before_serving(panel, tmp_path, name, file, rule):
    for app in ("app.py", "app.html"):
        (tmp_path / app).write_text("")

    with pytest.raises(ValueError, match=rule):
        serve(port=0, pages={name: tmp_path / file})
    assert panel.pages is None
