import assert from "node:assert/strict";
import { test } from "node:test";
import { withheld } from "../explorer/labels.js";

/** @param {Partial<Call>} fields */
const saidOf = (fields) => withheld(/** @type {Call} */ ({ live: true, ...fields }));

test("a layer says which of its arrays are not finite, and nothing if all are", () => {
  assert.equal(saidOf({}), "");
  assert.equal(saidOf({ notFinite: [] }), "");
  assert.match(saidOf({ notFinite: ["query", "value"] }), /not finite \(nan or inf\) in this layer's query, value: cells/);
  assert.match(saidOf({ live: false, notFinite: [] }), /^Only the weights were recorded/);
});
