import { paint } from "./actions.js";
import { isNeeded } from "./controls.js";
import { sharedChoices } from "./model.js";
import { readPositions } from "../explorer/address.js";
import { writeParameters } from "../explorer/address_bar.js";

// The state of a comparison as query parameters of a URL.

/** @param {import("./controller.js").ComparisonPage} page */
export function choices(page) {
  const { state } = page;
  /** @param {any[]} values */
  const joined = (values) => (values[0] === values[1] ? String(values[0]) : values.join("~"));
  const texts = {
    layer: joined(state.layer),
    head: joined(state.head),
    row: String(state.row),
    temperature: joined(state.temperature.map((value) => Number(value.toPrecision(6)))),
    mask: joined(state.mask),
    mean: state.aggregate.includes(true) ? joined(state.aggregate.map(Number)) : "",
    ...Object.fromEntries(
      page.needed.map(({ name, address }) => [address, isNeeded(page, name) ? joined(state[name].map(String)) : ""]),
    ),
    apart: state.apart.join("~"),
    by: state.every ? "all" : "token",
    contrast: page.contrasted ? "1" : "",
  };
  return Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ""));
}

/** @param {import("./controller.js").ComparisonPage} page */
export function writeAddress(page) {
  if (page.model.given.address === null || page.waiting) return;
  /** @type {Record<string, string>} */
  const theme = page.theme === null ? {} : { theme: page.theme };
  const given = new URLSearchParams({ ...page.model.given.address, ...choices(page), ...theme }).toString();
  writeParameters(given, page.model.served);
}

/**
 * Restores the choices in query parameters; ignores those that do not apply.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {string} address
 */
export function restore(page, address) {
  const texts = Object.fromEntries(new URLSearchParams(address));
  /** @type {Record<string, any>} */
  const changes = {};
  /** @param {string} text */
  const two = (text) => (text.includes("~") ? text.split("~").slice(0, 2) : [text, text]);
  const counts = page.needed.filter(({ positions }) => !positions);
  const named = [...["layer", "head", "aggregate"].map((name) => ({ name, address: name === "aggregate" ? "mean" : name })), ...counts];
  for (const { name, address } of named) {
    const numbers = two(texts[address] ?? "").map((text) => (/^\d{1,4}$/.test(text) ? Number(text) : NaN));
    if (numbers.every(Number.isInteger)) changes[name] = name === "aggregate" ? numbers.map(Boolean) : numbers;
  }
  for (const { name, address } of page.needed.filter(({ positions }) => positions)) {
    const lists = two(texts[address] ?? "").map((text) => readPositions(text, [0, Infinity]));
    if (address in texts && lists.every(Array.isArray)) changes[name] = lists;
  }
  const temperatures = two(texts.temperature ?? "").map(Number);
  if (texts.temperature && temperatures.every((value) => value >= 0.01 && value <= 100)) changes.temperature = temperatures;
  if (texts.mask) changes.mask = two(texts.mask);
  if ("apart" in texts) changes.apart = texts.apart.split("~").filter((name) => sharedChoices(page.traces).includes(name));
  if (/^\d{1,4}$/.test(texts.row ?? "")) Object.assign(changes, { row: Number(texts.row), key: null });
  if (texts.by) changes.every = texts.by === "all";
  if (texts.theme === "dark" || texts.theme === "light") paint(page, texts.theme);
  page.contrasted = texts.contrast === "1";
  if (Object.keys(changes).length === 0 && !page.contrasted) return;
  // Two values that differ are unlinked, even if the URL does not say so.
  const apart = new Set(changes.apart ?? page.state.apart);
  /** @param {any[]} both */
  const differ = ([one, other]) => JSON.stringify(one) !== JSON.stringify(other);
  for (const name of sharedChoices(page.traces)) if (changes[name] && differ(changes[name])) apart.add(name);
  page.set({ ...changes, apart: [...apart] });
}
