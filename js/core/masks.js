import { expectInteger } from "./checks.js";
import { band, diagonal } from "./visibility.js";

// Mask kinds in the browser: evaluates the rules of attnpanel's table of masks, which comes with a trace as plain
// data, without `eval`. Pure, like attention.js.

/** @type {(positions: number[], at: number, otherwise: number) => number} */
const lastUpTo = (positions, at, otherwise) => positions.findLast((position) => position <= at) ?? otherwise;
/** @type {(positions: number[], at: number, otherwise: number) => number} */
const firstAfter = (positions, at, otherwise) => positions.find((position) => position > at) ?? otherwise;
/** @type {(one: number, other: number) => number} */
const floored = (one, other) => Math.floor(one / other);

/**
 * As attnpanel.attention.mask_rules.OPERATIONS; "if" is apart, since it evaluates one side only.
 *
 * @type {Record<string, (...values: any[]) => any>}
 */
const OPERATIONS = {
  "+": (one, other) => one + other,
  "-": (one, other) => one - other,
  "*": (one, other) => one * other,
  "//": floored,
  "%": (one, other) => one - other * floored(one, other),
  "<": (one, other) => one < other,
  "<=": (one, other) => one <= other,
  ">": (one, other) => one > other,
  ">=": (one, other) => one >= other,
  "==": (one, other) => one === other,
  "!=": (one, other) => one !== other,
  and: (one, other) => one && other,
  or: (one, other) => one || other,
  not: (value) => !value,
  min: (one, other) => Math.min(one, other),
  max: (one, other) => Math.max(one, other),
  abs: (value) => Math.abs(value),
  list: (...values) => [...new Set(values)].sort((one, other) => one - other),
  last_up_to: lastUpTo,
  first_after: firstAfter,
};

/**
 * Compiles a rule into a function of the values of its names.
 *
 * @param {MaskTree} tree
 * @returns {(names: MaskValues) => any}
 */
export function compileRule(tree) {
  if (typeof tree === "number") return () => tree;
  if (typeof tree === "string") return (names) => names[tree];
  const [name, ...rest] = tree;
  const parts = rest.map(compileRule);
  const [one, other, third] = parts;
  if (name === "if") return (names) => (one(names) ? other(names) : third(names));
  if (!Object.hasOwn(OPERATIONS, name)) throw new RangeError(`a mask rule has no operation ${name}`);
  const operation = OPERATIONS[name];
  if (parts.length === 2) return (names) => operation(one(names), other(names));
  return (names) => operation(...parts.map((part) => part(names)));
}

/**
 * A rule's value.
 *
 * @param {MaskTree} tree
 * @param {MaskValues} names
 */
export function evaluateRule(tree, names) {
  return compileRule(tree)(names);
}

/**
 * The row of a mask kind.
 *
 * @param {MaskTable} masks
 * @param {string} kind
 * @returns {MaskKind}
 */
export function findMask({ kinds }, kind) {
  const row = kinds.find((candidate) => candidate.kind === kind);
  if (row === undefined) {
    throw new RangeError(`kind must be one of ${kinds.map((candidate) => candidate.kind).join(", ")}; got ${kind}`);
  }
  return row;
}

/**
 * A mask of one kind, as attnpanel.make_mask.
 *
 * @param {MaskKind} row
 * @param {number} T
 * @param {number} S
 * @param {{align?: string, values?: MaskValues}} [options] values: what the kind needs, by
 *   name, in tokens
 * @returns {Uint8Array} T*S, 1 = may attend
 */
export function makeMask(row, T, S, { align = "top_left", values = {} } = {}) {
  expectInteger("T", T, 1);
  expectInteger("S", S, 1);
  const lacking = row.needs.find((name) => values[name] === undefined);
  if (lacking !== undefined) throw new RangeError(`${row.kind} needs ${lacking}; got none`);
  const past = diagonal(align, T, S, 0);
  /** @type {MaskValues} */
  const names = { ...values, T, S };
  /** @param {number} i */
  const at = (i) => Object.assign(names, { i, p: i + past });
  const [first, stop] = [compileRule(row.first), compileRule(row.stop)];
  const mask = band(T, S, (i) => [first(at(i)), stop(names)]);
  if (row.only === null) return mask;
  const only = compileRule(row.only);
  for (let i = 0; i < T; i++) {
    at(i);
    for (let j = 0; j < S; j++) {
      names.j = j;
      if (mask[i * S + j] === 1 && !only(names)) mask[i * S + j] = 0;
    }
  }
  return mask;
}

/**
 * The bounds of all mask parameters, by name, at these lengths.
 *
 * @param {MaskTable} masks
 * @param {{T: number, S: number}} lengths
 * @returns {Record<string, [number, number]>}
 */
export function maskBounds({ parameters }, { T, S }) {
  /** @param {MaskTree} tree */
  const at = (tree) => evaluateRule(tree, { T, S });
  return Object.fromEntries(parameters.map(({ name, low, high }) => [name, [at(low), at(high)]]));
}

/**
 * Clamps all mask parameters to these lengths; positions outside are left out.
 *
 * @param {MaskTable} masks
 * @param {Record<string, any>} state
 * @param {{T: number, S: number}} lengths
 * @returns {MaskValues}
 */
export function fitMaskValues(masks, state, lengths) {
  const ranges = Object.entries(maskBounds(masks, lengths));
  return Object.fromEntries(ranges.map(([name, range]) => [name, fitValue(state[name], range)]));
}

/**
 * @param {number | number[]} value
 * @param {[number, number]} range
 */
function fitValue(value, [low, high]) {
  if (Array.isArray(value)) return value.filter((position) => position >= low && position <= high);
  return Math.min(Math.max(value, low), high);
}

/**
 * Initial values of all mask parameters, or of those that depend on the lengths.
 *
 * @param {MaskTable} masks
 * @param {{T: number, S: number}} lengths
 * @param {boolean} onlyFollowing
 * @returns {MaskValues}
 */
export function maskStarts({ parameters }, lengths, onlyFollowing) {
  const set = parameters.filter((row) => row.followsLengths || !onlyFollowing);
  return Object.fromEntries(set.map(({ name, start }) => [name, evaluateRule(start, lengths)]));
}

/**
 * A mask's label with its parameters: “padding (pad length 5)”.
 *
 * @param {MaskTable} masks
 * @param {string} kind
 * @param {(name: string) => number | number[]} valueOf
 * @returns {[string, string]} the label, and the rest or nothing
 */
export function maskWords(masks, kind, valueOf) {
  const { label, needs } = findMask(masks, kind);
  const rows = masks.parameters.filter(({ name }) => needs.includes(name));
  const numbers = rows.map((row) => `${row.label.toLowerCase()} ${[valueOf(row.name)].flat().join(", ")}`);
  return [label, numbers.length ? ` (${numbers.join(", ")})` : ""];
}
