import { findMask, fitMaskValues, maskBounds, maskStarts } from "../core/masks.js";
import { t } from "../core/translate.js";

// Which choices a trace allows, and which of them have no effect now.

/** @type {State} */
export const START = {
  layer: 0,
  head: 0,
  aggregate: false,
  batch: 0,
  query_index: 0,
  temperature: 1,
  mask: "none",
  align: "top_left",
  empty_rows: "zero",
  color_seed: 0,
  weight_scale: "square root",
  skip_first: false,
  line_heads: [],
  lines_of_token: false,
  line_token: null,
  pair: null,
  viewport: null,
  dark: false,
};

// Boolean choices.
export const SWITCHES = new Set(["aggregate", "skip_first", "lines_of_token"]);

/**
 * The masks that can be chosen for this trace.
 *
 * @param {Trace} trace
 * @returns {string[]}
 */
export function masksOf(trace) {
  const kinds = trace.masks.kinds.map((row) => row.kind);
  return trace.source === "toy" ? kinds : ["model", ...kinds];
}

/**
 * The bounds of each number in the state's layer.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {Record<string, [number, number]>}
 */
export function bounds(trace, state) {
  const call = trace.calls[state.layer];
  return {
    layer: [0, trace.calls.length - 1],
    head: [0, call.H - 1],
    batch: [0, call.B - 1],
    query_index: [0, call.T - 1],
    temperature: [0.01, 100],
    ...maskBounds(trace.masks, call),
    line_heads: [0, 1023],
    color_seed: [0, (trace.seeds ?? 2 ** 31) - 1], // a report contains the projections of a few seeds
  };
}

/**
 * The initial state of a trace.
 *
 * @param {Trace} trace
 * @param {boolean} [dark]
 * @returns {State}
 */
export function startState(trace, dark = false) {
  return fitTrace(trace, { ...START, ...maskStarts(trace.masks, trace.calls[0], false), dark });
}

/**
 * Fits a state to a new trace: sets mask, policy of empty rows and mask parameters to its defaults.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {State} a new one
 */
export function fitTrace(trace, state) {
  const toy = trace.source === "toy";
  const layer = Math.min(state.layer, trace.calls.length - 1);
  const rules = { mask: toy ? "none" : "model", empty_rows: /** @type {EmptyRows} */ (toy ? "uniform" : "zero") };
  return fitLayer(trace, { ...state, layer, ...rules, ...maskStarts(trace.masks, trace.calls[layer], true) });
}

/**
 * Clamps head, token, batch and mask parameters to the layer's shape, and clears the pair.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {?number} [before] the previous layer; the viewport stays if it has the same shape
 * @returns {State} a new one
 */
export function fitLayer(trace, state, before = null) {
  const call = trace.calls[state.layer];
  const old = before === null ? undefined : trace.calls[before];
  /** @type {State} */
  const fitted = { ...state, pair: null, line_token: null };
  if (old?.T !== call.T || old?.S !== call.S) fitted.viewport = null;
  const ranges = bounds(trace, state);
  for (const name of ["head", "batch", "query_index"]) fitted[name] = Math.min(state[name], ranges[name][1]);
  return Object.assign(fitted, fitMaskValues(trace.masks, state, call));
}

/**
 * The state with another layer.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {number} layer
 * @returns {State} the same object if the layer is the same
 */
export function chooseLayer(trace, state, layer) {
  return layer === state.layer ? state : fitLayer(trace, { ...state, layer }, state.layer);
}

/**
 * The controls that have no effect now, each with the reason as a sentence.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {?{empty: Uint8Array}} selection as select gives it; null if it can't be computed
 * @returns {Record<string, string>}
 */
export function unavailable(trace, state, selection) {
  const call = trace.calls[state.layer];
  const mask = call.live ? state.mask : "model";
  const row = mask === "model" ? null : findMask(trace.masks, mask);
  const { kinds, parameters } = trace.masks;
  const ranges = maskBounds(trace.masks, call);
  const recorded = t("Only the weights were recorded, so they can't be recomputed.");
  // If several rules apply to a control, the last one gives the reason.
  const rules = [
    ["layer", trace.calls.length === 1, t("This trace has one layer.")],
    ["head", state.aggregate, t("The mean over all heads is shown.")],
    ["head", call.H === 1, t("This layer has one head.")],
    ["aggregate", call.H === 1, t("This layer has one head.")],
    ["query_index", call.T === 1, t("There is one query token.")],
    ["batch", call.B === 1, t("There is one sequence.")],
    ["temperature", !call.live, recorded],
    ["mask", !call.live, recorded],
    ...parameters.flatMap(({ name }) => [
      [name, ranges[name][0] === ranges[name][1], t("There is one token.")],
      [name, !row?.needs.includes(name), matters(kinds.filter(({ needs }) => needs.includes(name)))],
    ]),
    ["align", !row?.aligned, matters(kinds.filter(({ aligned }) => aligned))],
    ["align", call.T === call.S, t("There are as many queries as keys.")],
    ["empty_rows", call.sinks !== null, t("The attention sink takes the whole of such a row.")],
    ["empty_rows", !selection?.empty.includes(1), t("Every query sees a key.")],
    ["skip_first", call.S === 1, t("There is one key token.")],
    ["color_seed", !call.hasValue, t("The values were left out, so the colours can't be mixed anew.")],
    ["color_seed", !call.hasColours, t("No values were kept in this trace.")],
  ];
  return Object.fromEntries(rules.filter(([, idle]) => idle).map(([name, , reason]) => [name, reason]));
}

/**
 * A sentence that names the masks under which a control matters.
 *
 * @param {{label: string}[]} rows
 */
function matters(rows) {
  const labels = rows.map(({ label }) => label);
  const last = labels.pop();
  if (labels.length === 0) return t("It matters under the {mask} mask only.", { mask: last });
  return t("It matters under the {masks} and {last} masks only.", { masks: labels.join(", "), last });
}
