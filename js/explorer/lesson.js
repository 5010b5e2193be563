import { scores as scoresOf, softmaxRows } from "../core/attention.js";
import { entropies } from "../core/head_numbers.js";
import { LESSON, startOfStep } from "./lesson_steps.js";
import { rowOf } from "./partial.js";
import { select } from "./selection.js";
import { shownPair } from "./sentence.js";

// The guided lesson: which step is open, and whether the reader has done it. The steps are in lesson_steps.js, their card is
// js/components/lesson_card.js.

// Beyond so many cells the entropies of all rows are left out: they are computed at every step of a slider.
const MOST_CELLS = 2 ** 18;

export class Lesson {
  /** @type {?number} the open step; null: the lesson is closed */
  step = null;
  /** @type {?import("./lesson_steps.js").Task} of the open step; null until its start is on screen */
  task = null;
  /** @type {?Trace} what the task is about */
  trace = null;
  /** @type {?{trace: Trace, layer: number, head: number, query_index: number}} where the reader was when it began */
  home = null;
  /** whether the card is on the page */
  shown = false;
  /** @type {Set<number>} the steps that the reader has done */
  done = new Set();

  /** @param {import("./controller.js").BrowserExplorer} explorer */
  constructor(explorer) {
    this.explorer = explorer;
  }

  /**
   * Follows a button of the card, or a link.
   *
   * @param {{open?: number, leave?: boolean, toggle?: boolean, solve?: boolean}} message steps are counted from 0
   */
  act({ open, leave, toggle, solve }) {
    if (toggle) this.open(this.step === null ? 0 : null);
    else if (leave) this.open(null);
    else if (typeof open === "number") this.open(open);
    else if (solve) this.solve();
  }

  /** @param {?number} step null leaves the lesson */
  open(step) {
    this.step = step !== null && LESSON[step] ? step : null;
    this.task = null;
    const { trace, state } = this.explorer;
    if (this.step === null) this.home = null;
    else {
      const { layer, head, query_index } = state;
      if (this.home?.trace !== trace) this.home = { trace, layer, head, query_index };
      this.explorer.set(startOfStep(trace, this.home));
    }
    this.explorer.drawSoon();
  }

  solve() {
    const { explorer } = this;
    const selection = select(explorer.trace, explorer.state, explorer.cache);
    const changes = this.task?.solve?.(viewOf(explorer, explorer.state, selection));
    if (changes) explorer.set(changes);
  }

  /**
   * Brings the card up to date with what is on screen.
   *
   * @param {State} state
   * @param {AnySelection} selection of this state
   */
  follow(state, selection) {
    const { explorer } = this;
    if (state !== explorer.state) return; // another draw is due
    if (this.step === null) {
      if (this.shown) explorer.write("attn-lesson", { content: {} });
      this.shown = false;
      return;
    }
    this.shown = true;
    const view = viewOf(explorer, state, selection);
    const step = LESSON[this.step];
    if (this.task === null || this.trace !== explorer.trace) {
      this.task = step.task(view);
      this.trace = explorer.trace;
    }
    if (this.task.isDone(view)) this.done.add(this.step);
    const { title, text, named, guess } = step;
    const next = LESSON[this.step + 1]?.name ?? "";
    explorer.write("attn-lesson", {
      content: {
        step: this.step,
        steps: LESSON.map(({ name }) => name),
        title,
        text,
        named,
        guess,
        task: this.task.text,
        meter: this.task.meter?.(view) ?? null,
        done: this.done.has(this.step),
        solvable: this.task.solve !== null,
        next,
      },
    });
  }
}

/**
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {import("./lesson_steps.js").LessonView}
 */
function viewOf({ trace, models }, state, selection) {
  const call = trace.calls[state.layer];
  const { T, S } = call;
  const [query, key] = shownPair(trace, state, selection);
  const row = rowOf(selection, query);
  const { queries, keys } = trace.tokensOf(call, state.batch);
  const whole = "weights" in selection && T * S <= MOST_CELLS ? selection.weights : null;
  return {
    trace,
    state,
    query,
    key,
    weights: row.weights,
    scores: state.aggregate ? null : row.scores,
    visible: row.visible,
    queries,
    keys,
    entropies: whole === null ? null : Array.from(entropies(whole, T, S), (nats) => nats || 0), // 0 for an empty row
    hasSources: (models.get("attn-sources") ?? []).length > 0,
    heads: call.live && !call.partial ? Array.from({ length: call.H }, (_, head) => ({ weights: () => weightsOf(call, state, head, query) })) : [],
  };
}

/**
 * One row of weights of another head, under the model's own mask.
 *
 * @param {Call} call
 * @param {State} state
 * @param {number} head
 * @param {number} query
 */
function weightsOf(call, { batch }, head, query) {
  const { S, D, scale, softCap } = call;
  const bias = call.bias(batch, head);
  const options = { T: 1, S, D, scale, softCap, bias: bias?.subarray(query * S, (query + 1) * S) ?? null };
  const scored = scoresOf(call.query(batch, head).subarray(query * D, (query + 1) * D), call.key(batch, head), options);
  return softmaxRows(scored, { T: 1, S, visible: call.visible(batch, head).subarray(query * S, (query + 1) * S) }).weights;
}
