import { comparisonSentence, ringsOf, shownKey } from "./drawings.js";
import { alignedTokens, compareHeads, oneAgainstAll } from "./model.js";
import { moveRings } from "../views/boxes.js";
import { keepShown, showTyped } from "./typed_texts.js";

// Handles what the reader does, as messages.

export const MATRICES = ["first", "second", "difference"];

/** @param {import("./controller.js").ComparisonPage} page @param {any} message */
export function handleMessage(page, message) {
  if (page.left || !page.traces) return;
  const { state } = page;
  if (message.step) step(page, message.step[0], message.step[1]);
  else if (message.jump?.[0] === "query_index") {
    page.set({ row: message.jump[1] === "first" ? 0 : page.keyCount, key: null });
  } else if ("key_step" in message) stepKey(page, message.key_step);
  else if ("row" in message) page.set({ row: message.row, key: null });
  else if ("column" in message) page.set({ key: message.column });
  else if (message.place) go(page, message.place[0], message.place[1]);
  else if ("every" in message) page.set({ every: message.every });
  else if ("contrast" in message) {
    page.contrasted = message.contrast;
    page.set({});
  } else if (message.tap) tap(page, message.tap[0], message.tap[1], message.tap[2]);
  else if ("typed" in message) showTyped(page, message.typed);
  else if (message.typed_refused) keepShown(page);
  else if (message.theme === "toggle") paint(page, state.dark ? "light" : "dark");
  else if ("prefers_dark" in message) {
    page.write("attn-interaction", { asks_theme: false });
    if (page.theme === null) page.set({ dark: message.prefers_dark });
  }
}

/** @param {import("./controller.js").ComparisonPage} page */
function opened({ traces, state }) {
  return traces.every(({ calls }, side) => calls[state.layer[side]].opened);
}

/**
 * Selects the key before or after the shown one.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {number} by
 */
function stepKey(page, by) {
  if (!opened(page)) return;
  const shown = shownKey(compareHeads(page.traces, page.state, page.caches), page.state);
  page.set({ key: inside(page, shown + by, "keys") });
}

/** @param {import("./controller.js").ComparisonPage} page @param {string} theme */
export function paint(page, theme) {
  page.theme = theme;
  page.write("attn-interaction", { asks_theme: false });
  page.set({ dark: theme === "dark" });
}

/** @param {import("./controller.js").ComparisonPage} page @param {string} name @param {number} by */
export function step(page, name, by) {
  const { state } = page;
  if (name === "query_index") page.set({ row: Math.max(0, state.row + by), key: null });
  else {
    const moved = /** @type {any} */ (state)[name].map((/** @type {number} */ one) => Math.max(0, one + by));
    const side = page.traces[0].calls;
    const most = name === "layer" ? side.length - 1 : side[state.layer[0]].H - 1;
    if (moved[0] <= most) page.set({ [name]: moved, key: null });
  }
}

/**
 * Selects a head of the map: for both sides, or for B if its head is unlinked.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {number} layer
 * @param {number} head
 */
export function go(page, layer, head) {
  const { state } = page;
  if (oneAgainstAll(state)) {
    const both = [...new Set([...state.apart, "layer", "head", "aggregate"])];
    const [mean] = state.aggregate;
    page.set({ layer: [state.layer[0], layer], head: [state.head[0], head], aggregate: [mean, false], apart: both, key: null });
  } else page.set({ layer: [layer, layer], head: [head, head], aggregate: [false, false], key: null });
}

/** @param {import("./controller.js").ComparisonPage} page @param {string} view @param {number} x @param {number} y */
export function tap(page, view, x, y) {
  const [column, row] = [Math.round(x), Math.round(y)];
  if (view === "heads") {
    if (page.changes?.heads.some((change) => change.layer === row && change.head === column)) go(page, row, column);
  } else if (MATRICES.includes(view)) page.set({ row: inside(page, row, "queries"), key: null });
  else if (view === "bars") page.set({ row: inside(page, column, "queries"), key: null });
}

/** @param {import("./controller.js").ComparisonPage} page @param {number} place @param {"queries" | "keys"} which */
export function inside(page, place, which) {
  const { pairs } = alignedTokens(page.traces, page.state)[which];
  return Math.min(Math.max(place, 0), pairs.length - 1);
}

/**
 * Handles the pointer over a matrix: the sentence describes that key of the selected row.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {{view: string, kind: string, x: number}} event
 */
export function point(page, { view, kind, x }) {
  if (kind === "tap" || !page.traces || !(MATRICES.includes(view) || view === "bars")) return;
  const key = kind === "leave" ? null : inside(page, Math.round(x), "keys");
  if (key === page.state.key) return;
  page.state = { ...page.state, key };
  page.pointing ??= requestAnimationFrame(() => {
    page.pointing = null;
    if (page.left || !opened(page)) return;
    const compared = compareHeads(page.traces, page.state, page.caches);
    page.write("attn-sentence-line", { pieces: comparisonSentence(compared, page.state) });
    moveRings(ringsOf(page.plots, compared, page.state), page.traces[0].themes[page.state.dark ? "dark" : "light"]);
    page.contrastLater();
  });
}
