import { general, twoDigits } from "../core/format.js";
import { t } from "../core/translate.js";
import { announce } from "../components/announce.js";
import { element } from "../components/dom.js";
import { arraysInWords, arraysPicture, chosenRow, queryAt, readBlocks, restOf, rowInWords, weightsPicture } from "./pictures.js";
import { duration, intensity, phaseName, withPrefix } from "./price.js";

// A card: one layout of heads or one rule of visibility, beside what the reader has chosen of the other.

/**
 * @typedef {{label: string, description: string, source: string}} Described
 * @typedef {ReturnType<typeof import("./price.js").timesOf>} Times
 * @typedef {{
 *   variant: import("./example.js").HeadAttention[], difference: {weight: number, output: number}, prices: Prices, base: Prices,
 *   layout: string, chosen: boolean, built: boolean, sink: boolean, times: Times, state: VariantState, palette: VariantData["palettes"]["light"],
 * }} CardContent
 */

export class VariantCard {
  /** @type {Map<HTMLElement, unknown[]>} what the pictures that stand were drawn from */
  drawn = new Map();

  /**
   * @param {Described} row
   * @param {Example} example
   * @param {{choose: () => void, token: (token: number) => void, head: (head: number) => void}} acts
   */
  constructor(row, example, acts) {
    this.row = row;
    this.example = example;
    this.root = element("article", "variants-card attn-card-like");
    const title = element("h3", "", row.label);
    this.badge = element("span", "variants-badge", t("as built"));
    this.button = element("button", "attn-plain-button", t("Choose"));
    this.button.addEventListener("click", acts.choose);
    const head = element("header");
    head.append(title, this.badge, this.button);
    const about = element("p", "", `${row.description} `);
    const source = element("small", "", row.source);
    source.translate = false;
    about.append(source);
    this.weights = element("div", "variants-weights");
    this.weights.tabIndex = 0;
    this.weights.setAttribute("role", "group");
    this.arrays = element("div");
    const pictures = element("div", "variants-pictures");
    pictures.append(this.weights, this.arrays);
    this.words = element("p", "variants-words");
    this.cache = element("p", "variants-cache");
    this.prices = element("table", "variants-numbers");
    this.accuracy = element("p", "variants-note");
    this.measured = element("div", "variants-note");
    this.numbers = element("details", "variants-note");
    this.numbers.append(element("summary", "", t("Weights as a table")), scrolling(t("{name}: weights", { name: row.label })));
    this.numbers.addEventListener("toggle", () => this.list());
    this.root.append(head, about, pictures, this.words, this.cache, this.prices, this.accuracy, this.measured, this.numbers);
    this.listen(acts);
  }

