"""The page of variants, served and as a file: its numbers, fields, keys, links and report."""

from __future__ import annotations

import re

import numpy as np
import panel as pn
import pytest
from bokeh.document import Document
from panel.io.state import set_curdoc
from playwright.sync_api import expect

from attnpanel import Variants, attend
from attnpanel.attention.masks import make_mask
from attnpanel.pages.variants.example import example_layouts
from attnpanel.pages.variants.models import MODELS
from attnpanel.pages.variants.price import price
from attnpanel.pages.variants.report import save_variants
from attnpanel.pages.variants.table import LAYOUTS, VISIBILITIES
from attnpanel.ui.standalone_html import standalone_html
from tests.browser.acting import unfold

TOKEN = 5
CHOICES = "() => location.protocol === 'file:' ? location.hash.slice(1) : location.search.slice(1)"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return save_variants(tmp_path_factory.mktemp("variants") / "variants.html").as_uri()


@pytest.fixture
def address(report):
    """One module draws the page in both places: what the address does is tried in both."""
    return report


@pytest.fixture(params=["served", "file"])
def each_address(request, served, report):
    return f"{served}variants" if request.param == "served" else report


def go(page, address, choices=""):
    mark = "#" if address.startswith("file:") else "?"
    page.goto(f"{address}{mark}{choices}" if choices else address)
    page.locator(".variants-player").wait_for()


def card(page, title):
    return page.locator(".variants-card", has=page.get_by_role("heading", name=title, exact=True))


def field(page, label):
    named = re.compile(rf"^{re.escape(label)}( \(the model's own\))?$")
    kinds = [page.get_by_role(role, name=named) for role in ("combobox", "textbox", "checkbox")]
    return kinds[0].or_(kinds[1]).or_(kinds[2])


def chooser(page, title):
    return page.get_by_role("button", name=re.compile(rf"^Cho(ose|sen) {re.escape(title)}$"))


def choose(page, title):
    chooser(page, title).click()


def numbers(region):
    """Return the numbers of a table, nan where there is none; without its headings."""
    rows = region.locator("tr").all()
    cells = [[*row.locator("td").all_text_contents()] for row in rows]
    return np.array([[float(cell) if cell != "–" else np.nan for cell in row] for row in cells[1:]])


def amount(text):
    """Return the number that a text such as 4.29 GB writes with a prefix."""
    number, prefix = re.fullmatch(r"([\d.,]+) ?([kMGTP]?)B?", text).groups()
    return float(number.replace(",", "")) * 1000 ** " kMGTP".index(prefix or " ")


def test_a_cards_weights_are_numpys(page, address):
    go(page, address, "head=2&layout=grouped")
    window = card(page, "Sliding window")
    unfold(window.locator("details"))

    arrays = example_layouts()["grouped"]
    query, key, value = (arrays[name][None] for name in ("query", "key", "value"))
    mask = np.tril(make_mask("window", 8, window=3))
    expected = attend(query, key, value, mask=mask).weights[0, 2]
    shown = numbers(window.locator("details table"))
    np.testing.assert_array_equal(np.isnan(shown), ~mask)
    np.testing.assert_allclose(np.nan_to_num(shown), expected, rtol=0.005)
    row = expected[TOKEN]
    expect(window.locator(".variants-words")).to_contain_text(
        f"t5 sees t3–t5; most: t{row.argmax()} {100 * row.max():.1f} %"
    )
    # How far it is from all heads' own keys and values, and from every token before.
    plain = attend(
        *(example_layouts()["multi"][name][None] for name in ("query", "key", "value")),
        mask=np.tril(np.ones((8, 8), bool)),
    )
    own = attend(query, key, value, mask=mask)
    weight = np.abs(own.weights - plain.weights).max()
    share = 100 * np.linalg.norm(own.output - plain.output) / np.linalg.norm(plain.output)
    said = window.get_by_text("On the toy, against multi-head").inner_text()
    found = [float(number) for number in re.findall(r"[\d.]+\d", said)]
    assert found == [pytest.approx(weight, rel=0.05), pytest.approx(share, rel=0.05)]


