import { element } from "../components/dom.js";
import { moreButton } from "../components/more_button.js";
import { pairName } from "./drawings.js";
import { SIDES, sideOf } from "./model.js";
import { fixed, shorten } from "../core/format.js";
import { findMask, maskWords } from "../core/masks.js";
import { t } from "../core/translate.js";
import { readPositions } from "../explorer/address.js";
import { headLabels, layerLabels } from "../explorer/labels.js";
import { bounds, masksOf } from "../explorer/rules.js";

// The controls of a comparison.

const EXPONENT = 0.05;
const OWN_MASK = t("as the model");

/**
 * The input and text of a choice; `set` and `setApart` handle the reader's input.
 *
 * @typedef {{input: () => any, words: (side: number) => string, set: (name: string, side: number, control: any) => void,
 *   setApart: (name: string) => void}} ChoiceParts
 */

/** One choice: a title, whether both sides are linked, and an input for each side. */
export class SharedChoice {
  /** @param {string} name @param {string} label @param {ChoiceParts} parts */
  constructor(name, label, { input, words, set, setApart }) {
    this.words = words;
    this.label = label;
    this.box = element("div", "attn-choice");
    this.box.dataset.name = name;
    const head = element("div", "attn-choice-head");
    this.link = element("button", "attn-link-button");
    this.link.addEventListener("click", () => setApart(name));
    head.append(element("span", "attn-label", label), this.link);
    this.sides = SIDES.map((side, at) => {
      const row = element("label", "attn-choice-side");
      const control = input();
      control.setAttribute("aria-label", `${label}, ${side}`);
      const said = element("output");
      control.addEventListener("input", () => set(name, at, control));
      const mark = element("b", `attn-side-${side.toLowerCase()}`, side);
      row.append(mark, control, said);
      return { row, mark, control, said };
    });
    this.box.append(head, ...this.sides.map(({ row }) => row));
  }

  /** @param {boolean} apart @param {(control: any, side: number) => void} fill */
  show(apart, fill) {
    this.box.dataset.apart = String(apart);
    this.link.textContent = apart ? t("same in both") : t("A and B apart");
    this.link.setAttribute("aria-label", `${this.label}: ${this.link.textContent}`);
    this.link.title = apart ? t("Have B follow A") : t("Choose B by itself");
    for (const [at, { row, mark, control, said }] of this.sides.entries()) {
      row.hidden = at === 1 && !apart;
      mark.hidden = !apart;
      fill(control, at);
      said.textContent = this.words(at);
      sayValue(control, said.textContent);
    }
  }
}

/**
 * Has a slider say its value in words; other inputs say theirs.
 *
 * @param {HTMLInputElement} control
 * @param {string} words
 */
function sayValue(control, words) {
  if (control.type === "range") control.setAttribute("aria-valuetext", words);
}

/** @param {import("./controller.js").ComparisonPage} page */
export function build(page) {
  /** @param {number} [step] */
  const slider = (step = 1) => () => {
    const input = element("input");
    Object.assign(input, { type: "range", step });
    return input;
  };
  const box = () => Object.assign(element("input"), { type: "checkbox" });
  /** @param {string} name @param {number} side @param {any} control */
  const set = (name, side, control) => choose(page, name, side, control);
  /** @param {string} name */
  const part = (name) => setApart(page, name);
  /** @param {string} name @param {string} label @param {() => any} input @param {(side: number) => string} words */
  const make = (name, label, input, words) => new SharedChoice(name, label, { input, words, set, setApart: part });
  /** @param {number} side */
  const call = (side) => page.traces[side].calls[page.state.layer[side]];
  page.controls = {
    layer: make("layer", t("Layer"), slider(), (side) => layerLabels(page.traces[side])[page.state.layer[side]]),
    head: make("head", t("Head"), slider(), (side) => headLabels(page.traces[side], call(side))[page.state.head[side]]),
    aggregate: make("aggregate", t("Mean of heads"), box, (side) => (page.state.aggregate[side] ? t("of {count}", { count: call(side).H }) : "")),
    temperature: make("temperature", t("Temperature"), slider(EXPONENT), (side) => fixed(page.state.temperature[side], 2)),
    mask: make("mask", t("Mask"), () => element("select", "bk-input"), () => ""),
  };
  for (const { name, label, positions } of page.needed) {
    const input = positions ? () => element("input", "bk-input") : slider();
    page.controls[name] = make(name, label, input, (side) => (positions ? "" : `${page.state[name][side]}`));
  }
  const row = element("div", "attn-choice");
  row.dataset.name = "row";
  page.token = slider()();
  page.token.setAttribute("aria-label", t("Token"));
  page.tokenName = element("output");
  page.tokenName.translate = false;
  page.token.addEventListener("input", () => page.set({ row: Number(page.token.value), key: null }));
  const side = element("label", "attn-choice-side");
  side.append(page.token);
  const head = element("div", "attn-choice-head");
  head.append(element("span", "attn-label", t("Token")), page.tokenName);
  row.append(head, side);
  const boxes = Object.fromEntries(Object.entries(page.controls).map(([name, { box: one }]) => [name, one]));
  const { layer, head: headBox, aggregate, ...rules } = boxes;
  page.root.replaceChildren(layer, headBox, aggregate, row, ...Object.values(rules), moreButton(() => page.root).button);
}

