/** What stands between the two products of a layer's feed-forward part, in place. @type {Record<string, (numbers: Float32Array, kernel: LayerKernel) => void>} */
const ACTIVATIONS = {
  gelu: (numbers, kernel) => kernel.gelu(numbers),
  gelu_new: each((x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))),
  relu: each((x) => Math.max(x, 0)),
  silu: each((x) => x / (1 + Math.exp(-x))),
};

/** @param {(x: number) => number} compute @returns {(numbers: Float32Array) => void} */
function each(compute) {
  return (numbers) => {
    for (let i = 0; i < numbers.length; i++) numbers[i] = compute(numbers[i]);
  };
}

/** @param {string} name */
export function activationOf(name) {
  if (!Object.hasOwn(ACTIVATIONS, name)) throw new Error(`an activation must be one of ${Object.keys(ACTIVATIONS).join(", ")}; got ${name}`);
  return ACTIVATIONS[name];
}
