// Sets of code points as character_tables.js has them: "gap length gap length …" in base 36.

/** @param {string} text @returns {[number, number][]} first and last of each run, in order */
export function runsOf(text) {
  const numbers = text.split(" ").map((digits) => Number.parseInt(digits, 36));
  /** @type {[number, number][]} */
  const runs = [];
  let last = 0;
  for (let i = 0; i < numbers.length; i += 2) {
    const first = last + numbers[i];
    last = first + numbers[i + 1];
    runs.push([first, last]);
  }
  return runs;
}

/** @param {string} text @returns {Set<number>} */
export function codePoints(text) {
  const found = new Set();
  for (const [first, last] of runsOf(text)) for (let code = first; code <= last; code++) found.add(code);
  return found;
}

/**
 * The inside of a regular expression's class, for expressions with the flag u.
 *
 * @param {string} text
 */
export function classOf(text) {
  const escaped = (/** @type {number} */ code) => `\\u{${code.toString(16)}}`;
  return runsOf(text)
    .map(([first, last]) => `${escaped(first)}-${escaped(last)}`)
    .join("");
}
