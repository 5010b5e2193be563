import { Run, lookAround } from "./run.js";

// Runs the bench in a Worker, so that the page answers meanwhile.
//
// In: {kind: "open", bench}, then {kind: "start", preset} and {kind: "stop"}. Out: "here" with what the device has, "progress",
// "record" with the result so far, "ended", and "failed" with a sentence.

const port = /** @type {any} */ (globalThis);
/** @type {?OfflineBench} */
let bench = null;
/** @type {?import("./run.js").Surroundings} */
let surroundings = null;
/** @type {?Run} */
let run = null;

/** @param {any} message */
async function answer({ kind, ...rest }) {
  if (kind === "open") {
    bench = /** @type {OfflineBench} */ (rest.bench);
    surroundings = await lookAround(bench);
    const { implementations, facts } = surroundings;
    port.postMessage({ kind: "here", facts, implementations: implementations.map(({ name, device }) => ({ name, device })) });
  } else if (kind === "start") {
    if (bench === null || surroundings === null) throw new Error("the bench must be opened before it is started");
    run = new Run(bench, rest.preset, surroundings, {
      onProgress: (done, total, words) => port.postMessage({ kind: "progress", done, total, words }),
      onRecord: (record) => port.postMessage({ kind: "record", record }),
    });
    await run.all();
    port.postMessage({ kind: "ended", stopped: run.stopped });
  } else if (run !== null) run.stopped = true;
}

port.onmessage = (/** @type {MessageEvent} */ { data }) => {
  answer(data).catch((/** @type {Error} */ error) => port.postMessage({ kind: "failed", error: error.message }));
};
