import { t } from "../core/translate.js";

// A reader's sequence as tokens of a task's vocabulary.

/** @typedef {{vocabulary: string[], labels: string[], separated: boolean, slides: boolean}} Words of attnpanel.pages.lab.run_summary.live_info */

const MOST_SHOWN = 40;
const WHITE_SPACE = /** @type {Record<string, string>} */ ({ " ": "␣", "\n": "↵", "\t": "⇥" });

/**
 * A text's tokens: its words, or its characters where tokens are not separated.
 *
 * @param {string} text untrusted
 * @param {Pick<Words, "vocabulary" | "separated">} words
 * @param {number} limit the most tokens
 * @returns {{ids: number[], problem: ""} | {ids: null, problem: string}} the rule that the text breaks, and the value
 */
export function readSequence(text, { vocabulary, separated }, limit) {
  const pieces = separated ? text.split(/\s+/u).filter((piece) => piece !== "") : [...text];
  if (pieces.length < 1 || pieces.length > limit) {
    return { ids: null, problem: t("a sequence for this model must have 1 to {most} tokens; got {count}", { most: limit, count: pieces.length }) };
  }
  const numbers = new Map(vocabulary.map((token, id) => [token, id]));
  const ids = pieces.map((piece) => numbers.get(piece) ?? -1);
  const unknown = ids.indexOf(-1);
  if (unknown < 0) return { ids, problem: "" };
  const piece = [...pieces[unknown]].slice(0, MOST_SHOWN).join("");
  return { ids: null, problem: t("each token must be one of the vocabulary; got “{token}” as token {position}", { token: WHITE_SPACE[piece] ?? piece, position: unknown }) };
}

/**
 * The text that gives these tokens.
 *
 * @param {number[]} ids
 * @param {Pick<Words, "vocabulary" | "separated">} words
 */
export function sequenceText(ids, { vocabulary, separated }) {
  return ids.map((id) => vocabulary[id]).join(separated ? " " : "");
}
