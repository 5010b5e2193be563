import { t } from "../core/translate.js";
import { element } from "../components/dom.js";
import { readSequence, sequenceText } from "./sequence.js";

// The field in which a reader types a sequence for a run's model, the task's examples and its vocabulary.

/**
 * @typedef {import("./sequence.js").Words} Words
 * @typedef {{label: string, ids: number[], scored: number[]}} Preset with the positions whose next token can be known
 */

const MOST_LETTERS = 20_000;

export class SequenceBox {
  root = element("div", "lab-sequence");
  name = element("h3", "lab-head-title", t("Type a sequence"));
  hint = element("small");
  field = element("textarea", "attn-prompt-field lab-sequence-field");
  presets = element("div", "lab-presets");
  said = element("p", "attn-caption lab-sequence-said");
  reason = element("p", "attn-caption muted");
  words = element("details", "lab-vocabulary");
  count = element("summary");
  chips = element("div", "lab-chips");
  /** @type {Words & {limit: number, presets: Preset[]}} */
  about = { vocabulary: [], labels: [], separated: true, slides: false, limit: 0, presets: [] };
  /** what the model reads; the run's example at first @type {number[]} */
  ids = [];

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.name.append(" ", this.hint);
    this.field.setAttribute("aria-label", t("A sequence for this run's model"));
    Object.assign(this.field, { maxLength: MOST_LETTERS, spellcheck: false, rows: 2 });
    this.field.setAttribute("autocapitalize", "off");
    this.said.setAttribute("role", "status");
    this.words.append(this.count, this.chips);
    this.root.append(this.name, this.field, this.presets, this.said, this.words, this.reason);
    this.field.addEventListener("input", () => this.read());
  }

  /**
   * @param {Words & {limit: number, presets: Preset[]}} about
   * @param {string} [text] what is read then, if it can be; untrusted
   */
  open(about, text) {
    this.about = about;
    const { vocabulary, labels, separated, limit, presets } = about;
    const most = separated ? t("1 to {count} tokens with spaces between them", { count: limit }) : t("1 to {count} characters", { count: limit });
    this.hint.textContent = `${most} · ${t("read by this run’s model in this page")}`;
    this.presets.replaceChildren(
      ...presets.map(({ label, ids }) => {
        const button = element("button", "attn-link-button", label);
        button.title = ids.map((id) => labels[id]).join(separated ? " " : "");
        button.addEventListener("click", () => this.put(ids));
        return button;
      }),
    );
    this.count.textContent = t("Vocabulary: {count} tokens", { count: vocabulary.length });
    this.chips.replaceChildren(
      ...labels.map((label, id) => {
        const chip = element("button", "lab-chip-button", label);
        chip.title = t("Add “{token}”", { token: label });
        chip.addEventListener("click", () => this.add(id));
        return chip;
      }),
    );
    this.put(presets[0].ids);
    if (text === undefined) return;
    this.field.value = text;
    this.read();
  }

  /** What is read, as it can be typed. */
  get text() {
    return sequenceText(this.ids, this.about);
  }

  /**
   * Says why nothing can be typed; "" where it can.
   *
   * @param {string} reason
   */
  explain(reason) {
    this.reason.textContent = reason;
    this.reason.hidden = reason === "";
    for (const part of [this.field, this.presets, this.words, this.said, this.hint]) part.hidden = reason !== "";
  }

  /** Whether the sequence is another than the run's example. */
  get typed() {
    return this.ids.join() !== this.about.presets[0]?.ids.join();
  }

  /** The positions whose next token can be known, of one of the task's examples; null for another sequence. @param {number[]} ids */
  scoredOf(ids) {
    return this.about.presets.find((preset) => preset.ids.join() === ids.join())?.scored ?? null;
  }

  /** @param {number[]} ids */
  put(ids) {
    this.field.value = sequenceText(ids, this.about);
    this.read();
  }

  /** @param {number} id */
  add(id) {
    const { value } = this.field;
    const gap = this.about.separated && value !== "" && !/\s$/u.test(value) ? " " : "";
    this.field.value = value + gap + this.about.vocabulary[id];
    this.read();
  }

  read() {
    const { ids, problem } = readSequence(this.field.value, this.about, this.about.limit);
    this.said.classList.toggle("error", ids === null);
    this.field.setAttribute("aria-invalid", String(ids === null));
    if (ids === null) {
      this.say(`${problem[0].toUpperCase()}${problem.slice(1)}. ${t("What was read before is still shown.")}`);
      return;
    }
    this.ids = ids;
    this.say(t("{count} of {most} tokens.", { count: ids.length, most: this.about.limit }));
    this.onChange();
  }

  /** @param {string} text */
  say(text) {
    this.said.textContent = text;
  }
}
