import { mix, scores, softmaxRows } from "../core/attention.js";
import { findMask, fitMaskValues, makeMask } from "../core/masks.js";
import { addInto, divideBy } from "../core/matrices.js";
import { blindQueries } from "../core/visibility.js";
import { openMean } from "./mean.js";
import { Parts } from "./partial.js";

// Attention of the head on screen: attnpanel.explorer.selection in JavaScript. Pure, except for the caller's cache.

// Default limit of cached scores in bytes: 64 heads at T = 512, 4 at T = 2048.
const SCORE_BYTES = 67_200_000;
const MASK_BYTES = 16_800_000;
// Cells of all heads below which a mean is not worth a module of its own.
const ROWS_CELLS = 2 ** 20;

/**
 * Computes one head, or the mean over all heads; returns the cached selection if nothing it depends on has
 * changed. For a layer too large for the page it returns what `partsOf` holds.
 *
 * @param {Trace} trace as openTrace gives it, the layer's arrays ready
 * @param {State} state
 * @param {{mostBytes?: number}} cache an object that the caller keeps and passes again, empty at first;
 *   mostBytes limits its scores
 * @returns {AnySelection} the same object while the choices stay the same, unless partial
 */
export function select(trace, state, cache) {
  if (trace.calls[state.layer].partial) return partsOf(trace, cache).selection(state);
  const job = selectJob(trace, state, cache);
  let step = job.next();
  while (!step.done) step = job.next();
  return step.value;
}

/**
 * `select` in steps: yields between heads or blocks of queries, so that the page stays responsive; may be abandoned at any time, by its `return`.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache as for select
 * @returns {Generator<number, HeadSelection, void>} yields the number of heads or queries done
 */
export function* selectJob(trace, state, cache) {
  const known = opened(cache, trace);
  const key = selectionKey(trace, state);
  if (known.selection?.key === key) return known.selection.value;
  const { T, S, H } = trace.calls[state.layer];
  const mean = H * T * S < ROWS_CELLS ? null : openMean(trace, state, known);
  const step = yield* mean === null ? headByHead(trace, state, known) : mean.job();
  const value = { T, S, ...step, empty: blindQueries(step.visible, { T, S }) };
  known.selection = { key, value };
  return value;
}

/**
 * @param {Trace} trace @param {State} state @param {SelectionCache} cache
 * @returns {Generator<number, Step & {weights: Floats, visible: Uint8Array}, void>}
 */
function* headByHead(trace, state, cache) {
  const call = trace.calls[state.layer];
  const heads = state.aggregate ? Array.from({ length: call.H }, (_, head) => head) : [state.head];
  /** @type {Step} */
  const mean = { scores: null, weights: null, output: null, visible: null };
  const room = call.live && heads.length > 1 ? roomForHeads(call, heads.length, cache) : { scores: null, weights: null };
  for (const [done, head] of heads.entries()) {
    if (done > 0) yield done;
    const step = call.live ? liveStep(trace, state, head, cache, room) : recordedStep(call, state, head);
    addStep(mean, step, heads.length);
  }
  if (heads.length > 1) {
    for (const total of [mean.scores, mean.weights, mean.output]) if (total) divideBy(total, heads.length);
  }
  return /** @type {any} */ (mean);
}

/**
 * The arrays of one head, as in a HeadSelection; null if unknown or not yet computed.
 *
 * @typedef {{scores: ?Floats, weights: ?Floats, visible: ?Uint8Array, output: ?Floats}} Step
 */

// Cost of a cell beside its dot products, in multiply-adds: its exponential, and drawing it.
export const SOFTMAX_WORK = 30;
const DRAWING_WORK = 20;

/**
 * Cost of `select` and the three heatmaps in multiply-adds; about a million take a millisecond.
 *
 * @param {Trace} trace the layer's arrays ready
 * @param {State} state
 * @param {SelectionCache} cache as for select
 * @returns {number} 0 if the selection is cached
 */
