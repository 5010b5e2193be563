import { brief, fixed, general, inQuotes } from "../core/format.js";
import { maskWords } from "../core/masks.js";
import { t } from "../core/translate.js";
import { rowOf } from "./partial.js";

// The sentence that spells out how a pair's weight is computed.

/**
 * The pair under the pointer, else the selected query and the key with its largest weight.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {[number, number]} query index, key index
 */
export function shownPair(trace, state, selection) {
  const { T, S } = trace.calls[state.layer];
  if (state.pair && state.pair[0] < T && state.pair[1] < S) return [state.pair[0], state.pair[1]];
  const { weights } = rowOf(selection, state.query_index);
  let best = 0;
  let most = -Infinity;
  for (let key = 0; key < S; key++) {
    const weight = weights[key] || 0; // 0 for nan
    if (weight > most) [best, most] = [key, weight];
  }
  return [state.query_index, best];
}

/**
 * The sentence on the shown pair: what its weight means, and in a line beneath how it is computed, or why it has none.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {Piece[]} in reading order; kinds are pair, number, result and text
 */
export function sentence(trace, state, selection) {
  const call = trace.calls[state.layer];
  const tokens = trace.tokensOf(call, state.batch);
  const [queryIndex, keyIndex] = shownPair(trace, state, selection);
  const names = [brief(tokens.queries[queryIndex]), brief(tokens.keys[keyIndex])];
  const [query, key] = names.map(inQuotes);
  const row = rowOf(selection, queryIndex);
  const weight = row.weights[keyIndex];
  if (selection.empty[queryIndex]) return emptyRow(trace, call, state, names[0], weight);
  /** @type {Piece} */
  const pair = ["pair", names.join(" → ")];
  if (!row.visible[keyIndex]) {
    const why = t("is masked: {reason} {query} may not see {key}, so its weight is", { reason: maskReason(trace, call, state), query, key });
    return [pair, ["text", why], ["result", "0"]];
  }
  if (Number.isNaN(weight)) {
    const why = call.live ? t("a score of this row is not finite") : t("the model itself recorded no number here");
    return [pair, ["text", t("has no weight: {why}.", { why })]];
  }
  /** @type {Piece} */
  const share = ["result", `${general(100 * weight, 3)} %`];
  const sink = sinkSentence(call, state, row.weights);
  /** @type {Piece} */
  const taken = ["text", `${t("of what {query} becomes is taken from {key}.", { query, key })}${sink}`];
  /** @type {Piece[]} */
  const meaning = [pair, share, taken, ["break", ""]];
  if (state.aggregate) return [...meaning, ["text", t("The mean over {count} heads.", { count: call.H })]];
  if (row.scores === null) return [...meaning, ["text", t("As the model recorded it.")]];
  return [...meaning, ...arithmetic(call, state, row, keyIndex)];
}

/**
 * Score, temperature and softmax of one pair.
 *
 * @param {Call} call
 * @param {State} state
 * @param {SelectionRow} row
 * @param {number} key
 * @returns {Piece[]}
 */
function arithmetic(call, state, row, key) {
  const score = /** @type {Floats} */ (row.scores)[key];
  return [
    ["number", `${formula(call)} = ${fixed(score, 2)}`],
    ["text", `÷ τ ${fixed(state.temperature, 2)} →`],
    ["number", softmaxText(score / state.temperature, scaledScores(call, state, row))],
    ["text", "="],
    ["number", general(row.weights[key], 3)],
  ];
}

/**
 * A sentence on the weight that the attention sink takes; empty without a sink.
 *
 * @param {Call} call
 * @param {State} state
 * @param {Floats} weights
 */
