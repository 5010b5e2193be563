import { fixed, general, shorten, twoDecimals, twoDigits } from "../core/format.js";
import { channelGroups, productsOf, writtenOf } from "../core/pair_numbers.js";
import { t } from "../core/translate.js";
import { roundUp, symmetric } from "../views/colours.js";
import { legendOf } from "../views/legend.js";
import { place } from "./labels.js";
import { rowOf } from "./partial.js";
import { projected, promotedContent, writtenTokens } from "./promoted_tokens.js";
import { scaledScores, shownPair } from "./sentence.js";
import { channelTable, rowTable, sumOf, total } from "./why_tables.js";

// Why the shown pair has its weight: query times key channel by channel, the steps from there to the weight, and what
// the head writes from each key. The numbers are those of attnpanel.analysis.explanation.

// Rows of what is written.
const MOST_WRITTEN = 8;
// Keys of the largest weights, which are listed however little they write.
const HEAVIEST = 2;
// Parts of the softmax that have a name of their own.
const MOST_PARTS = 6;
const SMALLEST_PART = 0.02;
// Values are about as long as one another up to this ratio. Beyond it, a sentence names the key whose part of the weight
// differs most from its part of what is written, if it differs by so much.
const ALIKE = 1.5;
const NOTABLE = 0.01;

/**
 * The vectors of a pair: of the page's own layer, or of Python's answer about one too large for it.
 *
 * @typedef {import("./promoted_tokens.js").WrittenTokens} WrittenTokens
 * @typedef {{query: Floats, key: Floats, bias: ?number, written: ?ReturnType<typeof writtenOf>, outputs?: ?WrittenTokens}} PairVectors
 */

/**
 * @typedef {import("./why_tables.js").NumberTable} NumberTable
 * @typedef {{label: string, channels: number[], query: number[], key: number[], product: number}} Contribution
 * @typedef {{number: string, words: string, same: boolean}} Step the result of a step; whether it changes nothing
 * @typedef {{name: string, part: number, key: ?number}} SoftmaxPart of the row's weight; key null: the sink, or others
 * @typedef {{key: number, name: string, weight: number, norm: number, valueNorm: number, share: number}} WrittenRow
 * @typedef {{asked: string, pair: string, place: string, channels: Contribution[], paired: boolean, product: number,
 *   names: [string, string], high: number, palette: string[], legend: ?Legend,
 *   steps: Step[], parts: SoftmaxPart[], whole: string, written: WrittenRow[], indices: [number, number], meanNorm: number,
 *   left: string, remark: string, missing: string[], tables: NumberTable[], projected: boolean,
 *   promoted: ?import("./promoted_tokens.js").PromotedContent}} WhyContent
 */

/**
 * Whether the layer is one that Python has to be asked about.
 *
 * @param {Trace} trace
 * @param {State} state
 */
export function asksPython(trace, state) {
  const call = trace.calls[state.layer];
  return Boolean(call.partial) && call.live && !state.aggregate;
}

/**
 * Reads Python's answer about a pair.
 *
 * @param {Record<string, any>} answer
 * @returns {PairVectors}
 */
export function vectorsIn({ query, key, bias, written, outputs }) {
  /** @param {ArrayBuffer} bytes */
  const read = (bytes) => new Float64Array(bytes);
  const arrays = written && Object.fromEntries(Object.entries(written).map(([name, bytes]) => [name, read(/** @type {ArrayBuffer} */ (bytes))]));
  const after = outputs && { ...outputs, norms: outputs.norms && read(outputs.norms) };
  return { query: read(query), key: read(key), bias: bias === null ? null : read(bias)[0], written: arrays, outputs: after };
}

/**
 * The vectors of a pair of a layer that the page has.
 *
 * @param {Call} call
 * @param {State} state
 * @param {[number, number]} pair
 * @param {SelectionRow} row the query's
 * @returns {PairVectors}
 */
function vectorsOf(call, { batch, head }, [query, key], row) {
  const { D, S } = call;
  const value = call.value(batch, head);
  return {
    query: call.query(batch, head).subarray(query * D, (query + 1) * D),
    key: call.key(batch, head).subarray(key * D, (key + 1) * D),
    bias: call.bias(batch, head)?.[query * S + key] ?? null,
    written: value === null ? null : writtenOf(row.weights, value, call),
  };
}

/**
 * Why there is no product of a query and a key; "" if there is one.
 *
 * @param {Call} call
 * @param {State} state
 * @param {boolean} answered whether Python has answered, of a layer too large for the page
 */
