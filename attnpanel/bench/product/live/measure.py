"""Measure MiniLM in a report: open it, type, and compare with PyTorch."""

from __future__ import annotations

import base64
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.bench.browser import ARGUMENTS, INSTALL_HINT, MeasurementError, find_browser
from attnpanel.bench.measure.environment import describe, load
from attnpanel.bench.product.live.results import LIVE_SCHEMA, LiveRun, Typed
from attnpanel.bench.product.live.sentences import SENTENCES, text_of
from attnpanel.bench.product.live.tokenizing import differing, every_character, random_texts
from attnpanel.models.loading import load_model
from attnpanel.models.prompts import trace_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.trace import Trace

PROMPT = "The trophy does not fit because it is too large."
LIMIT_MS = 120_000
VIEWPORT = {"width": 1440, "height": 900}
STATUS, FIELD = ".attn-prompt-status span", ".attn-prompt-field"
# Notes the first heatmap, each text's picture, a frame after its data changed, and what the model's
# Worker answers.
WATCH = """
(() => {
  const image = () => {
    const weights = window.Bokeh?.documents[0]?.get_model_by_name("attn:weights")
    return weights?.data.image?.[0] ?? []
  }
  const sum = () => image().reduce((all, x, at) => all + (x || 0) * (1 + at % 13), image().length)
  const watched = window.attnLive = { first: null, picture: null, answer: null }
  const after = (condition, then) => requestAnimationFrame(() => {
    if (condition()) requestAnimationFrame(then)
    else after(condition, then)
  })
  after(() => image().length > 1, () => { watched.first = performance.now() })
  addEventListener("keydown", ({ key }) => {
    if (key !== "Enter") return
    const since = performance.now(), before = sum()
    watched.picture = null
    after(() => sum() !== before, () => { watched.picture = performance.now() - since })
  }, true)
  const text = (buffer) => {
    let letters = ""
    for (const byte of new Uint8Array(buffer)) letters += String.fromCharCode(byte)
    return btoa(letters)
  }
  window.Worker = class extends Worker {
    constructor(...args) {
      super(...args)
      this.addEventListener("message", ({ data }) => {
        if (data.kind === "trace" && watched.listens) watched.answer = data.layers.map(text)
      })
    }
  }
})()
"""
READY = (
    "performance.getEntriesByType('mark').find(({ name }) => name.startsWith('attnpanel-model'))"
)


@dataclass(frozen=True)
class Preset:
    """How often to open the file and to type, and how much to tokenize."""

    name: str
    openings: int
    lengths: tuple[int, ...]
    presses: int
    sentences: int
    texts: int
    characters: int | None


FULL = Preset("full", 5, (16, 32, 64, 128, 256), 15, len(SENTENCES), 5_000, None)
QUICK = Preset("quick", 1, (16,), 2, 2, 200, 2_000)


def measure(preset: Preset) -> LiveRun:
    """Measure everything in the preset.

    Raises
    ------
    MeasurementError
        If there is no browser, or the page does not get ready.
    """
    from playwright.sync_api import sync_playwright

    environment = describe()
    path = find_browser()
    if path is None:
        raise MeasurementError(INSTALL_HINT)
    characters = every_character()[: preset.characters]
    texts = random_texts(preset.texts)
    from attnpanel.pages.explorer.report import save_report

    otherwise = differing(load_model().tokenizer, [*texts, *characters])
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        trace = trace_prompt(PROMPT)
        live = save_report(trace, Path(folder) / "live.html", model=True)
        ordinary = save_report(trace, Path(folder) / "ordinary.html")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            firsts: dict[Path, list[float]] = {live: [], ordinary: []}
            ready = []
            for _ in range(preset.openings):
                with opened(browser, ordinary) as page:
                    firsts[ordinary].append(page.evaluate("attnLive.first") / 1000)
                with opened(browser, live) as page:
                    firsts[live].append(page.evaluate("attnLive.first") / 1000)
                    ready.append(wait_until_ready(page)["startTime"] / 1000)
            with opened(browser, live) as page:
                kernel = wait_until_ready(page)["name"].removeprefix("attnpanel-model ")
                typed = tuple(_typed(page, length, preset.presses) for length in preset.lengths)
                error, rows, same = compare(page, SENTENCES[: preset.sentences])
            environment = replace(environment, browser=browser.version)
        finally:
            browser.close()
        return LiveRun(
            schema=LIVE_SCHEMA,
            preset=preset.name,
            environment=replace(environment, load_after=load()),
            kernel=kernel,
            file_bytes=live.stat().st_size,
            first_picture_s=tuple(firsts[live]),
            ready_s=tuple(ready),
            ordinary_first_picture_s=tuple(firsts[ordinary]),
            typed=typed,
            max_weight_error=error,
            rows=rows,
            same_largest=same,
            texts=len(texts),
            characters=len(characters),
            differing=len(otherwise),
        )


