import assert from "node:assert/strict";
import { test } from "node:test";

import { Contest, MOST_DIFFERENCE, differenceOf } from "../webgpu/contest.js";

const [T, S] = [2048, 2048];
/** @type {any} one head whose selection is long work */
const trace = { calls: [{ T, S, D: 64, Dv: 64, H: 1, live: true, softCap: null }], masks: { kinds: [] } };
/** @type {any} */
const small = { calls: [{ ...trace.calls[0], T: 8, S: 8 }], masks: trace.masks };
/** @type {any} */
const state = { layer: 0, head: 0, batch: 0, aggregate: false, mask: "model", temperature: 1, empty_rows: "zero" };
/** @type {any} */
const value = { scores: Float32Array.of(2, 4), weights: Float32Array.of(0.5, 0.5), output: null };
const apart = MOST_DIFFERENCE * 1.5;

/** @param {object} facts @param {{destroyed: number}} [asked] @returns {any} */
function gpuOf(facts, asked = { destroyed: 0 }) {
  return { words: "vendor google", device: { destroy: () => (asked.destroyed += 1) }, ...facts };
}

/**
 * A contest with a device that takes so many milliseconds, and what was asked of it.
 *
 * @param {object} [ways]
 * @param {number} [takesMs]
 */
function contestWith(ways = {}, takesMs = 10) {
  const asked = { found: 0, selected: 0, destroyed: 0 };
  let time = 0;
  const made = new Contest({
    find: async () => {
      asked.found += 1;
      return gpuOf({ software: false }, asked);
    },
    takes: () => true,
    select: async () => {
      asked.selected += 1;
      time += takesMs;
      return value;
    },
    now: () => time,
    ...ways,
  });
  return { made, asked };
}

/** @param {Contest} contest @param {any} [of] */
const answer = (contest, of = trace) => contest.answer(of, state, {});

test("a GPU computes once it has won on numbers that agree, and only what takes long", async () => {
  const { made, asked } = contestWith();
  assert.equal(await answer(made), null);

  await made.hold(trace, state, {}, value, 40);
  assert.equal(await answer(made), value);
  assert.equal(await answer(made, small), null);
  await made.hold(trace, state, {}, value, 40);
  assert.deepEqual(asked, { found: 1, selected: 3, destroyed: 0 });
});

/** @type {[string, object, number][]} */
const LOSERS = [
  ["none", { find: async () => "this browser has no WebGPU" }, 10],
  ["software", { find: async () => gpuOf({ software: true }) }, 10],
  ["hardly faster", {}, 35],
  ["other scores", { select: async () => ({ ...value, scores: Float32Array.of(2, 4 * (1 + apart)) }) }, 10],
  ["other weights", { select: async () => ({ ...value, weights: Float32Array.of(0.5 + apart, 0.5) }) }, 10],
  ["no number", { select: async () => ({ ...value, weights: Float32Array.of(NaN, 0.5) }) }, 10],
  ["an output", { select: async () => ({ ...value, output: Float32Array.of(1) }) }, 10],
  ["a failure", { select: () => Promise.reject(new Error("the GPU's device was lost (unknown)")) }, 10],
];
for (const [name, ways, takesMs] of LOSERS) {
  test(`a GPU that does not win computes nothing: ${name}`, async () => {
    const { made, asked } = contestWith(ways, takesMs);

    await made.hold(trace, state, {}, value, 40);
    assert.equal(await answer(made), null);
    assert.equal(asked.destroyed, asked.found); // where this contest found one
  });
}

test("what a GPU can't compute is no contest: it is held on the next that it can", async () => {
  let can = false;
  const { made, asked } = contestWith({ takes: () => can });
  for (let selection = 0; selection < 3; selection++) await made.hold(trace, state, {}, value, 40);
  assert.equal(made.gpu, null);

  can = true;
  await made.hold(trace, state, {}, value, 40);
  assert.equal(await answer(made), value);
  assert.deepEqual(asked, { found: 1, selected: 3, destroyed: 0 });
  can = false;
  assert.equal(await answer(made), null);
});

test("a winner that fails later has lost for good", async () => {
  let lost = false;
  const select = async () => {
    if (lost) throw new Error("the GPU's device was lost (destroyed)");
    return value;
  };
  const { made } = contestWith({ select });
  await made.hold(trace, state, {}, value, 40);
  lost = true;
  assert.equal(await answer(made), null);

  lost = false;
  assert.equal(await answer(made), null);
});

test("a difference is a part of the largest number, of weights one of 1", () => {
  assert.equal(differenceOf(value, value), 0);
  assert.equal(differenceOf({ ...value, scores: Float32Array.of(2, 3) }, value), 0.25);
  assert.equal(differenceOf({ ...value, weights: Float32Array.of(0.5, 0.25) }, value), 0.25);
});
