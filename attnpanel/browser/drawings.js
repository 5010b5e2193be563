import { addInto, blindQueries, divideBy, makeMask, mix, mixColour, pool, scores } from "./attention.js";
import { LEAST_PEAK, OVERVIEW_ROWS, overviewTile, overviewTileOfWeights, relativeToRowPeak, softmaxRows } from "./attention.js";
import { fixed, labelsOf, shorten } from "./words_of.js";

// What is computed for the head on screen, and every picture of it as plain data: attnpanel's selection.py
// and views/ in JavaScript. Pure but for the cache a caller hands in: no DOM.

/**
 * One head, or the mean over heads, of one sequence of one call; do not modify.
 *
 * @typedef {object} Selection
 * @property {number} T queries
 * @property {number} S keys
 * @property {?Float32Array} scores T*S, before mask and temperature; null where only weights were recorded
 * @property {Float32Array} weights T*S
 * @property {?Float32Array} output T*Dv; null where no values were kept
 * @property {Uint8Array} visible T*S, 1 = the query may attend to the key
 * @property {Uint8Array} empty T, 1 = the query may see no key
 */

/**
 * One picture as data, as attnpanel.views.drawing.Drawing.
 *
 * @typedef {object} Drawing
 * @property {Record<string, object>} sources columns of each Bokeh data source by its name; an image's matrix
 *   is row-major, with `rows` and `columns` beside it
 * @property {[number, number]} x the whole range, first and last
 * @property {[number, number]} y runs downwards where first > last
 * @property {?{low: number, high: number, palette: string[]}} colours
 * @property {?string[]} xLabels the same array while the tokens are the same
 * @property {?string[]} yLabels
 * @property {?Array<?number>} outline [left, right, first, last]; null is the picture's own edge
 * @property {?number} height in pixels
 * @property {?boolean} masked whether nan means a masked cell; null where there can be none
 */

// Cells a side that one picture draws: about as many as it has pixels. A longer sequence is pooled until one
// zooms in.
const MOST_CELLS = 512;
// A capture writes "hidden, but finite" as a bias of -1e30: no score of a model is that large.
const HIDDEN = 1e29;
// What the scores of heads seen lately may take, in bytes, where the cache's owner says nothing: 64 heads at
// T = 512, 4 at T = 2048.
const SCORE_BYTES = 67_200_000;
const MASK_BYTES = 16_800_000;

// The selection.

/**
 * Computes one head, or the mean over all heads; at once where nothing it depends on has changed.
 *
 * @param {object} trace as openTrace gives it, the layer's arrays ready
 * @param {import("./words_of.js").State} state
 * @param {{mostBytes?: number}} cache an object the caller keeps and hands in again, empty at first;
 *   mostBytes bounds the scores it holds
 * @returns {Selection} the same object while the choices behind it stay
 */
export function select(trace, state, cache) {
  const job = selectJob(trace, state, cache);
  let step = job.next();
  while (!step.done) step = job.next();
  return step.value;
}

/**
 * `select` in steps: yields between heads, so that a page stays responsive, and may be dropped at any time.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {object} cache as for select
 * @returns {Generator<number, Selection, void>} yields the number of heads done
 */
export function* selectJob(trace, state, cache) {
  const known = opened(cache, trace);
  const key = selectionKey(trace, state);
  if (known.selection?.key === key) return known.selection.value;
  const call = trace.calls[state.layer];
  const heads = state.aggregate ? Array.from({ length: call.H }, (_, head) => head) : [state.head];
  const mean = { scores: null, weights: null, output: null, visible: null };
  for (const [done, head] of heads.entries()) {
    if (done > 0) yield done;
    const step = call.live ? liveStep(trace, state, head, known) : recordedStep(call, state, head);
    addStep(mean, step, heads.length);
  }
  if (heads.length > 1) {
    for (const total of [mean.scores, mean.weights, mean.output]) if (total) divideBy(total, heads.length);
  }
  const { T, S } = call;
  const value = { T, S, ...mean, empty: blindQueries(mean.visible, { T, S }) };
  known.selection = { key, value };
  return value;
}

// Multiply-adds that one cell takes beside the dot products: its exponential, and drawing it.
const SOFTMAX_WORK = 30;
const DRAWING_WORK = 20;

/**
 * What `select` and the three heatmaps would cost now, in multiply-adds: about a million take a millisecond.
 *
 * @param {object} trace the layer's arrays ready
 * @param {import("./words_of.js").State} state
 * @param {object} cache as for select
 * @returns {number} 0 where nothing need be computed
 */
