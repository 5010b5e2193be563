import { readableOn } from "../views/colours.js";
import { shade, svg } from "./svg.js";

// The pictures of a card: who sees whom, and which arrays exist.

const CELL = 18;
const [LEFT, TOP] = [20, 16];
const GAP = 5;

/**
 * The weights of one head, T*T; hidden cells are hatched, the chosen row has its numbers in per cent.
 *
 * @param {import("./example.js").HeadAttention} attention
 * @param {Example} example
 * @param {{token: number, sink: boolean, palette: string[]}} options
 */
export function weightsPicture({ weights, visible }, { T, tokens }, { token, sink, palette }) {
  const width = LEFT + T * CELL + (sink ? GAP + CELL : 0) + 2;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${TOP + T * CELL + 2}`, width, height: TOP + T * CELL + 2, "aria-hidden": "true" });
  /** @param {number} x @param {number} y @param {number} weight @param {boolean} chosen */
  const cell = (x, y, weight, chosen) => {
    const fill = shade(palette, Math.sqrt(weight));
    const box = svg("rect", { x, y, width: CELL - 1, height: CELL - 1, fill, stroke: "var(--attn-line)", "stroke-width": 0.6 });
    if (!chosen) return [box];
    return [box, svg("text", { x: x + CELL / 2 - 0.5, y: y + 12, "text-anchor": "middle", "font-size": 8.5, fill: readableOn(fill) }, String(Math.round(100 * weight)))];
  };
  for (let i = 0; i < T; i++) {
    const y = TOP + i * CELL;
    let rest = 1;
    picture.append(svg("text", { x: LEFT - 5, y: y + 12, "text-anchor": "end", class: "variants-label" }, tokens[i]));
    picture.append(svg("text", { x: LEFT + i * CELL + CELL / 2, y: TOP - 5, "text-anchor": "middle", class: "variants-label" }, tokens[i]));
    for (let j = 0; j < T; j++) {
      const x = LEFT + j * CELL;
      rest -= weights[i * T + j];
      if (visible[i * T + j]) picture.append(...cell(x, y, weights[i * T + j], i === token));
      else picture.append(svg("rect", { x, y, width: CELL - 1, height: CELL - 1, class: "variants-hidden" }), svg("path", { d: `M${x} ${y + CELL - 1} L${x + CELL - 1} ${y}`, class: "variants-hatch" }));
    }
    if (sink) picture.append(...cell(LEFT + T * CELL + GAP, y, rest, i === token));
  }
  if (sink) picture.append(svg("text", { x: LEFT + T * CELL + GAP + CELL / 2, y: TOP - 5, "text-anchor": "middle", class: "variants-label" }, "sink"));
  picture.append(svg("rect", { x: LEFT - 1, y: TOP + token * CELL - 1, width: width - LEFT, height: CELL + 1, class: "variants-outline" }));
  return picture;
}

/** The query under a point of the picture of weights. @param {number} y in pixels from its top @param {number} T */
export function queryAt(y, T) {
  const query = Math.floor((y - TOP) / CELL);
  return query >= 0 && query < T ? query : null;
}

const BLOCK = { width: 22, height: 34, gap: 4 };

/**
 * Queries, keys and values, a block a head with its numbers; what the cache keeps is outlined.
 *
 * @param {Example} example
 * @param {string} layout
 * @param {{head: number, palette: string[], token: number}} options
 */
export function arraysPicture(example, layout, { head, palette, token }) {
  const { T, D, heads, latent } = example;
  const { kvHeads, query, key, value } = example.layouts[layout];
  const most = Math.max(...[query, key, value, latent.numbers].flat().map(Math.abs));
  const whole = heads * BLOCK.width + (heads - 1) * BLOCK.gap;
  const isLatent = layout === "latent";
  const rows = [
    { label: "q", numbers: query, count: heads, columns: D, css: "", own: head },
    ...(isLatent ? [{ label: "c", numbers: latent.numbers, count: 1, columns: latent.width, css: "variants-cached", own: 0 }] : []),
    ...[key, value].map((numbers, at) => ({
      label: "kv"[at],
      numbers,
      count: kvHeads,
      columns: D,
      css: isLatent ? "variants-made" : "variants-cached",
      own: Math.floor((head * kvHeads) / heads),
    })),
  ];
  const pitch = BLOCK.height + 20;
  const picture = svg("svg", { viewBox: `0 0 ${whole + 20} ${rows.length * pitch}`, width: whole + 20, height: rows.length * pitch, "aria-hidden": "true" });
  for (const [at, { label, numbers, count, columns, css, own }] of rows.entries()) {
    const y = at * pitch + 1;
    picture.append(svg("text", { x: 12, y: y + BLOCK.height / 2 + 4, "text-anchor": "end", class: "variants-array" }, label));
    for (let block = 0; block < count; block++) {
      const span = whole / count;
      const x = 17 + block * span + (span - BLOCK.width) / 2;
      const [wide, high] = [BLOCK.width / columns, BLOCK.height / T];
      for (let cell = 0; cell < T * columns; cell++) {
        const fill = shade(palette, 0.5 + numbers[block * T * columns + cell] / most / 2);
        picture.append(svg("rect", { x: x + (cell % columns) * wide, y: y + Math.floor(cell / columns) * high, width: wide, height: high, fill }));
      }
      picture.append(svg("rect", { x: x - 1, y: y - 1 + 1, width: BLOCK.width + 2, height: BLOCK.height, class: `variants-block ${css} ${block === own ? "variants-own" : ""}` }));
      if (block === own && label === "q") picture.append(svg("rect", { x: x - 1, y: y + token * high, width: BLOCK.width + 2, height: high, class: "variants-outline" }));
    }
    const shape = label === "c" ? `${T} × ${columns}` : `${count} × ${T} × ${columns}`;
    picture.append(svg("text", { x: 17 + whole / 2, y: y + BLOCK.height + 12, "text-anchor": "middle", class: "variants-label" }, `${shape}${css === "variants-cached" ? " · cached" : css === "variants-made" ? " · from c" : ""}`));
  }
  return picture;
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
  if (layout === "latent") return `Queries ${heads} × ${T} × ${D}; cached: latent vectors c ${T} × ${latent.width}; made from them: keys and values ${shape} each.`;
  return `Queries ${heads} × ${T} × ${D} (heads × tokens × channels); cached: keys and values ${shape} each.`;
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
    .map(({ name, weight }) => `${name} ${weight < 0.001 ? "under 0.1" : (100 * weight).toFixed(1)} %`);
  const names = seen.length === 1 ? seen[0].name : runs(seen.map(({ key }) => key), tokens);
  return `${tokens[token]} sees ${names}; most: ${listed.join(", ")}`;
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
