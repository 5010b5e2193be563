import { t } from "../core/translate.js";
import { below, findByClass } from "./accessibility.js";
import { announce } from "./announce.js";
import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { withWords } from "./words.js";

// The card of the guided lesson: text, a guess, a task with its meter, and the way on. It outlines what the text names.

const NUMBERS = "①②③";

/**
 * @typedef {{step: number, steps: string[], title: string, text: string, named: [string, string][],
 *   guess: import("../explorer/lesson_steps.js").Guess, task: string,
 *   meter: ?import("../explorer/lesson_steps.js").Meter, done: boolean, solvable: boolean, next: string}} LessonContent
 */

/** @param {string} words @param {() => void} act @param {string} [css] */
function button(words, act, css = "attn-plain-button") {
  const made = element("button", css, words);
  made.addEventListener("click", act);
  return made;
}

/** The part that asks: a question, its answers, and what is true. */
class GuessPart {
  /** @param {import("../explorer/lesson_steps.js").Guess} guess */
  constructor({ question, choices, right, because }) {
    this.root = element("div", "attn-lesson-part");
    const said = element("p", "attn-lesson-answer");
    said.setAttribute("role", "status");
    const answers = element("div", "attn-lesson-choices");
    const buttons = choices.map((text, at) => {
      const answer = button(text, () => {
        for (const [other, one] of buttons.entries()) one.setAttribute("aria-pressed", String(other === at));
        said.textContent = `${at === right ? t("Yes.") : t("No: {answer}.", { answer: choices[right] })} ${because}`;
      });
      answer.setAttribute("aria-pressed", "false");
      return answer;
    });
    answers.append(...buttons);
    this.root.append(element("b", "", t("Guess first: {question} …", { question })), answers, said);
  }
}

/** The part with the task: what to do, how far it is, and whether it is done. */
class TaskPart {
  /** @param {() => void} solve */
  constructor(solve) {
    this.root = element("div", "attn-lesson-part attn-lesson-task");
    this.text = element("p");
    this.meter = element("div", "attn-lesson-meter");
    this.bar = element("i");
    this.goal = element("u");
    this.words = element("span");
    const track = element("div", "attn-lesson-track");
    track.append(this.bar, this.goal);
    this.meter.append(this.words, track);
    const foot = element("div", "attn-lesson-foot");
    this.state = element("span", "attn-lesson-state");
    this.show = button(t("Show me"), solve, "attn-link-button");
    foot.append(this.state, this.show);
    this.root.append(element("b", "", t("Try it")), this.text, this.meter, foot);
  }

  /** @param {LessonContent} content */
  draw({ task, meter, done, solvable }) {
    if (this.text.textContent !== task) this.text.textContent = task;
    this.meter.hidden = meter === null;
    if (meter) {
      this.bar.style.width = `${100 * Math.min(meter.value, 1)}%`;
      this.goal.style.left = `${100 * meter.goal}%`;
      this.words.textContent = meter.words;
    }
    this.root.classList.toggle("attn-done", done);
    this.state.textContent = done ? t("✓ Done") : t("○ Waiting for your move");
    this.show.hidden = !solvable || done;
  }
}

