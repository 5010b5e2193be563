"""The guided lesson, done by keyboard alone, left, and opened by a link."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel.analysis import entropy
from attnpanel.models.toy import toy_trace
from tests.browser.acting import choose, control, press
from tests.browser.reading import link, matrix, open_explorer, settle

pytest_plugins = ["tests.browser.opened"]

MASKS = 8  # more than there are
SLIDER_STEPS = 20  # from the middle of the temperature's slider to its end


@pytest.fixture
def lesson(toy):
    """The toy's page at its first step, reached by the button."""
    choose(toy, Head=0, Token=2, Mask="none", Temperature=0, Mean_of_heads=False)
    toy.get_by_role("button", name="Lesson").focus()
    press(toy, "Enter")
    yield toy
    leave = toy.get_by_role("button", name="Leave")
    if leave.count():
        leave.click()
    settle(toy)


def is_done(page) -> bool:
    return page.locator(".attn-lesson-state").inner_text() == "✓ Done"


def press_until_done(page, key: str, most: int) -> None:
    for _ in range(most):
        press(page, key)
        if is_done(page):
            return
    pytest.fail(f"{key} {most} times does not solve this step")


def go_on(page, step: int) -> None:
    page.get_by_role("button", name="Next →").focus()
    press(page, "Enter")
    expect(page.get_by_text(f"Step {step} of 8")).to_be_visible()
    expect(page.locator(".attn-lesson-state")).to_have_text("○ Waiting for your move")


@pytest.mark.thorough
def test_every_step_is_done_by_keys_alone(lesson):
    call = toy_trace().calls[0]
    rows = call.weights(0)

    expect(lesson.get_by_role("heading", name="How well does a query fit a key?")).to_be_visible()
    assert not is_done(lesson)
    scores = matrix(lesson, "scores")[2]
    way = int(scores.argmin() - rows[2].argmax())
    press(lesson, *["Shift+ArrowRight" if way > 0 else "Shift+ArrowLeft"] * abs(way))
    assert is_done(lesson)

    go_on(lesson, 2)
    press(lesson, "ArrowDown")
    assert is_done(lesson)

    go_on(lesson, 3)
    press_until_done(lesson, "m", MASKS)

    go_on(lesson, 4)  # which brings back the choices of the first step
    assert "token=2" in lesson.url
    control(lesson, "Temperature").get_by_role("slider").focus()
    press_until_done(lesson, "ArrowRight", SLIDER_STEPS)
    assert matrix(lesson, "weights")[2].max() < (rows[2].max() + 1 / 8) / 2

    go_on(lesson, 5)
    widest = int(np.argmax([entropy(row[None]) for row in rows]))
    press(lesson, "Home", *["ArrowDown"] * widest)
    assert is_done(lesson)

    go_on(lesson, 6)
    control(lesson, "Temperature").get_by_role("slider").focus()
    press_until_done(lesson, "ArrowLeft", SLIDER_STEPS)
    assert matrix(lesson, "weights")[2].max() > 0.9

    go_on(lesson, 7)
    press_until_done(lesson, "ArrowRight", 3)

    go_on(lesson, 8)
    assert link(lesson)["lesson"] == "8"
    lesson.get_by_role("button", name="Finish").focus()
    press(lesson, "Enter")
    expect(lesson.get_by_text("Step 8 of 8")).to_have_count(0)
    assert "lesson" not in link(lesson)
    expect(lesson.get_by_role("button", name="Lesson")).to_be_focused()


def test_a_guess_is_answered_and_what_the_step_names_is_outlined(lesson):
    lesson.get_by_role("button", name="above 0", exact=True).click()

    expect(lesson.locator(".attn-lesson-answer")).to_have_text(
        "No: below 0. The products of opposite numbers are negative, and so is their sum."
    )
    expect(lesson.locator("[data-lesson]")).to_have_count(2)
    lesson.get_by_role("button", name="Leave").click()
    expect(lesson.locator("[data-lesson]")).to_have_count(0)


def test_on_a_phone_a_step_begins_at_its_heading_and_the_way_on_stays_in_view(lesson):
    size = lesson.viewport_size
    lesson.set_viewport_size({"width": 390, "height": 844})
    settle(lesson)
    onward = lesson.get_by_role("button", name="Next →")
    sheet = lesson.locator(".attn-lesson")
    expect(onward).to_be_in_viewport(ratio=1)
    sheet.evaluate("(at) => at.scrollTo({top: at.scrollHeight})")

    onward.click()

    expect(lesson.get_by_text("Step 2 of 8")).to_be_in_viewport(ratio=1)
    assert sheet.evaluate("(at) => at.scrollTop") == 0
    expect(onward).to_be_in_viewport(ratio=1)
    lesson.set_viewport_size(size)
    settle(lesson)


@pytest.mark.thorough
def test_a_link_opens_a_step(page, served):
    open_explorer(page, f"{served}?lesson=4")
    expect(page.get_by_role("heading", name="How sharp is the choice?")).to_be_visible()
    page.get_by_role("button", name="Show me").click()
    expect(page.locator(".attn-lesson-state")).to_have_text("✓ Done")


@pytest.mark.thorough
def test_over_the_pictures_the_card_shows_the_task_alone_until_it_is_done(page, served):
    # A page of its own: a task that an earlier test has done stays done.
    lesson = open_explorer(page, f"{served}?lesson=1")
    lesson.set_viewport_size({"width": 720, "height": 450})
    card, text = lesson.locator(".attn-lesson-card"), lesson.get_by_text("Guess first")
    whole = card.bounding_box()["height"]

    lesson.get_by_role("button", name="Task only").click()

    expect(text).to_be_hidden()
    expect(lesson.get_by_role("button", name="Next →")).to_be_hidden()
    assert card.bounding_box()["height"] < whole / 2
    lesson.get_by_role("button", name="Show me").click()
    expect(lesson.locator(".attn-lesson-state")).to_have_text("✓ Done")
    expect(lesson.get_by_role("button", name="Next →")).to_be_visible()
    lesson.get_by_role("button", name="Show text").click()
    expect(text).to_be_visible()

    lesson.get_by_role("button", name="Task only").click()
    lesson.get_by_role("button", name="Next →").click()
    expect(lesson.get_by_text("Step 2 of 8")).to_be_visible()
    expect(lesson.locator(".attn-lesson-card h2")).to_be_visible()  # a step is read first
