import assert from "node:assert/strict";
import { test } from "node:test";

import { relativeToRowPeak } from "../core/matrices.js";

test("a row's colour scale ends at its largest shown weight", () => {
  // The mean of heads, of which one sees nothing: its uniform weights lie on masked keys, too.
  const weights = Float32Array.of(0.5, 0.25, 0.25, 0.5, 0.25, 0.25);
  const visible = Uint8Array.of(1, 0, 0, 1, 1, 0);
  const sizes = { T: 2, S: 3, first: 1, visible };

  assert.deepEqual(relativeToRowPeak(weights, sizes), Float32Array.of(0.5, 0.25, 0.25, 2, 1, 1));
  const filled = { ...sizes, wholeRows: Uint8Array.of(1, 0) };
  assert.deepEqual(relativeToRowPeak(weights, filled), Float32Array.of(2, 1, 1, 2, 1, 1));
});
