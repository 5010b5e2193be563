// Messages to and from Python: layers, projections and the state.

const RETRY_MS = 3000;
const SEND_WAIT_MS = 60;

/**
 * Requests a layer's arrays, and again if no answer arrives.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {number} layer
 */
export function requestLayer(explorer, layer) {
  if (explorer.requested === layer) return;
  explorer.requested = layer;
  clearTimeout(explorer.retry);
  explorer.retry = setTimeout(() => {
    explorer.requested = null; // if two answers come at once, the page may receive the last only
    if (!explorer.left && !explorer.trace.calls[explorer.state.layer].opened) explorer.drawSoon();
  }, RETRY_MS);
  explorer.model.send_msg({ layer_request: { trace: explorer.trace.meta.trace, layer } });
}

/**
 * Opens the arrays of a requested layer.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export function receiveLayer(explorer) {
  const { trace, layer, arrays } = explorer.model.layer_response;
  if (trace === explorer.trace?.meta.trace) explorer.trace.calls[layer].receive(arrays);
  if (explorer.requested === layer) explorer.requested = null;
}

/**
 * Adds the projections of further paint seeds.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export function receiveProjections(explorer) {
  const { trace, widths } = explorer.model.projections;
  if (!widths || trace !== explorer.trace?.meta.trace) return;
  for (const [width, seeds] of Object.entries(widths)) Object.assign(explorer.trace.meta.projections[width], seeds);
  explorer.changed.add("color_seed");
  explorer.drawSoon();
}

/**
 * Sends the state to Python at most every 60 ms, always including the last one.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export function sendStateLater(explorer) {
  explorer.sending ??= setTimeout(() => sendState(explorer), SEND_WAIT_MS);
}

/**
 * Sends the state to Python, if it listens.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export function sendState(explorer) {
  clearTimeout(explorer.sending ?? undefined);
  explorer.sending = null;
  if (explorer.left || !explorer.model.listens || explorer.address === undefined) return;
  sendNow(explorer);
}

/**
 * Sends the state to Python, drawn or not.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export function sendNow(explorer) {
  explorer.unsent = false;
  explorer.model.send_msg({ state: { ...explorer.state, push: explorer.push } });
  // A page without a session has the projections of some paint seeds.
  const { drawn_alone: alone, meta } = explorer.model;
  const lacks = (/** @type {object} */ seeds) => !(explorer.state.color_seed in seeds);
  if (alone && Object.values(meta.projections).some(lacks)) globalThis.document.dispatchEvent(new Event("attn:ask-session"));
}
