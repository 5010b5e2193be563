import { general, rowAndColumn, shorten } from "../core/format.js";
import { t } from "../core/translate.js";
import { readableOn } from "../views/colours.js";
import { ColourBar } from "./colour_bar.js";
import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";

// The card "On the picture": heat over the picture, a patch or a token to choose by pointer or keys, a small picture a
// head, and the numbers as a table. Every text goes through textContent.

/**
 * @typedef {import("../explorer/on_picture.js").PictureContent} PictureContent
 * @typedef {import("../explorer/on_picture.js").Direction} Direction
 * @typedef {{content: Partial<PictureContent>, heads: Partial<import("../explorer/on_picture.js").HeadThumbnails>}} PictureParameters
 */

/** @type {Record<Direction, string>} */
const DIRECTIONS = {
  looks: t("Where it looks"),
  seen: t("What looks at it"),
  through: t("Through all layers"),
};
// What of a picture the heat covers where a weight is 0, of what it covers where it is largest.
const FAINT = 0.62;
const OPAQUE = 255;
// The same of what no window of the chosen patch has.
const ELSEWHERE = 0.35;
// Rows of the table of numbers; a larger grid lists its largest patches.
const MOST_CELLS = 400;
const MOST_LISTED = 50;
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** @type {WeakMap<string[], number[][]>} */
const CHANNELS = new WeakMap();

/**
 * A palette's colours as numbers.
 *
 * @param {string[]} palette
 */
function channelsOf(palette) {
  const known = CHANNELS.get(palette) ?? palette.map((hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));
  CHANNELS.set(palette, known);
  return known;
}

/**
 * Paints weights, a pixel a patch.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>} heat NaN in other windows
 * @param {Pick<PictureContent, "rows" | "columns" | "high" | "palette">} scale
 * @param {number} strength 0 to 1
 * @param {boolean} solid whether nothing lies below
 */
export function paint(canvas, heat, { rows, columns, high, palette }, strength, solid) {
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = context.createImageData(columns, rows);
  const colours = channelsOf(palette);
  const { data } = pixels;
  for (let cell = 0; cell < heat.length; cell++) {
    const elsewhere = Number.isNaN(heat[cell]); // in another window
    const part = elsewhere ? 0 : Math.min(Math.max(heat[cell] / high, 0), 1);
    const colour = colours[Math.round(part * (palette.length - 1))];
    const alpha = (elsewhere ? ELSEWHERE : 1) * (solid ? 1 : strength * (FAINT + (1 - FAINT) * part));
    for (let channel = 0; channel < 3; channel++) data[cell * 4 + channel] = colour[channel];
    data[cell * 4 + 3] = Math.round(alpha * OPAQUE);
  }
  context.putImageData(pixels, 0, 0);
}

class PictureCard {
  strength = 0.75;
  /** @type {?number} the patch under the pointer */
  pointed = null;
  image = element("img");
  heat = element("canvas");
  marks = element("div", "attn-picture-marks");
  stage = element("div", "attn-picture-stage");
  status = element("p", "attn-caption muted attn-picture-status");
  legend = new ColourBar();
  buttons = element("div", "attn-picture-directions");
  others = element("div", "attn-chips");
  beside = element("div", "attn-picture-beside");
  heads = element("div", "attn-picture-heads");
  numbers = element("details", "attn-details");
  none = element("p", "attn-caption muted");
  body = element("div", "attn-picture-body");
  subtitle = element("small");

