import { select } from "./drawings.js";
import { masksOf, startState } from "./words_of.js";

// Two heads side by side: which tokens correspond, what differs, and the heads that differ most. The numbers
// of attnpanel's comparison/ in JavaScript. Pure but for the caches a caller hands in: no DOM.

/**
 * What is compared. Each pair is [first, second]; the second follows the first unless its name is in `apart`.
 *
 * @typedef {object} Compared
 * @property {[number, number]} layer
 * @property {[number, number]} head
 * @property {[boolean, boolean]} aggregate whether the mean of the layer's heads is shown
 * @property {[number, number]} temperature
 * @property {[string, string]} mask
 * @property {[number, number]} pad_len how many leading tokens are real, under a padding mask
 * @property {[number, number]} window
 * @property {string[]} apart names of the choices in which the two sides may differ
 * @property {number} row the query looked at, as a place in the aligned queries
 * @property {?number} key the key pointed at, as a place in the aligned keys; null means the largest change
 * @property {boolean} every whether heads are ranked by all queries, not by the one looked at
 * @property {boolean} dark
 */

/** The choices that both sides share unless they are apart. */
export const SHARED = ["layer", "head", "aggregate", "temperature", "mask", "pad_len", "window"];
/** Where these are apart, each head of the second side is held against what the first one shows. */
const PLACES = ["layer", "head", "aggregate"];
const NOWHERE = -1;

/**
 * Pairs the tokens of two sequences, as attnpanel.comparison.align.
 *
 * @param {string[]} first
 * @param {string[]} second
 * @returns {Array<[number, number]>} places in both; -1 where a token has no counterpart
 */
export function alignTokens(first, second) {
  const anchors = [[-1, -1], ...inCommon(first, second), [first.length, second.length]];
  const pairs = [];
  for (let at = 1; at < anchors.length; at++) {
    const [[i, j], [nextI, nextJ]] = [anchors[at - 1], anchors[at]];
    const ours = places(i + 1, nextI);
    const theirs = places(j + 1, nextJ);
    if (ours.length === theirs.length) pairs.push(...ours.map((one, k) => [one, theirs[k]]));
    else pairs.push(...ours.map((one) => [one, NOWHERE]), ...theirs.map((one) => [NOWHERE, one]));
    pairs.push(anchors[at]);
  }
  return pairs.slice(0, -1);
}

/** The numbers from start up to, but not with, stop. */
export function places(start, stop) {
  return Array.from({ length: stop - start }, (_, at) => start + at);
}

/** A longest common subsequence as pairs of places; of several, the one that starts earliest. */
function inCommon(first, second) {
  const wide = second.length + 1;
  // longest[i * wide + j] is how many tokens first[i:] and second[j:] have in common, in order.
  const longest = new Uint16Array((first.length + 1) * wide);
  for (let i = first.length - 1; i >= 0; i--) {
    for (let j = second.length - 1; j >= 0; j--) {
      const [below, right] = [longest[(i + 1) * wide + j], longest[i * wide + j + 1]];
      longest[i * wide + j] = first[i] === second[j] ? longest[(i + 1) * wide + j + 1] + 1 : Math.max(below, right);
    }
  }
  const found = [];
  for (let i = 0, j = 0; i < first.length && j < second.length; ) {
    if (first[i] === second[j]) found.push([i++, j++]);
    else if (longest[(i + 1) * wide + j] >= longest[i * wide + j + 1]) i += 1;
    else j += 1;
  }
  return found;
}

/**
 * The choices inside what both traces have; where a choice is not apart, the second side's is the first's.
 *
 * @param {[object, object]} traces as openTrace gives them
 * @param {Compared} state
 * @returns {Compared} a new one
 */
