import { emptyWeight } from "../core/attention.js";
import { meanOfHeads } from "../core/kernels.js";
import { addInto } from "../core/matrices.js";
import { spansOf } from "../wasm/kernel.js";
import { sinkOf, visibleOf } from "./selection.js";

/** @typedef {import("./mean_helpers.js").MeanHelpers} MeanHelpers */

// The mean of a layer's heads by WebAssembly, some queries of all heads at a time, here and in Workers that help.

// Limit of the keys and values that are kept for the next mean of the layer: here, and again in all helpers together.
const MOST_BYTES = 50_000_000;
// Blocks of queries that a helper computes at a time: at T = 2048 some 15 ms.
const PART = 4;

/**
 * The mean on screen as rows of it can be computed; null for one head, and where heads are computed one by one: in plain
 * JavaScript, with a cap or a bias of scores, or with too many keys.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache as `opened` returns it
 */
export function openMean(trace, state, cache) {
  if (!state.aggregate || !isByRows(trace, state)) return null;
  const key = `${state.layer} ${state.batch}`;
  if (cache.heads?.key !== key) {
    cache.heads = null; // its memory first
    cache.heads = { key, kernel: kernelOf(trace, state) };
  }
  return cache.heads.kernel === null ? null : new Mean(trace, state, cache);
}

/**
 * Starts the helpers of a layer's mean, which takes as long as some of its rows.
 *
 * @param {Trace} trace @param {State} state @param {SelectionCache} cache
 */
export function startHelpers(trace, state, cache) {
  if (isByRows(trace, state)) helpersOf(trace, state, cache);
}

/** @param {Trace} trace @param {State} state @param {SelectionCache} cache */
function helpersOf(trace, state, { helpers = null }) {
  const { H, T, S } = trace.calls[state.layer];
  return /** @type {?MeanHelpers} */ (helpers)?.within(H * T * S, bytesOf(trace, state), MOST_BYTES) ?? [];
}

/** @param {Trace} trace @param {State} state */
function isByRows(trace, state) {
  const { H, D, live, hasBias, softCap } = trace.calls[state.layer];
  return H > 1 && live && !hasBias && softCap === null && D > 0 && bytesOf(trace, state) <= MOST_BYTES;
}

/** @param {Trace} trace @param {State} state */
function bytesOf(trace, { layer }) {
  const { H, S, D, Dv } = trace.calls[layer];
  return Float32Array.BYTES_PER_ELEMENT * H * S * (D + (Dv ?? 0));
}

/** @param {Trace} trace @param {State} state */
function kernelOf(trace, state) {
  const { S, D, Dv } = trace.calls[state.layer];
  try {
    return meanOfHeads(vectorsOf(trace, state), { S, D, Dv: Dv ?? 0 });
  } catch (error) {
    if (error instanceof RangeError) return null; // the module's memory was refused
    throw error;
  }
}

/** @param {Trace} trace @param {State} state @returns {HeadVectors[]} */
function vectorsOf(trace, { layer, batch }) {
  const call = trace.calls[layer];
  return Array.from({ length: call.H }, (_, head) => ({ key: call.key(batch, head), value: call.value(batch, head) }));
}

/** One mean: its arrays, and which of its queries have been computed. */
class Mean {
  /** @param {Trace} trace @param {State} state @param {SelectionCache} cache */
  constructor(trace, state, cache) {
    const call = trace.calls[state.layer];
    const { H, T, S, Dv } = call;
    this.trace = trace;
    this.call = call;
    this.state = state;
    this.kernel = /** @type {import("../wasm/mean_of_heads.js").MeanOfHeads} */ (cache.heads.kernel);
    this.helpers = helpersOf(trace, state, cache);
    this.visibles = Array.from({ length: H }, (_, head) => visibleOf(trace, state, head, null, cache));
    const output = call.value(state.batch, 0) === null ? null : new Float32Array(T * Dv);
    /** @type {MeanArrays} */
    this.arrays = { scores: new Float32Array(T * S), weights: new Float32Array(T * S), output };
  }

  /**
   * Computes the first blocks of queries while helpers compute the last ones, and whatever no helper has answered in the end:
   * the numbers are the same whoever computes them. An abandoned job asks nothing more.
   *
   * @returns {Generator<number, MeanArrays & {visible: Uint8Array}, void>}
   */
  *job() {
    const count = Math.ceil(this.call.T / this.kernel.most);
    const done = new Uint8Array(count);
    let [next, end] = [0, count]; // between them lie the blocks that nobody computes yet
    for (let computed = 0; ; computed++) {
      for (const helper of this.helpers) {
        while (helper.free && next + PART < end) {
          end -= PART;
          this.ask(helper, end, done);
        }
      }
      const block = next < end ? next++ : done.indexOf(0);
      if (block < 0) break;
      if (computed > 0) yield block;
      if (done[block] === 1) continue;
      this.kernel.compute(this.blocks(block, 1), this.arrays);
      done[block] = 1;
    }
    const { scores, weights, output } = this.arrays;
    return { scores, weights, output, visible: this.visible() };
  }

  /**
   * @param {ReturnType<MeanHelpers["within"]>[number]} helper
   * @param {number} first
   * @param {Uint8Array} done
   */
  ask(helper, first, done) {
    const part = this.blocks(first, PART);
    helper.ask(this.kernel, () => vectorsOf(this.trace, this.state), part, ({ scores, weights, output }) => {
      const { S, Dv } = this.kernel.sizes;
      this.arrays.scores.set(scores, part.first * S);
      this.arrays.weights.set(weights, part.first * S);
      if (output !== null) this.arrays.output?.set(output, part.first * Dv);
      done.fill(1, first, first + PART);
    });
  }

  /** @param {number} first @param {number} count */
  blocks(first, count) {
    const { most } = this.kernel;
    return this.part(first * most, Math.min(count * most, this.call.T - first * most));
  }

  /**
   * What the kernel must know of some queries.
   *
   * @param {number} first
   * @param {number} rows
   * @returns {MeanPart}
   */
  part(first, rows) {
    const { call, state, visibles } = this;
    const { S, D, scale } = call;
    const different = [...new Set(visibles)];
    const hides = state.mask !== "none";
    const heads = visibles.map((_, head) => head);
    const sinks = heads.map((head) => sinkOf(call, head) ?? -Infinity);
    return {
      ...{ first, rows, scale, sinks, temperature: state.temperature },
      queries: heads.map((head) => call.query(state.batch, head).subarray(first * D, (first + rows) * D)),
      masks: different.map((visible) => spansOf(hides ? visible : null, S, first, rows, S)),
      maskOf: visibles.map((visible) => different.indexOf(visible)),
      fills: sinks.map((sink) => (sink === -Infinity ? emptyWeight(state.empty_rows, S) : 0)),
    };
  }

  /** A pair is masked in the mean only where every head masks it; most masks are the same for all heads. */
  visible() {
    const [first, ...others] = new Set(this.visibles);
    return others.reduce((all, visible) => addInto(all, visible), others.length > 0 ? first.slice() : first);
  }
}
