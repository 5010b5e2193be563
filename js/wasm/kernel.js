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

/** @typedef {{memory: WebAssembly.Memory} & Record<"heap_base" | "pack" | "product" | "softmax", (...numbers: number[]) => number>} Exports */

/** @implements {AttentionKernel} */
export class WasmKernel {
  /**
   * Compiles and starts a module; throws where the browser can't, or may not.
   *
   * @param {string} base64
   */
  constructor(base64) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
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
    const [cells, sums, counts, seen] = this.regions([most * S, 4 * most, most, Math.ceil((most * S) / 4)]);
    const { buffer } = this.module.memory;
    const warmth = Math.min(Math.max(1 / temperature, SMALLEST), LARGEST); // or 0 * Infinity would give nan
    if (visible !== null && step === 0) new Uint8Array(buffer, seen, S).set(visible);
    for (let row = 0; row < T; row += most) {
      const height = Math.min(most, T - row);
      this.write(cells, scores.subarray(row * S, (row + height) * S));
      if (visible !== null && step > 0) {
        new Uint8Array(buffer, seen, height * S).set(visible.subarray(row * S, (row + height) * S));
      }
      this.module.softmax(cells, seen, visible === null ? -1 : step, sums, counts, height, S, warmth, sink, fill);
      weights.set(this.read(cells, height * S), row * S);
      const totals = new Float64Array(buffer, sums, 2 * height);
      const weighed = new Int32Array(buffer, counts, height);
      for (let i = 0; i < height; i++) {
        empty[row + i] = weighed[i] === 0 ? 1 : 0;
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
function blockOf(rows, width) {
  return Math.min(rows, Math.max(4, 4 * Math.floor(BLOCK / 4 / width)));
}
