import { keepOnPage, modelsOf, showComponents, writeComponents } from "../core/scope.js";
import { painted } from "../core/slices.js";
import { openTrace } from "../core/trace_data.js";
import { t } from "../core/translate.js";
import { handleMessage, openAlone, openHash, openParts } from "./actions.js";
import { Background } from "./background.js";
import { markLegends, updateNotePlace, writeAddress, writeCaptions } from "./captions.js";
import { drawViews, ringsOf } from "./draw_views.js";
import { Lesson } from "./lesson.js";
import { onPicture } from "./on_picture.js";
import { drawOverview, numbersLater } from "./pauses.js";
import { busy, prepare } from "./prepare.js";
import { receiveLayer, receiveProjections, sendNow, sendState, sendStateLater } from "./python.js";
import { PythonQuestions } from "./questions.js";
import { knownRollout } from "./rollout.js";
import { fitLayer } from "./rules.js";
import { select } from "./selection.js";
import { sentence, shownPair } from "./sentence.js";
import { findWidgets, updateWidgets } from "./widgets.js";
import { moveRings } from "../views/boxes.js";
import { findPlots, modelsByClass } from "../views/plots.js";

// The browser driver: widgets change the state, and the state changes the data sources, all in the page. Layers are
// embedded in the page or requested from Python, which computes for layers that are too large. If Python listens, it
// receives the state.

// After this pause a change is drawn at once, since waiting for the next frame would delay it by up to a frame;
// a slider in motion is drawn once a frame.
const CALM_MS = 50;

/**
 * @typedef {Dispatching<{meta: TraceMeta, state: any, payloads: string[], listens: boolean, drawn_alone: boolean, at_rest: boolean,
 *   address: ?Record<string, string>, choices: Record<string, any[]>, docs: Record<string, [string, string]>,
 *   layer_response: {trace: string, layer: number, arrays: string | ArrayBuffer}, answer: any,
 *   projections: {trace: string, widths?: Record<string, Record<string, ArrayLike<number>>>}}>} ExplorerParameters
 */

/** @typedef {ReturnType<typeof setTimeout> | undefined} Timer */

export class BrowserExplorer {
  /** @type {Trace} null until Python has set one */
  trace = /** @type {any} */ (null);
  /** @type {State} */
  state = /** @type {any} */ ({});
  /** @type {SelectionCache} */
  cache = {};
  /** @type {Map<string, BokehModel[]>} by CSS class */
  models = new Map();
  /** @type {Record<string, Plot>} */
  plots = {};
  /** @type {Record<string, BokehModel>} by the choice that they set */
  widgets = {};
  /** @type {string[]} names of mask parameters */
  needed = [];
  /** @type {string[]} names of the choices that have a slider */
  sliders = [];
  /** @type {Set<string>} names of the choices that changed since the last draw */
  changed = new Set();
  /** whether the reader changed something that Python has not been sent */
  unsent = false;
  due = false;
  /** number of the latest draw; an older one is abandoned */
  started = 0;
  /** @type {number | undefined} time at which the last draw began */
  drawn;
  /** whether widgets are being updated from the state, so that their events are ignored */
  updating = false;
  left = false;
  problem = "";
  /** @type {[string, number] | undefined} the slider that moved last, and its direction */
  lastStep;
  /** @type {number | undefined} number of the last state that Python set */
  push;
  /** @type {?number} the layer requested last */
  requested = null;
  /** @type {Record<string, string> | undefined} the controls without effect, each with the reason */
  idle;
  /** @type {string | undefined} the state as query parameters */
  address;
  /** @type {string | undefined} the theme that the reader chose */
  theme;
  /** @type {string[] | undefined} the tokens in the token strip */
  named;
  /** whether the plot of all heads is outdated */
  stale = false;
  unread = false;
  tiling = 0;
  /** @type {{selection: object | string, text: string, measured: Record<string, Measured>} | undefined} */
  numbers;
  /** @type {Record<string, string>} what the colour bars say, by view */
  legends = {};
  /** @type {Record<string, Drawing["colours"]>} the scales of the colour bars, by view */
  scales = {};
  /** @type {Record<string, ?number>} what is marked on them, by view */
  marks = {};
  /** @type {string | undefined} what the choice of lines shows */
  lineChoices;
  /** @type {Record<string, string>} what pictures say to those who do not see them, by view */
  spoken = {};
  /** @type {?[number, number]} query and key of the pair that the sentence is about */
  shownPair = null;
  /** whether the card that explains the pair's weight is open */
  why = false;
  /** @type {import("./on_picture.js").Direction} which weights the picture shows */
  direction = "looks";
  /** whether the picture is shown a frame before the plots, which take longer: after a tap on it */
  pictureFirst = false;
  /** @type {?{key: string, row: Float64Array}} what of each token has reached the chosen one, and of which choices */
  rollout = null;
  lesson = new Lesson(this);
  /** @type {?Record<string, string>} the text that the reader typed as parameters of the address, if its attention is shown */
  typed = null;
  /** how many prompts of links were asked for */
  wanted = 0;
  /** @type {?import("./typed_trace.js").Original} what the file was made with, once a typed text was shown */
  original = null;
  /** @type {Record<string, unknown[]>} what the views that come with the numbers show, by name */
  shown = {};
  /** @type {Set<string>} views that show an earlier state until the reader pauses */
  waiting = new Set();
  /** @type {Timer} */
  waits;
  /** @type {Timer} */
  overview;
  /** @type {Timer} */
  reading;
  /** @type {Timer} */
  retry;
  /** @type {?Timer} */
  sending = null;
  /** @param {any} event */
  onMessage = (event) => handleMessage(this, event.detail);
  /** @param {HashChangeEvent} event its newURL, because the page may have replaced the URL since */
  onHashChange = ({ newURL }) => openHash(this, new URL(newURL).hash);
  flush = () => sendState(this);

