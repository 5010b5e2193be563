import { element } from "../components/dom.js";
import { MATRICES, handleMessage, point } from "./actions.js";
import { restore, writeAddress } from "./address.js";
import { captionsOf, writeLegends } from "./captions.js";
import { build, showControls } from "./controls.js";
import {
  barsDrawing,
  comparisonSentence,
  differenceDrawing,
  headsDrawing,
  mostChanged,
  onlySide,
  ringsOf,
  sideDrawing,
} from "./drawings.js";
import {
  SIDES,
  alignedTokens,
  compareHeads,
  comparedHeads,
  fitCompared,
  headChangesJob,
  oneAgainstAll,
  sharedChoices,
} from "./model.js";
import { chosenOnPicture, comparedPictures } from "./pictures.js";
import { fixed } from "../core/format.js";
import { keepOnPage, modelsOf, showComponents, writeComponents } from "../core/scope.js";
import { inSlices } from "../core/slices.js";
import { openTrace } from "../core/trace_data.js";
import { showContrast } from "./score_contrast.js";
import { openTexts } from "./typed_texts.js";
import { t } from "../core/translate.js";
import { readableOn } from "../views/colours.js";
import { applyDrawings, findPlots, modelsByClass, namePlots, shareGutter } from "../views/plots.js";

// The driver of a comparison: controls, state and drawing. The page computes everything, served or in a file; a
// server receives the state and can set other traces.

const PLOTS = ["first", "second", "difference", "bars", "heads"];

const HEADS_WAIT_MS = 60;
const SEND_WAIT_MS = 60;

/**
 * Whether queries and keys are the same tokens.
 *
 * @param {AlignedRows} queries
 * @param {AlignedRows} keys
 */
function sameNames(queries, keys) {
  return queries === keys || JSON.stringify(queries.names) === JSON.stringify(keys.names);
}

/**
 * @typedef {Dispatching<{given: {serial?: number | string, start: any, address: ?Record<string, string>, changed: string, dark: boolean,
 *   sides: {meta: TraceMeta, calls: (string | ArrayBuffer)[]}[]}, served: boolean, at_rest: boolean}>} ComparisonParameters
 */

export class ComparisonPage {
  /** @type {Map<string, BokehModel[]>} by CSS class */
  models = new Map();
  /** @type {Record<string, Plot>} */
  plots = {};
  /** @type {MaskParameter[]} parameters of all masks */
  needed = [];
  /** @type {Trace[]} of both sides; undefined until Python has set them */
  traces = /** @type {any} */ (undefined);
  /** @type {SelectionCache[]} */
  caches = [{}, {}];
  /** @type {Compared} */
  state = /** @type {any} */ (undefined);
  /** @type {?number | string | undefined} which traces these are */
  serial = null;
  /** @type {?ComparisonParameters["given"]} the file's own traces, once typed texts were shown */
  own = null;
  /** whether a link's texts are on their way, and the URL stays as it is */
  waiting = false;
  /** whether the URL was applied */
  found = false;
  left = false;
  version = 0;
  /** @type {?number} */
  frame = null;
  /** @type {?number} */
  pointing = null;
  /** @type {?{key: string, heads: HeadChange[]}} */
  changes = null;
  /** key of the choices that the matrices show */
  drawn = "";
  /** @type {?string} the theme that the reader chose */
  theme = null;
  /** @type {import("./pictures.js").Direction} which weights the pictures show */
  direction = "looks";
  /** whether the difference of the scores is taken apart */
  contrasted = false;
  /** @type {?{choices: string, contrast: import("./score_contrast.js").ScoreContrast}} */
  contrast = null;
  keyCount = 0;
  /** @type {Record<string, {text: string, colours: Drawing["colours"]}>} what the colour bars say, by plot */
  legends = {};
  /** @type {Record<string, import("./controls.js").SharedChoice>} by the choice's name */
  controls = {};
  token = element("input");
  tokenName = element("output");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  ranking;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  contrasting;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  sending;
  /** @param {any} event */
  onMessage = (event) => handleMessage(this, event.detail);
  /** @param {any} event */
  onPlotEvent = (event) => point(this, event.detail);
  /** @param {HashChangeEvent} event where the reader went: the address may have been written anew since */
  onHashChange = ({ newURL }) => this.follow(new URL(newURL).hash.slice(1));
  /** What the reader does on each side's picture. */
  onPictures = SIDES.map((_, side) => (/** @type {any} */ { detail }) => this.chooseOnPicture(side, detail));
  flush = () => this.sendState();

  /** @param {ComponentModel<ComparisonParameters>} model @param {HTMLElement} root */
  constructor(model, root) {
    this.model = model;
    this.root = root;
  }

