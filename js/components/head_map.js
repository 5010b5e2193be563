import { t } from "../core/translate.js";
import { element } from "./dom.js";
import { arrange } from "./head_order.js";

// Sizes in pixels: margins of a map, smallest and largest height of a cell, and largest height of all rows.
const LEFT = 22;
const TOP = 13;
const HEIGHT = { least: 2, most: 16, all: 340 };
export const SHADES = 64;
// Smallest gap between two numbers, in pixels: closer ones would read as one.
const BETWEEN = 4;
// Keys that move the cursor, as [rows, columns].
/** @type {Record<string, [number, number]>} */
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * @typedef {{title: string, about: string, unit: string, missing: string, decimals: number}} MapTexts
 * @typedef {{width: number, height: number, wide: number, high: number, columns: number}} MapSize in pixels
 * @typedef {{shades: number[][], font: string, card: string, ink: string, muted: string, accent: string,
 *   masked: string, hatch: string}} MapTheme
 */

/** One metric of all heads: a plot with its name, the value of the head pointed at, and a scale. */
export class HeadMap {
  /** @type {(number | null)[][]} by layer and head */
  values = [];
  most = 0;
  /** @type {[number, number[]][]} */
  rows = [];

  /** @param {import("./head_maps.js").Card} card @param {MapTexts} texts */
  constructor(card, texts) {
    this.card = card;
    this.texts = texts;
    this.root = element("figure", "attn-map");
    const caption = element("figcaption");
    caption.title = texts.about;
    this.value = element("span");
    caption.append(element("b", "", texts.title), " ", this.value);
    this.canvas = element("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute(
      "aria-label",
      t("{title}, layers by heads. Arrow keys go from head to head, Enter shows one.", { title: texts.title }),
    );
    this.none = element("p", "attn-caption muted");
    this.scale = element("div", "attn-map-scale");
    this.largest = element("span");
    this.scale.append(element("span", "", "0"), element("i"), this.largest);
    this.root.append(caption, this.canvas, this.none, this.scale);
    this.listen();
  }

