"""Take the documents' screenshots of the running pages, in the light and the dark theme.

``make pictures`` runs it; ``python docs/take_screenshots.py NAME …`` takes some of them. A new one
is a row of `SCREENSHOTS`. Needs the models extra and a browser, both of which `make test` installs.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, Page, sync_playwright

import attnpanel as ap
from attnpanel.bench.browser import ARGUMENTS, find_browser
from docs.jupyterlab import jupyterlab, run_all
from reports import on_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = Path(__file__).parent / "pictures"
THUMBNAIL = FOLDER.parent / "examples/holoviz/attention_heads/thumbnails/attention_heads.png"
THEMES = ("light", "dark")
PROMPT = "The trophy does not fit in the brown suitcase because it is too large."
TROPHY = "of what “it” becomes is taken from “trophy”"
PAUSE_MS = 1500  # long enough for what the page draws when idle, such as all heads
STEP_MS = 1800  # duration of a step of the animation
ROOT = Path(__file__).resolve().parents[1]


def nothing(_page: Page) -> None:
    """Take the page as it opens."""


@dataclass(frozen=True)
class Screenshot:
    """One screenshot, taken in each theme.

    Attributes
    ----------
    name : str
        File name before ``-light.png`` and ``-dark.png``.
    address : str
        URL relative to the server's, or the name of a file that `make_files` writes.
    ready : str
        A text that is on the page once it is drawn.
    act : callable
        Takes the page; what a reader does before the screenshot.
    width, height : int
        Size of the window in pixels; a height of None takes the whole page.
    """

    name: str
    address: str
    ready: str
    act: Callable[[Page], None] = nothing
    width: int = 1440
    height: int | None = 900


def write_note(page: Page) -> None:
    """Write a note on the selected pair."""
    page.get_by_placeholder("What do you see?").fill("The pronoun finds its noun.")
    page.get_by_role("button", name="Add note").click()
    page.get_by_text("Your note on").scroll_into_view_if_needed()


def read_heads(page: Page) -> None:
    """Open the head maps."""
    page.locator(".attn-maps-card summary").click()
    page.locator(".attn-map canvas").first.wait_for()
    page.locator(".attn-map canvas").last.scroll_into_view_if_needed()


def show_picture(page: Page) -> None:
    """Bring the card of the picture into view."""
    page.locator(".attn-picture-head canvas").last.wait_for()
    page.locator(".attn-picture").evaluate("(card) => card.scrollIntoView({block: 'center'})")


def show_roofline(page: Page) -> None:
    """Bring the roofline into view, with all machines beside it."""
    page.locator(".variants-chips").evaluate("(one) => one.scrollIntoView({block: 'start'})")
    page.mouse.wheel(0, -150)


def show_why(page: Page) -> None:
    """Bring the card that explains a weight into view."""
    page.locator(".attn-why-chart svg").wait_for()
    page.locator(".attn-why").evaluate("(card) => card.scrollIntoView({block: 'end'})")
    page.locator(".attn-why").scroll_into_view_if_needed()


def show_contrast(page: Page) -> None:
    """Bring the card that takes two prompts' scores apart into view."""
    page.locator(".attn-contrast-token").first.wait_for()
    page.locator(".attn-why").evaluate("(card) => card.scrollIntoView({block: 'end'})")


def where_a_head_forms(page: Page) -> None:
    """Go to the step at which a head forms."""
    page.locator(".lab-tile").first.wait_for()
    page.locator(".lab-formed button").first.click()


def type_into_a_run(page: Page) -> None:
    """Have a run's model write on after a beginning, with a head knocked out."""
    page.locator(".lab-cell").first.wait_for()
    page.get_by_role("button", name="Only a beginning").click()
    page.locator(".lab-tile").nth(6).click()
    page.get_by_role("button", name="Knock it out").click()
    page.get_by_label("Tokens", exact=True).fill("12")
    page.get_by_role("button", name="Write on").click()
    page.get_by_text("12 tokens written").wait_for()
    page.locator(".lab-sequence").evaluate("(box) => box.scrollIntoView()")


