import { emptyWeight } from "../core/attention.js";
import { meanOfHeads } from "../core/kernels.js";
import { addInto } from "../core/matrices.js";
import { spansOf } from "../wasm/kernel.js";
import { sinkOf, visibleOf } from "./selection.js";

// The mean of a layer's heads by WebAssembly, some queries of all heads at a time, here and in other Workers.

// Limit of the keys and values that are kept for the next mean of the layer, here and in each Worker that helps.
const MOST_BYTES = 50_000_000;

/**
 * The mean on screen as rows of it can be computed; null for one head, and where heads are computed one by one: in plain
 * JavaScript, with a cap or a bias of scores, or with too many keys.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache as `opened` returns it
 */
export function openMean(trace, state, cache) {
  const { H, S, D, Dv, live, hasBias, softCap } = trace.calls[state.layer];
  if (!state.aggregate || H < 2 || !live || hasBias || softCap !== null || D === 0 || 4 * H * S * (D + Dv) > MOST_BYTES) return null;
  const key = `${state.layer} ${state.batch}`;
  if (cache.heads?.key !== key) cache.heads = { key, kernel: meanOfHeads(vectorsOf(trace, state), { S, D, Dv: Dv ?? 0 }) };
  return cache.heads.kernel === null ? null : new Mean(trace, state, cache);
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
    this.call = call;
    this.state = state;
    this.kernel = /** @type {import("../wasm/mean_of_heads.js").MeanOfHeads} */ (cache.heads.kernel);
    this.visibles = Array.from({ length: H }, (_, head) => visibleOf(trace, state, head, null, cache));
    const output = call.value(state.batch, 0) === null ? null : new Float32Array(T * Dv);
    /** @type {MeanArrays} */
    this.arrays = { scores: new Float32Array(T * S), weights: new Float32Array(T * S), output };
  }

  /**
   * @returns {Generator<number, MeanArrays & {visible: Uint8Array}, void>}
   */
  *job() {
    const { T } = this.call;
    const { most } = this.kernel;
    for (let first = 0; first < T; first += most) {
      if (first > 0) yield first;
      this.kernel.compute(this.part(first, Math.min(most, T - first)), this.arrays);
    }
    return { ...this.arrays, visible: this.visible() };
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
