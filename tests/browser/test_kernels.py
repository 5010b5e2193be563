"""The kernels of js/core/kernels.js in Chromium and Firefox, and the report's policy."""

from __future__ import annotations

import base64
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from attnpanel.attention.reference import attend
from attnpanel.bench.browser import FIREFOX_HINT, find_firefox
from attnpanel.ui.standalone_html import POLICY
from tests.browser.firefox import start_firefox
from tests.browser.report_page import KERNEL_MARKS, LIVE

pytest_plugins = ["tests.browser.reports"]

KERNELS = ["wasm-relaxed-simd", "wasm-simd", "javascript"]
# What the report's policy lets page and Worker do; code made of text it need not allow for this.
REPORTS = POLICY.format(hashes="'unsafe-inline'")
STRICT = REPORTS.replace("'unsafe-eval' ", "")
POLICY_PAGE = """<!DOCTYPE html>
<meta http-equiv="Content-Security-Policy" content="{policy}">
<script>
const script = `const bytes = Uint8Array.from(atob("{module}"), (letter) => letter.charCodeAt(0))
const starts = () => {{
  try {{ return new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports.heap_base() > 0 }}
  catch (error) {{ return error.message }}
}}
const evaluates = () => {{ try {{ return (0, eval)("true") }} catch {{ return false }} }}
const told = {{ starts: starts(), evaluates: evaluates() }}`
const element = document.createElement("script")
element.textContent = script
document.head.append(element)
const blob = new Blob([script + "; postMessage(told)"], {{ type: "text/javascript" }})
const ofWorker = new Promise((resolve, reject) => {{
  const worker = new Worker(URL.createObjectURL(blob))
  worker.onmessage = ({{ data }}) => resolve(data)
  worker.onerror = reject
}})
</script>
"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and keeps quiet."""

    def do_GET(self) -> None:
        if self.path != "/favicon.ico":
            super().do_GET()
            return
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="module")
def sources(root):
    """The address of js/, served, so that a page may import its modules."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=root / "js"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


class Chromium:
    """A page of Chromium by Firefox's names."""

    def __init__(self, page) -> None:
        self.page = page

    def open(self, address) -> None:
        self.page.goto(address)

    def evaluate(self, script):
        return self.page.evaluate(f"async () => ({script})")

    def wait_for(self, condition) -> None:
        self.page.wait_for_function(condition)


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    command = find_firefox()
    if command is None:
        pytest.skip(FIREFOX_HINT)
    with start_firefox(command, tmp_path_factory.mktemp("firefox")) as started:
        yield started


@pytest.fixture(params=["chromium", "firefox"])
def driven(request):
    """A page of each browser."""
    if request.param == "firefox":
        return request.getfixturevalue("firefox")
    return Chromium(request.getfixturevalue("page"))


@pytest.fixture
def policy_page(root, tmp_path):
    """The address of a page with a policy that starts the module, if the policy lets it."""
    module = (root / "js" / "wasm" / "modules.js").read_text().split('SIMD = "')[-1].split('"')[0]

    def made(policy: str) -> str:
        path = tmp_path / "policy.html"
        path.write_text(POLICY_PAGE.format(policy=policy, module=module))
        return path.as_uri()

    return made


def as_base64(array):
    return base64.b64encode(array.tobytes()).decode()


@pytest.mark.thorough(but=2)
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_gives_numpys_numbers(driven, sources, name):
    rng = np.random.default_rng(0)
    shapes = {"query": (71, 37), "key": (613, 37), "value": (613, 13)}
    arrays = {one: rng.standard_normal(shape).astype(np.float32) for one, shape in shapes.items()}
    mask = np.tri(71, 613, 300, dtype=bool)
    mask[[0, 70]] = False
    exact = attend(*(array.astype(float) for array in arrays.values()), mask=mask, temperature=0.7)

    driven.open(sources)
    result = driven.evaluate(
        f"""(async () => {{
          const {{ attend }} = await import("{sources}core/attention.js")
          const {{ chooseKernel }} = await import("{sources}core/kernels.js")
          const used = chooseKernel(["{name}"])
          const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
          const floats = (text) => new Float32Array(bytes(text).buffer)
          const [q, k, v] = {[as_base64(array) for array in arrays.values()]}.map(floats)
          const visible = bytes("{as_base64(mask)}")
          const sizes = {{ T: 71, S: 613, D: 37, Dv: 13, visible, temperature: 0.7 }}
          const made = attend(q, k, v, sizes)
          const list = (one) => Array.from(made[one])
          return {{ used, weights: list("weights"), output: list("output"), empty: list("empty") }}
        }})()"""
    )

    assert result["used"] == name
    weights = np.reshape(result["weights"], exact.weights.shape)
    np.testing.assert_allclose(weights, exact.weights, rtol=0, atol=6e-7)
    assert not weights[~mask].any()
    np.testing.assert_array_equal(result["empty"], ~mask.any(axis=-1))
    output = np.reshape(result["output"], exact.output.shape)
    np.testing.assert_allclose(output, exact.output, rtol=0, atol=2e-6)


@pytest.mark.thorough(but=1)
def test_the_reports_policy_lets_page_and_worker_start_the_module_without_eval(driven, policy_page):
    driven.open(policy_page(STRICT))

    can = {"starts": True, "evaluates": False}
    assert [driven.evaluate("told"), driven.evaluate("ofWorker")] == [can, can]


def test_a_policy_without_the_word_forbids_the_module(driven, policy_page, problems):
    problems.allow("Content.Security.Policy")
    driven.open(policy_page(STRICT.replace("'wasm-unsafe-eval' ", "")))

    for told in (driven.evaluate("told"), driven.evaluate("ofWorker")):
        assert "WebAssembly" in told["starts"] or "Wasm" in told["starts"]


@pytest.mark.thorough(but=1)
def test_a_report_computes_by_webassembly(driven, reports):
    path, _ = reports("toy")
    driven.open(path.as_uri())
    driven.wait_for(LIVE)

    assert driven.evaluate(KERNEL_MARKS) == ["attnpanel-kernel wasm-relaxed-simd"]
