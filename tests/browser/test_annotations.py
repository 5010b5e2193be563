"""Notes on the page: marked, listed, kept, exported, imported and baked into a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import save_report
from attnpanel.trace.notes import Note, notes_document, read_notes
from tests.browser.acting import leave_focus
from tests.browser.made import HOSTILE
from tests.browser.reading import open_explorer, place, settle, source
from tests.browser.report_page import Opened, go, open_report
from tests.hostile_notes import BAD, changed

START = "head=2&token=5&mean=0&mask=none"
NOW = "2026-01-31T23:59:00Z"
BAKED = (
    Note("cell", 0, 2, 0, "seen before", NOW, query_index=6, key_index=1, query="t6", key="t1"),
    Note("head", 0, 3, 0, "a head", NOW, address="head=3&mask=causal"),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report without notes."""
    return save_report(toy_trace(), tmp_path_factory.mktemp("report") / "plain.html")


@pytest.fixture(scope="module")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with notes in it, which opens at head 2."""
    path = tmp_path_factory.mktemp("report") / "baked.html"
    return save_report(toy_trace(), path, head=2, notes=notes_document(BAKED))


@pytest.fixture(scope="module")
def _shown(browser: Browser) -> Iterator[Callable[[Path], Opened]]:
    shown: dict[Path, Opened] = {}

    def show(path: Path) -> Opened:
        if path not in shown:
            shown[path] = open_report(browser, path, toy_trace())
        return shown[path]

    yield show
    for one in shown.values():
        one.page.context.close()


@pytest.fixture
def page(_shown: Callable[[Path], Opened], report: Path) -> Iterator[Page]:
    """The report, at head 2 and token 5, without notes; shared."""
    yield from without_more(_shown(report), 0)


@pytest.fixture
def baked_page(_shown: Callable[[Path], Opened], baked: Path) -> Iterator[Page]:
    """The report with its two notes and no other; shared."""
    yield from without_more(_shown(baked), len(BAKED))


def without_more(shown: Opened, count: int) -> Iterator[Page]:
    """Delete the notes that other tests have written, mark cells; fail a test with a fault."""
    page = shown.page
    while (notes := listed(page).count()) > count:
        button(page, f"Delete note {notes}").click()
        expect(listed(page)).to_have_count(notes - 1)
    page.get_by_role("button", name="Mark cell").click()
    leave_focus(page)
    go(page, START)
    yield page
    assert shown.faults() == []


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.get_by_role("button", name="Mark cell")).to_be_enabled()
    return page


def tap(page: Page, view: str, key: int, query: int) -> None:
    page.mouse.click(*place(page, view, key, query))
    page.mouse.move(2, 2)


def note(page: Page, text: str, *, press: str = "Control+Enter") -> None:
    field(page).fill(text)
    field(page).press(press)


def field(page: Page):
    return page.get_by_role("textbox", name="Your note")


def listed(page: Page):
    return page.get_by_role("list", name="Notes on this trace").get_by_role("listitem")


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def told(page: Page):
    return page.locator(".attn-note-status [role=status]")


def expect_marks(page: Page, view: str, numbers: list[str]) -> None:
    """Wait until these numbers, and no others, are on a picture."""
    page.wait_for_function(
        """([name, numbers]) => {
          const {text} = Bokeh.documents[0].get_model_by_name(name).data
          return JSON.stringify([...text]) === JSON.stringify(numbers)
        }""",
        arg=[f"attn:marks:{view}", numbers],
    )


def import_file(page: Page, content: bytes | str, name: str = "notes.json") -> None:
    content = content.encode() if isinstance(content, str) else content
    with page.expect_file_chooser() as chooser:
        button(page, "Import").click()
    chooser.value.set_files({"name": name, "mimeType": "application/json", "buffer": content})


def exported(page: Page, folder: Path) -> dict:
    with page.expect_download() as download:
        button(page, "Export").click()
    assert download.value.suggested_filename == "attnpanel-notes.json"
    download.value.save_as(folder / "notes.json")
    return json.loads((folder / "notes.json").read_text(encoding="utf-8"))


def test_a_tapped_cell_is_noted_marked_and_there_after_a_reload(page):
    expect(page.get_by_text("No notes yet.")).to_be_visible()
    tap(page, "weights", 3, 4)
    expect(button(page, "Mark cell t4 → t3")).to_be_visible()
    note(page, "looks back\nby one")

    expect(told(page)).to_have_text("Note 1 added.")
    expect(page.get_by_text("No notes yet.")).to_be_hidden()
    expect(listed(page)).to_contain_text(["Cell t4 → t3 layer 0, head 2"])
    expect(listed(page).locator("p")).to_have_text("looks back\nby one")
    for view in ("scores", "weights"):
        expect_marks(page, view, ["1"])
        marks = source(page, f"attn:marks:{view}")
        sides = [list(marks[side]) for side in ("left", "right", "top", "bottom")]
        assert sides == [[2.5], [3.5], [3.5], [4.5]]

    page.reload()

    expect(listed(page)).to_have_count(1)
    expect_marks(page, "weights", ["1"])


def test_marks_are_those_of_the_shown_head(page):
    button(page, "Mark row t5").click()
    note(page, "a row")
    button(page, "Mark head layer 0, head 2").click()
    note(page, "a head")

    expect_marks(page, "weights", ["◂ 1"])
    expect_marks(page, "grid", ["2"])
    field(page).press("Escape")
    page.keyboard.press("ArrowRight")
    expect(button(page, "Mark head layer 0, head 3")).to_be_visible()
    expect_marks(page, "weights", [])
    expect_marks(page, "grid", ["2"])

    button(page, "Go to note 1").click()

    expect(button(page, "Mark head layer 0, head 2")).to_be_visible()
    expect_marks(page, "weights", ["◂ 1"])


@pytest.mark.thorough
def test_a_note_is_written_changed_deleted_and_brought_back_by_keys(page):
    page.keyboard.press("n")
    expect(field(page)).to_be_focused()
    page.keyboard.type("no]n[m")  # letters that mean something outside the field
    page.keyboard.press("Control+Enter")
    expect(listed(page).locator("p")).to_have_text("no]n[m")

    button(page, "Edit note 1").press("Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("changed")
    page.keyboard.press("Control+Enter")
    expect(told(page)).to_have_text("Note 1 changed.")
    expect(button(page, "Edit note 1")).to_be_focused()
    button(page, "Edit note 1").press("Enter")
    page.keyboard.type(" not")
    page.keyboard.press("Escape")
    expect(listed(page).locator("p")).to_have_text("changed")

    button(page, "Delete note 1").press("Enter")
    expect(listed(page)).to_have_count(0)
    expect(button(page, "Undo")).to_be_focused()
    expect_marks(page, "weights", [])
    page.keyboard.press("Enter")
    expect(listed(page).locator("p")).to_have_text("changed")
    expect_marks(page, "weights", ["1"])


def test_the_cell_under_the_pointer_is_kept_by_a_key(page):
    across, down = place(page, "weights", 6, 1)
    page.mouse.move(across - 2, down)
    page.mouse.move(across, down)
    expect(button(page, "Mark cell t1 → t6")).to_be_visible()
    page.keyboard.press("n")
    page.mouse.move(2, 2)

    note(page, "pointed at")

    expect(listed(page)).to_contain_text(["Cell t1 → t6"])


@pytest.mark.thorough
def test_an_exported_file_is_imported_elsewhere_once(page, baked_page, tmp_path):
    tap(page, "scores", 0, 7)
    note(page, "one")
    document = exported(page, tmp_path)
    (written,) = read_notes(document, toy_trace())
    assert (written.kind, written.query_index, written.key_index) == ("cell", 7, 0)
    assert (written.query, written.key, written.text) == ("t7", "t0", "one")
    assert "head=2" in written.address

    other = baked_page
    import_file(other, (tmp_path / "notes.json").read_bytes())

    expect(told(other)).to_have_text("1 note imported.")
    expect(listed(other)).to_have_count(3)
    expect_marks(other, "weights", ["1", "3"])
    import_file(other, (tmp_path / "notes.json").read_bytes())
    expect(told(other)).to_have_text("No note in it is new.")
    expect(listed(other)).to_have_count(3)
    import_file(other, json.dumps({**document, "trace": "other", "notes": []}))
    expect(told(other)).to_have_text("No note in it is new. They were written on another trace.")


@pytest.mark.thorough
def test_a_report_opens_with_its_notes_and_remembers_which_were_deleted(open_page, baked):
    page = opened(open_page(offline=True), baked.as_uri())

    expect(listed(page)).to_have_count(2)
    expect(listed(page)).to_contain_text(["Cell t6 → t1", "Head layer 0, head 3"])
    expect_marks(page, "weights", ["1"])
    expect_marks(page, "grid", ["2"])
    button(page, "Go to note 2").click()
    expect(button(page, "Mark head layer 0, head 3")).to_be_visible()
    expect(page.locator(".attn-control-mask select")).to_have_value("causal")

    button(page, "Delete note 1").click()
    page.reload()

    expect(listed(page)).to_have_count(1)
    expect(listed(page)).to_contain_text(["Head layer 0, head 3"])


@pytest.mark.thorough
def test_a_bad_file_is_one_sentence_and_nothing_is_lost(baked_page):
    page = baked_page
    # Node proves every rule; here is what becomes of a refusal.
    names = ("a list", "no schema", "too many notes", "another kind")
    files = {name: (json.dumps(BAD[name][0]), BAD[name][1]) for name in names}
    files["beyond"] = (json.dumps(changed(layer=1)), "note 1: layer must be below 1 here; got 1")
    files["too many bytes"] = (" " * 10_000_000, "at most 4 MB; this one has 10 MB")
    files["no JSON"] = ('{"schema": "attnpanel.notes/1", "notes": [NaN]}', "must be JSON")
    files["deep"] = ("[" * 100_000, "must be JSON")

    for name, (content, words) in files.items():
        import_file(page, content)
        expect(told(page), name).to_contain_text(words)
        expect(told(page), name).to_contain_text("Nothing imported: ")
        button(page, "Export").click()  # so that the next refusal is a new sentence
        expect(told(page)).to_have_text("2 notes exported.")
    expect(listed(page)).to_have_count(2)
    expect(listed(page)).to_contain_text(["Cell t6 → t1", "Head layer 0, head 3"])


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("way", ["typed", "imported", "baked"])
def test_hostile_words_are_shown_and_never_run(request, open_page, tmp_path, way):
    words = "\n".join(HOSTILE)
    hostile = Note(
        "cell", 0, 2, 0, words, NOW, 5, 1, HOSTILE[0], HOSTILE[1], "head=2&" + HOSTILE[2]
    )
    if way == "baked":
        path = tmp_path / "a.html"
        save_report(toy_trace(), path, notes=notes_document([hostile]))
        page = opened(open_page(offline=True), path.as_uri())
    else:
        page = request.getfixturevalue("page")
    if way == "typed":
        note(page, words)
    elif way == "imported":
        import_file(page, json.dumps(notes_document([hostile])), name=f"{HOSTILE[0][2:]}.json")

    expect(listed(page).locator("p")).to_have_text(words)
    button(page, "Edit note 1").click()
    button(page, "Save").click()
    button(page, "Go to note 1").click()
    expect(listed(page).locator("p")).to_have_text(words)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img, svg[onload]").count() == 0


@pytest.mark.thorough
def test_where_the_browser_remembers_nothing_notes_stay_on_the_page(open_page, report):
    page = open_page(offline=True)
    page.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"])
             Object.defineProperty(window, name, {get() { throw new Error("forbidden") }})"""
    )
    opened(page, report.as_uri())
    note(page, "one")
    note(page, "two")

    expect(listed(page)).to_have_count(2)
    expect(page.get_by_text("export them: this browser keeps none")).to_be_visible()


