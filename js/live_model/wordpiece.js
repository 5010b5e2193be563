import { AddedTokens } from "./added_tokens.js";
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
    this.ids = new Map(settings.vocabulary.map((piece, id) => [piece, id]));
    this.unknown = /** @type {number} */ (this.ids.get(settings.unknown));
    this.added = new AddedTokens(settings.added);
  }

  /**
   * The ids of a text, those before and after it included.
   *
   * @param {string} text
   * @returns {number[]}
   */
  encode(text) {
    const { before, after } = this.settings;
    const ids = [...before];
    const wellFormed = text.replace(/\p{Surrogate}/gu, "\ufffd");
    for (const { from, to, id } of this.added.split(wellFormed)) {
      if (id !== null) ids.push(id);
      else for (const word of this.words(wellFormed.slice(from, to))) ids.push(...this.pieces(word));
    }
    return [...ids, ...after];
  }

  /**
   * The ids of a text; which part of it each came from is not said.
   *
   * @param {string} text
   */
  read(text) {
    return { ids: this.encode(text), origins: /** @type {string[]} */ ([]) };
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

  /** @param {string} text */
  words(text) {
    /** @type {string[]} */
    const words = [];
    let word = "";
    const end = () => {
      if (word) words.push(word);
      word = "";
    };
    for (const letter of this.normalise(text)) {
      if (letter === " ") end();
      else if (punctuation.has(/** @type {number} */ (letter.codePointAt(0)))) {
        end();
        words.push(letter);
      } else word += letter;
    }
    end();
    return words;
  }

  /**
   * The ids of a word: the longest piece that it begins with, and so on; one unknown token where there is none.
   *
   * @param {string} word
   */
  pieces(word) {
    const letters = [...word];
    if (letters.length > this.settings.longest) return [this.unknown];
    const found = [];
    for (let start = 0; start < letters.length; ) {
      const prefix = start ? this.settings.prefix : "";
      let stop = letters.length;
      let id;
      for (; stop > start; stop--) {
        id = this.ids.get(prefix + letters.slice(start, stop).join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) return [this.unknown];
      found.push(id);
      start = stop;
    }
    return found;
  }
}