  /** @param {ComponentModel<ExplorerParameters>} model */
  constructor(model) {
    this.model = model;
    this.background = new Background(model.esm);
    this.python = new PythonQuestions((message) => model.send_msg(message));
  }

  connect() {
    const models = modelsOf(this.model);
    this.models = modelsByClass(models);
    this.plots = findPlots(models, this.model.meta.views.map(({ name }) => name));
    findWidgets(this);
    for (const plot of Object.values(this.plots)) {
      for (const range of [plot.figure.x_range, plot.figure.y_range]) {
        range.change.connect(() => this.zoom());
      }
    }
    globalThis.document.addEventListener(`attn:message:${this.model.explorer_id}`, this.onMessage);
    globalThis.document.addEventListener("attn:send-state", this.flush);
    this.model.on(["meta", "state"], () => this.adopt());
    this.model.on("layer_response", () => receiveLayer(this));
    this.model.on("answer", () => this.python.settle(this.model.answer));
    this.model.on("projections", () => receiveProjections(this));
    this.model.on("address", () => writeAddress(this));
    this.adopt();
    if (this.model.drawn_alone) openAlone(this);
    else openParts(this, new URLSearchParams(window.location.search));
    if (this.model.listens) {
      // Python sends the state again if it was set while the page opened.
      this.model.send_msg({ connected: { trace: this.model.meta.trace, push: this.push } });
    } else {
      openHash(this, window.location.hash);
      window.addEventListener("hashchange", this.onHashChange);
    }
  }

  /** Removes all listeners; another explorer replaces this one. */
  leave() {
    this.left = true;
    globalThis.document.removeEventListener(`attn:message:${this.model.explorer_id}`, this.onMessage);
    globalThis.document.removeEventListener("attn:send-state", this.flush);
    window.removeEventListener("hashchange", this.onHashChange);
    this.background.stop();
  }

  /** Adopts the state that Python set, and the trace if it is a new one. */
  adopt() {
    const { meta } = this.model;
    const { push, ...state } = this.model.state;
    if (meta.trace !== state.trace) return; // the other of the two properties has not arrived yet
    // Python merges what the reader has just changed with what it set meanwhile.
    if (this.model.listens && this.unsent) sendNow(this);
    this.push = push;
    if (this.trace === null || this.trace.meta.trace !== meta.trace) {
      this.open(meta, meta.embedded ? this.model.payloads : [], state);
    }
    this.set({ pair: null, ...state });
    this.unsent = false;
  }

  /**
   * Opens a trace in place of the one before.
   *
   * @param {TraceMeta} meta
   * @param {(string | ArrayBuffer)[]} payloads each layer's arrays; empty if they are requested
   * @param {any} state
   */
  open(meta, payloads, state) {
    this.trace = openTrace(meta, payloads);
    this.cache = {};
    this.requested = null;
    this.state = { pair: null, viewport: null, line_token: null, ...state };
    this.changed = new Set(Object.keys(this.state));
    receiveProjections(this);
  }

  /**
   * Applies changes, clamps them to the trace, and schedules a draw.
   *
   * @param {Partial<State>} changes
   */
  set(changes) {
    const before = this.state;
    /** @type {State} */
    let after = { ...before, ...changes };
    if (after.layer !== before.layer) after = fitLayer(this.trace, after, before.layer);
    /** @param {string} name */
    const differs = (name) => JSON.stringify(after[name]) !== JSON.stringify(before[name]);
    // The pair under the pointer would be of other tokens.
    if (!("pair" in changes) && ["trace", "layer", "batch", "query_index"].some(differs)) after.pair = null;
    if (!("line_token" in changes) && ["trace", "layer", "batch"].some(differs)) after.line_token = null;
    this.state = after;
    for (const name of ["head", "layer", "temperature"].filter(differs)) {
      this.lastStep = [name, Math.sign(after[name] - before[name])];
    }
    for (const name of Object.keys(after).filter(differs)) {
      this.changed.add(name);
      this.unsent = true;
    }
    // Views list the mask among their dependencies, not its parameters.
    if (this.needed.some((name) => this.changed.has(name))) this.changed.add("mask");
    if (this.changed.size) this.drawSoon();
  }

