import { firstOf, fixed, general, inQuotes, shorten } from "../core/format.js";
import { entropy, meanDistance } from "../core/head_numbers.js";
import { maskWords } from "../core/masks.js";
import { t } from "../core/translate.js";
import { formula } from "./sentence.js";
import { scaleOf } from "../views/colours.js";
import { originsOf } from "../views/text.js";

// Titles, and the labels of slider positions.

const TOKEN_LABELS = new WeakMap();

/**
 * The label of each position of a slider.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {{layer: string[], head: string[], batch: string[], query_index: string[]}}
 */
export function sliderLabels(trace, state) {
  const call = trace.calls[state.layer];
  return {
    layer: layerLabels(trace),
    head: headLabels(trace, call),
    batch: numbered(call.B),
    query_index: tokenLabels(trace.tokensOf(call, state.batch).queries),
  };
}

/** @param {Trace} trace */
export function layerLabels(trace) {
  return layerNumbers(trace).map((number) => among(number, trace.layerCount ?? trace.calls.length));
}

/** @param {Trace} trace @param {Call} call */
export function headLabels(trace, call) {
  return headNumbers(call).map((number) => among(number, trace.headCount ?? call.H));
}

/**
 * The number of each layer: its index, or in a trace of chosen layers its index in the whole one.
 *
 * @param {Trace} trace
 * @returns {number[]}
 */
export function layerNumbers(trace) {
  return trace.calls.map((call, index) => call.number ?? index);
}

/** @param {Call} call @returns {number[]} */
export function headNumbers(call) {
  return call.headNumbers ?? Array.from({ length: call.H }, (_, index) => index);
}

/** @param {number} number @param {number} count */
function among(number, count) {
  return count > 1 ? t("{number} of 0–{last}", { number, last: count - 1 }) : String(number);
}

/** @param {number} count */
function numbered(count) {
  return Array.from({ length: count }, (_, index) => among(index, count));
}

/** @param {string[]} tokens */
function tokenLabels(tokens) {
  const labels = () => tokens.map((token, index) => `${index} · ${shorten(token, 18)}`);
  if (!TOKEN_LABELS.has(tokens)) TOKEN_LABELS.set(tokens, labels());
  return TOKEN_LABELS.get(tokens);
}

// Captions of the views: `text` replaces the title of the row in VIEWS, `subtitle` is the lighter text after it, `hint` what one can do there.

/** @param {Trace} trace @param {State} state */
export function scoresCaption(trace, state) {
  const call = trace.calls[state.layer];
  return { subtitle: call.live ? formula(call) : t("not recorded: only the weights were") };
}

/** @param {Trace} trace @param {State} state */
export function weightsCaption(trace, state) {
  if (state.skip_first && trace.calls[state.layer].S > 1) return { subtitle: t("colour without first token") };
  return { subtitle: scaleOf(trace, state).caption };
}

/** @param {Trace} trace @param {State} state */
export function outputCaption(trace, state) {
  const { hasValue, Dv } = trace.calls[state.layer];
  return { subtitle: hasValue ? t("output, {channels} ch.", { channels: Dv }) : t("no values were kept") };
}

/** @param {Trace} trace @param {State} state */
export function rowCaption(trace, state) {
  const call = trace.calls[state.layer];
  const { queries } = trace.tokensOf(call, state.batch);
  const origin = originsOf(trace, state, queries)[state.query_index];
  const from = origin ? `${state.query_index} ← “${shorten(origin, 18)}” · ` : "";
  return { text: t("Where “{token}” looks", { token: queries[state.query_index] }), subtitle: `${from}${place(call, state)}`, hint: t("tap a token to make it the query") };
}

/** @param {Trace} trace */
export function tilesCaption(trace) {
  const most = Math.max(...trace.calls.map((call) => call.H));
  const layers = trace.calls.length;
  const shape = `${layers > 1 ? t("{count} layers", { count: layers }) : t("1 layer")} × ${most > 1 ? t("{count} heads", { count: most }) : t("1 head")}`;
  return { subtitle: shape, hint: t("tap one") };
}

/** @param {Trace} trace @param {State} state */
export function swatchesCaption(trace, state) {
  return { subtitle: describePaint(trace, trace.calls[state.layer], state) };
}

/** @param {Trace} trace @param {Call} call @param {State} state */
function describePaint(trace, call, state) {
  if (!call.hasColours) return t("no values were kept");
  // Colours sent without values have a fixed seed.
  const seed = call.hasValue ? state.color_seed : (trace.colorSeed ?? state.color_seed);
  return t("value colours · seed {seed}", { seed });
}

/**
 * The layer that is shown; js/components/save_plot.js looks for it.
 *
 * @param {Call} call
 * @param {State} state
 */
export function layerName(call, state) {
  return t("layer {number}", { number: call.number ?? state.layer });
}

/**
 * The layer and the head that are shown.
 *
 * @param {Call} call
 * @param {State} state
 * @param {string} [name] of the layer, behind its number
 */