  listen() {
    const { canvas, card } = this;
    canvas.addEventListener("pointermove", (event) => card.point(this.headAt(event), this));
    canvas.addEventListener("pointerleave", () => card.point(null, this));
    canvas.addEventListener("click", (event) => card.choose(this.headAt(event)));
    canvas.addEventListener("blur", () => card.point(null, this));
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key in MOVES) card.point(this.moved(...MOVES[event.key]), this);
      else if (event.key === "Enter" || event.key === " ") card.choose(card.pointed ?? card.shown());
      else if (event.key === "Escape") card.point(null, this);
      else return;
      event.preventDefault(); // or the explorer would handle the key, too
    });
  }

  /**
   * Sets the values, by layer and head.
   *
   * @param {(number | null)[][]} values
   */
  take(values) {
    this.values = values;
    const known = values.flat().filter((value) => value !== null);
    this.most = Math.max(0, ...known);
    this.canvas.hidden = this.scale.hidden = known.length === 0;
    this.none.textContent = known.length ? "" : t("No head has one: {reason}.", { reason: this.texts.missing });
    this.none.hidden = known.length > 0;
    this.largest.textContent = this.words(this.most);
    this.sort();
  }

  sort() {
    this.rows = arrange(this.values, this.card.order);
  }

  /** @param {?number | undefined} value */
  words(value) {
    return value === null || value === undefined ? "–" : value.toFixed(this.texts.decimals);
  }

  /** Shows the number of the head pointed at, else of the selected one. */
  showValue() {
    const [layer, head] = this.card.pointed ?? this.card.shown() ?? [];
    const value = layer === undefined || head === undefined ? undefined : this.values[layer]?.[head];
    const text = [value === undefined ? "" : this.words(value), this.texts.unit].join(" ").trim();
    if (this.value.textContent !== text) this.value.textContent = text;
  }

  measure() {
    const width = this.canvas.clientWidth;
    const columns = Math.max(1, ...this.rows.map(([, heads]) => heads.length));
    const high = Math.min(HEIGHT.most, Math.max(HEIGHT.least, HEIGHT.all / this.rows.length));
    return { width, height: TOP + high * this.rows.length, wide: (width - LEFT) / columns, high, columns };
  }

  /** @param {{ offsetX: number, offsetY: number }} pointer @returns {?[number, number]} */
  headAt({ offsetX, offsetY }) {
    const { wide, high } = this.measure();
    const row = this.rows[Math.floor((offsetY - TOP) / high)];
    const head = row?.[1][Math.floor((offsetX - LEFT) / wide)];
    return head === undefined ? null : [row[0], head];
  }

  /**
   * The head a number of rows and columns from the cursor.
   *
   * @param {number} down
   * @param {number} right
   * @returns {[number, number]}
   */
  moved(down, right) {
    const from = this.card.pointed ?? this.card.shown() ?? [this.rows[0][0], this.rows[0][1][0]];
    const at = this.rows.findIndex(([layer]) => layer === from[0]);
    const [layer, heads] = this.rows[Math.min(Math.max(at + down, 0), this.rows.length - 1)];
    const column = this.rows[at][1].indexOf(from[1]) + right;
    return [layer, heads[Math.min(Math.max(column, 0), heads.length - 1)]];
  }

  /** @param {MapTheme} theme */
  draw(theme) {
    if (this.canvas.hidden) return;
    const size = this.measure();
    const dots = window.devicePixelRatio || 1;
    this.canvas.style.height = `${size.height}px`;
    this.canvas.width = Math.round(size.width * dots);
    this.canvas.height = Math.round(size.height * dots);
    const context = this.canvas.getContext("2d");
    if (!context) return;
    context.scale(dots, dots);
    context.font = `9.5px ${theme.font}`;
    context.textBaseline = "middle";
    this.drawCells(context, theme, size);
    this.drawNumbers(context, theme, size);
    const { layer, head } = this.card.model.place;
    this.outline(context, size, layer, head, [[3.5, theme.card, []], [2, theme.ink, []]]);
    if (this.card.pointed) {
      this.outline(context, size, ...this.card.pointed, [[3, theme.card, []], [1.5, theme.accent, [3, 2]]]);
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {MapTheme} theme @param {MapSize} size */
  drawCells(context, theme, { wide, high }) {
    const gap = high > 5 && wide > 5 ? 1 : 0;
    const named = this.card.order !== "place" && wide >= this.widest(context) + BETWEEN && high >= 11;
    context.textAlign = "center";
    this.rows.forEach(([layer, heads], row) => {
      heads.forEach((head, column) => {
        const value = this.values[layer][head];
        const [x, y] = [LEFT + column * wide, TOP + row * high];
        const shade = theme.shades[Math.round((SHADES - 1) * (this.most ? (value ?? 0) / this.most : 0))];
        context.fillStyle = value === null ? theme.masked : `rgb(${shade})`;
        context.fillRect(x, y, wide - gap, high - gap);
        if (value === null) this.hatch(context, theme, x, y, wide - gap, high - gap);
        else if (named) {
          const light = shade[0] * 0.3 + shade[1] * 0.59 + shade[2] * 0.11 > 140;
          context.fillStyle = light ? "#1b2130" : "#ffffff";
          context.fillText(this.card.headName(layer, head), x + (wide - gap) / 2, y + high / 2);
        }
      });
    });
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {MapTheme} theme
   * @param {number} x
   * @param {number} y
   * @param {number} wide
   * @param {number} high
   */
  hatch(context, theme, x, y, wide, high) {
    context.strokeStyle = theme.hatch;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, y + high);
    context.lineTo(x + wide, y);
    context.stroke();
  }

  /**
   * Width of the widest head number, in pixels.
   *
   * @param {CanvasRenderingContext2D} context
   */
  widest(context) {
    const names = this.rows.flatMap(([layer, heads]) => heads.map((head) => this.card.headName(layer, head)));
    return Math.max(0, ...[...new Set(names)].map((name) => context.measureText(name).width));
  }

  /**
   * Draws layer numbers at the left, and head numbers above if each column is one head.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {MapTheme} theme
   * @param {MapSize} size
   */
  drawNumbers(context, theme, { wide, high, columns }) {
    context.fillStyle = theme.muted;
    context.textAlign = "right";
    const every = Math.ceil(10 / high);
    this.rows.forEach(([layer], row) => {
      if (row % every === 0) context.fillText(this.card.layerName(layer), LEFT - 5, TOP + (row + 0.5) * high);
    });
    if (this.card.order !== "place") return;
    const [longest] = this.rows.find(([, heads]) => heads.length === columns) ?? [0];
    const apart = Math.ceil((this.widest(context) + BETWEEN) / wide);
    context.textAlign = "center";
    for (let head = 0; head < columns; head += apart) {
      context.fillText(this.card.headName(longest, head), LEFT + (head + 0.5) * wide, TOP / 2);
    }
  }

  /**
   * Outlines one head, or a whole layer if `head` is null.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {MapSize} size
   * @param {number} layer
   * @param {?number} head
   * @param {[number, string, number[]][]} lines
   */
  outline(context, { wide, high }, layer, head, lines) {
    const row = this.rows.findIndex(([one]) => one === layer);
    const heads = this.rows[row]?.[1] ?? [];
    const column = head === null ? 0 : heads.indexOf(head);
    if (row < 0 || column < 0) return;
    const count = head === null ? heads.length : 1;
    for (const [width, colour, dashes] of lines) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.setLineDash(dashes);
      context.strokeRect(LEFT + column * wide - 0.5, TOP + row * high - 0.5, wide * count, high);
    }
    context.setLineDash([]);
  }
}
