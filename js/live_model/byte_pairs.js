import { AddedTokens, idsOfPieces } from "./added_tokens.js";
import { BYTE_LETTERS, utf8 } from "./byte_letters.js";
import { MergeQueue } from "./merge_queue.js";
import { pieceOf, splitSteps } from "./text_pieces.js";

// Byte-pair encoding: what the library `tokenizers` gives with the settings of a GPT-2, a RoBERTa or a Llama.

/**
 * @typedef {import("./text_pieces.js").Piece} Piece
 * @typedef {{id: number, from: number, to: number}} Symbol_ a token and the characters of its piece that it came from
 */

const PAIR = 2 ** 24; // more than ids of any vocabulary

export class BytePairs {
  /** @param {BytePairSettings} settings */
  constructor(settings) {
    const { vocabulary, merges, added, addedLater, stripping } = settings;
    this.settings = settings;
    this.unknown = -1;
    this.ids = idsOfPieces(settings);
    /** by pair of ids: how early it is joined, and what it becomes @type {Map<number, {rank: number, id: number}>} */
    this.merges = new Map();
    for (let i = 0; i < merges.length; i += 2) {
      const id = /** @type {number} */ (this.ids.get(vocabulary[merges[i]] + vocabulary[merges[i + 1]]));
      this.merges.set(merges[i] * PAIR + merges[i + 1], { rank: i, id });
    }
    const bytes = Array.from({ length: 256 }, (_, byte) => byte);
    const nameOf = (/** @type {number} */ byte) =>
      settings.byteLevel ? BYTE_LETTERS[byte] : `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
    this.ofBytes = bytes.map((byte) => /** @type {number} */ (this.ids.get(nameOf(byte))));
    this.added = [added, addedLater].map((ids) => new AddedTokens(ids, stripping));
    this.steps = splitSteps(settings.steps);
  }

  /**
   * The ids of a text, those before and after it included, and the part of the text that each came from.
   *
   * @param {string} text
   */
  read(text) {
    const { before, after } = this.settings;
    const wellFormed = text.replace(/\p{Surrogate}/gu, "\ufffd");
    const symbols = this.symbols(wellFormed);
    const origins = symbols.map(({ from, to }) => wellFormed.slice(from, to).replace(/^ +| +$/g, ""));
    return {
      ids: [...before, ...symbols.map(({ id }) => id), ...after],
      origins: [...before.map(() => ""), ...origins, ...after.map(() => "")],
    };
  }

  /** @param {string} text @returns {Symbol_[]} with places in the text */
  symbols(text) {
    const [first, later] = this.added;
    return first.split(text).flatMap(({ from, to, id }) => {
      if (id !== null) return { id, from, to };
      const part = text.slice(from, to);
      return later.split(part).flatMap((piece) => {
        if (piece.id !== null) return { id: piece.id, from: from + piece.from, to: from + piece.to };
        return this.words(pieceOf(part.slice(piece.from, piece.to), from + piece.from));
      });
    });
  }

  /** @param {Piece} whole @returns {Symbol_[]} */
  words(whole) {
    const pieces = this.steps.reduce((made, step) => made.flatMap(step), [whole]);
    return pieces.flatMap((piece) =>
      this.tokens(piece.text).map(({ id, from, to }) => ({
        id,
        from: piece.at + Math.max(from - piece.extra, 0),
        to: piece.at + Math.max(to - piece.extra, 0),
      })),
    );
  }

  /** @param {string} word @returns {Symbol_[]} */
  tokens(word) {
    const symbols = this.start(word);
    if (this.settings.ignoreMerges) {
      const id = this.ids.get(symbols.map((symbol) => this.settings.vocabulary[symbol.id]).join(""));
      if (id !== undefined) return [{ id, from: 0, to: word.length }];
    }
    return merged(symbols, (left, right) => this.merges.get(left * PAIR + right));
  }

  /** @param {string} word @returns {Symbol_[]} its bytes, or its characters, of which those without a token are bytes */
  start(word) {
    const symbols = [];
    let from = 0;
    for (const letter of word) {
      const to = from + letter.length;
      const id = this.settings.byteLevel ? undefined : this.ids.get(letter);
      if (id !== undefined) symbols.push({ id, from, to });
      else for (const byte of utf8(letter)) symbols.push({ id: this.ofBytes[byte], from, to });
      from = to;
    }
    return symbols;
  }

  /**
   * What a token is called on the page.
   *
   * @param {number} id
   */
  name(id) {
    return this.settings.shown[id] ?? this.settings.vocabulary[id] ?? `<${id}>`;
  }
}

/**
 * Joins neighbours, the pair that was learned first before all others, of equal ones the leftmost.
 *
 * @param {Symbol_[]} symbols
 * @param {(left: number, right: number) => ({rank: number, id: number} | undefined)} merge
 * @returns {Symbol_[]}
 */
function merged(symbols, merge) {
  /** @type {(?Symbol_)[]} */
  const kept = [...symbols];
  const next = symbols.map((_, at) => at + 1);
  const last = symbols.map((_, at) => at - 1);
  const queue = new MergeQueue();
  /** @param {number} at */
  const offer = (at) => {
    const left = kept[at];
    const right = kept[next[at]];
    const found = left && right && merge(left.id, right.id);
    if (found) queue.push({ ...found, at });
  };
  for (let at = 0; at < symbols.length; at++) offer(at);
  for (let top = queue.pop(); top; top = queue.pop()) {
    const { at, id } = top;
    const left = kept[at];
    const right = kept[next[at]];
    if (!left || !right || merge(left.id, right.id)?.id !== id) continue; // one of them was joined since
    kept[at] = { id, from: left.from, to: right.to };
    kept[next[at]] = null;
    next[at] = next[next[at]];
    if (next[at] < last.length) last[next[at]] = at;
    if (last[at] >= 0) offer(last[at]);
    offer(at);
  }
  return /** @type {Symbol_[]} */ (kept.filter((symbol) => symbol !== null));
}
