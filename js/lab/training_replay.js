import { t } from "../core/translate.js";
import { element } from "../components/dom.js";
import { logProbabilities, losses } from "../live_model/next_token.js";
import { changeQuery, readHead } from "./address.js";
import { AnswerStrip } from "./answer_strip.js";
import { Expectations } from "./expectations.js";
import { HeadPlots } from "./head_plots.js";
import { cellsOf, LiveRun } from "./live_run.js";
import { SequenceBox } from "./sequence_box.js";
import { Writing } from "./writing.js";

// The attention of a sequence during training: a step slider, all heads, and what the model expects next. The run's example
// is there at every recorded step, with a strip in which one sees a head form; what a reader types, or knocks out, is computed
// from the weights of the steps that keep them.

const PLAY_MS = 160;

/** @param {string} text */
function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/**
 * @typedef {import("./head_plots.js").Frame} Frame
 * @typedef {import("./live_run.js").Reading} Reading
 * @typedef {import("./sequence.js").Words & {limit: number, presets: import("./sequence_box.js").Preset[], model: DecoderDescription}} Live
 * @typedef {{run?: number, empty?: string, steps?: number, tokens?: string[], layers?: number, heads?: number,
 *   answers?: [number, number][], live?: Live}} About
 * @typedef {{about: About, linked: ?Record<string, string>, step: number, palettes: {light: string[], dark: string[]},
 *   recorded: {step: number, answers: number[][], cells: string}[], kept: {run?: number, steps?: number[], reason?: string},
 *   weights: {step: number, error: ?number, weights: string}[]}} ReplayParameters
 */

class TrainingReplay {
  root = element("div", "lab-replay");
  line = element("div", "lab-step-line");
  slider = element("input", "lab-step");
  play = element("button", "attn-plain-button", t("Play"));
  label = element("output", "lab-step-words");
  empty = element("p", "attn-caption muted");
  about = element("p", "attn-caption muted lab-live-words");
  knock = element("button", "attn-link-button");
  left = element("div", "lab-left");
  /** @type {Frame[]} of the run's example */
  frames = [];
  at = -1;
  newest = true; // whether to follow the newest step
  /** the step that a link names, until a reader chooses one; its frame may be still to come @type {?number} */
  sought = null;
  /** knocked-out heads, as "layer.head" @type {Set<string>} */
  without = new Set();
  /** @type {?ReturnType<typeof setInterval>} */
  playing = null;
  /** @type {?LiveRun} */
  live = null;
  linkTaken = false;
  /** whether what is asked for can't be computed */
  failed = false;
  /** what is laid out: the tokens' texts and the answers */
  shown = "";

  /** @param {ComponentModel<ReplayParameters>} model */
  constructor(model) {
    this.model = model;
    this.plots = new HeadPlots(model.palettes, () => this.draw());
    this.strip = new AnswerStrip((place, head) => {
      this.stop();
      this.plots.picked = head ?? this.plots.picked;
      this.choose(place);
    });
    this.box = new SequenceBox(() => this.change());
    this.expectations = new Expectations(
      () => this.restore(),
      () => this.draw(),
    );
    this.writing = new Writing(
      () => this.box.ids,
      (ids) => this.read(ids, this.without),
      () => (this.without.size
          ? t("the weights of step {step} without {heads}", { step: this.keptStep, heads: [...this.without].join(", ") })
          : t("the weights of step {step}", { step: this.keptStep })),
      () => this.draw(),
    );
    this.slider.type = "range";
    this.slider.min = "0";
    this.slider.setAttribute("aria-label", t("Step of training"));
    this.line.append(this.play, this.slider, this.label);
    this.plots.titleLine.append(this.knock);
    this.left.append(this.expectations.root, this.writing.root, this.about);
    this.plots.root.append(this.left);
    this.root.append(this.box.root, this.empty, this.line, this.strip.root, this.plots.root);
    this.listen();
  }

  listen() {
    this.slider.addEventListener("input", () => {
      this.stop();
      this.choose(Number(this.slider.value));
    });
    this.play.addEventListener("click", () => {
      if (this.playing !== null) this.stop();
      else this.start();
      this.draw();
    });
    this.knock.addEventListener("click", () => {
      this.writing.interrupt();
      const { step } = this;
      const head = this.plots.chosen.join(".");
      if (!this.without.delete(head)) this.without.add(head);
      this.moveTo(step);
    });
  }

