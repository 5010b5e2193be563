import { labelsOf } from "../core/format.js";
import { pool, relativeToRowPeak } from "../core/matrices.js";
import { clip, roundUp, scaleOf, scaledFrom, sequential, symmetric, weightsEnd } from "./colours.js";

// Scores, weights and outputs as heatmaps of the viewport.

/** @typedef {{start: number, stop: number}} Part positions along one axis, stop excluded */

// Largest number of cells a side that a plot draws, about its number of pixels. A longer sequence is max-pooled until
// the reader zooms in.
const MAX_CELLS = 512;
// Captures encode "hidden, but finite" as a bias of -1e30; no score of a model is that large.
const HIDDEN = 1e29;

/**
 * Scores before mask and temperature (T, S); masked cells hold nan.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {Drawing}
 */
export function scoresDrawing(trace, state, selection) {
  const heatmap = "heatmaps" in selection ? selection.heatmaps.scores : scoresHeatmap(trace, state, selection);
  const drawing = matrixDrawing(trace, state, "attn:scores", heatmap, symmetric(trace, state, heatmap.high));
  return { ...drawing, masked: trace.calls[state.layer].live };
}

/** @param {Trace} trace @param {State} state @param {HeadSelection} selection @returns {Heatmap} */
function scoresHeatmap(trace, state, selection) {
  const { T, S, scores: scored } = selection;
  const { down, across } = shownPart(state, T, S);
  if (scored === null) return { cells: nothing(down, across), high: 1 };
  const visible = finiteCells(trace.calls[state.layer], selection);
  const first = scaledFrom(state, selection);
  // Of all scores, so that the scale stays where it is whatever the mask.
  const high = first > 0 ? roundUp(largest(scored, { T, S, first, below: HIDDEN, absolute: true })) : reachOf(scored, T);
  return { cells: shrunk(scored, T, S, down, across, { visible }), high };
}

/**
 * Softmax weights (T, S); a masked cell holds nan unless its empty row was filled.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {Drawing}
 */
export function weightsDrawing(trace, state, selection) {
  const heatmap = "heatmaps" in selection ? selection.heatmaps.weights : weightsHeatmap(trace, state, selection);
  return matrixDrawing(trace, state, "attn:weights", heatmap, sequential(trace, state, heatmap.high, scaleOf(trace, state)));
}

/** @param {Trace} trace @param {State} state @param {HeadSelection} selection @returns {Heatmap} */
function weightsHeatmap(trace, state, selection) {
  const { T, S, visible, weights } = selection;
  const { down, across } = shownPart(state, T, S);
  // With a sink, an empty row has no weights under any policy.
  const filled = state.empty_rows !== "zero" && trace.calls[state.layer].sinks === null;
  const shown = { visible, wholeRows: filled ? selection.empty : null };
  /** @param {Floats} matrix */
  const cells = (matrix) => shrunk(matrix, T, S, down, across, shown);
  // The scale covers these keys; larger values get its last colour.
  const first = scaledFrom(state, selection);
  const { ends } = scaleOf(trace, state);
  if (ends === "row") {
    const relative = relativeToRowPeak(weights, { T, S, first, ...shown });
    // Colours are relative to the row; the tooltip shows the weight itself.
    return { cells: cells(relative), exact: cells(weights).values, high: 1 };
  }
  return { cells: cells(weights), high: weightsEnd(largest(weights, { T, S, first, ...shown }), ends === "one" && first === 0) };
}

/**
 * The output, weights times values (T, Dv).
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {Drawing}
 */
export function outputDrawing(trace, state, selection) {
  const { T } = selection;
  const { hasValue, Dv } = trace.calls[state.layer];
  const channels = hasValue ? Dv : 1;
  const heatmap = "heatmaps" in selection ? selection.heatmaps.output : outputHeatmap(trace, state, selection, channels);
  const { edges } = onScreen(state, T, 2);
  return {
    sources: { "attn:output": imageColumns(heatmap.cells, [-0.5, channels - 0.5], edges) },
    x: [-0.5, channels - 0.5],
    y: downwards(T),
    colours: symmetric(trace, state, heatmap.high),
    xLabels: null,
    yLabels: null,
    outline: rowOutline(trace, state),
    height: null,
    masked: hasValue,
  };
}

/** @param {Trace} trace @param {State} state @param {HeadSelection} selection @param {number} channels @returns {Heatmap} */
function outputHeatmap(trace, state, { T, output }, channels) {
  const down = onScreen(state, T, 2);
  const across = { start: 0, stop: channels };
  if (output === null) return { cells: nothing(down, across), high: 1 };
  return { cells: shrunk(output, T, channels, down, across), high: valuesReach(trace, state) };
}

