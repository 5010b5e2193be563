import { inEnglish, t } from "../core/translate.js";
import { element, ensureViewport } from "../components/dom.js";
import { Bar } from "./bar.js";
import { VariantCard, scrolling } from "./card.js";
import { differenceOf, headOf, variantOf } from "./example.js";
import { machinesAt, pricesOf, timesOf } from "./price.js";
import { colourBars } from "./pictures.js";
import { formulas, priceTable } from "./price_table.js";
import { roofline, symbol } from "./roofline.js";
import { MOST_MACHINES, fromLink, toLink } from "./state.js";
import { Stepper } from "./stepper.js";
import { svg } from "./svg.js";

// The page of variants: holds the choices, and draws everything from them, served, in a file or in a notebook's cell.

/** @typedef {{content: VariantData, served: boolean, whole_page: boolean, dark: boolean, link: string}} VariantParameters */
/** @typedef {import("./price_table.js").PricedVariant & {kind: "layout" | "visibility"}} Shown */

const START_WIDTH = 900;

class VariantsPage {
  width = START_WIDTH;
  /** @type {import("./price.js").Machine[]} */
  machines = [];
  /** @type {Shown[]} */
  shown = [];
  /** @type {Map<string, VariantCard>} */
  cards = new Map();
  /** @type {Map<string, import("./example.js").HeadAttention[]>} */
  attentions = new Map();
  /** the choices that the prices stand for */
  pricedFor = "";
  besides = { layout: element("small"), visibility: element("small") };
  colours = element("p", "variants-legend");
  subtitle = element("p", "variants-note");
  chips = element("div", "variants-chips");
  plot = element("div", "variants-plot");
  table = scrolling(t("Prices of all variants"));
  formulas = element("details");

