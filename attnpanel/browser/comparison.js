import {
  alignedTokens,
  comparedHeads,
  compareHeads,
  fitCompared,
  headChangesJob,
  oneAgainstAll,
  SHARED,
} from "./comparing.js";
import {
  barsDrawing,
  comparisonSentence,
  differenceDrawing,
  headsDrawing,
  mostChanged,
  onlySide,
  pairName,
  points,
  sideDrawing,
} from "./comparison_drawings.js";
import { readableOn } from "./drawings.js";
import { applyDrawings, modelsByClass } from "./plots.js";
import { openTrace } from "./trace_data.js";
import { fixed, masksOf, shorten } from "./words_of.js";

// The page of a comparison: its controls, and the state behind them. Served or in a file it computes and draws
// by itself; a server is told the state, hands over other traces, and is asked for nothing.

const PICTURES = ["first", "second", "difference", "bars", "heads"];
const MATRICES = ["first", "second", "difference"];
const SIDES = ["A", "B"];
const MASK_LABELS = {
  model: "the model's own",
  none: "none",
  padding: "padding",
  causal: "causal",
  key_padding: "key padding",
  window: "window",
};
// The choice that a mask has beyond itself.
const MASK_NEEDS = { padding: "pad_len", key_padding: "pad_len", window: "window" };
// What an address calls the choices whose names say too little there.
const ADDRESS_NAMES = { aggregate: "mean", pad_len: "pad" };
const addressName = (name) => ADDRESS_NAMES[name] ?? name;
const HEADS_WAIT_MS = 60;
const TELL_STATE_MS = 60;
const SLICE_MS = 12;
const EXPONENT = 0.05;

