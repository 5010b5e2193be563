"""What the bench does inside the page, on a page whose every delay is known."""

from __future__ import annotations

import json
import math

import pytest

from attnpanel.bench.product.sliders import SCRIPT

OPTIONS = {"sources": ["attn:weights"], "plots": ["weights"], "quietMs": 100}
WANTED = {"source": "attn:weights", "plots": ["weights"]}
# Stands for Bokeh: one source, one plot, and a slider that answers a key as `answer` says.
STAGE = """
<div id="slider" role="slider" tabindex="0" aria-valuemin="0" aria-valuemax="2" aria-valuenow="1">
</div>
<canvas width="40" height="30"></canvas>
<script>
  const signal = () => {
    const slots = []
    return {connect: (slot) => slots.push(slot), emit: () => slots.forEach((slot) => slot())}
  }
  const canvas = document.querySelector("canvas")
  const pencil = canvas.getContext("2d")
  const source = {properties: {data: {change: signal()}}, change: signal()}
  const view = {canvas_view: {primary: {canvas}}, repainted: signal()}
  const models = {"attn:weights": source, "attn:plot:weights": view}
  window.Bokeh = {
    documents: [{get_model_by_name: (name) => models[name] ?? null}],
    index: {find_one: (model) => model},
  }
  const replace = () => source.properties.data.change.emit()
  const writeInPlace = () => source.change.emit()
  const paint = (colour) => {
    pencil.fillStyle = colour
    pencil.fillRect(0, 0, 40, 30)
    view.repainted.emit()
  }
  let answer = () => {}
  slider.addEventListener("keydown", () => answer())
  paint("red")
</script>
"""


@pytest.fixture
def stage(page):
    page.set_content(STAGE)
    page.evaluate(f"() => {{ {SCRIPT.read_text()}\ninstallAttnBench({json.dumps(OPTIONS)}) }}")
    page.wait_for_function("attnBench.firstPaintMs !== null")
    page.evaluate("attnBench.watch()")
    page.locator("#slider").focus()
    return page


@pytest.fixture
def press(stage, problems):
    """Press a key that the slider answers by `answer`; return the sample."""
    problems.allow("willReadFrequently")  # Chromium's advice when a canvas is read twice

    def press(answer: str, *, check: bool = False) -> dict:
        # Playwright would call the function that a bare assignment evaluates to.
        stage.evaluate(f"() => {{ answer = () => {{ {answer} }} }}")
        key = stage.evaluate("([w, c]) => attnBench.arm(w, c)", [WANTED, check])
        stage.keyboard.press(key)
        return stage.evaluate("attnBench.settled(1500)")

    return press


@pytest.mark.parametrize("write", ["replace", "writeInPlace"])
def test_data_and_picture_are_timed_however_the_source_is_written(press, write):
    sample = press(f"setTimeout(() => {{ {write}(); setTimeout(() => paint('blue'), 200) }}, 100)")

    # Timers fire no sooner than asked; 2 ms are left for their rounding.
    assert sample["data_s"] > 0.098
    assert sample["paint_s"] - sample["data_s"] > 0.198


def test_the_last_repaint_counts(press):
    sample = press("replace(); paint('blue'); setTimeout(() => paint('green'), 80)")

    assert sample["paint_s"] > 0.078


def test_two_frames_pass_after_the_repaint(press, stage):
    stage.evaluate("""() => { window.frames_seen = []
      const count = () => { frames_seen.push(performance.now()); requestAnimationFrame(count) }
      requestAnimationFrame(count) }""")

    sample = press("replace(); window.painted = performance.now(); paint('blue')")

    # Not before the data came: what passed between the two would hide a frame less.
    started = stage.evaluate("painted") - 1000 * sample["data_s"]
    shown = started + 1000 * sample["paint_s"]
    after = stage.evaluate("frames_seen.filter((at) => at > painted)")
    # The second frame's callback is counted, so the frame's own count lies within it.
    assert shown > after[1] - 2


def test_the_first_change_of_the_data_counts(press):
    sample = press("replace(); setTimeout(() => { replace(); paint('blue') }, 80)")

    assert sample["paint_s"] - sample["data_s"] > 0.078


def test_pixels_that_changed_are_told_from_a_repaint_of_the_same(press):
    assert press("replace(); paint('blue')", check=True)["pixels_changed"] is True
    assert press("replace(); paint('blue')", check=True)["pixels_changed"] is False
    assert press("replace(); paint('green')")["pixels_changed"] is None


def test_pixels_that_change_after_the_count_are_noticed(press):
    # The count is in the second frame after the paint.
    late = """
      const after = (frames) => requestAnimationFrame(() => {
        if (frames > 1) return after(frames - 1)
        pencil.fillStyle = 'green'
        pencil.fillRect(0, 0, 9, 9)
      })
      after(4)
    """

    assert press(f"replace(); paint('blue'); {late}", check=True)["pixels_changed"] is False


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("answer", "lacking"),
    [
        ("paint('blue')", "attn:weights did not change"),
        ("replace()", "not repainted: weights"),
        ("paint('blue'); setTimeout(replace, 50)", "nothing was repainted after attn:weights"),
        (
            "replace(); paint('blue'); setInterval(replace, 40)",
            "the page did not come to rest",
        ),
    ],
)
def test_what_did_not_happen_is_told(press, answer, lacking):
    assert press(answer)["lacking"].startswith(lacking)


def test_the_slider_walks_from_end_to_end_and_back(stage):
    keys = []
    for value in (1, 2, 1, 0, 1):
        stage.evaluate("value => slider.setAttribute('aria-valuenow', value)", value)
        keys.append(stage.evaluate("wanted => attnBench.arm(wanted, false)", WANTED))

    assert keys == ["ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowRight"]


def test_a_lost_focus_is_noticed(stage):
    stage.evaluate("slider.blur()")

    assert stage.evaluate("wanted => attnBench.arm(wanted, false)", WANTED) is None


def test_a_checkbox_is_pressed_by_the_space_bar(stage):
    stage.evaluate(
        """() => {
          document.body.insertAdjacentHTML("beforeend", "<input type='checkbox'>")
          document.querySelector("input").focus()
        }"""
    )

    assert stage.evaluate("wanted => attnBench.arm(wanted, false)", WANTED) == "Space"


def test_the_longest_time_without_a_frame_is_told_to_who_asks(stage, press):
    busy = "const end = performance.now() + 1500; while (performance.now() < end);"
    assert press("replace(); paint('blue')")["longest_gap_s"] is None

    install = f"installAttnBench({json.dumps({**OPTIONS, 'frames': True})})"
    stage.evaluate(f"() => {{ {SCRIPT.read_text()}\n{install}; attnBench.watch() }}")

    assert press(f"replace(); paint('green'); {busy}")["longest_gap_s"] > 1.498
    assert press("replace(); paint('blue')")["longest_gap_s"] < 1.498


@pytest.mark.parametrize(("paints", "least_s"), [("setTimeout(put, 100)", 0.098), ("", None)])
def test_a_tap_is_timed_until_the_picture_is_painted(stage, paints, least_s):
    stage.evaluate(f"""() => {{
      const put = () => pencil.putImageData(new ImageData(40, 30), 0, 0)
      canvas.parentElement.addEventListener("click", () => {{ {paints} }}, {{once: true}})
      put()
      attnBench.armTap(canvas.parentElement, 1500)
      put()  // before the tap
    }}""")
    stage.locator("canvas").click()

    tapped = stage.evaluate("attnBench.tapped")
    assert math.isnan(tapped) if least_s is None else tapped > least_s