@pytest.mark.thorough
def test_two_windows_of_a_report_show_the_same_notes(open_page, report):
    page = opened(open_page(offline=True), report.as_uri())
    other = opened(page.context.new_page(), report.as_uri())
    note(page, "from the first")
    expect(listed(other)).to_have_count(1)
    note(other, "from the second")

    expect(listed(page)).to_have_count(2)


@pytest.mark.thorough
def test_notes_of_the_served_page_go_into_its_report(open_page, served, tmp_path):
    page = open_explorer(open_page(), f"{served}?head=2&token=5")
    tap(page, "weights", 3, 4)
    expect(button(page, "Mark cell t4 → t3")).to_be_visible()
    note(page, "seen on the served page")
    expect_marks(page, "weights", ["1"])
    settle(page)
    with page.expect_download() as download:
        page.get_by_text("Download report").click()
    download.value.save_as(tmp_path / "a.html")

    offline = opened(open_page(offline=True), (tmp_path / "a.html").as_uri())

    expect(listed(offline)).to_contain_text(["Cell t4 → t3 layer 0, head 2"])
    expect_marks(offline, "weights", ["1"])
    fill = page.get_by_role("textbox", name="T", exact=True)
    fill.fill("5")
    fill.press("Enter")
    expect(listed(page)).to_have_count(0)  # another trace
    fill.fill("8")
    fill.press("Enter")
    expect(listed(page)).to_have_count(1)
