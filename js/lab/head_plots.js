import { inQuotes } from "../core/format.js";
import { t } from "../core/translate.js";
import { ColourBar } from "../components/colour_bar.js";
import { element } from "../components/dom.js";
import { likeliest } from "../live_model/next_token.js";

// The weights of all heads as tiles, and one head large, in which a cell can be read.

const MOST_NAMED = 3; // keys of a row in a sentence
const TICKS = [0, 0.05, 0.2, 0.5, 1]; // weights that the colour bar names
const SVG = "http://www.w3.org/2000/svg";

/**
 * Weights from 0 to 255 by layer, head, query and key; `answers` is by layer and head, [] where none are defined.
 *
 * @typedef {{step: number, answers: number[][], cells: ArrayLike<number>}} Frame
 * @typedef {{tokens: string[], layers: number, heads: number, answers: number[][]}} Content the answers as [query, key]
 */

/** @param {number} part */
export const percent = (part) => `${(100 * part).toFixed(0)} %`;

export class HeadPlots {
  root = element("div", "lab-plots");
  tiles = element("div", "lab-tiles");
  right = element("div", "lab-right");
  title = element("h3", "lab-head-title");
  /** what stands beside the title */
  titleLine = element("div", "lab-head-line");
  large = element("div", "lab-large");
  cells = element("canvas");
  outlines = document.createElementNS(SVG, "svg");
  down = element("div", "lab-down");
  across = element("div", "lab-across");
  bar = new ColourBar();
  pair = element("p", "attn-sentence lab-pair");
  /** @type {{button: HTMLButtonElement, canvas: HTMLCanvasElement, words: HTMLElement}[]} one for each head */
  buttons = [];
  /** @type {?[number, number]} layer and head that the reader chose */
  picked = null;
  /** @type {[number, number]} layer and head with most weight on the answer */
  best = [0, 0];
  /** position whose row is outlined; -1 for none */
  row = -1;
  /** @type {Content} */
  content = { tokens: [], layers: 0, heads: 0, answers: [] };
  wanted = new Set([0]);
  /** @type {Frame} */
  frame = { step: 0, answers: [], cells: [] };
  table = new Uint32Array(256);
  without = new Set([""]);

  /**
   * @param {{light: string[], dark: string[]}} palettes
   * @param {() => void} onPick
   */
  constructor(palettes, onPick) {
    this.palettes = palettes;
    this.onPick = onPick;
    this.cells.setAttribute("role", "img");
    this.pair.setAttribute("aria-live", "polite");
    this.large.append(this.down, this.cells, this.outlines, this.across);
    this.titleLine.append(this.title);
    this.right.append(this.titleLine, this.large, this.bar.line, this.pair);
    this.root.append(this.tiles, this.right);
    this.cells.addEventListener("pointermove", (event) => {
      const box = this.cells.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      /** @param {number} part */
      const inside = (part) => Math.min(Math.max(Math.floor(part * this.length), 0), this.length - 1);
      this.drawPair(inside(y), inside(x));
    });
    this.cells.addEventListener("pointerleave", () => this.drawPair());
  }

  get length() {
    return this.content.tokens.length;
  }

  /** @param {Content} content */
  show(content) {
    const { tokens, layers, heads, answers } = content;
    const before = this.content;
    this.content = content;
    this.wanted = new Set(answers.map(([query, key]) => query * tokens.length + key));
    this.outlines.replaceChildren();
    this.outlines.setAttribute("viewBox", `0 0 ${tokens.length} ${tokens.length}`);
    this.outlines.setAttribute("preserveAspectRatio", "none");
    for (const [query, key] of answers) this.outline(key, query, "answer");
    for (const side of [this.down, this.across]) {
      side.replaceChildren(...tokens.map((token) => element("span", "", token)));
      side.classList.toggle("many", tokens.length > 40);
      side.classList.toggle("words", tokens.some((token) => token.length > 2)); // wider than a column
    }
    if (before.layers === layers && before.heads === heads) return; // keeps the button that has the focus
    this.tiles.style.setProperty("--lab-heads", String(Math.max(heads, 1)));
    this.buttons = Array.from({ length: layers * heads }, (_, place) => this.makeTile(Math.floor(place / heads), place % heads));
    this.tiles.replaceChildren(...this.buttons.map(({ button }) => button));
  }

  /** @param {number} layer @param {number} head */
  makeTile(layer, head) {
    const button = element("button", "lab-tile");
    const canvas = element("canvas");
    const words = element("span");
    button.append(canvas, words);
    button.addEventListener("click", () => {
      this.picked = [layer, head];
      this.onPick();
    });
    return { button, canvas, words };
  }

  /** The layer and head that are drawn large. @returns {[number, number]} */
  get chosen() {
    return this.picked ?? this.best;
  }

  /** Chooses the head with most weight on the answer, until another is picked. @param {number[][]} answers by layer and head */
  findBest(answers) {
    if (answers.length === 0) return; // a reader's own sequence: the head on screen stays
    const weight = ([layer, head] = this.best) => answers[layer][head];
    this.best = [0, 0];
    answers.forEach((row, layer) => row.forEach((its, head) => its > weight() && (this.best = [layer, head])));
  }

