import assert from "node:assert/strict";
import { test } from "node:test";

import { refusal } from "../bokeh_patches/number_bounds.js";

const FIELD = { title: "T", low: 1, high: 2048 };

test("a number beyond a field's bounds is refused with the bounds", () => {
  assert.equal(refusal("9999", FIELD), "T must be from 1 to 2048; got 9999.");
  assert.equal(refusal("0", { ...FIELD, high: null }), "T must be at least 1; got 0.");
  assert.equal(refusal("9", { ...FIELD, low: null, high: 8 }), "T must be at most 8; got 9.");
  assert.ok(refusal("9".repeat(500), FIELD).length < 60);
});

test("a number within the bounds, or none at all, is left to the field", () => {
  for (const text of ["1", "2048", "", " ", "-", "x"]) assert.equal(refusal(text, FIELD), "");
  assert.equal(refusal("1e99", { title: "T", low: null, high: null }), "");
});