  connect() {
    const models = modelsOf(this.model);
    this.models = modelsByClass(models);
    this.plots = findPlots(models, PLOTS);
    // The same for every trace.
    this.needed = this.model.given.sides[0].meta.masks.parameters;
    build(this);
    document.addEventListener(`attn:message:${this.model.explorer_id}`, this.onMessage);
    for (const [side, listen] of this.onPictures.entries()) document.addEventListener(`attn:message:${this.model.explorer_id}-${SIDES[side]}`, listen);
    document.addEventListener("attn:send-state", this.flush);
    document.addEventListener(`attn:${this.model.explorer_id}`, this.onPlotEvent);
    if (!this.model.served) window.addEventListener("hashchange", this.onHashChange);
    this.model.on("given", () => this.adopt());
    this.adopt();
  }

  leave() {
    this.left = true;
    document.removeEventListener(`attn:message:${this.model.explorer_id}`, this.onMessage);
    for (const [side, listen] of this.onPictures.entries()) document.removeEventListener(`attn:message:${this.model.explorer_id}-${SIDES[side]}`, listen);
    document.removeEventListener("attn:send-state", this.flush);
    document.removeEventListener(`attn:${this.model.explorer_id}`, this.onPlotEvent);
    window.removeEventListener("hashchange", this.onHashChange);
  }

  /** Adopts the traces and the initial state that Python set. */
  adopt() {
    const { serial, sides, start, address, dark } = this.model.given;
    if (serial === undefined || serial === this.serial) return;
    // Without an address a link cannot refer to these traces.
    const first = address !== null && !this.found;
    this.found ||= first;
    this.serial = serial;
    this.traces = sides.map(({ meta, calls }) => openTrace(meta, calls));
    this.caches = [{}, {}];
    this.changes = null;
    this.drawn = "";
    this.state = fitCompared(this.traces, { ...start, dark: this.state?.dark ?? dark });
    if (first) this.follow(this.model.served ? window.location.search.slice(1) : window.location.hash.slice(1));
    this.set({});
  }

  /** @param {string} address the choices of a link */
  follow(address) {
    if (!openTexts(this, address)) restore(this, address);
  }

