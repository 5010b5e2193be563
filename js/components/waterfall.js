import { fixed, general, shorten, twoDecimals } from "../core/format.js";
import { t } from "../core/translate.js";
import { clip } from "../views/colours.js";

// Draws how products of a query and a key, channel by channel, climb to their sum: two rows of cells above bars that each
// begin where the one before ended. All in SVG, whose texts are set as text.

const CELL = 17;
const CELLS = 2 * CELL + 4;
const HEAD = 20; // room for the numbers above the highest bar
const CHART = 120;
const FOOT = 20;
// Widths in pixels: of a letter, of a column that has room for its number, at most, and of the sum.
const LETTER = 6.7;
const READABLE = 27;
const WIDEST = 46;
const SUM = { wide: 44, narrow: 32 };
const NARROW = 560;
const TICKS = 4;
// Channels that the text alternative names.
const NAMED = 5;

/**
 * @typedef {import("../explorer/why_token.js").WhyContent} WhyContent
 * @typedef {import("../explorer/why_token.js").Contribution} Contribution
 * @typedef {"product" | "channel"} Order
 * @typedef {{label: string, product: number, of: Contribution[]}} Bar of one channel or pair, or of several together
 */

/**
 * The bars in their order: by product from the largest to the smallest, where those for which there is no room are
 * one bar between what adds and what subtracts; or every channel in its place.
 *
 * @param {Contribution[]} channels
 * @param {Order} order
 * @param {number} most bars, of the order by product
 * @returns {Bar[]}
 */
export function arrange(channels, order, most) {
  /** @param {Contribution} channel @returns {Bar} */
  const single = (channel) => ({ label: channel.label, product: channel.product, of: [channel] });
  if (order === "channel") return channels.map(single);
  const named = channels.length <= most ? channels : [...channels].sort((one, other) => Math.abs(other.product) - Math.abs(one.product)).slice(0, most - 1);
  const bars = [...named].sort((one, other) => other.product - one.product).map(single);
  const rest = channels.filter((channel) => !named.includes(channel));
  if (rest.length) {
    const product = rest.reduce((sum, channel) => sum + channel.product, 0);
    bars.splice(bars.filter((bar) => bar.product > 0).length, 0, { label: `+${rest.length}`, product, of: rest });
  }
  return bars;
}

/** @param {number} span @returns {number} a step of 1, 2 or 5 times a power of ten */
function tickStep(span) {
  const power = 10 ** Math.floor(Math.log10(span / TICKS));
  return ([1, 2, 5].find((step) => span / (step * power) <= TICKS) ?? 10) * power;
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {string} [text]
 */
function svg(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text) made.textContent = text;
  return made;
}

/** @param {number} number */
const minus = (number) => general(number, 3).replace("-", "−");

/**
 * How the numbers on bars are written: as short as their largest allows.
 *
 * @param {Bar[]} bars
 * @returns {(number: number) => string}
 */
function shortNumber(bars) {
  const largest = bars.reduce((most, { product }) => Math.max(most, Math.abs(product)), 0);
  const decimals = clip(1 - Math.floor(Math.log10(largest || 1)), 0, 3);
  return (number) => fixed(number, decimals).replace(/^(-?)0\./, "$1.").replace("-", "−");
}

/**
 * @param {Bar} bar
 * @param {boolean} paired
 */
function words({ label, product, of: [first, ...others] }, paired) {
  const count = others.length + 1;
  if (others.length) return paired ? t("{count} more pairs together: {sum}", { count, sum: minus(product) }) : t("{count} more channels together: {sum}", { count, sum: minus(product) });
  const terms = first.query.map((number, at) => `${minus(number)} × ${minus(first.key[at])}`).join(" + ");
  const name = first.channels.length > 1 ? t("pair {pair}, channels {channels}", { pair: label, channels: first.channels.join(t(" and ")) }) : t("channel {channel}", { channel: first.channels[0] });
  return `${name}: ${terms} = ${minus(product)}`;
}

/**
 * Draws the waterfall.
 *
 * @param {WhyContent} content with channels
 * @param {Order} order
 * @param {number} width in CSS pixels
 * @returns {Element}
 */
