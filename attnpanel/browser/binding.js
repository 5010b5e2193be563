import { Background } from "./background.js";
import { DRAWINGS, keepSelection, overviewJob, overviewWork, select, selectionWork, shadedTokens, tilesOf } from "./drawings.js";
import { applyDrawings, findPlots, modelsByClass, setIfOther } from "./plots.js";
import { openTrace } from "./trace_data.js";
import {
  SWITCHES,
  bounds,
  fitLayer,
  fromAddress,
  masksOf,
  numbersLine,
  sentence,
  shownPair,
  sliderWords,
  titles,
  toAddress,
  unavailable,
} from "./words_of.js";

// The browser driver: widgets change the state, the state changes the data sources, all in the page. In a
// report it has every layer and does everything. Served, it asks Python for layers and paints as they are
// needed and tells it the state; Python draws the overview of all heads and writes the address.

const SLIDERS = ["layer", "head", "batch", "query_index", "pad_len", "window"];
const GROUPS = ["mask", "align", "empty_rows", "weight_scale"];
const STEPPED = ["query_index", "head", "layer"];
// A change that comes so long after the last picture is drawn at once: waiting for the frame would cost up to
// a frame, and a slider that moves all the time is drawn once a frame.
const CALM_MS = 50;
const FIRST = ["scores", "weights", "output", "row", "swatches"];
const OVERVIEW_WAIT_MS = 120;
const TELL_WAIT_MS = 60;
const ASK_AGAIN_MS = 3000;
// Multiply-adds that the page's own thread may take at once: about 50 ms.
const MOST_WORK = 5e7;
// What takes less is not worth computing before it is asked for, and what is larger not worth its memory.
const AHEAD_WORK = 4e6;
const AHEAD_CELLS = 2 ** 22;
// The temperature's slider counts decades, in steps.
const DECADE_STEP = 0.05;
// Multiply-adds that a cell's entropy and distance take.
const NUMBERS_WORK = 40;
// A wait shorter than this is not worth a word.
const BUSY_WAIT_MS = 150;

/** The temperature so many steps of its slider above 1. */
function heat(steps) {
  return 10 ** (steps * DECADE_STEP);
}

class BrowserExplorer {
  constructor(model) {
    this.model = model;
    this.served = model.served;
    this.trace = null;
    this.state = {};
    this.changed = new Set();
    this.due = false;
    this.started = 0;
    this.following = false;
    this.problem = "";
    this.background = new Background(model.esm);
  }

  connect() {
    const page = this.model.document;
    this.models = modelsByClass(page);
    this.plots = findPlots(page);
    this.widgets = {};
    for (const name of [...SLIDERS, ...GROUPS, ...SWITCHES, "temperature", "color_seed"]) {
      const widget = this.models.get(`attn-control-${name}`)?.[0];
      if (!widget) continue;
      this.widgets[name] = widget;
      const property = [...GROUPS, ...SWITCHES].includes(name) ? "active" : "value";
      widget.properties[property].change.connect(() => this.take(name, widget));
    }
    for (const plot of Object.values(this.plots)) {
      for (const range of [plot.figure.x_range, plot.figure.y_range]) {
        range.change.connect(() => this.zoom());
      }
    }
    this.heard = (event) => this.act(event.detail);
    // Where the reader went: the address may have been written anew since.
    this.moved = ({ newURL }) => this.openHash(new URL(newURL).hash);
    this.tell = () => this.tellNow();
    globalThis.document.addEventListener(`attn:message:${this.model.uid}`, this.heard);
    globalThis.document.addEventListener("attn:tell", this.tell);
    this.model.on(["meta", "state"], () => this.adopt());
    this.model.on("supply", () => this.supply());
    this.model.on("projections", () => this.paints());
    this.adopt();
    if (this.served) return;
    this.openHash(window.location.hash);
    window.addEventListener("hashchange", this.moved);
  }

  /** Lets go of the page: another explorer takes its place. */
  leave() {
    this.left = true;
    globalThis.document.removeEventListener(`attn:message:${this.model.uid}`, this.heard);
    globalThis.document.removeEventListener("attn:tell", this.tell);
    window.removeEventListener("hashchange", this.moved);
    this.background.stop();
  }

  // -- the state --------------------------------------------------------------------------

