import assert from "node:assert/strict";
import { test } from "node:test";

import { formed } from "../lab/answer_strip.js";

/** @param {number[][][]} answers for each kept step the weights on the answer, by layer and head */
const framesOf = (answers) => answers.map((weights, step) => ({ step, answers: weights, cells: new Uint8Array() }));

test("a head has formed where it keeps half of its weight on the answer to the end", () => {
  const frames = framesOf([[[0.6, 0.1]], [[0.2, 0.1]], [[0.3, 0.5]], [[0.9, 0.8]]]);

  assert.deepEqual(formed(frames), { place: 2, layer: 0, head: 1 });
});

test("of heads that form at one step the first in model order is named", () => {
  const frames = framesOf([[[0.1], [0.1]], [[0.5], [0.9]]]);

  assert.deepEqual(formed(frames), { place: 1, layer: 0, head: 0 });
});

test("no head has formed where the last step has too little weight, or there is none", () => {
  assert.equal(formed(framesOf([[[0.9]], [[0.49]]])), null);
  assert.equal(formed(framesOf([[]])), null);
  assert.equal(formed([]), null);
});
