import { element } from "../components/dom.js";
import { drawToken, logProbabilities, MOST_SEED, MOST_TEMPERATURE, numberOf, randomNumbers, samplingProblem } from "../live_model/next_token.js";

// A run's model writes on: token by token, each kept with the sequence that it was drawn after.

/**
 * @typedef {import("../live_model/decoder.js").Reading} Reading
 * @typedef {import("./sequence.js").Words} Words
 * @typedef {{id: number, window: number[], chance: number}} Written a token, what the model had read, and its probability
 */

const MOST_WRITTEN = 500;
const PAUSE_MS = 40; // so that a reader sees the tokens come

export class Writing {
  root = element("section", "lab-writing");
  form = element("form", "lab-writing-line");
  fields = {
    count: numberField("Tokens", 40, 1, MOST_WRITTEN, 1),
    temperature: numberField("Temperature", 0.8, 0, MOST_TEMPERATURE, 0.1),
    topK: numberField("Top-k", 1, 1, 1, 1),
    seed: numberField("Seed", 1, 0, MOST_SEED, 1),
  };
  button = element("button", "attn-plain-button", "Write on");
  said = element("p", "attn-caption lab-writing-said");
  text = element("p", "lab-written");
  /** @type {Written[]} */
  written = [];
  /** number of the written token that is on screen; -1 for none */
  selected = -1;
  /** @type {?ReturnType<typeof setTimeout>} */
  timer = null;
  /** how the text was made */
  made = "";
  /** @type {Words & {limit: number}} */
  about = { vocabulary: [], labels: [], separated: true, slides: false, limit: 0 };