export function selectionWork(trace, state, cache) {
  const known = opened(cache, trace);
  if (known.selection?.key === selectionKey(trace, state)) return 0;
  const { T, S, D, Dv, H, live, softCap } = trace.calls[state.layer];
  const heads = state.aggregate ? Array.from({ length: H }, (_, head) => head) : [state.head];
  const scoring = D + (softCap === null ? 0 : SOFTMAX_WORK);
  const scored = (head) => known.scores.has(`${state.layer} ${state.batch} ${head}`);
  const ofHead = (head) => (live ? (scored(head) ? 0 : scoring) + SOFTMAX_WORK + (Dv ?? 0) : 1);
  return T * S * heads.reduce((sum, head) => sum + ofHead(head), DRAWING_WORK);
}

/**
 * Makes a selection that was computed elsewhere the one that `select` gives for these choices.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {object} cache as for select
 * @param {Selection} value
 */
export function keepSelection(trace, state, cache, value) {
  const known = opened(cache, trace);
  known.selection = { key: selectionKey(trace, state), value };
  // The next temperature needs no new ones.
  if (value.scores !== null && !state.aggregate) keepScores(known, state, state.head, () => value.scores);
}

function opened(cache, trace) {
  if (cache.trace === trace) return cache;
  const arrays = { scores: new Map(), masks: new Map(), tiles: new Map() };
  return Object.assign(cache, { trace, selection: null, setting: "", ...arrays });
}

function selectionKey(trace, state) {
  const place = [state.layer, state.batch, state.aggregate ? "mean" : state.head];
  return [...place, trace.calls[state.layer].live ? ruleOf(state) : ""].join(" ");
}

/** The choices that make weights of scores. */
function ruleOf(state) {
  return [state.temperature, state.empty_rows, maskOf(state)].join(" ");
}

/** The chosen mask and what it depends on. */
function maskOf(state) {
  if (state.mask.includes("padding")) return `${state.mask} ${state.pad_len}`;
  if (state.mask === "window") return `window ${state.window} ${state.align}`;
  return state.mask === "causal" ? `causal ${state.align}` : state.mask;
}

function liveStep(trace, state, head, cache) {
  const call = trace.calls[state.layer];
  const { T, S, Dv } = call;
  const scored = scoresOf(trace, state, head, cache);
  const visible = visibleOf(call, state, head, scored, cache);
  // Where nothing is hidden, softmaxRows need not look.
  const hiding = state.mask === "none" ? null : visible;
  const { temperature, empty_rows: emptyRows } = state;
  const sink = sinkOf(call, head);
  const { weights } = softmaxRows(scored, { T, S, visible: hiding, temperature, emptyRows, sink });
  const value = call.value(state.batch, head);
  const output = value === null ? null : mix(weights, value, { T, S, Dv });
  return { scores: scored, weights, visible, output };
}

function recordedStep(call, state, head) {
  const weights = call.recorded(state.batch, head);
  const visible = new Uint8Array(weights.length);
  for (let at = 0; at < weights.length; at++) visible[at] = weights[at] === 0 ? 0 : 1;
  return { scores: null, weights, visible, output: null };
}

/** Adds one head of so many to their sum; a single head's arrays are taken as they are. */
function addStep(mean, step, heads) {
  for (const name of ["scores", "weights", "output"]) {
    const part = step[name];
    if (part === null) continue;
    if (mean[name] === null) mean[name] = heads === 1 ? part : new Float32Array(part.length);
    if (heads > 1) addInto(mean[name], part);
  }
  // A pair is masked in the mean only where every head masks it; most masks are the same for all heads.
  if (mean.visible === null || mean.visible === step.visible) mean.visible = step.visible;
  else mean.visible = addInto(mean.visible.slice(), step.visible);
}

/** The score of a head's attention sink; null without one. */
function sinkOf(call, head) {
  return call.sinks?.[head] ?? null;
}

function scoresOf(trace, state, head, cache) {
  const call = trace.calls[state.layer];
  const { T, S, D, scale, softCap } = call;
  const { batch } = state;
  const options = () => ({ T, S, D, scale, softCap, bias: call.bias(batch, head) });
  const make = () => scores(call.query(batch, head), call.key(batch, head), options());
  return keepScores(cache, state, head, make);
}

function keepScores(cache, { layer, batch }, head, make) {
  return lately(cache.scores, `${layer} ${batch} ${head}`, make, cache.mostBytes ?? SCORE_BYTES);
}

