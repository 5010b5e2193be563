import { AddedTokens, idsOfPieces } from "./added_tokens.js";
import { codePoints } from "./character_runs.js";
import { MARKS, PUNCTUATION, REMOVED, SPACES } from "./character_tables.js";

// BERT's tokenizer: what transformers' BertTokenizer gives, to the last of all code points.

const removed = codePoints(REMOVED);
const spaces = codePoints(SPACES);
const marks = codePoints(MARKS);
const punctuation = codePoints(PUNCTUATION);

// Ideographs, each of which is a word. As the tokenizer has them, gap and all.
const IDEOGRAPHS = [
  [0x4e00, 0x9fff],
  [0x3400, 0x4dbf],
  [0x20000, 0x2a6df],
  [0x2a700, 0x2b73f],
  [0x2b740, 0x2b81f],
  [0x2b920, 0x2ceaf],
  [0xf900, 0xfaff],
  [0x2f800, 0x2fa1f],
];

/** @param {number} code */
const isIdeograph = (code) => code >= 0x3400 && IDEOGRAPHS.some(([first, last]) => code >= first && code <= last);

export class WordPiece {
  /** @param {WordPieceSettings} settings */
  constructor(settings) {
    this.settings = settings;
    this.ids = idsOfPieces(settings);
    this.unknown = /** @type {number} */ (this.ids.get(settings.unknown));
    this.added = new AddedTokens(settings.added);
  }

  /**
   * The ids of a text, those before and after it included, and the part of the text that each came from.
   *
   * @param {string} text
   */
  read(text) {
    const { before, after } = this.settings;
    const wellFormed = text.replace(/\p{Surrogate}/gu, "\ufffd");
    /** @type {{id: number, origin: ?string}[]} */
    const tokens = [];
    for (const { from, to, id } of this.added.split(wellFormed)) {
      const part = wellFormed.slice(from, to);
      if (id !== null) tokens.push({ id, origin: part });
      else tokens.push(...this.tokens(part));
    }
    const known = tokens.every(({ origin }) => origin !== null);
    const origins = [...before.map(() => ""), ...tokens.map(({ origin }) => origin ?? ""), ...after.map(() => "")];
    return { ids: [...before, ...tokens.map(({ id }) => id), ...after], origins: known ? origins : [] };
  }

  /** @param {string} text @returns {{id: number, origin: ?string}[]} without a part of the text where that can't be said */
  tokens(text) {
    const normal = this.normalise(text);
    /** by character of the normal text: the letter of the text that it came from @type {{from: number, to: number}[]} */
    const places = [];
    let byLetter = "";
    let from = 0;
    for (const letter of text) {
      const to = from + letter.length;
      byLetter += this.normalise(letter);
      while (places.length < byLetter.length) places.push({ from, to });
      from = to;
    }
    const same = byLetter === normal; // unless marks change places
    return this.words(normal).flatMap(({ word, at }) =>
      this.pieces(word).map(({ id, from, to }) => ({
        id,
        origin: same ? text.slice(places[at + from].from, places[at + to - 1].to) : null,
      })),
    );
  }

  /**
   * What a token is called on the page.
   *
   * @param {number} id
   */
  name(id) {
    return this.settings.shown[id] ?? this.settings.vocabulary[id];
  }

  /** @param {string} text */
  normalise(text) {
    const { lowercase, stripAccents } = this.settings;
    let clean = "";
    for (const letter of text) {
      const code = /** @type {number} */ (letter.codePointAt(0));
      if (spaces.has(code)) clean += " ";
      else if (!removed.has(code)) clean += isIdeograph(code) ? ` ${letter} ` : letter;
    }
    if (stripAccents) {
      let bare = "";
      for (const letter of clean.normalize("NFD")) if (!marks.has(/** @type {number} */ (letter.codePointAt(0)))) bare += letter;
      clean = bare;
    }
    if (!lowercase) return clean;
    let lower = "";
    for (const letter of clean) lower += letter.toLowerCase(); // one by one: a final sigma is not special
    return lower;
  }

  /** @param {string} normal @returns {{word: string, at: number}[]} */
  words(normal) {
    /** @type {{word: string, at: number}[]} */
    const words = [];
    let word = "";
    let at = 0;
    const end = () => {
      if (word) words.push({ word, at: at - word.length });
      word = "";
    };
    for (const letter of normal) {
      if (letter === " ") end();
      else if (punctuation.has(/** @type {number} */ (letter.codePointAt(0)))) {
        end();
        words.push({ word: letter, at });
      } else word += letter;
      at += letter.length;
    }
    end();
    return words;
  }

  /**
   * The pieces of a word, and their characters: the longest that it begins with, and so on; one unknown token where there is none.
   *
   * @param {string} word
   */
  pieces(word) {
    const unknown = [{ id: this.unknown, from: 0, to: word.length }];
    const letters = [...word];
    if (letters.length > this.settings.longest) return unknown;
    const found = [];
    let from = 0;
    for (let start = 0; start < letters.length; ) {
      const prefix = start ? this.settings.prefix : "";
      let stop = letters.length;
      let piece = "";
      let id;
      for (; stop > start; stop--) {
        piece = letters.slice(start, stop).join("");
        id = this.ids.get(prefix + piece);
        if (id !== undefined) break;
      }
      if (id === undefined) return unknown;
      found.push({ id, from, to: from + piece.length });
      from += piece.length;
      start = stop;
    }
    return found;
  }
}