def test_a_sink_takes_what_its_row_lacks(page, address):
    go(page, address, "layout=multi&head=1")
    sinks = card(page, "Sinks")
    unfold(sinks.locator("details"))

    shown = numbers(sinks.locator("details table"))

    query, key, value = (
        example_layouts()["multi"][name][None] for name in ("query", "key", "value")
    )
    mask = np.tril(np.ones((8, 8), bool))
    weights = attend(query, key, value, mask=mask, sinks=np.zeros(4)).weights[0, 1]
    np.testing.assert_allclose(shown[:, -1], 1 - weights.sum(axis=-1), rtol=0.005, atol=1e-12)


def test_prices_follow_the_model_and_the_sizes(page, address):
    go(page, address)
    field(page, "Model").select_option("DeepSeek-V3")
    latent = card(page, "Latent (MLA)")
    expect(latent).to_contain_text("70.3 kB KV cache a token")
    expect(latent.get_by_text("as built")).to_be_visible()
    expect(chooser(page, "Latent (MLA)")).to_have_attribute("aria-pressed", "true")

    field(page, "Length").fill("1,000")
    field(page, "Length").press("Enter")
    field(page, "Bytes per element").select_option("1")
    field(page, "with projections").check()

    model = next(model for model in MODELS if model.name == "deepseek-v3")
    sizes = model.sizes | {"length": 1000, "bytes": 1}
    expected = price(LAYOUTS[3], VISIBILITIES[0], sizes, projections=True)
    flops = expected["decode_flops"]
    expect(latent).to_contain_text("35.1 kB KV cache a token · 35.1 MB in all")
    expect(latent.locator(".variants-numbers").first).to_contain_text(f"decode{flops / 1e9:.1f} G")
    rows = latent.locator(".variants-numbers").first.locator("tr").all()[1:]
    for line, phase in zip(rows, ("prefill", "decode"), strict=True):
        shown = [amount(text) for text in line.locator("td").all_text_contents()]
        flops, moved = expected[f"{phase}_flops"], expected[f"{phase}_bytes"]
        np.testing.assert_allclose(shown, [flops, moved, flops / moved], rtol=0.005)
    link = page.evaluate(CHOICES)
    assert set(link.split("&")) == {
        "model=deepseek-v3", "length=1000", "bytes=1", "projections=1",
    }  # fmt: skip


@pytest.mark.thorough
def test_a_size_out_of_bounds_is_refused_aloud_and_does_not_stay(page, address):
    go(page, address)
    page.get_by_role("button", name="All sizes").click()
    before = card(page, "Multi-head").inner_text()

    for label, text, rule in (
        ("Length", "1e12", "Length must be an integer from 1 to 16,777,216; got “1e12”."),
        ("Layers", "<b>7</b>", "Layers must be an integer from 1 to 1,000; got “<b>7</b>”."),
        ("KV heads, grouped", "5", "KV heads must divide the 32 query heads; got 5."),
    ):
        kept = field(page, label).input_value()
        field(page, label).fill(text)
        field(page, label).press("Enter")
        expect(page.get_by_role("alert")).to_contain_text(rule)
        expect(field(page, label)).to_have_value(kept)
    assert card(page, "Multi-head").inner_text() == before


@pytest.mark.thorough
def test_choosing_a_card_changes_what_the_others_are_priced_with(page, address):
    go(page, address)
    choose(page, "Sliding window")
    choose(page, "Multi-head")

    sizes = MODELS[0].sizes
    windowed = price(LAYOUTS[0], VISIBILITIES[1], sizes)
    text = f"{windowed['cache'] / 1e6:.0f} MB in all"
    expect(card(page, "Multi-head")).to_contain_text(text)
    expect(card(page, "Sliding window")).to_contain_text(text)
    expect(card(page, "Sliding window")).to_contain_text("window of 256 on both sides")
    expect(page.get_by_role("region", name="Prices of all variants")).to_contain_text(
        "Multi-head, sliding window"
    )
    assert set(page.evaluate(CHOICES).split("&")) == {"layout=multi", "mask=window"}


