// The card of layers × heads maps: a number of every head in one picture each, made once the card is opened.
// A head is chosen by a tap, or by arrow keys and Enter; where it stands is the same head in every map.

const ORDERS = [
  ["place", "Model order"],
  ["largest", "Largest first"],
  ["smallest", "Smallest first"],
];
// Sizes in pixels: of a map's margins, and of a cell's height, least and most, and of all rows together.
const LEFT = 22;
const TOP = 13;
const HEIGHT = { least: 2, most: 16, all: 340 };
const SHADES = 64;
// What stands between two numbers at least, in pixels: closer ones read as one.
const BETWEEN = 4;
const ABOUT = {
  place: "Rows are layers, columns heads",
  largest: "Rows are layers, the one with the largest number first; columns are ranks, a layer's largest number first, named by their heads",
  smallest: "Rows are layers, the one with the smallest number first; columns are ranks, a layer's smallest number first, named by their heads",
};
// Keys that move the cursor, as [rows, columns].
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * The heads of a map in the order they are shown.
 *
 * @param {(?number)[][]} values by layer and head; null where there is none
 * @param {"place" | "largest" | "smallest"} order
 * @returns {[number, number[]][]} rows of a layer and its heads, by their places. Sorted, each layer's
 *   heads go by their number and layers by their first head's; what has no number comes last.
 */