  /** Opens the run that `about` describes. */
  open() {
    const { about, recorded, weights } = this.model;
    this.frames = recorded.map(({ step, answers, cells }) => ({ step, answers, cells: bytes(cells) }));
    this.at = -1;
    this.newest = true;
    const linked = this.takeLink();
    this.sought = /^\d{1,6}$/.test(linked.step ?? "") ? Number(linked.step) : null;
    this.without = new Set((linked.without ?? "").split(" ").filter((text) => readHead(text, about)));
    this.plots.picked = readHead(linked.head, about);
    this.plots.best = [0, 0];
    this.shown = "";
    this.stop();
    this.live = null;
    this.box.root.hidden = about.live === undefined;
    if (about.live) {
      const stored = new Map(weights.map((each) => [each.step, each]));
      const live = new LiveRun(about.live.model, (step) => {
        const found = stored.get(step);
        if (found) live.take({ ...found, weights: bytes(found.weights) });
        else this.model.send_msg({ weights_request: about.run, weights_step: step });
      });
      this.live = live;
      this.writing.open(about.live);
      this.box.open(about.live, linked.sequence); // draws
    } else this.draw();
    if (about.run !== undefined && recorded.length === 0) this.model.send_msg({ frames_request: about.run });
  }

  /** What the link says of this run, once. */
  takeLink() {
    const { about, linked } = this.model;
    const mine = !this.linkTaken && linked !== null && linked.run === String(about.run) ? linked : {};
    this.linkTaken ||= about.run !== undefined;
    return mine;
  }

  /** Takes a frame or weights from the server. @param {any} data */
  take(data) {
    if (data.run !== this.model.about.run) return;
    if (data.weights !== undefined) this.live?.take(data);
    else if (data.problem !== undefined) this.live?.refuse(data.step, data.problem);
    else {
      const last = this.frames[this.frames.length - 1];
      if (last && data.step <= last.step) return;
      this.frames.push({ step: data.step, answers: data.answers, cells: new Uint8Array(data.cells) });
      if (data.more) return; // drawn when the last of these has come
    }
    this.draw();
  }

  get keptSteps() {
    const { run, steps = [] } = this.model.kept;
    return run === this.model.about.run ? steps : []; // the one property may come before the other
  }

  /** Whether what is on screen is computed from weights, not recorded. */
  get computed() {
    if (this.keptSteps.length === 0) return false;
    return this.frames.length === 0 || this.box.typed || this.without.size > 0 || this.writing.viewed !== null;
  }

  /** The steps to choose from. */
  get steps() {
    return this.computed ? this.keptSteps : this.frames.map(({ step }) => step);
  }

  get step() {
    return this.steps[this.at] ?? -1;
  }

  /** The step whose weights compute: the newest kept up to the one on screen. */
  get keptStep() {
    return [...this.keptSteps].reverse().find((step) => step <= this.step) ?? this.keptSteps[0];
  }

  /** What the model reads on screen. */
  get ids() {
    return this.writing.viewed?.window ?? this.box.ids;
  }

  /** @param {number[]} ids @param {Set<string>} without */
  read(ids, without) {
    return this.live?.read(this.keptStep, ids, without) ?? null;
  }

  /** Another sequence was typed. */
  change() {
    const { step } = this;
    this.writing.clear();
    this.moveTo(step);
  }

  restore() {
    this.writing.interrupt();
    const { step } = this;
    this.without.clear();
    this.moveTo(step);
  }

  /** Goes to the step, or the nearest one that there is. @param {number} step */
  moveTo(step) {
    const last = this.steps.length - 1;
    this.at = this.newest && last >= 0 ? last : this.nearest(step);
    this.draw();
  }

  /** The place of a step, or of the nearest one that there is. @param {number} step */
  nearest(step) {
    const { steps } = this;
    const distance = (/** @type {number} */ place) => Math.abs(steps[place] - step);
    let best = 0;
    steps.forEach((_, place) => distance(place) < distance(best) && (best = place));
    return best;
  }

  /** @param {number} place */
  choose(place) {
    this.writing.interrupt();
    this.at = place;
    this.sought = null;
    this.newest = place === this.steps.length - 1;
    this.draw();
  }

  start() {
    this.at = this.at >= this.steps.length - 1 ? 0 : this.at;
    this.sought = null;
    this.newest = false;
    this.playing = setInterval(() => {
      if (this.at >= this.steps.length - 1) this.stop();
      this.choose(Math.min(this.at + 1, this.steps.length - 1));
    }, PLAY_MS);
  }

  stop() {
    clearInterval(this.playing ?? undefined);
    this.playing = null;
  }

  draw() {
    const { steps, model } = this;
    const none = steps.length === 0;
    this.explainTyping();
    for (const part of [this.line, this.strip.root, this.plots.root]) part.hidden = none;
    this.empty.hidden = this.frames.length > 0;
    this.empty.textContent = model.about.empty ?? "";
    if (none) {
      this.publishStep(-1, -1);
      return;
    }
    if (this.sought !== null) {
      this.at = this.nearest(this.sought);
      this.newest = false;
    } else if ((this.newest && !this.writing.running) || this.at < 0) this.at = steps.length - 1;
    this.at = Math.min(this.at, steps.length - 1);
    this.slider.max = String(steps.length - 1);
    this.slider.value = String(this.at);
    this.slider.setAttribute("aria-valuetext", t("step {step}", { step: this.step }));
    this.label.textContent = t("step {step} of {steps}", { step: this.step, steps: model.about.steps });
    this.play.textContent = this.playing === null ? t("Play") : t("Pause");
    const moves = this.writing.running || this.playing !== null;
    this.plots.root.setAttribute("aria-busy", String(moves)); // or each step were read out
    const reading = this.drawExpectations();
    this.drawPlots(reading);
    this.strip.draw(this.plots, this.computed ? [] : this.frames, this.at);
    this.drawKnock();
    const recorded = this.frames.some(({ step }) => step === this.step);
    this.publishStep(this.step, this.computed || !recorded ? -1 : this.step);
    this.writeAddress();
  }

