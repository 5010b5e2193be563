"""Why this token: the card's numbers are NumPy's for every kind of call, and keys reach all."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.acting import leave_focus, press, unfold
from tests.browser.reading import sentence, settle
from tests.browser.report_page import fragment, go
from tests.browser.report_traces import stored

pytest_plugins = ["tests.browser.reports"]

# Texts have four digits.
DIGITS = {"rtol": 6e-4, "atol": 1e-6}


def card(page):
    return page.locator(".attn-why")


def open_card(page):
    """Open the card and its tables."""
    unfold(card(page))
    settle(page)
    unfold(card(page).locator("details"))


def table(page, caption):
    """Return a table's row headings and its numbers, NaN for other texts."""

    def number(text):
        return float(text) if re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", text) else np.nan

    rows = card(page).get_by_role("region", name=caption).locator("tbody tr")
    names = rows.locator("th").all_text_contents()
    cells = rows.evaluate_all("(all) => all.map((row) => [...row.cells].map((c) => c.innerText))")
    return names, np.array([[number(text) for text in line[1:]] for line in cells])


def steps(page):
    """Return the number of each step by its words."""
    boxes = card(page).locator(".attn-details-steps li")
    return {
        box.locator("span").first.inner_text(): box.locator("b").inner_text().replace("−", "-")
        for box in boxes.all()
    }


def assert_explains(page, found, call):
    """Hold what the card says of its pair to an explanation by NumPy."""
    names, cells = table(page, "Query, key and their products by channel")
    assert names[:-1] == [str(channel) for channel in range(len(found.score.products))]
    shared = found.head // (call.heads // call.kv_heads)
    vectors = call.query[0, found.head, found.query], call.key[0, shared, found.key]
    np.testing.assert_allclose(cells[:-1, :2].T, vectors, **DIGITS)
    np.testing.assert_allclose(cells[:-1, 2], found.score.products, **DIGITS)
    assert cells[-1, 2] == pytest.approx(found.score.product, rel=1e-4)

    said = steps(page)
    assert float(said["q·k"]) == pytest.approx(found.score.product, abs=0.0051)
    weight = card(page).locator(".attn-details-steps li").last.locator("b").inner_text()
    assert float(weight) == pytest.approx(found.weight, rel=0.006)
    (biased,) = (float(number) for words, number in said.items() if "bias" in words)
    np.testing.assert_allclose(biased, found.score.score, atol=0.0051)
    ((_, scaled), *_) = [(words, number) for words, number in said.items() if words[0] in "÷×"]
    assert float(scaled) == pytest.approx(found.score.scaled, abs=0.0051)
    divided = found.score.score / found.temperature
    assert float(said[f"÷ τ {found.temperature:.2f}"]) == pytest.approx(divided, abs=0.0051)
    ((_, power),) = [pair for pair in said.items() if pair[0].startswith("e to the")]
    assert float(power) == pytest.approx(np.exp(divided), rel=1e-3)
    (whole,) = (float(words[4:]) for words in said if words.startswith("÷ Σ "))
    assert whole == pytest.approx(np.exp(found.score.logsumexp), rel=1e-3)
    total = card(page).locator(".attn-why-chart .attn-why-strong").first.text_content()
    assert float(total.replace("−", "-")) == pytest.approx(found.score.product, abs=0.0051)
    strip = card(page).locator(".attn-why-strip").get_attribute("aria-label")
    parts = [float(part) for part in re.findall(r" ([\d.e-]+) %", strip)]
    assert max(parts[:3]) == pytest.approx(100 * found.weights.max(), rel=0.06)
    assert sum(parts) == pytest.approx(100, rel=0.06)

    _, row = table(page, "The row as a table")
    order = np.argsort(-found.weights, kind="stable")[: len(row) - 1]
    for column, numbers in enumerate(
        (found.weights, found.written.value_norms, found.written.norms, found.written.shares),
        start=1,
    ):
        # The page's weights are float32 of another order of summation.
        np.testing.assert_allclose(row[: len(order), column], numbers[order], rtol=1e-3, atol=1e-6)
    scores = call.scores(found.head)[found.query][order]
    seen = ~np.isnan(row[: len(order), 0])
    assert seen.any()
    np.testing.assert_allclose(row[: len(order), 0][seen], scores[seen], rtol=1e-3, atol=1e-4)
    values = np.vstack([call.value[0, shared][order], found.written.output])[:, :16]
    np.testing.assert_allclose(row[:, -values.shape[1] :], values, rtol=1e-3, atol=1e-5)
    for listed in card(page).locator(".attn-why-key").all():
        key = int(listed.get_attribute("data-mark").removeprefix("key "))
        written, percent = (
            float(re.search(r"[\d.]+", listed.locator(css).inner_text())[0])
            for css in ("b", ".attn-why-weight")
        )
        norms = found.written.projected_norms
        length = (found.written.norms if norms is None else norms)[key]
        assert written == pytest.approx(length, rel=0.01, abs=0.0051)
        assert percent == pytest.approx(100 * found.weights[key], abs=0.051)