function withoutProduct(call, state, answered) {
  if (!call.live) return t("Only the weights were recorded: queries and keys are not in this trace.");
  if (state.aggregate) return t("A mean over heads has no query and key of its own: choose one head.");
  if (call.partial && !answered) return t("This layer is too large for the page, which therefore has no queries and keys of it.");
  return "";
}

/**
 * What the card shows of a pair: the shown one, or the one that Python was asked about.
 *
 * @param {Trace} trace the layer's arrays ready
 * @param {State} state
 * @param {AnySelection} selection
 * @param {?PairVectors} [answered] of a layer too large for the page
 * @returns {WhyContent}
 */
export function whyToken(trace, state, selection, answered = null) {
  const call = trace.calls[state.layer];
  const { queries, keys } = trace.tokensOf(call, state.batch);
  const pair = shownPair(trace, state, selection);
  const row = rowOf(selection, pair[0]);
  const missing = [withoutProduct(call, state, answered !== null)].filter(Boolean);
  const vectors = missing.length ? null : (answered ?? vectorsOf(call, state, pair, row));
  const names = /** @type {[string, string]} */ ([shorten(queries[pair[0]], 18), shorten(keys[pair[1]], 18)]);
  const channels = vectors === null ? [] : contributions(call, vectors);
  const finite = channels.every(({ product }) => Number.isFinite(product));
  if (!finite) missing.push(notFinite(channels));
  if (vectors !== null && vectors.written === null) missing.push(t("No values were kept in this trace: what the head writes is not known."));
  if (call.live && selection.empty[pair[0]]) missing.push(t("“{token}” may see no key here: its weights are those of the policy for empty rows.", { token: names[0] }));
  const outputs = answered ? (answered.outputs ?? null) : writtenTokens(trace, state, pair, row);
  if (outputs?.missing) {
    const because = { reason: outputs.missing };
    missing.push(outputs.norms ? t("The tokens that it promotes are not known: {reason}.", because) : t("What it writes after the output projection is not known: {reason}.", because));
  }
  const high = roundUp(channels.reduce((most, { query, key }) => Math.max(most, ...[...query, ...key].map(Math.abs)), 0));
  const colours = symmetric(trace, state, high);
  const steps = vectors === null ? [] : stepsOf(call, state, row, pair[1], vectors, channels);
  const score = row.scores?.[pair[1]];
  return {
    asked: vectors === null || score === undefined ? t("Why this weight can't be taken apart") : t("Where does {score} come from?", { score: twoDecimals(score) }),
    pair: `${names[0]} → ${names[1]}`,
    place: `${place(call, state)}${sharedKey(call, state)}`,
    channels: finite ? channels : [],
    paired: Boolean(call.rotary),
    product: sumOf(channels),
    names,
    high,
    palette: colours.palette,
    legend: channels.length && finite ? legendOf({ colours, masked: null }) : null,
    steps,
    ...softmaxParts(call, state, row, keys, selection.empty[pair[0]] === 1),
    ...writtenRows(row, projected(row, vectors?.written ?? null, outputs), keys, pair[1], Boolean(outputs?.norms)),
    projected: Boolean(outputs?.norms),
    promoted: promotedContent(outputs, names),
    indices: pair,
    missing,
    tables: [...channelTable(channels, Boolean(call.rotary)), rowTable(call, state, row, keys, vectors, names[0], outputs?.norms ?? null)],
  };
}

/**
 * The query head's key head, where several share one.
 *
 * @param {Call} call
 * @param {State} state
 */
function sharedKey({ H, Hkv }, { head, aggregate }) {
  const group = H / Hkv;
  if (aggregate || group === 1) return "";
  return t(" · key head {head} of {count}, shared by {group} heads", { head: Math.floor(head / group), count: Hkv, group });
}

/**
 * @param {Call} call
 * @param {PairVectors} vectors
 * @returns {Contribution[]}
 */
function contributions({ D, rotary }, { query, key }) {
  const products = productsOf(query, key);
  return channelGroups(rotary ?? null, D).map((channels, at) => ({
    label: channels.length > 1 ? String(at) : `${rotary ? "c" : ""}${channels[0]}`, // c: no pair
    channels,
    query: channels.map((channel) => query[channel]),
    key: channels.map((channel) => key[channel]),
    product: channels.reduce((sum, channel) => sum + products[channel], 0),
  }));
}