function sinkSentence(call, state, weights) {
  if (!call.live || call.sinks === null) return "";
  let rest = 0;
  for (const weight of weights) rest += weight;
  const share = `${fixed(100 * Math.max(1 - rest, 0), 1)} %`;
  if (state.aggregate) return ` ${t("The heads' sinks take {share} of the row.", { share })}`;
  return ` ${t("The head's sink (score {score}) takes {share} of the row.", { score: fixed(call.sinks[state.head], 2), share })}`;
}

/**
 * The scores in the row's softmax, of visible keys and the sink, divided by the temperature.
 *
 * @param {Call} call
 * @param {State} state
 * @param {SelectionRow} row
 */
export function scaledScores(call, state, { scores, visible }) {
  const scaled = [];
  for (let key = 0; key < call.S; key++) if (visible[key]) scaled.push(/** @type {Floats} */ (scores)[key] / state.temperature);
  if (call.sinks !== null) scaled.push(call.sinks[state.head] / state.temperature);
  return scaled;
}

/**
 * @param {Trace} trace
 * @param {Call} call
 * @param {State} state
 * @param {string} query
 * @param {number} weight
 * @returns {Piece[]}
 */
function emptyRow(trace, call, state, query, weight) {
  const policy = {
    zero: t("so its weights are all 0 and it becomes nothing (policy “zero”)"),
    uniform: t("so every key gets 1/{count} = {weight} (policy “uniform”, what filling with −1e9 does)", { count: call.S, weight: general(weight, 3) }),
    nan: t("so its weights are not numbers (policy “nan”, what filling with −∞ does)"),
  }[state.empty_rows];
  const sunk = t("so its weights are all 0: the attention sink takes the whole row");
  const said = call.live && call.sinks !== null ? sunk : policy;
  const why = t("is an empty row: {reason} it may see no key, {result}.", { reason: maskReason(trace, call, state), result: said });
  return [["pair", query], ["text", why]];
}

/** @param {Call} call */
export function formula(call) {
  const dot = call.usualScale ? "q·k/√d" : `${general(call.scale, 3)}·q·k`;
  const product = call.softCap === null ? dot : `${dot} ${t("capped at ±{cap}", { cap: general(call.softCap, 3) })}`;
  return call.hasBias ? `${product} + ${t("bias")}` : product;
}

/**
 * Formats a sum: three digits, or all digits of a larger one.
 *
 * @param {number} number
 */
function formatSum(number) {
  return number < 999.5 ? general(number, 3) : fixed(number, 0).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** @param {number} scaled @param {number[]} visible */
function softmaxText(scaled, visible) {
  let peak = -Infinity;
  for (const score of visible) if (score > peak) peak = score;
  let total = 0;
  for (const score of visible) total += Math.exp(score - peak);
  const power = fixed(scaled, 2);
  if (scaled > -9 && peak < 11) {
    return `e^${power} / Σ = ${formatSum(Math.exp(scaled))} / ${formatSum(total * Math.exp(peak))}`;
  }
  // Large powers are written with the logarithm of Σ.
  const whole = peak + Math.log(total);
  const digits = [2, 3].find((count) => isExactEnough(scaled, whole, count)) ?? 4;
  const exact = fixed(scaled, digits);
  return `e^(${exact} − ln Σ) = e^(${exact} − ${fixed(whole, digits)})`;
}

/**
 * Whether the rounded exponents give the weight to a tenth of a percent.
 *
 * @param {number} scaled
 * @param {number} whole
 * @param {number} digits
 */
function isExactEnough(scaled, whole, digits) {
  const written = Number(fixed(scaled, digits)) - Number(fixed(whole, digits));
  return Math.abs(Math.exp(written) - Math.exp(scaled - whole)) < 0.0005;
}

/** @param {{masks: MaskTable}} trace @param {Call} call @param {State} state */
function maskReason({ masks }, call, state) {
  if (state.mask === "model" || !call.live) return t("under the model's own mask");
  const [label, numbers] = maskWords(masks, state.mask, (name) => state[name]);
  return t("under the {label} mask{numbers}", { label, numbers });
}