export function waterfall(content, order, width) {
  const narrow = width < NARROW;
  const labels = [t("query"), t("key")].map((side, at) => `${narrow ? side[0] : side} ${shorten(content.names[at], narrow ? 7 : 13)}`);
  const left = Math.ceil(Math.max(...labels.map((label) => label.length)) * LETTER) + 10;
  const sum = narrow ? SUM.narrow : SUM.wide;
  const room = width - left - sum - 16;
  const bars = arrange(content.channels, order, Math.max(Math.floor(room / READABLE), 3));
  const step = Math.min(room / bars.length, WIDEST);
  const ends = [0];
  for (const { product } of bars) ends.push(ends[ends.length - 1] + product);
  const [low, high] = [Math.min(...ends, 0), Math.max(...ends, 0)];
  const span = high - low || 1;
  const top = CELLS + HEAD;
  const bottom = top + CHART;
  /** @param {number} number */
  const down = (number) => top + ((high - number) / span) * CHART;
  const foot = bottom + (low < 0 ? HEAD - 8 : 4) + FOOT; // with room for the numbers of bars that end below 0
  const end = left + step * bars.length;
  const drawn = svg("svg", { width, height: foot, viewBox: `0 0 ${width} ${foot}`, role: "img", "aria-label": spoken(content, bars) });
  labels.forEach((label, at) => drawn.append(svg("text", { x: left - 8, y: at * (CELL + 3) + 13, "text-anchor": "end" }, label)));
  const every = tickStep(span);
  for (let tick = Math.ceil(low / every); tick * every <= high; tick++) {
    const y = down(tick * every);
    drawn.append(svg("line", { x1: left, x2: end + 8 + sum, y1: y, y2: y, class: tick === 0 ? "attn-why-zero" : "attn-why-grid" }));
    drawn.append(svg("text", { x: left - 8, y: y + 4, "text-anchor": "end", class: "attn-why-muted" }, minus(Number((tick * every).toPrecision(12)))));
  }
  const short = shortNumber(bars);
  const numbered = step >= READABLE - 3;
  const apart = Math.ceil((Math.max(...bars.map(({ label }) => label.length)) * LETTER) / step);
  const parts = bars.map((bar, at) => column(bar, { x: left + at * step, step, from: ends[at], to: ends[at + 1], down, bottom: foot, content, number: numbered ? short(bar.product) : "", label: at % apart === 0 ? bar.label : "" }));
  drawn.append(...parts);
  drawn.append(svg("text", { x: left - 8, y: foot - 5, "text-anchor": "end", class: "attn-why-muted" }, narrow ? "" : content.paired ? t("pair") : t("channel")));
  const total = svg("g", {});
  const ys = [down(content.product), down(0)];
  total.append(svg("rect", { x: end + 8, width: sum, y: Math.min(...ys), height: Math.max(Math.abs(ys[1] - ys[0]), 1), rx: 2, class: "attn-why-sum" }));
  total.append(svg("text", { x: end + 8 + sum / 2, y: content.product < 0 ? ys[0] + 13 : ys[0] - 5, "text-anchor": "middle", class: "attn-why-strong" }, twoDecimals(content.product).replace("-", "−")));
  total.append(svg("text", { x: end + 8 + sum / 2, y: foot - 5, "text-anchor": "middle", class: "attn-why-strong" }, "q·k"));
  drawn.append(total);
  return drawn;
}

/**
 * One column: the cells of query and key, the bar, its number and its channel.
 *
 * @param {Bar} bar
 * @param {{x: number, step: number, from: number, to: number, down: (number: number) => number, bottom: number,
 *   content: WhyContent, number: string, label: string}} at
 */
function column(bar, { x, step, from, to, down, bottom, content, number, label }) {
  const { palette, high, paired } = content;
  const made = svg("g", { class: "attn-why-column" });
  made.append(svg("title", {}, words(bar, paired)), svg("rect", { x, y: 0, width: step, height: bottom, class: "attn-why-hit" }));
  const gap = step > 6 ? 1.5 : 0;
  const [only, ...others] = bar.of;
  for (const [row, numbers] of others.length ? [] : [only.query, only.key].entries()) {
    const wide = (step - gap) / numbers.length;
    for (const [part, cell] of numbers.entries()) {
      const shade = palette[Math.round(clip((cell + high) / (2 * high), 0, 1) * (palette.length - 1))];
      made.append(svg("rect", { x: x + part * wide, y: row * (CELL + 3), width: Math.max(wide, 0.5), height: CELL, fill: shade, class: "attn-why-cell" }));
    }
  }
  const [one, other] = [down(from), down(to)];
  const y = Math.min(one, other);
  made.append(
    svg("rect", { x: x + step * 0.08, width: step * 0.84, y, height: Math.max(Math.abs(one - other), 1), class: `attn-why-${bar.product < 0 ? "below" : "above"}${others.length ? " attn-why-rest" : ""}` }),
  );
  made.append(svg("line", { x1: x + step * 0.92, x2: x + step * 1.08, y1: other, y2: other, class: "attn-why-step" }));
  const middle = x + step / 2;
  if (number && !/^−?\.?0*$/.test(number)) {
    made.append(svg("text", { x: middle, y: bar.product < 0 ? Math.max(one, other) + 11 : y - 4, "text-anchor": "middle", class: "attn-why-number" }, number));
  }
  if (label) made.append(svg("text", { x: middle, y: bottom - 5, "text-anchor": "middle", class: "attn-why-muted" }, label));
  return made;
}

/** @param {WhyContent} content @param {Bar[]} bars */
function spoken({ product, channels, paired }, bars) {
  const largest = bars.filter(({ of }) => of.length === 1).sort((one, other) => Math.abs(other.product) - Math.abs(one.product)).slice(0, NAMED);
  const said = { count: channels.length, sum: minus(product), bars: largest.map((bar) => words(bar, paired)).join("; ") };
  return paired
    ? t("The products of {count} pairs and channels add up to {sum}. The largest: {bars}. The table below lists all.", said)
    : t("The products of {count} channels add up to {sum}. The largest: {bars}. The table below lists all.", said);
}
