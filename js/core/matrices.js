import { expectInteger, expectLength, rowStep } from "./checks.js";

// Sums, blocks and rows of matrices; row-major, as in attention.js.

/**
 * Adds `part` to `total` in place; for masks, 1 where either is 1.
 *
 * @template {Floats | Uint8Array} A
 * @param {A} total
 * @param {A} part of the same length
 * @returns {A} total
 */
export function addInto(total, part) {
  expectLength("part", part, total.length, "length of total");
  if (total instanceof Uint8Array) for (let at = 0; at < total.length; at++) total[at] |= part[at];
  else for (let at = 0; at < total.length; at++) total[at] += part[at];
  return total;
}

/**
 * Divides in place: the last step of a mean after `addInto`.
 *
 * @param {Floats} total
 * @param {number} count
 * @returns {Floats} total
 */
export function divideBy(total, count) {
  for (let at = 0; at < total.length; at++) total[at] /= count;
  return total;
}

/**
 * The mean of equally long arrays, one a head, as select makes it.
 *
 * @param {Floats[]} parts at least one
 * @returns {Floats} a new array
 */
export function meanOf(parts) {
  if (parts.length === 0) throw new RangeError("parts must hold at least one array; got none");
  return divideBy(parts.slice(1).reduce(addInto, parts[0].slice()), parts.length);
}

/**
 * Shrinks a matrix, or a part of it, to at most mostRows by mostColumns: the largest value of each block.
 *
 * Blocks are equally wide but for the last of each axis; nan counts as the smallest value, so that a result
 * is nan only where its whole block is.
 *
 * @param {Floats} matrix rows*columns
 * @param {number} rows
 * @param {number} columns
 * @param {number} mostRows
 * @param {number} mostColumns
 * @param {{top?: number, left?: number, height?: number, width?: number, visible?: ?Uint8Array,
 *   wholeRows?: ?Uint8Array}} [part] the part to shrink, in cells, all if left out; visible (rows*columns
 *   or columns): cells with 0 count as nan, except in the rows where wholeRows (rows) holds 1
 * @returns {{values: Floats, rows: number, columns: number}} a new matrix and its sizes
 */
export function pool(matrix, rows, columns, mostRows, mostColumns, part = {}) {
  const { top = 0, left = 0, visible = null, wholeRows = null } = part;
  const { height = rows - top, width = columns - left } = part;
  expectLength("matrix", matrix, rows * columns, "rows*columns");
  expectInteger("mostRows", mostRows, 1);
  expectInteger("mostColumns", mostColumns, 1);
  expectInteger("top", top, 0, rows - 1);
  expectInteger("left", left, 0, columns - 1);
  expectInteger("height", height, 1, rows - top);
  expectInteger("width", width, 1, columns - left);
  if (wholeRows !== null) expectLength("wholeRows", wholeRows, rows, "rows");
  const step = rowStep("visible", visible, rows, columns);
  const tall = Math.ceil(height / mostRows);
  const wide = Math.ceil(width / mostColumns);
  const pooled = { rows: Math.ceil(height / tall), columns: Math.ceil(width / wide) };
  const values = new (typeOf(matrix))(pooled.rows * pooled.columns).fill(NaN);
  for (let i = top; i < top + height; i++) {
    const masked = visible !== null && (wholeRows === null || wholeRows[i] === 0);
    let to = Math.floor((i - top) / tall) * pooled.columns;
    if (tall * wide === 1) {
      values.set(matrix.subarray(i * columns + left, i * columns + left + width), to);
      for (let j = left; masked && j < left + width; j++, to++) if (visible[i * step + j] === 0) values[to] = NaN;
      continue;
    }
    for (let first = left; first < left + width; first += wide, to++) {
      const stop = Math.min(first + wide, left + width);
      let best = values[to];
      for (let j = first; j < stop; j++) {
        if (masked && visible[i * step + j] === 0) continue;
        const value = matrix[i * columns + j];
        if (value > best || best !== best) best = value; // best is NaN until a number is found
      }
      values[to] = best;
    }
  }
  return { values, ...pooled };
}

/**
 * The mixed colour of one query: `weights @ colours`; NaN if a weight or a colour is.
 *
 * @param {Floats} weights S
 * @param {Floats} colours S*3, red, green and blue from 0 to 1
 * @returns {Float64Array} 3
 */
export function mixColour(weights, colours) {
  expectLength("colours", colours, weights.length * 3, "S*3");
  const mixed = new Float64Array(3);
  for (let j = 0; j < weights.length; j++) {
    for (let channel = 0; channel < 3; channel++) mixed[channel] += weights[j] * colours[3 * j + channel];
  }
  return mixed;
}

/**
 * The largest magnitude among the finite visible cells, where a colour scale ends; 0 where there is none.
 *
 * @param {Floats} matrix
 * @param {?Uint8Array} [visible] of the matrix's length
 * @returns {number}
 */
export function largestMagnitude(matrix, visible = null) {
  if (visible !== null) expectLength("visible", visible, matrix.length, "length of matrix");
  let largest = 0;
  for (let at = 0; at < matrix.length; at++) {
    const magnitude = Math.abs(matrix[at]);
    const seen = visible === null || visible[at] !== 0;
    if (seen && magnitude > largest && magnitude < Infinity) largest = magnitude;
  }
  return largest;
}

// Smallest end of a colour scale, so that rows whose sink takes everything show no pattern.
export const LEAST_PEAK = 1e-6;

/**
 * Each row divided by its largest weight; rows whose largest is below a millionth stay as they are.
 *
 * @param {Floats} weights T*S
 * @param {{T: number, S: number, first?: number, visible?: ?Uint8Array, wholeRows?: ?Uint8Array}} options first: the
 *   keys before this one are ignored for the largest weight, so their own values may exceed 1; so are those
 *   with 0 in visible (T*S), except in rows with 1 in wholeRows (T)
 * @returns {Floats} T*S, a new array
 */
export function relativeToRowPeak(weights, { T, S, first = 0, visible = null, wholeRows = null }) {
  expectLength("weights", weights, T * S, "T*S");
  expectInteger("first", first, 0, S);
  const relative = weights.slice();
  for (let i = 0; i < T; i++) {
    const seen = wholeRows?.[i] ? null : visible;
    let peak = 0;
    for (let j = i * S + first; j < (i + 1) * S; j++) {
      if (weights[j] > peak && (seen === null || seen[j] === 1)) peak = weights[j];
    }
    if (peak >= LEAST_PEAK) for (let j = i * S; j < (i + 1) * S; j++) relative[j] /= peak;
  }
  return relative;
}

/**
 * @template {Floats | Uint8Array} A
 * @param {A} matrix @param {Int32Array} rows @param {number} width
 * @returns {A}
 */
export function takeRows(matrix, rows, width) {
  const taken = new (typeOf(matrix))(rows.length * width);
  rows.forEach((row, at) => taken.set(matrix.subarray(row * width, (row + 1) * width), at * width));
  return taken;
}

/**
 * The constructor of an array's type.
 *
 * @template {Floats | Uint8Array} A
 * @param {A} array
 * @returns {new (length: number) => A}
 */
export function typeOf(array) {
  return /** @type {any} */ (array.constructor);
}
