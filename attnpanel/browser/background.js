import { DRAWINGS, overviewJob, select, selectJob, tilesOf } from "./drawings.js";
import { openTrace } from "./trace_data.js";
import { numbersLine } from "./words_of.js";

// Work too long for the page's own thread: a Worker that runs the very module the page runs.

/** What the Worker draws beside computing it. */
const MATRICES = ["scores", "weights", "output"];
// What a question does not depend on: it need not be asked again when only these change.
const OF_SELECTION = new Set(["query_index", "pair", "color_seed"]);
const ASIDE = {
  selection: OF_SELECTION,
  ahead: OF_SELECTION,
  numbers: new Set(["query_index", "pair", "color_seed", "viewport", "weight_scale", "skip_first", "dark"]),
  tiles: new Set([
    "query_index",
    "pair",
    "color_seed",
    "layer",
    "head",
    "aggregate",
    "viewport",
    "weight_scale",
    "skip_first",
    "dark",
  ]),
};

/** Asks the Worker; a newer question of a kind takes the older one's place. */
export class Background {
  /** @param {string} source the text of this module */
  constructor(source) {
    this.source = source;
    this.worker = null;
    this.broken = false;
    this.asked = 0;
    this.waiting = {};
  }

  /**
   * @param {"selection" | "ahead" | "numbers" | "tiles"} kind ahead: a selection that may be wanted next
   * @param {object} trace
   * @param {number[]} layers whose arrays are needed
   * @param {object} state
   * @returns {Promise<?object>} null where a newer question took its place, undefined without a Worker
   */
  ask(kind, trace, layers, state) {
    const key = keyOf(kind, state);
    const before = this.waiting[kind];
    if (before?.key === key && before.trace === trace) return before.answer;
    before?.resolve(null);
    const question = { key, trace, id: ++this.asked, done: false };
    question.answer = new Promise((resolve, reject) => Object.assign(question, { resolve, reject }));
    this.waiting[kind] = question;
    if (kind === "ahead") this.ahead = question;
    this.post({ kind, id: question.id, state }, trace, layers);
    return question.answer;
  }

  /**
   * What was computed ahead, where it is this state.
   *
   * @param {object} trace
   * @param {object} state
   * @returns {?{answer: Promise<?object>, done: boolean}} done: the answer is here
   */
  foreseen(trace, state) {
    const { ahead } = this;
    return ahead?.trace === trace && ahead.key === keyOf("ahead", state) ? ahead : null;
  }

  /** Forgets a question, so that the Worker stops at its next step. */
  drop(kind) {
    if (!this.waiting[kind]) return;
    this.waiting[kind].resolve(null);
    delete this.waiting[kind];
    this.worker?.postMessage({ kind, id: ++this.asked });
  }

  post(message, trace, layers) {
    if (this.worker === null) this.start();
    if (this.broken) return;
    if (this.trace !== trace) {
      this.trace = trace;
      this.given = new Set();
      message.meta = trace.meta;
    }
    const missing = layers.filter((layer) => !this.given.has(layer));
    message.layers = missing.map((layer) => [layer, trace.calls[layer].packed]);
    for (const layer of missing) this.given.add(layer);
    this.worker.postMessage(message);
  }

  start() {
    // As a plain script: opened from a file, a page may not start a module as a Worker.
    const script = new Blob([this.source.replace(/^export /gm, "")], { type: "text/javascript" });
    try {
      this.worker = new Worker(URL.createObjectURL(script));
    } catch {
      this.giveUp();
      return;
    }
    this.worker.onmessage = ({ data }) => {
      const question = this.waiting[data.kind];
      if (question?.id !== data.id) return;
      delete this.waiting[data.kind];
      question.done = true;
      if (data.error) question.reject(new Error(data.error));
      else question.resolve(data);
    };
    this.worker.onerror = () => this.giveUp();
  }

  /** Gives up: in a browser that starts no Worker the page computes by itself. */
  giveUp() {
    this.broken = true;
    const questions = Object.values(this.waiting);
    this.waiting = {};
    for (const question of questions) question.resolve(undefined);
  }

  stop() {
    this.worker?.terminate();
  }
}

function keyOf(kind, state) {
  return JSON.stringify(Object.entries(state).filter(([name]) => !ASIDE[kind].has(name)));
}

/** The Worker's side. */
class Answers {
  constructor(port) {
    this.port = port;
    this.newest = {};
    this.cache = {};
    this.selecting = null;
    port.onmessage = ({ data }) => this.take(data);
  }

  take({ kind, id, meta, layers, state }) {
    this.newest[kind] = id;
    if (meta) {
      this.trace = openTrace(meta, []);
      this.cache = {};
    }
    for (const [layer, packed] of layers ?? []) this.trace.calls[layer].supply(packed);
    if (!state) return;
    const run = this[kind](id, state).catch((error) => this.port.postMessage({ kind, id, error: error.message }));
    if (kind === "selection") this.selecting = run;
  }

  selection(id, state) {
    return this.compute("selection", id, state);
  }

  async ahead(id, state) {
    await this.selecting;
    await this.compute("ahead", id, state);
  }

  async compute(kind, id, state) {
    const { trace, cache } = this;
    await trace.calls[state.layer].ready();
    const job = selectJob(trace, state, cache);
    let step = { done: false };
    while (!step.done) {
      await pause();
      if (this.newest[kind] !== id) return;
      step = job.next();
    }
    const drawings = Object.fromEntries(MATRICES.map((name) => [name, DRAWINGS[name].draw(trace, state, cache)]));
    // Copies go to the page, which takes them over; the arrays stay for the next temperature.
    const copied = (array) => (ArrayBuffer.isView(array) ? array.slice() : array);
    const value = Object.fromEntries(Object.entries(step.value).map(([name, array]) => [name, copied(array)]));
    const images = MATRICES.flatMap((name) => Object.values(drawings[name].sources).flatMap(arraysOf));
    const own = new Set(Object.values(step.value).map((array) => array?.buffer));
    const given = [...Object.values(value), ...images].map((array) => array?.buffer).filter((one) => one && !own.has(one));
    this.port.postMessage({ kind, id, value, drawings }, [...new Set(given)]);
  }

  async numbers(id, state) {
    await this.selecting;
    const { trace, cache } = this;
    if (this.newest.numbers !== id) return;
    this.port.postMessage({ kind: "numbers", id, text: numbersLine(trace, state, select(trace, state, cache)) });
  }

  async tiles(id, state) {
    const { trace, cache } = this;
    let since = performance.now();
    for (const step of overviewJob(trace, state, cache)) {
      if (step instanceof Promise) await step;
      if (performance.now() - since < 8) continue;
      await pause();
      await this.selecting; // what the reader looks at comes first
      if (this.newest.tiles !== id) return;
      since = performance.now();
    }
    this.port.postMessage({ kind: "tiles", id, tiles: [...tilesOf(trace, state, cache)] });
  }
}

function arraysOf({ image, exact = [] }) {
  return [...image, ...exact];
}

/** Lets messages in; a timer would wait 4 ms. */
function pause() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

if (typeof WorkerGlobalScope !== "undefined" && globalThis instanceof WorkerGlobalScope) new Answers(globalThis);
