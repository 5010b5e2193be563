import { scores, softmaxRows } from "./attention.js";
import { expectLength, rowStep } from "./checks.js";
import { pool, takeRows } from "./matrices.js";

// One head as a small image.

// The overview reads at most this many queries a head and draws at most this many cells a side.
export const OVERVIEW_ROWS = 96;

const OVERVIEW_TILE = 24;

/**
 * The queries an overview tile reads: at most 96, evenly spread from the first to the last.
 *
 * @param {number} T
 * @returns {Int32Array} query indices, ascending
 */
export function overviewRows(T) {
  const count = Math.min(T, OVERVIEW_ROWS);
  const step = count > 1 ? (T - 1) / (count - 1) : 0;
  return Int32Array.from({ length: count }, (_, index) => Math.round(index * step));
}

/**
 * One head's weights as a small image, at most 24 by 24, as attnpanel.explorer.selection.overview_tile: of a long
 * sequence at most 96 queries are computed, every key is read, and nan shows as 0.
 *
 * @param {Floats} query T*D
 * @param {Floats} key S*D
 * @param {{T: number, S: number, D: number, scale?: number, softCap?: ?number, bias?: ?Floats,
 *   visible?: ?Uint8Array, temperature?: number, emptyRows?: EmptyRows, sink?: ?number}} options as of scores
 *   and softmaxRows
 * @returns {{values: Floats, rows: number, columns: number}}
 */
export function overviewTile(
  query,
  key,
  { T, S, D, scale, softCap, bias = null, visible = null, ...softmax },
) {
  expectLength("query", query, T * D, "T*D");
  const rows = overviewRows(T);
  const some = { T: rows.length, S, D };
  /** @template {?Floats | Uint8Array} A @param {A} array @param {number} step @returns {A} */
  const ofRows = (array, step) => (array === null || step === 0 ? array : /** @type {any} */ (takeRows(array, rows, step)));
  const someBias = ofRows(bias, rowStep("bias", bias, T, S));
  const someVisible = ofRows(visible, rowStep("visible", visible, T, S));
  const scored = scores(takeRows(query, rows, D), key, { ...some, scale, softCap, bias: someBias });
  const { weights } = softmaxRows(scored, { ...some, ...softmax, visible: someVisible });
  return tile(weights, rows.length, S);
}

/**
 * `overviewTile` where only weights were recorded.
 *
 * @param {Floats} weights T*S
 * @param {{T: number, S: number}} sizes
 * @returns {{values: Floats, rows: number, columns: number}}
 */
export function overviewTileOfWeights(weights, { T, S }) {
  expectLength("weights", weights, T * S, "T*S");
  const rows = overviewRows(T);
  return tile(takeRows(weights, rows, S), rows.length, S);
}

/** @param {Floats} weights @param {number} rows @param {number} columns */
function tile(weights, rows, columns) {
  const known = weights.map((weight) => (weight !== weight ? 0 : weight));
  return pool(known, rows, columns, OVERVIEW_TILE, OVERVIEW_TILE);
}