  /** Takes what Python set: a state, and a trace where that is another one. */
  adopt() {
    const { meta } = this.model;
    const { push, ...state } = this.model.state;
    if (meta.trace !== state.trace) return; // one of the two is still on its way
    this.push = push;
    if (this.trace?.meta.trace !== meta.trace || this.trace === null) {
      this.trace = openTrace(meta, this.model.payloads);
      this.cache = {};
      this.asked = null;
      this.state = { pair: null, viewport: null, ...state };
      this.changed = new Set(Object.keys(this.state));
      this.paints();
    }
    this.set({ pair: null, ...state });
  }

  /** Takes changes, keeps them inside the trace, and draws what follows from them. */
  set(changes) {
    const before = this.state;
    let after = { ...before, ...changes };
    if (after.layer !== before.layer) after = fitLayer(this.trace, after, before.layer);
    const differs = (name) => JSON.stringify(after[name]) !== JSON.stringify(before[name]);
    // The pointer's pair is one of other tokens then.
    if (!("pair" in changes) && ["trace", "layer", "batch", "query_index"].some(differs)) after.pair = null;
    this.state = after;
    for (const name of ["head", "layer", "temperature"].filter(differs)) {
      this.going = [name, Math.sign(after[name] - before[name])];
    }
    for (const name of Object.keys(after).filter(differs)) this.changed.add(name);
    if (this.changed.size) this.drawSoon();
  }

  /** Draws at the end of what the page does now; where that was done a moment ago, once in the next frame. */
  drawSoon() {
    this.rest(false);
    if (this.due) return;
    this.due = true;
    const draw = () => {
      this.due = false;
      this.drawn = performance.now();
      this.draw().catch((error) => this.fail(error));
    };
    if (performance.now() - (this.drawn ?? -Infinity) > CALM_MS) queueMicrotask(draw);
    else requestAnimationFrame(draw);
  }

  take(name, widget) {
    if (this.following || this.left) return;
    let value = widget.value;
    if (name === "temperature") value = heat(Math.round(widget.value / DECADE_STEP));
    else if (SWITCHES.has(name)) value = widget.active;
    else if (GROUPS.includes(name)) value = this.choices(name)[widget.active];
    if (value === null || value === undefined) return;
    this.set({ [name]: value });
  }

  choices(name) {
    return name === "mask" ? masksOf(this.trace) : this.model.choices[name];
  }

  zoom() {
    if (this.left) return;
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
    const made = await this.prepare(run);
    // What is due meanwhile draws a newer state, of which `changed` tells.
    if (made === null || run !== this.started || this.due || this.left) return;
    const changed = this.changed;
    this.changed = new Set();
    const look = trace.looks[state.dark ? "dark" : "light"];
    // What lays the page out comes before what is drawn: showing a widget or a sentence paints every plot at
    // once, as a new height does (see applyDrawings).
    this.notice(this.problem);
    this.problem = "";
    if (changed.has("dark") && !this.served) this.paintPage();
    if (!(changed.size === 1 && changed.has("pair"))) {
      const selection = select(trace, state, this.cache);
      this.follow();
      const due = FIRST.filter((name) => DRAWINGS[name].depends.some((one) => changed.has(one)));
      const drawing = (name) =>
        made[name]
          ? { ...made[name], outline: DRAWINGS[name].outline(trace, state) } // the token may be another one by now
          : DRAWINGS[name].draw(trace, state, this.cache);
      const moved = [...FIRST, ...(this.served ? [] : ["grid"])].filter(
        (name) => !due.includes(name) && DRAWINGS[name].moves?.some((one) => changed.has(one)),
      );
      await applyDrawings(
        due.map((name) => [this.plots[name], drawing(name)]),
        moved.map((name) => [this.plots[name], DRAWINGS[name].outline(trace, state)]),
        look,
      );
      this.say(selection);
    }
    this.write("attn-sentence-line", { pieces: sentence(trace, state, select(trace, state, this.cache)) });
    this.notePlace();
    if (!this.served) this.drawOverview(changed, look);
    else this.tellLater();
    this.numbersLater();
  }

  /**
   * Has the selection computed: here where that is quick, else by the Worker.
   *
   * @returns {Promise<?object>} drawings made on the way, by view; null where a newer state took over
   */
  async prepare(run) {
    const { trace, state, cache } = this;
    const call = trace.calls[state.layer];
    if (!call.opened) {
      if (this.served) this.askLayer(state.layer);
      this.busy(`Loading layer ${state.layer} …`);
      await call.ready();
      if (run !== this.started) return null;
    }
    const ahead = this.background.foreseen(trace, state);
    const quick = this.background.broken || selectionWork(trace, state, cache) < MOST_WORK;
    if (quick && !ahead?.done) {
      this.background.drop("selection");
      this.busy("");
      return {};
    }
    const which = state.aggregate ? `the mean of ${call.H} heads` : `head ${state.head}`;
    this.busy(`Computing layer ${state.layer}, ${which} …`);
    const answer = await (ahead?.answer ?? this.background.ask("selection", trace, [state.layer], state));
    if (answer === null || run !== this.started) return null;
    this.busy("");
    if (answer === undefined) return {}; // there is no Worker after all
    keepSelection(trace, state, cache, answer.value);
    return answer.drawings;
  }