  /** @param {ComponentModel<VariantParameters>} model */
  constructor(model) {
    this.model = model;
    this.data = model.content;
    const { table, example, machines } = this.data;
    this.priced = pricesOf(table);
    const opened = fromLink(this.address(), table, machines, example);
    this.state = opened.state;
    this.root = element("main", "variants");
    this.bar = new Bar(this.data, () => this.state, (changes) => this.change(changes));
    this.stepper = new Stepper(example, (changes) => this.change(changes));
    this.root.append(
      this.bar.root,
      this.group(t("Which keys and values exist"), "layout", table.layouts),
      this.group(t("Who sees whom"), "visibility", table.visibilities),
      this.prices(),
      this.stepper.root,
    );
    if (opened.problems.length > 0) this.bar.say(t("Not restored from the link: {problem}", { problem: opened.problems.slice(0, 3).join(" ") }));
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width === 0 || Math.abs(contentRect.width - this.width) < 1) return;
      this.width = contentRect.width;
      this.drawRoofline();
    }).observe(this.plot);
    const redraw = () => this.show();
    // A link of this page, opened in its tab.
    const reread = () => {
      this.state = fromLink(this.address(), table, machines, example).state;
      this.show();
    };
    document.addEventListener("attn:theme", redraw);
    window.addEventListener("hashchange", reread);
    model.on("remove", () => {
      document.removeEventListener("attn:theme", redraw);
      window.removeEventListener("hashchange", reread);
    });
    this.show();
  }

  /** The choices in the URL; of a file those it was saved with, where it has none but a theme. Beside others, the model's. */
  address() {
    if (!this.model.whole_page) return this.model.link;
    if (this.model.served) return location.search.slice(1);
    const own = new URLSearchParams(location.hash.slice(1));
    own.delete("theme");
    return own.toString() || this.model.link;
  }

  /** @param {string} title @param {"layout" | "visibility"} kind @param {LayoutRow[]} rows */
  group(title, kind, rows) {
    const section = element("section", "variants-group");
    const heading = element("div", "variants-heading");
    heading.append(element("h2", "", title), this.besides[kind]);
    if (kind === "layout") heading.append(this.colours);
    const cards = element("div", "variants-cards");
    for (const row of rows) {
      const card = new VariantCard(row, this.data.example, {
        choose: () => this.change({ [kind]: row.name }),
        token: (token) => this.change({ token }),
        head: (head) => this.change({ head }),
      });
      this.cards.set(`${kind} ${row.name}`, card);
      cards.append(card.root);
    }
    section.append(heading, cards);
    return section;
  }

  prices() {
    const section = element("section", "variants-section attn-card-like");
    this.chips.setAttribute("role", "group");
    this.chips.setAttribute("aria-label", t("Machines, at most {count}", { count: MOST_MACHINES }));
    this.formulas.append(element("summary", "", t("Formulas of the chosen variant")), element("div", "variants-scroll"));
    section.append(element("h2", "", t("Price and roofline")), this.subtitle, this.chips, legend(), this.plot, this.table, this.formulas);
    return section;
  }

  /** @param {Partial<VariantState>} changes */
  change(changes) {
    this.state = { ...this.state, ...changes };
    this.show();
    this.writeLink();
  }

  writeLink() {
    const { table, example, machines } = this.data;
    const link = toLink(this.state, table, machines, example);
    const text = link.toString();
    if (!this.model.whole_page) {
      this.model.link = text;
      return;
    }
    if (this.model.served) {
      const address = new URL(location.href);
      const kept = new Map(["theme", "live", "lang"].map((name) => [name, address.searchParams.get(name)]));
      address.search = text;
      for (const [name, value] of kept) if (value !== null) address.searchParams.set(name, value);
      history.replaceState(null, "", address);
      this.model.link = text; // for a report
      return;
    }
    const theme = new URLSearchParams(location.hash.slice(1)).get("theme");
    if (theme !== null) link.set("theme", theme);
    history.replaceState(null, "", `#${link}`);
  }

  /** @returns {VariantData["palettes"]["light"]} */
  get palette() {
    const { whole_page: whole, dark } = this.model;
    return this.data.palettes[(whole ? document.documentElement.classList.contains("attn-dark-page") : dark) ? "dark" : "light"];
  }

  show() {
    const { state } = this;
    const { table, example, machines } = this.data;
    this.machines = machinesAt(machines, state.sizes.bytes);
    const base = this.attention("multi", "causal");
    const basePrices = this.priced("multi", "causal", state.sizes, state.projections);
    const built = table.models.find(({ name }) => name === state.model);
    this.shown = [
      ...table.layouts.map((row) => this.variant("layout", row, row.name, state.visibility)),
      ...table.visibilities.map((row) => this.variant("visibility", row, state.layout, row.name)),
    ];
    this.bar.show();
    this.colours.replaceChildren(...colourBars(example, this.palette));
    for (const { kind, layout, visibility, prices, times, chosen } of this.shown) {
      const variant = this.attention(layout, visibility);
      this.cards.get(`${kind} ${kind === "layout" ? layout : visibility}`)?.show({
        variant,
        difference: differenceOf(variant, base),
        prices,
        base: basePrices,
        layout,
        chosen,
        built: built !== undefined && built.layout === layout && built.visibility === visibility,
        sink: table.visibilities.some(({ name, sink }) => name === visibility && sink !== null),
        times,
        state,
        palette: this.palette,
      });
    }
    const [layout, visibility] = [labelOf(table.layouts, state.layout), labelOf(table.visibilities, state.visibility)];
    this.besides.layout.textContent = t("each with {name} visibility, the one chosen below", { name: inText(visibility) });
    this.besides.visibility.textContent = t("each with {name} keys and values, the ones chosen above", { name: inText(layout) });
    // What a choice of token or head leaves as it is.
    const priced = JSON.stringify([state.model, state.sizes, state.layout, state.visibility, state.projections, state.machines]);
    if (priced !== this.pricedFor) {
      this.pricedFor = priced;
      this.listMachines();
      this.drawRoofline();
      this.listPrices();
    }
    const own = this.attention(state.layout, state.visibility)[state.head];
    const { value } = headOf(example, example.layouts[state.layout], state.head);
    const sink = table.visibilities.find(({ name }) => name === state.visibility)?.sink ?? null;
    this.stepper.show(own, value, state, { label: `${layout}, ${inText(visibility)}`, sink });
  }

  /** Every head of a variant of the example. @param {string} layout @param {string} visibility */
  attention(layout, visibility) {
    const key = `${layout} ${visibility}`;
    const known = this.attentions.get(key) ?? variantOf(this.data.example, this.data.table, layout, visibility);
    this.attentions.set(key, known);
    return known;
  }

  /** @param {"layout" | "visibility"} kind @param {LayoutRow} row @param {string} layout @param {string} visibility @returns {Shown} */
  variant(kind, row, layout, visibility) {
    const { sizes, projections, layout: chosenLayout, visibility: chosenVisibility } = this.state;
    return {
      kind,
      label: row.label,
      layout,
      visibility,
      prices: this.priced(layout, visibility, sizes, projections),
      times: timesOf(this.machines, layout, visibility),
      chosen: layout === chosenLayout && visibility === chosenVisibility,
    };
  }

  listMachines() {
    const { chips, state, machines } = this;
    if (chips.children.length === 0) {
      for (const { name, measured } of machines) {
        const chip = element("button", `attn-plain-button ${measured ? "" : "variants-sheet"}`);
        chip.dataset.machine = name;
        chip.addEventListener("click", () => this.toggle(name));
        chips.append(chip);
      }
    }
    for (const [at, chip] of /** @type {HTMLButtonElement[]} */ ([...chips.children]).entries()) {
      const { name, title, measured, origin } = machines[at];
      const on = state.machines.includes(name);
      chip.textContent = `${title} · ${measured ? t("measured") : t("datasheet")}`;
      chip.title = origin;
      chip.ariaPressed = String(on);
      chip.disabled = !on && state.machines.length >= MOST_MACHINES;
    }
  }

  /** @param {string} name */
  toggle(name) {
    const chosen = new Set(this.state.machines);
    if (!chosen.delete(name)) chosen.add(name);
    this.change({ machines: this.machines.map((machine) => machine.name).filter((one) => chosen.has(one)) });
  }

  /** The machines that the reader has chosen. */
  get chosenMachines() {
    return this.machines.filter(({ name }) => this.state.machines.includes(name));
  }

  drawRoofline() {
    const machines = this.chosenMachines;
    if (machines.length === 0) this.plot.replaceChildren(element("p", "variants-note", t("Choose a machine to see its roofline.")));
    else this.plot.replaceChildren(roofline(this.once, machines, this.width));
  }

  /** Each variant once: the chosen one is a card of either group. */
  get once() {
    const named = this.shown.map((variant) => ({ ...variant, label: variant.chosen ? `${labelOf(this.data.table.layouts, variant.layout)}, ${inText(labelOf(this.data.table.visibilities, variant.visibility))}` : variant.label }));
    return named.filter(({ kind, chosen }) => !(chosen && kind === "visibility"));
  }

  listPrices() {
    const { model, sizes, projections } = this.state;
    const title = this.data.table.models.find(({ name }) => name === model)?.title;
    const [batch, length] = [sizes.batch, sizes.length].map((size) => size.toLocaleString("en"));
    const about = t("{model}: all {layers} layers, batch {batch}; a prefill of {length} tokens, and decoding the token at that length.", { model: title, layers: sizes.layers, batch, length });
    const text = `${about} ${projections ? t("Attention with its projections; bytes are the least that must move.") : t("Attention alone, without its projections; bytes are the least that must move.")}`;
    this.subtitle.textContent = text;
    this.table.replaceChildren(priceTable(this.once, this.chosenMachines));
    const chosen = this.shown.find((variant) => variant.chosen);
    if (chosen) this.formulas.lastElementChild?.replaceChildren(formulas(this.data.table, this.state, chosen.prices));
  }
}

