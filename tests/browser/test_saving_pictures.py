"""Every picture can be saved from its toolbar as SVG and PNG, named after what it shows."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from PIL import Image
from playwright.sync_api import expect

from attnpanel.explorer.views import VIEWS
from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import save_report
from tests.browser.acting import choose
from tests.browser.conftest import Problems

pytest_plugins = ["tests.browser.opened"]

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = ["<script>x</script>", 'a&b"', "]]>", "\x1b[0m\x00", "</text>", "'", "é", "<!--"]
NAMES = [view.name for view in VIEWS]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report whose tokens are no friends of XML."""
    trace = toy_trace()
    trace.set_tokens([HOSTILE])
    path = tmp_path_factory.mktemp("report") / "a.html"
    return save_report(trace, path, head=2, mask="causal").as_uri()


@pytest.fixture(scope="module")
def _opened(browser, report):
    """The report on a page that all tests share."""
    context, problems = browser.new_context(offline=True), Problems()
    problems.watch(context)
    page = context.new_page()
    page.goto(report)
    yield page, problems
    context.close()


@pytest.fixture
def opened(_opened):
    """The shared page, brought to head 2 and without a dialog."""
    page, problems = _opened
    if page.get_by_role("dialog").count():
        page.keyboard.press("Escape")
    page.evaluate("location.hash = 'head=2&mean=0&mask=causal'")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text("layer 0, head 2 · entropy")).to_be_visible()
    yield page
    seen, problems.seen = problems.unexpected(), []
    assert seen == []


def save(page, view, kind, folder):
    """Press a picture's button and return the file."""
    plot = page.locator(f".attn-plot-{view} .bk-Figure")
    plot.hover()
    button = plot.locator(f"[title='Save as {kind}']")
    expect(plot.locator("[title='Reset'], [title='Save as PNG']").first).to_be_visible()
    if button.count() == 0:
        plot.locator(".bk-tool-overflow").click()  # no room for all buttons
        button = page.locator(f".bk-vertical [title='Save as {kind}']")
    with page.expect_download() as download:
        button.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("view", NAMES)
def test_an_svg_is_named_after_what_it_shows_and_can_be_parsed(opened, tmp_path, view):
    path = save(opened, view, "SVG", tmp_path)

    place = "layer 0" if view == "lines" else "layer 0, head 2"  # lines are of several heads
    assert path.name == f"attnpanel-{view}-{place.replace(', ', '-').replace(' ', '-')}.svg"
    root = ET.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title").text == f"{view}, {place}"
    assert len(list(root.iter())) > 10


@pytest.mark.parametrize("view", ["weights", "row", "swatches"])
def test_hostile_tokens_are_text_in_an_svg(opened, tmp_path, view):
    root = ET.parse(save(opened, view, "SVG", tmp_path)).getroot()

    texts = {element.text for element in root.iter(f"{SVG}text")}
    for token in ('a&b"', "]]>", "·[0m·", "</text>", "<!--"):
        assert token in texts
    names = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert not names & {"script", "foreignObject", "a", "animate", "set", "use"}
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            if name.endswith("href"):
                assert value.startswith("data:image/png;base64,")


def test_masked_cells_are_hatched_and_cells_are_squares_in_an_svg(opened, tmp_path):
    root = ET.parse(save(opened, "weights", "SVG", tmp_path)).getroot()

    assert list(root.iter(f"{SVG}pattern"))
    images = list(root.iter(f"{SVG}image"))
    assert images
    assert all("pixelated" in image.get("style") for image in images)


@pytest.mark.thorough
def test_a_picture_has_the_cards_ground_in_the_dark(open_page, report, tmp_path):
    page = open_page(offline=True, color_scheme="dark")
    page.goto(report)
    expect(page.locator("html.attn-dark-page")).to_be_visible()

    root = ET.parse(save(page, "row", "SVG", tmp_path)).getroot()

    assert root.find(f"{SVG}rect").get("fill") == "#181c25"
    whole = [rect for rect in root.iter(f"{SVG}rect") if rect.get("x") == "-1"]
    assert not whole  # Bokeh's own ground, which is white


@pytest.mark.thorough
def test_a_png_is_as_large_as_the_plot(opened, tmp_path):
    path = save(opened, "row", "PNG", tmp_path)

    data = path.read_bytes()
    assert path.name == "attnpanel-row-layer-0-head-2.png"
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") > 400


def test_the_name_follows_what_is_shown(opened, tmp_path):
    opened.keyboard.press("ArrowRight")
    expect(opened.get_by_text("layer 0, head 3 · entropy")).to_be_visible()

    assert save(opened, "grid", "SVG", tmp_path).name == "attnpanel-grid-layer-0-head-3.svg"

    opened.get_by_label("Mean of heads").check()
    expect(opened.get_by_text("mean of 4 heads · entropy")).to_be_visible()
    name = save(opened, "weights", "SVG", tmp_path).name
    assert name == "attnpanel-weights-layer-0-mean-of-4-heads.svg"


