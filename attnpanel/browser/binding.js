import { DRAWINGS, overviewJob, select, shadedTokens } from "./drawings.js";
import {
  bounds,
  fitLayer,
  fromAddress,
  masksOf,
  numbersLine,
  sentence,
  sliderWords,
  titles,
  toAddress,
  unavailable,
} from "./words_of.js";
import { openTrace } from "./trace_data.js";

// The browser driver: widgets change the state, the state changes the data sources, all in the page.

const SLIDERS = ["layer", "head", "batch", "query_index", "pad_len", "window"];
const GROUPS = ["mask", "align", "empty_rows", "weight_scale"];
const STEPPED = ["query_index", "head", "layer"];
const FIRST = ["scores", "weights", "output", "row", "swatches"];
const OVERVIEW_WAIT_MS = 120;

/** Every Bokeh model of the page that carries a CSS class, looked up once. */
function modelsByClass(document) {
  const found = new Map();
  for (const model of document._all_models.values()) {
    for (const name of model.css_classes ?? []) {
      if (!found.has(name)) found.set(name, []);
      found.get(name).push(model);
    }
  }
  return found;
}

/** The plots of the explorer: their ranges, axes, boxes, mapper and sources by name. */
function findPlots(document) {
  const plots = {};
  for (const name of Object.keys(DRAWINGS)) {
    const figure = document.get_model_by_name(`attn:plot:${name}`);
    const sources = {};
    let mapper = null;
    for (const renderer of figure.renderers) {
      const source = renderer.data_source;
      if (source?.name) sources[source.name] = source;
      mapper = renderer.glyph?.color_mapper ?? mapper;
    }
    const box = (kind) => figure.center.find((one) => one.name === kind) ?? null;
    plots[name] = { figure, sources, mapper, outline: box("attn:outline"), ground: box("attn:masked"), span: "" };
  }
  return plots;
}

/** Writes a drawing into the plot that shows it; paints once, whatever changed. */
function applyDrawing(plot, drawing, look) {
  const { figure, mapper } = plot;
  for (const [name, columns] of Object.entries(drawing.sources)) writeSource(plot.sources[name], columns);
  const span = JSON.stringify([drawing.x, drawing.y]);
  if (span !== plot.span) {
    for (const [range, [start, end]] of [[figure.x_range, drawing.x], [figure.y_range, drawing.y]]) {
      range.bounds = [Math.min(start, end), Math.max(start, end)];
      range.setv({ start, end, reset_start: start, reset_end: end });
    }
    plot.span = span;
  }
  relabel(figure.below[0], drawing.xLabels, drawing.x, drawing.height === null ? 220 : 640);
  relabel(figure.left[0], drawing.yLabels, drawing.y, 0);
  if (mapper && drawing.colours) {
    const { low, high, palette } = drawing.colours;
    if (mapper.low !== low || mapper.high !== high) mapper.setv({ low, high });
    if (plot.palette !== palette) mapper.palette = palette;
    plot.palette = palette;
  }
  if (drawing.outline) moveOutline(plot, drawing.outline);
  if (plot.outline && plot.outline.line_color !== look.accent) plot.outline.line_color = look.accent;
  if (plot.ground) {
    const { masked, hatch } = look;
    if (plot.ground.hatch_color !== hatch) plot.ground.setv({ fill_color: masked, hatch_color: hatch });
    if (plot.ground.visible !== Boolean(drawing.masked)) plot.ground.visible = Boolean(drawing.masked);
  }
  if (drawing.height !== null && figure.height !== drawing.height) figure.height = drawing.height;
}

/** Puts columns into a source in place: nothing is sent anywhere, one repaint follows. */
function writeSource(source, columns) {
  const { rows, columns: wide, ...data } = columns;
  for (const [name, values] of Object.entries(data)) {
    if (name !== "image" && name !== "exact") {
      source.data[name] = values;
      continue;
    }
    const old = source.data[name]?.[0] ?? source.data.image[0];
    if (source.data[name] && old.length === values[0].length && old.shape[0] === rows) old.set(values[0]);
    else source.data[name] = [new old.constructor(values[0], [rows, wide])];
  }
  if (!("exact" in data)) delete source.data.exact;
  source.change.emit();
}

