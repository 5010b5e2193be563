import { lacksKernel } from "../core/scope.js";
import { t } from "../core/translate.js";
import { requestLayer } from "./python.js";
import { keepSelection, partsOf, selectionWork } from "./selection.js";

// Prepares the selection for a draw: computes it here, in the Worker or in Python.

// A shorter wait is not announced.
const BUSY_WAIT_MS = 150;
// Limit of work in the page's own thread, in multiply-adds: about 50 ms.
export const MAX_WORK = 5e7;
// Kinds of questions about a layer too large for the page.
const PARTS = ["matrices", "colours", "row", "pointed"];

/**
 * Computes the selection: here if that is quick, else in the Worker; in Python if the layer is too large for
 * the page.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {number} run
 * @returns {Promise<?Record<string, Drawing>>} drawings the Worker made, by view; null if superseded by a newer state
 */
export async function prepare(explorer, run) {
  const { trace, state, cache } = explorer;
  const call = trace.calls[state.layer];
  const which = state.aggregate ? t("the mean of {count} heads", { count: call.H }) : t("head {head}", { head: state.head });
  const computing = t("Computing layer {layer}, {heads} …", { layer: state.layer, heads: which });
  if (call.packed === undefined && lacksKernel()) {
    throw new Error(t("this page is a converted notebook, and the trace is too large to be embedded in it: run the notebook"));
  }
  if (call.partial) return askParts(explorer, run, computing);
  for (const kind of PARTS) explorer.python.drop(kind);
  if (!call.opened) {
    if (!trace.meta.embedded) requestLayer(explorer, state.layer);
    busy(explorer, t("Loading layer {layer} …", { layer: state.layer }));
    await call.ready();
    if (run !== explorer.started) return null;
  }
  const ahead = explorer.background.askedAhead(trace, state);
  const quick = explorer.background.broken || selectionWork(trace, state, cache) < MAX_WORK;
  if (quick && !ahead?.done) {
    explorer.background.drop("selection");
    busy(explorer, "");
    return {};
  }
  busy(explorer, computing);
  const answer = await (ahead?.answer ?? explorer.background.ask("selection", trace, [state.layer], state));
  if (answer === null || run !== explorer.started) return null;
  busy(explorer, "");
  if (answer === undefined) return {}; // the Worker could not start
  keepSelection(trace, state, cache, answer.value);
  return answer.drawings;
}

/**
 * Asks Python for the missing parts of a partial selection; null if superseded by a newer state.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {number} run
 * @param {string} computing
 * @returns {Promise<?Record<string, Drawing>>}
 */
export async function askParts(explorer, run, computing) {
  const { trace, state, cache } = explorer;
  const parts = partsOf(trace, cache);
  const missing = parts.missing(state);
  if (missing.length) busy(explorer, computing);
  const asked = missing.map(async ([kind, about]) => {
    const answer = await explorer.python.ask(kind, trace, [about.layer], about);
    if (run === explorer.started) parts.keep(kind, about, answer ?? {}); // an older answer must not replace a newer one
  });
  await Promise.all(asked);
  if (run !== explorer.started) return null;
  busy(explorer, "");
  return {};
}

/**
 * Announces a wait once it lasts; an empty text ends it.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {string} text
 */
export function busy(explorer, text) {
  clearTimeout(explorer.waits);
  if (text === "") explorer.write("attn-busy", { text });
  else explorer.waits = setTimeout(() => explorer.write("attn-busy", { text }), BUSY_WAIT_MS);
}
