"""What a reader does on a served page: moves controls, taps, hovers, types, chooses a file."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from tests.browser.reading import place, settle

SLIDERS = {
    "Layer": "layer",
    "Head": "head",
    "Batch": "batch",
    "Token": "query_index",
    "Pad length": "pad_len",
    "Window": "window",
    "Temperature": "temperature",
}
BUTTONS = {
    "Mask": "mask",
    "Empty rows": "empty_rows",
    "Colour scale": "weight_scale",
    "Causal alignment": "align",
}
SWITCHES = {"Mean of heads": "aggregate", "Scale without first token": "skip_first"}
TEMPERATURE_STEP = 0.05  # of the exponent


def control(page: Page, label: str) -> Locator:
    """Return the part of the page that holds a control."""
    names = {"Paint seed": "color_seed", **SLIDERS, **BUTTONS, **SWITCHES}
    return page.locator(f".attn-control-{names[label]}")


def choose(page: Page, **choices: object) -> None:
    """Bring controls to the given values, as a reader would, and wait for the picture.

    Labels are written with underscores (`Token=3`). A temperature is given as steps of its
    slider, 0 being 1.0.
    """
    changed = [_bring(page, name.replace("_", " "), value) for name, value in choices.items()]
    if any(changed):
        settle(page)


def unfold(details: Locator) -> None:
    """Open a part that folds, if it is closed, and wait until the page has heard that it is open.

    What lies in it is filled when its `toggle` event arrives, which is after the click.
    """
    if details.evaluate("(one) => one.open"):
        return
    heard = details.evaluate_handle(
        "(one) => ({ once: new Promise((then) => one.addEventListener('toggle', then)) })"
    )
    details.locator("> summary").click()
    heard.evaluate("({ once }) => once.then(() => true)")


def open_more(page: Page, label: str) -> None:
    """Open the part of the bar in which a control stands, if it is closed."""
    if not control(page, label).is_visible():
        more = page.get_by_role("button", name="More", exact=True)
        if more.get_attribute("aria-expanded") == "false":
            more.click()


def position(page: Page, label: str) -> int:
    """Return where a slider stands; the temperature's is counted in steps from 1.0."""
    number = page.evaluate(
        """(css) => {
          for (const model of Bokeh.documents[0]._all_models.values())
            if (model.css_classes?.includes(css)) return model.value
        }""",
        f"attn-control-{SLIDERS[label]}",
    )
    return round(number / TEMPERATURE_STEP) if label == "Temperature" else round(number)


def title(page: Page, label: str) -> str:
    """Return what a slider says above itself: its name and its value."""
    return control(page, label).locator(".bk-slider-title").inner_text()


def is_dimmed(page: Page, label: str) -> bool:
    """Return whether a control takes no input."""
    parts = control(page, label).locator(".noUi-target, button, input, select")
    return all(part.get_attribute("disabled") is not None for part in parts.all())


def tap(page: Page, view: str, x: float, y: float) -> None:
    """Click a point of a picture and wait for the answer."""
    page.mouse.click(*place(page, view, x, y))
    settle(page)


def hover(page: Page, view: str, x: float, y: float) -> None:
    """Bring the pointer to a point of a picture and wait for what it tells."""
    across, down = place(page, view, x, y)
    page.mouse.move(across - 3, down - 3)
    page.mouse.move(across, down)
    settle(page)


def press(page: Page, *keys: str) -> None:
    """Press keys one after another, where the focus is, and wait for the answer."""
    for key in keys:
        page.keyboard.press(key)
    settle(page)


def drag(page: Page, view: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag across a picture, from one of its points to another, and wait for the answer."""
    (left, top), (right, bottom) = place(page, view, *start), place(page, view, *end)
    page.mouse.move(left, top)
    page.mouse.down()
    for part in (0.25, 0.5, 0.75, 1):
        page.mouse.move(left + part * (right - left), top + part * (bottom - top))
        # Moves within one frame come as one, and one move is no drag yet.
        page.evaluate("new Promise(requestAnimationFrame)")
    page.mouse.up()
    settle(page)


def use_tool(page: Page, view: str, name: str) -> None:
    """Take one of the tools that a picture offers while the pointer is over it."""
    plot = page.evaluate_handle(
        """(name) => {
          const page = Bokeh.documents[0]
          return page.views_manager.get_one(page.get_model_by_name(`attn:plot:${name}`)).el
        }""",
        view,
    ).as_element()
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    plot.wait_for_selector(f'[title="{name}"]').click()


def fill_number(page: Page, label: str, number: int, *, refused: bool = False) -> None:
    """Type a number into a field of the source, and wait for the picture or the refusal."""
    field = page.get_by_role("textbox", name=label, exact=True)
    field.fill(str(number))
    field.press("Enter")
    # It is computed in a thread, while the server answers.
    if refused:
        page.locator(".attn-caption.error").first.wait_for()
    else:
        wait_for_link(page, label, str(number))
    settle(page)


def wait_for_link(page: Page, name: str, value: str) -> None:
    """Wait until the address says what was chosen: the page then shows it."""
    says = "([name, value]) => new URLSearchParams(location.search).get(name) === value"
    page.wait_for_function(says, arg=[name, value])


def leave_focus(page: Page) -> None:
    """Take the focus away from every field, so that keys go to the page."""
    page.evaluate("() => { let at = document.activeElement; at?.blur() }")


def source_button(page: Page, name: str) -> Locator:
    """Return the button of a source: Toy, Prompt or File."""
    return page.locator(".attn-sources").get_by_role("button", name=name, exact=True)


def open_trace(page: Page, name: str) -> None:
    """Choose a trace file that the server offers; one that was shown opens where it was left."""
    button = source_button(page, "File")
    if "bk-active" not in (button.get_attribute("class") or ""):
        button.click()
        settle(page)
    page.locator(".attn-slot select").select_option(name)
    # It is read in a thread, while the server answers.
    wait_for_link(page, "trace", name)
    settle(page)


def _bring(page: Page, label: str, value: object) -> bool:
    """Bring one control to a value; returns whether it stood elsewhere."""
    part = control(page, label)
    open_more(page, label)
    if label in SLIDERS:
        steps = int(str(value)) - position(page, label)
        if steps != 0:
            part.locator(".noUi-target:not([disabled])").wait_for()
            part.get_by_role("slider").focus()
            for _ in range(abs(steps)):
                page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")
            leave_focus(page)
        moved = steps != 0
    elif label in BUTTONS:
        moved = _pick(page, part, str(value))
    elif label in SWITCHES:
        box = part.get_by_role("checkbox")
        moved = box.is_checked() is not value
        box.set_checked(bool(value))
    else:
        field = part.locator("input")
        moved = field.input_value() != str(value)
        if moved:
            field.fill(str(value))
            field.press("Enter")
            field.blur()
    if moved:
        # Others may follow from it: the head that a layer has, what is dimmed.
        settle(page)
    return moved


def _pick(page: Page, part: Locator, choice: str) -> bool:
    """Choose among a control's options or buttons; returns whether another one was chosen."""
    select = part.locator("select")
    if select.count():
        moved = select.evaluate("(at) => at.selectedOptions[0]?.label") != choice
        if moved:
            select.select_option(label=choice)
            leave_focus(page)
        return bool(moved)
    button = part.get_by_role("button", name=choice, exact=True)
    moved = "bk-active" not in (button.get_attribute("class") or "")
    if moved:
        button.click()
    return moved
