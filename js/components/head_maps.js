import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { HeadMap, SHADES } from "./head_map.js";

// The card of layers × heads maps, one a metric, created when the card is opened. A tap, or arrow keys and Enter,
// selects a head; pointing at it in one map shows its value in all.
import { lacksKernel, modelsOf } from "../core/scope.js";
import { inEnglish, t } from "../core/translate.js";

/** @type {[Order, string][]} */
const ORDERS = [
  ["place", t("Model order")],
  ["largest", t("Largest first")],
  ["smallest", t("Smallest first")],
];
const ABOUT = {
  place: t("Rows are layers, columns heads."),
  largest: t("Rows are layers, the one with the largest number first; columns are ranks, a layer's largest number first, named by their heads."),
  smallest: t("Rows are layers, the one with the smallest number first; columns are ranks, a layer's smallest number first, named by their heads."),
};

/**
 * @typedef {import("./head_order.js").Order} Order
 * @typedef {{heads: number, place: Place, root_class: string, measuring: {fraction?: number, text?: string},
 *   numbers: {trace: string, maps: import("./head_map.js").MapTexts[], layers: {number: number, heads: number[]}[],
 *     values?: Record<string, (number | null)[][][]>}}} HeadMapsParameters
 */

/**
 * Interpolates the colours of a ramp.
 *
 * @param {string[]} anchors
 */
function shades(anchors) {
  const points = anchors.map((hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: SHADES }, (_, step) => {
    const at = (step / (SHADES - 1)) * (points.length - 1);
    const low = Math.min(Math.floor(at), points.length - 2);
    return points[low].map((channel, i) => Math.round(channel + (at - low) * (points[low + 1][i] - channel)));
  });
}

export class Card {
  /** @type {Order} */
  order = "place";
  /** @type {?[number, number]} */
  pointed = null;
  /** @type {?HeadMap} the map that the pointer is on */
  pointing = null;
  /** @type {HeadMap[]} */
  maps = [];
  busy = false;
  /** @type {string | undefined} the place that is drawn */
  drawn;
  /** @type {string | undefined} what Python was asked for last */
  asked;
  /** @type {string | undefined} the maps there are */
  made;
  built = false;
  orders = element("div", "attn-map-orders");
  /** @type {HTMLButtonElement[]} */
  orderButtons = [];
  status = element("span");
  measuring = element("div", "attn-maps-bar");
  measure = element("button", "attn-plain-button");
  done = element("progress");
  progressText = element("span", "attn-maps-progress");
  about = element("p", "attn-caption muted");
  grid = element("div", "attn-maps");

  /** @param {ComponentModel<Dispatching<HeadMapsParameters>>} model */
  constructor(model) {
    this.model = model;
    this.root = element("details", "attn-maps-card");
    const summary = element("summary");
    const heading = element("h2", "attn-caption", `${t("Read the heads")} `);
    heading.append(element("small", "", t("numbers of every head as maps: entropy, distance, induction …")));
    summary.append(heading);
    this.root.append(summary);
    this.root.addEventListener("toggle", () => this.follow());
  }

  connect() {
    const { model } = this;
    const redraw = () => requestAnimationFrame(() => this.draw());
    // The page's theme is a class on the explorer's outermost element.
    for (const bokehModel of modelsOf(model)) {
      if (bokehModel.css_classes?.includes(model.root_class)) bokehModel.properties.css_classes.change.connect(redraw);
    }
    const sized = new ResizeObserver(() => this.draw());
    sized.observe(this.root);
    model.on("numbers", () => this.follow());
    model.on("place", () => this.place());
    model.on(["heads", "measuring"], () => this.offer());
    model.on("remove", () => sized.disconnect());
  }

  /** Builds the card when it is first opened. */
  build() {
    this.built = true;
    this.orders.setAttribute("role", "group");
    this.orders.setAttribute("aria-label", t("Order of the heads"));
    for (const [name, words] of ORDERS) {
      const button = element("button", "attn-plain-button", words);
      button.addEventListener("click", () => this.sort(name));
      button.dataset.order = name;
      this.orderButtons.push(button);
    }
    this.orders.append(...this.orderButtons);
    this.status.setAttribute("role", "status");
    this.measure.addEventListener("click", () => this.model.send_msg({ measure: !this.busy }));
    this.done.max = 1;
    const bar = element("div", "attn-maps-bar");
    bar.append(this.orders, this.status);
    this.measuring.append(this.measure, this.done, this.progressText);
    this.root.append(bar, this.grid, this.measuring, this.about);
    this.sort(this.order);
    this.offer();
  }

