import { OVERVIEW_ROWS, overviewTile, overviewTileOfWeights } from "../core/overview.js";
import { SOFTMAX_WORK, chosenMask, opened, ruleOf, sinkOf } from "../explorer/selection.js";
import { clip, sequential } from "./colours.js";
import { downwards, imageColumns } from "./heatmaps.js";

// All heads: layers × heads tiles.

const TILE = 24;
const GAP = 2;

/**
 * Every head's weights as a tile; rows are layers, columns heads, NaN separates them.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache as for select
 * @param {{partial?: boolean}} [options] partial: omit tiles that are not cached yet instead of
 *   computing them
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
    colours: sequential(trace, state, 1),
    xLabels: null,
    yLabels: null,
    outline: tileOutline(trace, state),
    height: 30 + Math.trunc(clip(Math.min(264 / heads, 66) * layers, 40, 420)),
    masked: null,
  };
}

/**
 * Computes the tiles of the overview one by one, so that the page stays responsive; abandon it when mask,
 * temperature or sequence change.
 *
 * @param {Trace} trace
 * @param {State} state as it is now
 * @param {SelectionCache} cache as for select
 * @param {number[]} [layers] all if left out
 * @returns {Generator<number | Promise<void>, void, void>} yields the number of finished tiles, or a promise to
 *   await while a layer's arrays are being decoded
 */
export function* overviewJob(trace, state, cache, layers = [...trace.calls.keys()]) {
  const now = { ...state };
  let done = 0;
  for (const layer of layers) {
    const call = trace.calls[layer];
    if (call.opened === false) yield call.ready();
    for (let head = 0; head < call.H; head++) {
      overview(trace, now, cache, layer, head);
      done += 1;
      yield done;
    }
  }
}

/**
 * The cost of the missing tiles in multiply-adds, as in selectionWork.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache as for select
 * @param {number[]} layers
 * @returns {number}
 */
export function overviewWork(trace, state, cache, layers) {
  const tiles = tilesOf(trace, state, cache);
  /** @param {number} layer */
  const ofLayer = (layer) => {
    const { H, T, S, D, live } = trace.calls[layer];
    const missing = Array.from({ length: H }, (_, head) => head).filter((head) => !tiles.has(`${layer} ${head}`));
    return missing.length * (live ? Math.min(T, OVERVIEW_ROWS) * S * (D + SOFTMAX_WORK) : T * S);
  };
  return layers.reduce((sum, layer) => sum + ofLayer(layer), 0);
}

/**
 * The selected head's tile, or the layer's row for the mean over heads.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {number[]} [left, right, first, last]
 */
export function tileOutline(trace, state) {
  const last = trace.calls[state.layer].H - 1;
  const [left, right] = state.aggregate ? [0, last] : [state.head, state.head];
  return [left - 0.5, right + 0.5, state.layer - 0.5, state.layer + 0.5];
}

/**
 * One tile; cached until mask, temperature or sequence change.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache
 * @param {number} layer
 * @param {number} head
 */
function overview(trace, state, cache, layer, head) {
  const tiles = tilesOf(trace, state, cache);
  const key = `${layer} ${head}`;
  if (!tiles.has(key)) tiles.set(key, tileOf(trace, trace.calls[layer], head, state, cache));
  return tiles.get(key);
}

/**
 * The cache of tiles for these choices, by "layer head"; callers may add tiles computed elsewhere.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache as for select
 * @returns {Map<string, {values: Floats, rows: number, columns: number}>}
 */
export function tilesOf(trace, state, cache) {
  const known = opened(cache, trace);
  const setting = `${state.batch} ${ruleOf(trace, state)}`;
  if (known.setting !== setting) {
    known.setting = setting;
    known.tiles = new Map();
  }
  return known.tiles;
}

/**
 * Caches the tiles that Python computed.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache as for select
 * @param {{tiles: number[][], values: ArrayBuffer}} answer [layer, head, rows, columns] of each tile, and
 *   their concatenated float32 numbers
 */
export function keepTiles(trace, state, cache, answer) {
  const tiles = tilesOf(trace, state, cache);
  let start = 0;
  for (const [layer, head, rows, columns] of answer.tiles) {
    const values = new Float32Array(answer.values, start, rows * columns);
    tiles.set(`${layer} ${head}`, { values, rows, columns });
    start += values.byteLength;
  }
}

/** @param {Trace} trace @param {Call} call @param {number} head @param {State} state @param {SelectionCache} cache */
function tileOf(trace, call, head, state, cache) {
  const { T, S, D, scale, softCap } = call;
  const batch = Math.min(state.batch, call.B - 1);
  if (!call.live) return overviewTileOfWeights(call.recorded(batch, head), { T, S });
  const { temperature, empty_rows: emptyRows } = state;
  const options = { T, S, D, scale, softCap, temperature, emptyRows, sink: sinkOf(call, head) };
  let visible = null;
  if (state.mask === "model") visible = call.visible(batch, head);
  else if (state.mask !== "none") visible = chosenMask(trace, call, state, cache);
  const bias = call.bias(batch, head);
  return overviewTile(call.query(batch, head), call.key(batch, head), { ...options, bias, visible });
}

/**
 * Copies a tile into the mosaic, scaled up to 24 by 24 cells.
 *
 * @param {{values: Float32Array, columns: number}} mosaic
 * @param {{values: Floats, rows: number, columns: number}} tile
 * @param {number} top
 * @param {number} left
 */
function lay(mosaic, tile, top, left) {
  for (let i = 0; i < TILE; i++) {
    const from = Math.floor((i * tile.rows) / TILE) * tile.columns;
    const to = (top + i) * mosaic.columns + left;
    for (let j = 0; j < TILE; j++) {
      mosaic.values[to + j] = tile.values[from + Math.floor((j * tile.columns) / TILE)];
    }
  }
}