def test_the_toys_numbers_are_numpys(toy_report):
    page, trace = toy_report.page, stored(toy_report.trace)
    open_card(page)
    found = trace.explain(0, 0, 6, int(trace[0].weights(0, mask=None)[6].argmax()), mask=None)

    assert_explains(page, found, trace[0])
    expect(card(page).locator("h3")).to_contain_text(
        f"Where does {found.score.score:.2f} come from? t6 → {found.key_token}"
    )
    drawn = card(page).locator(".attn-why-chart svg")
    expect(drawn.locator(".attn-why-column")).to_have_count(len(found.score.products))
    expect(drawn).to_have_attribute("aria-label", re.compile(r"^The products of 2 channels"))


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize(
    ("layer", "head", "query", "temperature"),
    [(0, 5, 4, 1), (1, 2, 3, 0.5), (2, 1, 3, 1), (3, 1, 2, 2), (6, 1, 4, 1)],
    ids=["grouped keys", "cross, masked, scaled", "bias", "cached keys", "cap and sinks"],
)
def test_every_kinds_numbers_are_numpys(kinds_report, layer, head, query, temperature):
    page, trace = kinds_report.page, stored(kinds_report.trace)
    go(page, f"layer={layer}&head={head}&token={query}&temperature={temperature}&mask=model")
    open_card(page)
    row = trace[layer].weights(head, temperature=temperature)[query]
    found = trace.explain(layer, head, query, int(row.argmax()), temperature=temperature)

    assert_explains(page, found, trace[layer])
    if trace[layer].outputs is not None:
        lists = card(page).locator(".attn-why-promoted ol")
        for at, expected in enumerate((found.promoted.pair, found.promoted.row)):
            got = [
                float(text.replace("−", "-"))
                for text in lists.nth(at).locator("b").all_text_contents()
            ]
            np.testing.assert_allclose(got, [logit for _, logit in expected], rtol=6e-3)
            names = lists.nth(at).locator("code").all_text_contents()
            shown = ["␣" if not token.strip() else token[:17] for token, _ in expected]
            assert [name[:17] for name in names] == [name.replace("\u202e", "·") for name in shown]
        heading = card(page).get_by_role("region", name="The row as a table").locator("thead th")
        at = heading.all_text_contents().index("writes after W_O")
        order = np.argsort(-found.weights, kind="stable")
        np.testing.assert_allclose(
            table(page, "The row as a table")[1][:-1, at - 1],
            found.written.projected_norms[order],
            rtol=1e-3,
        )
    if trace[layer].kv_heads < trace[layer].heads:
        expect(card(page).locator("h3")).to_contain_text("key head 1 of 2, shared by 3 heads")
    if trace[layer].sinks is not None:
        expect(card(page).locator(".attn-why-strip")).to_have_attribute(
            "aria-label", re.compile(r"sink [\d.]+ %$")
        )
        cap = trace[layer].soft_cap
        assert float(steps(page)[f"capped at ±{cap:g}"]) == pytest.approx(
            found.score.capped, abs=0.0051
        )


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize(
    ("name", "where", "words"),
    [
        ("kinds", "layer=5&head=1&mean=0&token=2&mask=model", "No values were kept"),
        ("kinds", "layer=0&head=0&mean=1&token=2&mask=model", "A mean over heads has no query"),
        ("kinds", "layer=2&head=0&mean=0&token=5&mask=model", "may see no key here"),
        ("recorded", "layer=0&head=0&mean=0&token=2", "Only the weights were recorded"),
    ],
)
def test_what_cannot_be_shown_is_said(on_screen, name, where, words):
    page = on_screen(name).page
    go(page, where)
    open_card(page)

    expect(card(page)).to_contain_text(words)
    expect(card(page).get_by_role("region", name="The row as a table")).to_be_visible()


def test_a_masked_key_promotes_nothing(kinds_report):
    page = kinds_report.page
    go(page, "layer=0&head=5&mean=0&token=0&temperature=1&mask=model")
    open_card(page)
    leave_focus(page)
    press(page, "Shift+ArrowRight")  # from the only key that it may see

    by_key, by_row = card(page).locator(".attn-why-promoted > div").all()
    expect(by_key).to_contain_text("Nothing: it adds 0 to every logit.")
    expect(by_row.locator("li")).not_to_have_count(0)


def test_keys_and_buttons_choose_the_key_and_keep_the_focus(toy_report):
    page = toy_report.page
    open_card(page)
    rows = card(page).locator(".attn-why-key")
    other = rows.nth(3)
    name = other.locator("code").inner_text()
    other.press("Enter")
    settle(page)

    assert sentence(page).startswith(f"t6 → {name}")
    chosen = card(page).locator('.attn-why-key[aria-pressed="true"]')
    expect(chosen.locator("code")).to_have_text(name)
    expect(chosen).to_be_focused()
    leave_focus(page)
    press(page, "Shift+ArrowRight" if name == "t0" else "Shift+ArrowLeft")
    after = int(name[1:]) + (1 if name == "t0" else -1)
    expect(card(page).locator("h3")).to_contain_text(f"t6 → t{after}")

    card(page).get_by_role("button", name="by channel").press("Enter")
    columns = card(page).locator(".attn-why-column title").all_text_contents()
    assert [text.split(":")[0] for text in columns] == ["channel 0", "channel 1"]
    expect(card(page).get_by_role("button", name="by channel")).to_be_focused()
    card(page).get_by_role("button", name="by product").click()


def test_an_address_opens_the_card_and_a_closed_one_computes_nothing(toy_report):
    page = toy_report.page
    press(page, "ArrowUp", "ArrowDown")  # no pair is chosen
    open_card(page)
    assert fragment(page)["why"] == "1"
    before = card(page).locator("h3").inner_text()

    card(page).locator("summary").first.click()
    page.wait_for_function("!location.hash.includes('why=1')")
    settle(page)
    # What the driver has last written stays, however the choices change.
    content = """() => [...Bokeh.documents[0]._all_models.values()]
      .find((one) => one.css_classes?.includes("attn-why-token")).data.content.asked"""
    written = page.evaluate(content)
    press(page, "ArrowUp")
    assert page.evaluate(content) == written

    go(page, "token=6&why=1")
    expect(card(page).locator("h3")).to_have_text(before)
