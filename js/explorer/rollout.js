import { inSlices } from "../core/slices.js";
import { computedRows } from "./head_rows.js";
import { select } from "./selection.js";

// Attention through all layers up to the one on screen, as attnpanel.analysis.rollout computes it: what of each token
// has reached the chosen one. Of the model as it ran: the reader's mask and temperature are of one layer.

/**
 * The layers that a rollout multiplies: self-attention of the length of the one on screen, up to it; null if there are
 * fewer than two, or they are too large for the page.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {?number[]}
 */
export function rolloutLayers(trace, state) {
  const { kind, T, S, partial } = trace.calls[state.layer];
  if (kind !== "self" || T !== S || partial) return null;
  /** @param {number} layer */
  const fits = (layer) => trace.calls[layer].kind === "self" && trace.calls[layer].T === T && trace.calls[layer].S === T;
  const layers = Array.from({ length: state.layer + 1 }, (_, layer) => layer).filter(fits);
  return layers.length > 1 ? layers : null;
}

/**
 * Computes the chosen token's row, from the last layer to the first, a head at a time; returns it.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache
 * @param {number[]} layers their arrays embedded in the page
 * @returns {Generator<Promise<void> | number, Float64Array, void>} yields the promise of a layer's arrays, or a number
 */
export function* rolloutJob(trace, state, cache, layers) {
  const { T } = trace.calls[state.layer];
  let row = new Float64Array(T);
  row[state.query_index] = 1;
  for (const layer of [...layers].reverse()) {
    const call = trace.calls[layer];
    if (call.opened === false) yield call.ready();
    // The last layer is asked for the chosen token only.
    const [start, stop] = layer === state.layer ? [state.query_index, state.query_index + 1] : [0, T];
    const own = { ...state, layer, mask: "model", temperature: 1 };
    const total = new Float64Array((stop - start) * T); // of all heads
    for (let head = 0; head < call.H; head++) {
      const { weights } = computedRows(trace, own, cache, head, start, stop);
      for (let at = 0; at < total.length; at++) total[at] += weights[at] || 0;
      yield head;
    }
    const mixed = new Float64Array(T);
    for (let query = start; query < stop; query++) {
      const weights = total.subarray((query - start) * T, (query - start + 1) * T);
      const share = row[query] / weights.reduce((sum, weight) => sum + weight, call.H);
      mixed[query] += share * call.H; // the residual connection
      for (let key = 0; key < T; key++) mixed[key] += share * weights[key];
    }
    row = mixed;
  }
  return row;
}

/** @param {State} state */
const keyOf = ({ trace, layer, batch, query_index: query }) => [trace, layer, batch, query].join(" ");

/**
 * The chosen token's row, if it has been computed.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @returns {?Float64Array}
 */
export function knownRollout({ state, rollout }) {
  return rollout?.key === keyOf(state) ? rollout.row : null;
}

/**
 * Computes the chosen token's row, if the picture shows it: here, or in Python where a layer is not in the page.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export async function rollOut(explorer) {
  const { trace, state, cache } = explorer;
  const layers = explorer.direction === "through" ? rolloutLayers(trace, state) : null;
  if (layers === null || knownRollout(explorer)) return;
  const key = keyOf(state);
  const isOld = () => explorer.left || explorer.direction !== "through" || keyOf(explorer.state) !== key;
  let row;
  if (layers.every((layer) => trace.calls[layer].packed !== undefined)) {
    const done = await inSlices(rolloutJob(trace, state, cache, layers), isOld);
    if (done === null) return;
    row = done.result;
  } else {
    const answer = await explorer.python.ask("rollout", trace, layers, state);
    if (!answer) return;
    row = new Float64Array(answer.row);
  }
  if (isOld()) return;
  explorer.rollout = { key, row };
  explorer.showPicture(select(trace, explorer.state, cache), new Set(["trace"]));
}
