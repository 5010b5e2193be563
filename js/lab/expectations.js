import { inQuotes } from "../core/format.js";
import { t } from "../core/translate.js";
import { fillCandidates } from "../components/candidate_table.js";
import { element } from "../components/dom.js";
import { likeliest } from "../live_model/next_token.js";

// What a model expects after each token of a sequence: the loss of every token, and the likeliest next ones of one position.

const MOST_CANDIDATES = 8;

/**
 * Logarithms of the next token's probabilities, T*vocabulary, and the loss of each token but the first.
 *
 * @typedef {{logs: Float64Array, losses: number[]}} Expected
 *
 * `next` is the token that was written after the last one, `after` is what is expected without the heads named in `without`,
 * `scored` the positions whose next token can be known, where the task says so; `step` that of the weights, `shownStep` that of
 * the attention on screen.
 * @typedef {{step: number, shownStep: number, labels: string[], ids: number[], scored: ?number[], next: ?number, before: Expected, after: ?Expected, without: string[]}} Content
 */

/** @param {number} number */
const nats = (number) => (number >= 99.5 ? number.toFixed(0) : number.toFixed(2));

/** @param {number[]} numbers */
const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;

export class Expectations {
  root = element("section", "lab-expect");
  title = element("h3", "lab-head-title", t("What it expects next"));
  summary = element("p", "attn-caption lab-loss-words");
  tokens = element("div", "lab-cells");
  legend = element("p", "lab-legend");
  table = element("table", "attn-candidates");
  /** position whose next token is shown; -1 for the last */
  selected = -1;
  /** @type {?Content} */
  content = null;

