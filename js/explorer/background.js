import { numbersLine } from "./labels.js";
import { HELPER, MeanHelpers, helpMeans } from "./mean_helpers.js";
import { startHelpers } from "./mean.js";
import { keepSelection, select, selectJob, selectionWork } from "./selection.js";
import { overviewJob, tilesOf } from "../views/overview.js";
import { DRAWINGS, heatmapsOf, measuredOf } from "../views/table.js";
import { Questions, keyOf } from "./questions.js";
import { openTrace } from "../core/trace_data.js";
import { Contest, LONG_WORK } from "../webgpu/contest.js";

// Work that is too long for the page's own thread runs in a Worker, from the same bundle as the page.

/** Questions to the Worker. Kinds: selection, ahead (a selection likely to be needed next), numbers and tiles. */
export class Background extends Questions {
  /** @type {?Worker} */
  worker = null;
  broken = false;
  /** @type {import("./questions.js").Question | undefined} */
  ahead;
  /** @type {Trace | undefined} the trace that the Worker has received */
  trace;
  /** @type {Set<number>} the layers that it has received */
  given = new Set();

  /** @param {string} source the text of this bundle */
  constructor(source) {
    super((message, trace, layers) => this.post(message, trace, layers));
    this.source = source;
  }

  /**
   * The question that was asked ahead, if it is about this state.
   *
   * @param {Trace} trace
   * @param {State} state
   * @returns {?import("./questions.js").Question}
   */
  askedAhead(trace, state) {
    const { ahead } = this;
    return ahead?.trace === trace && ahead.key === keyOf("ahead", state) ? ahead : null;
  }

  /**
   * Cancels a question, so that the Worker stops at its next step.
   *
   * @param {string} kind
   */
  drop(kind) {
    const dropped = super.drop(kind);
    if (dropped) this.worker?.postMessage({ kind, id: ++this.asked });
    return dropped;
  }

  /** @param {any} message @param {Trace} trace @param {number[]} layers */
  post(message, trace, layers) {
    if (message.kind === "ahead") this.ahead = this.waiting.ahead;
    if (this.worker === null) this.start();
    if (this.broken) return;
    if (this.trace !== trace) {
      this.trace = trace;
      this.given = new Set();
      message.meta = trace.meta;
    }
    const missing = layers.filter((layer) => !this.given.has(layer));
    message.arrays = missing.map((layer) => [layer, trace.calls[layer].packed]);
    for (const layer of missing) this.given.add(layer);
    this.worker?.postMessage({ ...message, layers });
  }

  start() {
    // As a classic script without the bundle's exports: a page opened from a file may not start a module Worker.
    const script = new Blob([this.source.replace(/export\{[^{}]*\};?\s*$/, "")], { type: "text/javascript" });
    try {
      this.worker = new Worker(URL.createObjectURL(script));
    } catch {
      this.giveUp();
      return;
    }
    this.worker.onmessage = ({ data }) => this.settle(data);
    this.worker.onerror = () => this.giveUp();
    this.worker.postMessage({ script }); // in a page opened from a file, it may not start helpers from its own address
  }

  /** Without a Worker the page computes by itself. */
  giveUp() {
    this.broken = true;
    this.giveUpQuestions();
  }

  stop() {
    this.worker?.terminate();
  }
}

/** The Worker's side: answers questions. */
class Answers {
  /** @type {Record<string, number>} the newest question of each kind */
  newest = {};
  /** @type {Trace} */
  trace = /** @type {any} */ (null);
  /** @type {?MeanHelpers} */
  helpers = null;
  /** @type {SelectionCache} */
  cache = {};
  /** @type {?Promise<void>} */
  selecting = null;
  contest = new Contest();

  /** @param {any} port */
  constructor(port) {
    this.port = port;
    port.onmessage = (/** @type {MessageEvent} */ { data }) => this.take(data);
  }

  /** @param {any} message */
  take({ script, kind, id, meta, arrays, layers, state }) {
    if (script) this.helpers = new MeanHelpers(() => new Worker(URL.createObjectURL(script), { name: HELPER }));
    this.newest[kind] = id;
    if (meta) {
      this.trace = openTrace(meta, []);
      this.cache = { helpers: this.helpers };
    }
    for (const [layer, packed] of arrays ?? []) this.trace.calls[layer].receive(packed);
    if (!state) return;
    const run = this.answer(kind, id, state, layers).catch((/** @type {Error} */ error) => this.port.postMessage({ kind, id, error: error.message }));
    if (kind === "selection") this.selecting = run;
  }