  /** Says what takes so long, once it does. */
  busy(text) {
    clearTimeout(this.waits);
    if (text === "") this.write("attn-busy", { text });
    else this.waits = setTimeout(() => this.write("attn-busy", { text }), BUSY_WAIT_MS);
  }

  /** Draws all heads when the reader pauses. */
  drawOverview(changed, look) {
    this.stale ||= DRAWINGS.grid.depends.some((one) => changed.has(one));
    if (!this.stale) return;
    clearTimeout(this.overview);
    this.overview = setTimeout(() => this.tiles(look).catch((error) => this.fail(error)), OVERVIEW_WAIT_MS);
  }

  async tiles(look) {
    const run = (this.tiling = (this.tiling ?? 0) + 1);
    const { trace, state, cache } = this;
    const layers = trace.calls.map((_, layer) => layer);
    let answer;
    if (!this.background.broken && overviewWork(trace, state, cache) >= MOST_WORK) {
      answer = await this.background.ask("tiles", trace, layers, state);
      if (answer === null || run !== this.tiling) return;
      for (const [key, tile] of answer?.tiles ?? []) tilesOf(trace, state, cache).set(key, tile);
    }
    let since = performance.now();
    for (const step of answer ? [] : overviewJob(trace, state, cache)) {
      if (step instanceof Promise) await step;
      if (performance.now() - since < 12) continue;
      await new Promise((resolve) => setTimeout(resolve, 0)); // the page answers between the tiles
      if (run !== this.tiling) return;
      since = performance.now();
    }
    if (this.left) return;
    // The outline is where the reader is by now.
    await applyDrawings([[this.plots.grid, DRAWINGS.grid.draw(trace, { ...state, ...this.shownHead() }, cache)]], [], look);
    this.stale = false;
  }

  shownHead() {
    const { layer, head, aggregate } = this.state;
    return { layer, head, aggregate };
  }

  /** Entropy and distance read the whole matrix: when the reader pauses. */
  numbersLater() {
    clearTimeout(this.reading);
    this.reading = setTimeout(() => this.readNumbers().catch((error) => this.fail(error)), OVERVIEW_WAIT_MS);
  }

  async readNumbers() {
    const { trace, state, cache } = this;
    if (this.changed.size || this.left) return;
    const selection = select(trace, state, cache);
    if (this.numbers?.selection !== selection) {
      let answer;
      if (!this.background.broken && selection.weights.length * NUMBERS_WORK >= MOST_WORK) {
        answer = await this.background.ask("numbers", trace, [state.layer], state);
        if (answer === null) return;
      }
      this.numbers = { selection, text: answer?.text ?? numbersLine(trace, state, selection) };
    }
    this.write("attn-words-numbers", { text: this.numbers.text });
    // Some 2 ms, and browsers let a page do it 200 times in half a minute.
    if (!this.served) this.writeAddress();
    this.rest(true);
    this.lookAhead();
  }

  /** Has the Worker compute what one more step the same way would show. */
  lookAhead() {
    const { trace, cache } = this;
    const next = this.oneStepOn();
    if (next === null || this.background.broken) return;
    const { opened, T, S } = trace.calls[next.layer];
    if (!opened || T * S > AHEAD_CELLS) return;
    if (selectionWork(trace, next, cache) < AHEAD_WORK || this.background.foreseen(trace, next)) return;
    // What goes wrong there goes wrong again where it is asked for.
    this.background.ask("ahead", trace, [next.layer], next).catch(() => {});
  }

  /** The state after one more step of the slider that moved last, back where it is at its end; null if none did. */
  oneStepOn() {
    const { trace, state } = this;
    const [name, by] = this.going ?? [];
    if (name === undefined || (name === "head" && state.aggregate)) return null;
    const heated = name === "temperature";
    const at = heated ? Math.round(Math.log10(state.temperature) / DECADE_STEP) : state[name];
    const [low, high] = heated ? [-1 / DECADE_STEP, 1 / DECADE_STEP] : bounds(trace, state)[name];
    if (low === high) return null;
    const to = at + by < low || at + by > high ? at - by : at + by;
    const next = { ...state, pair: null, [name]: heated ? heat(to) : to };
    return name === "layer" ? fitLayer(trace, next, state.layer) : next;
  }