  /** @param {{token: (token: number) => void, head: (head: number) => void}} acts */
  listen(acts) {
    const { T, heads } = this.example;
    this.weights.addEventListener("click", (event) => {
      const query = queryAt(event.clientY - this.weights.getBoundingClientRect().top, T);
      if (query !== null) acts.token(query);
    });
    this.weights.addEventListener("keydown", (event) => {
      const { token, head } = /** @type {CardContent} */ (this.content).state;
      /** @type {Record<string, () => void>} */
      const keys = {
        ArrowUp: () => acts.token(Math.max(token - 1, 0)),
        ArrowDown: () => acts.token(Math.min(token + 1, T - 1)),
        Home: () => acts.token(0),
        End: () => acts.token(T - 1),
        ArrowLeft: () => acts.head(Math.max(head - 1, 0)),
        ArrowRight: () => acts.head(Math.min(head + 1, heads - 1)),
      };
      if (!Object.hasOwn(keys, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
      announce(t("Head {head}: {words}", { head: this.content?.state.head, words: this.words.textContent }));
    });
  }

  /** @param {CardContent} content */
  show(content) {
    this.content = content;
    const { variant, state, palette, layout, sink, chosen, built, difference, prices, base } = content;
    this.root.classList.toggle("variants-chosen", chosen);
    this.button.ariaPressed = String(chosen);
    this.button.textContent = chosen ? t("Chosen") : t("Choose");
    this.button.ariaLabel = `${this.button.textContent} ${this.row.label}`;
    this.badge.hidden = !built;
    const shown = { token: state.token, sink, palette: palette.weights };
    this.drawWhole(this.weights, [variant[state.head], palette], () => weightsPicture(variant[state.head], this.example, shown));
    this.weights.firstElementChild?.append(chosenRow(variant[state.head], this.example, shown));
    this.drawWhole(this.arrays, [layout, palette], () => arraysPicture(this.example, layout, palette.numbers));
    this.arrays.firstElementChild?.append(readBlocks(this.example, layout, state.head, state.token));
    this.words.textContent = `${rowInWords(variant[state.head], this.example, state.token)}.`;
    this.weights.setAttribute("aria-label", [t("{name}: weights of head {head}.", { name: this.row.label, head: state.head }), this.words.textContent, arraysInWords(this.example, layout), t("Up and down choose the token, left and right the head.")].join(" "));
    const part = base.cache / prices.cache;
    const compared = prices.cache === base.cache ? "" : part > 1 ? t(" · 1/{part} of multi-head, causal", { part: general(part, 3) }) : t(" · {times} × multi-head, causal", { times: general(1 / part, 3) });
    this.cache.replaceChildren(element("b", "", withPrefix(prices.cache_per_token, "B")), ` ${t("KV cache a token")} · `, element("b", "", withPrefix(prices.cache, "B")), ` ${t("in all")}${compared}`);
    this.prices.replaceChildren(
      line(["", "FLOP", t("bytes"), "FLOP/B"], true),
      ...["prefill", "decode"].map((phase) => line([phaseName(phase), withPrefix(prices[`${phase}_flops`], ""), withPrefix(prices[`${phase}_bytes`], "B"), intensity(prices[`${phase}_intensity`])])),
    );
    this.accuracy.textContent = difference.output === 0 ? t("On the toy: the same as multi-head, causal.") : t("On the toy, against multi-head, causal: a weight differs by up to {weight}, the output by {share} %.", { weight: twoDigits(difference.weight), share: twoDigits(100 * difference.output) });
    this.measured.replaceChildren(...this.measurements(content.times));
    this.list();
  }

  /**
   * Draws a picture, or takes the marks off the one that stands, if it is of the same.
   *
   * @param {HTMLElement} place
   * @param {unknown[]} of what it is drawn from
   * @param {() => SVGElement} draw
   */
  drawWhole(place, of, draw) {
    const known = this.drawn.get(place);
    if (known && known.every((one, at) => one === of[at])) place.querySelector("svg > g")?.remove();
    else place.replaceChildren(draw());
    this.drawn.set(place, of);
  }

  /** @param {Times} times */
  measurements(times) {
    if (times.length === 0) return [element("p", "", t("Time: not measured."))];
    return times.map(({ machine, time, phase, remark }) => {
      const text = `${t("Measured, {phase}: {time} for", { phase: phaseName(phase), time: duration(time.seconds) })} B ${time.B}, H ${time.H}${time.Hkv === time.H ? "" : `/${time.Hkv}`}, ${time.T === time.S ? "" : `T ${time.T}, `}S ${time.S.toLocaleString("en")}, D ${time.D}, ${machine.products}${remark === "" ? "" : `, ${remark}`}`;
      const error = time.units === null ? "" : ` ${t("(error {units} of 8 units)", { units: general(time.units, 2) })}`;
      const limit = t("{share} % of the limit of {machine}", { share: twoDigits(100 * time.share), machine: machine.title });
      const where = `${time.implementation}, ${t("certified")}${error}, ${limit}; ${machine.place}`;
      const shown = element("p", "", `${text}. `);
      shown.append(element("small", "", where));
      return shown;
    });
  }

  list() {
    if (!this.numbers.open || !this.content) return;
    const { T, tokens } = this.example;
    const { variant, state, sink } = this.content;
    const { weights, visible } = variant[state.head];
    const table = element("table", "variants-numbers");
    table.append(line([t("head {head}", { head: state.head }), ...tokens, ...(sink ? [t("sink")] : [])], true));
    for (const [i, token] of tokens.entries()) {
      const row = [...weights.subarray(i * T, (i + 1) * T)];
      const rest = sink ? [general(restOf(weights, i, T), 3)] : [];
      table.append(line([token, ...row.map((weight, j) => (visible[i * T + j] ? general(weight, 3) : "–")), ...rest]));
    }
    /** @type {HTMLElement} */ (this.numbers.lastElementChild).replaceChildren(table);
  }
}

/** @param {string} name a region that scrolls sideways */
export function scrolling(name) {
  const region = element("div", "variants-scroll");
  region.tabIndex = 0;
  region.setAttribute("role", "region");
  region.setAttribute("aria-label", name);
  return region;
}

/**
 * A row of a table, its first cell a heading.
 *
 * @param {string[]} cells
 * @param {boolean} [head] whether all are headings of columns
 */
export function line(cells, head = false) {
  const row = element("tr");
  row.append(
    ...cells.map((text, at) => {
      if (!head && at > 0) return element("td", "", text);
      if (text === "") return element("td");
      const heading = element("th", "", text);
      heading.scope = head ? "col" : "row";
      return heading;
    }),
  );
  return row;
}
