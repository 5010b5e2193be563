import assert from "node:assert/strict";
import { test } from "node:test";

import { chooseKernel } from "../core/kernels.js";
import { openMean } from "../explorer/mean.js";
import { MeanHelpers, helpMeans } from "../explorer/mean_helpers.js";
import { select } from "../explorer/selection.js";
import { random } from "./random.js";

// The mean on screen: against the formula in 64-bit floats, and by helpers that answer, fail or die.

const skip = chooseKernel() === "javascript" ? "no WebAssembly with SIMD here" : false;

/** @type {Record<string, (i: number, j: number, head: number, draw: () => number) => boolean>} */
const MASKS = {
  none: () => true,
  causal: (i, j) => j <= i,
  "a window of each head": (i, j, head) => j <= i && j > i - 2 - head,
  "queries that see nothing": (i, j) => i % 3 > 0 && j <= i,
  scattered: (_i, _j, _head, draw) => draw() < 0.3,
};
/** @typedef {{H: number, T: number, S: number, D: number, Dv: number}} Sizes */

/**
 * A layer of numbers from -2 to 2, two heads to each key, and the choices that show its mean.
 *
 * @param {Sizes} sizes
 * @param {{mask?: string, sink?: boolean, values?: boolean, temperature?: number, emptyRows?: EmptyRows, seed?: number}} [ways]
 */
function layer({ H, T, S, D, Dv }, { mask = "causal", sink = false, values = true, temperature = 0.7, emptyRows = "zero", seed = 1 } = {}) {
  const draw = random(seed);
  /** @param {number} count @param {number} length */
  const parts = (count, length) => {
    const all = Float32Array.from({ length: count * length }, () => 4 * draw() - 2);
    return Array.from({ length: count }, (_, at) => all.subarray(at * length, (at + 1) * length));
  };
  const [queries, keys, vectors] = [parts(H, T * D), parts(Math.ceil(H / 2), S * D), parts(Math.ceil(H / 2), S * Dv)];
  const visibles = queries.map((_, head) => Uint8Array.from({ length: T * S }, (_, at) => (MASKS[mask](Math.floor(at / S), at % S, head, draw) ? 1 : 0)));
  const call = {
    ...{ H, T, S, D, Dv, scale: 0.5, softCap: null, hasBias: false, live: true, sinks: sink ? queries.map((_, head) => head / 2) : null },
    query: (/** @type {number} */ _, /** @type {number} */ head) => queries[head],
    key: (/** @type {number} */ _, /** @type {number} */ head) => keys[Math.floor(head / 2)],
    value: (/** @type {number} */ _, /** @type {number} */ head) => (values ? vectors[Math.floor(head / 2)] : null),
    visible: (/** @type {number} */ _, /** @type {number} */ head) => visibles[head],
    bias: () => null,
  };
  const state = { layer: 0, head: 0, batch: 0, aggregate: true, mask: "model", temperature, empty_rows: emptyRows };
  return { trace: /** @type {any} */ ({ calls: [call], masks: [] }), state: /** @type {any} */ (state), call };
}

/** The means by the formula, in 64-bit floats. @param {ReturnType<typeof layer>} of */
function byFormula({ call, state }) {
  const { H, T, S, D, Dv, scale, sinks } = call;
  const means = { scores: new Float64Array(T * S), weights: new Float64Array(T * S), output: new Float64Array(T * Dv) };
  const unseen = { zero: 0, uniform: 1 / S, nan: NaN }[/** @type {EmptyRows} */ (state.empty_rows)];
  for (let head = 0; head < H; head++) {
    const [query, key, value, visible] = [call.query(0, head), call.key(0, head), call.value(0, head), call.visible(0, head)];
    for (let i = 0; i < T; i++) {
      const scores = Array.from({ length: S }, (_, j) => scale * query.subarray(i * D, (i + 1) * D).reduce((sum, q, d) => sum + q * key[j * D + d], 0));
      const powers = scores.map((score, j) => (visible[i * S + j] ? Math.exp(score / state.temperature) : 0));
      const total = powers.reduce((sum, power) => sum + power, sinks ? Math.exp(sinks[head] / state.temperature) : 0);
      for (let j = 0; j < S; j++) {
        const weight = total === 0 ? unseen : powers[j] / total;
        means.scores[i * S + j] += scores[j] / H;
        means.weights[i * S + j] += weight / H;
        for (let d = 0; value && d < Dv; d++) means.output[i * Dv + d] += (weight * value[j * Dv + d]) / H;
      }
    }
  }
  return { ...means, output: call.value(0, 0) && means.output };
}

