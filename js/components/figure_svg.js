import { shorten } from "../core/format.js";
import { apart } from "../core/ticks.js";
import { t } from "../core/translate.js";

// Composes a figure of its own from plots: title, axis names, colour bars and caption, as the text of an SVG.

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
// In CSS pixels: the edge, what stands between parts, the sizes of texts, their line, the side that an axis's name takes.
const EDGE = 8;
const GAP = 10;
const TITLE = 14;
const WORDS = 11;
const LINE = 1.35;
const AXIS = 16;
const BAR = 9;

/**
 * @typedef {[number, number]} Ends coordinates, where cell n lies from n - 0.5 to n + 0.5
 *
 * @typedef {object} FigurePart
 * @property {string} svg the plot, as the text of an SVG element
 * @property {number} width of it, in CSS pixels
 * @property {number} height
 * @property {{left: number, right: number, top: number, bottom: number}} frame where its axes are
 * @property {number} cut what is left out of it at the top
 * @property {string} heading
 * @property {[string, string]} axes what a column and a row are, or nothing
 * @property {[?Ends, ?Ends]} [unlabelled] from where to where columns and rows reach that have a name but no labels
 * @property {Partial<Legend>} legend empty without a colour bar
 *
 * @typedef {object} FigureColours
 * @property {string} ground
 * @property {string} ink
 * @property {string} muted
 * @property {string} masked
 * @property {string} hatch
 */

/**
 * A figure of plots beside each other, row against row.
 *
 * @param {FigurePart[]} parts
 * @param {{name: string, title: string, caption: string, colours: FigureColours}} about
 * @param {(text: string, font: string) => number} measure the width of a text, in CSS pixels
 * @returns {{text: string, width: number, height: number}}
 */
export function figureSvg(parts, { name, title, caption, colours }, measure) {
  const several = parts.length > 1;
  const side = parts.some(({ axes }) => axes[1] !== "") ? AXIS : 0;
  const width = 2 * EDGE + side + parts.reduce((sum, part) => sum + part.width, 0) + GAP * (parts.length - 1);
  const room = width - 2 * EDGE;
  const titles = wrapped(title, room, (text) => measure(text, `bold ${TITLE}px ${FONT}`));
  const captions = wrapped(caption, room, (text) => measure(text, `${WORDS}px ${FONT}`));
  // A plot comes with its ground: all that is written lies above it.
  /** @type {string[]} */
  const plots = [];
  /** @type {string[]} */
  const drawn = [];
  /** @param {string} text @param {number} x @param {number} y @param {Record<string, string | number>} [more] */
  const write = (text, x, y, more = {}) => drawn.push(tag("text", { x, y, "font-size": WORDS, fill: colours.muted, ...more }, escaped(text)));
  let y = EDGE;
  for (const line of titles) write(line, EDGE, (y += TITLE * LINE) - 4, { "font-size": TITLE, "font-weight": "bold", fill: colours.ink });
  y += titles.length ? 4 : 0;
  if (several) y += WORDS * LINE + 4;
  const tallest = Math.max(...parts.map(({ height, cut }) => height - cut));
  let x = EDGE + side;
  for (const part of parts) {
    const { left, right, top, bottom } = part.frame;
    const middle = x + (left + right) / 2;
    if (several) write(part.heading, middle, y - 6, { "text-anchor": "middle", "font-weight": "bold", fill: colours.ink });
    plots.push(`<g transform="translate(${round(x)} ${round(y - part.cut)})">${part.svg}</g>`);
    if (part.legend.gradient) {
      const place = { x: x + left, y: y - part.cut + top, width: right - left, height: bottom - top };
      drawn.push(tag("rect", { ...place, fill: "none", stroke: colours.muted, "stroke-width": 0.5 }));
    }
    if (part.axes[0]) write(part.axes[0], middle, y + tallest + WORDS, { "text-anchor": "middle" });
    const [columns, rows] = part.unlabelled ?? [null, null];
    for (const [number, at] of outermost(columns)) {
      write(number, x + left + at * (right - left), y - part.cut + bottom + WORDS, { "text-anchor": "middle", fill: colours.ink });
    }
    for (const [number, at] of part === parts[0] ? outermost(rows) : []) {
      write(number, x + left - 3, y - part.cut + bottom - at * (bottom - top) + 4, { "text-anchor": "end", fill: colours.ink });
    }
    const bar = { left: x + left, top: y + tallest + AXIS + 4, width: right - left };
    drawn.push(...legend(part.legend, bar, colours, (text) => measure(text, `${WORDS - 1}px ${FONT}`)));
    x += part.width + GAP;
  }
  if (side) {
    const [at, level] = [EDGE + WORDS, y + tallest / 2];
    write(parts[0].axes[1], at, level, { "text-anchor": "middle", transform: `rotate(-90 ${at} ${round(level)})` });
  }
  y += tallest + (parts.some(({ axes }) => axes[0]) ? AXIS : 0);
  if (parts.some((part) => part.legend.gradient)) y += 2 + BAR + 2 * WORDS * LINE;
  y += captions.length ? GAP : 0;
  for (const line of captions) write(line, EDGE, (y += WORDS * LINE) - 3);
  const height = Math.ceil(y + EDGE);
  const size = { width: Math.ceil(width), height };
  const pattern =
    `<defs><pattern id="figure-masked" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">` +
    `${tag("rect", { width: 4, height: 4, fill: colours.masked })}${tag("rect", { width: 1, height: 4, fill: colours.hatch })}</pattern></defs>`;
  const ground = tag("rect", { width: "100%", height: "100%", fill: colours.ground });
  const root = { xmlns: "http://www.w3.org/2000/svg", ...size, viewBox: `0 0 ${size.width} ${size.height}`, "font-family": FONT };
  return { text: tag("svg", root, `<title>${escaped(name)}</title>${ground}${pattern}${plots.join("")}${drawn.join("")}`), ...size };
}