/** Which pairs of one head are visible under the chosen mask; a bias of -inf hides whatever the mask. */
function visibleOf(call, state, head, scored, cache) {
  if (state.mask === "model") return call.visible(state.batch, head);
  const mask = chosenMask(call, state, cache);
  if (!call.hasBias) return mask;
  const seen = () => mask.map((visible, at) => (scored[at] === -Infinity ? 0 : visible));
  const place = `${state.layer} ${state.batch} ${head} ${maskOf(state)}`;
  return lately(cache.masks, place, seen, MASK_BYTES);
}

function chosenMask({ T, S }, state, cache) {
  const options = { padLen: Math.min(state.pad_len, S), window: state.window, align: state.align };
  const make = () => makeMask(state.mask, T, S, options);
  return lately(cache.masks, `${T} ${S} ${maskOf(state)}`, make, MASK_BYTES);
}

/** An array made once and kept; those not asked for longest go first, to take at most `mostBytes` in all. */
function lately(arrays, key, make, mostBytes) {
  const array = arrays.get(key) ?? make();
  arrays.delete(key);
  arrays.set(key, array);
  let bytes = 0;
  for (const one of arrays.values()) bytes += one.byteLength;
  for (const [oldest, one] of arrays) {
    if (bytes <= mostBytes || oldest === key) break;
    arrays.delete(oldest);
    bytes -= one.byteLength;
  }
  return array;
}

// The three heatmaps.

/**
 * Scores before mask and temperature (T, S); masked cells hold nan.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {Selection} selection
 * @returns {Drawing}
 */
export function scoresDrawing(trace, state, selection) {
  const { T, S, scores: scored } = selection;
  if (scored === null) {
    const unknown = matrixDrawing(trace, state, "attn:scores", nothing, symmetric(trace, state, 0));
    return { ...unknown, masked: false };
  }
  const visible = finiteCells(trace.calls[state.layer], selection);
  const first = scaledFrom(state, selection);
  const reach = largest(scored, { T, S, visible, first, below: HIDDEN, absolute: true });
  const colours = symmetric(trace, state, reach);
  const draw = (down, across) => shrunk(scored, T, S, down, across, { visible });
  return matrixDrawing(trace, state, "attn:scores", draw, colours);
}

/**
 * Softmax weights (T, S); a masked cell holds nan unless its empty row was filled.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {Selection} selection
 * @returns {Drawing}
 */
export function weightsDrawing(trace, state, selection) {
  const { T, S, visible, weights } = selection;
  // A sink leaves an empty row without a weight, whatever the policy.
  const filled = state.empty_rows !== "zero" && trace.calls[state.layer].sinks === null;
  const shown = { visible, wholeRows: filled ? selection.empty : null };
  const cells = (matrix) => (down, across) => shrunk(matrix, T, S, down, across, shown);
  // Of these keys comes the scale; what lies above it has its last colour.
  const first = scaledFrom(state, selection);
  if (state.weight_scale === "per row") {
    const colours = { low: 0, high: 1, palette: sequential(trace, state, "1") };
    const relative = relativeToRowPeak(weights, { T, S, first });
    // Relative to its row is what one sees; the weight itself is what hovering tells.
    return matrixDrawing(trace, state, "attn:weights", cells(relative), colours, cells(weights));
  }
  const power = state.weight_scale === "linear" ? "1" : "0.5";
  const high = peakOrOne(largest(weights, { T, S, first, ...shown }));
  const colours = { low: 0, high, palette: sequential(trace, state, power) };
  return matrixDrawing(trace, state, "attn:weights", cells(weights), colours);
}

/**
 * What each query becomes: weights times values (T, Dv).
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {Selection} selection
 * @returns {Drawing}
 */
export function outputDrawing(trace, state, selection) {
  const { T, output } = selection;
  const channels = output === null ? 1 : output.length / T;
  const down = onScreen(state, T, 2);
  const across = { start: 0, stop: channels };
  const matrix = output === null ? nothing(down, across) : shrunk(output, T, channels, down, across);
  const reach = output === null ? 0 : largest(output, { T, S: channels, below: HIDDEN, absolute: true });
  return {
    sources: { "attn:output": imageColumns(matrix, [-0.5, channels - 0.5], down.edges) },
    x: [-0.5, channels - 0.5],
    y: downwards(T),
    colours: symmetric(trace, state, reach),
    xLabels: null,
    yLabels: null,
    outline: rowOutline(trace, state),
    height: null,
    masked: output !== null,
  };
}

/**
 * The selected query's row, across the whole picture.
 *
 * @param {object} _trace
 * @param {import("./words_of.js").State} state
 * @returns {Array<?number>} [left, right, first, last]
 */