SCREENSHOTS = (
    Screenshot("explorer", "?source=prompt", TROPHY),
    Screenshot("explorer-narrow", "?source=prompt", TROPHY, width=390, height=None),
    Screenshot("toy", "?source=toy&head=2&token=5&mask=causal&temperature=0.1", "of what “t5”"),
    Screenshot("notes", "?source=prompt", TROPHY, act=write_note),
    Screenshot("captured", "?source=file&layer=1&head=3&token=12", "of what “log” becomes"),
    Screenshot("bench", "bench", "Agreement"),
    Screenshot("report", "report.html", TROPHY, height=1270),
    Screenshot("picture", "picture.html", "On the picture", act=show_picture, height=720),
    Screenshot("why", "?source=prompt&why=1", TROPHY, act=show_why, height=800),
    Screenshot(
        "why-rotary",
        "?source=file&layer=1&head=3&token=12&why=1",
        "of what “log” becomes",
        act=show_why,
        height=800,
    ),
    Screenshot("heads", "?source=prompt&layer=3&head=1", TROPHY, act=read_heads),
    Screenshot("variants", "variants", "Online softmax, block by block"),
    Screenshot(
        "roofline", "variants", "Online softmax, block by block", act=show_roofline, height=860
    ),
    Screenshot("exercise", "exercises?exercise=half", "Half for itself"),
    Screenshot(
        "lab", "lab?run=1", "Attention while it learns", act=where_a_head_forms, height=1200
    ),
    Screenshot(
        "lab-live", "lab?run=1", "Attention while it learns", act=type_into_a_run, height=1240
    ),
    Screenshot(
        "contrast",
        "compare?ready=chase&contrast=1",
        "What tells the scores of A and B apart",
        act=show_contrast,
        height=640,
    ),
    Screenshot("compare", "compare?ready=he-she", "Where “he/she” looks", height=None),
)
# The animation: a caption, and what the reader does.
STEPS: tuple[tuple[str, Callable[[Page], object]], ...] = (
    ("“it” looks at “trophy” and “suitcase”", nothing),
    ("a lower temperature: the largest score wins", lambda page: temperature(page, -12)),
    ("a higher one: all look alike", lambda page: temperature(page, 24)),
    ("as the model has it", lambda page: temperature(page, -12)),
    ("arrow down: another token", lambda page: press(page, "ArrowDown", 2)),
    ("arrow right: another head", lambda page: press(page, "ArrowRight", 4)),
    ("key m: a causal mask: no looking ahead", lambda page: press(page, "m", 3)),
)