  /** @param {Partial<Compared>} changes */
  set(changes) {
    this.version += 1;
    this.state = fitCompared(this.traces, { ...this.state, ...changes });
    this.rest(false);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw().catch((error) => this.fail(error));
    });
  }

  async draw() {
    const { traces, state, version } = this;
    const shown = traces.map((trace, side) => trace.calls[state.layer[side]]);
    await Promise.all(shown.filter((call) => !call.opened).map((call) => call.ready()));
    if (version !== this.version || this.left) return; // a newer state is on its way
    const [{ palettes: both, themes }] = traces;
    const name = state.dark ? "dark" : "light";
    const [palettes, theme] = [both[name], themes[name]];
    const compared = compareHeads(traces, state, this.caches);
    this.paintPage();
    showControls(this, compared);
    this.writeCaptions(compared, palettes);
    const key = JSON.stringify([this.serial, sharedChoices(traces).map((name) => state[name]), state.dark]);
    const fresh = key !== this.drawn;
    this.drawn = key;
    /** @type {[Plot, Drawing][]} */
    const drawings = fresh
      ? [
          [this.plots.first, sideDrawing(compared, state, 0, palettes)],
          [this.plots.second, sideDrawing(compared, state, 1, palettes)],
          [this.plots.difference, differenceDrawing(compared, state, palettes)],
        ]
      : [];
    if (fresh) shareGutter(drawings);
    /** @type {[Plot, (number | null)[]][]} */
    const moves = fresh ? [] : MATRICES.map((plot) => [this.plots[plot], [null, null, state.row - 0.5, state.row + 0.5]]);
    if (this.changes === null) drawings.push([this.plots.heads, this.unranked(palettes)]);
    writeLegends(this, drawings, compared);
    drawings.push([this.plots.bars, barsDrawing(compared, state, palettes, theme)]);
    await applyDrawings(drawings, moves, theme, () => ringsOf(this.plots, compared, state));
    this.showPictures();
    this.headsLater(palettes, theme);
    this.sendStateLater();
    writeAddress(this);
  }

  /** Shows attention on the picture of each side that has one. */
  showPictures() {
    const { traces, state, caches, direction } = this;
    for (const [side, content] of comparedPictures(traces, state, caches, direction).entries()) {
      const css = `attn-picture-${SIDES[side]}`;
      if (content !== null) this.write(css, { content });
      showComponents(this.models.get(css), content !== null);
    }
  }

  /** @param {number} side @param {any} message of that side's picture */
  chooseOnPicture(side, message) {
    if (this.left || !this.traces) return;
    this.direction = message.picture ?? this.direction;
    this.set(chosenOnPicture(this.traces, this.state, side, message));
  }

  /**
   * Schedules the ranking of heads for when the reader pauses.
   *
   * @param {Palettes} palettes
   * @param {Theme} theme
   */
  headsLater(palettes, theme) {
    clearTimeout(this.ranking);
    this.ranking = setTimeout(() => this.rank(palettes, theme).catch((error) => this.fail(error)), HEADS_WAIT_MS);
  }

  /**
   * Draws the heads of new traces, which are not ranked yet.
   *
   * @param {Palettes} palettes
   */
  unranked(palettes) {
    const { traces, state } = this;
    this.write("attn-head-list", { heads: [], every: state.every, none: t("Ranking the heads …") });
    return headsDrawing(comparedHeads(traces, state).map((change) => ({ ...change, moved: NaN })), state, palettes);
  }

  /** @param {Palettes} palettes @param {Theme} theme */
  async rank(palettes, theme) {
    const { traces, state, version } = this;
    const apart = oneAgainstAll(state);
    const place = apart ? [state.layer[0], state.head[0], state.aggregate[0]] : [];
    const rules = [state.temperature, state.mask, ...this.needed.map(({ name }) => state[name])];
    const rule = [this.serial, ...rules, apart, place, state.every ? "all" : state.row];
    const key = JSON.stringify(rule);
    if (this.changes?.key !== key) {
      const done = await inSlices(headChangesJob(traces, state), () => version !== this.version || this.left);
      if (done === null) return;
      this.changes = { key, heads: done.result };
    }
    /** @type {[Plot, Drawing][]} */
    const ranked = [[this.plots.heads, headsDrawing(this.changes.heads, state, palettes)]];
    writeLegends(this, ranked);
    await applyDrawings(ranked, [], theme);
    this.listHeads();
    await showContrast(this);
    if (version === this.version) this.rest(true);
  }

  /** Schedules the pair under the pointer for the card that takes scores apart. */
  contrastLater() {
    clearTimeout(this.contrasting);
    if (this.contrasted) this.contrasting = setTimeout(() => showContrast(this).catch((error) => this.fail(error)), HEADS_WAIT_MS);
  }

  listHeads() {
    const { state } = this;
    /** @param {HeadChange} change */
    const isCurrent = ({ layer, head }) => !state.aggregate[1] && layer === state.layer[1] && head === state.head[1];
    const heads = mostChanged([...(this.changes?.heads ?? [])]).map((change) => ({
      layer: change.layer,
      head: change.head,
      text: `${t("layer {number}", { number: change.layer })}, ${t("head {head}", { head: change.head })}`,
      share: `${fixed(100 * change.moved, 1)} %`,
      current: isCurrent(change),
    }));
    const only = onlySide(alignedTokens(this.traces, state), state);
    const none = only && !state.every ? t("This token has no counterpart: choose another, or all tokens.") : t("No head differs here.");
    this.write("attn-head-list", { heads, every: state.every, none });
  }

  /** @param {ComparedHeads} compared @param {Palettes} palettes */
  writeCaptions(compared, palettes) {
    const { state } = this;
    const { queries, keys } = compared;
    const captions = captionsOf(this, compared);
    for (const [name, caption] of Object.entries(captions)) this.write(`attn-caption-${name}`, caption);
    const names = Object.entries(captions).map(([name, { text, subtitle }]) => [name === "row" ? "bars" : name, `${text}, ${subtitle}.`]);
    namePlots(this.plots, Object.fromEntries(names));
    this.write("attn-sentence-line", { pieces: comparisonSentence(compared, state) });
    this.write("attn-token-pairs", { rows: this.shaded(compared, palettes), same: sameNames(queries, keys) });
    this.keyCount = keys.pairs.length;
  }

  /**
   * Both sides' tokens, shaded by their weight in the selected row.
   *
   * @param {ComparedHeads} compared
   * @param {Palettes} palettes
   */
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
    for (const root of this.models.get(`attn-${this.model.explorer_id}`) ?? []) {
      if (root.css_classes?.includes(dark ? "attn-dark" : "attn-light")) continue;
      const others = (root.css_classes ?? []).filter((name) => name !== "attn-dark" && name !== "attn-light");
      keepOnPage([root]);
      root.css_classes = [...others, dark ? "attn-dark" : "attn-light"];
    }
    this.write("attn-interaction", { dark });
  }

  /** @param {string} css @param {Record<string, unknown>} values */
  write(css, values) {
    writeComponents(this.models.get(css), values);
  }

  /** @param {boolean} at_rest */
  rest(at_rest) {
    writeComponents([this.model], { at_rest });
  }

  /** @param {any} error */
  fail(error) {
    this.write("attn-notice", { text: t("This can't be shown: {reason}", { reason: error.message }) });
    showComponents(this.models.get("attn-notice"), true);
    this.rest(true);
  }

  sendStateLater() {
    clearTimeout(this.sending);
    this.sending = setTimeout(() => this.sendState(), SEND_WAIT_MS);
  }

  sendState() {
    clearTimeout(this.sending);
    if (this.left || !this.traces) return;
    // The key under the pointer is transient.
    this.model.send_msg({ state: { ...this.state, key: null, serial: this.serial } });
  }
}

/** @param {Props<ComparisonParameters>} props */
export function render({ model }) {
  const root = element("div", "attn-choices");
  /** @type {?ComparisonPage} */
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
