import { writeComponents } from "../core/scope.js";
import { typedMeta } from "../live_model/typed_meta.js";
import { fitLayer } from "./rules.js";

// The trace of a text that a reader typed, in place of the one that the file was made of. It has the same layers and heads.

// What an address says of a text: what was typed, how it was written on, and which heads are knocked out.
const PARAMETERS = ["prompt", "write", "without"];

/**
 * What the file was made with, kept for the way back.
 *
 * @typedef {{meta: TraceMeta, payloads: string[], annotations: any, numbers: any}} Original
 * `parameters` are some of PARAMETERS.
 *
 * @typedef {{trace: string, parameters: Record<string, string>, tokens: string[], origins: string[], causal: boolean, layers: ArrayBuffer[], address: string}} Typed
 */

/**
 * Shows the attention of a typed text; null goes back to the file's own trace.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {?Typed} typed
 */
export function showTyped(explorer, typed) {
  const original = (explorer.original ??= originalOf(explorer));
  const { model } = explorer;
  explorer.typed = typed?.parameters ?? null;
  if (typed === null) {
    show(explorer, { ...original.meta, trace: "own" }, original.payloads);
    explorer.write("attn-annotations", original.annotations);
    explorer.write("attn-head-maps", { numbers: original.numbers });
    writeComponents([model], { address: {} });
    return;
  }
  const meta = typedMeta(original.meta, typed);
  show(explorer, meta, typed.layers);
  const identity = [original.annotations.about.identity, ...Object.values(typed.parameters)].join(":");
  const calls = meta.calls.map(({ B, H, T, S }) => [B, H, T, S]);
  explorer.write("attn-annotations", { about: { identity, calls }, book: { identity, notes: [] } });
  explorer.write("attn-head-maps", { numbers: { ...original.numbers, trace: typed.trace, values: {} } });
  writeComponents([model], { address: typed.parameters });
}

/**
 * Shows the numbers of every head of a typed text.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {{trace: string, values: Record<string, ?number>[][]}} made by layer and head
 */
export function showTypedNumbers(explorer, { trace, values }) {
  const { original } = explorer;
  if (original === null || explorer.trace.meta.trace !== trace) return;
  // Importance needs runs of the model without each head.
  const maps = original.numbers.maps.filter((/** @type {{name: string}} */ { name }) => name in values[0][0]);
  const byMap = maps.map((/** @type {{name: string}} */ { name }) => values.map((heads) => heads.map((metrics) => metrics[name])));
  explorer.write("attn-head-maps", { numbers: { ...original.numbers, trace, maps, values: { 0: byMap } } });
}

/**
 * Has the prompt of a link run, if the file has a model and another prompt is shown.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {string} address
 * @returns {boolean} whether the link's other choices wait for it
 */
export function openPrompt(explorer, address) {
  if (!explorer.models.has("attn-prompt-box")) return false;
  const parameters = new URLSearchParams(address);
  const wanted = Object.fromEntries(PARAMETERS.map((name) => [name, parameters.get(name)]));
  const waiting = explorer.model.address === null; // for another link's text
  if (!waiting && PARAMETERS.every((name) => wanted[name] === (explorer.typed?.[name] ?? null))) return false;
  const { prompt } = wanted;
  explorer.write("attn-prompt-box", { wanted: { ...wanted, address, number: ++explorer.wanted } });
  if (prompt === null) {
    showTyped(explorer, null);
    return false;
  }
  writeComponents([explorer.model], { address: null }); // the URL stays as it is until then
  return true;
}

/**
 * Goes on with what is shown, where a text could not be run.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export function keepShown(explorer) {
  writeComponents([explorer.model], { address: explorer.typed ?? {} });
}

/** @param {import("./controller.js").BrowserExplorer} explorer @returns {Original} */
function originalOf(explorer) {
  /** @param {string} css */
  const data = (css) => explorer.models.get(css)?.[0].data;
  const { about, book } = data("attn-annotations");
  return {
    meta: explorer.trace.meta,
    payloads: explorer.model.payloads,
    annotations: { about, book },
    numbers: data("attn-head-maps").numbers,
  };
}

/**
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {TraceMeta} meta
 * @param {(string | ArrayBuffer)[]} payloads
 */
function show(explorer, meta, payloads) {
  const { state } = explorer;
  explorer.open(meta, payloads, { ...state, trace: meta.trace });
  explorer.set(fitLayer(explorer.trace, explorer.state));
}
