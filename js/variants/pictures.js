import { element } from "../components/dom.js";
import { general } from "../core/format.js";
import { t } from "../core/translate.js";
import { readableOn } from "../views/colours.js";
import { shade, svg } from "./svg.js";

// The pictures of a card: who sees whom, and which arrays exist.

const CELL = 18;
const [LEFT, TOP] = [20, 16];
const GAP = 5;

/**
 * The weights of one head, T*T; hidden cells are hatched.
 *
 * @param {import("./example.js").HeadAttention} attention
 * @param {Example} example
 * @param {{sink: boolean, palette: string[]}} options
 */
export function weightsPicture({ weights, visible }, { T, tokens }, { sink, palette }) {
  const width = LEFT + T * CELL + (sink ? GAP + CELL : 0) + 2;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${TOP + T * CELL + 2}`, width, height: TOP + T * CELL + 2, "aria-hidden": "true" });
  for (let i = 0; i < T; i++) {
    const y = TOP + i * CELL;
    picture.append(svg("text", { x: LEFT - 5, y: y + 12, "text-anchor": "end", class: "variants-label" }, tokens[i]));
    picture.append(svg("text", { x: LEFT + i * CELL + CELL / 2, y: TOP - 5, "text-anchor": "middle", class: "variants-label" }, tokens[i]));
    for (let j = 0; j < T; j++) {
      const x = LEFT + j * CELL;
      if (visible[i * T + j]) picture.append(cell(x, y, fillOf(weights[i * T + j], palette)));
      else picture.append(svg("rect", { x, y, width: CELL - 1, height: CELL - 1, class: "variants-hidden" }), svg("path", { d: `M${x} ${y + CELL - 1} L${x + CELL - 1} ${y}`, class: "variants-hatch" }));
    }
    if (sink) picture.append(cell(LEFT + T * CELL + GAP, y, fillOf(restOf(weights, i, T), palette)));
  }
  if (sink) picture.append(svg("text", { x: LEFT + T * CELL + GAP + CELL / 2, y: TOP - 5, "text-anchor": "middle", class: "variants-label" }, t("sink")));
  return picture;
}

/**
 * Marks the chosen row of such a picture, its numbers in per cent.
 *
 * @param {import("./example.js").HeadAttention} attention
 * @param {Example} example
 * @param {{token: number, sink: boolean, palette: string[]}} options
 */
export function chosenRow({ weights, visible }, { T }, { token, sink, palette }) {
  const y = TOP + token * CELL;
  const marks = svg("g");
  /** @param {number} x @param {number} weight */
  const write = (x, weight) => marks.append(svg("text", { x: x + CELL / 2 - 0.5, y: y + 12, "text-anchor": "middle", "font-size": 8.5, fill: readableOn(fillOf(weight, palette)) }, String(Math.round(100 * weight))));
  for (let j = 0; j < T; j++) if (visible[token * T + j]) write(LEFT + j * CELL, weights[token * T + j]);
  if (sink) write(LEFT + T * CELL + GAP, restOf(weights, token, T));
  marks.append(svg("rect", { x: LEFT - 1, y: y - 1, width: T * CELL + (sink ? GAP + CELL : 0) + 1, height: CELL + 1, class: "variants-outline" }));
  return marks;
}

/** @param {number} x @param {number} y @param {string} fill */
function cell(x, y, fill) {
  return svg("rect", { x, y, width: CELL - 1, height: CELL - 1, fill, stroke: "var(--attn-line)", "stroke-width": 0.6 });
}

/** @param {number} weight @param {string[]} palette */
function fillOf(weight, palette) {
  return shade(palette, Math.sqrt(weight));
}

/** What a sink takes of a row. @param {Float64Array} weights @param {number} query @param {number} T */
export function restOf(weights, query, T) {
  return weights.subarray(query * T, (query + 1) * T).reduce((rest, weight) => rest - weight, 1);
}

/** The query under a point of the picture of weights. @param {number} y in pixels from its top @param {number} T */
export function queryAt(y, T) {
  const query = Math.floor((y - TOP) / CELL);
  return query >= 0 && query < T ? query : null;
}

const BLOCK = { width: 22, height: 34, gap: 4 };
const PITCH = BLOCK.height + 20;

/**
 * The rows of the picture of arrays: each array's label, numbers, blocks, and how it is outlined.
 *
 * @param {Example} example
 * @param {string} layout
 */
function rowsOf({ D, heads, latent, layouts }, layout) {
  const { kvHeads, query, key, value } = layouts[layout];
  const made = layout === "latent";
  return [
    { label: "q", numbers: query, count: heads, columns: D, css: "" },
    ...(made ? [{ label: "c", numbers: latent.numbers, count: 1, columns: latent.width, css: "variants-cached" }] : []),
    ...[key, value].map((numbers, at) => ({ label: "kv"[at], numbers, count: kvHeads, columns: D, css: made ? "variants-made" : "variants-cached" })),
  ];
}

/** The largest number of all arrays, which their colours reach to in every layout. @param {Example} example */
export function largestOf({ latent, layouts }) {
  const all = Object.values(layouts).flatMap(({ query, key, value }) => [query, key, value]);
  return Math.max(...[latent.numbers, ...all].flat().map(Math.abs));
}

/**
 * Colour bars of weights and of the arrays' numbers, with what their ends stand for.
 *
 * @param {Example} example
 * @param {VariantData["palettes"]["light"]} palette
 */
export function colourBars(example, palette) {
  const largest = general(largestOf(example), 2);
  /** @param {string} low @param {(part: number) => string} colour @param {string} high @param {string} name */
  const bar = (low, colour, high, name) => {
    const entry = element("span", "", `${name} ${low}`);
    const gradient = element("i", "variants-bar-of-colours");
    gradient.style.background = `linear-gradient(to right, ${Array.from({ length: 9 }, (_, at) => colour(at / 8)).join(", ")})`;
    entry.append(gradient, high);
    return entry;
  };
  return [bar("0", (part) => fillOf(part, palette.weights), "1", t("weights")), bar(`−${largest}`, (part) => shade(palette.numbers, part), largest, "q, k, v, c")];
}

/** @param {number} heads */
function widthOf(heads) {
  return heads * BLOCK.width + (heads - 1) * BLOCK.gap;
}

/** Where a block begins. @param {number} row @param {number} block @param {number} count @param {number} heads */
function corner(row, block, count, heads) {
  const span = widthOf(heads) / count;
  return { x: 17 + block * span + (span - BLOCK.width) / 2, y: row * PITCH + 1 };
}

/**
 * Queries, keys and values, a block a head with its numbers; what the cache keeps is outlined.
 *
 * @param {Example} example
 * @param {string} layout
 * @param {string[]} palette
 */
export function arraysPicture(example, layout, palette) {
  const { T, heads } = example;
  const rows = rowsOf(example, layout);
  const most = largestOf(example);
  const [width, height] = [widthOf(heads) + 20, rows.length * PITCH];
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  for (const [row, { label, numbers, count, columns, css }] of rows.entries()) {
    const y = row * PITCH + 1;
    picture.append(svg("text", { x: 12, y: y + BLOCK.height / 2 + 4, "text-anchor": "end", class: "variants-array" }, label));
    const [wide, high] = [BLOCK.width / columns, BLOCK.height / T];
    for (let block = 0; block < count; block++) {
      const { x } = corner(row, block, count, heads);
      for (let at = 0; at < T * columns; at++) {
        const fill = shade(palette, 0.5 + numbers[block * T * columns + at] / most / 2);
        picture.append(svg("rect", { x: x + (at % columns) * wide, y: y + Math.floor(at / columns) * high, width: wide, height: high, fill }));
      }
      picture.append(svg("rect", { x: x - 1, y, width: BLOCK.width + 2, height: BLOCK.height, class: `variants-block ${css}` }));
    }
    const shape = label === "c" ? `${T} × ${columns}` : `${count} × ${T} × ${columns}`;
    const kept = { "": "", "variants-cached": ` · ${t("cached")}`, "variants-made": ` · ${t("from c")}` }[css];
    picture.append(svg("text", { x: 17 + widthOf(heads) / 2, y: y + BLOCK.height + 12, "text-anchor": "middle", class: "variants-label" }, `${shape}${kept}`));
  }
  return picture;
}

/**
 * Marks what a head reads in such a picture, and its chosen query.
 *
 * @param {Example} example
 * @param {string} layout
 * @param {number} head
 * @param {number} token
 */
export function readBlocks(example, layout, head, token) {
  const { T, heads } = example;
  const marks = svg("g");
  for (const [row, { count }] of rowsOf(example, layout).entries()) {
    const { x, y } = corner(row, Math.floor((head * count) / heads), count, heads);
    marks.append(svg("rect", { x: x - 1, y, width: BLOCK.width + 2, height: BLOCK.height, class: "variants-block variants-own" }));
    if (row === 0) marks.append(svg("rect", { x: x - 1, y: y + (token * BLOCK.height) / T, width: BLOCK.width + 2, height: BLOCK.height / T, class: "variants-outline" }));
  }
  return marks;
}

/**
 * What exists, in words.
 *
 * @param {Example} example
 * @param {string} layout
 */
export function arraysInWords({ T, D, heads, latent, layouts }, layout) {
  const { kvHeads } = layouts[layout];
  const shape = `${kvHeads} × ${T} × ${D}`;
  if (layout === "latent") return t("Queries {heads} × {T} × {D}; cached: latent vectors c {T} × {width}; made from them: keys and values {shape} each.", { heads, T, D, width: latent.width, shape });
  return t("Queries {heads} × {T} × {D} (heads × tokens × channels); cached: keys and values {shape} each.", { heads, T, D, shape });
}

/**
 * A row of weights in words.
 *
 * @param {import("./example.js").HeadAttention} attention
 * @param {Example} example
 * @param {number} token
 */
export function rowInWords({ weights, visible }, { T, tokens }, token) {
  const seen = tokens.map((name, key) => ({ name, key })).filter(({ key }) => visible[token * T + key]);
  const listed = seen
    .map(({ name, key }) => ({ name, weight: weights[token * T + key] }))
    .sort((one, other) => other.weight - one.weight)
    .slice(0, 3)
    .map(({ name, weight }) => `${name} ${weight < 0.001 ? "< 0.1" : (100 * weight).toFixed(1)} %`);
  const names = seen.length === 1 ? seen[0].name : runs(seen.map(({ key }) => key), tokens);
  return t("{token} sees {keys}; most: {weights}", { token: tokens[token], keys: names, weights: listed.join(", ") });
}

/** @param {number[]} keys @param {string[]} tokens */
function runs(keys, tokens) {
  /** @type {[number, number][]} */
  const found = [];
  for (const key of keys) {
    const last = found.at(-1);
    if (last && last[1] === key - 1) last[1] = key;
    else found.push([key, key]);
  }
  return found.map(([from, to]) => (from === to ? tokens[from] : `${tokens[from]}–${tokens[to]}`)).join(", ");
}
