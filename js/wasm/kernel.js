// The attention kernel in WebAssembly: plain_kernel.js on 32-bit floats, ten times as fast.
//
// A module computes in a memory of its own, so that numbers are copied there and back, a few rows at a time: what
// takes a copy stays in the processor's cache, and the memory stays small.

const PAGE_BYTES = 65536;
// Numbers that are computed at a time: 256 kB.
const BLOCK = 65536;
// Numbers of a region start at such an address.
const ALIGNMENT = 16;
// Of the positive numbers of 32 bits.
const SMALLEST = 2 ** -149;
const LARGEST = 3.4e38;

/** @typedef {{memory: WebAssembly.Memory} & Record<"heap_base" | "pack" | "product" | "softmax" | "add" | "divide", (...numbers: number[]) => number>} Exports */

/** @implements {AttentionKernel} */
export class WasmKernel {
  /**
   * Compiles and starts a module; throws where the browser can't, or may not.
   *
   * @param {string | WebAssembly.Module} source in base64, or compiled
   */
  constructor(source) {
    this.compiled = typeof source === "string" ? new WebAssembly.Module(bytesOf(source)) : source;
    const { exports } = new WebAssembly.Instance(this.compiled);
    this.module = /** @type {Exports} */ (/** @type {unknown} */ (exports));
    /** the first byte that a call may use: what lies below is kept between calls */
    this.floor = this.module.heap_base();
  }

  /**
   * @param {Floats} out
   * @param {Floats} left
   * @param {number} factor
   * @param {Vectors} right
   * @param {number} rows
   */
  product(out, left, factor, { matrix, count, depth, countStep, depthStep }, rows) {
    if (depth === 0) {
      out.fill(0);
      return;
    }
    const most = blockOf(rows, Math.max(count, depth));
    const packed = 8 * Math.ceil(count / 8) * depth;
    const [panels, raw, lefts, outs] = this.regions([packed, matrix.length, most * depth, most * count]);
    this.write(raw, matrix);
    const finite = this.module.pack(panels, raw, count, depth, countStep, depthStep);
    for (let row = 0; row < rows; row += most) {
      const height = Math.min(most, rows - row);
      this.write(lefts, left.subarray(row * depth, (row + height) * depth));
      this.module.product(outs, lefts, panels, factor, height, count, depth, finite);
      out.set(this.read(outs, height * count), row * count);
    }
  }

  /**
   * @param {Floats} scores
   * @param {SoftmaxResult} result
   * @param {SoftmaxRule} rule
   */
  softmax(scores, { weights, logsumexp, empty }, { T, S, visible, step, temperature, fill, sink }) {
    const most = blockOf(T, S);
    const [cells, sums, spans, seen] = this.regions([most * S, 4 * most, 2 * most, Math.ceil((most * S) / 4)]);
    const { buffer } = this.module.memory;
    const warmth = warmthOf(temperature);
    for (let row = 0; row < T; row += most) {
      const height = Math.min(most, T - row);
      this.write(cells, scores.subarray(row * S, (row + height) * S));
      const hidden = spansOf(visible, step, row, height, S);
      const weighed = new Int32Array(buffer, spans, 2 * height);
      weighed.set(hidden.spans);
      if (hidden.visible !== null) new Uint8Array(buffer, seen, hidden.visible.length).set(hidden.visible);
      const apart = hidden.visible === null ? -1 : step;
      this.module.softmax(cells, spans, seen, apart, sums, height, S, warmth, sink, fill, 0, 0);
      weights.set(this.read(cells, height * S), row * S);
      const totals = new Float64Array(buffer, sums, 2 * height);
      for (let i = 0; i < height; i++) {
        empty[row + i] = weighed[2 * i] === weighed[2 * i + 1] ? 1 : 0;
        logsumexp[row + i] = Math.log(totals[2 * i + 1]) + totals[2 * i] / temperature;
      }
    }
  }

  /**
   * Addresses of so many numbers of 32 bits each; the memory grows where it must.
   *
   * @param {number[]} lengths
   */
  regions(lengths) {
    const { memory } = this.module;
    let end = this.floor;
    const starts = lengths.map((length) => {
      const start = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
      end = start + 4 * length;
      return start;
    });
    const missing = end - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
    return starts;
  }

  /** @param {number} address @param {number} length */
  read(address, length) {
    return new Float32Array(this.module.memory.buffer, address, length);
  }

  /** @param {number} address @param {Floats} numbers */
  write(address, numbers) {
    this.read(address, numbers.length).set(numbers);
  }
}

/**
 * How many rows are computed at a time.
 *
 * @param {number} rows
 * @param {number} width of the wider of the matrices
 */
export function blockOf(rows, width) {
  return Math.min(rows, Math.max(4, 4 * Math.floor(BLOCK / 4 / width)));
}

/**
 * 1 / temperature, as the module multiplies by it.
 *
 * @param {number} temperature
 */
export function warmthOf(temperature) {
  return Math.min(Math.max(1 / temperature, SMALLEST), LARGEST); // or 0 * Infinity would give nan
}

/**
 * Which keys some queries see: of each the first and the end, and the mask's bytes where a query sees not all between.
 *
 * @param {?Uint8Array} visible T*S or S, or null for all
 * @param {number} step S, or 0 where all queries share a row
 * @param {number} row the first query
 * @param {number} rows
 * @param {number} S
 * @returns {{spans: Int32Array, visible: ?Uint8Array}}
 */
export function spansOf(visible, step, row, rows, S) {
  const spans = new Int32Array(2 * rows);
  let whole = true;
  for (let i = 0; i < rows; i++) {
    let [first, stop] = [0, S];
    if (visible !== null) {
      const start = (row + i) * step;
      const seen = visible.subarray(start, start + S);
      first = seen.indexOf(1);
      if (first < 0) first = S;
      stop = seen.lastIndexOf(1) + 1;
      const gap = seen.indexOf(0, first);
      whole &&= gap < 0 || gap >= stop;
    }
    spans[2 * i] = first;
    spans[2 * i + 1] = Math.max(first, stop);
  }
  return { spans, visible: whole || visible === null ? null : visible.subarray(row * step, step === 0 ? S : (row + rows) * step) };
}

/** @param {string} base64 */
function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
