import { inQuotes } from "../core/format.js";
import { t } from "../core/translate.js";
import { fillCandidates } from "./candidate_table.js";
import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { madeBy, WritingPanel } from "./writing_panel.js";

// A model writes on, in the file or on the server: each token as it comes, its attention and what else might have come.

/**
 * `next_tokens` is how many tokens the model gives scores of, 0 if it does not write; `limit` the most that are read.
 *
 * @typedef {Dispatching<{name_of_model: string, limit: number, next_tokens: number}>} LiveWritingParameters
 * @typedef {{start: (choices: WritingChoices, address: string) => void, stop: () => void}} LiveWritingActions `address` as query parameters
 * @typedef {{written: LiveToken[], choices: ?WritingChoices, shown: boolean, panel: ReturnType<WritingPanel["keep"]>}} Written all that is on screen
 * @typedef {{tokens: string[], ended?: boolean}} WrittenAnswer all tokens, and whether the model ended its text
 */
/**
 * What has a model write; as `write` of LiveModel.
 *
 * @template {WrittenAnswer} Answer
 * @typedef {{write: (text: string, without: string, choices: WritingChoices, onToken: (token: LiveToken) => void) => Promise<?Answer>}} Writer
 */

const TOP_K = 40;
const NAMES = /** @type {const} */ (["count", "temperature", "topK", "seed"]);

export class LiveWriting {
  root = element("div", "attn-live-writing");
  table = element("table", "attn-candidates");
  /** @type {LiveToken[]} */
  written = [];
  /** the choices that a link opens with */
  linked = "";
  /** @type {?WritingChoices} what was written with */
  choices = null;
  /** whether the attention of what was written is on screen */
  shown = false;

  /**
   * @param {ComponentModel<LiveWritingParameters>} model
   * @param {LiveWritingActions} actions
   */
  constructor(model, actions) {
    this.model = model;
    this.panel = new WritingPanel({
      start: (choices) => {
        const address = this.linked;
        this.linked = "";
        actions.start(choices, address);
      },
      stop: actions.stop,
      select: (place) => this.select(place),
    });
    this.root.append(this.panel.root, this.table);
    this.offer();
  }

  /** Gets ready for a model. */
  offer() {
    this.root.hidden = this.model.next_tokens === 0;
    this.panel.open(this.model.next_tokens, TOP_K);
    this.clear();
  }

  clear() {
    this.written = [];
    this.shown = false;
    this.table.hidden = true;
    this.panel.clear();
  }

  /** @returns {Written} for `restore` */
  keep() {
    const { written, choices, shown, panel } = this;
    return { written, choices, shown, panel: panel.keep() };
  }

  /** @param {Written} kept */
  restore({ written, choices, shown, panel }) {
    Object.assign(this, { written, choices, shown });
    this.panel.restore(panel);
    this.table.hidden = false;
  }

  /** How the text was written, as the address has it: what was asked for, or fewer tokens if it was stopped. */
  get address() {
    return NAMES.map((name) => (name === "count" ? this.written.length : this.choices?.[name])).join(",");
  }

  /**
   * Writes as a link says.
   *
   * @param {string} write of `address`
   * @param {string} address the link's other choices
   */
  open(write, address) {
    const numbers = write.split(",");
    this.panel.choices = /** @type {any} */ (Object.fromEntries(NAMES.map((name, at) => [name, numbers[at] ?? ""])));
    this.linked = address;
    if (this.panel.start()) return;
    this.linked = "";
    dispatch(this.model, { typed_refused: true });
  }

  /**
   * @template {WrittenAnswer} Answer
   * @param {Writer<Answer>} live
   * @param {string} text
   * @param {string} without heads that are knocked out
   * @param {WritingChoices} choices
   */
  async write(live, text, without, choices) {
    this.choices = choices;
    this.panel.begin(text);
    const answer = await live.write(text, without, choices, (token) => this.append(token));
    if (answer === null) return null;
    const reached = answer.tokens.length >= this.model.limit ? `${t("At most {count} tokens can be read, so it ends here.", { count: this.model.limit })} ` : "";
    const made = madeBy(this.model.name_of_model, choices);
    this.panel.end(answer.ended ? `${t("The model ended its text.")} ` : reached, made, this.written.map(({ token }) => token).join(""));
    return answer;
  }

  /** @param {LiveToken} token */
  append(token) {
    this.written.push(token);
    const { chance } = /** @type {{chance: number}} */ (token.candidates.find(({ drawn }) => drawn));
    this.panel.append({ label: token.token, spoken: token.token, chance, before: "", breaks: token.token === "\\n" });
  }

  /**
   * The attention of what was written is on screen.
   *
   * @param {boolean} selects whether the explorer goes to the token that is looked at here
   */
  arrive(selects) {
    this.shown = true;
    if (selects && this.written.length > 0) this.select(this.panel.selected);
  }

  /** @param {number} place of a written token; -1 for what comes after the prompt */
  select(place) {
    const at = Math.max(place, 0);
    const { token, candidates, prompt } = this.written[at];
    const position = prompt + at - 1;
    const after = at === 0 ? t("the prompt") : inQuotes(this.written[at - 1].token);
    const rows = candidates.map(({ name, chance, drawn }) => ({ name, note: drawn ? t("was drawn") : "", shares: [chance] }));
    fillCandidates(this.table, t("After {after} ({position}), whose attention is shown below: “{token}” was drawn", { after, position, token }), [t("Probability")], rows);
    this.table.hidden = false;
    if (this.shown) dispatch(this.model, { token: position });
  }
}
