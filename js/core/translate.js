// The page's words in its language. Python puts those that a module uses before its text, as a constant
// (attnpanel/ui/words/); an English page has none.

/** @type {Record<string, string>} */
const WORDS = typeof attnpanelWords === "undefined" ? {} : attnpanelWords;

/** Whether the page is in English, which writes a label inside a sentence small. */
export const inEnglish = typeof attnpanelWords === "undefined";

/**
 * A text in the page's language, with its {placeholders} filled. It is text, never markup.
 *
 * @param {string} text in English, as a literal: the key
 * @param {Record<string, unknown>} [values] by the names of the placeholders
 * @returns {string}
 */
export function t(text, values) {
  const found = WORDS[text] ?? text;
  return values ? found.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole)) : found;
}
