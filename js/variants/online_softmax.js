// The online softmax of FlashAttention, block by block, with every number on the way. Pure; float64.
//
// Milakov and Gimelshein, 2018 (arXiv 1805.02867); Dao et al., 2022 (arXiv 2205.14135): keys outside; Dao, 2023 (arXiv
// 2307.08691): queries outside.

/**
 * @typedef {{max: number, sum: number, output: number[]}} RunningRow running maximum, sum of exponentials, weighted values
 * @typedef {{query: number, scores: number[], before: RunningRow, after: RunningRow, rescale: number, weights: number[]}} RowStep
 *   scores of the block's keys, -Infinity where hidden; weights: e^(score - new maximum), not yet divided
 * @typedef {{block: [number, number], queries: [number, number], keys: [number, number], rows: RowStep[], loads: Loads}} BlockStep
 *   first and last + 1 of the block's queries and keys
 * @typedef {{queries: number, keys: number}} Loads blocks of queries, and of keys and values, read up to this step
 * @typedef {{steps: BlockStep[], skipped: [number, number][], states: RunningRow[], output: Float64Array}} OnlineSoftmax
 *   skipped: blocks in which nothing is visible; states: at the end, by query; output: T*Dv, 0 where a row sees nothing
 */

/**
 * Computes attention of one head block by block.
 *
 * @param {Float64Array} scores T*S
 * @param {Uint8Array} visible T*S
 * @param {Float64Array} value S*Dv
 * @param {{T: number, S: number, Dv: number, rows: number, columns: number, order: "queries" | "keys", sink?: ?number}} options
 *   rows, columns: queries and keys in a block; order: which loop is the outer one; sink: a score without a value
 * @returns {OnlineSoftmax}
 */
export function onlineSoftmax(scores, visible, value, { T, S, Dv, rows, columns, order, sink = null }) {
  const start = sink === null ? { max: -Infinity, sum: 0 } : { max: sink, sum: 1 };
  /** @type {RunningRow[]} */
  const states = Array.from({ length: T }, () => ({ ...start, output: new Array(Dv).fill(0) }));
  const [across, down] = [Math.ceil(S / columns), Math.ceil(T / rows)];
  const blocks = Array.from({ length: across * down }, (_, at) =>
    order === "queries" ? [Math.floor(at / across), at % across] : [at % down, Math.floor(at / down)],
  );
  const loads = { queries: 0, keys: 0 };
  /** @type {BlockStep[]} */
  const steps = [];
  /** @type {[number, number][]} */
  const skipped = [];
  for (const [row, column] of blocks) {
    const [top, bottom] = [row * rows, Math.min((row + 1) * rows, T)];
    const [left, right] = [column * columns, Math.min((column + 1) * columns, S)];
    const seen = Array.from({ length: bottom - top }, (_, i) => visible.subarray((top + i) * S + left, (top + i) * S + right));
    if (!seen.some((line) => line.includes(1))) {
      skipped.push([row, column]);
      continue;
    }
    const last = steps.at(-1)?.block;
    if (last?.[0] !== row) loads.queries += 1;
    if (last?.[1] !== column) loads.keys += 1;
    const step = seen.map((line, i) => {
      const query = top + i;
      const own = Array.from(line, (sees, j) => (sees ? scores[query * S + left + j] : -Infinity));
      const taken = merged(states[query], own, value.subarray(left * Dv, right * Dv), Dv);
      const before = states[query];
      states[query] = taken.after;
      return { query, scores: own, before, ...taken };
    });
    steps.push({ block: [row, column], queries: [top, bottom], keys: [left, right], rows: step, loads: { ...loads } });
  }
  const output = new Float64Array(T * Dv);
  for (const [query, { sum, output: mixed }] of states.entries()) {
    for (let d = 0; d < Dv; d++) output[query * Dv + d] = sum > 0 ? mixed[d] / sum : 0;
  }
  return { steps, skipped, states, output };
}

/**
 * Takes a block of keys into a row's running state.
 *
 * @param {RunningRow} before
 * @param {number[]} scores
 * @param {Float64Array} values keys*Dv
 * @param {number} Dv
 */
function merged(before, scores, values, Dv) {
  const max = Math.max(before.max, ...scores);
  // A row that has seen nothing yet has nothing to rescale.
  const rescale = before.max === -Infinity ? 1 : Math.exp(before.max - max);
  const weights = scores.map((score) => (score === -Infinity ? 0 : Math.exp(score - max)));
  const sum = weights.reduce((total, weight) => total + weight, before.sum * rescale);
  const output = before.output.map((mixed, d) => weights.reduce((total, weight, j) => total + weight * values[j * Dv + d], mixed * rescale));
  return { rescale, weights, after: { max, sum, output } };
}