function piece(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

function findFigures(page) {
  return Object.fromEntries(
    PICTURES.map((name) => {
      const figure = page.get_model_by_name(`attn:plot:${name}`);
      const sources = Object.fromEntries(figure.renderers.map(({ data_source: one }) => [one.name, one]));
      const mapper = figure.renderers[0].glyph.color_mapper ?? null;
      const box = (kind) => figure.center.find((one) => one.name === kind) ?? null;
      return [name, { figure, sources, mapper, outline: box("attn:outline"), ground: box("attn:masked"), span: "" }];
    }),
  );
}

/** Whether the tokens that look are those that are looked at. */
function sameNames(queries, keys) {
  return queries === keys || JSON.stringify(queries.names) === JSON.stringify(keys.names);
}

/** One choice: a title, whether both sides share it, and an input for each side. */
class SharedChoice {
  constructor(name, label, { input, words, set, setApart }) {
    this.words = words;
    this.label = label;
    this.box = piece("div", "attn-choice");
    this.box.dataset.name = name;
    const head = piece("div", "attn-choice-head");
    this.link = piece("button", "attn-link-button");
    this.link.type = "button";
    this.link.addEventListener("click", () => setApart(name));
    head.append(piece("span", "attn-label", label), this.link);
    this.sides = SIDES.map((side, at) => {
      const row = piece("label", "attn-choice-side");
      const control = input();
      control.setAttribute("aria-label", `${label}, ${side}`);
      const said = piece("output");
      control.addEventListener("input", () => set(name, at, control));
      row.append(piece("b", `attn-side-${side.toLowerCase()}`, side), control, said);
      return { row, control, said };
    });
    this.box.append(head, ...this.sides.map(({ row }) => row));
  }

  show(apart, fill) {
    this.box.dataset.apart = apart;
    this.link.textContent = apart ? "same in both" : "A and B apart";
    this.link.setAttribute("aria-label", `${this.label}: ${this.link.textContent}`);
    this.link.title = apart ? "Have B follow A" : "Choose B by itself";
    for (const [at, { row, control, said }] of this.sides.entries()) {
      row.hidden = at === 1 && !apart;
      row.firstChild.hidden = !apart;
      fill(control, at);
      said.textContent = this.words(at);
    }
  }
}

class ComparisonPage {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.serial = null;
    this.frame = null;
    this.changes = null;
    this.drawn = "";
    this.theme = null;
  }

  connect() {
    const page = this.model.document;
    this.models = modelsByClass(page);
    this.plots = findFigures(page);
    this.build();
    this.heard = (event) => this.act(event.detail);
    this.pointed = (event) => this.point(event.detail);
    // Where the reader went: the address may have been written anew since.
    this.moved = ({ newURL }) => this.restore(new URL(newURL).hash.slice(1));
    this.tell = () => this.tellNow();
    document.addEventListener(`attn:message:${this.model.uid}`, this.heard);
    document.addEventListener("attn:tell", this.tell);
    document.addEventListener(`attn:${this.model.uid}`, this.pointed);
    if (!this.model.served) window.addEventListener("hashchange", this.moved);
    this.model.on("given", () => this.adopt());
    this.adopt();
  }

  leave() {
    this.left = true;
    document.removeEventListener(`attn:message:${this.model.uid}`, this.heard);
    document.removeEventListener("attn:tell", this.tell);
    document.removeEventListener(`attn:${this.model.uid}`, this.pointed);
    window.removeEventListener("hashchange", this.moved);
  }

  /** Takes what Python gave: two traces, and where to start. */
  adopt() {
    const { serial, sides, start, address } = this.model.given;
    if (serial === undefined || serial === this.serial) return;
    // Without an address these traces are none that a link could find again.
    const first = address !== null && !this.found;
    this.found ||= first;
    this.serial = serial;
    this.traces = sides.map(({ meta, calls }) => openTrace(meta, calls));
    this.caches = [{}, {}];
    this.changes = null;
    this.drawn = "";
    this.state = fitCompared(this.traces, { ...start, dark: this.state?.dark ?? false });
    if (first) this.restore(this.model.served ? window.location.search.slice(1) : window.location.hash.slice(1));
    this.set({});
  }

  set(changes) {
    this.version = (this.version ?? 0) + 1;
    this.state = fitCompared(this.traces, { ...this.state, ...changes });
    this.rest(false);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw().catch((error) => this.fail(error));
    });
  }

  // -- the controls -------------------------------------------------------------------------

  build() {
    const slider = (step = 1) => () => {
      const input = piece("input");
      Object.assign(input, { type: "range", step });
      return input;
    };
    const box = () => Object.assign(piece("input"), { type: "checkbox" });
    const set = (name, side, control) => this.choose(name, side, control);
    const setApart = (name) => this.setApart(name);
    const make = (name, label, input, words) => new SharedChoice(name, label, { input, words, set, setApart });
    const count = (side) => this.traces[side].calls.length;
    const heads = (side) => this.traces[side].calls[this.state.layer[side]].H;
    this.controls = {
      layer: make("layer", "Layer", slider(), (side) => `${this.state.layer[side]} of ${count(side)}`),
      head: make("head", "Head", slider(), (side) => `${this.state.head[side]} of ${heads(side)}`),
      aggregate: make("aggregate", "Mean of heads", box, (side) => (this.state.aggregate[side] ? `of ${heads(side)}` : "")),
      temperature: make("temperature", "Temperature", slider(EXPONENT), (side) => fixed(this.state.temperature[side], 2)),
      mask: make("mask", "Mask", () => piece("select", "bk-input"), () => ""),
      pad_len: make("pad_len", "Pad length", slider(), (side) => `${this.state.pad_len[side]}`),
      window: make("window", "Window", slider(), (side) => `${this.state.window[side]}`),
    };
    const row = piece("div", "attn-choice");
    this.token = slider()();
    this.token.setAttribute("aria-label", "Token");
    this.tokenName = piece("output");
    this.token.addEventListener("input", () => this.set({ row: Number(this.token.value), key: null }));
    const side = piece("label", "attn-choice-side");
    side.append(this.token);
    const head = piece("div", "attn-choice-head");
    head.append(piece("span", "attn-label", "Token"), this.tokenName);
    row.append(head, side);
    const boxes = Object.fromEntries(Object.entries(this.controls).map(([name, { box: one }]) => [name, one]));
    const { layer, head: headBox, aggregate, ...rules } = boxes;
    this.root.replaceChildren(layer, headBox, aggregate, row, ...Object.values(rules));
  }

  choose(name, side, control) {
    let value = Number(control.value);
    if (name === "temperature") value = 10 ** (Math.round(value / EXPONENT) * EXPONENT);
    if (name === "mask") value = control.value;
    if (name === "aggregate") value = control.checked;
    const both = [...this.state[name]];
    both[side] = value;
    this.set({ [name]: both, key: null });
  }

  setApart(name) {
    const { apart } = this.state;
    this.set({ apart: apart.includes(name) ? apart.filter((one) => one !== name) : [...apart, name] });
  }

  showControls({ queries }) {
    const { state, traces } = this;
    const limits = {
      layer: (side) => [0, traces[side].calls.length - 1, state.layer[side]],
      head: (side) => [0, traces[side].calls[state.layer[side]].H - 1, state.head[side]],
      temperature: (side) => [-1, 1, Math.log10(state.temperature[side])],
      pad_len: (side) => [0, traces[side].calls[state.layer[side]].S, state.pad_len[side]],
      window: (side) => [1, traces[side].calls[state.layer[side]].S, state.window[side]],
    };
    for (const [name, range] of Object.entries(limits)) {
      this.controls[name].show(state.apart.includes(name), (control, side) => {
        const [min, max, value] = range(side);
        Object.assign(control, { min, max, disabled: min === max || (name === "head" && state.aggregate[side]) });
        control.value = value;
      });
    }
    this.controls.aggregate.show(state.apart.includes("aggregate"), (control, side) => {
      Object.assign(control, { checked: state.aggregate[side], disabled: traces[side].calls[state.layer[side]].H === 1 });
    });
    for (const name of ["pad_len", "window"]) {
      this.controls[name].box.hidden = !state.mask.some((mask) => MASK_NEEDS[mask] === name);
    }
    this.controls.mask.show(state.apart.includes("mask"), (control, side) => this.showMasks(control, side));
    Object.assign(this.token, { min: 0, max: queries.pairs.length - 1 });
    this.token.value = state.row;
    this.tokenName.textContent = `${state.row} · ${shorten(pairName(...this.tokenPair(queries)), 18)}`;
  }

  showMasks(control, side) {
    const masks = masksOf(this.traces[side]).filter((mask) => mask in MASK_LABELS);
    if (control.children.length !== masks.length) {
      control.replaceChildren(
        ...masks.map((mask) => Object.assign(piece("option", "", MASK_LABELS[mask]), { value: mask })),
      );
    }
    control.value = this.state.mask[side];
    control.disabled = !this.traces[side].calls[this.state.layer[side]].live;
  }

  /** A side's mask with its number: “window of 3”, “padding after 5”. */
  maskName(side) {
    const { mask, pad_len: padLength, window: width } = this.state;
    const label = MASK_LABELS[mask[side]];
    const needs = MASK_NEEDS[mask[side]];
    if (!needs) return label;
    return needs === "window" ? `${label} of ${width[side]}` : `${label} after ${padLength[side]}`;
  }

  tokenPair(queries) {
    return queries.names.map((names) => names[this.state.row]);
  }

  // -- drawing ------------------------------------------------------------------------------

  async draw() {
    const { traces, state, version } = this;
    const shown = traces.map((trace, side) => trace.calls[state.layer[side]]);
    await Promise.all(shown.filter((call) => !call.opened).map((call) => call.ready()));
    if (version !== this.version || this.left) return; // a newer state is on its way
    const [{ palettes: both, looks }] = traces;
    const name = state.dark ? "dark" : "light";
    const [palettes, look] = [both[name], looks[name]];
    const compared = compareHeads(traces, state, this.caches);
    this.paintPage();
    this.showControls(compared);
    this.say(compared, palettes);
    const key = JSON.stringify([this.serial, SHARED.map((name) => state[name]), state.dark]);
    const fresh = key !== this.drawn;
    this.drawn = key;
    const drawings = fresh
      ? [
          [this.plots.first, sideDrawing(compared, state, 0, palettes)],
          [this.plots.second, sideDrawing(compared, state, 1, palettes)],
          [this.plots.difference, differenceDrawing(compared, state, palettes)],
        ]
      : [];
    const outline = [null, null, state.row - 0.5, state.row + 0.5];
    const moves = fresh ? [] : MATRICES.map((one) => [this.plots[one], outline]);
    if (this.changes === null) drawings.push([this.plots.heads, this.unranked(palettes)]);
    await applyDrawings([...drawings, [this.plots.bars, barsDrawing(compared, state, palettes, look)]], moves, look);
    this.headsLater(palettes, look);
    this.tellLater();
    this.writeAddress();
  }

  /** Ranks the heads once the reader pauses; a newer choice takes its place. */
  headsLater(palettes, look) {
    clearTimeout(this.ranking);
    this.ranking = setTimeout(() => this.rank(palettes, look).catch((error) => this.fail(error)), HEADS_WAIT_MS);
  }

  /** The heads of new traces before anything is known of them: what was ranked was of others. */
  unranked(palettes) {
    const { traces, state } = this;
    this.write("attn-head-list", { heads: [], every: state.every, none: "Ranking the heads …" });
    return headsDrawing(comparedHeads(traces, state).map((one) => ({ ...one, moved: NaN })), state, palettes);
  }

  async rank(palettes, look) {
    const { traces, state, version } = this;
    const apart = oneAgainstAll(state);
    const place = apart ? [state.layer[0], state.head[0], state.aggregate[0]] : [];
    const rules = [state.temperature, state.mask, state.pad_len, state.window];
    const rule = [this.serial, ...rules, apart, place, state.every ? "all" : state.row];
    const key = JSON.stringify(rule);
    if (this.changes?.key !== key) {
      const job = headChangesJob(traces, state);
      let since = performance.now();
      let step = job.next();
      while (!step.done) {
        if (step.value instanceof Promise) await step.value;
        if (performance.now() - since > SLICE_MS) {
          await new Promise((resolve) => setTimeout(resolve, 0)); // the page answers between the heads
          if (version !== this.version || this.left) return;
          since = performance.now();
        }
        step = job.next();
      }
      this.changes = { key, heads: step.value };
    }
    await applyDrawings([[this.plots.heads, headsDrawing(this.changes.heads, state, palettes)]], [], look);
    this.listHeads();
    this.rest(true);
  }

  listHeads() {
    const { state } = this;
    const here = ({ layer, head }) => !state.aggregate[1] && layer === state.layer[1] && head === state.head[1];
    const heads = mostChanged([...this.changes.heads]).map((one) => ({
      layer: one.layer,
      head: one.head,
      text: `layer ${one.layer}, head ${one.head}`,
      share: `${fixed(100 * one.moved, 1)} %`,
      here: here(one),
    }));
    const only = onlySide(alignedTokens(this.traces, state), state);
    const none = only && !state.every ? "This token has no counterpart: choose another, or all tokens." : "No head differs here.";
    this.write("attn-head-list", { heads, every: state.every, none });
  }

  say(compared, palettes) {
    const { state, traces } = this;
    const { queries, keys, difference } = compared;
    const reach = difference.reduce((most, one) => (Math.abs(one) > most ? Math.abs(one) : most), 0);
    const which = (side) => (state.aggregate[side] ? "mean of its heads" : `head ${state.head[side]}`);
    const where = (side) => `layer ${state.layer[side]}, ${which(side)}`;
    const rule = (side) => {
      const said = [where(side)];
      if (state.temperature[side] !== 1) said.push(`τ ${fixed(state.temperature[side], 2)}`);
      if (state.mask[side] !== masksOf(traces[side])[0]) said.push(`mask ${this.maskName(side)}`);
      return said.join(" · ");
    };
    this.write("attn-words-first", { text: "A", aside: rule(0) });
    const { changed } = this.model.given;
    this.write("attn-words-second", { text: "B", aside: changed ? `${rule(1)} · ${changed}` : rule(1) });
    this.write("attn-words-difference", { text: "B − A", aside: reach ? `from ${points(-reach)} to ${points(reach)} points` : "no difference" });
    const only = onlySide(compared, state);
    const read = only ? `in ${only} only: it has no counterpart` : "A left, B right, the change in points";
    const token = pairName(...this.tokenPair(queries));
    const place = where(0) === where(1) ? where(0) : `${where(0)} and ${where(1)}`;
    this.write("attn-words-row", { text: `Where “${token}” looks`, aside: `${place} · ${read}` });
    const ranked = state.every ? "mean over all tokens" : `what moves of “${token}”`;
    this.write("attn-words-heads", { text: "Heads by difference", aside: `${ranked} · tap one` });
    this.write("attn-sentence-line", { pieces: comparisonSentence(compared, state) });
    this.write("attn-token-pairs", { rows: this.shaded(compared, palettes), same: sameNames(queries, keys) });
    this.keyCount = keys.pairs.length;
  }

  /** Both sides' tokens, shaded by the weight they get from the token looked at. */
  shaded({ queries, keys, weights }, palettes) {
    const palette = palettes.sequential["0.5"];
    return weights.map((side, at) => {
      const row = side.subarray(this.state.row * keys.pairs.length, (this.state.row + 1) * keys.pairs.length);
      const shades = Array.from(row, (weight) => palette[Math.round(Math.min(weight || 0, 1) * (palette.length - 1))]);
      const selected = queries.pairs[this.state.row][at];
      const chips = keys.names[at].map((name, place) => ({ name, place }));
      return {
        side: SIDES[at],
        names: chips.map(({ name }) => name),
        shades,
        inks: shades.map(readableOn),
        weights: Array.from(row, (weight) => (Number.isNaN(weight) ? "" : fixed(weight, 4))),
        selected,
        places: keys.pairs.map((pair) => pair[at]),
      };
    });
  }

  paintPage() {
    const { dark } = this.state;
    for (const root of this.models.get(`attn-${this.model.uid}`) ?? []) {
      if (root.css_classes.includes(dark ? "attn-dark" : "attn-light")) continue;
      const others = root.css_classes.filter((name) => name !== "attn-dark" && name !== "attn-light");
      root.css_classes = [...others, dark ? "attn-dark" : "attn-light"];
    }
    this.write("attn-interaction", { dark });
  }

  write(css, values) {
    for (const model of this.models.get(css) ?? []) model.data.setv(values, { sync: false });
  }

  rest(at_rest) {
    this.model.data.setv({ at_rest }, { sync: false });
  }

  fail(error) {
    this.write("attn-notice", { text: `This can't be shown: ${error.message}` });
    for (const model of this.models.get("attn-notice") ?? []) model.setv({ visible: true }, { sync: false });
    this.rest(true);
  }

  // -- the address --------------------------------------------------------------------------

  choices() {
    const { state } = this;
    const said = (values) => (values[0] === values[1] ? String(values[0]) : values.join("~"));
    const texts = {
      layer: said(state.layer),
      head: said(state.head),
      row: String(state.row),
      temperature: said(state.temperature.map((one) => Number(one.toPrecision(6)))),
      mask: said(state.mask),
      mean: state.aggregate.includes(true) ? said(state.aggregate.map(Number)) : "",
      pad: state.mask.some((mask) => MASK_NEEDS[mask] === "pad_len") ? said(state.pad_len) : "",
      window: state.mask.includes("window") ? said(state.window) : "",
      apart: state.apart.join("~"),
      by: state.every ? "all" : "token",
    };
    return Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ""));
  }

  writeAddress() {
    if (this.model.given.address === null) return;
    const theme = this.theme === null ? {} : { theme: this.theme };
    const given = new URLSearchParams({ ...this.model.given.address, ...this.choices(), ...theme }).toString();
    const address = this.model.served ? `?${given}` : `#${given}`;
    const now = this.model.served ? window.location.search : window.location.hash;
    if (now !== address) window.history.replaceState(null, "", address);
  }

  /** Brings back what an address holds; what does not apply here is left out. */
  restore(address) {
    const texts = Object.fromEntries(new URLSearchParams(address));
    const changes = {};
    const two = (text) => (text.includes("~") ? text.split("~").slice(0, 2) : [text, text]);
    for (const name of ["layer", "head", "aggregate", "pad_len", "window"]) {
      const numbers = two(texts[addressName(name)] ?? "").map((text) => (/^\d{1,4}$/.test(text) ? Number(text) : NaN));
      if (numbers.every(Number.isInteger)) changes[name] = name === "aggregate" ? numbers.map(Boolean) : numbers;
    }
    const heats = two(texts.temperature ?? "").map(Number);
    if (texts.temperature && heats.every((one) => one >= 0.01 && one <= 100)) changes.temperature = heats;
    if (texts.mask) changes.mask = two(texts.mask);
    if ("apart" in texts) changes.apart = texts.apart.split("~").filter((name) => SHARED.includes(name));
    if (/^\d{1,4}$/.test(texts.row ?? "")) Object.assign(changes, { row: Number(texts.row), key: null });
    if (texts.by) changes.every = texts.by === "all";
    if (texts.theme === "dark" || texts.theme === "light") this.paint(texts.theme);
    if (Object.keys(changes).length === 0) return;
    // Named apart or not: two values that differ can't be shared.
    const apart = new Set(changes.apart ?? this.state.apart);
    for (const name of SHARED) if (changes[name] && changes[name][0] !== changes[name][1]) apart.add(name);
    this.set({ ...changes, apart: [...apart] });
  }

  tellLater() {
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.tellNow(), TELL_STATE_MS);
  }

  tellNow() {
    clearTimeout(this.telling);
    if (this.left || !this.model.served || !this.traces) return;
    // The pointer's key is of the moment.
    this.model.state = { ...this.state, key: null, serial: this.serial };
  }

  // -- what the reader does -----------------------------------------------------------------

  act(message) {
    if (this.left || !this.traces) return;
    const { state } = this;
    if (message.step) this.step(...message.step);
    else if (message.jump?.[0] === "query_index") {
      this.set({ row: message.jump[1] === "first" ? 0 : this.keyCount, key: null });
    } else if ("row" in message) this.set({ row: message.row, key: null });
    else if ("column" in message) this.set({ key: message.column });
    else if (message.place) this.go(...message.place);
    else if ("every" in message) this.set({ every: message.every });
    else if (message.tap) this.tap(...message.tap);
    else if (message.theme === "toggle") this.paint(state.dark ? "light" : "dark");
    else if ("prefers_dark" in message) {
      this.write("attn-interaction", { asks_theme: false });
      if (this.theme === null) this.set({ dark: message.prefers_dark });
    }
  }

  paint(theme) {
    this.theme = theme;
    this.write("attn-interaction", { asks_theme: false });
    this.set({ dark: theme === "dark" });
  }

  step(name, by) {
    const { state } = this;
    if (name === "query_index") this.set({ row: Math.max(0, state.row + by), key: null });
    else {
      const moved = state[name].map((one) => Math.max(0, one + by));
      const side = this.traces[0].calls;
      const most = name === "layer" ? side.length - 1 : side[state.layer[0]].H - 1;
      if (moved[0] <= most) this.set({ [name]: moved, key: null });
    }
  }

  /** Goes to a head of the map: of both sides, or of B where its head is its own. */
  go(layer, head) {
    const { state } = this;
    if (oneAgainstAll(state)) {
      const both = [...new Set([...state.apart, "layer", "head", "aggregate"])];
      const [mean] = state.aggregate;
      this.set({ layer: [state.layer[0], layer], head: [state.head[0], head], aggregate: [mean, false], apart: both, key: null });
    } else this.set({ layer: [layer, layer], head: [head, head], aggregate: [false, false], key: null });
  }

  tap(view, x, y) {
    const [column, row] = [Math.round(x), Math.round(y)];
    if (view === "heads") {
      if (this.changes?.heads.some((one) => one.layer === row && one.head === column)) this.go(row, column);
    } else if (MATRICES.includes(view)) this.set({ row: this.inside(row, "queries"), key: null });
    else if (view === "bars") this.set({ row: this.inside(column, "queries"), key: null });
  }

  inside(place, which) {
    const { pairs } = alignedTokens(this.traces, this.state)[which];
    return Math.min(Math.max(place, 0), pairs.length - 1);
  }

  /** The pointer over a matrix: the sentence speaks of that key of the row looked at. */
  point({ view, kind, x }) {
    if (kind === "tap" || !this.traces || !(MATRICES.includes(view) || view === "bars")) return;
    const key = kind === "leave" ? null : this.inside(Math.round(x), "keys");
    if (key === this.state.key) return;
    this.state = { ...this.state, key };
    this.pointing ??= requestAnimationFrame(() => {
      this.pointing = null;
      if (this.left || !this.traces[0].calls[this.state.layer[0]].opened) return;
      const compared = compareHeads(this.traces, this.state, this.caches);
      this.write("attn-sentence-line", { pieces: comparisonSentence(compared, this.state) });
    });
  }
}

export function render({ model }) {
  const root = piece("div", "attn-choices");
  let page = null;
  const start = () => {
    try {
      page = new ComparisonPage(model, root);
      page.connect();
    } catch (error) {
      page?.fail(error);
    }
  };
  model.on("after_render", () => requestAnimationFrame(start));
  model.on("remove", () => page?.leave());
  return root;
}