def main(names: list[str]) -> None:
    """Serve the pages and take the named screenshots, or all."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        make_files(made)
        with served(made / "llama.safetensors") as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("ATTNPANEL_CHROMIUM") or find_browser(),
                args=list(ARGUMENTS),
            )
            for theme in THEMES:
                for screenshot in SCREENSHOTS:
                    if not names or screenshot.name in names:
                        with opened(browser, screenshot, theme, address, made) as page:
                            save(page, screenshot, theme)
                if not names or "notebook" in names:
                    save_notebook(browser, theme)
                if not names or "steps" in names:
                    with opened(browser, SCREENSHOTS[0], theme, address, made) as page:
                        save_steps(page, theme)
            browser.close()
    if not names or "explorer" in names:
        save_thumbnail()


def make_files(folder: Path) -> None:
    """Write what some screenshots show: a captured trace, a report and two trainings."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    words = "the cat sat on the mat and the dog sat on the log".split()  # noqa: SIM905 - the notebook's
    config = LlamaConfig(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    model = LlamaForCausalLM(config).eval()
    ids = torch.tensor([[sorted(set(words)).index(word) for word in words]])
    with torch.inference_mode(), ap.capture(model, tokens=words) as trace:
        model(input_ids=ids)
    trace.save(folder / "llama.safetensors")
    prompt = ap.trace_prompt(PROMPT)
    notes = "**Layer 3, head 1**: “it” looks at “trophy”, then at “suitcase”."
    choices = {"layer": 3, "head": 1, "query_index": prompt.query_tokens[0].index("it")}
    title = "What a pronoun looks at"
    ap.save_report(prompt, folder / "report.html", title=title, notes=notes, **choices)
    on_picture.build(folder / "picture.html", "Attention on a picture")
    train = [sys.executable, "-m", "attnpanel", "train", "--runs", str(folder / "runs.sqlite3")]
    for options in (["--name", "four heads"], ["--name", "no attention", "--no-attention"]):
        subprocess.run([*train, *options], check=True, capture_output=True)  # noqa: S603 - our own command


@contextmanager
def served(trace: Path) -> Iterator[str]:
    """Serve all pages with a trace, and the bench; yield the address."""
    bench = f"bench={ROOT / 'attnpanel' / 'bench' / 'app.py'}"
    command = [sys.executable, "-m", "attnpanel", "serve", str(trace), "--port", "0"]
    command += ["--page", bench, "--runs", str(trace.parent / "runs.sqlite3")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own server
        try:
            assert server.stdout is not None  # noqa: S101 - asked for above
            yield server.stdout.readline().split()[-1]
        finally:
            server.kill()  # terminate() would block: the server writes to the closed pipe


@contextmanager
def opened(
    browser: Browser, screenshot: Screenshot, theme: str, address: str, made: Path
) -> Iterator[Page]:
    """Open a screenshot's page in a theme, as a reader would have it."""
    size = {"width": screenshot.width, "height": screenshot.height or 844}
    context = browser.new_context(viewport=size, color_scheme=theme)
    page = context.new_page()
    file = made / screenshot.address
    if file.suffix == ".html":
        page.goto(file.as_uri())
    else:
        page.goto(f"{address.rstrip('/')}/{screenshot.address}")
    page.get_by_text(screenshot.ready).locator("visible=true").first.wait_for(timeout=120_000)
    page.wait_for_timeout(PAUSE_MS)
    yield page
    context.close()


def save(page: Page, screenshot: Screenshot, theme: str) -> None:
    """Write one screenshot; 256 colours look the same and take a quarter of the bytes."""
    screenshot.act(page)
    page.wait_for_timeout(PAUSE_MS)
    path = FOLDER / f"{screenshot.name}-{theme}.png"
    page.screenshot(path=path, full_page=screenshot.height is None)
    with Image.open(path) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def save_notebook(browser: Browser, theme: str) -> None:
    """Write the screenshot of a notebook cell in JupyterLab."""
    trace = "ap.toy_trace(T=8, d_model=8, heads=4, seed=7)"
    choices = 'head=2, query_index=5, mask="causal", temperature=0.1'
    source = f"import attnpanel as ap\n\nap.Explorer({trace}, {choices}, dark={theme == 'dark'})"
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": "explorer",
        "metadata": {},
        "outputs": [],
        "source": source,
    }
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {
        "cells": [cell],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    screenshot = Screenshot("notebook", "", "")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "explorer.ipynb").write_text(json.dumps(content))
        with jupyterlab(Path(folder), dark=theme == "dark") as address:
            context = browser.new_context(
                viewport={"width": 1440, "height": 900}, color_scheme=theme
            )
            page = context.new_page()
            run_all(page, address, "explorer.ipynb")
            page.get_by_text("of what “t5”").first.wait_for(timeout=120_000)
            save(page, screenshot, theme)
            context.close()


def save_thumbnail() -> None:
    """Write the picture of the entry for HoloViz' gallery: the weights in the explorer's."""
    with Image.open(FOLDER / "explorer-light.png") as image:
        part = image.crop((465, 125, 850, 510)).resize((400, 400), Image.Resampling.LANCZOS)
        part.convert("RGB").quantize(64).save(THUMBNAIL, optimize=True)


def save_steps(page: Page, theme: str) -> None:
    """Write the animation: the page step by step, with captions."""
    page.set_viewport_size({"width": 1440, "height": 900})
    frames = []
    for caption, act in STEPS:
        act(page)
        page.wait_for_timeout(PAUSE_MS)
        with Image.open(io.BytesIO(page.screenshot())) as image:
            frames.append(captioned(image.convert("RGB"), caption, theme))
    # One palette for all frames, so that unchanged parts are stored once.
    palette = frames[0].quantize(128)
    first, *rest = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    first.save(
        FOLDER / f"steps-{theme}.gif",
        save_all=True,
        append_images=rest,
        duration=STEP_MS,
        loop=0,
        optimize=True,
    )


def captioned(image: Image.Image, caption: str, theme: str) -> Image.Image:
    """Return an image at two thirds of its size with a caption below it."""
    width, height = 960, round(image.height * 960 / image.width)
    background, ink = ("#ffffff", "#1b2130") if theme == "light" else ("#181c25", "#e7eaf1")
    frame = Image.new("RGB", (width, height + 44), background)
    frame.paste(image.resize((width, height), Image.Resampling.LANCZOS))
    font = ImageFont.load_default(22)
    ImageDraw.Draw(frame).text((width / 2, height + 22), caption, ink, font, anchor="mm")
    return frame


def press(page: Page, key: str, times: int) -> None:
    """Press a key of the explorer."""
    for _ in range(times):
        page.keyboard.press(key)


def temperature(page: Page, steps: int) -> None:
    """Move the temperature slider by some steps."""
    slider = page.get_by_role("slider", name="Temperature")
    slider.focus()
    press(page, "ArrowLeft" if steps < 0 else "ArrowRight", abs(steps))
    slider.blur()


if __name__ == "__main__":
    main(sys.argv[1:])
