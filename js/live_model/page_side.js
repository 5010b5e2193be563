// The page's side of a model in its file: starts the Worker, hands it what the file holds, and asks it.

const END = "attnpanel-model-end";
const PARTS = "script[data-attnpanel-weights]";

/**
 * With heads knocked out, `before` has the layers of the run with all heads.
 *
 * @typedef {LiveAnswer & {run: number, unknown: number, ended?: boolean, before: ?ArrayBuffer[]}} TypedTrace
 */

export class LiveModel {
  /** @type {?Worker} */
  worker = null;
  asked = 0;
  /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void, onToken: (token: LiveToken) => void}>} */
  waiting = new Map();

  /** Starts the model; resolves with the name of its kernel, and rejects with what a reader can be told. @returns {Promise<string>} */
  async open() {
    await until(() => document.querySelector(PARTS) !== null); // what comes before it is complete
    const [code, description] = await Promise.all(["attnpanel-model-worker", "attnpanel-model"].map(inflated));
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    this.worker = worker;
    /** @type {Promise<string>} */
    const ready = new Promise((resolve, reject) => {
      worker.onerror = ({ message }) => {
        reject(new Error(message));
        this.fail(new Error(message));
      };
      worker.onmessage = ({ data }) => {
        if (data.kind === "ready") resolve(data.kernel);
        else if (data.kind === "failed") reject(new Error(data.error));
        else this.settle(data);
      };
    });
    worker.postMessage({ kind: "open", description: JSON.parse(description) });
    // While the rest of the file is read.
    for (let part = await nextPart(); part !== null; part = await nextPart()) {
      worker.postMessage({ kind: "bytes", base64: part.textContent });
      part.remove();
    }
    worker.postMessage({ kind: "start" });
    return ready;
  }

  /**
   * Runs a text.
   *
   * @param {string} text
   * @param {string} without heads that are knocked out, such as "3.5,4.0"
   * @returns {Promise<?TypedTrace>} null if a newer question replaced it
   */
  run(text, without) {
    return this.ask({ kind: "run", text, without });
  }

  /**
   * Runs a text and writes on.
   *
   * @param {string} text
   * @param {string} without as for `run`
   * @param {WritingChoices} choices
   * @param {(token: LiveToken) => void} onToken gets each token as it is drawn
   * @returns {Promise<?TypedTrace>} of all tokens; null if a newer question replaced it
   */
  write(text, without, choices, onToken) {
    return this.ask({ kind: "write", text, without, choices }, onToken);
  }

  /** Ends what is being written; its trace comes. */
  stopWriting() {
    this.worker?.postMessage({ kind: "stop" });
  }

  /**
   * The numbers of every head for the text that was run last.
   *
   * @param {number} run of its trace; rejects if another text was run since
   * @param {boolean} whole whether of the run with all heads
   * @returns {Promise<?Record<string, ?number>[][]>} by layer and head; null if a newer question replaced it
   */
  async numbers(run, whole) {
    return (await this.ask({ kind: "numbers", run, whole }))?.values ?? null;
  }

  /**
   * What the heads that were knocked out changed in the text that was run last.
   *
   * @param {number} run as for `numbers`
   * @returns {Promise<?ModelChange>} null if a newer question replaced it
   */
  async change(run) {
    return (await this.ask({ kind: "change", run }))?.change ?? null;
  }

  /** @param {object} question @param {(token: LiveToken) => void} [onToken] @returns {Promise<any>} */
  ask(question, onToken = () => {}) {
    for (const { resolve } of this.waiting.values()) resolve(null);
    this.waiting.clear();
    const id = ++this.asked;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, onToken });
      this.worker?.postMessage({ ...question, id });
    });
  }

  /** @param {any} answer */
  settle({ kind, id, error, ...content }) {
    const question = this.waiting.get(id);
    if (kind === "written") {
      question?.onToken(/** @type {any} */ (content));
      return;
    }
    this.waiting.delete(id);
    if (kind === "refused") question?.reject(new Error(error));
    else question?.resolve(content);
  }

  /** @param {Error} error */
  fail(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  stop() {
    this.worker?.terminate();
  }
}

/**
 * The next part of the weights; null after the last.
 *
 * @returns {Promise<?Element>}
 */
async function nextPart() {
  const whole = () => document.getElementById(END) !== null;
  // The last part may still grow, and Bokeh puts elements of its own after it.
  await until(() => document.querySelectorAll(PARTS).length > 1 || whole());
  return document.querySelector(PARTS);
}

/**
 * Waits until the file's elements meet a condition; rejects if they don't at its end.
 *
 * @param {() => boolean} condition
 * @returns {Promise<void>}
 */
function until(condition) {
  return new Promise((resolve, reject) => {
    const look = () => {
      const met = condition();
      if (!met && document.readyState === "loading") return;
      observer.disconnect();
      document.removeEventListener("DOMContentLoaded", look);
      if (met) resolve();
      else reject(new Error("the file was cut short: get it again"));
    };
    const observer = new MutationObserver(look);
    observer.observe(document.documentElement, { childList: true, subtree: true });
    document.addEventListener("DOMContentLoaded", look);
    look();
  });
}

/**
 * The text of a script element of the file, which holds it deflated in base64; the element is removed.
 *
 * @param {string} id
 */
async function inflated(id) {
  const element = /** @type {HTMLElement} */ (document.getElementById(id));
  const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  element.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}
