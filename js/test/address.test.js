import assert from "node:assert/strict";
import { test } from "node:test";

import { fromAddress, readPositions, toAddress } from "../explorer/address.js";
import { fitLayer, startState, unavailable } from "../explorer/rules.js";

/** @param {Partial<Call>} fields */
const call = (fields) =>
  /** @type {any} */ ({ B: 2, H: 3, T: 5, S: 7, live: true, hasValue: true, hasColours: true, sinks: null, ...fields });
const row = { needs: /** @type {string[]} */ ([]), aligned: false, first: 0, stop: "S", only: null };
const masks = {
  kinds: [
    { ...row, kind: "none", label: "none" },
    { ...row, kind: "window", label: "window", needs: ["width"], aligned: true },
    { ...row, kind: "split", label: "split", needs: ["cuts"] },
  ],
  parameters: [
    { name: "width", label: "Width", address: "w", positions: false, followsLengths: false, low: 1, high: ["max", "T", "S"], start: 3 },
    { name: "cuts", label: "Cuts", address: "c", positions: true, followsLengths: false, low: 1, high: "S", start: ["list", 2] },
  ],
};
/** @param {string} address @param {string} name @param {Partial<AddressRow>} [fields] @returns {AddressRow} */
const choice = (address, name, fields) => ({ address, name, label: name, options: null, optional: false, ...fields });
const address = [
  choice("layer", "layer", { label: "Layer" }),
  choice("head", "head"),
  choice("mean", "aggregate", { options: ["0", "1"], optional: true }),
  choice("token", "query_index"),
  choice("temperature", "temperature"),
  choice("mask", "mask"),
  choice("w", "width", { label: "Width" }),
  choice("c", "cuts", { label: "Cuts" }),
  choice("align", "align", { options: ["top_left", "bottom_right"], optional: true }),
  choice("empty", "empty_rows", { options: ["zero", "uniform"] }),
  choice("batch", "batch", { optional: true }),
  choice("scale", "weight_scale", { options: ["square root", "per row"], optional: true }),
  choice("nosink", "skip_first", { options: ["0", "1"], optional: true }),
];
const trace = /** @type {any} */ ({ source: "capture", calls: [call({}), call({ H: 2 })], masks, address });
const start = startState(trace);
const selection = { empty: new Uint8Array(5) };

/** @param {Partial<State>} changes @returns {State} */
const chosen = (changes) => ({ ...start, ...changes });

test("an address restores the choices that it was made of", () => {
  const states = [
    chosen({ layer: 1, head: 1, query_index: 4, temperature: 0.125, mask: "window", width: 6, align: "bottom_right" }),
    chosen({ aggregate: true, mask: "split", cuts: [2, 5], weight_scale: "per row", skip_first: true, batch: 1 }),
  ];
  for (const state of states) {
    const restored = fromAddress(trace, start, toAddress(trace, state, selection));

    assert.deepEqual(restored.problems, []);
    assert.deepEqual({ ...restored.state, head: state.head }, state);
  }
});

test("what does nothing now, and what is as it starts, is not in the address", () => {
  const address = toAddress(trace, chosen({ mask: "none", width: 6 }), selection);

  assert.deepEqual(Object.keys(address), ["layer", "head", "token", "temperature", "mask"]);
});

test("a choice that does not apply is left out and named", () => {
  const { state, problems } = fromAddress(trace, start, { layer: "9", head: "2", mask: "window", w: "8", c: "5, 2" });

  assert.deepEqual(problems, [
    "Layer: “9” does not apply here.",
    "Width: “8” does not apply here.",
    "Cuts: “5, 2” does not apply here.",
  ]);
  assert.deepEqual(state, chosen({ head: 2, mask: "window" }));
});

test("positions increase and lie inside the tokens", () => {
  assert.deepEqual(readPositions(" 2, 5", [1, 7]), [2, 5]);
  assert.deepEqual(readPositions("", [1, 7]), []);
  for (const text of ["5, 2", "2, 2", "0", "8", "x", "2,"]) assert.equal(readPositions(text, [1, 7]), null, text);
});

test("another layer keeps the choices inside its heads", () => {
  const state = fitLayer(trace, chosen({ layer: 1, head: 2, pair: [1, 1] }), 0);

  assert.equal(state.head, 1);
  assert.equal(state.pair, null);
});

test("a control that does nothing says under which masks it matters", () => {
  const idle = unavailable(trace, chosen({ mask: "none" }), selection);

  assert.equal(idle.width, "It matters under the window mask only.");
  assert.equal(idle.empty_rows, "Every query sees a key.");
  assert.ok(!("width" in unavailable(trace, chosen({ mask: "window" }), selection)));
});
