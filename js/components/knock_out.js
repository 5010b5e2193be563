import { fillCandidates } from "./candidate_table.js";
import { t } from "../core/translate.js";
import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";

// Heads of the model in the file that are knocked out, what that changes, and which of the two runs the page shows.

/** @typedef {{layer: number, head: ?number, token: number}} Place what the explorer shows; head null for the mean */
/** @typedef {{run: () => void, show: (after: boolean) => void}} KnockOutActions runs the text anew; shows one of its two runs */

const MOST_HEADS = 3;
// More heads than a model in a file has; a link may hold any number.
const MOST_NAMES = 2_000;
// Less than this is shown as 0.0 %.
const SMALL = 0.0005;

export class KnockOut {
  root = element("div", "attn-knock-out");
  line = element("p", "attn-caption attn-knock-out-line");
  button = element("button", "attn-plain-button");
  backs = element("span", "attn-knock-out-backs");
  runs = element("span", "attn-knock-out-runs");
  all = element("button", "attn-plain-button", t("All heads"));
  without = element("button", "attn-plain-button");
  note = element("p", "attn-caption muted");
  said = element("p", "attn-caption");
  table = element("table", "attn-candidates");
  /** knocked-out heads, as "layer.head" @type {string[]} */
  heads = [];
  /** what they changed @type {?{change: ModelChange, tokens: string[]}} */
  found = null;
  /** whether the run without the heads is shown */
  after = true;

  /**
   * @param {ComponentModel<import("./prompt_box.js").PromptBoxParameters>} model
   * @param {KnockOutActions} actions
   */
  constructor(model, actions) {
    this.model = model;
    this.actions = actions;
    this.runs.setAttribute("role", "group");
    this.runs.setAttribute("aria-label", t("Which run is shown"));
    this.runs.append(this.all, this.without);
    this.said.setAttribute("role", "status");
    this.button.addEventListener("click", () => this.toggle());
    this.all.addEventListener("click", () => this.show(false));
    this.without.addEventListener("click", () => this.show(true));
    const side = element("div");
    this.line.append(this.button, this.backs, this.runs);
    side.append(this.line, this.said, this.note);
    this.root.append(side, this.table);
    model.on("place", () => this.draw());
    this.draw();
  }

  /** The heads as the address has them. */
  get address() {
    return this.heads.join(",");
  }

  /** @param {string} text the heads as the address has them */
  set address(text) {
    const names = text === "" ? [] : [...new Set(text.split(","))];
    // Of too many one that no model has, so that it is refused with the rule.
    this.heads = names.length > MOST_NAMES ? [`${names.length} names`] : names;
    this.clear();
  }

  get withoutWords() {
    return this.heads.length > 1 ? t("Without them") : t("Without it");
  }

  /** @param {boolean} out whether the head on screen is knocked out */
  buttonWords(out) {
    const { layer, head } = this.place;
    if (head === null) return t("Knock out a head: show one first");
    return out ? t("Put back layer {layer}, head {head}", { layer, head }) : t("Knock out layer {layer}, head {head}", { layer, head });
  }

  /** Forgets what was found; the heads stay. */
  clear() {
    this.found = null;
    this.said.replaceChildren();
    this.mark(true);
    this.draw();
  }

  /** Knocks the head that is shown out, or puts it back. */
  toggle() {
    const { layer, head } = this.place;
    if (head === null) return;
    const name = `${layer}.${head}`;
    this.heads = this.heads.includes(name) ? this.heads.filter((other) => other !== name) : [...this.heads, name].sort(inOrder);
    this.change();
  }

  /** @param {string[]} heads that are put back */
  putBack(heads) {
    this.heads = this.heads.filter((head) => !heads.includes(head));
    this.change();
    this.button.focus(); // what had the focus is gone
  }

  change() {
    this.clear();
    this.actions.run();
  }

  /** @param {ModelChange} change @param {string[]} tokens */
  arrive(change, tokens) {
    this.found = { change, tokens };
    this.said.replaceChildren(outputWords(change, tokens), ...this.movedHeads(change));
    this.draw();
  }

  /** @param {boolean} after */
  show(after) {
    if (this.after === after) return;
    this.mark(after);
    this.actions.show(after);
  }