  /**
   * @param {() => number[]} prompt what is to be continued
   * @param {(ids: number[]) => ?Reading} read by the model as it is on screen
   * @param {() => string} reader names it
   * @param {() => void} onView
   */
  constructor(prompt, read, reader, onView) {
    this.prompt = prompt;
    this.read = read;
    this.reader = reader;
    this.onView = onView;
    const title = element("h3", "lab-head-title", "Let it write on ");
    title.append(element("small", "", "each token drawn from what it expects; the same seed writes the same"));
    this.button.type = "submit";
    this.said.setAttribute("role", "status");
    this.form.append(...Object.values(this.fields).map(({ label }) => label), this.button);
    this.root.append(title, this.form, this.said, this.text);
    this.form.noValidate = true; // the rules are ours, with their values
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.running) this.interrupt();
      else this.start();
    });
  }

  /** @param {Words & {limit: number}} about */
  open(about) {
    this.about = about;
    const { topK } = this.fields;
    topK.input.max = String(about.vocabulary.length);
    topK.input.value = String(Math.min(about.slides ? 10 : 5, about.vocabulary.length));
    this.clear();
  }

  clear() {
    this.stop();
    this.written = [];
    this.selected = -1;
    this.text.replaceChildren();
    this.text.hidden = true;
    this.said.classList.remove("error");
    this.said.textContent = "";
  }

  /** The sequence after which the written token on screen was drawn; null for none. @returns {?Written} */
  get viewed() {
    return this.written[this.selected] ?? null;
  }

  /** A token in a text that is read as one: a space is a space. @param {number} id */
  shown(id) {
    return this.about.vocabulary[id] === " " ? " " : this.about.labels[id];
  }

  /** @param {number[]} ids */
  makePrompt(ids) {
    const prompt = element("button", "lab-prompt", ids.map((id) => this.shown(id)).join(this.about.separated ? " " : ""));
    prompt.title = "Show what the model expects after it";
    prompt.addEventListener("click", () => this.select(-1));
    return prompt;
  }

  /** @returns {import("../live_model/next_token.js").Sampling & {count: number}} */
  get choices() {
    const [count, temperature, topK, seed] = Object.values(this.fields).map(({ input }) => (input.value.trim() === "" ? NaN : Number(input.value)));
    return { count, temperature, topK, seed };
  }

  get running() {
    return this.timer !== null;
  }

  /** Ends the text: the rest would be another model's. */
  interrupt() {
    if (this.running) this.end("Stopped. ");
  }

  start() {
    const choices = this.choices;
    const { count } = choices;
    const wrong = !Number.isInteger(count) || count < 1 || count > MOST_WRITTEN;
    const problem = wrong ? `the number of tokens must be an integer from 1 to ${MOST_WRITTEN}; got ${numberOf(count)}` : samplingProblem(choices, this.about.vocabulary.length);
    if (problem !== "") {
      this.refuse(problem);
      return;
    }
    const ids = [...this.prompt()];
    this.clear();
    this.text.hidden = false;
    this.text.append(this.makePrompt(ids));
    this.made = `${this.reader()}, temperature ${choices.temperature}, top-k ${choices.topK}, seed ${choices.seed}`;
    this.button.textContent = "Stop";
    this.next(ids, choices, randomNumbers(choices.seed));
  }

  /**
   * @param {number[]} ids all tokens so far
   * @param {import("../live_model/next_token.js").Sampling & {count: number}} choices
   * @param {() => number} random
   */
  next(ids, choices, random) {
    const { limit, slides, vocabulary } = this.about;
    if (this.written.length === choices.count) return this.end("");
    if (ids.length > limit && !slides) return this.end(`The model reads at most ${limit} tokens, so it ends here. `);
    const window = ids.slice(-limit);
    try {
      const reading = this.read(window);
      if (reading === null) return this.end("The weights have not come yet: try again. ");
      const logs = logProbabilities(reading.logits.slice(-vocabulary.length), vocabulary.length);
      const id = drawToken(logs, choices, random());
      this.append({ id, window, chance: Math.exp(logs[id]) });
      this.timer = setTimeout(() => this.next([...ids, id], choices, random), PAUSE_MS);
    } catch (error) {
      this.end("");
      this.refuse(/** @type {Error} */ (error).message);
    }
  }

  /** @param {Written} token */
  append(token) {
    const following = this.selected === this.written.length - 1;
    const place = this.written.push(token) - 1;
    const chip = element("button", "lab-written-token", this.shown(token.id));
    chip.setAttribute("aria-label", `${this.about.labels[token.id]}, written token ${place + 1}, probability ${(100 * token.chance).toFixed(1)} %`);
    chip.title = `${(100 * token.chance).toFixed(1)} %`;
    chip.addEventListener("click", () => this.select(place));
    this.text.append(this.about.separated ? " " : "", chip);
    if (this.about.vocabulary[token.id] === "\n") this.text.append(element("br"));
    if (following) this.select(place);
  }

  /** @param {number} place */
  select(place) {
    this.selected = place;
    this.markSelected();
    this.onView();
  }

  markSelected() {
    this.text.querySelectorAll("button").forEach((chip, place) => chip.setAttribute("aria-pressed", String(place === this.selected + 1)));
  }

  /** @param {string} why */
  end(why) {
    this.stop();
    const count = this.written.length;
    const text = this.written.map(({ id }) => this.about.vocabulary[id]).join(this.about.separated ? " " : "");
    this.said.textContent = `${why}${count} ${count === 1 ? "token" : "tokens"} written by ${this.made}.`;
    this.text.setAttribute("aria-label", `Written: ${text}`);
    this.onView();
  }

  stop() {
    clearTimeout(this.timer ?? undefined);
    this.timer = null;
    this.button.textContent = "Write on";
  }

  /** @param {string} problem */
  refuse(problem) {
    this.said.classList.add("error");
    this.said.textContent = `${problem[0].toUpperCase()}${problem.slice(1)}.`;
  }
}

/**
 * @param {string} name
 * @param {number} value
 * @param {number} min
 * @param {number} max
 * @param {number} step
 */
function numberField(name, value, min, max, step) {
  const label = element("label", "lab-number", name);
  const input = element("input");
  Object.assign(input, { type: "number", value: String(value), min: String(min), max: String(max), step: String(step) });
  label.append(input);
  return { label, input };
}