function relabel(axis, labels, [start, end], room) {
  if (!labels || axis.labelled === labels) return;
  const old = axis.formatter.args.labels;
  axis.labelled = labels;
  if (old.length === labels.length && old.every((label, i) => label === labels[i])) return;
  axis.formatter.args = { labels };
  const level = room > 0 && labels.length * (Math.max(...labels.map((label) => [...label].length)) * 7 + 8) <= room;
  if (room > 0) axis.major_label_orientation = level ? 0 : 1.1;
  const length = Math.abs(end - start);
  if ("ticks" in axis.ticker) axis.ticker.ticks = Array.from(labels, (_, i) => i);
  else axis.ticker.desired_num_ticks = length <= 24 ? 24 : 14;
}

function moveOutline(plot, [left, right, first, last]) {
  if (!plot.outline) return;
  const sides = { top: last, bottom: first };
  if (left !== null) Object.assign(sides, { left, right });
  plot.outline.setv(sides);
}

class BrowserExplorer {
  constructor(model, view) {
    this.model = model;
    this.trace = openTrace(model.meta, model.payloads);
    this.state = { pair: null, viewport: null, ...model.state };
    this.cache = {};
    this.changed = new Set(Object.keys(this.state));
    this.frame = null;
    this.started = 0;
    this.following = false;
    this.view = view;
  }

  connect() {
    const document = this.model.document;
    this.models = modelsByClass(document);
    this.plots = findPlots(document);
    this.widgets = {};
    for (const name of [...SLIDERS, ...GROUPS, "aggregate", "temperature", "color_seed"]) {
      const widget = this.models.get(`attn-control-${name}`)?.[0];
      if (!widget) continue;
      this.widgets[name] = widget;
      const property = GROUPS.includes(name) || name === "aggregate" ? "active" : "value";
      widget.properties[property].change.connect(() => this.take(name, widget));
    }
    for (const plot of Object.values(this.plots)) {
      for (const range of [plot.figure.x_range, plot.figure.y_range]) {
        range.change.connect(() => this.zoom());
      }
    }
    globalThis.document.addEventListener(`attn:message:${this.model.uid}`, (event) => this.act(event.detail));
    this.model.on("state", () => this.set(this.model.state));
    if (this.model.address_in === "hash") {
      this.openHash();
      window.addEventListener("hashchange", () => this.openHash());
    }
    this.set({});
  }

  // -- the state --------------------------------------------------------------------------

  /** Takes changes, keeps them inside the trace, and draws what follows from them. */
  set(changes) {
    const before = this.state;
    let after = { ...before, ...changes };
    if (after.layer !== before.layer) after = fitLayer(this.trace, after, before.layer);
    const differs = (name) => JSON.stringify(after[name]) !== JSON.stringify(before[name]);
    // The pointer's pair is forgotten when anything else moves.
    if (!("pair" in changes) && Object.keys(after).some((name) => name !== "viewport" && differs(name))) after.pair = null;
    this.state = after;
    for (const name of Object.keys(after).filter(differs)) this.changed.add(name);
    if (this.changed.size && this.frame === null) {
      this.frame = requestAnimationFrame(() => {
        this.frame = null;
        this.draw().catch((error) => this.fail(error));
      });
    }
  }

  take(name, widget) {
    if (this.following) return;
    let value = widget.value;
    if (name === "temperature") value = 10 ** (Math.round(widget.value / 0.05) * 0.05);
    else if (name === "aggregate") value = widget.active;
    else if (GROUPS.includes(name)) value = this.choices(name)[widget.active];
    if (value === null || value === undefined) return;
    this.set({ [name]: value });
  }

  choices(name) {
    return name === "mask" ? masksOf(this.trace) : this.model.choices[name];
  }

  zoom() {
    const { x_range: x, y_range: y } = this.plots.scores.figure;
    const call = this.trace.calls[this.state.layer];
    if (Math.max(call.T, call.S) <= 512) return;
    const whole = JSON.stringify([[x.start, x.end], [y.start, y.end]]) === this.plots.scores.span;
    this.set({ viewport: whole ? null : [x.start, x.end, y.start, y.end] });
  }

