import { t } from "../core/translate.js";
import { attainable, intensity, phaseName, withPrefix } from "./price.js";
import { svg } from "./svg.js";

// The roofline: what each shown machine allows at an intensity, and where variants lie (Williams et al., 2009).

/** @typedef {import("./price.js").Machine} Machine */
/** @typedef {import("./price_table.js").PricedVariant} PricedVariant */
/** @typedef {{x: number, y: number, label: string, phase: "prefill" | "decode" | "measured", chosen: boolean, tip: string}} Mark */

const HEIGHT = 380;
const MARGIN = { left: 66, right: 26, top: 14, bottom: 44 };
const [LETTER, LINE] = [6, 12];
const TOGETHER = 11;
const NARROW = 560;

/**
 * Draws the roofline; both axes are logarithmic.
 *
 * @param {PricedVariant[]} variants
 * @param {Machine[]} machines those shown
 * @param {number} width in pixels
 */
export function roofline(variants, machines, width) {
  const marks = marksOf(variants, machines);
  const ridges = machines.map(({ flopsPerS, bytesPerS }) => flopsPerS / bytesPerS);
  const across = decades([...marks.map(({ x }) => x), ...ridges.map((ridge) => 4 * ridge)]);
  const upward = decades([...marks.map(({ y }) => y), ...machines.map(({ flopsPerS }) => 2 * flopsPerS)]);
  /** @param {number} value */
  const toX = (value) => MARGIN.left + ((Math.log10(value) - across[0]) / (across[1] - across[0])) * (width - MARGIN.left - MARGIN.right);
  /** @param {number} value */
  const toY = (value) => HEIGHT - MARGIN.bottom - ((Math.log10(value) - upward[0]) / (upward[1] - upward[0])) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true" });
  axes(picture, { across, upward, toX, toY, width });
  /** @type {Box[]} */
  const taken = [];
  for (const machine of machines) {
    const [low, high, ridge] = [Math.max(10 ** across[0], 10 ** upward[0] / machine.bytesPerS), 10 ** across[1], machine.flopsPerS / machine.bytesPerS];
    const points = [low, Math.max(ridge, low), high].map((x) => `${toX(x)},${toY(attainable(machine, x))}`);
    picture.append(svg("polyline", { points: points.join(" "), class: `variants-roof ${machine.measured ? "" : "variants-datasheet"}` }));
    const [text, right, top] = [roofText(machine, width), toX(high) - 2, toY(machine.flopsPerS) - 7];
    picture.append(svg("text", { x: right, y: top, "text-anchor": "end", class: "variants-roof-label" }, text));
    taken.push({ x: right - text.length * LETTER, y: top, width: text.length * LETTER });
  }
  const placed = marks.map((mark) => ({ ...mark, left: toX(mark.x), top: toY(mark.y) }));
  for (const { left, top, phase, chosen, tip } of placed) picture.append(symbol(left, top, phase, chosen, tip));
  for (const { left, top, anchor, text, chosen } of labelsOf(placed, taken, width)) {
    picture.append(svg("text", { x: left, y: top, "text-anchor": anchor, class: `variants-mark-label ${chosen ? "variants-strong" : ""}` }, text));
  }
  return picture;
}

/** @param {PricedVariant[]} variants @param {Machine[]} machines @returns {Mark[]} the chosen one last, above the others */
function marksOf(variants, machines) {
  /** @type {Mark[]} */
  const marks = [];
  for (const machine of machines) {
    for (const { label, prices, chosen } of variants) {
      for (const phase of /** @type {const} */ (["prefill", "decode"])) {
        const x = prices[`${phase}_intensity`];
        const y = attainable(machine, x);
        marks.push({ x, y, label, phase, chosen, tip: `${label}, ${phaseName(phase)}, ${machine.title}: ${intensity(x)} FLOP/B, ${t("at most {rate}", { rate: withPrefix(y, "FLOP/s") })}` });
      }
    }
  }
  const known = new Set();
  for (const { times } of variants) {
    for (const { machine, time } of times) {
      if (known.has(time) || !machines.includes(machine)) continue;
      known.add(time);
      const [x, y] = [time.flops / time.bytes, time.flops / time.seconds];
      marks.push({ x, y, label: t("measured: {implementation}", { implementation: time.implementation }), phase: "measured", chosen: false, tip: t("measured {mask} S {S} by {implementation} on {machine}: {rate}", { mask: time.mask, S: time.S, implementation: time.implementation, machine: machine.title, rate: withPrefix(y, "FLOP/s") }) });
    }
  }
  return marks.sort((one, other) => Number(one.chosen) - Number(other.chosen));
}

/** @param {number[]} values @returns {[number, number]} whole powers of ten around them */
function decades(values) {
  return [Math.floor(Math.log10(Math.min(...values)) - 0.1), Math.ceil(Math.log10(Math.max(...values)))];
}

/**
 * @param {SVGElement} picture
 * @param {{across: [number, number], upward: [number, number], toX: (value: number) => number, toY: (value: number) => number, width: number}} scales
 */
