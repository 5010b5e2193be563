import { scores, softmaxRows } from "../core/attention.js";
import { general, inQuotes, rowAndColumn, shorten } from "../core/format.js";
import { t } from "../core/translate.js";
import { sequential, scaleOf, weightsEnd } from "../views/colours.js";
import { legendOf } from "../views/legend.js";
import { headNumbers, place } from "./labels.js";
import { rowOf } from "./partial.js";
import { rolloutLayers } from "./rollout.js";
import { chosenMask, opened, sinkOf } from "./selection.js";
import { shownPair } from "./sentence.js";

// Attention on the picture whose patches the tokens are: a row of weights laid out as the patches lie, or a column: what
// looks at the chosen token.

// Other tokens, and heads, that the card shows of many.
const MOST_TOKENS = 400;
const MOST_HEADS = 32;
// Patches that the sentence names.
const MOST_NAMED = 3;
// From dark to bright, and warm: over a picture that it dims, it is seen on blue and green too. Of matplotlib's inferno.
const HEAT = ["#000004", "#420a68", "#932667", "#dd513a", "#fca50a", "#fcffa4"];
const SHADES = 256;

/**
 * @typedef {"looks" | "seen" | "through"} Direction from the chosen token to the picture, from the picture to it, or
 *   from the token through all layers
 * @typedef {{token: number, name: string, weight: ?number, shade: string}} OtherToken its shade, "" for none
 * @typedef {{number: number, head: number, heat: Float64Array}} HeadThumbnail
 * @typedef {{list: HeadThumbnail[], head: ?number, layer: number, rows: number, columns: number, palette: string[]}} HeadThumbnails
 * @typedef {{image: string, rows: number, columns: number, sends: "token" | "key", direction: Direction,
 *   directions: Direction[], heat: Float64Array, high: number, palette: string[], selected: ?number, chosen: string,
 *   otherSends: "token" | "key", others: OtherToken[], otherChosen: ?number, left: number,
 *   legend: ?Legend, side?: string, unit: string, subtitle: string, sentence: string, missing: string}} PictureContent
 */

/**
 * The grid of a layer's sequences of so many tokens; null if its tokens are no patches.
 *
 * @param {Trace} trace
 * @param {number} length
 * @param {string} layer
 * @returns {?PictureGrid}
 */
export function gridOf({ picture }, length, layer) {
  const grids = (picture?.grids ?? []).filter(({ layers }) => layers.length === 0 || layers.includes(layer));
  const exact = grids.filter((grid) => grid.length === length);
  return exact.find(({ layers }) => layers.length > 0) ?? exact[0] ?? grids.find((grid) => grid.grows && length >= grid.length) ?? null;
}

/**
 * Rows and columns of the whole picture: of all windows, where there are some.
 *
 * @param {PictureGrid} grid
 * @returns {[number, number]}
 */
export function sizeOf({ rows, columns, windows }) {
  return [rows * windows[0], columns * windows[1]];
}

/**
 * Where each patch of a sequence lies on the whole picture, in reading order.
 *
 * @param {PictureGrid} grid
 * @param {number} batch of the sequence: the windows of an image are sequences
 * @returns {Int32Array}
 */
export function cellsOf(grid, batch) {
  const { rows, columns, windows, shift } = grid;
  const [height, width] = sizeOf(grid);
  const window = batch % (windows[0] * windows[1]);
  const [top, left] = [Math.floor(window / windows[1]) * rows, (window % windows[1]) * columns];
  return Int32Array.from({ length: rows * columns }, (_, at) => {
    const row = (top + Math.floor(at / columns) + shift[0]) % height;
    return row * width + ((left + (at % columns) + shift[1]) % width);
  });
}

/**
 * The token of a patch of the whole picture, and the sequence that it is in.
 *
 * @param {PictureGrid} grid
 * @param {number} batch a sequence of the same image
 * @param {number} cell
 * @returns {{batch: number, token: number}}
 */