  /** @param {boolean} after */
  mark(after) {
    this.after = after;
    this.all.setAttribute("aria-pressed", String(!after));
    this.without.setAttribute("aria-pressed", String(after));
  }

  /** @returns {Place} */
  get place() {
    const { layer = 0, head = null, token = 0 } = this.model.place;
    return { layer, head, token };
  }

  draw() {
    const { layer, head } = this.place;
    const out = this.heads.includes(`${layer}.${head}`);
    this.button.disabled = head === null;
    this.button.textContent = this.buttonWords(out);
    this.without.textContent = this.withoutWords;
    const backs = this.heads.map((name) => {
      const [layer, head] = name.split(".");
      return this.backButton(`${t("layer {layer}, head {head}", { layer, head })} ×`, t("Put back layer {layer}, head {head}", { layer, head }), [name]);
    });
    if (this.heads.length > 1) backs.push(this.backButton(t("Put all back"), "", this.heads));
    // What stays is not taken out: it may have the focus.
    this.backs.replaceChildren(...(backs.length > 0 ? [t("Knocked out:"), ...backs] : []));
    this.runs.hidden = this.found === null;
    this.note.hidden = !out;
    this.note.textContent = t("Layer {layer}, head {head} is knocked out: what it mixes is replaced by 0. Its own weights and mix are drawn below.", { layer, head });
    this.drawChange();
  }

  /** @param {string} text @param {string} spoken "" for the text @param {string[]} heads */
  backButton(text, spoken, heads) {
    const button = element("button", "attn-link-button", text);
    if (spoken) button.setAttribute("aria-label", spoken);
    button.addEventListener("click", () => this.putBack(heads));
    return button;
  }

  drawChange() {
    this.table.hidden = true;
    if (this.found === null) return;
    const { change, tokens } = this.found;
    const token = Math.min(this.place.token, tokens.length - 1);
    const expected = change.expected[token];
    if (!expected) return;
    const rows = expected.map(({ name, before, after }) => ({ name, note: "", shares: [before, after] }));
    const moved = percent(change.tokens[token]);
    fillCandidates(this.table, t("After “{token}” ({at}): {moved} of the probability has moved", { token: tokens[token], at: token, moved }), [t("All heads"), this.withoutWords], rows);
    this.table.hidden = false;
  }

  /** @param {ModelChange} change @returns {(string | HTMLElement)[]} */
  movedHeads({ heads }) {
    const moved = heads
      .flatMap((shares, layer) => shares.map((share, head) => ({ layer, head, share })))
      .filter(({ share }) => share >= SMALL)
      .sort((one, other) => other.share - one.share)
      .slice(0, MOST_HEADS);
    if (moved.length === 0) return [` ${t("The attention of no head has moved: none comes after what was knocked out, or reads it.")}`];
    const named = moved.flatMap(({ layer, head, share }, at) => {
      const button = element("button", "attn-link-button", t("layer {layer}, head {head}", { layer, head }));
      button.addEventListener("click", () => dispatch(this.model, { tap: ["grid", head, layer] }));
      return [at > 0 ? ", " : " ", button, ` ${percent(share)}`];
    });
    return [` ${t("Attention that has moved, most first:")}`, ...named, "."];
  }
}

/** @param {ModelChange} change @param {string[]} tokens */
function outputWords({ tokens: moved, whole }, tokens) {
  const most = moved.indexOf(Math.max(...moved));
  if (whole === null) {
    const said = { token: tokens[most], at: most, moved: percent(moved[most]) };
    return t("After “{token}” ({at}), {moved} of the next token’s probability moves elsewhere, more than after any other token.", said);
  }
  const said = { whole: distance(whole), token: tokens[most], most: distance(moved[most]) };
  return t("The text’s embedding moves by a cosine distance of {whole}; of its tokens, “{token}” most, {most}.", said);
}

/** @param {string} one @param {string} other */
function inOrder(one, other) {
  const [[layer, head], [otherLayer, otherHead]] = [one, other].map((name) => name.split(".").map(Number));
  return layer - otherLayer || head - otherHead;
}

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** @param {number} number */
const distance = (number) => String(Number(number.toPrecision(2)));