def test_arrow_keys_choose_token_and_head(page, address):
    go(page, address)
    weights = card(page, "Multi-head").get_by_role("group", name=re.compile("weights of head"))
    weights.focus()
    for key in ("ArrowUp", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)

    expect(card(page, "Documents").locator(".variants-words")).to_contain_text("t4 sees t4")
    expect(field(page, "Head of the cards")).to_have_value("2")
    expect(weights).to_have_attribute("aria-label", re.compile("weights of head 2. t4 sees t0–t4"))
    expect(page.locator(".attn-announcements[data-said^='Head 2: t4 sees']")).to_have_count(1)
    assert set(page.evaluate(CHOICES).split("&")) == {"head=2", "token=4"}


def test_the_stepper_ends_at_the_plain_softmax(page, address):
    go(page, address, "layout=multi&head=1&rows=3&columns=3")
    player = page.locator(".variants-player")
    player.get_by_role("button", name="Next block").focus()
    states = page.get_by_role("region", name="Every query so far")
    expect(player).to_contain_text("1 of 6")
    expect(states.get_by_text("no key yet")).to_have_count(5)

    page.keyboard.press("ArrowRight")
    expect(player).to_contain_text("2 of 6")
    page.keyboard.press("End")
    expect(player).to_contain_text("6 of 6")

    query, key, value = (
        example_layouts()["multi"][name][None] for name in ("query", "key", "value")
    )
    output = attend(query, key, value, mask=np.tril(np.ones((8, 8), bool))).output[0, 1]
    for index, row in enumerate(states.locator("tr").all()[1:]):
        cells = row.locator("td").all_text_contents()
        for cell in cells[2:4]:
            shown = [float(text.replace("−", "-")) for text in cell.split(", ")]
            np.testing.assert_allclose(shown, output[index], rtol=1e-3)
        error, done = cells[4].split(" · ")
        assert done == "done"
        assert float(error) < 1e-14
    expect(player.get_by_role("button", name="Next block")).to_be_disabled()
    field(page, "Outer loop over").select_option("keys (FlashAttention)")
    expect(player).to_contain_text("1 of 6")


@pytest.mark.thorough
def test_machines_are_chosen_and_marked(page, address):
    go(page, address)
    chips = page.get_by_role("group", name=re.compile("^Machines"))
    expect(chips.get_by_role("button", pressed=True)).to_have_count(2)
    chips.get_by_role("button", name="H200 SXM · datasheet").click()

    expect(chips.get_by_role("button", name="T4 · datasheet")).to_be_disabled()
    plot = page.locator(".variants-plot")
    expect(plot.locator(".variants-roof-label")).to_contain_text(
        [re.compile("measured"), re.compile("H200 SXM · datasheet"), re.compile("H100 SXM")]
    )
    expect(plot.locator(".variants-roof.variants-datasheet")).to_have_count(2)
    table = page.get_by_role("region", name="Prices of all variants")
    sizes = MODELS[0].sizes
    expected = price(LAYOUTS[1], VISIBILITIES[0], sizes)
    least = max(expected["decode_flops"] / 989e12, expected["decode_bytes"] / 4.8e12)
    expect(table.locator("tr.variants-chosen")).to_contain_text(f"{least * 1e6:.3g} µs, memory")
    for chip in chips.get_by_role("button", pressed=True).all()[::-1]:
        chip.click()
    expect(plot).to_contain_text("Choose a machine to see its roofline.")


@pytest.mark.thorough(but=1)
def test_a_link_restores_its_choices_and_says_what_it_could_not(page, each_address):
    go(page, each_address, "model=gpt-2&length=99999999&token=2&order=keys&mask=<img src=x>")

    expect(field(page, "Model")).to_have_value("gpt-2")
    expect(field(page, "Length")).to_have_value("1024")
    expect(field(page, "Outer loop over")).to_have_value("keys")
    expect(page.get_by_role("alert")).to_contain_text(
        "Not restored from the link: There is no mask “<img src=x>”. Length must be an integer"
    )