/** @param {?ArrayLike<number>} found @param {?ArrayLike<number>} expected @param {string} what */
function assertClose(found, expected, what) {
  assert.equal(found?.length, expected?.length, what);
  for (let at = 0; at < (expected?.length ?? 0); at++) {
    const [one, other] = [Number(found?.[at]), Number(expected?.[at])];
    // Sums of at most 256 products of numbers below 2 in 32-bit floats, magnified by 1 / temperature.
    assert.ok(Number.isNaN(other) ? Number.isNaN(one) : Math.abs(one - other) <= 2e-5, `${what}, ${at}: ${one}, not ${other}`);
  }
}

/** @param {ReturnType<typeof layer>} of @param {?MeanHelpers} [helpers] */
function open({ trace, state }, helpers = null) {
  const mean = openMean(trace, state, { masks: new Map(), helpers });
  assert.ok(mean, "the mean is not computed by rows");
  return mean;
}

/** Does a job to its end, letting helpers answer between its steps. @param {ReturnType<typeof open>} mean */
async function done(mean) {
  const job = mean.job();
  for (let step = job.next(); ; step = job.next()) {
    if (step.done) return step.value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("a mean is that of the formula", { skip }, async () => {
  const draw = random(3);
  /** @param {number} most */
  const upTo = (most) => 1 + Math.floor(draw() * most);
  for (let seed = 0; seed < 40; seed++) {
    const sizes = { H: 1 + upTo(4), T: upTo(40), S: upTo(60), D: upTo(9), Dv: upTo(6) };
    const mask = Object.keys(MASKS)[seed % 5];
    const ways = { mask, seed, sink: draw() < 0.3, values: draw() < 0.7, temperature: 0.3 + 2 * draw() };
    const emptyRows = /** @type {EmptyRows} */ (["zero", "uniform", "nan"][seed % 3]);
    const of = layer(sizes, { ...ways, emptyRows });
    const [found, expected] = [await done(open(of)), byFormula(of)];
    const words = JSON.stringify({ ...sizes, ...ways, emptyRows });
    for (const name of /** @type {const} */ (["scores", "weights", "output"])) assertClose(found[name], expected[name], `${name} of ${words}`);
    const seen = Uint8Array.from(of.call.visible(0, 0), (_, at) => Number(Array.from({ length: sizes.H }, (_, head) => of.call.visible(0, head)[at]).includes(1)));
    assert.deepEqual(found.visible, seen);
  }
});

// Nine blocks of queries, of which helpers can be asked for eight.
const LONG = { H: 4, T: 97, S: 4201, D: 3, Dv: 2 };

/**
 * Helpers whose Workers are this thread, later.
 *
 * @param {(message: any, answer: () => void, worker: any) => void} [behave] what one does instead of answering each message
 * @param {number} [cores]
 */
function helpersThat(behave = (_message, answer) => answer(), cores = 3) {
  const seen = { started: 0, parts: 0, ended: 0 };
  const start = () => {
    seen.started += 1;
    const port = /** @type {any} */ ({ postMessage: (/** @type {any} */ data, /** @type {ArrayBuffer[]} */ given) => worker.onmessage({ data: structuredClone(data, { transfer: given }) }) });
    const worker = /** @type {any} */ ({
      postMessage(/** @type {any} */ message, /** @type {ArrayBuffer[]} */ given) {
        const data = structuredClone(message, { transfer: given });
        if (data.part) seen.parts += 1;
        setImmediate(() => behave(data, () => port.onmessage({ data }), worker));
      },
      terminate: () => (seen.ended += 1),
    });
    helpMeans(port);
    return worker;
  };
  return { helpers: new MeanHelpers(start, { cores, leastCells: 1 }), seen };
}

/** Not deepEqual, whose message about half a million numbers takes minutes. @param {any} found @param {any} expected */
function assertSame(found, expected) {
  assert.deepEqual(Object.keys(found), Object.keys(expected));
  for (const [name, array] of Object.entries(expected)) {
    const [one, other] = [found[name], array].map((numbers) => Buffer.from(numbers?.buffer ?? [numbers ?? 0]));
    assert.ok(one.equals(other), name);
  }
}

test("a mean has the same numbers whoever computes its rows", { skip }, async () => {
  for (const ways of [{}, { mask: "scattered", sink: true }, { mask: "queries that see nothing", values: false, emptyRows: /** @type {EmptyRows} */ ("uniform") }]) {
    const of = layer(LONG, ways);
    const alone = await done(open(of));
    for (const cores of [1, 2, 8]) {
      const { helpers, seen } = helpersThat(undefined, cores);
      assertSame(await done(open(of, helpers)), alone);
      assert.deepEqual([seen.started, seen.parts > 0], [Math.min(cores - 1, 3), cores > 1]);
      // Kept for the next mean, of other heads, too.
      const other = layer(LONG, { ...ways, seed: 2 });
      assertSame(await done(open(other, helpers)), await done(open(other)));
      assert.deepEqual([seen.started, seen.ended], [Math.min(cores - 1, 3), 0]);
    }
  }
});

/** @type {Record<string, (message: any, answer: () => void, worker: any) => void>} */
const FAULTS = {
  "never answers": () => {},
  "ends with an error": (_message, _answer, worker) => worker.onerror({ preventDefault() {} }),
  "is refused memory": (_message, _answer, worker) => worker.onmessage({ data: { error: "could not allocate memory" } }),
  "dies after its heads": ({ heads }, answer, worker) => (heads ? answer() : worker.onerror({ preventDefault() {} })),
};
for (const [name, behave] of Object.entries(FAULTS)) {
  test(`a mean is whole where a helper ${name}`, { skip }, async () => {
    const of = layer(LONG);
    const { helpers, seen } = helpersThat(behave);
    const alone = await done(open(of));

    for (let time = 0; time < 2; time++) assertSame(await done(open(of, helpers)), alone);

    assert.equal(seen.started, 2); // one that failed is not started again
    if (name !== "never answers") assert.equal(seen.ended, 2);
  });
}

test("helpers that can't be started are done without", { skip }, async () => {
  const of = layer(LONG);
  const helpers = new MeanHelpers(() => {
    throw new Error("refused by the policy");
  }, { cores: 4, leastCells: 1 });
  assertSame(await done(open(of, helpers)), await done(open(of)));
});

test("an abandoned mean asks helpers nothing more", { skip }, async () => {
  const { helpers, seen } = helpersThat(undefined, 2);
  const job = open(layer({ ...LONG, T: 400 }), helpers).job();
  job.next();
  const { parts } = seen;
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));

  assert.equal(parts, 2);
  assert.equal(seen.parts, parts);
});

