"""What the bench does inside a page that this project has not written."""

from __future__ import annotations

import pytest

from attnpanel.bench.product.report.opening import SCRIPT


@pytest.fixture
def stage(page):
    page.set_content("<p>one</p><section></section><canvas width='9' height='9'></canvas>")
    page.evaluate(f"() => {{ {SCRIPT.read_text()} }}")
    return page


INSTALL = "() => installReportBench(() => document.querySelector('#picture') !== null)"


@pytest.mark.thorough
def test_the_first_picture_is_told_two_frames_after_it_is_there(stage):
    stage.evaluate(INSTALL)
    stage.evaluate(
        "new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))"
    )
    assert stage.evaluate("reportBench.drawnMs") is None

    there = stage.evaluate(
        "() => { document.querySelector('p').id = 'picture'; return performance.now() }"
    )
    stage.wait_for_function("reportBench.drawnMs !== null")

    # Frames are not evenly spaced; what must never pass is no frame or one.
    assert stage.evaluate("reportBench.drawnMs") > there + 17


def test_elements_are_counted_in_shadow_roots_too(stage):
    stage.evaluate(INSTALL)
    before = stage.evaluate("reportBench.elements()")

    stage.evaluate(
        """() => {
          const outer = document.querySelector("section").attachShadow({mode: "open"})
          outer.innerHTML = "<div></div>"
          outer.querySelector("div").attachShadow({mode: "open"}).innerHTML = "<b></b><i></i>"
        }"""
    )

    # html, head, body, p, section and canvas; then the div and what is in it.
    assert (before, stage.evaluate("reportBench.elements()")) == (6, 9)


@pytest.mark.parametrize(
    ("action", "least_ms"),
    [
        ("() => {}", 0),
        ("() => setTimeout(() => document.querySelector('p').append('two'), 100)", 100),
        ("() => { const end = performance.now() + 400; while (performance.now() < end); }", 400),
    ],
)
def test_a_change_is_over_with_the_last_mutation_or_long_frame(stage, action, least_ms):
    stage.evaluate(INSTALL)
    assert stage.evaluate("reportBench.changedMs") is None

    begun = stage.evaluate(f"() => {{ reportBench.change({action}); return performance.now() }}")
    stage.wait_for_function("reportBench.changedMs !== null")
    ended = stage.evaluate("performance.now()")

    changed = stage.evaluate("reportBench.changedMs")
    assert changed > least_ms
    # The 500 ms of quiet that end it are not in it, but for two frames.
    assert ended - begun - changed > 450


def test_a_canvas_is_empty_until_something_is_drawn_in_its_middle(stage, problems):
    problems.allow("willReadFrequently")
    assert stage.evaluate("anyCanvasPainted()") is False

    stage.evaluate("document.querySelector('canvas').getContext('2d').fillRect(4, 4, 2, 2)")

    assert stage.evaluate("anyCanvasPainted()") is True