def test_a_file_follows_its_address(page, report):
    go(page, report, "model=gpt-2")
    page.evaluate("location.hash = 'model=gemma-2b&head=3'")

    expect(field(page, "Model")).to_have_value("gemma-2b")
    expect(field(page, "Head of the cards")).to_have_value("3")


@pytest.mark.thorough
def test_a_theme_recolours_the_cards_and_keeps_the_choices(page, each_address):
    go(page, each_address, "head=1&theme=light")
    first = card(page, "Causal").locator("svg rect").first
    light = first.get_attribute("fill")

    page.get_by_role("button", name="Light or dark").click()

    expect(card(page, "Causal").locator("svg rect").first).not_to_have_attribute("fill", light)
    choose(page, "Multi-query")
    assert set(page.evaluate(CHOICES).split("&")) == {"head=1", "theme=dark", "layout=single"}


@pytest.mark.thorough
def test_a_report_of_the_page_opens_with_its_choices(page, served, open_page, tmp_path):
    go(page, f"{served}variants")
    field(page, "Model").select_option("GPT-2 124M")
    choose(page, "Documents")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download report").click()
    path = tmp_path / "variants.html"
    download.value.save_as(path)

    offline = open_page(offline=True)
    go(offline, path.as_uri())
    expect(field(offline, "Model")).to_have_value("gpt-2")
    expect(chooser(offline, "Documents")).to_have_text("Chosen")


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("width", [390, 800, 1280])
def test_nothing_is_wider_than_the_page(open_page, report, width):
    page = open_page(viewport={"width": width, "height": 720})
    go(page, report)
    page.get_by_role("button", name="All sizes").click()

    assert page.evaluate("document.documentElement.scrollWidth") == width
    plot = page.locator(".variants-plot svg")
    expect(plot).to_be_visible()
    assert plot.bounding_box()["width"] <= width


@pytest.mark.thorough
def test_a_phones_card_ends_where_its_content_ends(open_page, report):
    page = open_page(viewport={"width": 390, "height": 844})
    go(page, report)
    for at in (1, 2):  # beside a card of more lines
        shown = page.locator(".variants-card").nth(at)
        gap = shown.evaluate(
            "(card) => card.getBoundingClientRect().bottom"
            " - card.lastElementChild.getBoundingClientRect().bottom"
        )
        assert gap < 20
        words, pictures = (
            shown.locator(css).bounding_box() for css in (".variants-words", ".variants-pictures")
        )
        assert words["y"] - pictures["y"] - pictures["height"] < 20


@pytest.mark.thorough
def test_two_in_one_document_keep_their_choices_and_themes_apart(page, tmp_path):
    """As in the cells of a notebook, whose address is not theirs."""
    document = Document()
    with set_curdoc(document):
        both = pn.Column(Variants("layout=latent&head=2", dark=True), Variants())
        html = "".join(standalone_html(document, both, "Two"))
    path = tmp_path / "two.html"
    path.write_text(html, encoding="utf-8")
    page.goto(f"{path.as_uri()}#head=3")
    first, second = (page.locator(".variants").nth(index) for index in (0, 1))
    second.locator(".variants-player").wait_for()

    heads = [one.get_by_label("Head of the cards") for one in (first, second)]
    assert [head.input_value() for head in heads] == ["2", "0"]
    heads[0].select_option("1")
    second.get_by_role("button", name="Choose Multi-query").click()

    expect(first.get_by_role("button", name="Chosen Latent (MLA)")).to_be_visible()
    expect(second.get_by_role("button", name="Chosen Multi-query")).to_be_visible()
    assert [head.input_value() for head in heads] == ["1", "0"]
    assert page.url.endswith("#head=3")
    background = "(node) => getComputedStyle(node.querySelector('.variants-card')).backgroundColor"
    assert first.evaluate(background) != second.evaluate(background)