  // -- drawing ----------------------------------------------------------------------------

  async draw() {
    const run = ++this.started;
    const { trace, state } = this;
    const call = trace.calls[state.layer];
    if (!call.opened) await call.ready();
    if (run !== this.started) return;
    const changed = this.changed;
    this.changed = new Set();
    const look = trace.looks[state.dark ? "dark" : "light"];
    if (!(changed.size === 1 && changed.has("pair"))) {
      const selection = select(trace, state, this.cache);
      // The widgets first: showing or hiding one lays the page out and paints it at once, which a plot
      // in the middle of taking its new columns does not survive.
      this.follow();
      for (const name of FIRST) {
        const row = DRAWINGS[name];
        if (row.depends.some((one) => changed.has(one))) applyDrawing(this.plots[name], row.draw(trace, state, this.cache), look);
        else if (row.moves?.some((one) => changed.has(one))) moveOutline(this.plots[name], row.outline(trace, state));
      }
      this.say(selection);
    }
    if (changed.has("dark")) this.paintPage();
    this.write("attn-sentence-line", { pieces: sentence(trace, state, select(trace, state, this.cache)) });
    this.drawOverview(changed, look);
  }

  /** Moves the outline now; draws all heads, and reads their numbers, when the reader pauses. */
  drawOverview(changed, look) {
    const row = DRAWINGS.grid;
    if (row.moves.some((one) => changed.has(one))) moveOutline(this.plots.grid, row.outline(this.trace, this.state));
    this.stale ||= row.depends.some((one) => changed.has(one));
    clearTimeout(this.overview);
    this.overview = setTimeout(() => this.tiles(look).catch((error) => this.fail(error)), OVERVIEW_WAIT_MS);
  }

  async tiles(look) {
    const run = (this.tiling = (this.tiling ?? 0) + 1);
    const { trace, state, cache } = this;
    let since = performance.now();
    for (const step of this.stale ? overviewJob(trace, state, cache) : []) {
      if (step instanceof Promise) await step;
      if (performance.now() - since < 12) continue;
      await new Promise((resolve) => setTimeout(resolve, 0)); // the page answers between the tiles
      if (run !== this.tiling) return;
      since = performance.now();
    }
    if (this.stale) applyDrawing(this.plots.grid, DRAWINGS.grid.draw(trace, state, cache), look);
    this.stale = false;
    this.write("attn-words-numbers", { text: numbersLine(trace, state, select(trace, state, cache)) });
  }

  /** Gives the page around the plots the reader's look. */
  paintPage() {
    const { dark } = this.state;
    for (const root of this.models.get(`attn-${this.model.uid}`) ?? []) {
      const others = root.css_classes.filter((name) => name !== "attn-dark" && name !== "attn-light");
      root.css_classes = [...others, dark ? "attn-dark" : "attn-light"];
    }
    this.write("attn-interaction", { dark, asks_theme: false });
  }

  /** Moves the widgets after the state. */
  follow() {
    const { trace, state, widgets } = this;
    const idle = unavailable(trace, state, select(trace, state, this.cache));
    const limits = bounds(trace, state);
    const words = sliderWords(trace, state);
    this.following = true;
    for (const [name, widget] of Object.entries(widgets)) {
      const target = { disabled: name in idle };
      if (SLIDERS.includes(name)) {
        const [start, end] = limits[name];
        Object.assign(target, { start, end: Math.max(end, start + 1), value: state[name] });
      } else if (name === "temperature") target.value = Math.min(Math.max(Math.log10(state[name]), -1), 1);
      else if (name === "aggregate") target.active = state[name];
      else if (GROUPS.includes(name)) target.active = this.choices(name).indexOf(state[name]);
      else target.value = state[name];
      const differs = Object.keys(target).filter((key) => widget[key] !== target[key]);
      if (differs.length) widget.setv(Object.fromEntries(differs.map((key) => [key, target[key]])));
      if (words[name] && widget.format?.args && String(widget.format.args.words) !== String(words[name])) {
        widget.format.args = { words: words[name] };
      }
      for (const box of this.models.get(`attn-hides-${name}`) ?? []) box.visible = !(name in idle);
    }
    this.following = false;
    this.idle = idle;
  }

