import assert from "node:assert/strict";
import { test } from "node:test";
import { linesWait } from "../views/lines.js";

/** @param {number} T @param {string[]} changed @param {object} [chosen] */
function waits(T, changed, chosen) {
  const call = { T, S: T, H: 4, kind: "self", qOffset: 0 };
  const trace = { calls: [call], headColours: Array(12).fill("#000") };
  const state = { layer: 0, query_index: 1, line_heads: [], line_token: null, lines_of_token: false, ...chosen };
  return linesWait(/** @type {any} */ (trace), /** @type {any} */ (state), new Set(changed));
}

test("few lines are drawn with each step of a slider, many when the reader pauses", () => {
  assert.equal(waits(8, ["temperature"]), false);
  assert.equal(waits(40, ["temperature"]), true);
  assert.equal(waits(40, ["query_index"]), true);
  // Those of one token are few, unless the keys are many.
  assert.equal(waits(40, ["query_index"], { lines_of_token: true }), false);
  assert.equal(waits(500, ["query_index"]), true);
  assert.equal(waits(40, ["temperature"], { line_token: [1, 3] }), true);
});

test("lines follow a choice of lines at once, however many they are", () => {
  for (const own of ["line_heads", "lines_of_token", "line_token", "dark"]) {
    assert.equal(waits(500, ["temperature", own]), false);
  }
});