export function rowOutline(_trace, state) {
  return [null, null, state.query_index - 0.5, state.query_index + 0.5];
}

/** `cells` and `exact` give the drawn matrix of the positions on screen. */
function matrixDrawing(trace, state, name, cells, colours, exact = null) {
  const call = trace.calls[state.layer];
  const tokens = trace.tokensOf(call, state.batch);
  const down = onScreen(state, call.T, 2);
  const across = onScreen(state, call.S, 0);
  const columns = imageColumns(cells(down, across), across.edges, down.edges);
  if (exact !== null) columns.exact = [exact(down, across).values];
  return {
    sources: { [name]: columns },
    x: [-0.5, call.S - 0.5],
    y: downwards(call.T),
    colours,
    xLabels: labelsOf(tokens.keys),
    yLabels: labelsOf(tokens.queries),
    outline: rowOutline(trace, state),
    height: null,
    masked: true,
  };
}

/** Bokeh's image columns of a matrix whose first row lies at the smallest y. */
function imageColumns({ values, rows, columns }, x, y) {
  return { image: [values], rows, columns, x: [x[0]], y: [y[0]], dw: [x[1] - x[0]], dh: [y[1] - y[0]] };
}

function shrunk(matrix, rows, columns, down, across, shown = {}) {
  const part = { top: down.start, height: down.stop - down.start, left: across.start };
  const width = across.stop - across.start;
  return pool(matrix, rows, columns, MOST_CELLS, MOST_CELLS, { ...part, width, ...shown });
}

/** What `shrunk` would give of a matrix of nan. */
function nothing(down, across) {
  const rows = blocks(down.start, down.stop);
  const columns = blocks(across.start, across.stop);
  return { values: new Float32Array(rows * columns).fill(NaN), rows, columns };
}

/** Positions that one drawn block takes together. */
function wide(start, stop) {
  return Math.ceil((stop - start) / MOST_CELLS);
}

function blocks(start, stop) {
  return Math.ceil((stop - start) / wide(start, stop));
}

function downwards(length) {
  return [length - 0.5, -0.5];
}

/** The positions on screen along one axis, and the edges of what is drawn of them. */
function onScreen(state, length, side) {
  let start = 0;
  let stop = length;
  if (state.viewport !== null) {
    const [one, other] = state.viewport.slice(side, side + 2);
    start = clip(Math.floor(Math.min(one, other) + 0.5), 0, length - 1);
    stop = clip(Math.ceil(Math.max(one, other) + 0.5), start + 1, length);
  }
  // All blocks are equally wide, so the last may overhang.
  return { start, stop, edges: [start - 0.5, start + blocks(start, stop) * wide(start, stop) - 0.5] };
}

/** Visible cells with a finite score: in a mean, one head's -inf bias hides what other heads see. */
function finiteCells(call, { visible, scores: scored }) {
  return call.hasBias ? visible.map((seen, at) => (Number.isFinite(scored[at]) ? seen : 0)) : visible;
}

/**
 * The first key whose numbers count for the colour scale: 0, or where the first token is left out the key
 * after the first that any query sees.
 *
 * @param {import("./words_of.js").State} state
 * @param {Selection} selection
 * @returns {number}
 */
export function scaledFrom(state, { T, S, visible }) {
  if (!state.skip_first || S === 1) return 0;
  for (let key = 0; key < S; key++) {
    for (let query = 0; query < T; query++) if (visible[query * S + key] !== 0) return key + 1;
  }
  return 1;
}

/** Where a colour scale ends: the largest number, or 1 where there is none to speak of. */
function peakOrOne(peak) {
  return peak >= LEAST_PEAK ? peak : 1;
}

/** The largest number, or magnitude, below a limit among the shown cells; 0 where there is none above 0. */
function largest(
  matrix,
  { T, S, first = 0, visible = null, wholeRows = null, below = Infinity, absolute = false },
) {
  let found = 0;
  for (let i = 0; i < T; i++) {
    const all = visible === null || (wholeRows !== null && wholeRows[i] === 1);
    for (let at = i * S + first; at < (i + 1) * S; at++) {
      const number = absolute ? Math.abs(matrix[at]) : matrix[at];
      if (number > found && number < below && (all || visible[at] !== 0)) found = number;
    }
  }
  return found;
}

/** Colours centred at 0, so that the sign of a score can be seen. */
function symmetric(trace, state, reach) {
  return { low: -(reach || 1), high: reach || 1, palette: paletteOf(trace, state).diverging };
}

function sequential(trace, state, power) {
  return paletteOf(trace, state).sequential[power];
}

