import { scores, softmaxRows } from "../core/attention.js";
import { chosenMask, opened, ruleOf, sinkOf } from "./selection.js";

// Some queries' weights in any head of the layer on screen, beside the selection, which is of one head.

/**
 * The weights of queries from `start` to before `stop` in one head.
 *
 * @param {Trace} trace the layer's arrays ready
 * @param {State} state
 * @param {SelectionCache} cache as for select
 * @param {number} head
 * @param {number} start
 * @param {number} stop
 * @returns {{weights: Floats, visible: Uint8Array}} each (stop - start)*S; kept until other queries or another rule
 *   are asked for
 */
export function headRows(trace, state, cache, head, start, stop) {
  const known = opened(cache, trace);
  const key = [state.layer, state.batch, trace.calls[state.layer].live ? ruleOf(trace, state) : "", start, stop].join(" ");
  if (known.headRows?.key !== key) known.headRows = { key, heads: new Map() };
  const { heads } = known.headRows;
  if (!heads.has(head)) heads.set(head, computedRows(trace, state, cache, head, start, stop));
  return heads.get(head);
}

/** @param {Trace} trace @param {State} state @param {SelectionCache} cache @param {number} head @param {number} start @param {number} stop */
export function computedRows(trace, state, cache, head, start, stop) {
  const call = trace.calls[state.layer];
  const { S, D, scale, softCap } = call;
  const { batch, temperature, empty_rows: emptyRows } = state;
  const T = stop - start;
  /** @template {Floats | Uint8Array} A @param {A} matrix @returns {A} */
  const rows = (matrix) => /** @type {A} */ (matrix.subarray(start * S, stop * S));
  if (!call.live) {
    const weights = rows(call.recorded(batch, head));
    return { weights, visible: Uint8Array.from(weights, (weight) => (weight === 0 ? 0 : 1)) };
  }
  const whole = call.bias(batch, head);
  const bias = whole && rows(whole);
  const scored = scores(call.query(batch, head).subarray(start * D, stop * D), call.key(batch, head), { T, S, D, scale, softCap, bias });
  const own = state.mask === "model";
  let visible = rows(own ? call.visible(batch, head) : chosenMask(trace, call, state, cache));
  // A bias of -inf hides under any mask.
  if (bias && !own) visible = visible.map((seen, at) => (scored[at] === -Infinity ? 0 : seen));
  const hiding = state.mask === "none" ? null : visible;
  const { weights } = softmaxRows(scored, { T, S, visible: hiding, temperature, emptyRows, sink: sinkOf(call, head) });
  return { weights, visible };
}
