import assert from "node:assert/strict";
import { test } from "node:test";

import { mostChanged, onlySide, pairName, points } from "../compare/drawings.js";
import { alignTokens, movedShare } from "../compare/model.js";

/** @param {string} text */
const letters = (text) => [...text];
const ONE = /** @type {[number, number][]} */ ([[0, 0]]);

test("a word in another's place is paired with it", () => {
  const pairs = [
    [0, 0],
    [1, 1],
    [2, 2],
  ];

  assert.deepEqual(alignTokens(letters("abc"), letters("axc")), pairs);
});

test("where one text has more words between two common ones, none of them is paired", () => {
  const pairs = [
    [0, 0],
    [1, -1],
    [-1, 1],
    [-1, 2],
    [2, 3],
  ];

  assert.deepEqual(alignTokens(letters("abc"), letters("axyc")), pairs);
});

test("an empty text has no counterparts", () => {
  assert.deepEqual(alignTokens([], letters("ab")), [
    [-1, 0],
    [-1, 1],
  ]);
});

test("the moved share is half of the sum of the changes", () => {
  const keys = { pairs: [...ONE, ...ONE, ...ONE], names: [] };
  const weights = [Float32Array.of(0.5, 0.5, NaN), Float32Array.of(0.25, 0.5, 0.25)];
  const compared = { queries: { pairs: ONE, names: [] }, keys, weights, difference: new Float32Array(3) };

  assert.equal(movedShare(compared, 0), 0.25);
});

test("a row that one side lacks has no moved share", () => {
  const queries = { pairs: /** @type {[number, number][]} */ ([[0, -1]]), names: [["it"], [null]] };
  const compared = { queries, keys: { pairs: ONE, names: [] }, weights: [], difference: new Float32Array(1) };

  assert.equal(movedShare(compared, 0), NaN);
  assert.equal(onlySide(compared, /** @type {any} */ ({ row: 0 })), "A");
});

test("a pair is named by both words only where they differ", () => {
  assert.equal(pairName("it", "it"), "it");
  assert.equal(pairName("large", "small"), "large/small");
  assert.equal(pairName(null, "new"), "new");
  assert.equal(pairName("old", null), "old");
});

test("a change is written in points with its sign, and a decimal where it is small", () => {
  assert.equal(points(0.25), "+25");
  assert.equal(points(-0.0312), "−3.1");
  assert.equal(points(0), "0.0");
  assert.equal(points(-0.0004), "0.0"); // no sign: it is not known to be less
  assert.equal(points(0.0006), "+0.1");
});

test("heads are ranked by what moved; unknown and unchanged ones are left out", () => {
  const changes = [0.1, NaN, 0.3, 0, 0.1].map((moved, head) => ({ layer: 0, head, moved }));

  assert.deepEqual(mostChanged(changes).map(({ head }) => head), [2, 0, 4]);
});