/**
 * A colour bar with its numbers, and a swatch of masked cells beside them.
 *
 * @param {Partial<Legend>} content
 * @param {{left: number, top: number, width: number}} place
 * @param {FigureColours} colours
 * @param {(text: string) => number} measure
 * @returns {string[]}
 */
function legend({ gradient, ticks, words, masked }, { left, top, width }, colours, measure) {
  if (!gradient || !ticks) return [];
  const stops = gradient.match(/#[0-9a-f]{6}/gi) ?? [];
  // Bars of equal look share an id; each is defined where it is used.
  const id = `figure-bar-${round(left)}`.replace(".", "-");
  const offsets = stops.map((colour, at) => tag("stop", { offset: round(at / (stops.length - 1)), "stop-color": colour }));
  const numbers = apart(ticks, width, measure).map(([part, text]) => {
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    const at = { x: left + part * width, y: top + BAR + WORDS, "font-size": WORDS - 1, fill: colours.ink, "text-anchor": anchor };
    return tag("text", at, escaped(text));
  });
  const below = top + BAR + 2 * WORDS * LINE - 4;
  const swatch = masked
    ? [
        tag("rect", { x: left, y: below - 9, width: 10, height: 10, fill: "url(#figure-masked)" }),
        tag("text", { x: left + 14, y: below, "font-size": WORDS - 1, fill: colours.ink }, escaped(t("masked"))),
      ]
    : [];
  const said = words ? [tag("text", { x: left + width, y: below, "font-size": WORDS - 1, fill: colours.muted, "text-anchor": "end" }, escaped(words))] : [];
  return [
    `<defs>${tag("linearGradient", { id }, offsets.join(""))}</defs>`,
    tag("rect", { x: left, y: top, width, height: BAR, fill: `url(#${id})`, stroke: colours.muted, "stroke-width": 0.5 }),
    ...numbers,
    ...swatch,
    ...said,
  ];
}

/**
 * The first and the last whole cell, which stand for all: their numbers, and where they lie.
 *
 * @param {?Ends} ends
 * @returns {[string, number][]}
 */
function outermost(ends) {
  if (ends === null) return [];
  const [start, end] = ends;
  const [first, last] = [Math.ceil(Math.min(start, end) + 0.5), Math.floor(Math.max(start, end) - 0.5)];
  return last > first ? [first, last].map((number) => [String(number), (number - start) / (end - start)]) : [];
}

/**
 * The lines of a text; a word wider than a line is divided.
 *
 * @param {string} text
 * @param {number} room
 * @param {(text: string) => number} measure
 * @returns {string[]}
 */
export function wrapped(text, room, measure) {
  /** @type {string[]} */
  const lines = [];
  let line = "";
  // A line begins with no dot.
  for (const word of text.replaceAll(" · ", "\u00a0· ").split(" ").filter(Boolean)) {
    const longer = line ? `${line} ${word}` : word;
    if (measure(longer) <= room) {
      line = longer;
      continue;
    }
    if (line) lines.push(line);
    line = "";
    for (const letter of word) {
      if (line && measure(line + letter) > room) {
        lines.push(line);
        line = "";
      }
      line += letter;
    }
  }
  return line ? [...lines, line] : lines;
}

/** @param {number} number */
const round = (number) => Math.round(number * 100) / 100;

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {string} [content] markup
 */
function tag(name, attributes, content = "") {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(typeof value === "number" ? String(round(value)) : value)}"`);
  return `<${name}${written.join("")}>${content}</${name}>`;
}

const ENTITIES = /** @type {Record<string, string>} */ ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" });

/**
 * A text as XML may hold it: no markup, and no characters that XML forbids.
 *
 * @param {string} text
 */
function escaped(text) {
  const printable = text.split("\u00a0").map((part) => shorten(part, Infinity)).join("\u00a0");
  return printable.replace(/[&<>"]/g, (sign) => ENTITIES[sign]);
}