export function tokenOfCell(grid, batch, cell) {
  const { rows, columns, windows, shift, start } = grid;
  const [height, width] = sizeOf(grid);
  const row = (Math.floor(cell / width) - shift[0] + height) % height;
  const column = ((cell % width) - shift[1] + width) % width;
  const count = windows[0] * windows[1];
  const window = Math.floor(row / rows) * windows[1] + Math.floor(column / columns);
  return { batch: batch - (batch % count) + window, token: start + (row % rows) * columns + (column % columns) };
}

/**
 * What the card of the picture shows; null if the trace has no picture.
 *
 * @param {Trace} trace the layer's arrays ready
 * @param {State} state
 * @param {AnySelection} selection
 * @param {Direction} [wanted]
 * @param {?Float64Array} [rollout] what of each token has reached the chosen one; null if it is not computed yet
 * @param {number} [least] where colours end at least, as they do on another picture
 * @returns {?Partial<PictureContent>}
 */
export function onPicture(trace, state, selection, wanted = "looks", rollout = null, least = 0) {
  if (!trace.picture) return null;
  const call = trace.calls[state.layer];
  const self = call.kind === "self" && call.T === call.S;
  const [queries, keys] = [gridOf(trace, call.T, call.layer), gridOf(trace, call.S, call.layer)];
  /** @type {Direction[]} */
  const directions = [];
  if (keys) directions.push("looks");
  if (queries && !("rows" in selection)) directions.push("seen");
  if (keys && keys.windows[0] * keys.windows[1] === 1 && rolloutLayers(trace, state)) directions.push("through");
  if (directions.length === 0) return { missing: missing(trace, call) };
  const direction = directions.includes(wanted) ? wanted : directions[0];
  const grid = /** @type {PictureGrid} */ (direction === "seen" ? queries : keys);
  const focus = direction === "seen" && !self ? shownPair(trace, state, selection)[1] : state.query_index;
  const weights = weightsOf(selection, focus, direction, rollout ?? new Float64Array(call.S));
  const heat = onGrid(weights, grid, state.batch);
  const peak = heat.reduce((one, other) => Math.max(one, other || 0), 0);
  const { power } = scaleOf(trace, state);
  const high = Math.max(weightsEnd(peak, false), least);
  const colours = { low: 0, high, palette: heatPalette(power), power };
  const shades = sequential(trace, state, high, scaleOf(trace, state)).palette;
  const names = namesOf(trace, call, state, direction, grid);
  // The tokens to choose from beside the picture: those that are no patches, or of the other side all.
  const beside = self ? names.same.map((name, token) => ({ name, token })).filter(({ token }) => !inside(grid, token)) : names.chosen.map((name, token) => ({ name, token }));
  const others = beside.slice(0, MOST_TOKENS).map(({ name, token }) => ({ token, name, weight: self ? weights[token] || 0 : null, shade: self ? shadeOf(weights[token] || 0, high, shades) : "" }));
  const cell = self && inside(grid, focus) ? cellsOf(grid, state.batch)[focus - grid.start] : null;
  const [rows, columns] = sizeOf(grid);
  const image = Math.floor(state.batch / (grid.windows[0] * grid.windows[1]));
  const images = trace.picture.images;
  return {
    image: images[Math.min(image, images.length - 1)] ?? "",
    rows,
    columns,
    direction,
    directions,
    sends: self || direction === "seen" ? "token" : "key",
    otherSends: self || direction === "looks" ? "token" : "key",
    heat,
    high,
    palette: colours.palette,
    selected: cell,
    chosen: names.chosen[focus],
    others,
    otherChosen: focus,
    left: beside.length - others.length,
    legend: legendOf({ colours, masked: null }),
    unit: direction === "through" ? t("share of a patch") : t("weight of a patch"),
    subtitle: direction === "through" ? t("all heads of {count} layers", { count: rolloutLayers(trace, state)?.length }) : place(call, state),
    sentence:
      direction === "through" && rollout === null
        ? t("Following the attention through the layers …")
        : sentenceOf(heat, { columns }, nameOf(names.chosen[focus], cell, { columns }), direction),
    missing: "",
  };
}

