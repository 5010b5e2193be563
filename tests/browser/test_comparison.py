"""Two traces side by side in a browser: in a file without a network, and served."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from attnpanel.comparison import align, attention_difference
from attnpanel.explorer.weight_scales import round_up
from attnpanel.models.toy import toy_trace
from attnpanel.pages.compare.report import save_comparison
from attnpanel.trace import Trace
from tests.browser.acting import leave_focus, unfold
from tests.browser.conftest import PATIENCE_S, Problems
from tests.browser.reading import place

HOSTILE = "<img src=x onerror=alert(1)>"
AT_REST = """() => globalThis.Bokeh?.documents?.length > 0
  && [...Bokeh.documents[0]._all_models.values()]
  .some((model) => model.css_classes?.includes("attn-comparison") && model.data.at_rest)"""
MATRIX = """(name) => {
  const figure = Bokeh.documents[0].get_model_by_name(`attn:plot:${name}`)
  const [{glyph, data_source}] = figure.renderers
  const {low, high} = glyph.color_mapper
  const [image] = data_source.data.image
  const cells = [...image].map((cell) => Number.isNaN(cell) ? null : cell)
  return {cells, shape: image.shape, low, high}
}"""


def two() -> tuple[Trace, Trace]:
    first, second = ["a", "b", "c", "d"], ["a", "b", HOSTILE, "d", "e"]
    traces = [
        Trace(toy_trace(T=len(tokens), d_model=6, heads=3, seed=seed).calls, query_tokens=[tokens])
        for seed, tokens in ((1, first), (2, second))
    ]
    # The last four tokens of each are patches.
    for trace, names in zip(traces, ((), ["CLS"]), strict=True):
        trace.set_picture(np.full((20, 20, 3), 90, np.uint8), (2, 2), names=names)
    return tuple(traces)


def open_comparison(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_function(AT_REST)


def difference(page: Page) -> tuple[np.ndarray, float, float]:
    page.wait_for_function(AT_REST)
    read = page.evaluate(MATRIX, "difference")
    return np.array(read["cells"], float).reshape(read["shape"]), read["low"], read["high"]


def wait_for_difference(page: Page, wanted: np.ndarray) -> None:
    """Wait until the page shows this difference: it may not have begun to draw what was chosen."""
    deadline = time.monotonic() + PATIENCE_S
    while not np.allclose(difference(page)[0], wanted, rtol=0, atol=4e-3, equal_nan=True):
        assert time.monotonic() < deadline, f"{difference(page)[0]} instead of {wanted}"


def number_in(text: str, before: str) -> float:
    """Return the number that follows some words."""
    return float(re.search(rf"{before}\s([+−]?[\d.]+)", text)[1].replace("−", "-"))


def cells_of(table: Locator) -> np.ndarray:
    """Return the numbers of a table once it has any."""
    table.locator("td").first.wait_for()
    texts = table.locator("tbody td").all_text_contents()
    numbers = [float(re.match(r"-?[\d.e-]+", text)[0]) for text in texts]
    return np.reshape(numbers, (table.locator("tbody tr").count(), -1))


def expected(head: tuple[int, int]) -> np.ndarray:
    traces = two()
    pairs = align(*(trace.query_tokens[0] for trace in traces))
    weights = [trace.calls[0].weights(one) for trace, one in zip(traces, head, strict=True)]
    return attention_difference(*weights, pairs, pairs)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("comparison") / "two.html"
    save_comparison(*two(), path, query_index=1, question="Why?", words=HOSTILE, head=(0, 0))
    return path.as_uri()


@pytest.fixture(scope="module")
def _shown(browser: Browser, file: str) -> Iterator[tuple[Page, Problems]]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    problems = Problems()
    problems.watch(context)
    page = context.new_page()
    open_comparison(page, file)
    yield page, problems
    context.close()


@pytest.fixture
def shown(_shown: tuple[Page, Problems]) -> Iterator[Page]:
    """The file at head 0 of both sides; shared."""
    page, problems = _shown
    leave_focus(page)
    page.evaluate("location.hash = 'head=0&row=1&apart='")
    expect(page.get_by_label("Head, A")).to_have_value("0")
    page.wait_for_function(AT_REST)
    yield page
    seen, problems.seen = problems.unexpected(), []
    assert seen == []


@pytest.mark.thorough
def test_each_side_shows_the_row_on_its_picture(shown):
    page, cards = shown, shown.locator(".attn-picture")
    stages = page.locator(".attn-picture-stage")
    stages.nth(0).press("ArrowDown")
    page.wait_for_function("location.hash.includes('row=3')")
    page.wait_for_function(AT_REST)

    highest = []
    for side, (trace, query, start) in enumerate(zip(two(), (3, 3), (0, 1), strict=True)):
        details = cards.nth(side).locator("details")
        unfold(details)
        texts = details.locator("tbody td, tr td").all_text_contents()
        row = trace.calls[0].weights(0)[query, start : start + 4]
        np.testing.assert_allclose([float(text) for text in texts], row, rtol=0.005)
        expect(stages.nth(side)).to_have_attribute("aria-label", re.compile(f"^{'AB'[side]}: "))
        highest.append(cards.nth(side).locator(".attn-legend").inner_text())
    assert highest[0] == highest[1]  # one scale

    # B's last token is paired with none of A's.
    second = stages.nth(1)
    second.press("ArrowDown")
    second.press("ArrowRight")
    expect(cards.nth(0)).to_contain_text("no counterpart on this side")
    expect(page.get_by_label("Token", exact=True)).to_have_value("4")


def test_the_difference_is_python_s_and_centred_at_zero(shown):
    page = shown

    made, low, high = difference(page)

    # Queries and keys are stored as float16: weights are within 2e-3.
    np.testing.assert_allclose(made, expected((0, 0)), rtol=0, atol=4e-3)
    assert low == -high
    assert high == pytest.approx(round_up(float(np.nanmax(np.abs(made)))))
    # Tokens and words are shown, not run.
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    expect(page.locator("img:not([src^='data:'])")).to_have_count(0)


FRAMES = """() => ["first", "second", "difference"].map((name) => {
  const figure = Bokeh.documents[0].get_model_by_name(`attn:plot:${name}`)
  const view = Bokeh.index.find_one(figure)
  const {top, left} = view.el.getBoundingClientRect()
  const {y0, y1, x0, x1} = view.frame.bbox
  return [top + y0, top + y1, left + x0, left + x1]
})"""


# Every frame is as high as it was made, whatever its labels need.
WHOLE = f"({FRAMES})().every(([top, end]) => Math.abs(end - top - 268) < 1)"


@pytest.mark.slow
def test_rows_that_are_read_across_stand_level_and_colours_have_numbers(shown):
    page, size = shown, shown.viewport_size
    for width in (1920, 1440, 1280, 1024, 800, 390):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(WHOLE)
        frames = page.evaluate(FRAMES)
        tops, _, lefts, _ = (set(edges) for edges in zip(*frames, strict=True))
        assert (len(tops), len(lefts)) == (1, 3), width  # on a phone swiped through
        assert len({right - left for *_, left, right in frames}) == 1, width
        choices = page.locator(".attn-choices")
        assert choices.evaluate("(at) => at.scrollWidth <= at.clientWidth"), width
        bar = page.locator(".attn-controls").first.bounding_box()
        assert bar is not None
        assert bar["height"] < 150, width
    for name, last in (("first", "1"), ("second", "1"), ("difference", "100"), ("heads", "100")):
        numbers = page.locator(f".attn-legend-{name} .attn-legend-ticks span").all_inner_texts()
        assert len(numbers) >= 2  # at this width the others have no room
        assert float(numbers[-1]) <= float(last)
    page.set_viewport_size(size)


def test_a_phone_has_the_rare_choices_under_more(shown):
    page, size = shown, shown.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})
    layer, more = page.get_by_label("Layer, A"), page.get_by_role("button", name="More", exact=True)
    expect(page.get_by_label("Head, A")).to_be_visible()
    expect(layer).to_be_hidden()

    more.click()

    expect(layer).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    page.keyboard.press("Escape")
    expect(layer).to_be_hidden()
    for name, at in (("B − A", 2), ("A", 0)):  # one picture at a time
        page.get_by_role("button", name=name, exact=True).press("Enter")
        page.wait_for_function(f"({FRAMES})()[{at}][2] > 0 && ({FRAMES})()[{at}][3] <= innerWidth")
    assert 0 < page.evaluate(FRAMES)[0][1] < 844
    page.set_viewport_size(size)
    expect(more).to_be_hidden()


def test_controls_move_both_sides_until_they_are_taken_apart(shown, open_page):
    page = shown

    page.get_by_label("Head, A").fill("2")
    wait_for_difference(page, expected((2, 2)))
    page.locator("[data-name=head]").get_by_role("button", name="A and B apart").click()
    page.get_by_label("Head, B").fill("1")
    wait_for_difference(page, expected((2, 1)))

    # The address restores it, and a token is a key press away.
    page.keyboard.press("Escape")
    page.locator("body").click(position={"x": 3, "y": 3})
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("heading", name=f"Where “c/{HOSTILE}” looks")).to_be_visible()
    page.wait_for_function(
        "location.hash.includes('head=2%7E1') && location.hash.includes('row=2')"
    )
    other = open_page(offline=True)
    open_comparison(other, page.url)
    np.testing.assert_allclose(difference(other)[0], expected((2, 1)), rtol=0, atol=4e-3)


def test_a_head_of_the_list_is_gone_to(shown):
    page = shown

    button = page.locator(".attn-ranking li button").last
    head = int(button.inner_text().rsplit(" ", 1)[1])
    button.click()

    expect(page.get_by_role("heading", name="A layer")).to_contain_text(f"head {head}")
    np.testing.assert_allclose(difference(page)[0], expected((head, head)), rtol=0, atol=4e-3)


def test_the_difference_of_scores_is_taken_apart_as_numpy_does(shown, open_page):
    page = shown
    page.evaluate("location.hash = 'head=0&row=3&apart='")
    expect(page.get_by_role("heading", name="Where “d” looks")).to_be_visible()
    page.wait_for_function(AT_REST)
    # a, b, c against its substitute, and d: e is in B only.
    calls = [trace.calls[0] for trace in two()]
    scores = [(call.query[0, 0] @ call.key[0, 0].T * call.scale)[:4, :4] for call in calls]
    centred = [one - one.mean(axis=1, keepdims=True) for one in scores]
    left, sizes, right = np.linalg.svd(centred[1] - centred[0])

    summary = page.get_by_text("What tells the scores of A and B apart")
    summary.focus()
    page.keyboard.press("Enter")

    buttons = page.locator(".attn-contrast-components button")
    expect(buttons.first).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("location.hash.includes('contrast=1')")
    shares = [float(re.search(r"[\d.]+(?= %)", text)[0]) for text in buttons.all_inner_texts()]
    # Queries and keys are float16 in the file.
    wanted = 100 * sizes**2 / (sizes**2).sum()
    np.testing.assert_allclose(shares, wanted[: len(shares)], rtol=0, atol=0.3)
    # It is about the pair under the pointer, as the sentence: d, and here b.
    spoken = page.locator(".attn-contrast .attn-caption", has_text="its score differs by")
    chosen = spoken.inner_text()
    page.mouse.move(*place(page, "difference", 1, 3))
    expect(spoken).to_contain_text("“d → b”")
    assert number_in(spoken.inner_text(), "differs by") == pytest.approx(
        (centred[1] - centred[0])[3, 1], abs=0.02
    )
    expect(buttons.first).to_contain_text("adds")
    adds = [number_in(text, "adds") for text in buttons.all_inner_texts()]
    parts = sizes * left[3] * right[:, 1]
    np.testing.assert_allclose(adds, parts[: len(adds)], rtol=0, atol=0.02)
    page.mouse.move(2, 2)
    expect(spoken).to_have_text(chosen)
    # Of the second component, both sides' numbers of the token that moves most.
    buttons.nth(1).press("Enter")
    expect(buttons.nth(1)).to_be_focused()
    token = page.locator("button.attn-contrast-token").first
    moved = np.abs(left[:, 1]).argmax()
    sign = np.sign(left[moved, 1])
    expect(token.locator("code")).to_have_text(["a", "b", f"c/{HOSTILE}", "d"][moved])
    said = [text.split() for text in token.locator("b").all_inner_texts()]
    assert [side for side, _ in said] == ["A", "B"]
    numbers = [float(number.replace("−", "-")) for _, number in said]
    loadings = [sign * (side[moved] @ right[1]) for side in centred]
    np.testing.assert_allclose(numbers, loadings, rtol=0, atol=0.02)
    # A token is one to go to; the rest is as tables.
    token.press("Enter")
    page.wait_for_function(f"location.hash.includes('row={moved}')")
    page.get_by_text("All of it as tables").click()
    listed = page.get_by_role("region", name="Component 2: every token")
    signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(4)])
    sides = [
        *(one @ (signs[1] * right[1]) for one in centred),
        *((signs[1] * left[:, 1]) @ one for one in centred),
    ]
    np.testing.assert_allclose(cells_of(listed), np.array(sides).T, rtol=0, atol=0.02)
    every = cells_of(page.get_by_role("region", name="Every component"))
    # A component of 0 to rounding is not one.
    np.testing.assert_allclose(every[:, 0], sizes[: len(every)], rtol=0.01, atol=0.01)
    np.testing.assert_allclose(every[:, 1], wanted[: len(every)], rtol=0, atol=0.3)

    # A link opens it; a mean has no query and key.
    other = open_page(offline=True)
    open_comparison(other, page.url.replace("head=0", "head=0&mean=1"))
    expect(other.get_by_text("choose one head")).to_be_visible()


OTHER_TRACES = """
async () => {
  const models = [...Bokeh.documents[0]._all_models.values()]
  const worn = (css) => models.find((one) => one.css_classes?.includes(css)).data
  const plot = (name) => Bokeh.documents[0].get_model_by_name(`attn:plot:${name}`)
  const source = (name) => plot(name).renderers[0].data_source
  const painted = new Promise((done) => source("first").change.connect(done))
  const {given} = worn("attn-comparison")
  worn("attn-comparison").setv({given: {...given, serial: given.serial + 1}}, {sync: false})
  await painted
  await new Promise(requestAnimationFrame)
  const {heads, none} = worn("attn-head-list")
  return [heads.length, none, [...source("heads").data.image[0]].some((one) => one > 0)]
}
"""


def test_nothing_that_was_ranked_of_older_traces_stands_beside_new_ones(shown):
    entries = shown.locator(".attn-ranking li button")
    ranked = entries.all_inner_texts()

    assert shown.evaluate(OTHER_TRACES) == [0, "Ranking the heads …", False]

    shown.wait_for_function(AT_REST)
    assert entries.all_inner_texts() == ranked


@pytest.mark.thorough
@pytest.mark.model
def test_the_served_page_s_words_and_place_go_into_its_report(page, open_page, served, tmp_path):
    page.goto(f"{served}compare?ready=not")
    expect(page.get_by_role("heading", name="Where “good” looks")).to_be_visible()
    page.wait_for_function(AT_REST)
    # The head was found by a search: it looks at the word before.
    expect(page.locator(".attn-sentence")).to_contain_text("good → ")
    page.get_by_label("Your explanation").fill("It reads the word before.")
    page.get_by_label("Your explanation").blur()
    page.get_by_role("button", name="all tokens").click()
    page.wait_for_function("location.search.includes('by=all')")
    path = tmp_path / "comparison.html"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download report").click()
    download.value.save_as(path)

    report = open_page(offline=True)
    open_comparison(report, path.as_uri())

    expect(report.get_by_text("It reads the word before.")).to_be_visible()
    expect(report.get_by_role("button", name="all tokens")).to_have_attribute(
        "aria-pressed", "true"
    )
    row = "row=" + page.url.split("row=")[1].split("&")[0]
    report.wait_for_function("(row) => location.hash.includes(row)", arg=row)

    # A link restores it, through all that the page shows before the model has run.
    page.goto(page.url)
    expect(page.get_by_role("button", name="all tokens")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Your explanation")).to_have_value("It reads the word before.")


@pytest.mark.thorough
@pytest.mark.model
def test_a_change_of_b_in_a_link_is_shown_beside_a_and_under_any_mask(page, served):
    link = "compare?a=The+cat+sat&b=The+cat+sat&change=key,1,2,0&layer=1&head=2"
    page.goto(f"{served}{link}")
    expect(page.get_by_text("layer 1, head 2 without key 0").first).to_be_visible()
    page.wait_for_function(AT_REST)
    page.wait_for_function(WHOLE)  # the plots were hidden, and their labels level, when laid out

    def weights(side: str) -> np.ndarray:
        read = page.evaluate(MATRIX, side)
        return np.array(read["cells"], float).reshape(read["shape"])

    before, without = weights("first"), np.nan_to_num(weights("second"))
    assert (without[:, 0] == 0).all()
    others = before[:, 1:] / before[:, 1:].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(without[:, 1:], others, rtol=0, atol=2e-3)

    page.get_by_label("Mask, A").select_option("causal")
    page.wait_for_function("location.search.includes('mask=causal')")
    page.wait_for_function(AT_REST)

    assert (np.triu(np.nan_to_num(weights("first")), 1) == 0).all()
    np.testing.assert_allclose(np.nan_to_num(weights("first")).sum(axis=1), 1, atol=2e-3)