  /** Draws in a microtask after a pause, otherwise in the next frame. */
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

  zoom() {
    if (this.left) return;
    const { x_range: x, y_range: y } = this.plots.scores.figure;
    const call = this.trace.calls[this.state.layer];
    if (Math.max(call.T, call.S) <= 512) return;
    const whole = JSON.stringify([[x.start, x.end], [y.start, y.end]]) === this.plots.scores.span;
    this.set({ viewport: whole ? null : [x.start, x.end, y.start, y.end] });
  }

  async draw() {
    const run = ++this.started;
    const { trace, state } = this;
    const made = await prepare(this, run);
    // A draw that is due will draw the newer state; `changed` keeps accumulating for it.
    const isOld = () => run !== this.started || this.due || this.left;
    if (made === null || isOld()) return;
    const selection = select(trace, state, this.cache);
    this.showPicture(selection, this.changed);
    if (this.pictureFirst) await painted();
    if (isOld()) return;
    this.pictureFirst = false;
    const changed = this.changed;
    this.changed = new Set();
    const theme = trace.themes[state.dark ? "dark" : "light"];
    // Changes of layout come first: showing a widget or a sentence paints every plot at once, as a new height
    // does (see applyDrawings).
    this.notice(this.problem);
    this.problem = "";
    if (changed.has("dark")) this.paintPage();
    this.shownPair = shownPair(trace, state, selection);
    if (changed.size === 1 && changed.has("pair")) moveRings(ringsOf(this), theme);
    else {
      updateWidgets(this, selection);
      await drawViews(this, made, changed, theme);
      writeCaptions(this, selection);
      if (changed.has("temperature")) this.write("attn-step-tabs", { moved: state.temperature });
    }
    this.write("attn-sentence-line", { pieces: sentence(trace, state, selection) });
    markLegends(this, selection);
    this.lesson.follow(state, selection);
    updateNotePlace(this, selection);
    drawOverview(this, changed, theme);
    sendStateLater(this);
    numbersLater(this);
  }

  /**
   * Shows attention on the picture whose patches the tokens are, if the trace has one.
   *
   * @param {AnySelection} selection
   * @param {Set<string>} changed
   */
  showPicture(selection, changed) {
    // A pair chooses a key of another sequence, which a column is of.
    if (changed.size === 1 && changed.has("pair") && this.direction !== "seen") return;
    const content = onPicture(this.trace, this.state, selection, this.direction, knownRollout(this));
    if (content !== null) this.write("attn-on-picture", { content });
    showComponents(this.models.get("attn-on-picture"), content !== null);
  }

  /**
   * Publishes whether the page shows its state completely.
   *
   * @param {boolean} at_rest
   */
  rest(at_rest) {
    writeComponents([this.model], { at_rest });
  }

  /** Sets the theme of the page around the plots. */
  paintPage() {
    const { dark } = this.state;
    for (const root of this.models.get(`attn-${this.model.explorer_id}`) ?? []) {
      const others = (root.css_classes ?? []).filter((name) => name !== "attn-dark" && name !== "attn-light");
      const css_classes = [...others, dark ? "attn-dark" : "attn-light"];
      keepOnPage([root]);
      if (String(css_classes) !== String(root.css_classes)) root.setv({ css_classes });
    }
    this.write("attn-interaction", { dark });
  }

  /**
   * Sets the data of the components that carry a CSS class.
   *
   * @param {string} css
   * @param {Record<string, unknown>} values
   */
  write(css, values) {
    writeComponents(this.models.get(css), values);
  }

  /** @param {any} error */
  fail(error) {
    busy(this, "");
    this.rest(true);
    this.notice(t("This can't be shown: {reason}", { reason: error.message }));
  }

  /**
   * Shows a sentence above the explorer; an empty one hides it.
   *
   * @param {string} text
   */
  notice(text) {
    if (text) this.write("attn-notice", { text });
    showComponents(this.models.get("attn-notice"), text !== "");
  }
}

/**
 * Shows at the top of the page why it could not start.
 *
 * @param {ComponentModel<ExplorerParameters>} model
 * @param {any} error
 */
function refuse(model, error) {
  const notices = modelsByClass(modelsOf(model)).get("attn-notice") ?? [];
  writeComponents(notices, { text: t("This page can't show its data: {reason}", { reason: error.message }) });
  showComponents(notices, true);
}

/** @param {Props<ExplorerParameters>} props */
export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;
  /** @type {?BrowserExplorer} */
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
