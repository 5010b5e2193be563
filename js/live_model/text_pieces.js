import { classOf } from "./character_runs.js";
import { LETTERS, NUMBERS, NUMERIC, WHITE } from "./character_tables.js";

// What happens to a text before byte pairs are joined: the library's normalizers and pre-tokenizers, a function a step.

/**
 * A part of a text, of which the first `extra` characters were put there, and the rest stands at `at` in the text.
 *
 * @typedef {{text: string, at: number, extra: number}} Piece
 * @typedef {(piece: Piece) => Piece | Piece[]} Step
 */

/** @param {string} text @param {number} at @returns {Piece} */
export const pieceOf = (text, at) => ({ text, at, extra: 0 });

const [L, N, S] = [LETTERS, NUMBERS, WHITE].map(classOf);

/** Expressions of pre-tokenizers, by the names that attnpanel/models/live_model/byte_pair_settings.py has. @type {Record<string, () => RegExp>} */
const PATTERNS = {
  gpt2: () => new RegExp(`'s|'t|'re|'ve|'m|'ll|'d| ?[${L}]+| ?[${N}]+| ?[^${S}${L}${N}]+|[${S}]+(?![^${S}])|[${S}]+`, "gu"),
  llama3: () => contractionsOr(`[${N}]{1,3}`),
  qwen2: () => contractionsOr(`[${N}]`),
};

/** @param {string} numbers */
function contractionsOr(numbers) {
  // \u017f is an s without regard to case.
  const contractions = "'[sS\u017f]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]";
  return new RegExp(
    `${contractions}|[^\\r\\n${L}${N}]?[${L}]+|${numbers}| ?[^${S}${L}${N}]+[\\r\\n]*|[${S}]*[\\r\\n]+|[${S}]+(?![^${S}])|[${S}]+`,
    "gu",
  );
}

/** By name: a function of the step's setting. @type {Record<string, (setting: any) => Step>} */
const STEPS = {
  /** A letter before the text. */
  prepend: (/** @type {string} */ letter) => (piece) => prefixed(piece, letter),
  /** A letter before a text that does not begin with it. */
  prefix: (/** @type {string} */ letter) => (piece) => (piece.text.startsWith(letter) ? piece : prefixed(piece, letter)),
  /** The same before a text that is not behind an added token. */
  prefix_first: (/** @type {string} */ letter) => (piece) => (piece.at > 0 || piece.text.startsWith(letter) ? piece : prefixed(piece, letter)),
  /** Every space becomes a letter. */
  spaces: (/** @type {string} */ letter) => (piece) => ({ ...piece, text: piece.text.replaceAll(" ", letter) }),
  /** Parts that begin with a letter. */
  before: (/** @type {string} */ letter) => splitBy(() => new RegExp(`${letter}?[^${letter}]*`, "gu")),
  pattern: (/** @type {string} */ name) => splitBy(PATTERNS[name]),
  digits: (/** @type {boolean} */ each) => splitBy(() => new RegExp(`[${classOf(NUMERIC)}]${each ? "" : "+"}`, "gu")),
};

/**
 * @param {[string, any][]} settings names and settings
 * @returns {Step[]}
 */
export function splitSteps(settings) {
  return settings.map(([name, setting]) => {
    if (!Object.hasOwn(STEPS, name)) throw new Error(`a tokenizer's step must be one of ${Object.keys(STEPS).join(", ")}; got ${name}`);
    return STEPS[name](setting);
  });
}

/** @param {Piece} piece @param {string} letter */
const prefixed = (piece, letter) => ({ ...piece, text: letter + piece.text, extra: piece.extra + letter.length });

/** @param {() => RegExp} make @returns {Step} what matches, and what stands between */
function splitBy(make) {
  const expression = make();
  return (piece) => {
    const pieces = [];
    let done = 0;
    for (const { 0: found, index } of piece.text.matchAll(expression)) {
      if (found === "") continue;
      if (index > done) pieces.push(part(piece, done, index));
      done = index + found.length;
      pieces.push(part(piece, index, done));
    }
    if (done < piece.text.length) pieces.push(part(piece, done, piece.text.length));
    return pieces;
  };
}

/** @param {Piece} piece @param {number} from @param {number} to @returns {Piece} */
function part({ text, at, extra }, from, to) {
  const left = Math.max(Math.min(extra, to) - from, 0);
  return { text: text.slice(from, to), at: at + Math.max(from - extra, 0), extra: left };
}

