import { compileRule } from "../core/masks.js";
import { t } from "../core/translate.js";

// Prices of a variant: evaluates the formulas of attnpanel/pages/variants/table.py. Pure.

/**
 * Compiles the table's formulas.
 *
 * @param {VariantTable} table
 * @returns {(layout: string, visibility: string, sizes: Sizes, projections: boolean) => Prices} the prices of a variant,
 *   as attnpanel.pages.variants.price, with the intensities of prefill and decode in FLOP per byte; from 2^53 on rounded
 */
export function pricesOf(table) {
  /** @param {Count[]} counts */
  const compiled = (counts) => counts.map(({ name, tree }) => /** @type {const} */ ([name, compileRule(tree)]));
  /** @param {LayoutRow[]} rows */
  const byName = (rows) => new Map(rows.map(({ name, counts }) => [name, compiled(counts)]));
  const [layouts, visibilities, quantities] = [byName(table.layouts), byName(table.visibilities), compiled(table.quantities)];
  return (layout, visibility, sizes, projections) => {
    /** @type {Record<string, number>} */
    const names = { ...sizes, projections: Number(projections) };
    for (const counts of [layouts.get(layout), visibilities.get(visibility), quantities]) {
      for (const [name, value] of counts ?? []) names[name] = value(names);
    }
    const prices = Object.fromEntries(quantities.map(([name]) => [name, names[name]]));
    for (const phase of ["prefill", "decode"]) prices[`${phase}_intensity`] = prices[`${phase}_flops`] / prices[`${phase}_bytes`];
    return prices;
  };
}

/**
 * Reads what a reader entered for one size.
 *
 * @param {SizeField} field
 * @param {string} text untrusted
 * @returns {{value: number} | {problem: string}} the rule and the value, where it breaks one
 */
export function readSize({ name, label, low, high }, text) {
  const trimmed = text.trim().replaceAll(",", "");
  const value = /^\d{1,9}$/.test(trimmed) ? Number(trimmed) : NaN;
  const allowed = name === "bytes" ? [1, 2, 4].includes(value) : value >= low && value <= high;
  if (allowed) return { value };
  const range = name === "bytes" ? t("1, 2 or 4") : t("an integer from {low} to {high}", { low: low.toLocaleString("en"), high: high.toLocaleString("en") });
  return { problem: t("{label} must be {range}; got {value}.", { label, range, value: cut(text) }) };
}

/** @param {string} text */
function cut(text) {
  const shown = text.trim().slice(0, 24);
  return shown === "" ? t("nothing") : `“${shown}${text.trim().length > 24 ? "…" : ""}”`;
}

/**
 * Changes one size, and the grouped heads with the heads: they must divide them.
 *
 * @param {Sizes} sizes
 * @param {string} name
 * @param {number} value
 * @returns {{sizes: Sizes, note: string} | {problem: string}}
 */
export function changeSize(sizes, name, value) {
  const changed = { ...sizes, [name]: value };
  if (changed.heads % changed.kv_heads === 0) return { sizes: changed, note: "" };
  if (name === "kv_heads") return { problem: t("KV heads must divide the {heads} query heads; got {value}.", { heads: sizes.heads, value }) };
  while (changed.heads % changed.kv_heads !== 0) changed.kv_heads -= 1;
  return { sizes: changed, note: t("KV heads, grouped: now {count}, which divides {heads}.", { count: changed.kv_heads, heads: changed.heads }) };
}

/** Dtypes by bytes per element, the first that a datasheet has a rate for. */
const PRODUCTS = /** @type {Record<number, string[]>} */ ({ 1: ["bfloat16", "float16"], 2: ["bfloat16", "float16"], 4: ["float32"] });

/**
 * The machines, each with its limits for a number of bytes per element.
 *
 * @param {MachineTable} table
 * @param {number} bytes
 * @returns {Machine[]} measured ones first
 *
 * @typedef {{name: string, title: string, measured: boolean, origin: string, place: string, products: string, flopsPerS: number, bytesPerS: number, times: MeasuredTime[]}} Machine
 */