  writeAddress() {
    if (this.model.linked === null || this.playing !== null || this.writing.running) return;
    const { picked, chosen } = this.plots;
    changeQuery({
      step: this.newest ? "" : String(this.sought ?? this.step),
      head: picked || this.computed ? chosen.join(".") : "",
      sequence: this.box.typed ? this.box.text : "",
      without: [...this.without].join(" "),
    });
  }

  explainTyping() {
    const steps = this.keptSteps;
    const { run, reason = "" } = this.model.kept;
    this.box.explain(steps.length > 0 ? "" : run === this.model.about.run && reason !== "" ? reason : t("Asking for the weights that are kept …"));
    this.left.hidden = steps.length === 0;
  }

  /** @returns {?Reading} what is on screen; null where it can't be computed, or not yet */
  drawExpectations() {
    this.failed = false;
    if (!this.live || this.keptSteps.length === 0) return null;
    try {
      const none = /** @type {Set<string>} */ (new Set());
      const before = this.read(this.ids, none);
      const after = this.without.size > 0 ? this.read(this.ids, this.without) : null;
      if (before === null) {
        this.expectations.wait(t("Getting the weights of step {step} …", { step: this.keptStep }));
        return null;
      }
      const { labels } = /** @type {Live} */ (this.model.about.live);
      const expected = (/** @type {Reading} */ { ids, logits }) => {
        const logs = logProbabilities(logits, labels.length);
        return { logs, losses: losses(logs, ids, labels.length) };
      };
      this.expectations.show({
        step: this.keptStep,
        shownStep: this.step,
        labels,
        ids: this.ids,
        scored: this.box.scoredOf(this.ids),
        next: this.writing.viewed?.id ?? null,
        before: expected(before),
        after: after && expected(after),
        without: [...this.without],
      });
      const error = this.live.errorAt(this.keptStep);
      const rounding = error === null ? t("an amount that was not measured") : t("at most {error}", { error: error.toPrecision(2) });
      this.about.textContent = t("Weights rounded to 16 bits: on the run’s example that changes a probability of the next token by {rounding}.", { rounding });
      return after ?? before;
    } catch (error) {
      this.failed = true;
      this.expectations.explain(t("This can’t be computed: {reason}.", { reason: /** @type {Error} */ (error).message }));
      return null;
    }
  }

  /** @param {?Reading} reading */
  drawPlots(reading) {
    const { layers = 0, heads = 0, tokens = [], answers = [], live } = this.model.about;
    const attends = live === undefined || live.model.heads > 0;
    const visible = attends && !(this.computed && this.failed);
    this.plots.tiles.hidden = this.plots.right.hidden = !visible;
    if (!visible || (this.computed && reading === null)) return; // what was drawn stays until weights have come
    const shown = this.computed ? this.ids.map((id) => live?.labels[id] ?? "") : tokens;
    const own = !this.box.typed && this.writing.viewed === null;
    const content = { tokens: shown, layers, heads, answers: own ? answers : [] };
    const key = JSON.stringify([content]);
    if (key !== this.shown) this.plots.show(content);
    this.shown = key;
    const frame = this.computed && reading ? { step: this.step, answers: [], cells: cellsOf(reading) } : this.frames[this.at];
    this.plots.draw(frame, this.without, this.expectations.position);
  }

  drawKnock() {
    const head = this.plots.chosen.join(".");
    this.knock.hidden = this.keptSteps.length === 0;
    this.knock.textContent = this.without.has(head) ? t("Put it back") : t("Knock it out");
    this.knock.title = t("Replace what this head mixes by 0, and see what changes");
  }

  /**
   * The dotted line of the curves, and what the page's server offers as a trace; -1: there is none.
   *
   * @param {number} step
   * @param {number} recorded
   */
  publishStep(step, recorded) {
    for (const one of this.model.document._all_models.values())
      if (one.name === "lab:step") one.setv({ location: Math.max(step, 0), visible: step >= 0 }, { sync: false });
    if (this.model.step !== recorded) this.model.step = recorded;
  }
}

/** @param {Props<ReplayParameters>} props */
export function render({ model }) {
  const replay = new TrainingReplay(model);
  const draw = () => replay.draw();
  model.on("msg:custom", (data) => replay.take(data));
  model.on("about", () => replay.open());
  model.on("kept", draw);
  document.addEventListener("attn:theme", draw);
  model.on("remove", () => {
    replay.stop();
    replay.writing.stop();
    document.removeEventListener("attn:theme", draw);
  });
  replay.open();
  return replay.root;
}