  /**
   * @param {Frame} frame
   * @param {Set<string>} without heads that are knocked out, as "layer.head"
   * @param {number} row position whose row is outlined; -1 for none
   */
  draw(frame, without, row) {
    this.frame = frame;
    this.without = without;
    this.row = row;
    this.findBest(frame.answers);
    this.table = this.shades();
    this.drawBar();
    const { heads } = this.content;
    const [layer, head] = this.chosen;
    this.buttons.forEach(({ button, canvas, words }, place) => {
      const its = [Math.floor(place / heads), place % heads];
      const weight = frame.answers[its[0]]?.[its[1]];
      const out = without.has(its.join("."));
      this.paintHead(canvas, its[0], its[1]);
      words.textContent = its.join(".") + (weight === undefined ? "" : ` · ${percent(weight)}`) + (out ? ` · ${t("out")}` : "");
      button.classList.toggle("lab-out", out);
      button.setAttribute("aria-pressed", String(its[0] === layer && its[1] === head));
      const ending = (weight === undefined ? "" : ` ${t("on the answer")}`) + (out ? `: ${t("knocked out")}` : "");
      button.setAttribute("aria-label", `${t("Layer {layer}, head {head}", { layer: its[0], head: its[1] })}: ${words.textContent}${ending}`);
    });
    this.title.textContent = t("Layer {layer}, head {head}", { layer, head });
    this.paintHead(this.cells, layer, head);
    this.cells.setAttribute("aria-label", t("Weights of layer {layer}, head {head}: a row is a query, a column a key", { layer, head }));
    this.drawPair();
  }

  /** @param {HTMLCanvasElement} canvas @param {number} layer @param {number} head */
  paintHead(canvas, layer, head) {
    const start = this.offset(layer, head);
    this.paint(canvas, this.length, this.length, (cell) => this.frame.cells[start + cell]);
  }

  /** @param {number} layer @param {number} head */
  offset(layer, head) {
    return (layer * this.content.heads + head) * this.length ** 2;
  }

  get palette() {
    return this.palettes[document.documentElement.classList.contains("attn-dark-page") ? "dark" : "light"];
  }

  /** What the colours of every picture mean. */
  drawBar() {
    this.bar.show({
      gradient: `linear-gradient(to right, ${this.palette.join(", ")})`,
      ticks: TICKS.map((weight) => [Math.sqrt(weight), String(weight)]),
      words: t("weight, in every picture"),
    });
  }

  /** The colours of weights from 0 to 255. */
  shades() {
    const { palette } = this;
    return Uint32Array.from({ length: 256 }, (_, value) => {
      const hex = palette[Math.round(Math.sqrt(value / 255) * (palette.length - 1))];
      const [r, g, b] = [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
      return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    });
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number} width
   * @param {number} height
   * @param {(place: number) => number} value 0 to 255
   */
  paint(canvas, width, height, value) {
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let place = 0; place < pixels.length; place += 1) pixels[place] = this.table[Math.round(value(place))];
    canvas.getContext("2d")?.putImageData(image, 0, 0);
  }

  /** @param {number} [query] @param {number} [key] */
  drawPair(query, key) {
    const { frame } = this;
    const [layer, head] = this.chosen;
    const word = (/** @type {number} */ position) => `${inQuotes(this.content.tokens[position])} (${position})`;
    for (const box of this.outlines.querySelectorAll(".over, .row")) box.remove();
    if (this.row >= 0) this.outline(0, this.row, "row", this.row + 1);
    if (query === undefined || key === undefined) {
      const weight = frame.answers[layer]?.[head];
      const out = this.without.has(`${layer}.${head}`) ? ` ${t("It is knocked out: what it mixes is replaced by 0.")}` : "";
      const said = { steps: frame.step, layer, head };
      this.pair.textContent =
        (weight === undefined
          ? t("After {steps} steps layer {layer}, head {head}: {row}", { ...said, row: this.rowWords(word) })
          : t("After {steps} steps layer {layer}, head {head} puts {share} of its weight where the answers stand (outlined).", { ...said, share: percent(weight) })) + out;
      return;
    }
    const value = frame.cells[this.offset(layer, head) + query * this.length + key] / 255;
    const given = { query: word(query), share: percent(value), key: word(key) };
    const gives = this.wanted.has(query * this.length + key)
      ? t("{query} gives {share} of its weight to {key}, where its answer stands.", given)
      : t("{query} gives {share} of its weight to {key}.", given);
    this.pair.textContent =
      key > query
        ? t("{query} may not see {key}, which comes after it.", { query: word(query), key: word(key) })
        : gives;
    this.outline(key, query, "over");
  }

  /** Where the outlined row's weight goes. @param {(position: number) => string} word */
  rowWords(word) {
    const { row, length } = this;
    if (row < 0) return t("point at a cell to read it.");
    const start = this.offset(...this.chosen) + row * length;
    const weights = Array.from({ length: row + 1 }, (_, key) => this.frame.cells[start + key] / 255);
    const named = likeliest(weights, MOST_NAMED).filter((key, place) => place === 0 || weights[key] >= 0.005);
    const parts = named.map((key) => t("{share} to {token}", { share: percent(weights[key]), token: word(key) }));
    return t("{token} gives {parts}.", { token: word(row), parts: parts.join(", ") });
  }

  /** @param {number} x @param {number} y @param {string} css @param {number} [width] */
  outline(x, y, css, width = 1) {
    const box = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ x, y, width, height: 1, class: css })) box.setAttribute(name, String(value));
    this.outlines.append(box);
  }
}
