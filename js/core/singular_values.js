// Singular value decomposition by one-sided Jacobi rotations (Hestenes 1958; Golub and Van Loan, section 8.6.3).

// Rows count as orthogonal where the cosine between them is smaller.
const COSINE = 1e-14;
const MOST_SWEEPS = 40;

/** @typedef {{size: number, left: Float64Array, right: Float64Array}} SingularTriple its largest left entry is positive */

/**
 * The largest singular values of a matrix and their vectors, in steps: yields after each row of a sweep.
 *
 * @param {Float64Array} matrix rows × columns; not modified
 * @param {number} rows
 * @param {number} columns
 * @returns {Generator<number, SingularTriple[], void>} by size; without those that are 0 to rounding
 */
export function* singularTriples(matrix, rows, columns) {
  const turned = matrix.slice();
  /** @param {number} one @param {number} other */
  const product = (one, other) => {
    let sum = 0;
    for (let at = 0; at < columns; at++) sum += turned[one * columns + at] * turned[other * columns + at];
    return sum;
  };
  const squared = Float64Array.from({ length: rows }, (_, row) => product(row, row));
  const total = squared.reduce((sum, square) => sum + square, 0);
  // Rows that have become 0 to rounding hold nothing but rounding.
  const least = total * Number.EPSILON ** 2;
  for (let sweep = 0, turns = 1; turns > 0 && sweep < MOST_SWEEPS; sweep++) {
    turns = 0;
    for (let one = 0; one < rows; one++) {
      for (let other = one + 1; other < rows; other++) {
        if (squared[one] <= least || squared[other] <= least) continue;
        const shared = product(one, other);
        if (Math.abs(shared) <= COSINE * Math.sqrt(squared[one] * squared[other])) continue;
        turns += 1;
        const ratio = (squared[other] - squared[one]) / (2 * shared);
        const tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.hypot(1, ratio));
        const cosine = 1 / Math.hypot(1, tangent);
        const sine = cosine * tangent;
        for (let at = 0; at < columns; at++) {
          const [x, y] = [turned[one * columns + at], turned[other * columns + at]];
          turned[one * columns + at] = cosine * x - sine * y;
          turned[other * columns + at] = sine * x + cosine * y;
        }
        [squared[one], squared[other]] = [product(one, one), product(other, other)];
      }
      yield one;
    }
  }
  const found = [];
  for (let row = 0; row < rows; row++) {
    const size = Math.sqrt(squared[row]);
    if (size <= Math.sqrt(total) * 1e-12) continue;
    const right = Float64Array.from({ length: columns }, (_, at) => turned[row * columns + at] / size);
    const left = times(matrix, right, rows, columns).map((sum) => sum / size);
    const most = left.reduce((most, entry) => (Math.abs(entry) > Math.abs(most) ? entry : most), 0);
    const sign = most < 0 ? -1 : 1;
    found.push({ size, left: left.map((entry) => sign * entry), right: right.map((entry) => sign * entry) });
  }
  return found.sort((one, other) => other.size - one.size);
}

/**
 * matrix @ vector
 *
 * @param {Float64Array} matrix @param {Float64Array} vector @param {number} rows @param {number} columns
 */
export function times(matrix, vector, rows, columns) {
  const product = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    for (let at = 0; at < columns; at++) product[row] += matrix[row * columns + at] * vector[at];
  }
  return product;
}

/**
 * vector @ matrix
 *
 * @param {Float64Array} matrix @param {Float64Array} vector @param {number} rows @param {number} columns
 */
export function timesLeft(matrix, vector, rows, columns) {
  const product = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    for (let at = 0; at < columns; at++) product[at] += vector[row] * matrix[row * columns + at];
  }
  return product;
}