  /** Whether all that follows from the state is on screen, but for the overview. */
  rest(at_rest) {
    this.model.data.setv({ at_rest }, { sync: false });
  }

  /** Gives the page around the plots the reader's look. */
  paintPage() {
    const { dark } = this.state;
    for (const root of this.models.get(`attn-${this.model.uid}`) ?? []) {
      const others = root.css_classes.filter((name) => name !== "attn-dark" && name !== "attn-light");
      root.css_classes = [...others, dark ? "attn-dark" : "attn-light"];
    }
    this.write("attn-interaction", { dark });
  }

  /** Moves the widgets after the state. */
  follow() {
    const { trace, state, widgets } = this;
    const idle = unavailable(trace, state, select(trace, state, this.cache));
    const limits = bounds(trace, state);
    const words = sliderWords(trace, state);
    this.following = true;
    try {
      this.moveWidgets(widgets, { idle, limits, words });
    } finally {
      this.following = false;
    }
    if (JSON.stringify(idle) !== JSON.stringify(this.idle)) this.write("attn-interaction", { tips: this.tips(idle) });
    this.idle = idle;
  }

  moveWidgets(widgets, { idle, limits, words }) {
    const { state } = this;
    for (const [name, widget] of Object.entries(widgets)) {
      const target = { disabled: name in idle };
      if (SLIDERS.includes(name)) {
        const [start, end] = limits[name];
        Object.assign(target, { start, end: Math.max(end, start + 1), value: state[name] });
      } else if (name === "temperature") target.value = Math.min(Math.max(Math.log10(state[name]), -1), 1);
      else if (SWITCHES.has(name)) target.active = state[name];
      else if (GROUPS.includes(name)) target.active = this.choices(name).indexOf(state[name]);
      else Object.assign(target, { value: state[name], high: limits[name][1] });
      setIfOther(widget, target);
      if (words[name] && widget.format?.args && String(widget.format.args.words) !== String(words[name])) {
        widget.format.setv({ args: { words: words[name] } }, { sync: false });
      }
      for (const box of this.models.get(`attn-hides-${name}`) ?? []) setIfOther(box, { visible: !(name in idle) });
    }
  }

  /** Each control's label and tooltip: why it is dimmed, or what it does. */
  tips(idle) {
    const docs = Object.entries(this.model.docs);
    return Object.fromEntries(docs.map(([name, [label, doc]]) => [name, [label, idle[name] ?? doc]]));
  }

  say(selection) {
    const { trace, state } = this;
    const { provenance, ...named } = titles(trace, state);
    for (const [name, words] of Object.entries(named)) this.write(`attn-words-${name}`, words);
    this.write("attn-words-provenance", { text: provenance });
    const { names, content } = shadedTokens(trace, state, selection);
    this.write("attn-token-strip", names.keys === this.named ? { content } : { names, content });
    this.named = names.keys;
    this.address = new URLSearchParams(toAddress(trace, state, selection)).toString();
  }

  /** Brings the file's address up to date; the served page's is written by Python. */
  writeAddress() {
    const hash = `#${this.address}${this.theme ? `&theme=${this.theme}` : ""}`;
    if (window.location.hash !== hash) window.history.replaceState(null, "", hash);
  }

  /** Tells the notes what they would mark now. */
  notePlace() {
    const { trace, state } = this;
    const call = trace.calls[state.layer];
    const [query_index, key_index] = shownPair(trace, state, select(trace, state, this.cache));
    const { queries, keys } = trace.tokensOf(call, state.batch);
    const place = {
      layer: state.layer,
      head: state.aggregate ? null : state.head,
      batch: state.batch,
      query_index,
      key_index,
      layers: trace.calls.length,
      heads: call.H,
      query: queries[query_index],
      key: keys[key_index],
      address: this.address,
    };
    this.write("attn-annotations", { place });
    this.write("attn-head-maps", { place: { layer: place.layer, head: place.head, batch: place.batch } });
  }

  /** Sets the data of the components that carry a CSS class. */
  write(css, values) {
    for (const model of this.models.get(css) ?? []) model.data.setv(values, { sync: false });
  }

  fail(error) {
    this.busy("");
    this.rest(true);
    this.notice(`This can't be shown: ${error.message}`);
  }