/** @param {Contribution[]} channels */
function notFinite(channels) {
  const broken = channels.filter(({ product }) => !Number.isFinite(product)).flatMap((group) => group.channels);
  const named = broken.slice(0, 5).join(", ") + (broken.length > 5 ? ", …" : "");
  return broken.length === 1
    ? t("Of this query and key, channel {channel} is not finite (nan or inf): their product can't be drawn.", { channel: named })
    : t("Of this query and key, channels {channels} are not finite (nan or inf): their product can't be drawn.", { channels: named });
}

/**
 * The steps from the product to the weight.
 *
 * @param {Call} call
 * @param {State} state
 * @param {SelectionRow} row
 * @param {number} key
 * @param {PairVectors} vectors
 * @param {Contribution[]} channels
 * @returns {Step[]}
 */
function stepsOf(call, state, row, key, { bias }, channels) {
  const { D, scale, softCap } = call;
  const product = sumOf(channels);
  const scaled = product * scale;
  const score = /** @type {Floats} */ (row.scores)[key];
  /** @param {string} words @param {number} number @param {boolean} [same] @returns {Step} */
  const step = (words, number, same = false) => ({ words, number: twoDecimals(number), same });
  const steps = [step("q·k", product), step(call.usualScale ? `÷ √${D}` : `× ${general(scale, 3)}`, scaled, scale === 1)];
  if (softCap !== null) steps.push(step(t("capped at ±{cap}", { cap: general(softCap, 3) }), softCap * Math.tanh(scaled / softCap)));
  steps.push(step(bias === null ? t("no bias") : `+ ${t("bias")} ${general(bias, 3).replace("-", "−")}`, score, bias === null || bias === 0));
  const weight = general(row.weights[key], 3);
  if (!row.visible[key]) {
    const by = bias === -Infinity ? t("by the bias") : t("by the mask");
    return [...steps, { words: by, number: t("hidden"), same: false }, { words: row.weights[key] === 0 ? t("weight") : t("weight, by the policy"), number: weight, same: false }];
  }
  const scaledScore = score / state.temperature;
  steps.push(step(t("mask: may see"), score, true), step(`÷ τ ${fixed(state.temperature, 2)}`, scaledScore, state.temperature === 1));
  const whole = sumOfPowers(call, state, row);
  // Beyond that e to the power of it is no number that a computer holds.
  if (!Number.isFinite(whole)) return [...steps, { words: t("softmax"), number: weight, same: false }];
  steps.push({ words: t("e to the {power}", { power: fixed(scaledScore, 2) }), number: general(Math.exp(scaledScore), 4), same: false });
  return [...steps, { words: `÷ Σ ${general(whole, 4)}`, number: weight, same: false }];
}

/**
 * The sum of e to the power of the scores in the row's softmax.
 *
 * @param {Call} call
 * @param {State} state
 * @param {SelectionRow} row
 */
function sumOfPowers(call, state, row) {
  const scores = scaledScores(call, state, row);
  const peak = scores.reduce((most, number) => Math.max(most, number), -Infinity);
  return scores.reduce((total, number) => total + Math.exp(number - peak), 0) * Math.exp(peak);
}

/**
 * The row's weights end to end: the largest by name, the sink, and the others together.
 *
 * @param {Call} call
 * @param {State} state
 * @param {SelectionRow} row
 * @param {string[]} keys
 * @param {boolean} empty whether the query sees no key
 * @returns {{parts: SoftmaxPart[], whole: string}}
 */
function softmaxParts(call, state, row, keys, empty) {
  const sum = total(row.weights);
  if (empty || !Number.isFinite(sum)) return { parts: [], whole: "" };
  const order = [...row.weights.keys()].sort((one, other) => row.weights[other] - row.weights[one]);
  const named = order.slice(0, MOST_PARTS).filter((key) => row.weights[key] >= SMALLEST_PART);
  /** @type {SoftmaxPart[]} */
  const parts = named.map((key) => ({ name: shorten(keys[key], 18), part: row.weights[key], key }));
  const rest = sum - parts.reduce((total, { part }) => total + part, 0);
  const others = order.filter((key) => row.weights[key] > 0).length - named.length;
  if (others > 0) parts.push({ name: others > 1 ? t("{count} others", { count: others }) : t("1 other"), part: Math.max(rest, 0), key: null });
  if (call.live && call.sinks !== null) parts.push({ name: t("sink"), part: Math.max(1 - sum, 0), key: null });
  const whole = row.scores === null || state.aggregate ? NaN : sumOfPowers(call, state, row);
  return { parts, whole: Number.isFinite(whole) ? t("e to the score of every key, end to end: Σ = {sum}", { sum: general(whole, 4) }) : t("The row of weights, end to end") };
}