/** @param {Props<Dispatching<{ content: Partial<LessonContent> }>>} props */
export function render({ model }) {
  const root = element("section", "attn-lesson-card");
  root.setAttribute("aria-label", t("Lesson"));
  /** @type {?number} */
  let step = null;
  let done = false;
  /** whether a sheet over the pictures shows the task alone */
  let folded = false;
  /** @type {?TaskPart} */
  let task = null;
  /** @type {HTMLButtonElement} */
  let next;
  /** @type {?Element} what had the focus when the lesson was opened */
  let opener = null;

  /** @param {object} message */
  const act = (message) => dispatch(model, { lesson: message });
  /** @returns {?Element} this component's element in the explorer's grid */
  const host = () => /** @type {ShadowRoot} */ (root.getRootNode()).host ?? null;

  /** @param {HTMLButtonElement} toggle @param {boolean} fold */
  const fold = (toggle, fold) => {
    folded = fold;
    root.classList.toggle("attn-folded", fold);
    toggle.textContent = fold ? t("Show text") : t("Task only");
    toggle.setAttribute("aria-expanded", String(!fold));
  };
  /** Outlines what a step names, and brings the first plot of it into view. @param {[string, string][]} named */
  const outline = (named) => {
    const explorer = findByClass(`attn-${model.explorer_id}`);
    const parts = explorer ? [...below(explorer)] : [];
    for (const part of parts) part.removeAttribute("data-lesson");
    const found = named.map(([css]) => {
      const part = parts.find((one) => one.classList.contains(css));
      // A plot with its title and its colour bar: the box around it.
      return css.startsWith("attn-plot-") && part ? /** @type {ShadowRoot} */ (part.getRootNode()).host : part;
    });
    for (const [at, part] of found.entries()) part?.setAttribute("data-lesson", NUMBERS[at]);
    const plot = found.find((_part, at) => named[at][0].startsWith("attn-plot-"));
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    // Drawn out of sight, it takes the place of a page that the reader has scrolled (js/served/handover.js).
    if (getComputedStyle(root).visibility === "hidden") return;
    plot?.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  };

  /** Builds the card of another step. @param {LessonContent} content */
  const build = (content) => {
    const { steps, title, text, named, guess } = content;
    const head = element("div", "attn-lesson-foot");
    const toggle = button("", () => fold(toggle, !folded), "attn-link-button attn-lesson-fold");
    fold(toggle, false); // each step is to be read first
    head.append(element("span", "", t("Step {step} of {count}", { step: content.step + 1, count: steps.length })), toggle, button(t("Leave ✕"), () => act({ leave: true }), "attn-link-button"));
    const heading = element("h2", "", title);
    heading.tabIndex = -1;
    const said = element("p");
    said.append(...withWords(text));
    const legend = element("p", "attn-caption muted", named.map(([, words], at) => `${NUMBERS[at]} ${words}`).join(" · "));
    task = new TaskPart(() => act({ solve: true }));
    const all = element("select", "bk-input");
    all.setAttribute("aria-label", t("All steps"));
    all.append(...steps.map((name, at) => Object.assign(element("option", "", `${at + 1} · ${name}`), { value: String(at) })));
    all.value = String(content.step);
    all.addEventListener("change", () => act({ open: Number(all.value) }));
    const back = button(t("← Back"), () => act({ open: content.step - 1 }));
    back.disabled = content.step === 0;
    const last = content.step === steps.length - 1;
    next = button(last ? t("Finish") : t("Next →"), () => act(last ? { leave: true } : { open: content.step + 1 }));
    if (!last) next.title = content.next;
    const foot = element("div", "attn-lesson-foot");
    foot.append(back, all, next);
    root.replaceChildren(head, heading, said, legend, new GuessPart(guess).root, task.root, foot);
    return heading;
  };

  const draw = () => {
    const { content } = model;
    const open = content.step !== undefined;
    host()?.classList.toggle("attn-open", open);
    if (!open) {
      if (step !== null) outline([]);
      step = null;
      const within = /** @type {ShadowRoot} */ (root.getRootNode()).activeElement;
      root.replaceChildren();
      if (within && opener instanceof HTMLElement) opener.focus();
      return;
    }
    const whole = /** @type {LessonContent} */ (content);
    if (step === null) {
      opener = document.activeElement;
      while (opener?.shadowRoot?.activeElement) opener = opener.shadowRoot.activeElement;
    }
    const heading = whole.step === step ? null : build(whole);
    task?.draw(whole);
    next.classList.toggle("attn-strong", whole.done);
    if (heading) {
      const first = step === null;
      step = whole.step;
      // Once the card has its place; a link that opens the page leaves the focus alone.
      requestAnimationFrame(() => {
        outline(whole.named);
        host()?.scrollTo({ top: 0 }); // a sheet that the reader has scrolled to its end
        if (!first || root.getRootNode() === document.activeElement?.shadowRoot) heading.focus({ preventScroll: true });
      });
    } else if (whole.done && !done) announce(t("Done."));
    done = whole.done;
  };
  model.on("content", draw);
  return root;
}