  /** @param {string} kind @param {number} id @param {State} state @param {number[]} layers @returns {Promise<void>} */
  answer(kind, id, state, layers) {
    if (kind === "tiles") return this.tiles(id, state, layers);
    if (kind === "numbers") return this.numbers(id, state);
    if (kind === "ahead") return this.ahead(id, state);
    return this.compute(kind, id, state);
  }

  /** @param {number} id @param {State} state */
  async ahead(id, state) {
    await this.selecting;
    await this.compute("ahead", id, state);
  }

  /** @param {string} kind @param {number} id @param {State} state */
  async compute(kind, id, state) {
    const { trace, cache } = this;
    await trace.calls[state.layer].ready();
    const selected = await this.select(kind, id, state);
    if (selected === null) return;
    const heatmaps = heatmapsOf(trace);
    const drawings = Object.fromEntries(heatmaps.map((name) => [name, DRAWINGS[name].draw(trace, state, cache)]));
    // Copies are transferred to the page; the originals stay cached for the next temperature.
    /** @param {any} array */
    const copied = (array) => (ArrayBuffer.isView(array) ? /** @type {Floats} */ (array).slice() : array);
    const value = Object.fromEntries(Object.entries(selected).map(([name, array]) => [name, copied(array)]));
    const images = heatmaps.flatMap((name) => Object.values(drawings[name].sources).flatMap(arraysOf));
    const own = new Set(Object.values(selected).map((array) => array?.buffer));
    const given = [...Object.values(value), ...images].map((array) => array?.buffer).filter((buffer) => buffer && !own.has(buffer));
    this.port.postMessage({ kind, id, value, drawings }, [...new Set(given)]);
  }

  /**
   * @param {string} kind @param {number} id @param {State} state
   * @returns {Promise<?HeadSelection>} null if superseded by a newer question
   */
  async select(kind, id, state) {
    const { trace, cache, contest } = this;
    const ofGpu = await contest.answer(trace, state, cache);
    if (this.newest[kind] !== id) return null;
    if (ofGpu !== null) {
      keepSelection(trace, state, cache, ofGpu);
      return ofGpu;
    }
    const long = selectionWork(trace, state, cache) >= LONG_WORK;
    const job = selectJob(trace, state, cache);
    let took = 0;
    let step;
    do {
      await pause();
      if (this.newest[kind] !== id) return null;
      const begun = performance.now();
      step = job.next();
      took += performance.now() - begun;
    } while (!step.done);
    // Once it is on its way to the page.
    if (long) setTimeout(() => contest.hold(trace, state, cache, step.value, took));
    startHelpers(trace, state, cache);
    return step.value;
  }

  /** @param {number} id @param {State} state */
  async numbers(id, state) {
    await this.selecting;
    const { trace, cache } = this;
    if (this.newest.numbers !== id) return;
    const selection = /** @type {HeadSelection} */ (select(trace, state, cache));
    const answer = { text: numbersLine(trace, state, selection), measured: measuredOf(trace, state, selection) };
    this.port.postMessage({ kind: "numbers", id, ...answer });
  }

  /** @param {number} id @param {State} state @param {number[]} layers */
  async tiles(id, state, layers) {
    const { trace, cache } = this;
    let since = performance.now();
    for (const step of overviewJob(trace, state, cache, layers)) {
      if (step instanceof Promise) await step;
      if (performance.now() - since < 8) continue;
      await pause();
      await this.selecting; // the selection on screen has priority
      if (this.newest.tiles !== id) return;
      since = performance.now();
    }
    this.port.postMessage({ kind: "tiles", id, tiles: [...tilesOf(trace, state, cache)] });
  }
}

/** @param {Columns} columns */
function arraysOf({ image, exact = [] }) {
  return [...image, ...exact];
}

/**
 * Lets the event loop handle messages; a timer would wait 4 ms.
 *
 * @returns {Promise<void>}
 */
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

/** Starts what this module is in a Worker. */
function startInWorker() {
  const { WorkerGlobalScope: scope, name } = /** @type {any} */ (globalThis);
  if (scope === undefined || !(globalThis instanceof scope)) return;
  if (name === HELPER) helpMeans(globalThis);
  else new Answers(globalThis);
}

startInWorker();
