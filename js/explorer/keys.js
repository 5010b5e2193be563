import { t } from "../core/translate.js";

// The keys that move an explorer or a comparison: one table for what they do and for the list that "?" shows.

/**
 * A row of the table: the keys as the reader knows them, what they do, and the message that each sends, by the name of
 * the key; an arrow with Shift held is "Shift+Arrow…".
 *
 * @typedef {{name: string, shown: string, words: string, sends: Record<string, object>}} KeyRow
 */

/** @type {KeyRow[]} */
export const KEYS = [
  {
    name: "token",
    shown: "↑ ↓",
    words: t("the token (query) before or after"),
    sends: { ArrowUp: { step: ["query_index", -1] }, ArrowDown: { step: ["query_index", 1] } },
  },
  {
    name: "ends",
    shown: "Home End",
    words: t("the first or the last token"),
    sends: { Home: { jump: ["query_index", "first"] }, End: { jump: ["query_index", "last"] } },
  },
  {
    name: "key",
    shown: "Shift + ← →",
    words: t("the key token before or after: the sentence and a note on a cell follow it"),
    sends: { "Shift+ArrowLeft": { key_step: -1 }, "Shift+ArrowRight": { key_step: 1 } },
  },
  {
    name: "head",
    shown: "← →",
    words: t("the head before or after"),
    sends: { ArrowLeft: { step: ["head", -1] }, ArrowRight: { step: ["head", 1] } },
  },
  {
    name: "layer",
    shown: "[ ]",
    words: t("the layer before or after"),
    sends: { "[": { step: ["layer", -1] }, "]": { step: ["layer", 1] } },
  },
  { name: "mask", shown: "M", words: t("the next mask"), sends: { m: { next: "mask" } } },
  { name: "scale", shown: "F", words: t("colour scale without the first token, and back"), sends: { f: { next: "skip_first" } } },
  { name: "note", shown: "N", words: t("write a note"), sends: {} }, // the card of notes listens
  { name: "keys", shown: "?", words: t("this list"), sends: { "?": { keys: true } } },
];

/**
 * The message that a key sends; null for a key without one.
 *
 * @param {Pick<KeyboardEvent, "key" | "shiftKey">} event
 * @param {string[]} names of the rows that apply; empty: all of them
 * @returns {?object}
 */
export function messageOf({ key, shiftKey }, names) {
  const pressed = shiftKey && key.startsWith("Arrow") ? `Shift+${key}` : key;
  const row = rowsOf(names).find(({ sends }) => Object.hasOwn(sends, pressed));
  return row ? row.sends[pressed] : null;
}

/**
 * The rows with these names.
 *
 * @param {string[]} names empty: all rows
 */
export function rowsOf(names) {
  return KEYS.filter(({ name }) => names.length === 0 || names.includes(name));
}
