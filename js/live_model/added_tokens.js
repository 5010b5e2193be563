import { classOf } from "./character_runs.js";
import { WHITE } from "./character_tables.js";

// Tokens that are taken from a text as they stand, before anything else is done with it.

/** @typedef {{from: number, to: number, id: ?number}} Part of a text, and its token if it is one */

/** @param {TokenizerSettings} settings @returns {Map<string, number>} ids of the tokens that words are made of */
export function idsOfPieces({ vocabulary, addedOnly }) {
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  for (const id of addedOnly) ids.delete(vocabulary[id]);
  return ids;
}

const SPACES_AT_END = new RegExp(`[${classOf(WHITE)}]*$`, "u");

export class AddedTokens {
  /** @param {Record<string, number>} ids @param {string[]} [stripping] those that take the white space before them */
  constructor(ids, stripping = []) {
    this.ids = ids;
    this.stripping = new Set(stripping);
    // The longest of those that begin at a place is taken.
    const tokens = Object.keys(ids).sort((one, other) => other.length - one.length);
    const escaped = tokens.map((token) => token.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    this.expression = tokens.length ? new RegExp(escaped.join("|"), "gu") : null;
  }

  /** @param {string} text @returns {Part[]} */
  split(text) {
    /** @type {Part[]} */
    const parts = [];
    let done = 0;
    for (const { 0: token, index } of this.expression ? text.matchAll(this.expression) : []) {
      const spaces = this.stripping.has(token) ? /** @type {RegExpExecArray} */ (SPACES_AT_END.exec(text.slice(done, index)))[0].length : 0;
      const from = index - spaces;
      if (from > done) parts.push({ from: done, to: from, id: null });
      done = index + token.length;
      parts.push({ from, to: done, id: this.ids[token] });
    }
    if (done < text.length) parts.push({ from: done, to: text.length, id: null });
    return parts;
  }
}
