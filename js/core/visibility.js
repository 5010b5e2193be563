import { expectLength, rowStep } from "./checks.js";

// Which keys each query may attend to. 1 = may attend; matrices as in attention.js.

/**
 * The causal rule of an AttentionCall: query i sees the keys j <= i + qOffset ("top_left"), or j <= i + S - T
 * ("bottom_right", where qOffset plays no part).
 *
 * @param {number} T
 * @param {number} S
 * @param {{align?: Align, qOffset?: number}} [options] qOffset in tokens
 * @returns {Uint8Array} T*S, 1 = may attend
 */
export function causalMask(T, S, { align = "top_left", qOffset = 0 } = {}) {
  const past = diagonal(align, T, S, qOffset);
  return band(T, S, (i) => [0, i + past + 1]);
}

/**
 * Which keys each query of one head may see: mask, causal rule and a bias of -inf together, as
 * AttentionCall.visible.
 *
 * @param {{T: number, S: number, causal?: "none" | Align, qOffset?: number, mask?: ?Uint8Array,
 *   bias?: ?Floats}} call qOffset in tokens; mask and bias of length T*S or S
 * @returns {Uint8Array} T*S, 1 = may attend
 */
export function visiblePairs({ T, S, causal = "none", qOffset = 0, mask = null, bias = null }) {
  const visible =
    causal === "none" ? new Uint8Array(T * S).fill(1) : causalMask(T, S, { align: causal, qOffset });
  const maskStep = rowStep("mask", mask, T, S);
  const biasStep = rowStep("bias", bias, T, S);
  for (let i = 0; i < T; i++) {
    for (let j = 0; j < S; j++) {
      if (mask !== null && mask[i * maskStep + j] === 0) visible[i * S + j] = 0;
      if (bias !== null && bias[i * biasStep + j] === -Infinity) visible[i * S + j] = 0;
    }
  }
  return visible;
}

/**
 * Which queries see no key, as Selection.empty.
 *
 * @param {Uint8Array} visible T*S
 * @param {{T: number, S: number}} sizes
 * @returns {Uint8Array} T, 1 = sees no key
 */
export function blindQueries(visible, { T, S }) {
  expectLength("visible", visible, T * S, "T*S");
  const blind = new Uint8Array(T);
  for (let i = 0; i < T; i++) {
    let j = i * S;
    while (j < (i + 1) * S && visible[j] === 0) j++;
    blind[i] = j === (i + 1) * S ? 1 : 0;
  }
  return blind;
}

/**
 * Row i is 1 from `edges(i)[0]` to `edges(i)[1]`, end excluded; edges may be outside 0..S.
 *
 * @param {number} T
 * @param {number} S
 * @param {(i: number) => number[]} edges
 */
export function band(T, S, edges) {
  const mask = new Uint8Array(T * S);
  for (let i = 0; i < T; i++) {
    const [first, stop] = edges(i).map((edge) => Math.min(Math.max(edge, 0), S));
    mask.fill(1, i * S + first, i * S + stop);
  }
  return mask;
}

/** @param {string} align @param {number} T @param {number} S @param {number} topLeft */
export function diagonal(align, T, S, topLeft) {
  if (align === "top_left") return topLeft;
  if (align === "bottom_right") return S - T;
  throw new RangeError(`align must be top_left or bottom_right; got ${align}`);
}