function axes(picture, { across, upward, toX, toY, width }) {
  const [bottom, right] = [HEIGHT - MARGIN.bottom, width - MARGIN.right];
  for (let power = across[0]; power <= across[1]; power++) {
    const x = toX(10 ** power);
    picture.append(svg("line", { x1: x, x2: x, y1: MARGIN.top, y2: bottom, class: "variants-grid" }));
    picture.append(svg("text", { x, y: bottom + 15, "text-anchor": "middle", class: "variants-label" }, power < 0 ? String(10 ** power) : (10 ** power).toLocaleString("en")));
  }
  const step = upward[1] - upward[0] > 8 ? 2 : 1;
  for (let power = upward[0]; power <= upward[1]; power += step) {
    const y = toY(10 ** power);
    picture.append(svg("line", { x1: MARGIN.left, x2: right, y1: y, y2: y, class: "variants-grid" }));
    picture.append(svg("text", { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end", class: "variants-label" }, withPrefix(10 ** power, "").replace(/\.0+ /, " ").trim()));
  }
  picture.append(svg("text", { x: (MARGIN.left + right) / 2, y: HEIGHT - 8, "text-anchor": "middle", class: "variants-axis" }, t("Arithmetic intensity, FLOP per byte (log)")));
  picture.append(svg("text", { x: 14, y: (MARGIN.top + bottom) / 2, "text-anchor": "middle", class: "variants-axis", transform: `rotate(-90 14 ${(MARGIN.top + bottom) / 2})` }, t("FLOP per second (log)")));
}

/** @param {Machine} machine @param {number} width */
function roofText({ title, measured, products, flopsPerS, bytesPerS }, width) {
  const kind = measured ? t("measured") : t("datasheet");
  if (width < NARROW) return `${title.length > 24 ? `${title.slice(0, 22)}…` : title} · ${kind}`;
  return `${title} · ${kind} · ${withPrefix(flopsPerS, "FLOP/s")} ${products}, ${withPrefix(bytesPerS, "B/s")}`;
}

/** @param {number} x @param {number} y @param {Mark["phase"]} phase @param {boolean} chosen @param {string} tip */
export function symbol(x, y, phase, chosen, tip) {
  const css = `variants-mark variants-${phase} ${chosen ? "variants-strong" : ""}`;
  const title = svg("title", {}, tip);
  if (phase === "prefill") return svg("circle", { cx: x, cy: y, r: 5, class: css }, title);
  const corners = phase === "decode" ? [[0, -6], [5.5, 4.5], [-5.5, 4.5]] : [[0, -6], [6, 0], [0, 6], [-6, 0]];
  return svg("polygon", { points: corners.map(([dx, dy]) => `${x + dx},${y + dy}`).join(" "), class: css }, title);
}

/**
 * Labels of marks, none over another: beside their mark where that is free. Marks that lie together share one.
 *
 * @param {(Mark & {left: number, top: number})[]} marks
 * @param {Box[]} taken what no label may cover
 * @param {number} width
 * @returns {{left: number, top: number, anchor: string, text: string, chosen: boolean}[]}
 *
 * @typedef {{x: number, y: number, width: number}} Box a line of text
 */
function labelsOf(marks, taken, width) {
  /** @type {{left: number, top: number, names: Set<string>, chosen: boolean}[]} */
  const groups = [];
  // The chosen variant's marks come last, and its name is the first of its group.
  for (const { left, top, label, phase, chosen } of [...marks].reverse()) {
    const name = phase === "measured" || width < NARROW ? label : `${label}, ${phaseName(phase)}`;
    const near = groups.find((group) => Math.hypot(group.left - left, group.top - top) < TOGETHER);
    if (near) near.names.add(name);
    else groups.push({ left, top, names: new Set([name]), chosen });
  }
  const measured = marks.filter(({ phase }) => phase === "measured");
  // Others lie on a roof, which labels stand beside.
  const boxes = [...taken, ...measured.map(({ left, top }) => ({ x: left - 6, y: top + 4, width: 12 }))];
  return groups.flatMap(({ left, top, names, chosen }) => {
    const [first] = names;
    const text = names.size > 1 ? `${first} + ${names.size - 1}` : first;
    const long = text.length * LETTER;
    const places = [[1, 15], [-1, 15], [-1, -8], [1, -8], [1, 28], [-1, 28]].map(([side, down]) => ({ x: side > 0 ? left + 8 : left - 8 - long, y: top + down, width: long, side }));
    const free = places.find((place) => place.x > MARGIN.left && place.x + long < width && place.y < HEIGHT - MARGIN.bottom - 3 && !boxes.some((other) => overlap(place, other)));
    if (!free) return [];
    boxes.push(free);
    return [{ left: free.side > 0 ? free.x : free.x + long, top: free.y, anchor: free.side > 0 ? "start" : "end", text, chosen }];
  });
}

/** @param {Box} one @param {Box} other */
function overlap(one, other) {
  return Math.abs(one.y - other.y) < LINE && one.x < other.x + other.width && other.x < one.x + one.width;
}
