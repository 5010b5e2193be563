import { masksOf, startState } from "../explorer/rules.js";
import { select } from "../explorer/selection.js";
import { fitMaskValues } from "../core/masks.js";

// Two heads side by side: which tokens correspond, what differs, and the heads that differ most. The numbers
// of attnpanel's comparison/ in JavaScript. Pure, except for the caller's caches: no DOM.

/**
 * The choices that both sides share unless they are unlinked (`apart`).
 *
 * @param {{masks: MaskTable}[]} traces
 */
export function sharedChoices([{ masks }]) {
  return ["layer", "head", "aggregate", "temperature", "mask", ...masks.parameters.map(({ name }) => name)];
}

/** If one of these is unlinked, each head of the second side is compared with the selection of the first. */
const PLACES = ["layer", "head", "aggregate"];
export const SIDES = ["A", "B"];
const NOWHERE = -1;
/** @param {number} first @param {number} second @returns {[number, number]} */
const pair = (first, second) => [first, second];

/**
 * Pairs the tokens of two sequences, as attnpanel.comparison.align.
 *
 * @param {string[]} first
 * @param {string[]} second
 * @returns {[number, number][]} indices in both; -1 if a token has no counterpart
 */
export function alignTokens(first, second) {
  /** @type {[number, number][]} */
  const anchors = [[-1, -1], ...longestCommonSubsequence(first, second), [first.length, second.length]];
  /** @type {[number, number][]} */
  const pairs = [];
  for (let at = 1; at < anchors.length; at++) {
    const [[i, j], [nextI, nextJ]] = [anchors[at - 1], anchors[at]];
    const left = places(i + 1, nextI);
    const right = places(j + 1, nextJ);
    if (left.length === right.length) pairs.push(...left.map((index, k) => pair(index, right[k])));
    else pairs.push(...left.map((index) => pair(index, NOWHERE)), ...right.map((index) => pair(NOWHERE, index)));
    pairs.push(anchors[at]);
  }
  return pairs.slice(0, -1);
}

/**
 * The integers from start to stop, stop excluded.
 *
 * @param {number} start
 * @param {number} stop
 */
export function places(start, stop) {
  return Array.from({ length: stop - start }, (_, at) => start + at);
}

/**
 * A longest common subsequence as pairs of indices; of several, the one that starts earliest.
 *
 * @param {string[]} first
 * @param {string[]} second
 */
function longestCommonSubsequence(first, second) {
  const wide = second.length + 1;
  // longest[i * wide + j] is the length of the longest common subsequence of first[i:] and second[j:].
  const longest = new Uint16Array((first.length + 1) * wide);
  for (let i = first.length - 1; i >= 0; i--) {
    for (let j = second.length - 1; j >= 0; j--) {
      const [below, right] = [longest[(i + 1) * wide + j], longest[i * wide + j + 1]];
      longest[i * wide + j] = first[i] === second[j] ? longest[(i + 1) * wide + j + 1] + 1 : Math.max(below, right);
    }
  }
  /** @type {[number, number][]} */
  const found = [];
  for (let i = 0, j = 0; i < first.length && j < second.length; ) {
    if (first[i] === second[j]) found.push([i++, j++]);
    else if (longest[(i + 1) * wide + j] >= longest[i * wide + j + 1]) i += 1;
    else j += 1;
  }
  return found;
}

/**
 * Clamps the choices to both traces; linked choices of the second side are those of the first.
 *
 * @param {Trace[]} traces as openTrace gives them
 * @param {Compared} state
 * @returns {Compared} a new one
 */
export function fitCompared(traces, state) {
  const fitted = { ...state };
  for (const name of sharedChoices(traces)) {
    const [first, second] = state[name];
    Object.assign(fitted, { [name]: [first, state.apart.includes(name) ? second : first] });
  }
  const shown = traces.map((trace, side) => {
    const layer = Math.min(fitted.layer[side], trace.calls.length - 1);
    const call = trace.calls[layer];
    return { layer, head: Math.min(fitted.head[side], call.H - 1), masks: masksOf(trace), call };
  });
  fitted.layer = shown.map(({ layer }) => layer);
  fitted.head = shown.map(({ head }) => head);
  fitted.mask = shown.map(({ masks }, side) => (masks.includes(fitted.mask[side]) ? fitted.mask[side] : masks[0]));
  const needed = shown.map(({ call }, side) => {
    const values = Object.fromEntries(traces[side].masks.parameters.map(({ name }) => [name, fitted[name][side]]));
    return fitMaskValues(traces[side].masks, values, call);
  });
  for (const name of Object.keys(needed[0])) fitted[name] = needed.map((values) => values[name]);
  const { queries, keys } = alignedTokens(traces, fitted);
  fitted.row = Math.min(state.row, queries.pairs.length - 1);
  fitted.key = state.key === null || state.key >= keys.pairs.length ? null : state.key;
  return fitted;
}

/**
 * One side's choices as an explorer's state.
 *
 * @param {Trace} trace
 * @param {Compared} state
 * @param {number} side
 */
export function sideOf(trace, state, side) {
  const chosen = Object.fromEntries(sharedChoices([trace]).map((name) => [name, state[name][side]]));
  return { ...startState(trace, state.dark), ...chosen, viewport: null };
}

/**
 * Whether each head of the second side is compared with the selection of the first.
 *
 * @param {{ apart: string[] }} state
 * @returns {boolean}
 */