export function fitCompared(traces, state) {
  const fitted = { ...state };
  for (const name of SHARED) {
    const [one, other] = state[name];
    fitted[name] = [one, state.apart.includes(name) ? other : one];
  }
  const shown = traces.map((trace, side) => {
    const layer = Math.min(fitted.layer[side], trace.calls.length - 1);
    const { H, S } = trace.calls[layer];
    return { layer, head: Math.min(fitted.head[side], H - 1), masks: masksOf(trace), most: S };
  });
  fitted.layer = shown.map(({ layer }) => layer);
  fitted.head = shown.map(({ head }) => head);
  fitted.mask = shown.map(({ masks }, side) => (masks.includes(fitted.mask[side]) ? fitted.mask[side] : masks[0]));
  fitted.pad_len = shown.map(({ most }, side) => Math.min(fitted.pad_len[side], most));
  fitted.window = shown.map(({ most }, side) => Math.min(Math.max(fitted.window[side], 1), most));
  const { queries, keys } = alignedTokens(traces, fitted);
  fitted.row = Math.min(state.row, queries.pairs.length - 1);
  fitted.key = state.key === null || state.key >= keys.pairs.length ? null : state.key;
  return fitted;
}

/** One side's choices as the explorer's state has them. */
export function sideOf(trace, state, side) {
  const chosen = Object.fromEntries(SHARED.map((name) => [name, state[name][side]]));
  return { ...startState(trace, state.dark), ...chosen, viewport: null };
}

/** Whether each head of the second side is held against what the first one shows. */
export function oneAgainstAll({ apart }) {
  return PLACES.some((name) => apart.includes(name));
}

// Pairs of token rows seen lately: aligning anew at every step would cost more than the picture.
const ALIGNED = new WeakMap();

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
 * The aligned queries and keys of what is shown: `pairs`, and both sides' `names`, null where there is none.
 *
 * @param {[object, object]} traces
 * @param {{layer: [number, number]}} state
 */
export function alignedTokens(traces, state) {
  const [one, other] = traces.map((trace, side) => trace.tokensOf(trace.calls[state.layer[side]], 0));
  return { queries: alignedRows(one.queries, other.queries), keys: alignedRows(one.keys, other.keys) };
}

/**
 * Both heads on one grid of aligned tokens, and what the second has more than the first.
 *
 * @param {[object, object]} traces the shown layers' arrays ready
 * @param {Compared} state fitted
 * @param {[object, object]} caches one for each side, as for select
 * @returns {{queries: object, keys: object, weights: [Float32Array, Float32Array], difference: Float32Array}}
 *   matrices of queries.pairs.length * keys.pairs.length; nan where a side has no such token
 */
export function compareHeads(traces, state, caches) {
  const { queries, keys } = alignedTokens(traces, state);
  const weights = traces.map((trace, side) => {
    const selection = select(trace, sideOf(trace, state, side), caches[side]);
    return spreadOver(selection, queries.pairs, keys.pairs, side);
  });
  const difference = weights[1].map((weight, at) => weight - weights[0][at]);
  return { queries, keys, weights, difference };
}

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
 * The share of one aligned query's weight that lies elsewhere on the second side, as
 * attnpanel.comparison.moved_shares.
 *
 * @param {{queries: object, keys: object, weights: Float32Array[]}} compared
 * @param {number} row
 * @returns {number} nan where one side has no such query
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
 * The heads of the second side that are held against the first's, in the order of layers and heads.
 *
 * Where the place is apart, that is every head, against the head, or the mean, of the first.
 *
 * @param {[object, object]} traces
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
 * How much each of comparedHeads changes, in steps: yields between heads, so that a page stays responsive.
 *
 * @param {[object, object]} traces
 * @param {Compared} state fitted
 * @returns {Generator<number | Promise<void>, {layer: number, head: number, moved: number}[], void>} nan where
 *   the query has no counterpart
 */
export function* headChangesJob(traces, state) {
  const changes = [];
  const apart = oneAgainstAll(state);
  // Caches of its own: the shown heads' scores stay where they are.
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

function changeOf(compared, { row, every }) {
  if (!every) return row < compared.queries.pairs.length ? movedShare(compared, row) : NaN;
  const moved = compared.queries.pairs.map((_, at) => movedShare(compared, at)).filter((one) => !Number.isNaN(one));
  return moved.reduce((sum, one) => sum + one, 0) / moved.length;
}