  /** @param {ComponentModel<Dispatching<PictureParameters>>} model */
  constructor(model) {
    this.model = model;
    this.root = element("div", "attn-picture");
    const heading = element("h2", "attn-caption", `${t("On the picture")} `);
    heading.append(this.subtitle);
    this.buttons.setAttribute("role", "group");
    this.buttons.setAttribute("aria-label", t("Which weights the picture shows"));
    const opacity = element("label", "attn-picture-opacity", `${t("Heat")} `);
    const slider = element("input");
    Object.assign(slider, { type: "range", min: "0", max: "1", step: "0.05", value: String(this.strength) });
    slider.addEventListener("input", () => {
      this.strength = Number(slider.value);
      this.draw();
    });
    opacity.append(slider);
    const bar = element("div", "attn-picture-bar");
    bar.append(this.buttons, opacity);
    this.image.alt = "";
    this.image.draggable = false;
    for (const hidden of [this.image, this.heat, this.marks]) hidden.setAttribute("aria-hidden", "true");
    this.stage.tabIndex = 0;
    this.stage.setAttribute("role", "group");
    this.stage.append(this.image, this.heat, this.marks);
    this.status.setAttribute("role", "status");
    const left = element("div", "attn-picture-left");
    left.append(this.stage, this.legend.line);
    this.numbers.append(element("summary", "", t("The picture as numbers")), element("div", "attn-details-inside"));
    const label = element("h3", "attn-label", t("Other tokens"));
    this.beside.append(label, this.others);
    const right = element("div", "attn-picture-right");
    right.append(this.beside, this.heads);
    const columns = element("div", "attn-picture-columns");
    columns.append(left, right);
    this.body.append(bar, columns, this.status, this.numbers);
    this.root.append(heading, this.none);
    this.listen();
  }