/** @param {Trace} trace @param {Call} call */
function missing(trace, call) {
  const others = trace.calls.filter(({ T, S, layer }) => gridOf(trace, T, layer) ?? gridOf(trace, S, layer));
  const some = others.slice(0, 3).map(({ layer }) => layer);
  const said = t("The tokens of this layer ({queries} queries, {keys} keys) are no patches of the picture.", { queries: call.T, keys: call.S });
  const layers = `${some.join(", ")}${others.length > some.length ? ", …" : ""}`;
  return others.length ? `${said} ${t("Those of {count} other layers are: {layers}", { count: others.length, layers })}` : said;
}

/** @type {Map<number, string[]>} */
const PALETTES = new Map();

/**
 * The colours of heat, evenly spread over the numbers.
 *
 * @param {number} power of the colour scale
 * @returns {string[]}
 */
export function heatPalette(power) {
  const known = PALETTES.get(power);
  if (known) return known;
  const points = HEAT.map((hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));
  const palette = Array.from({ length: SHADES }, (_, shade) => {
    const at = (shade / (SHADES - 1)) ** power * (points.length - 1);
    const low = Math.min(Math.floor(at), points.length - 2);
    const mixed = points[low].map((channel, i) => Math.round(channel + (at - low) * (points[low + 1][i] - channel)));
    return `#${mixed.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
  });
  PALETTES.set(power, palette);
  return palette;
}

/** @param {number} weight @param {number} high @param {string[]} palette */
function shadeOf(weight, high, palette) {
  return palette[Math.round(Math.min(weight / high, 1) * (palette.length - 1))];
}

/** @param {PictureGrid} grid @param {number} token */
function inside({ start, rows, columns }, token) {
  return token >= start && token < start + rows * columns;
}

/**
 * Weights by patch of the whole picture, in reading order; 0 where there is none, NaN in other windows.
 *
 * @param {ArrayLike<number>} weights by token
 * @param {PictureGrid} grid
 * @param {number} batch
 * @returns {Float64Array}
 */
export function onGrid(weights, grid, batch) {
  const [rows, columns] = sizeOf(grid);
  const heat = new Float64Array(rows * columns).fill(NaN);
  for (const [at, cell] of cellsOf(grid, batch).entries()) heat[cell] = weights[grid.start + at] || 0;
  return heat;
}

/**
 * The numbers that a direction shows, by token.
 *
 * @param {AnySelection} selection @param {number} focus @param {Direction} direction @param {Float64Array} rollout
 */
function weightsOf(selection, focus, direction, rollout) {
  if (direction === "through") return rollout;
  return direction === "looks" ? rowOf(selection, focus).weights : columnOf(/** @type {HeadSelection} */ (selection), focus);
}

/** @param {HeadSelection} selection @param {number} key */
function columnOf({ T, S, weights }, key) {
  return Float64Array.from({ length: T }, (_, query) => weights[query * S + key]);
}

/**
 * The names of the tokens to choose from, and in self-attention of all.
 *
 * @param {Trace} trace @param {Call} call @param {State} state @param {Direction} direction @param {PictureGrid} grid
 */
function namesOf(trace, call, state, direction, grid) {
  const { queries, keys } = trace.tokensOf(call, state.batch);
  const named = queries.map((text, token) => (token < grid.names.length ? grid.names[token] : text));
  if (call.kind === "self" && call.T === call.S) return { same: named, chosen: named };
  return { same: [], chosen: direction === "seen" ? keys : queries };
}

/** @param {string} name @param {?number} cell @param {{columns: number}} grid */
function nameOf(name, cell, grid) {
  return cell === null ? inQuotes(shorten(name, 18)) : t("The patch in {place}", { place: rowAndColumn(cell, grid) });
}

/**
 * The picture in words: how much of the weights is on it, and where most.
 *
 * @param {Float64Array} heat
 * @param {{columns: number}} grid
 * @param {string} chosen
 * @param {Direction} direction
 */
function sentenceOf(heat, grid, chosen, direction) {
  const largest = [...heat.keys()]
    .filter((cell) => heat[cell] > 0)
    .sort((one, other) => heat[other] - heat[one])
    .slice(0, MOST_NAMED)
    .map((cell) => `${rowAndColumn(cell, grid)} (${general(heat[cell], 3)})`);
  if (largest.length === 0) return direction === "seen" ? t("No patch looks at {token}.", { token: lower(chosen) }) : t("{token} looks at no patch.", { token: chosen });
  if (direction === "seen") return t("Of all patches, these look most at {token}: {patches}.", { token: lower(chosen), patches: largest.join("; ") });
  const share = heat.reduce((sum, weight) => sum + (weight || 0), 0);
  if (direction === "through") {
    return t(
      "Of what {token} has gathered through the layers (rollout of the mean of heads), {share} % comes from " +
        "the picture, most of it from {patches}. Mask and temperature chosen here do not change it.",
      { token: lower(chosen), share: general(100 * share, 3), patches: largest.join("; ") },
    );
  }
  return t("{token} gives the picture {share} % of its weight, most of it to {patches}.", { token: chosen, share: general(100 * share, 3), patches: largest.join("; ") });
}

/** @param {string} name */
function lower(name) {
  return name.replace(/^The/, "the");
}

/**
 * The selected query's weights on the picture in each head; none for a layer too large for the page.
 *
 * @param {Trace} trace the layer's arrays ready
 * @param {State} state
 * @param {SelectionCache} cache as for select
 * @param {Direction} direction of the picture that they stand beside
 * @returns {HeadThumbnails}
 */
export function headsOnPicture(trace, state, cache, direction) {
  const call = trace.calls[state.layer];
  const grid = gridOf(trace, call.S, call.layer);
  const shown = grid !== null && direction === "looks" && !call.partial && call.H > 1;
  const numbers = headNumbers(call);
  return {
    list: Array.from({ length: shown ? Math.min(call.H, MOST_HEADS) : 0 }, (_, head) => ({
      head,
      number: numbers[head],
      heat: onGrid(headRow(trace, state, head, cache), /** @type {PictureGrid} */ (grid), state.batch),
    })),
    head: state.aggregate ? null : state.head,
    layer: state.layer,
    rows: grid === null ? 0 : sizeOf(grid)[0],
    columns: grid === null ? 0 : sizeOf(grid)[1],
    palette: heatPalette(scaleOf(trace, state).power),
  };
}

/**
 * One query's weights in one head, as the selection has them of the chosen head.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {number} head
 * @param {SelectionCache} cache
 * @returns {Floats}
 */
export function headRow(trace, state, head, cache) {
  const call = trace.calls[state.layer];
  const { S, D, scale, softCap } = call;
  const { batch, query_index: query, temperature, empty_rows: emptyRows } = state;
  /** @template {Floats | Uint8Array} A @param {A} matrix */
  const row = (matrix) => /** @type {A} */ (matrix.subarray(query * S, (query + 1) * S));
  if (!call.live) return row(call.recorded(batch, head));
  const whole = call.bias(batch, head);
  const bias = whole === null ? null : row(whole);
  const vector = call.query(batch, head).subarray(query * D, (query + 1) * D);
  const scored = scores(vector, call.key(batch, head), { T: 1, S, D, scale, softCap, bias });
  let visible = state.mask === "model" ? row(call.visible(batch, head)) : row(chosenMask(trace, call, state, opened(cache, trace)));
  if (bias !== null) visible = visible.map((seen, key) => (bias[key] === -Infinity ? 0 : seen));
  return softmaxRows(scored, { T: 1, S, visible, temperature, emptyRows, sink: sinkOf(call, head) }).weights;
}