export function arrange(values, order) {
  const rows = values.map((heads, layer) => [layer, [...heads.keys()]]);
  if (order === "place") return rows;
  const sign = order === "largest" ? -1 : 1;
  const compare = (one, other) => {
    if (one === null || other === null) return Number(one === null) - Number(other === null);
    return sign * (one - other);
  };
  for (const [layer, heads] of rows) {
    heads.sort((a, b) => compare(values[layer][a], values[layer][b]) || a - b);
  }
  const first = ([layer, heads]) => values[layer][heads[0]] ?? null;
  return rows.sort((one, other) => compare(first(one), first(other)) || one[0] - other[0]);
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** Colours between the anchors of a ramp, evenly. */
function shades(anchors) {
  const points = anchors.map((hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: SHADES }, (_, step) => {
    const at = (step / (SHADES - 1)) * (points.length - 1);
    const low = Math.min(Math.floor(at), points.length - 2);
    return points[low].map((channel, i) => Math.round(channel + (at - low) * (points[low + 1][i] - channel)));
  });
}

/** One number of all heads: a picture with its name, the pointed head's number and a scale. */
class HeadMap {
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
      `${texts.title}, layers by heads. Arrow keys go from head to head, Enter shows one.`,
    );
    this.none = element("p", "attn-words muted");
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
      event.preventDefault(); // or the explorer would take the key, too
    });
  }

  /** Takes numbers, by layer and head. */
  take(values) {
    this.values = values;
    const known = values.flat().filter((value) => value !== null);
    this.most = Math.max(0, ...known);
    this.canvas.hidden = this.scale.hidden = known.length === 0;
    this.none.textContent = known.length ? "" : `No head has one: ${this.texts.missing}.`;
    this.none.hidden = known.length > 0;
    this.largest.textContent = this.words(this.most);
    this.sort();
  }

  sort() {
    this.rows = arrange(this.values, this.card.order);
  }

  words(value) {
    return value === null || value === undefined ? "–" : value.toFixed(this.texts.decimals);
  }

  /** Says the pointed head's number, else the chosen one's. */
  tell() {
    const [layer, head] = this.card.pointed ?? this.card.shown() ?? [];
    const value = this.values[layer]?.[head];
    const text = [value === undefined ? "" : this.words(value), this.texts.unit].join(" ").trim();
    if (this.value.textContent !== text) this.value.textContent = text;
  }

  // -- where things are --------------------------------------------------------------------

  measure() {
    const width = this.canvas.clientWidth;
    const columns = Math.max(1, ...this.rows.map(([, heads]) => heads.length));
    const high = Math.min(HEIGHT.most, Math.max(HEIGHT.least, HEIGHT.all / this.rows.length));
    return { width, height: TOP + high * this.rows.length, wide: (width - LEFT) / columns, high, columns };
  }

  headAt({ offsetX, offsetY }) {
    const { wide, high } = this.measure();
    const row = this.rows[Math.floor((offsetY - TOP) / high)];
    const head = row?.[1][Math.floor((offsetX - LEFT) / wide)];
    return head === undefined ? null : [row[0], head];
  }

  /** The head that stands so many rows and columns from the cursor. */
  moved(down, right) {
    const from = this.card.pointed ?? this.card.shown() ?? [this.rows[0][0], this.rows[0][1][0]];
    const at = this.rows.findIndex(([layer]) => layer === from[0]);
    const [layer, heads] = this.rows[Math.min(Math.max(at + down, 0), this.rows.length - 1)];
    const column = this.rows[at][1].indexOf(from[1]) + right;
    return [layer, heads[Math.min(Math.max(column, 0), heads.length - 1)]];
  }

  // -- the picture -------------------------------------------------------------------------

  draw(look) {
    if (this.canvas.hidden) return;
    const size = this.measure();
    const dots = window.devicePixelRatio || 1;
    this.canvas.style.height = `${size.height}px`;
    this.canvas.width = Math.round(size.width * dots);
    this.canvas.height = Math.round(size.height * dots);
    const context = this.canvas.getContext("2d");
    context.scale(dots, dots);
    context.font = `9.5px ${look.font}`;
    context.textBaseline = "middle";
    this.drawCells(context, look, size);
    this.drawNumbers(context, look, size);
    const { layer, head } = this.card.model.place;
    this.outline(context, size, layer, head, [[3.5, look.card, []], [2, look.ink, []]]);
    if (this.card.pointed) {
      this.outline(context, size, ...this.card.pointed, [[3, look.card, []], [1.5, look.accent, [3, 2]]]);
    }
  }

  drawCells(context, look, { wide, high }) {
    const gap = high > 5 && wide > 5 ? 1 : 0;
    const named = this.card.order !== "place" && wide >= this.widest(context) + BETWEEN && high >= 11;
    context.textAlign = "center";
    this.rows.forEach(([layer, heads], row) => {
      heads.forEach((head, column) => {
        const value = this.values[layer][head];
        const [x, y] = [LEFT + column * wide, TOP + row * high];
        const shade = look.shades[Math.round((SHADES - 1) * (this.most ? (value ?? 0) / this.most : 0))];
        context.fillStyle = value === null ? look.masked : `rgb(${shade})`;
        context.fillRect(x, y, wide - gap, high - gap);
        if (value === null) this.hatch(context, look, x, y, wide - gap, high - gap);
        else if (named) {
          const light = shade[0] * 0.3 + shade[1] * 0.59 + shade[2] * 0.11 > 140;
          context.fillStyle = light ? "#1b2130" : "#ffffff";
          context.fillText(this.card.headName(layer, head), x + (wide - gap) / 2, y + high / 2);
        }
      });
    });
  }

  hatch(context, look, x, y, wide, high) {
    context.strokeStyle = look.hatch;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, y + high);
    context.lineTo(x + wide, y);
    context.stroke();
  }

  /** How wide the widest number of a head is, in pixels. */
  widest(context) {
    const names = this.rows.flatMap(([layer, heads]) => heads.map((head) => this.card.headName(layer, head)));
    return Math.max(0, ...[...new Set(names)].map((name) => context.measureText(name).width));
  }

  /** Numbers of layers at the left; of heads above, where a column is one head. */
  drawNumbers(context, look, { wide, high, columns }) {
    context.fillStyle = look.muted;
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

  /** Draws lines around one head, or where `head` is null around all of a layer. */
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

class Card {
  constructor(model) {
    this.model = model;
    this.order = "place";
    this.pointed = null;
    this.maps = [];
    this.root = element("details", "attn-maps-card");
    const summary = element("summary");
    const heading = element("h2", "attn-words", "Read the heads ");
    heading.append(element("small", "", "numbers of every head as maps: entropy, distance, induction …"));
    summary.append(heading);
    this.root.append(summary);
    this.root.addEventListener("toggle", () => this.follow());
  }

  connect() {
    const { model } = this;
    const redraw = () => requestAnimationFrame(() => this.draw());
    // The page's look is a class on the explorer's outermost element.
    for (const one of model.document._all_models.values()) {
      if (one.css_classes?.includes(model.root_class)) one.properties.css_classes.change.connect(redraw);
    }
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(this.root);
    model.on("numbers", () => this.follow());
    model.on("place", () => this.place());
    model.on(["heads", "measuring"], () => this.offer());
    model.on("remove", () => this.sized.disconnect());
  }

  build() {
    this.orders = element("div", "attn-map-orders");
    this.orders.setAttribute("role", "group");
    this.orders.setAttribute("aria-label", "Order of the heads");
    for (const [name, words] of ORDERS) {
      const button = element("button", "attn-plain-button", words);
      button.type = "button";
      button.addEventListener("click", () => this.sort(name));
      button.dataset.order = name;
      this.orders.append(button);
    }
    this.status = element("span");
    this.status.setAttribute("role", "status");
    this.measure = element("button", "attn-plain-button");
    this.measure.type = "button";
    this.measure.addEventListener("click", () => this.model.send_msg({ measure: !this.busy }));
    this.done = element("progress");
    this.done.max = 1;
    this.told = element("span", "attn-maps-told");
    const bar = element("div", "attn-maps-bar");
    bar.append(this.orders, this.status);
    const measuring = element("div", "attn-maps-bar");
    measuring.append(this.measure, this.done, this.told);
    this.about = element("p", "attn-words muted");
    this.grid = element("div", "attn-maps");
    this.root.append(bar, this.grid, measuring, this.about);
    this.sort(this.order);
    this.offer();
  }

  /** Offers to measure importance where a model is at hand, and says how far that is. */
  offer() {
    if (!this.grid) return;
    const { heads, measuring } = this.model;
    const { fraction, text = "" } = measuring;
    this.busy = fraction !== undefined;
    this.measure.parentElement.hidden = heads === 0 && text === "";
    this.measure.hidden = heads === 0;
    this.measure.textContent = this.busy ? "Stop" : `Measure importance: knock out each of ${heads} heads`;
    this.done.hidden = !this.busy;
    this.done.value = fraction ?? 0;
    this.told.textContent = text;
  }

  // -- what is shown -----------------------------------------------------------------------

  get values() {
    return this.model.numbers.values?.[String(this.model.place.batch)];
  }

  layerName(layer) {
    return String(this.model.numbers.layers[layer].number);
  }

  headName(layer, head) {
    return String(this.model.numbers.layers[layer].heads[head]);
  }

  /** The head on screen; null where that is a mean. */
  shown() {
    const { layer, head } = this.model.place;
    return head === null || head === undefined ? null : [layer, head];
  }

  /** Shows the numbers that are there, or asks for them. */
  follow() {
    if (!this.root.open) return;
    if (!this.grid) this.build();
    const { numbers, place } = this.model;
    this.pointed = null;
    this.drawn = JSON.stringify(place);
    if (!this.values) {
      const asked = `${numbers.trace} ${place.batch}`;
      this.status.textContent = "Reading the heads …";
      if (this.asked !== asked) this.model.send_msg({ maps: place.batch });
      this.asked = asked;
      return;
    }
    if (JSON.stringify(numbers.maps) !== this.made) {
      this.made = JSON.stringify(numbers.maps);
      this.maps = numbers.maps.map((texts) => new HeadMap(this, texts));
      this.grid.replaceChildren(...this.maps.map((map) => map.root));
    }
    this.maps.forEach((map, at) => map.take(this.values[at]));
    this.draw();
  }

  /** Goes along with the head on screen. */
  place() {
    const place = JSON.stringify(this.model.place);
    if (place === this.drawn || !this.root.open) return;
    const { batch } = JSON.parse(this.drawn ?? "{}");
    this.drawn = place;
    if (batch !== this.model.place.batch || !this.values) this.follow();
    else this.draw();
  }

  sort(order) {
    this.order = order;
    for (const button of this.orders.children) button.ariaPressed = String(button.dataset.order === order);
    this.about.textContent =
      `${ABOUT[order]}. Each head has the model's own mask and temperature 1. Point at a head to read it in every map; ` +
      "tap it, or go there by the arrow keys and press Enter, to look through it.";
    for (const map of this.maps) map.sort();
    this.draw();
  }

  point(head, map) {
    if (JSON.stringify(head) === JSON.stringify(this.pointed)) return;
    this.pointed = head;
    this.pointing = map;
    this.draw();
  }

  choose(head) {
    if (head) tell(this.model, { tap: ["grid", head[1], head[0]] });
  }

  draw() {
    if (!this.root.open || !this.values || !this.maps.length) return;
    const styles = getComputedStyle(this.root);
    const colour = (name) => styles.getPropertyValue(`--attn-${name}`).trim();
    const look = Object.fromEntries(["card", "ink", "muted", "accent", "masked", "hatch"].map((name) => [name, colour(name)]));
    look.shades = shades(colour("ramp").split(",").map((one) => one.trim()));
    look.font = styles.fontFamily;
    for (const map of this.maps) {
      map.draw(look);
      map.tell();
    }
    this.say();
  }

  /** Says which head the numbers above the maps are of. */
  say() {
    const { pointed, pointing } = this;
    const [layer, head] = pointed ?? this.shown() ?? [];
    let text = "The mean over heads is on screen: point at one of its heads.";
    if (layer !== undefined) {
      text = `Layer ${this.layerName(layer)}, head ${this.headName(layer, head)}`;
      if (!pointed) text += ", which is on screen";
      else text += `: ${pointing.texts.title.toLowerCase()} ${pointing.words(pointing.values[layer][head])}`;
    }
    if (this.status.textContent !== text) this.status.textContent = text;
  }
}

export function render({ model }) {
  const card = new Card(model);
  model.on("after_render", () => requestAnimationFrame(() => card.connect()));
  return card.root;
}