def open_figure(page, view):
    """Press a picture's button for figures; the dialog is open."""
    plot = page.locator(f".attn-plot-{view} .bk-Figure")
    plot.hover()
    button = plot.locator("[title='Save as figure']")
    expect(plot.locator("[title='Reset'], [title='Save as PNG']").first).to_be_visible()
    if button.count() == 0:
        plot.locator(".bk-tool-overflow").click()
        button = page.locator(".bk-vertical [title='Save as figure']")
    button.click()
    expect(page.get_by_role("dialog", name="Save a figure")).to_be_visible()


def save_figure(page, kind, folder):
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_text(f"Save {kind}").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def words_of(path):
    return [element.text for element in ET.parse(path).getroot().iter(f"{SVG}text")]


def test_a_figure_has_title_axes_colour_bar_and_caption_and_hostile_tokens_are_text(
    opened, tmp_path
):
    open_figure(opened, "weights")
    path = save_figure(opened, "SVG", tmp_path)

    assert path.name == "attnpanel-weights-layer-0-head-2-figure.svg"
    words = set(words_of(path))
    assert {"Layer 0, head 2: Softmax", "query", "key", "0", "0.2", "1", "masked"} <= words
    assert {'a&b"', "]]>", "·[0m·", "</text>", "<!--"} <= words
    caption = " ".join(word for word in words if "\u00a0·" in word).replace("\u00a0", " ")
    assert "mask: causal" in caption
    assert "temperature 1" in caption
    ids = [one.get("id") for one in ET.parse(path).getroot().iter() if one.get("id")]
    assert len(ids) == len(set(ids))


def test_the_steps_are_one_figure_at_300_dpi(opened, tmp_path):
    open_figure(opened, "scores")
    opened.get_by_role("dialog").get_by_label("Score, softmax and mix").check()

    words = words_of(save_figure(opened, "SVG", tmp_path))
    assert {"Score", "Softmax", "Mix", "channel"} <= set(words)
    assert "Layer 0, head 2: Score, Softmax, Mix" in words
    assert words.count("1") == 2  # where Softmax's colours end, and the last channel

    path = save_figure(opened, "PNG, 300 dpi", tmp_path)
    assert path.name == "attnpanel-scores-layer-0-head-2-steps-figure.png"
    with Image.open(path) as image:
        assert image.width > 2000
        assert round(image.info["dpi"][0]) == 300
        # The title's letters and the darkest weight are there.
        assert image.convert("L").getextrema()[0] < 60


def test_the_dialog_closes_by_key_and_keeps_the_page_as_it_was(opened, tmp_path):
    open_figure(opened, "row")
    dialog = opened.get_by_role("dialog")
    assert {"key", "weight"} <= set(words_of(save_figure(opened, "SVG", tmp_path)))
    expect(dialog.get_by_label("Score, softmax and mix")).to_have_count(0)
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("Escape")

    expect(dialog).to_have_count(0)
    expect(opened.get_by_text("layer 0, head 2 · entropy")).to_be_visible()


def test_the_served_page_saves_as_well(toy, tmp_path):
    choose(toy, Mean_of_heads=False, Head=1)

    path = save(toy, "weights", "SVG", tmp_path)

    assert path.name == "attnpanel-weights-layer-0-head-1.svg"
    ET.parse(path)
    assert save(toy, "swatches", "PNG", tmp_path).name == "attnpanel-swatches-layer-0-head-1.png"


@pytest.mark.thorough
def test_a_figure_is_printed_alone_in_the_width_that_one_chose(open_page, report, tmp_path):
    page = open_page(offline=True)
    page.add_init_script(
        "window.print = () => { top.printed = document.documentElement.outerHTML }"
    )
    page.goto(f"{report}#theme=dark&head=2")
    expect(page.get_by_text("layer 0, head 2 · entropy")).to_be_visible()
    open_figure(page, "weights")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Dark, as the page is: switch to light for paper.")).to_be_visible()
    dialog.get_by_label("Width").select_option("85")
    expect(dialog.get_by_text("85 mm wide; its smallest text has")).to_be_visible()

    dialog.get_by_role("button", name="PDF …").click()

    printed = page.evaluate("printed")
    assert "@page { size: 321.26px " in printed  # 85 mm
    assert printed.count('width="85.00mm"') == 1
    assert "<body><svg " in printed
    assert "Layer 0, head 2: Softmax" in printed
    assert save_figure(page, "SVG", tmp_path).read_text().startswith("<svg xmlns")