test("helpers keep no more than the limit together", { skip }, () => {
  const { helpers } = helpersThat(undefined, 8);
  assert.deepEqual(new MeanHelpers(helpers.start, { cores: 8 }).within(2 ** 24 - 1, 1, 50), []);
  assert.deepEqual([20, 25, 26, 60].map((bytes) => helpers.within(1, bytes, 50).length), [2, 2, 1, 0]);
});

test("a mean is computed head by head where memory is refused", { skip }, async (t) => {
  const of = layer({ H: 4, T: 3, S: 40000, D: 9, Dv: 1 });
  const { grow } = WebAssembly.Memory.prototype;
  t.after(() => {
    WebAssembly.Memory.prototype.grow = grow;
  });
  const expected = byFormula(of);
  // The keys of two heads take more pages than a head's alone.
  WebAssembly.Memory.prototype.grow = function (pages) {
    if (this.buffer.byteLength / 65536 + pages > 60) throw new RangeError("WebAssembly.Memory.grow(): Maximum memory size exceeded");
    return grow.call(this, pages);
  };

  assert.equal(openMean(of.trace, of.state, { masks: new Map() }), null);
  const found = /** @type {any} */ (select(of.trace, of.state, {}));
  assertClose(found.weights, expected.weights, "weights");
  assertClose(found.output, expected.output, "output");
});
