import { Decoder } from "../live_model/decoder.js";
import { PLAIN_LAYERS } from "../live_model/plain_layers.js";

// A run's model at its kept steps: gets the weights of a step from the file or the server, and reads sequences with them.

const MOST_READINGS = 4; // before and after a knock-out, and one that is being written

/**
 * @typedef {import("../live_model/decoder.js").Reading} Reading
 * @typedef {{decoder: Decoder, error: ?number}} Kept
 * @typedef {{step: number, error: ?number, weights: ArrayBuffer | Uint8Array<ArrayBuffer>}} Weights
 */

export class LiveRun {
  /** @type {Map<number, Kept>} by step */
  kept = new Map();
  /** why the weights of a step can't be had @type {Map<number, string>} */
  problems = new Map();
  /** steps whose weights were asked for @type {Set<number>} */
  asked = new Set();
  /** the newest readings, by what was read @type {Map<string, Reading>} */
  readings = new Map();

  /**
   * @param {DecoderDescription} description
   * @param {(step: number) => void} request asks for the weights of a step, which `take` gets
   */
  constructor(description, request) {
    this.description = description;
    this.request = request;
  }

  /** @param {Weights} weights */
  take({ step, error, weights }) {
    const bytes = new Uint8Array(weights);
    if (bytes.length !== this.description.bytes) {
      this.refuse(step, `the weights of this model must have ${this.description.bytes} bytes; got ${bytes.length}`);
      return;
    }
    // A copy starts at a multiple of every number's width.
    this.kept.set(step, { decoder: new Decoder(this.description, bytes.slice().buffer, PLAIN_LAYERS), error });
  }

  /** @param {number} step @param {string} problem */
  refuse(step, problem) {
    this.problems.set(step, problem);
  }

  /**
   * What rounding the weights of a step changes; null where it was not measured.
   *
   * @param {number} step
   */
  errorAt(step) {
    return this.kept.get(step)?.error ?? null;
  }

  /**
   * Reads a sequence.
   *
   * @param {number} step
   * @param {number[]} ids
   * @param {Set<string>} without
   * @returns {?Reading} null until the step's weights have come; throws an Error where they can't be had or give no numbers
   */
  read(step, ids, without) {
    if (!this.asked.has(step)) {
      this.asked.add(step);
      this.request(step); // a file has them at once
    }
    const problem = this.problems.get(step);
    if (problem) throw new Error(problem);
    const kept = this.kept.get(step);
    if (!kept) return null;
    const key = [step, ids, ...without].join();
    const reading = this.readings.get(key) ?? kept.decoder.run(ids, without);
    this.readings.delete(key);
    this.readings.set(key, reading);
    if (this.readings.size > MOST_READINGS) this.readings.delete([...this.readings.keys()][0]);
    return reading;
  }
}

/**
 * A reading's weights as a frame's cells, 0 to 255.
 *
 * @param {Reading} reading
 */
export function cellsOf({ ids, weights }) {
  const cells = new Float32Array(weights.flat().length * ids.length ** 2);
  weights.flat().forEach((head, place) => cells.set(head, place * ids.length ** 2));
  for (let i = 0; i < cells.length; i++) cells[i] = Math.min(255 * cells[i], 255);
  return cells;
}
