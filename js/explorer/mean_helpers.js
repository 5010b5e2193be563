import { chooseKernel, meanOfHeads } from "../core/kernels.js";

// Further Workers that compute rows of a mean beside the page's Worker, which starts them: the page never waits for them.

/** The name by which a Worker knows that it helps. */
export const HELPER = "attnpanel-mean-helper";
// A page's Worker and this many helpers use four cores.
const MOST_HELPERS = 3;
// A helper that has one part to compute has the next one waiting.
const MOST_ASKED = 2;
// Cells of all heads from which on helpers are worth their start: those of twelve heads at T = 1183.
const LEAST_CELLS = 2 ** 24;

/** @typedef {import("../wasm/mean_of_heads.js").MeanOfHeads} MeanOfHeads */

/** The helpers of a Worker, started once a layer is shown whose mean takes long. */
export class MeanHelpers {
  /** @type {Helper[]} */
  started = [];

  /**
   * @param {() => Worker} start
   * @param {{cores?: number, leastCells?: number}} [options]
   */
  constructor(start, { cores = globalThis.navigator?.hardwareConcurrency ?? 1, leastCells = LEAST_CELLS } = {}) {
    this.start = start;
    this.cores = cores;
    this.leastCells = leastCells;
  }

  /**
   * The helpers for a mean of so many cells, of heads of so many bytes, which each of them keeps.
   *
   * @param {number} cells
   * @param {number} bytes
   * @param {number} mostBytes of all of them
   */
  within(cells, bytes, mostBytes) {
    if (cells < this.leastCells) return [];
    const count = Math.min(MOST_HELPERS, this.cores - 1, Math.floor(mostBytes / bytes));
    while (this.started.length < count) this.started.push(new Helper(this.start));
    return this.started.slice(0, count);
  }
}

/** One of them, as seen by the Worker that it helps. One that does not start, fails or is refused memory is not asked again. */
class Helper {
  /** @type {?Worker} */
  worker = null;
  /** @type {?MeanOfHeads} whose heads it has */
  kernel = null;
  asked = 0;
  /** @type {Map<number, (arrays: MeanArrays) => void>} parts that it has not answered */
  waiting = new Map();

  /** @param {() => Worker} start */
  constructor(start) {
    try {
      this.worker = start();
    } catch {
      return;
    }
    this.worker.onmessage = ({ data }) => this.settle(data);
    this.worker.onerror = (event) => {
      event.preventDefault(); // or the page would take it for an error of the Worker that is helped
      this.end();
    };
  }

  get free() {
    return this.worker !== null && this.waiting.size < MOST_ASKED;
  }

  /**
   * @param {MeanOfHeads} kernel
   * @param {() => HeadVectors[]} heads of it
   * @param {MeanPart} part
   * @param {(arrays: MeanArrays) => void} take called with its rows alone, unless the helper fails or is given other heads
   */
  ask(kernel, heads, part, take) {
    try {
      if (this.kernel !== kernel) this.open(kernel, heads());
      const id = ++this.asked;
      this.waiting.set(id, take);
      // Parts of arrays, which would be sent whole.
      const queries = part.queries.map((query) => query.slice());
      const masks = part.masks.map(({ spans, visible }) => ({ spans, visible: visible && visible.slice() }));
      this.post({ id, part: { ...part, queries, masks } }, [...queries, ...masks.flatMap(({ spans, visible }) => [spans, visible])]);
    } catch {
      this.end(); // no memory for copies
    }
  }

  /** @param {MeanOfHeads} kernel @param {HeadVectors[]} heads */
  open(kernel, heads) {
    this.kernel = kernel;
    this.waiting.clear();
    const { copies, arrays } = copied(heads);
    this.post({ sizes: kernel.sizes, heads: copies }, arrays);
  }

  /** @param {object} message @param {(?ArrayBufferView)[]} given arrays of it that are not needed here any more */
  post(message, given) {
    this.worker?.postMessage(message, buffersOf(given));
  }

  /** @param {{id: number, arrays: MeanArrays, error?: string}} answer */
  settle({ id, arrays, error }) {
    if (error !== undefined) return this.end();
    this.waiting.get(id)?.(arrays);
    this.waiting.delete(id);
  }

  end() {
    this.worker?.terminate();
    this.worker = null;
    this.waiting.clear();
  }
}

/**
 * Keys and values as arrays of their own, each once: those of several heads may be one, and all are parts of one.
 *
 * @param {HeadVectors[]} heads
 */
function copied(heads) {
  /** @type {Map<string, Floats>} */
  const made = new Map();
  /** @param {string} name @param {Floats} array */
  const copy = (name, array) => {
    const place = `${name} ${array.byteOffset}`;
    const one = made.get(place) ?? array.slice();
    made.set(place, one);
    return one;
  };
  const copies = heads.map(({ key, value }) => ({ key: copy("key", key), value: value && copy("value", value) }));
  return { copies, arrays: [...made.values()] };
}

/** @param {(?ArrayBufferView)[]} arrays */
function buffersOf(arrays) {
  return [...new Set(arrays.flatMap((array) => (array === null ? [] : [/** @type {ArrayBuffer} */ (array.buffer)])))];
}

/**
 * The helper's side: keeps the heads that came last, and answers parts of their mean.
 *
 * @param {any} port
 */
export function helpMeans(port) {
  chooseKernel(); // compiled before it is needed
  /** @type {?MeanOfHeads} */
  let kernel = null;
  /** @param {MeanPart} part */
  const rowsOf = (part) => {
    if (kernel === null) throw new Error("no WebAssembly here");
    const { S, Dv } = kernel.sizes;
    const room = (/** @type {number} */ width) => new Float32Array(part.rows * width);
    const arrays = { scores: room(S), weights: room(S), output: kernel.hasValues ? room(Dv) : null };
    kernel.compute(part, arrays, 0);
    return arrays;
  };
  port.onmessage = (/** @type {MessageEvent} */ { data: { id, part, sizes, heads } }) => {
    try {
      if (heads) {
        kernel = null; // its memory first
        kernel = meanOfHeads(heads, sizes);
      }
      if (!part) return;
      const arrays = rowsOf(part);
      port.postMessage({ id, arrays }, buffersOf([arrays.scores, arrays.weights, arrays.output]));
    } catch (error) {
      port.postMessage({ error: /** @type {Error} */ (error).message });
    }
  };
}