function paletteOf(trace, state) {
  return trace.palettes[state.dark ? "dark" : "light"];
}

function lookOf(trace, state) {
  return trace.looks[state.dark ? "dark" : "light"];
}

// The row of token i.

const MOST_LABELS = 16;
const SMALLEST_LABEL = Math.fround(0.015);
// The axis ends at one of these, so that bars don't jump with every step of a slider.
const AXIS_ENDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0];

/**
 * One bar a key, as high as its weight; the largest in the accent colour.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {Selection} selection
 * @returns {Drawing}
 */
export function rowDrawing(trace, state, selection) {
  const look = lookOf(trace, state);
  const tokens = trace.tokensOf(trace.calls[state.layer], state.batch).keys;
  const weights = rowOfWeights(selection, state.query_index);
  const height = weights.map(orZero);
  const length = height.length;
  const color = new Array(length).fill(look.bar);
  if (height.some(Boolean)) color[height.indexOf(largestOf(height))] = look.accent;
  const named = heaviest(height, MOST_LABELS).filter((key) => height[key] >= SMALLEST_LABEL);
  const edge = 0.1 + 0.02 * length;
  // Gaps between a thousand bars would wash them out.
  const half = length <= 200 ? 0.42 : 0.5;
  return {
    sources: {
      "attn:row": {
        left: Float64Array.from(height, (_, key) => key - half),
        bottom: new Float64Array(length),
        right: Float64Array.from(height, (_, key) => key + half),
        top: height,
        color,
        token: tokens,
        weight: weights,
      },
      "attn:row:labels": {
        x: Float64Array.from(named),
        y: Float64Array.from(named, (key) => height[key]),
        text: named.map((key) => fixed(height[key], 2)),
        color: named.map(() => look.muted),
      },
    },
    // Room for the label of a bar at the edge, however thin the bars.
    x: [-0.5 - edge, length - 0.5 + edge],
    y: [0, axisEnd(height)],
    colours: null,
    xLabels: labelsOf(tokens),
    yLabels: null,
    outline: null,
    height: 210,
    masked: null,
  };
}

/** One query's weights, copied. */
function rowOfWeights({ S, weights }, query) {
  return weights.slice(query * S, (query + 1) * S);
}

function axisEnd(height) {
  // In float32, as NumPy compares them.
  const needed = Math.fround(largestOf(height) * Math.fround(1.12));
  return AXIS_ENDS.find((end) => needed <= Math.fround(end)) ?? 1.15;
}

function largestOf(numbers) {
  return numbers.reduce((one, other) => Math.max(one, other));
}

/** Indices of the largest numbers, ascending; of equal ones the earlier. */
function heaviest(numbers, count) {
  const keys = Array.from(numbers, (_, key) => key);
  keys.sort((one, other) => numbers[other] - numbers[one] || one - other);
  return keys.slice(0, count).sort((one, other) => one - other);
}

function orZero(number) {
  return number || 0; // 0 for nan
}

// Paint mixing.

const MOST_SWATCHES = 20;
const ROW_PIXELS = 22;
// Columns of the picture, in units of its width.
const SWATCH = [0, 0.1];
const NAME = 0.13;
const BAR = [0.47, 0.82];
const WEIGHT = 1;
const UNKNOWN = "#8a8f99";

/**
 * A swatch, name, bar and weight per token, and below them the colour they mix to; beyond 20 tokens the
 * heaviest 19 in order, and the rest as one weighted mean.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {Selection} selection
 * @returns {Drawing}
 */