/**
 * @param {import("./controller.js").ComparisonPage} page
 * @param {string} name
 * @param {number} side
 * @param {any} control
 */
export function choose(page, name, side, control) {
  let value = Number(control.value);
  if (name === "temperature") value = 10 ** (Math.round(value / EXPONENT) * EXPONENT);
  if (name === "mask") value = control.value;
  if (name === "aggregate") value = control.checked;
  if (page.needed.some((row) => row.positions && row.name === name)) {
    value = readPositions(control.value, rangeOf(page, name, side)) ?? page.state[name][side];
  }
  const both = [...page.state[name]];
  both[side] = value;
  page.set({ [name]: both, key: null });
}

/** @param {import("./controller.js").ComparisonPage} page @param {string} name */
export function setApart(page, name) {
  const { apart } = page.state;
  page.set({ apart: apart.includes(name) ? apart.filter((choice) => choice !== name) : [...apart, name] });
}

/** @param {import("./controller.js").ComparisonPage} page @param {string} name @param {number} side */
export function rangeOf(page, name, side) {
  return bounds(page.traces[side], sideOf(page.traces[side], page.state, side))[name];
}

/** @param {import("./controller.js").ComparisonPage} page @param {ComparedHeads} compared */
export function showControls(page, { queries }) {
  const { state, traces } = page;
  /** @type {Record<string, (side: number) => [number, number, number]>} least, most and now */
  const limits = {
    layer: (side) => [0, traces[side].calls.length - 1, state.layer[side]],
    head: (side) => [0, traces[side].calls[state.layer[side]].H - 1, state.head[side]],
    temperature: (side) => [-1, 1, Math.log10(state.temperature[side])],
  };
  for (const { name, positions } of page.needed) {
    if (!positions) limits[name] = (side) => [...rangeOf(page, name, side), state[name][side]];
    else page.controls[name].show(state.apart.includes(name), (control, side) => showPositions(page, control, state[name][side]));
  }
  for (const [name, range] of Object.entries(limits)) {
    page.controls[name].show(state.apart.includes(name), (control, side) => {
      const [min, max, value] = range(side);
      Object.assign(control, { min, max, disabled: min === max || (name === "head" && state.aggregate[side]) });
      control.value = value;
    });
  }
  page.controls.aggregate.show(state.apart.includes("aggregate"), (control, side) => {
    Object.assign(control, { checked: state.aggregate[side], disabled: traces[side].calls[state.layer[side]].H === 1 });
  });
  for (const { name } of page.needed) page.controls[name].box.hidden = !isNeeded(page, name);
  page.controls.mask.show(state.apart.includes("mask"), (control, side) => showMasks(page, control, side));
  Object.assign(page.token, { min: 0, max: queries.pairs.length - 1 });
  page.token.value = String(state.row);
  const [one, other] = tokenPair(page, queries);
  page.tokenName.textContent = `${state.row} · ${shorten(pairName(one, other), 18)}`;
  sayValue(page.token, page.tokenName.textContent);
}

/**
 * Whether the mask of a side has this parameter.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {string} name
 */
export function isNeeded(page, name) {
  return page.state.mask.some((mask, side) => mask !== "model" && findMask(page.traces[side].masks, mask).needs.includes(name));
}

/**
 * Updates a text field of positions, unless the reader is editing it.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {any} control
 * @param {number[]} positions
 */
export function showPositions(page, control, positions) {
  if (document.activeElement !== control) control.value = positions.join(", ");
}

/** @param {import("./controller.js").ComparisonPage} page @param {any} control @param {number} side */
export function showMasks(page, control, side) {
  const masks = masksOf(page.traces[side]);
  /** @param {string} mask */
  const labelOf = (mask) => (mask === "model" ? OWN_MASK : findMask(page.traces[side].masks, mask).label);
  if (control.children.length !== masks.length) {
    control.replaceChildren(
      ...masks.map((mask) => Object.assign(element("option", "", labelOf(mask)), { value: mask })),
    );
  }
  control.value = page.state.mask[side];
  control.disabled = !page.traces[side].calls[page.state.layer[side]].live;
}

/**
 * A side's mask with its parameters: “padding (pad length 5)”.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {number} side
 */
export function maskName(page, side) {
  const mask = page.state.mask[side];
  if (mask === "model") return OWN_MASK;
  return maskWords(page.traces[side].masks, mask, (name) => page.state[name][side]).join("");
}

/**
 * @param {import("./controller.js").ComparisonPage} page
 * @param {AlignedRows} queries
 * @returns {(string | null)[]}
 */
export function tokenPair(page, queries) {
  return queries.names.map((names) => names[page.state.row]);
}