  /**
   * @param {() => void} onRestore puts the knocked-out heads back
   * @param {() => void} onSelect another position is shown
   */
  constructor(onRestore, onSelect) {
    this.onRestore = onRestore;
    this.onSelect = onSelect;
    this.tokens.setAttribute("role", "group");
    this.tokens.setAttribute("aria-label", t("The tokens, with the loss of each"));
    this.root.append(this.title, this.summary, this.tokens, this.legend, this.table);
    this.tokens.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** @param {Content} content */
  show(content) {
    const length = content.ids.length;
    if (this.content?.ids.length !== length) this.selected = -1;
    this.content = content;
    this.tokens.hidden = this.legend.hidden = this.table.hidden = false;
    while (this.tokens.children.length > length) this.tokens.lastChild?.remove();
    while (this.tokens.children.length < length) this.tokens.append(this.makeCell(this.tokens.children.length));
    this.title.textContent = t("What it expects next, at step {step}", { step: content.step });
    if (content.step !== content.shownStep) {
      this.title.append(" ", element("small", "", t("the last before step {step} whose weights are kept", { step: content.shownStep })));
    }
    this.drawSummary(content);
    this.draw();
  }

  /**
   * Says that something is on its way; what was shown before stays.
   *
   * @param {string} words
   */
  wait(words) {
    if (this.content === null) this.explain(words);
    else this.title.textContent = words;
  }

  /**
   * Says why there is nothing to show.
   *
   * @param {string} words
   */
  explain(words) {
    this.content = null;
    this.tokens.hidden = this.legend.hidden = this.table.hidden = true;
    this.title.textContent = t("What it expects next");
    this.summary.textContent = words;
  }

  /** @param {number} position */
  makeCell(position) {
    const cell = element("button", "lab-cell");
    const bars = element("i");
    bars.append(element("b"), element("b"));
    cell.append(element("span"), element("span", "lab-unseen"), bars, element("small"));
    cell.addEventListener("click", () => this.select(position));
    return cell;
  }

  /** @param {KeyboardEvent} event */
  onKey({ key }) {
    const last = (this.content?.ids.length ?? 1) - 1;
    const at = this.position;
    const target = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[key];
    if (target === undefined || target < 0 || target > last) return;
    this.select(target);
    /** @type {HTMLElement} */ (this.tokens.children[target]).focus();
  }

  /** @param {number} position */
  select(position) {
    this.selected = position;
    this.draw();
    this.onSelect();
  }

  /** The position whose next token is shown; -1 for none. */
  get position() {
    if (this.content === null) return -1;
    return this.selected < 0 ? this.content.ids.length - 1 : this.selected;
  }

  /** @param {Content} content */
  drawSummary({ ids, scored, before, after, without, labels }) {
    const full = nats(Math.log(labels.length));
    const bars = t("Below each token its loss in nats; a full bar is {loss}, what guessing among {count} gives.", { loss: full, count: labels.length });
    this.legend.textContent = after === null ? bars : `${bars} ${t("Blue: all heads; orange and the number: without {heads}.", { heads: without.join(", ") })}`;
    if (ids.length < 2) {
      this.summary.textContent = t("One token has no loss: nothing comes before it.");
      return;
    }
    /** @param {number[]} positions */
    const over = (positions) => {
      const [one, other] = [before, after].map((expected) => expected && nats(mean(positions.map((position) => expected.losses[position]))));
      return other === null ? t("{loss} nats", { loss: one }) : t("{loss} → {after} nats without {heads}", { loss: one, after: other, heads: without.join(", ") });
    };
    const all = ids.slice(1).map((_, position) => position);
    const values = { known: scored?.length, loss: scored && over(scored), count: all.length, all: over(all) };
    const some = scored !== null && scored.length > 0 && scored.length < all.length;
    const said = some
      ? t("Mean loss of the {known} tokens that can be known: {loss}; of all {count} after the first: {all}.", values)
      : t("Mean loss of all {count} after the first: {all}.", values);
    this.summary.replaceChildren(`${said} `);
    if (after === null) return;
    const back = element("button", "attn-link-button", without.length === 1 ? t("Put it back") : t("Put them back"));
    back.addEventListener("click", () => this.onRestore());
    this.summary.append(back);
  }

  draw() {
    if (this.content === null) return;
    const { ids, labels, before, after } = this.content;
    const selected = this.position;
    const full = Math.log(labels.length);
    ids.forEach((id, position) => {
      const cell = /** @type {HTMLButtonElement} */ (this.tokens.children[position]);
      const [token, words, bars, number] = cell.children;
      const [loss, changed] = [before, after].map((expected) => (position > 0 ? expected?.losses[position - 1] : undefined));
      token.textContent = labels[id];
      number.textContent = loss === undefined ? "–" : nats(changed ?? loss);
      [loss, changed].forEach((value, place) => {
        const bar = /** @type {HTMLElement} */ (bars.children[place]);
        bar.hidden = value === undefined;
        bar.style.height = `${Math.min((100 * (value ?? 0)) / full, 100).toFixed(1)}%`;
      });
      const then = loss === undefined || changed === undefined ? "" : `${nats(loss)}, `;
      words.textContent = `, ${t("token {position}: loss in nats", { position })} ${then}`;
      cell.setAttribute("aria-pressed", String(position === selected));
      cell.tabIndex = position === selected ? 0 : -1;
    });
    this.drawCandidates(selected);
  }

  /** @param {number} position */
  drawCandidates(position) {
    const { ids, next, labels, before, after, without } = /** @type {Content} */ (this.content);
    const count = labels.length;
    const row = (/** @type {Expected} */ { logs }) => logs.subarray(position * count, (position + 1) * count);
    const actual = ids[position + 1] ?? next;
    const shown = likeliest(row(before), MOST_CANDIDATES);
    if (actual !== null && !shown.includes(actual)) shown.push(actual);
    const comes = position + 1 < ids.length ? t("comes next") : t("was written");
    const what = actual === null ? t("the sequence ends here") : `${inQuotes(labels[actual])} ${comes}, ${t("loss {loss} nats", { loss: nats(-row(before)[actual]) })}`;
    const candidates = shown.map((id) => ({
      name: labels[id],
      note: id === actual ? comes : "",
      shares: [before, ...(after === null ? [] : [after])].map((expected) => Math.exp(row(expected)[id])),
    }));
    const columns = [t("Probability"), ...(after === null ? [] : [t("Without {heads}", { heads: without.join(", ") })])];
    fillCandidates(this.table, t("After “{token}” ({position}): {what}", { token: labels[ids[position]], position, what }), columns, candidates);
  }
}
