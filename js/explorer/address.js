import { firstOf, general } from "../core/format.js";
import { t } from "../core/translate.js";
import { headNumbers, layerNumbers } from "./labels.js";
import { START, SWITCHES, bounds, chooseLayer, masksOf, unavailable } from "./rules.js";

// The choices as query parameters of a URL. The table comes with the trace: attnpanel.explorer.address.

/**
 * The choices that have an effect, as query parameters of a link that restores them.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {?{empty: Uint8Array}} selection
 * @returns {Record<string, string>}
 */
export function toAddress(trace, state, selection) {
  const idle = unavailable(trace, state, selection);
  /** @type {Record<string, string>} */
  const texts = {};
  for (const { address: short, name, optional } of trace.address) {
    const value = state[name];
    if (name in idle || (optional && String(value) === String(/** @type {State} */ (START)[name]))) continue;
    texts[short] = name === "temperature" ? general(value, 6) : String(value);
    if (SWITCHES.has(name)) texts[short] = value ? "1" : "0";
    if (name === "layer") texts[short] = String(layerNumbers(trace)[value]);
    if (name === "head") texts[short] = String(headNumbers(trace.calls[state.layer])[value]);
  }
  return texts;
}

/**
 * Applies the choices of a link to a state; reports those that do not apply to the trace.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {Record<string, string>} texts query parameters; other names are ignored
 * @returns {{state: State, problems: string[]}} one sentence for each choice that was not applied
 */
export function fromAddress(trace, state, texts) {
  const problems = [];
  let restored = state;
  for (const row of trace.address) {
    const { address: short, name, label } = row;
    if (!Object.hasOwn(texts, short)) continue;
    const value = choiceOf(trace, restored, row, texts[short]);
    if (value === null) problems.push(t("{label}: “{text}” does not apply here.", { label, text: firstOf(texts[short], 40) }));
    else if (name === "layer") restored = chooseLayer(trace, restored, Number(value));
    else restored = { ...restored, [name]: value };
  }
  return { state: restored, problems };
}

/**
 * The value that a text stands for; null if it stands for none.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {AddressRow} row
 * @param {string} text
 */
function choiceOf(trace, state, { name, options }, text) {
  const allowed = name === "mask" ? masksOf(trace) : options;
  if (allowed && !allowed.includes(text)) return null;
  if (SWITCHES.has(name)) return text === "1";
  if (allowed) return text;
  if (name === "line_heads" || trace.masks.parameters.some((row) => row.positions && row.name === name)) {
    return readPositions(text, bounds(trace, state)[name]);
  }
  let value = name === "temperature" ? readFloat(text) : readInteger(text);
  if (name === "layer") value = layerNumbers(trace).indexOf(value);
  if (name === "head") value = headNumbers(trace.calls[state.layer]).indexOf(value);
  const [low, high] = bounds(trace, state)[name];
  return value >= low && value <= high ? value : null;
}

/**
 * Parses increasing positions of tokens, such as “4, 9”; null if the text is not a list of them.
 *
 * @param {string} text
 * @param {[number, number]} range
 * @returns {?number[]}
 */
export function readPositions(text, [low, high]) {
  const positions = text.trim() === "" ? [] : text.split(",").map(readInteger);
  /** @param {number} position @param {number} at */
  const fits = (position, at) => position >= low && position <= high && !(position <= positions[at - 1]);
  return positions.every(fits) ? positions : null;
}

// Numbers as Python's int() and float() parse them, in ASCII digits; NaN if the text is not one.
const INTEGER = /^[+-]?\d+(_\d+)*$/;
const FLOAT = /^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?$/i;

/** @param {string} text */
function readInteger(text) {
  return INTEGER.test(text.trim()) ? Number(text.replaceAll("_", "")) + 0 : NaN; // + 0: not -0
}

/** @param {string} text */
function readFloat(text) {
  return FLOAT.test(text.trim()) ? Number(text.replaceAll("_", "")) : NaN;
}
