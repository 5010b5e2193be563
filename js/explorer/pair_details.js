import { fixed, general, shorten } from "../core/format.js";
import { place } from "./labels.js";
import { rowOf } from "./partial.js";
import { scaledScores, shownPair } from "./sentence.js";

// Where the shown pair's number comes from: query and key channel by channel, the steps from their product to the weight,
// and the row as a table: each key's score, weight and value, and what the token becomes.

// Rows and channels that the table shows of many; the channels of query and key are shown all.
const MOST_KEYS = 64;
const MOST_CHANNELS = 16;

/**
 * @typedef {{name: string, cells: string[]}} NumberRow a row of a table: its heading and its numbers
 * @typedef {{title: string, shapes: string, channels: NumberRow[], product: string, steps: [string, string][],
 *   heading: string[], row: NumberRow[], output: ?NumberRow, left: string, missing: string}} PairNumbers
 */

/** @param {Floats} vector @param {number} [most] */
function cells(vector, most = vector.length) {
  return Array.from(vector.subarray(0, most), (number) => fixed(number, 2));
}

/**
 * Why there is no product of a query and a key; "" if there is one.
 *
 * @param {Call} call
 * @param {State} state
 */
function withoutProduct(call, state) {
  if (!call.live) return "Only the weights were recorded: queries and keys are not in this trace.";
  if (state.aggregate) return "A mean over heads has no query and key of its own: choose one head.";
  if (call.partial) return "This layer is too large for the page, which therefore has no queries and keys of it.";
  return "";
}

/**
 * The numbers behind the shown pair and its row, as texts.
 *
 * @param {Trace} trace the layer's arrays ready
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {PairNumbers}
 */
export function pairDetails(trace, state, selection) {
  const call = trace.calls[state.layer];
  const { S, Dv } = call;
  const { queries, keys } = trace.tokensOf(call, state.batch);
  const [query, key] = shownPair(trace, state, selection);
  const row = rowOf(selection, query);
  const missing = withoutProduct(call, state);
  const names = [shorten(queries[query], 18), shorten(keys[key], 18)];
  const value = missing === "" ? call.value(state.batch, state.head) : null;
  const shown = [...row.weights.keys()].sort((one, other) => (row.weights[other] || 0) - (row.weights[one] || 0)).slice(0, MOST_KEYS);
  const channels = value === null ? 0 : Math.min(Dv, MOST_CHANNELS);
  const at = (/** @type {number} */ index) => (value === null ? [] : cells(value.subarray(index * Dv, (index + 1) * Dv), channels));
  return {
    title: `“${names[0]}” → “${names[1]}” · ${place(call, state)}`,
    shapes: shapesOf(call, state, missing),
    ...(missing === "" ? productOf(trace, state, row, query, key) : { channels: [], product: "", steps: [] }),
    heading: ["key", "score", "weight", ...Array.from({ length: channels }, (_, channel) => `v${channel}`)],
    row: shown.map((index) => ({
      name: shorten(keys[index], 18),
      cells: [scoreText(row, index), row.visible[index] ? general(row.weights[index], 3) : "0", ...at(index)],
    })),
    output: value === null ? null : outputOf(row, value, { S, Dv, channels, name: names[0] }),
    left: leftOut(S - shown.length, value === null ? 0 : Dv - channels),
    missing: [missing, missing === "" && value === null ? "No values were kept in this trace." : ""].filter(Boolean).join(" "),
  };
}

/** @param {SelectionRow} row @param {number} key */
function scoreText({ scores, visible }, key) {
  if (!visible[key]) return "masked";
  return scores === null ? "–" : fixed(scores[key], 2);
}

/** @param {Call} call @param {State} state @param {string} missing */
function shapesOf({ T, S, D, Dv, B, H, hasValue }, { batch }, missing) {
  if (missing !== "") return "";
  const value = hasValue ? `, V ${S} × ${Dv}` : "";
  const where = B > 1 ? ` of sequence ${batch}` : "";
  return `Q is ${T} × ${D}, K ${S} × ${D}${value} in this head${where}: a row a token, a column a channel (all ${H} heads: ${B} × ${H} × ${T} × ${D}).`;
}

/**
 * The product channel by channel, and the steps from it to the weight.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionRow} row
 * @param {number} query
 * @param {number} key
 */
function productOf(trace, state, row, query, key) {
  const call = trace.calls[state.layer];
  const { D, scale } = call;
  const tokens = trace.tokensOf(call, state.batch);
  const q = call.query(state.batch, state.head).subarray(query * D, (query + 1) * D);
  const k = call.key(state.batch, state.head).subarray(key * D, (key + 1) * D);
  const products = q.map((number, channel) => number * k[channel]);
  const sum = products.reduce((total, number) => total + number, 0);
  const bias = call.bias(state.batch, state.head);
  const score = /** @type {Floats} */ (row.scores)[key];
  /** @type {[string, string][]} */
  const steps = [
    ["q·k", fixed(sum, 2)],
    [call.usualScale ? `÷ √d, √${D} = ${fixed(Math.sqrt(D), 2)}` : `× ${general(scale, 3)}`, fixed(sum * scale, 2)],
  ];
  if (call.softCap !== null) steps.push([`capped at ±${general(call.softCap, 3)}`, fixed(call.softCap * Math.tanh((sum * scale) / call.softCap), 2)]);
  if (bias !== null) steps.push(["+ bias", fixed(score, 2)]);
  if (!row.visible[key]) steps.push(["mask: hidden", "weight 0"]);
  else {
    const scaled = score / state.temperature;
    const visible = scaledScores(call, state, row);
    const peak = visible.reduce((most, number) => Math.max(most, number), -Infinity);
    const whole = visible.reduce((total, number) => total + Math.exp(number - peak), 0) * Math.exp(peak);
    steps.push([`÷ τ ${fixed(state.temperature, 2)}`, fixed(scaled, 2)]);
    if (Number.isFinite(whole)) steps.push(["e to the power of it", general(Math.exp(scaled), 4)]);
    // Beyond that e to the power of it is no number that a computer holds.
    steps.push([Number.isFinite(whole) ? `÷ Σ of ${visible.length}: ${general(whole, 4)}` : "softmax", general(row.weights[key], 3)]);
  }
  return {
    channels: [
      { name: `query ${shorten(tokens.queries[query], 18)}`, cells: cells(q) },
      { name: `key ${shorten(tokens.keys[key], 18)}`, cells: cells(k) },
      { name: "product", cells: cells(products) },
    ],
    product: `Row ${query} of Q times row ${key} of K, channel by channel: the ${D} products add up to ${fixed(sum, 2)}.`,
    steps,
  };
}

/**
 * What the token becomes: the values, each times its weight, added up.
 *
 * @param {SelectionRow} row
 * @param {Floats} value
 * @param {{S: number, Dv: number, channels: number, name: string}} sizes
 * @returns {NumberRow}
 */
function outputOf({ weights }, value, { S, Dv, channels, name }) {
  const output = new Float64Array(channels);
  let sum = 0;
  for (let key = 0; key < S; key++) {
    sum += weights[key];
    for (let channel = 0; channel < channels; channel++) output[channel] += weights[key] * value[key * Dv + channel];
  }
  return { name: `“${name}” becomes`, cells: ["", general(sum, 3), ...cells(output)] };
}

/** @param {number} keys @param {number} channels */
function leftOut(keys, channels) {
  const parts = [keys > 0 ? `${keys} keys of smaller weight` : "", channels > 0 ? `${channels} more channels` : ""].filter(Boolean);
  return parts.length ? `Not listed: ${parts.join(", ")}.` : "";
}