export function machinesAt({ datasheets, measured }, bytes) {
  const own = measured.map(({ title, dtype, file, date, flops_per_s: flopsPerS, bytes_per_s: bytesPerS, times }) => ({
    name: `${title}, ${dtype}`,
    title,
    measured: true,
    origin: t("measured on {date}: {file}", { date, file }),
    place: `${date}: ${file}`,
    products: dtype,
    flopsPerS,
    bytesPerS,
    times,
  }));
  const sheets = datasheets.map(({ title, flops_per_s: rates, bytes_per_s: bytesPerS }) => {
    const products = /** @type {string} */ (PRODUCTS[bytes].find((dtype) => dtype in rates));
    return { name: title, title, measured: false, origin: t("vendor's datasheet, dense"), place: "", products, flopsPerS: rates[products], bytesPerS, times: [] };
  });
  return [...own, ...sheets];
}

/**
 * The least seconds that a machine's limits allow.
 *
 * @param {Machine} machine
 * @param {number} flops
 * @param {number} bytes
 */
export function leastSeconds({ flopsPerS, bytesPerS }, flops, bytes) {
  return Math.max(flops / flopsPerS, bytes / bytesPerS);
}

/**
 * The operations per second that a machine's limits allow at an intensity.
 *
 * @param {Machine} machine
 * @param {number} intensity FLOP per byte
 */
export function attainable({ flopsPerS, bytesPerS }, intensity) {
  return Math.min(flopsPerS, bytesPerS * intensity);
}

/**
 * The measured times of a variant: of the same layout of heads and visibility, the longest sequence of each phase.
 *
 * @param {Machine[]} machines
 * @param {string} layout
 * @param {string} visibility
 * @returns {{machine: Machine, time: MeasuredTime, phase: "prefill" | "decode", remark: string}[]}
 */
export function timesOf(machines, layout, visibility) {
  const found = [];
  for (const machine of machines) {
    for (const phase of /** @type {const} */ (["prefill", "decode"])) {
      const own = machine.times.filter((time) => layoutOf(time) === layout && visibilityOf(time) === visibility && phaseOf(time) === phase);
      const longest = own.sort((one, other) => other.S - one.S || other.T - one.T)[0];
      if (longest) found.push({ machine, time: longest, phase, remark: longest.mask === "window" ? t("window of {width} on both sides", { width: longest.window }) : "" });
    }
  }
  return found;
}

/** @param {MeasuredTime} time */
function layoutOf({ H, Hkv }) {
  if (Hkv === H) return "multi";
  return Hkv === 1 ? "single" : "grouped";
}

/** @param {MeasuredTime} time */
function visibilityOf({ mask, T }) {
  // One query that sees every key is the last one of a causal sequence.
  if (mask === "causal" || (mask === "none" && T === 1)) return "causal";
  if (mask === "window") return "window";
  return mask === "causal_documents" ? "documents" : mask === "prefix" ? "prefix" : "";
}

/** @param {MeasuredTime} time */
function phaseOf({ T }) {
  return T === 1 ? "decode" : "prefill";
}

/** @param {string} phase */
export function phaseName(phase) {
  return phase === "decode" ? t("decode") : t("prefill");
}

const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];

/**
 * A number with three digits and a decimal prefix: "131 kB".
 *
 * @param {number} value
 * @param {string} unit
 */
export function withPrefix(value, unit) {
  let [size, power] = [value, 0];
  while (size >= 999.5 && power < PREFIXES.length - 1) {
    size /= 1000;
    power += 1;
  }
  const digits = size >= 99.95 || (power === 0 && Number.isInteger(value)) ? 0 : size >= 9.995 ? 1 : 2;
  return `${size.toFixed(digits)} ${PREFIXES[power]}${unit}`;
}

/**
 * A time with two or three digits: "1.32 ms".
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds >= 1) return `${Number(seconds.toPrecision(3)).toLocaleString("en")} s`;
  const [scale, unit] = seconds >= 1e-3 ? [1e3, "ms"] : seconds >= 1e-6 ? [1e6, "µs"] : [1e9, "ns"];
  return `${Number((seconds * scale).toPrecision(3))} ${unit}`;
}

/**
 * An intensity with up to three digits.
 *
 * @param {number} value FLOP per byte
 */
export function intensity(value) {
  if (value >= 99.5) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}
