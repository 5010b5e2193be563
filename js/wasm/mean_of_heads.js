import { WasmKernel, blockOf, warmthOf } from "./kernel.js";

/**
 * The mean of many heads, a few queries of all heads at a time: totals stay in the processor's cache, and no head's matrices
 * are written down. Keys and values stay in the module's memory.
 */
export class MeanOfHeads extends WasmKernel {
  /** @type {{matrix: Floats, count: number, countStep: number, panels: number, finite: number}[]} heads may share them */
  kept = [];

  /**
   * @param {WebAssembly.Module} compiled
   * @param {HeadVectors[]} heads
   * @param {HeadSizes} sizes
   */
  constructor(compiled, heads, sizes) {
    super(compiled);
    this.sizes = sizes;
    const { S, D, Dv } = sizes;
    this.heads = heads.map(({ key, value }) => ({
      keys: this.keep(key, { count: S, depth: D, countStep: D, depthStep: 1 }),
      values: value && this.keep(value, { count: Dv, depth: S, countStep: 1, depthStep: Dv }),
    }));
    this.hasValues = heads.every(({ value }) => value !== null);
    /** how many queries are computed at a time */
    this.most = blockOf(Infinity, S);
    this.regions(this.lengths(this.most)); // memory that is refused is refused here
  }

  /** The numbers that a block of so many queries takes. @param {number} rows */
  lengths(rows) {
    const { S, D, Dv } = this.sizes;
    return [rows * D, rows * S, 2 * rows * S, rows * Dv, rows * Dv, 4 * rows, 2 * rows, Math.ceil((rows * S) / 4)];
  }

  /**
   * Keeps vectors for products.
   *
   * @param {Floats} matrix
   * @param {Omit<Vectors, "matrix">} shape
   */
  keep(matrix, { count, depth, countStep, depthStep }) {
    const shared = this.kept.find(
      (one) => one.matrix.buffer === matrix.buffer && one.matrix.byteOffset === matrix.byteOffset && one.count === count && one.countStep === countStep,
    );
    if (shared) return shared;
    const [panels, raw] = this.regions([8 * Math.ceil(count / 8) * depth, matrix.length]);
    this.write(raw, matrix);
    const kept = { matrix, count, countStep, panels, finite: this.module.pack(panels, raw, count, depth, countStep, depthStep) };
    this.floor = raw;
    this.kept.push(kept);
    return kept;
  }

  /**
   * The means of some queries, the same numbers whatever queries are computed with them.
   *
   * @param {MeanPart} part
   * @param {MeanArrays} into
   * @param {number} [at] the row from which on `into` is written
   */
  compute(part, into, at = part.first) {
    for (let from = 0; from < part.rows; from += this.most) this.block(part, from, Math.min(this.most, part.rows - from), into, at + from);
  }

  /** @param {MeanPart} part @param {number} from @param {number} rows @param {MeanArrays} into @param {number} at */
  block({ queries, masks, maskOf, sinks, fills, scale, temperature }, from, rows, into, at) {
    const { S, D, Dv } = this.sizes;
    const cellCount = rows * S;
    const [left, cells, totals, outputs, output, sums, spans, seen] = this.regions(this.lengths(rows));
    const { module } = this;
    const { buffer } = module.memory;
    this.read(totals, 2 * cellCount).fill(0);
    this.read(output, rows * Dv).fill(0);
    let written = -1;
    for (const [head, { keys, values }] of this.heads.entries()) {
      const { spans: seenSpans, visible } = masks[maskOf[head]];
      if (visible !== null && written !== maskOf[head]) {
        new Uint8Array(buffer, seen, cellCount).set(visible.subarray(from * S, (from + rows) * S));
        written = maskOf[head];
      }
      new Int32Array(buffer, spans, 2 * rows).set(seenSpans.subarray(2 * from, 2 * (from + rows)));
      this.write(left, queries[head].subarray(from * D, (from + rows) * D));
      module.product(cells, left, keys.panels, scale, rows, S, D, keys.finite);
      const warmth = warmthOf(temperature);
      module.softmax(cells, spans, seen, visible === null ? -1 : S, sums, rows, S, warmth, sinks[head], fills[head], totals, cellCount);
      if (values === null) continue;
      module.product(outputs, cells, values.panels, 1, rows, Dv, S, values.finite);
      module.add(output, outputs, rows * Dv);
    }
    const [scores, weights] = [totals, totals + 4 * cellCount];
    for (const [total, count, numbers, width] of /** @type {[number, number, ?Floats, number][]} */ ([
      [scores, cellCount, into.scores, S],
      [weights, cellCount, into.weights, S],
      [output, rows * Dv, into.output, Dv],
    ])) {
      if (numbers === null) continue;
      module.divide(total, count, this.heads.length);
      numbers.set(this.read(total, count), at * width);
    }
  }
}