@contextmanager
def opened(browser: Any, file: Path) -> Iterator[Any]:
    """Open a file, and wait for its first heatmap."""
    context = browser.new_context(viewport=VIEWPORT, offline=True)
    try:
        context.add_init_script(WATCH)
        page = context.new_page()
        page.goto(file.as_uri(), wait_until="commit")
        page.wait_for_function("window.attnLive?.first", timeout=LIMIT_MS)
        yield page
    finally:
        context.close()


def wait_until_ready(page: Any) -> dict[str, Any]:
    """Return the mark that the page sets when the model is ready."""
    page.wait_for_function(READY, timeout=LIMIT_MS)
    return dict(page.evaluate(f"(({{ name, startTime }}) => ({{ name, startTime }}))({READY})"))


def _typed(page: Any, length: int, presses: int) -> Typed:
    seconds = []
    for start in range(presses + 1):
        page.fill(FIELD, text_of(length, start))
        page.press(FIELD, "Enter")
        page.wait_for_function("attnLive.picture", timeout=LIMIT_MS)
        seconds.append(page.evaluate("attnLive.picture") / 1000)
        said = page.inner_text(STATUS)
        if not said.startswith(f"{length} tokens"):
            raise MeasurementError(f"a text must have {length} tokens; the page says {said!r}")
        page.wait_for_timeout(300)  # the reader looks
    return Typed(length, tuple(seconds[1:]))  # the first one warms up


def compare(page: Any, sentences: tuple[str, ...]) -> tuple[float, int, int]:
    """Return the largest error of a weight, the rows, and those with the same largest weight."""
    worst, rows, same = 0.0, 0, 0
    page.evaluate("attnLive.listens = true")
    for sentence in sentences:
        page.evaluate("attnLive.answer = null")
        page.fill(FIELD, sentence)
        page.press(FIELD, "Enter")
        page.wait_for_function("attnLive.answer", timeout=LIMIT_MS)
        layers = [base64.b64decode(text) for text in page.evaluate("attnLive.answer")]
        trace = trace_prompt(sentence)
        for call, layer in zip(trace.calls, layers, strict=True):
            for head, weights in enumerate(_weights(trace, layer)):
                expected = call.weights(head)
                worst = max(worst, float(np.abs(weights - expected).max()))
                rows += len(expected)
                same += int((weights.argmax(axis=1) == expected.argmax(axis=1)).sum())
    return worst, rows, same


def _weights(trace: Trace, layer: bytes) -> NDArray[Any]:
    """Return the weights of all heads, (H, T, T), from a packed layer's queries and keys."""
    _, heads, length, width = trace.calls[0].query.shape  # type: ignore[union-attr]  # a prompt's
    planes = np.frombuffer(layer, np.uint8).reshape(3, 4, -1)
    arrays = planes.transpose(0, 2, 1).copy().view(np.float32)
    query, key, _ = arrays.reshape(3, heads, length, width).astype(float)
    scores = query @ key.transpose(0, 2, 1) * width**-0.5
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