export function place(call, state, name = "") {
  const which = state.aggregate ? t("mean of {count} heads", { count: call.H }) : t("head {head}", { head: headNumbers(call)[state.head] });
  return `${layerName(call, state)}${name}, ${which}`;
}

/**
 * Returns what cannot be computed of a layer, and why; "" if everything can.
 *
 * @param {Call} call
 */
export function withheld(call) {
  const broken = call.notFinite ?? [];
  if (call.live && broken.length > 0) {
    return t("The model computed numbers that are not finite (nan or inf) in this layer's {names}: cells that depend on them stay empty.", { names: broken.join(", ") });
  }
  if (call.live) return "";
  return t("Only the weights were recorded: another temperature or mask, the scores and the mix need queries, keys and values.");
}

/**
 * Describes the source of the numbers.
 *
 * @param {Trace} trace
 * @param {State} state
 */
export function provenance(trace, state) {
  const call = trace.calls[state.layer];
  const kept = call.hasValue ? "Q, K, V" : "Q, K";
  const lengths = call.T === call.S ? t("{count} tokens", { count: call.T }) : t("{queries} queries, {keys} keys", { queries: call.T, keys: call.S });
  const source = trace.model || trace.source || t("trace");
  const numbers = `${call.dtype} ${call.live ? kept : ""}`.trim();
  return [...new Set([source, call.layer, lengths, numbers, ...(trace.leftOut ? [trace.leftOut] : [])])].join(" · ");
}

// Characters of a text that a figure quotes, and tokens that surely have as many.
const QUOTED = 90;
const QUOTED_TOKENS = 100;

/**
 * The captions of saved figures: model, prompt, place, mask and temperature; as attnpanel.explorer.paper_figure has them.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {{head: string, layer: string, all: string}} for a figure of the head, of several heads of the layer, or of all layers
 */
export function figureCaptions(trace, state) {
  const call = trace.calls[state.layer];
  const { queries, keys } = trace.tokensOf(call, state.batch);
  const texts = [...new Set([queries, keys].filter(isNamed).map(quotedText))];
  const [label, numbers] = state.mask === "model" || !call.live ? [t("as the model"), ""] : maskWords(trace.masks, state.mask, (name) => state[name]);
  const name = /^\d+$/.test(call.layer) ? "" : ` (${call.layer})`;
  const outlined = t("outlined: query {index}, “{token}”", { index: state.query_index, token: shorten(queries[state.query_index], 18) });
  /** @param {string} where @param {string} marked */
  const caption = (where, marked) => {
    const parts = [
      trace.model || trace.source,
      texts.length === 2 ? t("queries {queries}, keys {keys}", { queries: texts[0], keys: texts[1] }) : (texts[0] ?? ""),
      where,
      call.B > 1 ? t("sequence {number}", { number: state.batch }) : "",
      t("mask: {label}{numbers}", { label, numbers }),
      t("temperature {number}", { number: general(call.live ? state.temperature : 1, 6) }),
      marked,
    ];
    return parts.filter(Boolean).join(" · ");
  };
  const here = place(call, state, name);
  return {
    head: caption(here, outlined),
    layer: caption(`${layerName(call, state)}${name}`, outlined),
    all: caption("", t("outlined: {place}", { place: here })),
  };
}

/** Whether tokens are more than positions. @param {string[]} tokens */
const isNamed = (tokens) => tokens.some((token, at) => token !== String(at));

/** @param {string[]} tokens */
function quotedText(tokens) {
  const first = tokens.slice(0, QUOTED_TOKENS);
  const text = first.join(first.some((token) => token.startsWith(" ")) ? "" : " ").replaceAll(" ##", "").trim();
  const whole = first.length === tokens.length && [...text].length <= QUOTED;
  return inQuotes(whole ? text : `${firstOf(text, QUOTED).trimEnd()}…`);
}

/**
 * Entropy and distance of the selection, as the line below the overview. Reads the whole matrix.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {HeadSelection} selection
 * @returns {string}
 */
export function numbersLine(trace, state, selection) {
  const call = trace.calls[state.layer];
  const mayBeUnknown = state.empty_rows === "nan" || !call.live;
  const weights = mayBeUnknown ? selection.weights.map((/** @type {number} */ weight) => weight || 0) : selection.weights;
  const distance = call.kind === "self" ? meanDistance(weights, call.T, call.S, call.qOffset) : null;
  return describeNumbers(trace, state, { entropy: entropy(weights, call.T, call.S), distance });
}

/**
 * Numbers about the shown head as one line.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {{entropy: number, distance: ?number}} numbers distance: null between two sequences
 * @returns {string}
 */
export function describeNumbers(trace, state, { entropy: nats, distance }) {
  const line = t("{place} · entropy {nats} nats", { place: place(trace.calls[state.layer], state), nats: fixed(nats, 2) });
  return distance === null ? line : t("{line} · distance {distance}", { line, distance: fixed(distance, 1) });
}