export function selectionWork(trace, state, cache) {
  const known = opened(cache, trace);
  if (known.selection?.key === selectionKey(trace, state)) return 0;
  const { T, S, D, Dv, H, live, softCap } = trace.calls[state.layer];
  const heads = state.aggregate ? Array.from({ length: H }, (_, head) => head) : [state.head];
  const scoring = D + (softCap === null ? 0 : SOFTMAX_WORK);
  /** @param {number} head */
  const scored = (head) => known.scores.has(placeOf(state, head));
  /** @param {number} head */
  const ofHead = (head) => (live ? (scored(head) ? 0 : scoring) + SOFTMAX_WORK + (Dv ?? 0) : 1);
  return T * S * heads.reduce((sum, head) => sum + ofHead(head), DRAWING_WORK);
}

/**
 * Caches a selection that was computed elsewhere, so that `select` returns it for these choices.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache as for select
 * @param {HeadSelection} value
 */
export function keepSelection(trace, state, cache, value) {
  const known = opened(cache, trace);
  known.selection = { key: selectionKey(trace, state), value };
  // Another temperature uses the same scores.
  const { scores: scored } = value;
  if (scored !== null && !state.aggregate) keepScores(known, state, state.head, () => scored);
}

/** @param {SelectionCache} cache @param {Trace} trace @returns {Record<string, any>} */
export function opened(cache, trace) {
  if (cache.trace === trace) return cache;
  const arrays = { scores: new Map(), masks: new Map(), tiles: new Map(), parts: new Parts() };
  return Object.assign(cache, { trace, selection: null, setting: "", ...arrays });
}

/**
 * Python's answers about layers that are too large for the page.
 *
 * @param {Trace} trace
 * @param {SelectionCache} cache as for select
 * @returns {Parts}
 */
export function partsOf(trace, cache) {
  return opened(cache, trace).parts;
}

/** @param {Trace} trace @param {State} state */
function selectionKey(trace, state) {
  const place = [state.layer, state.batch, state.aggregate ? "mean" : state.head];
  return [...place, trace.calls[state.layer].live ? ruleOf(trace, state) : ""].join(" ");
}

/**
 * A key of the choices that turn scores into weights.
 *
 * @param {Trace} trace
 * @param {State} state
 */
export function ruleOf(trace, state) {
  return [state.temperature, state.empty_rows, maskOf(trace, state)].join(" ");
}

/**
 * A key of the chosen mask and its parameters.
 *
 * @param {{masks: MaskTable}} trace
 * @param {State} state
 */
function maskOf({ masks }, state) {
  if (state.mask === "model") return state.mask;
  const { needs, aligned } = findMask(masks, state.mask);
  return [state.mask, ...needs.map((name) => state[name]), aligned ? state.align : ""].join(" ");
}

/**
 * @param {Trace} trace @param {State} state @param {number} head @param {SelectionCache} cache
 * @param {{scores: ?Floats, weights: ?Floats}} room as of roomForHeads
 * @returns {Step}
 */
function liveStep(trace, state, head, cache, room) {
  const call = trace.calls[state.layer];
  const { T, S, Dv } = call;
  const scored = scoresOf(trace, state, head, cache, room.scores);
  const visible = visibleOf(trace, state, head, scored, cache);
  // softmaxRows skips masking if nothing is hidden.
  const hiding = state.mask === "none" ? null : visible;
  const { temperature, empty_rows: emptyRows } = state;
  const sink = sinkOf(call, head);
  const { weights } = softmaxRows(scored, { T, S, visible: hiding, temperature, emptyRows, sink }, room.weights);
  const value = call.value(state.batch, head);
  const output = value === null ? null : mix(weights, value, { T, S, Dv });
  return { scores: scored, weights, visible, output };
}

/**
 * Arrays that every head of a mean overwrites: at T = 2048 allocating new ones takes a fifth of the time. Scores
 * are cached only if those of all heads fit: otherwise none would survive until the next mean reads it.
 *
 * @param {Call} call
 * @param {number} heads
 * @param {SelectionCache} cache as for select
 */
function roomForHeads(call, heads, cache) {
  const { T, S } = call;
  const room = () => new Float32Array(T * S);
  const fits = heads * T * S * Float32Array.BYTES_PER_ELEMENT <= (cache.mostBytes ?? SCORE_BYTES);
  return { scores: fits ? null : room(), weights: room() };
}

/** @param {Call} call @param {State} state @param {number} head @returns {Step} */
function recordedStep(call, state, head) {
  const weights = call.recorded(state.batch, head);
  const visible = new Uint8Array(weights.length);
  for (let at = 0; at < weights.length; at++) visible[at] = weights[at] === 0 ? 0 : 1;
  return { scores: null, weights, visible, output: null };
}

