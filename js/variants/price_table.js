import { t } from "../core/translate.js";
import { element } from "../components/dom.js";
import { line } from "./card.js";
import { attainable, duration, intensity, leastSeconds, phaseName, withPrefix } from "./price.js";

// Prices of all variants as one table, which is also the roofline in words, and the formulas behind them.

/** @typedef {import("./price.js").Machine} Machine */
/** @typedef {{label: string, layout: string, visibility: string, prices: Prices, times: ReturnType<typeof import("./price.js").timesOf>, chosen: boolean}} PricedVariant */

const PHASES = /** @type {const} */ (["prefill", "decode"]);

/**
 * The table: a row a variant.
 *
 * @param {PricedVariant[]} variants
 * @param {Machine[]} machines those shown
 */
export function priceTable(variants, machines) {
  const table = element("table", "variants-numbers variants-prices");
  const perPhase = ["FLOP", t("bytes"), "FLOP/B", ...machines.map(({ title }) => t("least time on {machine}", { machine: title }))];
  const groups = element("tr");
  groups.append(spanning("", 3), ...PHASES.map((phase) => spanning(phaseName(phase), perPhase.length)), spanning("", 1));
  table.append(groups, line([t("variant"), t("KV cache a token"), t("KV cache"), ...perPhase, ...perPhase, t("measured")], true));
  for (const { label, prices, times, chosen } of variants) {
    const cells = [label, withPrefix(prices.cache_per_token, "B"), withPrefix(prices.cache, "B")];
    for (const phase of PHASES) {
      const [flops, bytes, ratio] = ["flops", "bytes", "intensity"].map((what) => prices[`${phase}_${what}`]);
      cells.push(withPrefix(flops, ""), withPrefix(bytes, "B"), intensity(ratio));
      for (const machine of machines) cells.push(`${duration(leastSeconds(machine, flops, bytes))}, ${boundBy(machine, ratio)}`);
    }
    const measured = times.map(({ time }) => `${duration(time.seconds)} (${time.implementation}, S ${time.S.toLocaleString("en")})`);
    const row = line([...cells, measured.join("; ") || t("not measured")]);
    row.classList.toggle("variants-chosen", chosen);
    table.append(row);
  }
  return table;
}

/** @param {string} text @param {number} columns */
function spanning(text, columns) {
  const cell = element(text === "" ? "td" : "th", "", text);
  cell.colSpan = columns;
  if (cell.localName === "th") cell.setAttribute("scope", "colgroup");
  return cell;
}

/**
 * What limits an intensity on a machine.
 *
 * @param {Machine} machine
 * @param {number} ratio FLOP per byte
 */
export function boundBy(machine, ratio) {
  return attainable(machine, ratio) < machine.flopsPerS ? t("memory") : t("compute");
}

/**
 * The formulas of the chosen variant, with the numbers they give.
 *
 * @param {VariantTable} table
 * @param {VariantState} state
 * @param {Prices} prices
 */
export function formulas(table, state, prices) {
  const layout = /** @type {LayoutRow} */ (table.layouts.find(({ name }) => name === state.layout));
  const visibility = /** @type {VisibilityRow} */ (table.visibilities.find(({ name }) => name === state.visibility));
  const list = element("dl", "variants-formulas");
  /** @param {string} name @param {string} text */
  const add = (name, text) => {
    const formula = element("dd");
    formula.append(element("code", "", text));
    list.append(element("dt", "", name), formula);
  };
  for (const { name, text } of [...layout.counts, ...visibility.counts]) add(name, text);
  for (const { name, label, text, unit } of table.quantities) add(`${label}: ${withPrefix(prices[name], unit)}`, text);
  for (const phase of PHASES) add(`${t("{phase} intensity", { phase: phaseName(phase) })}: ${intensity(prices[`${phase}_intensity`])} FLOP/B`, `${phase} FLOPs / ${phase} bytes`);
  return list;
}