export function swatchesDrawing(trace, state, selection) {
  const look = lookOf(trace, state);
  const call = trace.calls[state.layer];
  const tokens = trace.tokensOf(call, state.batch);
  const row = Float64Array.from(rowOfWeights(selection, state.query_index));
  const known = call.colours(state.batch, state.aggregate ? null : state.head, state.color_seed);
  const paints = known ?? new Float64Array(row.length * 3).fill(NaN);
  const { names, weights, colours, keys } = swatchesOf(tokens.keys, row, paints);
  const count = names.length;
  const every = (value) => new Float64Array(count).fill(value);
  const off = (by) => Float64Array.from(names, (_, at) => at + by);
  const same = (text) => new Array(count).fill(text);
  const painted = names.map((_, at) => hexColour(colours.subarray(3 * at, 3 * at + 3)));
  const heights = weights.map(orZero);
  const scale = barScale(heights);
  const token = shorten(tokens.queries[state.query_index], 18);
  return {
    sources: {
      "attn:swatches": {
        left: every(SWATCH[0]),
        bottom: off(-0.36),
        right: every(SWATCH[1]),
        top: off(0.36),
        color: painted,
        token: names,
        weight: weights,
        key_index: keys,
      },
      "attn:swatches:tracks": {
        left: every(BAR[0]),
        bottom: off(-0.1),
        right: every(BAR[1]),
        top: off(0.1),
        color: same(look.line),
      },
      "attn:swatches:bars": {
        left: every(BAR[0]),
        bottom: off(-0.1),
        right: heights.map((height) => BAR[0] + height * scale),
        top: off(0.1),
        color: known === null ? same(look.bar) : painted,
      },
      "attn:swatches:names": {
        x: every(NAME),
        y: off(0),
        text: names.map((name) => shorten(name, 12)),
        color: same(look.ink),
      },
      "attn:swatches:weights": {
        x: every(WEIGHT),
        y: off(0),
        text: Array.from(weights, (weight) => fixed(weight, 3)),
        color: same(look.muted),
      },
      ...mixedSources(mixColour(row, paints), count, token, row.every((weight) => weight === 0), look),
    },
    x: [0, 1],
    y: [count + 1.4, -0.6],
    colours: null,
    xLabels: null,
    yLabels: null,
    outline: null,
    height: ROW_PIXELS * (count + 2),
    masked: null,
  };
}

/** The colour that the row mixes to, below so many swatches, and the words on it. */
function mixedSources(mixed, count, token, empty, look) {
  // Nothing mixed is no paint: black would be one.
  const color = empty ? look.masked : hexColour(mixed);
  const known = mixed.every(Number.isFinite) ? "" : " is unknown";
  const text = empty ? `“${token}” becomes nothing` : `what “${token}” becomes${known}`;
  return {
    "attn:mixed": {
      left: [0],
      bottom: [count - 0.1],
      right: [1],
      top: [count + 1.3],
      color: [color],
      red: [mixed[0]],
      green: [mixed[1]],
      blue: [mixed[2]],
    },
    "attn:mixed:name": { x: [0.5], y: [count + 0.6], text: [text], color: [readableOn(color)] },
  };
}

function barScale(heights) {
  const highest = largestOf(heights);
  return (BAR[1] - BAR[0]) / Math.max(highest > 0.5 ? 1 : highest * 1.2, 1e-12);
}

/** The swatches' names, weights, colours (3 numbers each) and keys; -1 is all the rest. */
function swatchesOf(tokens, row, paints) {
  if (tokens.length <= MOST_SWATCHES) {
    return { names: tokens, weights: row, colours: paints, keys: Int32Array.from(tokens, (_, key) => key) };
  }
  const known = row.map(orZero);
  const keep = heaviest(known, MOST_SWATCHES - 1);
  const rest = blendOfRest(known, paints, new Set(keep));
  const paint = (key) => [...paints.subarray(3 * key, 3 * key + 3)];
  return {
    names: [...keep.map((key) => tokens[key]), `${tokens.length - keep.length} others`],
    weights: Float64Array.from([...keep.map((key) => row[key]), rest.share]),
    colours: Float64Array.from([...keep.flatMap(paint), ...rest.blend]),
    keys: Int32Array.from([...keep, -1]),
  };
}

/** The weight of all keys but those kept, and their weighted mean colour; the plain mean of no weight. */
function blendOfRest(known, paints, keep) {
  const rest = Array.from(known, (_, key) => key).filter((key) => !keep.has(key));
  const share = rest.reduce((sum, key) => sum + known[key], 0);
  const blend = [0, 1, 2].map((channel) => {
    const part = (key) => (share > 0 ? known[key] : 1) * paints[3 * key + channel];
    return rest.reduce((sum, key) => sum + part(key), 0) / (share > 0 ? share : rest.length);
  });
  return { share, blend };
}

/** A colour of three numbers in 0..1 as a hex text; nan gives a neutral grey. */
function hexColour(rgb) {
  if (!rgb.every(Number.isFinite)) return UNKNOWN;
  const digits = (channel) => roundToEven(clip(channel, 0, 1) * 255).toString(16).padStart(2, "0");
  return `#${Array.from(rgb, digits).join("")}`;
}

const READABLE = new Map();

/**
 * Black or white, whichever contrasts more with a hex colour (WCAG 2 relative luminance).
 *
 * @param {string} colour "#rrggbb"
 * @returns {string} hex
 */
export function readableOn(colour) {
  if (READABLE.size > 4096) READABLE.clear();
  if (!READABLE.has(colour)) READABLE.set(colour, luminance(colour) < 0.179 ? "#ffffff" : "#000000");
  return READABLE.get(colour);
}