/**
 * Adds one of `heads` heads to their sum; a single head's arrays are used without a copy.
 *
 * @param {Step} mean
 * @param {Step} step
 * @param {number} heads
 */
function addStep(mean, step, heads) {
  for (const name of /** @type {const} */ (["scores", "weights", "output"])) {
    const part = step[name];
    if (part === null) continue;
    if (mean[name] === null) mean[name] = heads === 1 ? part : new Float32Array(part.length);
    if (heads > 1) addInto(mean[name], part);
  }
  // A pair is masked in the mean only where every head masks it; most masks are the same for all heads.
  const { visible } = step;
  if (visible === null || mean.visible === null || mean.visible === visible) mean.visible = visible;
  else mean.visible = addInto(mean.visible.slice(), visible);
}

/**
 * The score of a head's attention sink; null without one.
 *
 * @param {Call} call
 * @param {number} head
 */
export function sinkOf(call, head) {
  return call.sinks?.[head] ?? null;
}

/**
 * @param {Trace} trace @param {State} state @param {number} head @param {SelectionCache} cache
 * @param {?Floats} into overwritten by the scores, which then are not cached
 */
function scoresOf(trace, state, head, cache, into) {
  const call = trace.calls[state.layer];
  const { T, S, D, scale, softCap } = call;
  const { batch } = state;
  const options = () => ({ T, S, D, scale, softCap, bias: call.bias(batch, head) });
  const make = () => scores(call.query(batch, head), call.key(batch, head), options(), Float32Array, into);
  const kept = cache.scores.get(placeOf(state, head));
  if (into !== null) return kept ?? make();
  return keepScores(cache, state, head, make);
}

/** @param {{layer: number, batch: number}} state @param {number} head */
function placeOf({ layer, batch }, head) {
  return `${layer} ${batch} ${head}`;
}

/** @param {SelectionCache} cache @param {State} state @param {number} head @param {() => Floats} make */
function keepScores(cache, state, head, make) {
  return cached(cache.scores, placeOf(state, head), make, cache.mostBytes ?? SCORE_BYTES);
}

/**
 * The pairs of one head that are visible under the chosen mask; a bias of -inf hides under any mask.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {number} head
 * @param {?Floats} scored may be null for a layer without a bias
 * @param {SelectionCache} cache
 */
export function visibleOf(trace, state, head, scored, cache) {
  const call = trace.calls[state.layer];
  if (state.mask === "model") return call.visible(state.batch, head);
  const mask = chosenMask(trace, call, state, cache);
  if (!call.hasBias || scored === null) return mask;
  const seen = () => mask.map((visible, at) => (scored[at] === -Infinity ? 0 : visible));
  const place = `${state.layer} ${state.batch} ${head} ${maskOf(trace, state)}`;
  return cached(cache.masks, place, seen, MASK_BYTES);
}

/** @param {Trace} trace @param {{T: number, S: number}} lengths @param {State} state @param {SelectionCache} cache */
export function chosenMask(trace, { T, S }, state, cache) {
  const row = findMask(trace.masks, state.mask);
  const { align } = state;
  // The call may be of another layer, which may be shorter.
  const make = () => makeMask(row, T, S, { align, values: fitMaskValues(trace.masks, state, { T, S }) });
  return cached(cache.masks, `${T} ${S} ${maskOf(trace, state)}`, make, MASK_BYTES);
}

/**
 * Returns a cached array or makes it; evicts the least recently used beyond `mostBytes` in all.
 *
 * @template {ArrayBufferView} A
 * @param {Map<string, A>} arrays
 * @param {string} key
 * @param {() => A} make
 * @param {number} mostBytes
 */
function cached(arrays, key, make, mostBytes) {
  const array = arrays.get(key) ?? make();
  arrays.delete(key);
  arrays.set(key, array);
  let bytes = 0;
  for (const kept of arrays.values()) bytes += kept.byteLength;
  for (const [oldest, kept] of arrays) {
    if (bytes <= mostBytes || oldest === key) break;
    arrays.delete(oldest);
    bytes -= kept.byteLength;
  }
  return array;
}
