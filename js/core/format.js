import { t } from "./translate.js";

// Formats numbers as Python does, and makes tokens visible. Texts are plain, never markup.

/**
 * Formats a number with fixed decimals, as Python's f"{number:.2f}": ties round to even, and -0 keeps its sign.
 *
 * @param {number} number
 * @param {number} decimals from 0
 * @returns {string}
 */
export function fixed(number, decimals) {
  if (!Number.isFinite(number)) return unfinite(number);
  const size = Math.abs(number);
  // toFixed uses exponents from 1e21 on; such numbers are integers.
  const decimal = size < 1e21 ? size.toFixed(decimals) : BigInt(size) + (0).toFixed(decimals).slice(1);
  return signOf(number) + toEven(decimal, size, decimals);
}

/**
 * Formats a number with significant digits and no trailing zeros, as Python's f"{number:.3g}".
 *
 * @param {number} number
 * @param {number} digits from 1
 * @returns {string}
 */
export function general(number, digits) {
  if (!Number.isFinite(number)) return unfinite(number);
  const size = Math.abs(number);
  const [mantissa, power] = size.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  const figures = toEven(mantissa, size, digits - 1 - exponent).replace(".", "");
  return signOf(number) + placed(figures, exponent, digits);
}

/**
 * Formats a number with two significant digits, and from 100 to a million as a whole one: 100, not 1e+2.
 *
 * @param {number} number
 */
export function twoDigits(number) {
  const size = Math.abs(number);
  return size >= 99.5 && size < 1e6 ? fixed(number, 0) : general(number, 2);
}

/**
 * Places digits, the first of which counts 10 ** exponent, as Python's "g" format does.
 *
 * @param {string} figures
 * @param {number} exponent
 * @param {number} digits
 */
function placed(figures, exponent, digits) {
  if (exponent < -4 || exponent >= digits) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${trimmed(figures[0], figures.slice(1))}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (exponent < 0) return trimmed("0", "0".repeat(-exponent - 1) + figures);
  return trimmed(figures.slice(0, exponent + 1), figures.slice(exponent + 1));
}

/** @param {string} whole @param {string} decimals */
function trimmed(whole, decimals) {
  const kept = decimals.replace(/0+$/, "");
  return kept === "" ? whole : `${whole}.${kept}`;
}

/** @param {number} number */
function unfinite(number) {
  if (Number.isNaN(number)) return "nan";
  return number < 0 ? "-inf" : "inf";
}

/** @param {number} number */
function signOf(number) {
  return number < 0 || Object.is(number, -0) ? "-" : "";
}

/**
 * Rounds a tie to even, where JavaScript rounds up.
 *
 * @param {string} text
 * @param {number} number
 * @param {number} decimals
 */
function toEven(text, number, decimals) {
  const last = Number(text.at(-1));
  if (last % 2 === 0 || !midway(number, decimals)) return text;
  return text.slice(0, -1) + (last - 1);
}

/**
 * Whether a number is exactly k + 1/2 units of 10 ** -decimals.
 *
 * @param {number} number
 * @param {number} decimals
 */
function midway(number, decimals) {
  if (decimals >= 0) {
    // Such a number is an odd multiple of 2 ** -(decimals + 1), and this product is exact.
    const halves = number * 2 ** (decimals + 1);
    return Number.isInteger(halves) && halves % 2 !== 0;
  }
  if (!Number.isInteger(number)) return false;
  const unit = 10n ** BigInt(-decimals);
  return (2n * BigInt(number)) % unit === 0n && ((2n * BigInt(number)) / unit) % 2n === 1n;
}

/**
 * A score with two decimals, or two digits of one near 0.
 *
 * @param {number} number
 */
export function twoDecimals(number) {
  return Math.abs(number) < 0.1 ? general(number, 2) : fixed(number, 2);
}

/**
 * A difference of scores with two decimals, and with its sign unless it is written as 0.
 *
 * @param {number} number
 */
export function signed(number) {
  const text = fixed(Math.abs(number), 2);
  return Number(text) === 0 ? text : `${number < 0 ? "−" : "+"}${text}`;
}

// As str.isprintable: no control, format, unassigned or private-use character, and no space but the ASCII one. The
// browser's version of Unicode decides which characters are assigned.
const UNPRINTABLE = /\p{C}|(?! )\p{Z}/gu;
const PLAIN = /^[ -~]*$/;

/**
 * A label that fits beside a plot.
 *
 * @param {string} text
 * @param {number} [most] characters (code points)
 * @returns {string}
 */
export function shorten(text, most = 14) {
  if (text.length <= most && PLAIN.test(text)) return text;
  return cut(text.replace(UNPRINTABLE, "·"), most);
}

/** @param {string} text @param {number} most */
function cut(text, most) {
  return [...text].length <= most ? text : `${firstOf(text, most - 1)}…`;
}

/** @param {string} text @param {number} count */
export function firstOf(text, count) {
  return [...text].slice(0, count).join("");
}

/**
 * A token cut to a readable length of running text.
 *
 * @param {string} token
 */
export function brief(token) {
  return cut(token, 32);
}

/**
 * A text in the quotation marks of the page's language.
 *
 * @param {string} text
 */
export function inQuotes(text) {
  return t("“{text}”", { text });
}

// Cached by row of tokens: cutting hundreds of labels would cost more than drawing the plot.
const LABELS_OF = new WeakMap();

/**
 * Tick labels of the tokens; the same array for the same tokens.
 *
 * @param {string[]} tokens
 * @returns {string[]}
 */
export function labelsOf(tokens) {
  if (!LABELS_OF.has(tokens)) LABELS_OF.set(tokens, tokens.map((token) => shorten(token)));
  return LABELS_OF.get(tokens);
}

/**
 * Where a patch of a picture lies, in words.
 *
 * @param {number} cell in reading order
 * @param {{columns: number}} grid
 */
export function rowAndColumn(cell, { columns }) {
  return t("row {row}, column {column}", { row: Math.floor(cell / columns), column: cell % columns });
}