  say(selection) {
    const { trace, state } = this;
    const { provenance, ...named } = titles(trace, state);
    for (const [name, words] of Object.entries(named)) this.write(`attn-words-${name}`, words);
    this.write("attn-words-provenance", { text: provenance });
    const { names, content } = shadedTokens(trace, state, selection);
    this.write("attn-token-strip", names.keys === this.named ? { content } : { names, content });
    this.named = names.keys;
    if (this.model.address_in === "hash") {
      const address = new URLSearchParams(toAddress(trace, state, selection)).toString();
      if (window.location.hash !== `#${address}`) window.history.replaceState(null, "", `#${address}`);
    }
  }

  /** Sets the data of the components that carry a CSS class. */
  write(css, values) {
    for (const model of this.models.get(css) ?? []) model.data.setv(values);
  }

  fail(error) {
    this.write("attn-notice", { text: `This can't be shown: ${error.message}` });
    for (const model of this.models.get("attn-notice") ?? []) model.visible = true;
  }

  // -- what the reader does ---------------------------------------------------------------

  openHash() {
    const texts = Object.fromEntries(new URLSearchParams(window.location.hash.slice(1)));
    if (Object.keys(texts).length === 0) return;
    const { state, problems } = fromAddress(this.trace, this.state, texts);
    this.set(state);
    if (problems.length) this.fail(new Error(problems.join(" ")));
  }

  act(message) {
    const { state } = this;
    const limits = bounds(this.trace, state);
    const call = this.trace.calls[state.layer];
    const move = (name, value) => {
      if (value >= limits[name][0] && value <= limits[name][1]) this.set({ [name]: value, pair: null });
    };
    if (message.step && !(message.step[0] === "head" && state.aggregate)) {
      move(message.step[0], state[message.step[0]] + message.step[1]);
    } else if (message.jump && STEPPED.includes(message.jump[0])) {
      move(message.jump[0], limits[message.jump[0]][message.jump[1] === "first" ? 0 : 1]);
    } else if (message.next === "mask" && !("mask" in (this.idle ?? {}))) {
      const masks = this.choices("mask");
      this.set({ mask: masks[(masks.indexOf(state.mask) + 1) % masks.length] });
    } else if ("token" in message) move("query_index", message.token);
    else if ("key" in message) this.set({ pair: [state.query_index, message.key] });
    else if ("pair" in message) this.point(message.pair, call);
    else if (message.tap) this.tap(...message.tap, move, call);
    else if (message.theme === "toggle") this.set({ dark: !state.dark });
    else if ("prefers_dark" in message) {
      this.write("attn-interaction", { asks_theme: false });
      this.set({ dark: message.prefers_dark });
    }
  }

  point(pair, { T, S }) {
    const inside = pair && pair[0] >= 0 && pair[0] < T && pair[1] >= 0 && pair[1] < S;
    this.set({ pair: inside ? pair : null });
  }

  tap(view, x, y, move, call) {
    const [column, row] = [Math.round(x), Math.round(y)];
    if (view === "grid") {
      const chosen = this.trace.calls[row];
      if (chosen && column >= 0 && column < chosen.H) this.set({ aggregate: false, layer: row, head: column });
    } else if (["scores", "weights", "output"].includes(view)) move("query_index", row);
    else {
      const keys = this.plots.swatches.sources["attn:swatches"].data.key_index;
      const key = view === "row" ? column : (keys[row] ?? -1);
      const { queries, keys: names } = this.trace.tokensOf(call, this.state.batch);
      if (JSON.stringify(queries) === JSON.stringify(names)) move("query_index", key);
      else this.point([this.state.query_index, key], call);
    }
  }
}

export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;
  const start = () => {
    try {
      new BrowserExplorer(model).connect();
    } catch (error) {
      anchor.hidden = false;
      anchor.textContent = `This page can't show its data: ${error.message}`;
    }
  };
  model.on("after_render", () => requestAnimationFrame(start));
  return anchor;
}
