import { continuation } from "./continuation.js";
import { headMetrics, inducedKeys } from "./head_metrics.js";
import { changeOf, readHeads } from "./knock_out.js";
import { startLayerKernel } from "./layer_kernels.js";
import { packLayer } from "./packed_layer.js";
import { makeTokenizer } from "./tokenizers.js";
import { Transformer } from "./transformer.js";

// Runs a model of an offline file in a Worker: takes its bytes, then texts, of which the newest counts.
//
// In: {kind: "open", description}, {kind: "bytes", base64} in order, {kind: "start"}; then {kind: "run", id, text, without} and
// {kind: "numbers", id, run, whole} or {kind: "change", id, run}, which are about the trace of that id, or {kind: "write", id, text, without, choices}, which {kind: "stop"}
// ends early. `without` names heads that are knocked out, such as "3.5,4.0".
// Out: "ready", "failed", "trace", "refused", "numbers", "change", and "written" for each token that is written.

/** @typedef {import("./transformer.js").Run} Run */

class ModelWorker {
  /** @type {ModelDescription} */
  description = /** @type {any} */ (null);
  bytes = new Uint8Array(0);
  filled = 0;
  /** @type {Tokenizer} */
  tokenizer = /** @type {any} */ (null);
  /** @type {Transformer} */
  model = /** @type {any} */ (null);
  /** the question whose runs are held */
  held = 0;
  /** the newest question */
  newest = 0;
  /** @type {?Run} */
  last = null;
  /** the same tokens with all heads, where some are knocked out @type {?Run} */
  whole = null;
  /** whether what is being written is to end */
  stopped = false;

  /** @param {any} port */
  constructor(port) {
    this.port = port;
    port.onmessage = (/** @type {MessageEvent} */ { data }) => {
      if (data.id) {
        this.newest = data.id;
        this.stopped = false; // what comes before the first token is drawn counts
      }
      const answering = data.id ? pause().then(() => this.answer(data)) : this.load(data);
      answering.catch((/** @type {Error} */ error) => {
        port.postMessage({ kind: data.id ? "refused" : "failed", id: data.id, error: error.message });
      });
    };
  }

  /** @param {any} message */
  async load({ kind, description, base64 }) {
    if (kind === "open") {
      this.description = description;
      this.bytes = new Uint8Array(description.bytes);
    } else if (kind === "bytes") this.take(base64);
    else if (kind === "stop") this.stopped = true;
    else this.start();
  }

  /** @param {string} base64 */
  take(base64) {
    const part = decode(base64);
    if (this.filled + part.length > this.bytes.length) throw new Error("the file holds more weights than its model has");
    this.bytes.set(part, this.filled);
    this.filled += part.length;
  }

  start() {
    if (this.filled !== this.bytes.length) {
      throw new Error(`the model's weights are cut short: ${this.filled} of ${this.bytes.length} bytes; get the file again`);
    }
    const since = performance.now();
    const { description } = this;
    this.tokenizer = makeTokenizer(description.tokenizer);
    const kernel = startLayerKernel();
    this.model = new Transformer(description, this.bytes.buffer, kernel);
    this.port.postMessage({ kind: "ready", kernel: kernel.name, ms: performance.now() - since });
  }

  /** @param {{kind: string, id: number, text: string, without?: string, run?: number, whole?: boolean, choices: WritingChoices}} question */
  async answer({ kind, id, text, without = "", run = 0, whole = false, choices }) {
    if (id !== this.newest) return;
    const about = kind === "numbers" || kind === "change";
    if (about && run !== this.held) throw new Error("another text was run since");
    if (kind === "numbers") await this.numbers(id, (whole && this.whole) || this.last);
    else if (kind === "change") await this.change(id);
    else {
      const heads = readHeads(without, this.description);
      if (kind === "write") await this.write(id, text, heads, choices);
      else this.run(id, text, heads);
    }
  }

