import { general } from "../core/format.js";
import { t } from "../core/translate.js";
import { element } from "../components/dom.js";
import { labelled } from "./bar.js";
import { line, scrolling } from "./card.js";
import { onlineSoftmax } from "./online_softmax.js";
import { svg } from "./svg.js";

// The online softmax stepped through, a block of queries and keys at a time.

/** @typedef {import("./online_softmax.js").BlockStep} BlockStep */

const CELL = 26;
const [LEFT, TOP] = [26, 18];
const ORDERS = /** @type {const} */ ({ queries: t("queries (FlashAttention-2)"), keys: t("keys (FlashAttention)") });

export class Stepper {
  step = 0;
  last = 0;

  /**
   * @param {Example} example
   * @param {(changes: Partial<VariantState>) => void} change
   */
  constructor(example, change) {
    this.example = example;
    this.change = change;
    this.root = element("section", "variants-section attn-card-like");
    this.root.append(element("h2", "", t("Online softmax, block by block")));
    this.about = element("p", "variants-note");
    const sizes = Array.from({ length: example.T }, (_, at) => String(at + 1));
    this.rows = choice(sizes, (value) => change({ rows: Number(value), step: 0 }));
    this.columns = choice(sizes, (value) => change({ columns: Number(value), step: 0 }));
    this.order = choice(Object.keys(ORDERS), (value) => change({ order: /** @type {VariantState["order"]} */ (value), step: 0 }), Object.values(ORDERS));
    const choices = element("div", "variants-line");
    choices.append(labelled(t("Queries in a block"), this.rows), labelled(t("Keys in a block"), this.columns), labelled(t("Outer loop over"), this.order, "variants-model"));
    this.player = element("div", "variants-player");
    this.player.setAttribute("role", "group");
    this.player.setAttribute("aria-label", t("Blocks. Left and right go a block back or on, Home and End to the first and last."));
    this.buttons = [[t("First block"), "|◀", -Infinity], [t("Previous block"), "◀", -1], [t("Next block"), "▶", 1], [t("Last block"), "▶|", Infinity]].map(([name, sign, by]) => {
      const button = element("button", "attn-plain-button", String(sign));
      button.setAttribute("aria-label", String(name));
      button.addEventListener("click", () => this.go(this.step + Number(by)));
      return button;
    });
    this.slider = element("input");
    Object.assign(this.slider, { type: "range", min: "0", step: "1" });
    this.slider.setAttribute("aria-label", t("Block"));
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.count = element("output");
    this.player.append(...this.buttons, this.slider, this.count);
    this.player.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.go(this.step + by);
    });
    this.words = element("p", "variants-sentence");
    this.words.setAttribute("role", "status");
    this.grid = element("div", "variants-blocks");
    this.block = scrolling(t("The block's rows"));
    this.states = scrolling(t("Every query so far"));
    const columns = element("div", "variants-columns");
    const tables = element("div", "variants-tables");
    tables.append(element("h3", "", t("This block")), this.block, element("h3", "", t("Every query so far")), this.states);
    columns.append(this.grid, tables);
    this.root.append(this.about, choices, this.player, this.words, columns);
  }

  /** @param {number} step */
  go(step) {
    this.change({ step: Math.min(Math.max(step, 0), this.last) });
  }

  /**
   * @param {import("./example.js").HeadAttention} attention of the chosen head
   * @param {Float64Array} value T*D
   * @param {VariantState} state
   * @param {{label: string, sink: ?number}} variant
   */
  show(attention, value, state, { label, sink }) {
    const { T, D, tokens } = this.example;
    const { rows, columns, order } = state;
    const run = onlineSoftmax(attention.scores, attention.visible, value, { T, S: T, Dv: D, rows, columns, order, sink });
    this.last = run.steps.length - 1;
    this.step = Math.min(state.step, this.last);
    const step = run.steps[this.step];
    this.rows.value = String(rows);
    this.columns.value = String(columns);
    this.order.value = order;
    this.slider.max = String(this.last);
    this.slider.value = String(this.step);
    const name = this.nameOf(step);
    this.slider.setAttribute("aria-valuetext", t("{number} of {count}: {name}", { number: this.step + 1, count: this.last + 1, name }));
    this.count.textContent = t("{number} of {count}", { number: this.step + 1, count: this.last + 1 });
    for (const [at, button] of this.buttons.entries()) button.disabled = at < 2 ? this.step === 0 : this.step === this.last;
    const { queries, keys } = step.loads;
    this.about.textContent = [
      t("Head {head} of {variant}. A row of weights is never whole in memory: a maximum, a sum and an accumulator a query are enough.", { head: state.head, variant: label }),
      queries === 1
        ? t("Read so far: 1 block of queries, {keys} of keys and values;", { keys })
        : t("Read so far: {queries} blocks of queries, {keys} of keys and values;", { queries, keys }),
      t("{skipped} of {count} blocks are skipped, since nothing in them is visible.", { skipped: run.skipped.length, count: run.skipped.length + run.steps.length }),
    ].join(" ");
    const text = this.sentence(step, name);
    this.words.textContent = text[0].toUpperCase() + text.slice(1);
    this.grid.replaceChildren(this.picture(run.steps, run.skipped, attention.visible, state));
    this.block.replaceChildren(this.rowsTable(step));
    this.states.replaceChildren(this.statesTable(run, attention.output, tokens));
  }

  /** @param {BlockStep} step */
  nameOf({ queries, keys }) {
    return t("queries {queries}, keys {keys}", { queries: this.span(queries), keys: this.span(keys) });
  }

  /** @param {[number, number]} range */
  span([from, to]) {
    const { tokens } = this.example;
    return to - from === 1 ? tokens[from] : `${tokens[from]}–${tokens[to - 1]}`;
  }

  /** @param {BlockStep} step @param {string} name */
  sentence({ rows }, name) {
    const { tokens } = this.example;
    const risen = rows.filter(({ before, rescale }) => before.max > -Infinity && rescale < 1);
    const first = rows.filter(({ before, after }) => before.max === -Infinity && after.max > -Infinity);
    if (risen.length > 0) {
      const { query, before, after, rescale } = risen.at(-1) ?? rows[0];
      const said = { name, token: tokens[query], low: number(before.max), high: number(after.max), factor: number(rescale) };
      return t("{name}: for {token} the maximum rises from {low} to {high}, so what was summed so far is multiplied by e^({low} − {high}) = {factor}.", said);
    }
    const seeing = first.map(({ query }) => tokens[query]).join(", ");
    if (first.length === 1) return t("{name}: the first keys that {token} sees; the largest score is the maximum so far.", { name, token: seeing });
    if (first.length > 1) return t("{name}: the first keys that {tokens} see; the largest score is the maximum so far.", { name, tokens: seeing });
    return t("{name}: no maximum rises, so nothing is rescaled; the block's e^(score − maximum) are added.", { name });
  }

  /** @param {BlockStep[]} steps @param {[number, number][]} skipped @param {Uint8Array} visible @param {VariantState} state */
  picture(steps, skipped, visible, { rows, columns }) {
    const { T, tokens } = this.example;
    const size = T * CELL;
    const picture = svg("svg", { viewBox: `0 0 ${LEFT + size + 2} ${TOP + size + 2}`, width: LEFT + size + 2, height: TOP + size + 2, "aria-hidden": "true" });
    for (const [i, token] of tokens.entries()) {
      picture.append(svg("text", { x: LEFT - 5, y: TOP + i * CELL + CELL / 2 + 4, "text-anchor": "end", class: "variants-label" }, token));
      picture.append(svg("text", { x: LEFT + i * CELL + CELL / 2, y: TOP - 5, "text-anchor": "middle", class: "variants-label" }, token));
    }
    for (let at = 0; at < T * T; at++) {
      const [x, y] = [LEFT + (at % T) * CELL, TOP + Math.floor(at / T) * CELL];
      picture.append(svg("rect", { x, y, width: CELL - 1, height: CELL - 1, class: visible[at] ? "variants-seen" : "variants-hidden" }));
    }
    /** @param {[number, number]} block @param {string} css @param {string} text */
    const box = ([row, column], css, text) => {
      const [x, y] = [LEFT + column * columns * CELL, TOP + row * rows * CELL];
      const [wide, high] = [Math.min(columns, T - column * columns) * CELL - 1, Math.min(rows, T - row * rows) * CELL - 1];
      picture.append(svg("rect", { x, y, width: wide, height: high, class: css }));
      if (text) picture.append(svg("text", { x: x + wide / 2, y: y + high / 2 + 4, "text-anchor": "middle", class: "variants-order" }, text));
      else picture.append(svg("path", { d: `M${x} ${y + high} L${x + wide} ${y}`, class: "variants-hatch" }));
    };
    for (const block of skipped) box(block, "variants-skipped", "");
    for (const [at, { block }] of steps.entries()) {
      const css = at === this.step ? "variants-now" : at < this.step ? "variants-done" : "variants-ahead";
      box(block, css, String(at + 1));
    }
    return picture;
  }

  /** @param {BlockStep} step */
  rowsTable({ rows, keys }) {
    const { tokens } = this.example;
    const table = element("table", "variants-numbers");
    table.append(line([t("query"), t("scores of {keys}", { keys: this.span(keys) }), t("maximum"), t("rescale by"), "e^(score − max)", t("sum"), t("accumulator")], true));
    for (const { query, scores, before, after, rescale, weights } of rows) {
      table.append(line([tokens[query], scores.map(number).join(", "), fromTo(before.max, after.max), number(rescale), weights.map(number).join(", "), fromTo(before.sum, after.sum), after.output.map(number).join(", ")]));
    }
    return table;
  }

  /**
   * @param {import("./online_softmax.js").OnlineSoftmax} run
   * @param {Float64Array} plain the output of the plain softmax
   * @param {string[]} tokens
   */
  statesTable({ steps }, plain, tokens) {
    const { D } = this.example;
    const table = element("table", "variants-numbers");
    table.append(line([t("query"), t("maximum"), t("sum"), t("accumulator ÷ sum"), t("plain softmax"), t("difference")], true));
    for (const [query, token] of tokens.entries()) {
      const seen = steps.slice(0, this.step + 1).findLast(({ rows }) => rows.some((row) => row.query === query));
      const state = seen?.rows.find((row) => row.query === query)?.after;
      const whole = [...plain.subarray(query * D, (query + 1) * D)];
      const done = state === undefined ? false : !steps.slice(this.step + 1).some(({ rows }) => rows.some((row) => row.query === query));
      if (state === undefined || state.sum === 0) {
        table.append(line([token, "–", "–", "–", whole.map(number).join(", "), t("no key yet")]));
        continue;
      }
      const now = state.output.map((mixed) => mixed / state.sum);
      const error = Math.max(...now.map((one, d) => Math.abs(one - whole[d])));
      const row = line([token, number(state.max), number(state.sum), now.map(number).join(", "), whole.map(number).join(", "), `${general(error, 2)}${done ? ` · ${t("done")}` : ""}`]);
      row.classList.toggle("variants-complete", done);
      table.append(row);
    }
    return table;
  }
}

/** @param {string[]} values @param {(value: string) => void} chosen @param {string[]} [labels] */
function choice(values, chosen, labels = values) {
  const field = element("select");
  field.append(...values.map((value, at) => Object.assign(element("option", "", labels[at]), { value })));
  field.addEventListener("change", () => chosen(field.value));
  return field;
}

/** @param {number} value */
function number(value) {
  return value === -Infinity ? "−∞" : general(value, 4).replace("-", "−");
}

/** @param {number} before @param {number} after */
function fromTo(before, after) {
  return before === after ? number(after) : `${number(before)} → ${number(after)}`;
}