export function oneAgainstAll({ apart }) {
  return PLACES.some((name) => apart.includes(name));
}

// Recent alignments by pairs of token rows: aligning at every step would cost more than drawing.
const ALIGNED = new WeakMap();

/** @param {string[]} first @param {string[]} second */
function alignedRows(first, second) {
  if (!ALIGNED.has(first)) ALIGNED.set(first, new WeakMap());
  const known = ALIGNED.get(first);
  if (!known.has(second)) {
    const pairs = alignTokens(first, second);
    const names = [first, second].map((row, side) => pairs.map((pair) => row[pair[side]] ?? null));
    known.set(second, { pairs, names });
  }
  return known.get(second);
}

/**
 * The aligned queries and keys: `pairs`, and both sides' `names`, null without a counterpart.
 *
 * @param {Trace[]} traces
 * @param {{layer: number[]}} state
 */
export function alignedTokens(traces, state) {
  const [first, second] = traces.map((trace, side) => trace.tokensOf(trace.calls[state.layer[side]], 0));
  return { queries: alignedRows(first.queries, second.queries), keys: alignedRows(first.keys, second.keys) };
}

/**
 * Both heads on one grid of aligned tokens, and their difference, second minus first.
 *
 * @param {Trace[]} traces the shown layers' arrays ready
 * @param {Compared} state fitted
 * @param {SelectionCache[]} caches one for each side, as for select
 * @returns {ComparedHeads}
 *   matrices of queries.pairs.length * keys.pairs.length; NaN if a side has no such token
 */
export function compareHeads(traces, state, caches) {
  const { queries, keys } = alignedTokens(traces, state);
  const weights = traces.map((trace, side) => {
    // Layers of a comparison are never partial.
    const selection = /** @type {HeadSelection} */ (select(trace, sideOf(trace, state, side), caches[side]));
    return spreadOver(selection, queries.pairs, keys.pairs, side);
  });
  const difference = weights[1].map((weight, at) => weight - weights[0][at]);
  return { queries, keys, weights, difference };
}

/**
 * @param {HeadSelection} selection
 * @param {[number, number][]} queries
 * @param {[number, number][]} keys
 * @param {number} side
 */
function spreadOver({ S, weights }, queries, keys, side) {
  const spread = new Float32Array(queries.length * keys.length).fill(NaN);
  for (const [i, query] of queries.entries()) {
    if (query[side] === NOWHERE) continue;
    for (const [j, key] of keys.entries()) {
      if (key[side] !== NOWHERE) spread[i * keys.length + j] = weights[query[side] * S + key[side]];
    }
  }
  return spread;
}

/**
 * The share of one aligned query's weight that moves on the second side, as
 * attnpanel.comparison.moved_shares.
 *
 * @param {ComparedHeads} compared
 * @param {number} row
 * @returns {number} NaN if one side has no such query
 */
export function movedShare({ queries, keys, weights }, row) {
  if (queries.pairs[row].includes(NOWHERE)) return NaN;
  const wide = keys.pairs.length;
  let moved = 0;
  for (let at = row * wide; at < (row + 1) * wide; at++) {
    moved += Math.abs((weights[1][at] || 0) - (weights[0][at] || 0));
  }
  return moved / 2;
}

/**
 * The heads of the second side that are compared, in the order of layers and heads.
 *
 * If layer, head or mean are unlinked, that is every head, compared with the selection of the first side.
 *
 * @param {Trace[]} traces
 * @param {Compared} state fitted
 * @returns {{layer: number, head: number}[]}
 */
export function comparedHeads(traces, state) {
  const apart = oneAgainstAll(state);
  const layers = apart ? traces[1].calls.length : Math.min(...traces.map(({ calls }) => calls.length));
  return places(0, layers).flatMap((layer) => {
    const heads = apart ? traces[1].calls[layer].H : Math.min(...traces.map(({ calls }) => calls[layer].H));
    return places(0, heads).map((head) => ({ layer, head }));
  });
}

/**
 * The change of each of comparedHeads, in steps: yields between heads, so that the page stays responsive.
 *
 * @param {Trace[]} traces
 * @param {Compared} state fitted
 * @returns {Generator<number | Promise<void>, HeadChange[], void>} NaN if
 *   the query has no counterpart
 */
export function* headChangesJob(traces, state) {
  const changes = [];
  const apart = oneAgainstAll(state);
  // Separate caches, so that the scores of the selected heads are not evicted.
  const caches = [{}, {}];
  for (const { layer, head } of comparedHeads(traces, state)) {
    const first = apart ? state.layer[0] : layer;
    for (const call of [traces[0].calls[first], traces[1].calls[layer]]) if (!call.opened) yield call.ready();
    const place = {
      layer: [first, layer],
      head: [apart ? state.head[0] : head, head],
      aggregate: [apart && state.aggregate[0], false],
    };
    const compared = compareHeads(traces, { ...state, ...place }, caches);
    changes.push({ layer, head, moved: changeOf(compared, state) });
    yield changes.length;
  }
  return changes;
}

/** @param {ComparedHeads} compared @param {Compared} state */
function changeOf(compared, { row, every }) {
  if (!every) return row < compared.queries.pairs.length ? movedShare(compared, row) : NaN;
  const moved = compared.queries.pairs.map((_, at) => movedShare(compared, at)).filter((share) => !Number.isNaN(share));
  return moved.reduce((sum, share) => sum + share, 0) / moved.length;
}
