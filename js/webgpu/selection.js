import { addInto } from "../core/matrices.js";
import { blindQueries } from "../core/visibility.js";
import { opened, sinkOf, visibleOf } from "../explorer/selection.js";
import { packBits } from "./device.js";
import { SHADER, SIZES_BYTES } from "./shader.js";

// A selection computed on a GPU.

// Beyond it a score could overflow 32 bits, and a shader need not tell.
const LARGEST_SCORE = 1e30;

/**
 * Whether a GPU computes these choices as `select` does: scores without a bias or a cap of numbers that are finite, and no row
 * that sees nothing but gets weights.
 *
 * @param {import("./device.js").Gpu} gpu
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache as for select
 */
export function gpuTakes({ device }, trace, state, cache) {
  const call = trace.calls[state.layer];
  const { T, S, D, Dv, scale, softCap } = call;
  if (!call.live || call.hasBias || softCap !== null || D === 0) return false;
  const { maxStorageBufferBindingSize: most, maxComputeWorkgroupsPerDimension: groups } = device.limits;
  if (4 * Math.max(T * S, S * (Dv ?? 0)) > most || T > groups) return false;
  return headsOf(call, state).every((head) => {
    const [query, key] = [call.query(state.batch, head), call.key(state.batch, head)].map(largest);
    const value = call.value(state.batch, head);
    if (!(query * key * D * Math.abs(scale) < LARGEST_SCORE && (value === null || largest(value) < Infinity))) return false;
    if (sinkOf(call, head) !== null || state.empty_rows === "zero") return true;
    return !blindQueries(visibleOf(trace, state, head, null, opened(cache, trace)), { T, S }).includes(1);
  });
}

/** The largest magnitude; nan where there is one. @param {Floats} array */
function largest(array) {
  let most = 0;
  for (const number of array) most = Math.max(most, Math.abs(number));
  return most;
}

/** @param {Call} call @param {State} state */
function headsOf({ H }, { aggregate, head }) {
  return aggregate ? Array.from({ length: H }, (_, each) => each) : [head];
}

/**
 * What `select` returns, of choices that `gpuTakes`.
 *
 * @param {import("./device.js").Gpu} gpu
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache as for select
 * @returns {Promise<HeadSelection>} throws an Error where the device fails
 */
export function selectOnGpu(gpu, trace, state, cache) {
  return gpu.checked(async () => {
    /** @type {GPUBuffer[]} */
    const buffers = [];
    try {
      return await computed(gpu, trace, state, opened(cache, trace), buffers);
    } finally {
      for (const buffer of buffers) buffer.destroy();
    }
  });
}

/**
 * @param {import("./device.js").Gpu} gpu
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache
 * @param {GPUBuffer[]} buffers takes what is to be destroyed
 * @returns {Promise<HeadSelection>}
 */
async function computed(gpu, trace, state, cache, buffers) {
  const { device } = gpu;
  const call = trace.calls[state.layer];
  const { T, S } = call;
  const heads = headsOf(call, state);
  const hasOutput = call.value(state.batch, heads[0]) !== null;
  const Dv = hasOutput ? Number(call.Dv) : 0;
  /** @param {GPUBuffer} buffer */
  const owned = (buffer) => (buffers.push(buffer), buffer);
  const room = (/** @type {number} */ count) => owned(gpu.allocate(4 * Math.max(count, 1)));
  const [cells, scores, weights, output] = [T * S, T * S, T * S, T * Dv].map(room);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  /** @type {?Uint8Array} */
  let common = null;
  /** @type {Map<Uint8Array, GPUBuffer>} */
  const masks = new Map();
  const tiles = (/** @type {number} */ length) => Math.ceil(length / 64);
  for (const [done, head] of heads.entries()) {
    const visible = visibleOf(trace, state, head, null, cache);
    if (common === null || common === visible) common = visible;
    else common = addInto(common.slice(), visible);
    const hides = state.mask !== "none";
    if (!masks.has(visible)) masks.set(visible, owned(gpu.upload(hides ? packBits(visible, T, S) : new Uint32Array(1))));
    const value = call.value(state.batch, head);
    const read = [call.query(state.batch, head), call.key(state.batch, head), value ?? new Float32Array(1)];
    const sizes = owned(gpu.upload(sizesOf(call, state, head, { words: hides ? Math.ceil(S / 32) : 0, heads: heads.length, done, Dv }), GPUBufferUsage.UNIFORM));
    const [query, key, values] = read.map((array) => owned(gpu.upload(/** @type {Float32Array} */ (array))));
    /** @param {string} name @param {Record<number, GPUBuffer>} bound @param {number} x @param {number} y */
    const dispatch = (name, bound, x, y) => {
      const pipeline = gpu.pipeline(SHADER, name);
      const entries = Object.entries({ 0: sizes, ...bound }).map(([binding, buffer]) => ({ binding: Number(binding), resource: { buffer } }));
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      pass.dispatchWorkgroups(x, y);
    };
    dispatch("score", { 1: query, 2: key, 5: cells, 6: scores }, tiles(S), tiles(T));
    dispatch("weigh", { 4: /** @type {GPUBuffer} */ (masks.get(visible)), 5: cells, 7: weights }, T, 1);
    if (hasOutput) dispatch("mix", { 3: values, 5: cells, 8: output }, tiles(Dv), tiles(T));
  }
  pass.end();
  device.queue.submit([encoder.finish()]);
  const wanted = hasOutput ? [scores, weights, output] : [scores, weights];
  const [ofScores, ofWeights, ofOutput = null] = await Promise.all(wanted.map(async (buffer) => new Float32Array(await gpu.download(buffer))));
  const visible = /** @type {Uint8Array} */ (/** @type {unknown} */ (common));
  return { T, S, scores: ofScores, weights: ofWeights, visible, output: ofOutput, empty: blindQueries(visible, { T, S }) };
}

/**
 * The shader's uniform.
 *
 * @param {Call} call
 * @param {State} state
 * @param {number} head
 * @param {{words: number, heads: number, done: number, Dv: number}} counts
 */
function sizesOf(call, state, head, { words, heads, done, Dv }) {
  const sink = sinkOf(call, head);
  const bytes = new ArrayBuffer(SIZES_BYTES);
  new Uint32Array(bytes).set([call.T, call.S, call.D, Dv, words, done === 0 ? 1 : 0, sink === null ? 0 : 1]);
  new Float32Array(bytes).set([call.scale, 1 / state.temperature, 1 / heads, sink ?? 0], 7);
  return new Uint8Array(bytes);
}