/** @type {WeakMap<Floats, number>} */
const REACHES = new WeakMap();

/**
 * Where a scale ends that holds every number of an array, computed once.
 *
 * @param {Floats} numbers
 * @param {number} rows
 */
function reachOf(numbers, rows) {
  const known = REACHES.get(numbers);
  if (known !== undefined) return known;
  const reach = roundUp(largest(numbers, { T: rows, S: numbers.length / rows, below: HIDDEN, absolute: true }));
  REACHES.set(numbers, reach);
  return reach;
}

/**
 * Where a scale ends that holds the values that are mixed: no output is larger, whatever the weights.
 *
 * @param {Trace} trace
 * @param {State} state
 */
function valuesReach(trace, state) {
  const call = trace.calls[state.layer];
  const heads = state.aggregate ? [...Array(call.H).keys()] : [state.head];
  return Math.max(...heads.map((head) => reachOf(/** @type {Floats} */ (call.value(state.batch, head)), call.S)));
}

/**
 * The selected query's row, across the whole heatmap.
 *
 * @param {Trace} _trace
 * @param {State} state
 * @returns {(number | null)[]} [left, right, first, last]
 */
export function rowOutline(_trace, state) {
  return [null, null, state.query_index - 0.5, state.query_index + 0.5];
}

/**
 * The drawing of a heatmap of the viewport.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {string} name
 * @param {Heatmap} heatmap
 * @param {Drawing["colours"]} colours
 * @returns {Drawing}
 */
function matrixDrawing(trace, state, name, { cells, exact }, colours) {
  const call = trace.calls[state.layer];
  const tokens = trace.tokensOf(call, state.batch);
  const { down, across } = shownPart(state, call.T, call.S);
  /** @type {Columns} */
  const columns = imageColumns(cells, across.edges, down.edges);
  if (exact) columns.exact = [exact];
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

/**
 * Bokeh's image columns of a matrix whose first row is at the smallest y.
 *
 * @param {Heatmap["cells"]} cells
 * @param {number[]} x
 * @param {number[]} y
 */
export function imageColumns({ values, rows, columns }, x, y) {
  return { image: [values], rows, columns, x: [x[0]], y: [y[0]], dw: [x[1] - x[0]], dh: [y[1] - y[0]] };
}

/**
 * @param {Floats} matrix
 * @param {number} rows
 * @param {number} columns
 * @param {Part} down
 * @param {Part} across
 * @param {{visible?: ?Uint8Array, wholeRows?: ?Uint8Array}} [shown]
 */
function shrunk(matrix, rows, columns, down, across, shown = {}) {
  const part = { top: down.start, height: down.stop - down.start, left: across.start };
  const width = across.stop - across.start;
  return pool(matrix, rows, columns, MAX_CELLS, MAX_CELLS, { ...part, width, ...shown });
}

/**
 * What `shrunk` would return for a matrix of NaN.
 *
 * @param {Part} down
 * @param {Part} across
 */
function nothing(down, across) {
  const rows = blocks(down.start, down.stop);
  const columns = blocks(across.start, across.stop);
  return { values: new Float32Array(rows * columns).fill(NaN), rows, columns };
}

/**
 * The number of positions in a pooled block.
 *
 * @param {number} start
 * @param {number} stop
 */
function wide(start, stop) {
  return Math.ceil((stop - start) / MAX_CELLS);
}

/** @param {number} start @param {number} stop */
function blocks(start, stop) {
  return Math.ceil((stop - start) / wide(start, stop));
}

/** @param {number} length */
export function downwards(length) {
  return [length - 0.5, -0.5];
}

/**
 * The queries and keys in the viewport.
 *
 * @param {State} state
 * @param {number} T
 * @param {number} S
 */
function shownPart(state, T, S) {
  return { down: onScreen(state, T, 2), across: onScreen(state, S, 0) };
}

/**
 * The positions in the viewport along one axis, and the edges of the drawn blocks.
 *
 * @param {State} state
 * @param {number} length
 * @param {number} side
 * @returns {Part & {edges: number[]}}
 */
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

/**
 * Visible cells with a finite score: in a mean, one head's -inf bias hides what other heads see.
 *
 * @param {Call} call
 * @param {HeadSelection} selection
 */
function finiteCells(call, { visible, scores: scored }) {
  return call.hasBias ? visible.map((seen, at) => (Number.isFinite(scored?.[at]) ? seen : 0)) : visible;
}

/**
 * The largest number, or magnitude, below a limit among visible cells; 0 if none is above 0.
 *
 * @param {Floats} matrix
 * @param {{T: number, S: number, first?: number, visible?: ?Uint8Array, wholeRows?: ?Uint8Array, below?: number,
 *   absolute?: boolean}} options
 */
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
