import { t } from "../core/translate.js";
import { madeBy, WritingPanel } from "../components/writing_panel.js";
import { drawToken, logProbabilities, randomNumbers } from "../live_model/next_token.js";

// A run's model writes on: token by token, each kept with the sequence that it was drawn after.

/**
 * @typedef {import("../live_model/decoder.js").Reading} Reading
 * @typedef {import("./sequence.js").Words} Words
 * @typedef {{id: number, window: number[]}} Written a token, and what the model had read
 */

const PAUSE_MS = 40; // so that a reader sees the tokens come

export class Writing {
  panel = new WritingPanel({ start: (choices) => this.start(choices), stop: () => this.interrupt(), select: () => this.onView() });
  root = this.panel.root;
  /** @type {Written[]} */
  written = [];
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
  }

  /** @param {Words & {limit: number}} about */
  open(about) {
    this.about = about;
    this.panel.open(about.vocabulary.length, about.slides ? 10 : 5);
    this.clear();
  }

  clear() {
    this.stop();
    this.written = [];
    this.panel.clear();
  }

  /** The sequence after which the written token on screen was drawn; null for none. @returns {?Written} */
  get viewed() {
    return this.written[this.panel.selected] ?? null;
  }

  /** A token in a text that is read as one: a space is a space. @param {number} id */
  shown(id) {
    return this.about.vocabulary[id] === " " ? " " : this.about.labels[id];
  }

  get running() {
    return this.timer !== null;
  }

  /** Ends the text: the rest would be another model's. */
  interrupt() {
    if (this.running) this.end(`${t("Stopped.")} `);
  }

  /** @param {WritingChoices} choices */
  start(choices) {
    const ids = [...this.prompt()];
    this.clear();
    this.panel.begin(ids.map((id) => this.shown(id)).join(this.about.separated ? " " : ""));
    this.made = madeBy(this.reader(), choices);
    this.next(ids, choices, randomNumbers(choices.seed));
  }

  /**
   * @param {number[]} ids all tokens so far
   * @param {WritingChoices} choices
   * @param {() => number} random
   */
  next(ids, choices, random) {
    const { limit, slides, vocabulary } = this.about;
    if (this.written.length === choices.count) return this.end("");
    if (ids.length > limit && !slides) return this.end(`${t("At most {count} tokens can be read, so it ends here.", { count: limit })} `);
    const window = ids.slice(-limit);
    try {
      const reading = this.read(window);
      if (reading === null) return this.end(`${t("The weights have not come yet: try again.")} `);
      const logs = logProbabilities(reading.logits.slice(-vocabulary.length), vocabulary.length);
      const id = drawToken(logs, choices, random());
      this.append({ id, window }, Math.exp(logs[id]));
      this.timer = setTimeout(() => this.next([...ids, id], choices, random), PAUSE_MS);
    } catch (error) {
      this.end("");
      this.panel.refuse(/** @type {Error} */ (error).message);
    }
  }

  /** @param {Written} token @param {number} chance */
  append(token, chance) {
    const { vocabulary, labels, separated } = this.about;
    this.written.push(token);
    const [label, spoken] = [this.shown(token.id), labels[token.id]];
    this.panel.append({ label, spoken, chance, before: separated ? " " : "", breaks: vocabulary[token.id] === "\n" });
  }

  /** @param {string} why */
  end(why) {
    this.stop();
    const { vocabulary, separated } = this.about;
    this.panel.end(why, this.made, this.written.map(({ id }) => vocabulary[id]).join(separated ? " " : ""));
    this.onView();
  }

  stop() {
    clearTimeout(this.timer ?? undefined);
    this.timer = null;
    this.panel.stop();
  }
}