// Contrast with white is 1.05 / (L + 0.05), with black (L + 0.05) / 0.05: equal at 0.179.
function luminance(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const channel = parseInt(colour.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return red * 0.2126 + green * 0.7152 + blue * 0.0722;
}

function clip(number, low, high) {
  return Math.min(Math.max(number, low), high);
}

function roundToEven(number) {
  const rounded = Math.round(number);
  return rounded - number === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

// The tokens as text.

/**
 * The key tokens shaded by the weight they get from token i, and the query tokens where they are others, as
 * attnpanel.views.text.shaded_tokens.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {Selection} selection
 * @returns {{names: {keys: string[], queries: string[]}, content: {shades: string[], inks: string[],
 *   weights: string[], selected: number}}}
 */
export function shadedTokens(trace, state, selection) {
  const { queries, keys } = trace.tokensOf(trace.calls[state.layer], state.batch);
  const palette = sequential(trace, state, "0.5");
  const weights = Array.from(rowOfWeights(selection, state.query_index), orZero);
  // A weight's own shade, so that tokens can be compared; relative where the first is left out.
  const first = scaledFrom(state, selection);
  const high = first > 0 ? peakOrOne(weights.slice(first).reduce((one, other) => Math.max(one, other), 0)) : 1;
  const step = (weight) => roundToEven(Math.fround(clip(Math.fround(weight / high), 0, 1) * 255));
  const shades = weights.map((weight) => palette[step(weight)]);
  const equal = () => queries.length === keys.length && queries.every((token, at) => token === keys[at]);
  return {
    names: { keys, queries: queries === keys || equal() ? [] : queries },
    content: {
      shades,
      inks: shades.map(readableOn),
      weights: weights.map((weight) => fixed(weight, 4)),
      selected: state.query_index,
    },
  };
}

// All heads.

const TILE = 24;
const GAP = 2;

/**
 * Every head's weights as a tile; rows are layers, columns are heads, nan lies between.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {object} cache as for select
 * @param {{partial?: boolean}} [options] partial: leave out the tiles that overviewJob has not made yet,
 *   which are computed now otherwise
 * @returns {Drawing}
 */
export function gridDrawing(trace, state, cache, { partial = false } = {}) {
  const layers = trace.calls.length;
  const heads = Math.max(...trace.calls.map((call) => call.H));
  const side = TILE + GAP;
  const mosaic = { values: new Float32Array(layers * side * heads * side).fill(NaN), columns: heads * side };
  const tiles = tilesOf(trace, state, cache);
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < trace.calls[layer].H; head++) {
      const tile = partial ? tiles.get(`${layer} ${head}`) : overview(trace, state, cache, layer, head);
      if (tile) lay(mosaic, tile, layer * side + GAP / 2, head * side + GAP / 2);
    }
  }
  const [across, down] = [[-0.5, heads - 0.5], [-0.5, layers - 0.5]];
  return {
    sources: { "attn:grid": imageColumns({ ...mosaic, rows: layers * side }, across, down) },
    x: across,
    y: downwards(layers),
    colours: { low: 0, high: 1, palette: sequential(trace, state, "0.4") },
    xLabels: null,
    yLabels: null,
    outline: tileOutline(trace, state),
    height: 30 + Math.trunc(clip(Math.min(264 / heads, 66) * layers, 40, 420)),
    masked: null,
  };
}

/**
 * Makes the tiles of the overview one by one, so that the page stays responsive; drop it when mask,
 * temperature or sequence change.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state as it is now
 * @param {object} cache as for select
 * @returns {Generator<number | Promise<void>, void, void>} yields how many tiles are there, or a promise to
 *   wait for where a layer's arrays are not opened yet
 */
export function* overviewJob(trace, state, cache) {
  const now = { ...state };
  let done = 0;
  for (const [layer, call] of trace.calls.entries()) {
    if (call.opened === false) yield call.ready();
    for (let head = 0; head < call.H; head++) {
      overview(trace, now, cache, layer, head);
      done += 1;
      yield done;
    }
  }
}

/**
 * What the tiles that are still missing would cost, as selectionWork says it.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {object} cache as for select
 * @returns {number}
 */
export function overviewWork(trace, state, cache) {
  const tiles = tilesOf(trace, state, cache);
  const ofCall = ({ H, T, S, D, live }, layer) => {
    const missing = Array.from({ length: H }, (_, head) => head).filter((head) => !tiles.has(`${layer} ${head}`));
    return missing.length * (live ? Math.min(T, OVERVIEW_ROWS) * S * (D + SOFTMAX_WORK) : T * S);
  };
  return trace.calls.reduce((sum, call, layer) => sum + ofCall(call, layer), 0);
}

