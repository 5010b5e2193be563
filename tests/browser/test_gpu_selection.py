"""A GPU selects what WebAssembly does: WebGPU of Chromium, whose adapter is software."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnpanel.bench.browser import ARGUMENTS, find_browser

# WebGPU needs a page from a secure address; no request leaves the test.
ADDRESS = "https://modules.test/"
# Each of three heads has its own mask; query 2 sees nothing in any, query 3 nothing in head 1.
COMPARE = """async ([T, S, D, Dv, aggregate, sinks, temperature]) => {
  const [{ findGpu }, { selectOnGpu, gpuTakes }, { select }, { differenceOf }] = await Promise.all(
    ["webgpu/device.js", "webgpu/selection.js", "explorer/selection.js", "webgpu/contest.js"]
      .map((path) => import(`ADDRESS${path}`)));
  let seed = 7;
  const random = (count) => Float32Array.from({ length: count }, () => {
    seed = (seed * 48271) % 2147483647;
    return (seed / 2147483647 - 0.5) * 4;
  });
  const heads = [0, 1, 2].map((head) => ({
    query: random(T * D), key: random(S * D), value: Dv === null ? null : random(S * Dv),
    visible: Uint8Array.from({ length: T * S }, (_, at) => {
      const [i, j] = [Math.floor(at / S), at % S];
      return i !== 2 && (i !== 3 || head !== 1) && j <= i + head * 3 ? 1 : 0;
    }),
  }));
  const array = (name) => (batch, head) => heads[head][name];
  const call = { T, S, D, Dv, H: 3, B: 1, live: true, hasBias: false, softCap: null, scale: 0.3,
    bias: () => null, sinks: sinks ? Float32Array.of(0.5, -1, 30) : null,
    query: array("query"), key: array("key"), value: array("value"), visible: array("visible") };
  const trace = { calls: [call], masks: { kinds: [], parameters: [] } };
  const chosen = { layer: 0, batch: 0, head: 1, aggregate, mask: "model", temperature };
  const state = { ...chosen, empty_rows: "zero" };
  const gpu = await findGpu();
  if (typeof gpu === "string") throw new Error(gpu);
  const numbers = { ...state, empty_rows: "uniform" };
  const taken = [gpuTakes(gpu, trace, state, {}), gpuTakes(gpu, trace, numbers, {})];
  const [ours, theirs] = [await selectOnGpu(gpu, trace, state, {}), select(trace, state, {})];
  const same = (name) => String(ours[name]) === String(theirs[name]);
  heads[0].query[5] = NaN;
  taken.push(gpuTakes(gpu, trace, { ...state, head: 0 }, {}));
  return { taken, difference: differenceOf(ours, theirs), software: gpu.software,
    equal: ["T", "S", "visible", "empty"].map(same), least: Math.max(...theirs.weights) };
}""".replace("ADDRESS", ADDRESS)


@pytest.fixture(scope="module")
def page(root, browser):
    """An empty page that may import the sources of the pages, in a Chromium with WebGPU."""
    arguments = [*ARGUMENTS, "--enable-unsafe-webgpu"]
    own = browser.browser_type.launch(executable_path=find_browser(), args=arguments)
    page = own.new_page()

    def answer(route):
        path = Path(root, "js", route.request.url.removeprefix(ADDRESS))
        if path.suffix == ".js":
            route.fulfill(body=path.read_text("utf-8"), content_type="text/javascript")
        else:
            route.fulfill(body="<!DOCTYPE html>", content_type="text/html")

    page.route(f"{ADDRESS}**", answer)
    page.goto(ADDRESS)
    yield page
    own.close()


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize(
    ("sizes", "aggregate", "sinks", "temperature"),
    [
        ((5, 7, 3, 2), False, False, 1),
        ((70, 300, 20, 65), True, False, 0.5),
        ((65, 64, 64, None), True, True, 2),
        ((130, 129, 17, 5), False, True, 0.01),
    ],
)
def test_a_gpu_selects_as_webassembly_does(page, sizes, aggregate, sinks, temperature):
    found = page.evaluate(COMPARE, [*sizes, aggregate, sinks, temperature])

    # Rows that see nothing and yet have weights, and numbers that are none, are WebAssembly's.
    assert found["taken"] == [True, sinks, False]
    assert found["software"]
    assert found["equal"] == [True] * 4
    assert found["least"] > 0.01
    assert found["difference"] <= 1e-5