  /** @param {number} id @param {string} text @param {Set<string>} without @param {WritingChoices} choices */
  async write(id, text, without, choices) {
    const since = performance.now();
    const { ids, origins } = this.tokenizer.read(text);
    const written = [];
    let last = this.last;
    for (const { token, candidates, run } of continuation(this.model, ids, choices, this.description.ends, without)) {
      last = run; // what is held stays until it is all there
      if (token === null) break;
      const named = candidates.map(({ id: candidate, chance }) => ({ name: this.tokenizer.name(candidate), chance, drawn: candidate === token }));
      written.push(token);
      this.port.postMessage({ kind: "written", id, prompt: ids.length, token: this.tokenizer.name(token), candidates: named });
      await pause();
      if (id !== this.newest) return;
      if (this.stopped) break;
    }
    const ended = this.description.ends.includes(written[written.length - 1]);
    if (without.size > 0) this.compare(/** @type {Run} */ (last).ids, without);
    else [this.last, this.whole] = [last, null];
    this.send(id, [...origins, ...written.map(() => "")], since, { ended });
  }

  /** @param {number} id @param {string} text @param {Set<string>} without */
  run(id, text, without) {
    const since = performance.now();
    const { ids, origins } = this.tokenizer.read(text);
    if (without.size > 0) this.compare(ids, without);
    else [this.last, this.whole] = [this.model.run(ids), null];
    this.send(id, origins, since);
  }

  /**
   * Runs tokens with all heads and without some, and holds both runs.
   *
   * @param {number[]} ids
   * @param {Set<string>} without
   */
  compare(ids, without) {
    [this.whole, this.last] = [this.model.run(ids), this.model.run(ids, { without })];
  }

  /** @param {number} id */
  async change(id) {
    const parts = changeOf(this.model, /** @type {Run} */ (this.whole), /** @type {Run} */ (this.last), this.description.nextTokens > 0);
    for (let part = parts.next(); ; part = parts.next()) {
      if (part.done) {
        const { expected, ...change } = part.value;
        const named = expected.map((row) => row.map(({ id: token, ...shares }) => ({ name: this.tokenizer.name(token), ...shares })));
        this.port.postMessage({ kind: "change", id, change: { ...change, expected: named } });
        return;
      }
      await pause();
      if (id !== this.newest) return;
    }
  }

  /**
   * Answers with the run that is held.
   *
   * @param {number} id
   * @param {string[]} origins
   * @param {number} since when the question was begun
   * @param {{ended?: boolean}} [more]
   */
  send(id, origins, since, more = {}) {
    this.held = id;
    const { ids } = /** @type {Run} */ (this.last);
    const layers = packed(/** @type {Run} */ (this.last));
    const before = this.whole && packed(this.whole);
    const tokens = ids.map((token) => this.tokenizer.name(token));
    const unknown = ids.filter((token) => token === this.tokenizer.unknown).length;
    const { causal } = this.description;
    const ms = performance.now() - since;
    this.port.postMessage({ kind: "trace", id, run: id, tokens, origins, causal, unknown, layers, before, ms, ...more }, [...layers, ...(before ?? [])]);
  }

  /** @param {number} id @param {?Run} run */
  async numbers(id, run) {
    const { ids, layers } = /** @type {Run} */ (run);
    const induced = inducedKeys(ids);
    const { heads } = this.description;
    const values = [];
    for (const states of layers) {
      await pause();
      if (id !== this.newest) return;
      values.push(
        Array.from({ length: heads }, (_, head) => headMetrics(this.model.weightsOf(states, head, ids.length), ids.length, induced)),
      );
    }
    this.port.postMessage({ kind: "numbers", id, values });
  }
}

/** @param {Run} run */
const packed = ({ layers }) => layers.map(({ query, key, value }) => packLayer([query, key, value]));

/** @param {string} base64 @returns {Uint8Array} */
function decode(base64) {
  const { fromBase64 } = /** @type {any} */ (Uint8Array);
  if (fromBase64) return fromBase64.call(Uint8Array, base64);
  const letters = atob(base64);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/**
 * Lets newer messages arrive; a timer would wait 4 ms.
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

new ModelWorker(globalThis);