/**
 * The shown head's tile, or the layer's whole row where the mean is shown.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @returns {number[]} [left, right, first, last]
 */
export function tileOutline(trace, state) {
  const last = trace.calls[state.layer].H - 1;
  const [left, right] = state.aggregate ? [0, last] : [state.head, state.head];
  return [left - 0.5, right + 0.5, state.layer - 0.5, state.layer + 0.5];
}

/** One tile; kept while mask, temperature and sequence stay. */
function overview(trace, state, cache, layer, head) {
  const tiles = tilesOf(trace, state, cache);
  const key = `${layer} ${head}`;
  if (!tiles.has(key)) tiles.set(key, tileOf(trace.calls[layer], head, state, cache));
  return tiles.get(key);
}

/**
 * The tiles made so far for these choices, by "layer head"; tiles made elsewhere may be put in.
 *
 * @param {object} trace
 * @param {import("./words_of.js").State} state
 * @param {object} cache as for select
 * @returns {Map<string, {values: Float32Array, rows: number, columns: number}>}
 */
export function tilesOf(trace, state, cache) {
  const known = opened(cache, trace);
  const setting = `${state.batch} ${ruleOf(state)}`;
  if (known.setting !== setting) {
    known.setting = setting;
    known.tiles = new Map();
  }
  return known.tiles;
}

function tileOf(call, head, state, cache) {
  const { T, S, D, scale, softCap } = call;
  const batch = Math.min(state.batch, call.B - 1);
  if (!call.live) return overviewTileOfWeights(call.recorded(batch, head), { T, S });
  const { temperature, empty_rows: emptyRows } = state;
  const options = { T, S, D, scale, softCap, temperature, emptyRows, sink: sinkOf(call, head) };
  let visible = null;
  if (state.mask === "model") visible = call.visible(batch, head);
  else if (state.mask !== "none") visible = chosenMask(call, state, cache);
  const bias = call.bias(batch, head);
  return overviewTile(call.query(batch, head), call.key(batch, head), { ...options, bias, visible });
}

/** Copies a small picture into the mosaic, each of its cells over as many as make 24 of them. */
function lay(mosaic, tile, top, left) {
  for (let i = 0; i < TILE; i++) {
    const from = Math.floor((i * tile.rows) / TILE) * tile.columns;
    const to = (top + i) * mosaic.columns + left;
    for (let j = 0; j < TILE; j++) {
      mosaic.values[to + j] = tile.values[from + Math.floor((j * tile.columns) / TILE)];
    }
  }
}

// The table of pictures: how each is drawn, which choices change it, and which move its outline alone.

const PLACE = ["trace", "layer", "head", "aggregate", "batch"];
const SELECTED = [...PLACE, "temperature", "mask", "pad_len", "window", "align", "empty_rows"];
const OF_MATRIX = [...SELECTED, "dark", "viewport"];
const OF_ROW = [...SELECTED, "dark", "query_index"];
const ofSelection = (draw) => (trace, state, cache) => draw(trace, state, select(trace, state, cache));
const outlined = { outline: rowOutline, moves: ["query_index"] };

/**
 * As attnpanel.views.VIEWS, by name. `draw` computes what it needs.
 *
 * @type {Record<string, {draw: (trace: object, state: object, cache: object) => Drawing, depends: string[],
 *   outline?: (trace: object, state: object) => Array<?number>, moves?: string[]}>}
 */
export const DRAWINGS = {
  scores: {
    draw: ofSelection(scoresDrawing),
    // Scores are what comes before temperature and policy.
    depends: [...OF_MATRIX.filter((name) => name !== "temperature" && name !== "empty_rows"), "skip_first"],
    ...outlined,
  },
  weights: { draw: ofSelection(weightsDrawing), depends: [...OF_MATRIX, "weight_scale", "skip_first"], ...outlined },
  output: { draw: ofSelection(outputDrawing), depends: OF_MATRIX, ...outlined },
  row: { draw: ofSelection(rowDrawing), depends: OF_ROW },
  swatches: { draw: ofSelection(swatchesDrawing), depends: [...OF_ROW, "color_seed"] },
  grid: {
    draw: gridDrawing,
    depends: ["trace", "batch", "temperature", "mask", "pad_len", "window", "align", "empty_rows", "dark"],
    outline: tileOutline,
    moves: ["layer", "head", "aggregate"],
  },
};