/** @param {LayoutRow[]} rows @param {string} name */
function labelOf(rows, name) {
  return /** @type {LayoutRow} */ (rows.find((row) => row.name === name)).label;
}

/** A label inside a sentence. @param {string} label */
function inText(label) {
  return !inEnglish ? label : label[0].toLowerCase() + label.slice(1);
}

/** What the marks and lines of the roofline mean. */
function legend() {
  const line = element("p", "variants-legend");
  for (const [phase, text] of /** @type {const} */ ([["prefill", t("prefill")], ["decode", t("decode, one token")], ["measured", t("measured, certified")]])) {
    const sample = svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, symbol(8, 8, phase, false, ""));
    line.append(sampled(sample, text));
  }
  for (const [css, text] of [["", t("measured machine")], ["variants-datasheet", t("datasheet")]]) {
    const sample = svg("svg", { viewBox: "0 0 30 16", width: 30, height: 16, "aria-hidden": "true" }, svg("line", { x1: 1, x2: 29, y1: 8, y2: 8, class: `variants-roof ${css}` }));
    line.append(sampled(sample, text));
  }
  return line;
}

/** @param {Element} sample @param {string} text */
function sampled(sample, text) {
  const entry = element("span");
  entry.append(sample, text);
  return entry;
}

/** @param {Props<VariantParameters>} props */
export function render({ model }) {
  ensureViewport();
  return new VariantsPage(model).root;
}