  /** Shows a sentence above the explorer; an empty one hides it. */
  notice(text) {
    if (this.served && text) this.model.send_msg({ failed: text });
    if (this.served) return;
    if (text) this.write("attn-notice", { text });
    for (const model of this.models.get("attn-notice") ?? []) setIfOther(model, { visible: text !== "" });
  }

  // -- Python, where the page is served ----------------------------------------------------

  /** Asks for a layer's arrays, again if others were asked for since. */
  askLayer(layer) {
    if (this.asked === layer) return;
    this.asked = layer;
    clearTimeout(this.again);
    this.again = setTimeout(() => {
      this.asked = null; // of two answers at once the page may have heard the last only
      if (!this.left && !this.trace.calls[this.state.layer].opened) this.drawSoon();
    }, ASK_AGAIN_MS);
    this.model.send_msg({ need: { trace: this.trace.meta.trace, layer } });
  }

  supply() {
    const { trace, layer, arrays } = this.model.supply;
    if (trace === this.trace?.meta.trace) this.trace.calls[layer].supply(arrays);
    if (this.asked === layer) this.asked = null;
  }

  /** Takes the projections of another paint seed. */
  paints() {
    const { trace, widths } = this.model.projections;
    if (!widths || trace !== this.trace?.meta.trace) return;
    for (const [width, seeds] of Object.entries(widths)) Object.assign(this.trace.meta.projections[width], seeds);
    this.changed.add("color_seed");
    this.drawSoon();
  }

  /** Tells Python the state, at most every 60 ms, the last one always. */
  tellLater() {
    this.telling ??= setTimeout(() => this.tellNow(), TELL_WAIT_MS);
  }

  tellNow() {
    clearTimeout(this.telling);
    this.telling = null;
    if (this.left || !this.served || this.address === undefined) return;
    this.model.send_msg({ state: { ...this.state, push: this.push }, address: this.address });
  }

  // -- what the reader does ---------------------------------------------------------------

  openHash(hash) {
    const theme = new URLSearchParams(hash.slice(1)).get("theme");
    if (theme === "dark" || theme === "light") this.choose(theme);
    this.restore(hash.slice(1));
  }

  /** Takes the look that the reader chose, whatever the system prefers. */
  choose(theme) {
    this.theme = theme;
    this.write("attn-interaction", { asks_theme: false });
    this.set({ dark: theme === "dark" });
  }

  /** Brings back what an address holds. */
  restore(address) {
    const texts = Object.fromEntries(new URLSearchParams(address));
    if (Object.keys(texts).length === 0) return;
    const { state, problems } = fromAddress(this.trace, this.state, texts);
    this.set(state);
    this.problem = problems.join(" ");
    this.drawSoon();
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
    } else if ("next" in message && !(message.next in (this.idle ?? {}))) this.next(message.next);
    else if ("token" in message) move("query_index", message.token);
    else if ("key" in message) this.set({ pair: [state.query_index, message.key] });
    else if ("pair" in message) this.point(message.pair, call);
    else if (message.tap) this.tap(...message.tap, move, call);
    else if ("restore" in message) this.restore(String(message.restore));
    // The served page's look is Python's: the button stands in Python's header.
    else if (this.served) this.model.send_msg(message);
    else if (message.theme === "toggle") this.choose(state.dark ? "light" : "dark");
    else if ("prefers_dark" in message) {
      this.write("attn-interaction", { asks_theme: false });
      if (!this.theme) this.set({ dark: message.prefers_dark });
    }
  }

  /** The next of the masks, or the other position of a switch. */
  next(name) {
    const masks = this.choices("mask");
    if (name === "mask") this.set({ mask: masks[(masks.indexOf(this.state.mask) + 1) % masks.length] });
    else if (SWITCHES.has(name)) this.set({ [name]: !this.state[name] });
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

/** Says at the top of the page why nothing on it is live. */
function refuse(model, error) {
  for (const notice of modelsByClass(model.document).get("attn-notice") ?? []) {
    notice.data.setv({ text: `This page can't show its data: ${error.message}` }, { sync: false });
    notice.setv({ visible: true }, { sync: false });
  }
}

export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;
  let explorer = null;
  const start = () => {
    try {
      explorer = new BrowserExplorer(model);
      explorer.connect();
    } catch (error) {
      explorer?.leave();
      refuse(model, error);
    }
  };
  model.on("after_render", () => requestAnimationFrame(start));
  model.on("remove", () => explorer?.leave());
  return anchor;
}