  listen() {
    const { stage } = this;
    stage.addEventListener("click", (event) => this.choose(this.cellAt(event)));
    stage.addEventListener("pointermove", (event) => this.point(this.cellAt(event)));
    stage.addEventListener("pointerleave", () => this.point(null));
    stage.addEventListener("keydown", (event) => {
      const step = ARROWS[event.key];
      const { rows = 0, columns = 0 } = this.model.content;
      if (!step || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const from = this.at ?? -1;
      const row = Math.min(Math.max((from < 0 ? 0 : Math.floor(from / columns)) + (from < 0 ? 0 : step[0]), 0), rows - 1);
      const column = Math.min(Math.max((from < 0 ? 0 : from % columns) + (from < 0 ? 0 : step[1]), 0), columns - 1);
      this.choose(row * columns + column);
    });
    this.numbers.addEventListener("toggle", () => this.list());
    this.model.on("content", () => this.show());
    this.model.on("heads", () => this.listHeads());
  }

  /**
   * The patch chosen last, from which the arrow keys go on.
   *
   * @returns {?number}
   */
  get at() {
    return this.model.content.selected ?? this.kept ?? null;
  }

  /** @param {MouseEvent} event @returns {?number} */
  cellAt(event) {
    const { rows = 0, columns = 0 } = this.model.content;
    const { left, top, width, height } = this.stage.getBoundingClientRect();
    const column = Math.floor(((event.clientX - left) / width) * columns);
    const row = Math.floor(((event.clientY - top) / height) * rows);
    return row >= 0 && row < rows && column >= 0 && column < columns ? row * columns + column : null;
  }

  /** @param {?number} cell */
  choose(cell) {
    if (cell === null) return;
    this.kept = cell;
    dispatch(this.model, { patch: cell });
    if (this.model.content.sends === "key") this.point(cell);
  }

  /** @param {?number} cell */
  point(cell) {
    if (cell === this.pointed) return;
    this.pointed = cell;
    this.mark();
    this.say();
  }

  show() {
    const { missing, rows } = this.model.content;
    const empty = Boolean(missing) || !rows;
    if (empty) this.body.remove();
    else this.root.append(this.body);
    this.none.hidden = !missing;
    this.none.textContent = missing ?? "";
    this.subtitle.textContent = this.model.content.subtitle ?? "";
    if (empty) return;
    this.pointed = null;
    this.chooseDirection();
    this.draw();
    this.mark();
    this.say();
    this.listOthers();
    this.list();
  }

  chooseDirection() {
    const { direction, directions = [] } = this.model.content;
    const names = directions.length > 1 ? directions : [];
    if (this.buttons.children.length !== names.length) {
      this.buttons.replaceChildren(
        ...names.map((name) => {
          const button = element("button", "attn-plain-button", DIRECTIONS[name]);
          button.dataset.direction = name;
          button.addEventListener("click", () => dispatch(this.model, { picture: name }));
          return button;
        }),
      );
    }
    for (const button of /** @type {HTMLCollectionOf<HTMLButtonElement>} */ (this.buttons.children)) {
      button.ariaPressed = String(button.dataset.direction === direction);
    }
  }

  draw() {
    const content = /** @type {PictureContent} */ (this.model.content);
    const { image, rows, columns, heat, legend } = content;
    this.image.hidden = image === "";
    if (image !== "" && this.image.src !== image) {
      this.image.src = image;
      this.image.onload = () => this.shape();
    }
    this.shape();
    this.stage.classList.toggle("attn-picture-bare", image === "");
    this.stage.style.setProperty("--picture-cell", `${100 / columns}% ${100 / rows}%`);
    paint(this.heat, heat, content, this.strength, image === "");
    if (legend) this.legend.show({ ...legend, words: content.unit });
  }

  /** Gives the stage the picture's shape, or that of the grid. */
  shape() {
    const { rows = 1, columns = 1 } = this.model.content;
    const { naturalWidth, naturalHeight } = this.image;
    const known = !this.image.hidden && naturalWidth > 0;
    this.stage.style.aspectRatio = known ? `${naturalWidth} / ${naturalHeight}` : `${columns} / ${rows}`;
  }

  /** Outlines the selected patch and the one under the pointer. */
  mark() {
    const { rows = 1, columns = 1, selected } = this.model.content;
    /** @param {?number | undefined} cell @param {string} css */
    const box = (cell, css) => {
      if (cell === null || cell === undefined) return [];
      const outline = element("i", css);
      Object.assign(outline.style, {
        left: `${((cell % columns) / columns) * 100}%`,
        top: `${(Math.floor(cell / columns) / rows) * 100}%`,
        width: `${100 / columns}%`,
        height: `${100 / rows}%`,
      });
      return [outline];
    };
    this.marks.replaceChildren(...box(selected, "attn-picture-selected"), ...box(this.pointed, "attn-picture-pointed"));
  }

  /** Says what the picture shows, or the number of the patch under the pointer. */
  say() {
    const { heat = [], columns = 1, rows = 1, sentence = "", chosen = "", sends, side } = this.model.content;
    const text = this.pointed === null ? sentence : `${firstUpper(rowAndColumn(this.pointed, { columns }))}: ${weightText(heat[this.pointed])}. ${sentence}`;
    if (this.status.textContent !== text) this.status.textContent = text;
    const keys = sends === "key" ? t("Arrow keys choose a patch as the key.") : t("Arrow keys choose a patch.");
    const picture = t("Picture of {rows} × {columns} patches; chosen: {token}.", { rows, columns, token: shorten(chosen, 18) });
    this.stage.setAttribute("aria-label", `${side ? `${side}: ` : ""}${picture} ${keys}`);
  }

  listOthers() {
    const { others = [], otherChosen, otherSends = "token", left = 0 } = this.model.content;
    this.beside.hidden = others.length === 0;
    /** @param {import("../explorer/on_picture.js").OtherToken} other */
    const chip = ({ token, name, weight, shade }) => {
      const button = element("button", token === otherChosen ? "selected" : "", name.trim() === "" ? "␣" : name);
      button.ariaPressed = String(token === otherChosen);
      if (weight !== null) {
        Object.assign(button.style, { backgroundColor: shade, color: readableOn(shade) });
        button.title = `${token} · ${t("weight {weight}", { weight: general(weight, 3) })}`;
      }
      button.addEventListener("click", () => dispatch(this.model, { [otherSends]: token }));
      return button;
    };
    const active = /** @type {ShadowRoot} */ (this.others.getRootNode()).activeElement;
    const focused = active ? [...this.others.children].indexOf(active) : -1;
    this.others.replaceChildren(...others.map(chip));
    if (left > 0) this.others.append(element("small", "", t("and {count} more", { count: left })));
    /** @type {HTMLElement | undefined} */ (this.others.children[focused])?.focus();
  }

  listHeads() {
    const { list: heads = [], head, layer, rows = 1, columns = 1, palette = [] } = this.model.heads;
    while (this.heads.children.length > heads.length) this.heads.lastChild?.remove();
    while (this.heads.children.length < heads.length) {
      const button = element("button", "attn-picture-head");
      const at = this.heads.children.length;
      button.append(element("canvas"), element("span"));
      button.addEventListener("click", () => {
        const { list = [], layer: now } = this.model.heads;
        dispatch(this.model, { tap: ["grid", list[at].head, now] });
      });
      this.heads.append(button);
    }
    for (const [at, { heat, number, head: index }] of heads.entries()) {
      const button = /** @type {HTMLButtonElement} */ (this.heads.children[at]);
      const [canvas, label] = /** @type {[HTMLCanvasElement, HTMLElement]} */ (/** @type {unknown} */ (button.children));
      const peak = heat.reduce((one, other) => Math.max(one, other || 0), 0);
      paint(canvas, heat, { rows, columns, palette, high: peak || 1 }, 1, true);
      canvas.style.aspectRatio = `${columns} / ${rows}`;
      label.textContent = t("head {head}", { head: number });
      button.ariaPressed = String(index === head);
      button.ariaLabel = t("Head {head}: largest weight on the picture {peak}", { head: number, peak: general(peak, 3) });
      button.title = t("Layer {layer}, head {head}: coloured up to its own largest weight, {peak}", { layer, head: number, peak: general(peak, 3) });
    }
  }

  /** Lists the picture's numbers: the grid as a table, or the largest of a large one. */
  list() {
    const inside = /** @type {HTMLElement} */ (this.numbers.lastElementChild);
    inside.replaceChildren();
    const { heat, rows = 0, columns = 0 } = this.model.content;
    if (!this.numbers.open || !heat) return;
    const table = element("table", "attn-table");
    /** @param {string[]} cells @param {"col" | "row"} scope */
    const line = (cells, scope) => {
      const row = element("tr");
      row.append(...cells.map((text, at) => (scope === "col" || at === 0 ? Object.assign(element("th", "", text), { scope: at === 0 ? "row" : scope }) : element("td", "", text))));
      return row;
    };
    if (heat.length <= MOST_CELLS) {
      table.append(line(["", ...Array.from({ length: columns }, (_, column) => String(column))], "col"));
      for (let row = 0; row < rows; row++) {
        table.append(line([String(row), ...Array.from({ length: columns }, (_, column) => cellText(heat[row * columns + column]))], "row"));
      }
    } else {
      const largest = [...heat.keys()].filter((cell) => heat[cell] >= 0).sort((one, other) => heat[other] - heat[one]).slice(0, MOST_LISTED);
      table.append(line([t("patch"), t("weight")], "col"), ...largest.map((cell) => line([rowAndColumn(cell, { columns }), general(heat[cell], 3)], "row")));
    }
    const box = element("div", "attn-table-box");
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", t("Weights of the patches"));
    box.append(table);
    inside.append(box);
  }
}

/** @param {number} weight */
function weightText(weight) {
  return Number.isNaN(weight) ? t("in another window") : t("weight {weight}", { weight: general(weight, 3) });
}

/** @param {number} weight */
function cellText(weight) {
  return Number.isNaN(weight) ? "–" : general(weight, 3);
}

/** @param {string} text */
function firstUpper(text) {
  return text[0].toUpperCase() + text.slice(1);
}

/** @param {Props<Dispatching<PictureParameters>>} props */
export function render({ model }) {
  const card = new PictureCard(model);
  model.on("remove", () => card.legend.resized.disconnect());
  card.show();
  card.listHeads();
  return card.root;
}
