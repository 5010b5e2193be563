// Validation of arguments: each failure is a RangeError that names the rule and the value.

/**
 * Stride of the rows of a mask or bias: S, or 0 if all queries share one row.
 *
 * @param {string} name
 * @param {?ArrayLike<number>} array
 * @param {number} T
 * @param {number} S
 */
export function rowStep(name, array, T, S) {
  if (array === null || array.length === T * S) return S;
  if (array.length === S) return 0;
  const rule = `${T * S} entries, or ${S} that all rows share`;
  throw new RangeError(`${name} must have ${rule}; got ${array.length}`);
}

/** @param {string} name @param {ArrayLike<number>} array @param {number} length @param {string} rule */
export function expectLength(name, array, length, rule) {
  if (array.length !== length) {
    throw new RangeError(`${name} must have ${rule} = ${length} entries; got ${array.length}`);
  }
}

/**
 * @param {string} name @param {unknown} value @param {number} low @param {number} [high]
 * @returns {asserts value is number}
 */
export function expectInteger(name, value, low, high = Infinity) {
  if (typeof value === "number" && Number.isInteger(value) && value >= low && value <= high) return;
  const rule = high === Infinity ? `at least ${low}` : `from ${low} to ${high}`;
  throw new RangeError(`${name} must be an integer ${rule}; got ${value}`);
}

/** @param {string} name @param {number} value */
export function expectPositive(name, value) {
  if (value > 0 && value < Infinity) return;
  throw new RangeError(`${name} must be positive and finite; got ${value}`);
}
