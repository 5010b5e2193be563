/**
 * The description of a typed text's trace, which has the layers and heads of another one of its model.
 *
 * @param {TraceMeta} original
 * @param {{trace: string, tokens: string[], origins: string[], causal: boolean}} typed
 * @returns {TraceMeta}
 */
export function typedMeta(original, { trace, tokens, origins, causal }) {
  const T = tokens.length;
  return {
    ...original,
    trace,
    queryTokens: [tokens],
    origins: [origins],
    labels: original.calls.map(() => [null]),
    calls: original.calls.map((fields) => {
      const array = (/** @type {string} */ name) =>
        /** @type {ArrayLayout} */ ({ name, dtype: "float32", shape: [1, name === "query" ? fields.H : fields.Hkv, T, fields.D] });
      const arrays = ["query", "key", "value"].map(array);
      return { ...fields, B: 1, T, S: T, causal: causal ? "top_left" : "none", dtype: "float32", notFinite: [], outputs: null, arrays };
    }),
  };
}