/**
 * What the head writes from each key, the most first.
 *
 * @param {SelectionRow} row
 * @param {?ReturnType<typeof writtenOf>} written
 * @param {string[]} keys
 * @param {number} chosen
 * @param {boolean} after whether values are measured after the output projection
 * @returns {{written: WrittenRow[], meanNorm: number, left: string, remark: string}}
 */
function writtenRows({ weights, visible }, written, keys, chosen, after) {
  const none = { written: [], meanNorm: 0, left: "", remark: "" };
  if (written === null || !written.norms.every(Number.isFinite)) return none;
  const { norms, valueNorms, shares } = written;
  const all = [...norms.keys()];
  /** @param {ArrayLike<number>} numbers */
  const largest = (numbers) => [...all].sort((one, other) => numbers[other] - numbers[one]);
  const heavy = largest(weights).slice(0, HEAVIEST);
  const shown = new Set([chosen, ...heavy]);
  for (const key of largest(norms)) if (shown.size < MOST_WRITTEN && (visible[key] || norms[key] > 0)) shown.add(key);
  const rows = [...shown].sort((one, other) => norms[other] - norms[one] || weights[other] - weights[one]);
  const seen = all.filter((key) => visible[key] || weights[key] > 0); // a policy may give weight to hidden keys
  const meanNorm = seen.length ? seen.reduce((sum, key) => sum + valueNorms[key], 0) / seen.length : 0;
  const others = seen.filter((key) => !shown.has(key));
  const share = others.reduce((sum, key) => sum + weights[key], 0);
  return {
    written: rows.map((key) => ({ key, name: shorten(keys[key], 18), weight: weights[key], norm: norms[key], valueNorm: valueNorms[key], share: shares[key] })),
    meanNorm,
    left: others.length ? moreKeys(others.length, twoDigits(100 * share)) : "",
    remark: remarkOn(weights, written, seen, keys, after),
  };
}

/** @param {number} count @param {string} share */
function moreKeys(count, share) {
  return count > 1 ? t("{count} more keys: {share} % of the weight.", { count, share }) : t("1 more key: {share} % of the weight.", { share });
}

/**
 * A sentence on the key whose part of the weight differs most from its part of what is written.
 *
 * @param {Floats} weights
 * @param {ReturnType<typeof writtenOf>} written
 * @param {number[]} seen keys that the query may see
 * @param {string[]} keys
 * @param {boolean} after as for writtenRows
 */
function remarkOn(weights, { norms, valueNorms }, seen, keys, after) {
  const sum = norms.reduce((total, norm) => total + norm, 0);
  if (seen.length < 2 || !(sum > 0)) return "";
  const gap = (/** @type {number} */ key) => Math.abs(weights[key] - norms[key] / sum);
  const key = seen.reduce((one, other) => (gap(other) > gap(one) ? other : one));
  /** @param {number[]} some @returns {[number, number]} */
  const lengths = (some) => some.reduce(([low, high], other) => [Math.min(low, valueNorms[other]), Math.max(high, valueNorms[other])], [Infinity, 0]);
  const [least, most] = lengths(seen);
  if (most <= ALIKE * least) {
    const ends = { least: twoDigits(least), most: twoDigits(most) };
    return after
      ? t("What is written follows the weights: the values are about as long after W_O, {least} to {most}.", ends)
      : t("What is written follows the weights: the values are about as long, {least} to {most}.", ends);
  }
  if (gap(key) < NOTABLE) return "";
  const [low, high] = lengths(seen.filter((other) => other !== key)).map((norm) => twoDigits(norm));
  const said = { token: shorten(keys[key], 18), weight: general(100 * weights[key], 3), share: twoDigits(100 * (norms[key] / sum)), length: twoDigits(valueNorms[key]), low, high };
  return after
    ? t("“{token}” gets {weight} % of the weight and writes {share} % of what is written: its value is {length} long after W_O, those of the other keys {low} to {high}.", said)
    : t("“{token}” gets {weight} % of the weight and writes {share} % of what is written: its value is {length} long, those of the other keys {low} to {high}.", said);
}
