import { t } from "../core/translate.js";
import { element } from "./dom.js";
import { MOST_SEED, MOST_TEMPERATURE, numberOf, samplingProblem } from "../live_model/next_token.js";

// What a model writes on: the choices, and the tokens as they come, each of which can be looked at.

/**
 * @typedef {{start: (choices: WritingChoices) => void, stop: () => void, select: (place: number) => void}} WritingActions
 *   `select` gets the number of a written token, -1 for the prompt
 * @typedef {{label: string, spoken: string, chance: number, before: string, breaks: boolean}} WrittenToken
 *   as shown and as read aloud, its probability, what stands before it, and whether a line ends with it
 */

const MOST_WRITTEN = 500;

export class WritingPanel {
  root = element("section", "attn-writing");
  form = element("form", "attn-writing-line");
  fields = {
    count: numberField(t("Tokens"), 40, 1, MOST_WRITTEN, 1),
    temperature: numberField(t("Temperature"), 0.8, 0, MOST_TEMPERATURE, 0.1),
    topK: numberField(t("Top-k"), 1, 1, 1, 1),
    seed: numberField(t("Seed"), 1, 0, MOST_SEED, 1),
  };
  button = element("button", "attn-plain-button", t("Write on"));
  said = element("p", "attn-caption attn-writing-said");
  text = element("p", "attn-written");
  running = false;
  /** how many tokens are on screen */
  count = 0;
  /** number of the written token that is looked at; -1 for none */
  selected = -1;
  vocabulary = 1;

  /** @param {WritingActions} actions */
  constructor(actions) {
    this.actions = actions;
    const title = element("h3", "attn-writing-title", `${t("Let it write on")} `);
    title.append(element("small", "", t("each token drawn from what it expects; the same seed writes the same")));
    this.button.type = "submit";
    this.said.setAttribute("role", "status");
    this.form.append(...Object.values(this.fields).map(({ label }) => label), this.button);
    this.root.append(title, this.form, this.said, this.text);
    this.form.noValidate = true; // the rules are ours, with their values
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      if (this.running) actions.stop();
      else this.start();
    });
    this.form.addEventListener("keydown", (event) => event.stopPropagation()); // the explorer's keys are letters
  }

  /**
   * @param {number} vocabulary how many tokens it has
   * @param {number} topK to begin with
   */
  open(vocabulary, topK) {
    this.vocabulary = vocabulary;
    this.fields.topK.input.max = String(vocabulary);
    this.fields.topK.input.value = String(Math.min(topK, vocabulary));
    this.clear();
  }

  clear() {
    this.stop();
    this.count = 0;
    this.selected = -1;
    this.text.replaceChildren();
    this.text.hidden = true;
    this.said.classList.remove("error");
    this.said.textContent = "";
  }

  /** What is written, for `restore`. */
  keep() {
    const { text, said, count, selected } = this;
    return { parts: [...text.childNodes], label: text.getAttribute("aria-label") ?? "", said: said.textContent, count, selected };
  }

  /** @param {ReturnType<WritingPanel["keep"]>} kept */
  restore({ parts, label, said, count, selected }) {
    this.clear();
    this.text.replaceChildren(...parts);
    this.text.setAttribute("aria-label", label);
    this.text.hidden = false;
    this.said.textContent = said;
    Object.assign(this, { count, selected });
  }

  /** @returns {WritingChoices} */
  get choices() {
    const [count, temperature, topK, seed] = Object.values(this.fields).map(({ input }) => (input.value.trim() === "" ? NaN : Number(input.value)));
    return { count, temperature, topK, seed };
  }

  /** @param {WritingChoices} choices */
  set choices(choices) {
    for (const [name, number] of Object.entries(choices)) this.fields[/** @type {keyof WritingChoices} */ (name)].input.value = String(number);
  }

  /** @returns {boolean} whether the choices can be followed */
  start() {
    const choices = this.choices;
    const { count } = choices;
    const wrong = !Number.isInteger(count) || count < 1 || count > MOST_WRITTEN;
    const problem = wrong ? t("the number of tokens must be an integer from 1 to {most}; got {count}", { most: MOST_WRITTEN, count: numberOf(count) }) : samplingProblem(choices, this.vocabulary);
    if (problem === "") this.actions.start(choices);
    else this.refuse(problem);
    return problem === "";
  }

  /** @param {string} prompt what is continued */
  begin(prompt) {
    this.clear();
    this.running = true;
    this.button.textContent = t("Stop");
    this.text.hidden = false;
    const chip = element("button", "attn-written-prompt", prompt);
    chip.title = t("Show what the model expects after it");
    chip.addEventListener("click", () => this.select(-1));
    this.text.append(chip);
  }

  /** @param {WrittenToken} token */
  append({ label, spoken, chance, before, breaks }) {
    const following = this.selected === this.count - 1;
    const place = this.count++;
    const chip = element("button", "attn-written-token", label);
    chip.setAttribute("aria-label", t("{token}, written token {number}, probability {share} %", { token: spoken, number: place + 1, share: (100 * chance).toFixed(1) }));
    chip.title = `${(100 * chance).toFixed(1)} %`;
    chip.addEventListener("click", () => this.select(place));
    this.text.append(before, chip);
    if (breaks) this.text.append(element("br"));
    if (following) this.select(place);
  }

  /** @param {number} place */
  select(place) {
    this.selected = place;
    this.text.querySelectorAll("button").forEach((chip, at) => chip.setAttribute("aria-pressed", String(at === place + 1)));
    this.actions.select(place);
  }

  /**
   * @param {string} why it ends
   * @param {string} made by what
   * @param {string} written all of it
   */
  end(why, made, written) {
    this.stop();
    const counted = this.count === 1 ? t("1 token written by {made}.", { made }) : t("{count} tokens written by {made}.", { count: this.count, made });
    this.said.textContent = `${why}${counted}`;
    this.text.setAttribute("aria-label", t("Written: {text}", { text: written }));
  }

  stop() {
    this.running = false;
    this.button.textContent = t("Write on");
  }

  /** @param {string} problem */
  refuse(problem) {
    this.said.classList.add("error");
    this.said.textContent = `${problem[0].toUpperCase()}${problem.slice(1)}.`;
  }
}

/**
 * How a text was made, for a reader.
 *
 * @param {string} reader names what wrote it
 * @param {import("../live_model/next_token.js").Sampling} sampling
 */
export function madeBy(reader, { temperature, topK, seed }) {
  return t("{reader}, temperature {temperature}, top-k {topK}, seed {seed}", { reader, temperature, topK, seed });
}

/**
 * @param {string} name
 * @param {number} value
 * @param {number} min
 * @param {number} max
 * @param {number} step
 */
function numberField(name, value, min, max, step) {
  const label = element("label", "attn-writing-number", name);
  const input = element("input");
  Object.assign(input, { type: "number", value: String(value), min: String(min), max: String(max), step: String(step) });
  label.append(input);
  return { label, input };
}
