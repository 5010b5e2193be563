import assert from "node:assert/strict";
import { test } from "node:test";

import { mix, scores, softmaxRows } from "../core/attention.js";
import { meanOfHeads } from "../core/kernels.js";
import { meanOf } from "../core/matrices.js";
import { spansOf } from "../wasm/kernel.js";
import { random } from "./random.js";

/** Which keys j a query i sees. @type {Record<string, (i: number, j: number, draw: () => number) => boolean>} */
const MASKS = {
  causal: (i, j) => j <= i,
  window: (i, j) => j <= i && j > i - 5,
  padding: (_, j) => j >= 3,
  "rows that see nothing": (i, j) => i % 3 > 0 && j <= i,
  "holes and a sink": (i, j) => j === 0 || (j <= i && j > i - 9),
  scattered: (_i, _j, draw) => draw() < 0.3,
};
/** @type {[number, number, number, number, number][]} H, T, S, D, Dv: of more queries, keys and terms than are computed at once, too */
const SIZES = [
  [2, 5, 7, 11, 13],
  [3, 67, 67, 8, 5],
  [2, 301, 521, 3, 2],
  [2, 9, 16400, 2, 3],
  [2, 6, 5, 259, 1],
];

/** @param {number[]} size @param {string | null} mask @param {number} seed */
function drawn([H, T, S, D, Dv], mask, seed) {
  const draw = random(seed);
  /** @param {number} length */
  const normal = (length) => Float32Array.from({ length }, () => 4 * draw() - 2);
  const sees = mask === null ? null : MASKS[mask];
  /** @param {number} head */
  const visible = (head) => sees && Uint8Array.from({ length: T * S }, (_, at) => (sees(Math.floor(at / S) + head, at % S, draw) ? 1 : 0));
  const shared = normal(S * D); // by the last two heads
  return Array.from({ length: H }, (_, head) => ({
    ...{ query: normal(T * D), key: head < H - 2 ? normal(S * D) : shared, value: normal(S * Dv), visible: visible(head) },
    sink: head % 2 ? 0.5 : null,
  }));
}

/** @typedef {ReturnType<typeof drawn>} Heads */

/** The means head by head. @param {Heads} heads @param {number[]} size @param {EmptyRows} emptyRows */
function headByHead(heads, [, T, S, D, Dv], emptyRows) {
  const steps = heads.map(({ query, key, value, visible, sink }) => {
    const scored = scores(query, key, { T, S, D });
    const { weights } = softmaxRows(scored, { T, S, visible, temperature: 0.7, emptyRows, sink });
    return { scores: scored, weights, output: mix(weights, value, { T, S, Dv }) };
  });
  return {
    scores: meanOf(steps.map((step) => step.scores)),
    weights: meanOf(steps.map((step) => step.weights)),
    output: meanOf(steps.map((step) => step.output)),
  };
}

/** The means by parts of so many queries. @param {Heads} heads @param {number[]} size @param {number} fill @param {number} count */
function byParts(heads, [, T, S, D, Dv], fill, count) {
  const kernel = meanOfHeads(heads, { S, D, Dv });
  if (kernel === null) return null;
  const into = { scores: new Float32Array(T * S), weights: new Float32Array(T * S), output: new Float32Array(T * Dv) };
  for (let first = 0; first < T; first += count) {
    const rows = Math.min(count, T - first);
    const part = {
      ...{ first, rows, scale: D ** -0.5, temperature: 0.7 },
      queries: heads.map(({ query }) => query.subarray(first * D, (first + rows) * D)),
      masks: heads.map(({ visible }) => spansOf(visible, S, first, rows, S)),
      maskOf: heads.map((_, head) => head),
      sinks: heads.map(({ sink }) => sink ?? -Infinity),
      fills: heads.map(({ sink }) => (sink === null ? fill : 0)),
    };
    kernel.compute(part, into);
  }
  return into;
}

for (const mask of [null, ...Object.keys(MASKS)]) {
  test(`a mean by parts has the very numbers of one head by head: ${mask}`, (t) => {
    for (const [index, size] of SIZES.entries()) {
      const heads = drawn(size, mask, index + 1);
      for (const [emptyRows, fill] of /** @type {[EmptyRows, number][]} */ ([["zero", 0], ["uniform", 1 / size[2]], ["nan", NaN]])) {
        const expected = headByHead(heads, size, emptyRows);
        for (const count of [size[1], 3, 64]) {
          const means = byParts(heads, size, fill, count);
          if (means === null) return t.skip("no WebAssembly with SIMD here");
          assert.deepEqual(means, expected, `${size}, ${emptyRows}, ${count} queries at a time`);
        }
      }
    }
  });
}

test("a value that is no number spoils a mean as it does each head's output", (t) => {
  const size = [2, 6, 600, 3, 2];
  const heads = drawn(size, "causal", 5);
  heads[1].value[599 * 2] = Infinity;

  const means = byParts(heads, size, 0, 4);

  if (means === null) return t.skip("no WebAssembly with SIMD here");
  assert.deepEqual(means, headByHead(heads, size, "zero"));
  assert.ok(Number.isNaN(means.output[0]));
});