  /** Offers to measure importance if there is a model, and shows the progress. */
  offer() {
    if (!this.built) return;
    const { heads, measuring } = this.model;
    const { fraction, text = "" } = measuring;
    this.busy = fraction !== undefined;
    this.measuring.hidden = heads === 0 && text === "";
    this.measure.hidden = heads === 0;
    this.measure.textContent = this.busy ? t("Stop") : t("Measure importance: knock out each of {count} heads", { count: heads });
    this.done.hidden = !this.busy;
    this.done.value = fraction ?? 0;
    this.progressText.textContent = text;
  }

  get values() {
    return this.model.numbers.values?.[String(this.model.place.batch)];
  }

  /** @param {number} layer */
  layerName(layer) {
    return String(this.model.numbers.layers[layer].number);
  }

  /** @param {number} layer @param {number} head */
  headName(layer, head) {
    return String(this.model.numbers.layers[layer].heads[head]);
  }

  /**
   * The selected head; null for the mean.
   *
   * @returns {?[number, number]}
   */
  shown() {
    const { layer, head } = this.model.place;
    return head === null || head === undefined ? null : [layer, head];
  }

  /** Shows the values, or requests them. */
  follow() {
    if (!this.root.open) return;
    if (!this.built) this.build();
    const { numbers, place } = this.model;
    this.pointed = null;
    this.drawn = JSON.stringify(place);
    if (!this.values) {
      const asked = `${numbers.trace} ${place.batch}`;
      this.status.textContent = lacksKernel() ? t("These numbers need Python: run the notebook.") : t("Reading the heads …");
      if (this.asked !== asked) this.model.send_msg({ maps: place.batch });
      this.asked = asked;
      return;
    }
    if (JSON.stringify(numbers.maps) !== this.made) {
      this.made = JSON.stringify(numbers.maps);
      this.maps = numbers.maps.map((texts) => new HeadMap(this, texts));
      this.grid.replaceChildren(...this.maps.map((map) => map.root));
    }
    const { values } = this;
    this.maps.forEach((map, at) => map.take(values[at]));
    this.draw();
  }

  /** Follows the selected head. */
  place() {
    const place = JSON.stringify(this.model.place);
    if (place === this.drawn || !this.root.open) return;
    const { batch } = JSON.parse(this.drawn ?? "{}");
    this.drawn = place;
    if (batch !== this.model.place.batch || !this.values) this.follow();
    else this.draw();
  }

  /** @param {Order} order */
  sort(order) {
    this.order = order;
    for (const button of this.orderButtons) button.ariaPressed = String(button.dataset.order === order);
    const hint = t(
      "Each head has the model's own mask and temperature 1. Point at a head to read it in every map; " +
        "tap it, or go there by the arrow keys and press Enter, to look through it.",
    );
    this.about.textContent = `${ABOUT[order]} ${hint}`;
    for (const map of this.maps) map.sort();
    this.draw();
  }

  /** @param {?[number, number]} head @param {HeadMap} map */
  point(head, map) {
    if (JSON.stringify(head) === JSON.stringify(this.pointed)) return;
    this.pointed = head;
    this.pointing = map;
    this.draw();
  }

  /** @param {?[number, number]} head */
  choose(head) {
    if (head) dispatch(this.model, { tap: ["grid", head[1], head[0]] });
  }

  draw() {
    if (!this.root.open || !this.values || !this.maps.length) return;
    const styles = getComputedStyle(this.root);
    /** @param {string} name */
    const colour = (name) => styles.getPropertyValue(`--attn-${name}`).trim();
    const theme = /** @type {any} */ (Object.fromEntries(["card", "ink", "muted", "accent", "masked", "hatch"].map((name) => [name, colour(name)])));
    theme.shades = shades(colour("ramp").split(",").map((anchor) => anchor.trim()));
    theme.font = styles.fontFamily;
    for (const map of this.maps) {
      map.draw(theme);
      map.showValue();
    }
    this.showStatus();
  }

  /** Shows which head the values above the maps belong to. */
  showStatus() {
    const { pointed, pointing } = this;
    const [layer, head] = pointed ?? this.shown() ?? [];
    let text = t("The mean over heads is on screen: point at one of its heads.");
    if (layer !== undefined && head !== undefined) {
      const place = { layer: this.layerName(layer), head: this.headName(layer, head) };
      text = pointed ? t("Layer {layer}, head {head}", place) : t("Layer {layer}, head {head}, which is on screen", place);
      if (pointed && pointing) text += `: ${inEnglish ? pointing.texts.title.toLowerCase() : pointing.texts.title} ${pointing.words(pointing.values[layer][head])}`;
    }
    if (this.status.textContent !== text) this.status.textContent = text;
  }
}

/** @param {Props<Dispatching<HeadMapsParameters>>} props */
export function render({ model }) {
  const card = new Card(model);
  model.on("after_render", () => requestAnimationFrame(() => card.connect()));
  return card.root;
}
