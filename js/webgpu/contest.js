import { selectionWork } from "../explorer/selection.js";
import { findGpu } from "./device.js";
import { gpuTakes, selectOnGpu } from "./selection.js";

// Whether the page's GPU computes selections: measured once, on the first one that takes WebAssembly long.

// In multiply-adds; below, a device's answer is hardly on its way before WebAssembly has one.
export const LONG_WORK = 5e8;
// How much of WebAssembly's time the GPU may take.
const MOST_TIME = 0.8;
// How far its weights may be from WebAssembly's, and its scores and output, as a part of their largest.
export const MOST_DIFFERENCE = 1e-5;

/** @typedef {{find: typeof findGpu, takes: typeof gpuTakes, select: typeof selectOnGpu, now: () => number}} Ways */

/**
 * Between the browser's GPU and WebAssembly. A software adapter takes no part, and a device that fails, disagrees or is slower
 * has lost for good.
 */
export class Contest {
  /** @type {?import("./device.js").Gpu} the winner */
  gpu = null;
  held = false;
  /** @type {?ReturnType<typeof findGpu>} the one device that is asked for */
  found = null;

  /** @param {Partial<Ways>} [ways] */
  constructor(ways = {}) {
    /** @type {Ways} */
    this.ways = { find: findGpu, takes: gpuTakes, select: selectOnGpu, now: () => performance.now(), ...ways };
  }

  /**
   * What the GPU computes; null where WebAssembly is to.
   *
   * @param {Trace} trace
   * @param {State} state
   * @param {SelectionCache} cache as for select
   */
  async answer(trace, state, cache) {
    const { gpu, ways } = this;
    if (gpu === null || selectionWork(trace, state, cache) < LONG_WORK || !ways.takes(gpu, trace, state, cache)) return null;
    try {
      return await ways.select(gpu, trace, state, cache);
    } catch (error) {
      this.end(null, /** @type {Error} */ (error).message);
      return null;
    }
  }

  /**
   * Measures a GPU on what WebAssembly has computed.
   *
   * @param {Trace} trace
   * @param {State} state
   * @param {SelectionCache} cache as for select
   * @param {HeadSelection} value WebAssembly's
   * @param {number} took milliseconds
   */
  async hold(trace, state, cache, value, took) {
    if (this.held) return;
    this.held = true;
    const { find, takes, select, now } = this.ways;
    this.found ??= find();
    const gpu = await this.found;
    if (typeof gpu === "string") return this.end(null, gpu);
    if (gpu.software) return this.end(null, `the adapter is software (${gpu.words})`);
    if (!takes(gpu, trace, state, cache)) {
      this.held = false; // another selection may do
      return;
    }
    try {
      const difference = differenceOf(await select(gpu, trace, state, cache), value); // compiles the shaders, too
      if (!(difference <= MOST_DIFFERENCE)) return this.end(null, `its numbers differ by ${difference.toPrecision(2)} of the largest`);
      const begun = now();
      await select(gpu, trace, state, cache);
      const times = `${Math.round(now() - begun)} ms, WebAssembly ${Math.round(took)}`;
      this.end(now() - begun <= MOST_TIME * took ? gpu : null, times);
    } catch (error) {
      this.end(null, /** @type {Error} */ (error).message);
    }
  }

  /**
   * Gives a loser's device back, and marks the outcome on the page's timeline.
   *
   * @param {?import("./device.js").Gpu} gpu the winner, or null
   * @param {string} reason
   */
  end(gpu, reason) {
    this.gpu = gpu;
    if (gpu === null) this.found?.then((loser) => typeof loser !== "string" && loser.device.destroy());
    performance.mark(`attnpanel-${gpu === null ? "no-" : ""}webgpu`, { detail: reason });
  }
}

/**
 * The largest difference between two selections, as a part of the largest number; nan where one has a number that the other
 * has not.
 *
 * @param {HeadSelection} one
 * @param {HeadSelection} other
 */
export function differenceOf(one, other) {
  let most = 0;
  for (const name of /** @type {const} */ (["scores", "weights", "output"])) {
    const [left, right] = [one[name], other[name]];
    if (left?.length !== right?.length) return NaN;
    if (left === null || right === null) continue;
    let [largest, apart] = [name === "weights" ? 1 : 0, 0];
    for (let at = 0; at < right.length; at++) {
      largest = Math.max(largest, Math.abs(right[at]));
      apart = Math.max(apart, Math.abs(right[at] - left[at]));
    }
    if (apart !== 0) most = Math.max(most, apart / largest);
  }
  return most;
}
