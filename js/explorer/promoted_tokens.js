import { shorten } from "../core/format.js";

// What a head writes after the output projection W_O, and the tokens that this promotes, where the capture recorded it. The
// numbers are those of attnpanel.analysis.explanation.

/**
 * `norms`: length of each key's value after W_O; `pair` and `row`: tokens and what the key alone, or the whole row, adds to
 * their logits; `row` null: not with these weights; `missing`: why some of it is not known.
 *
 * @typedef {[string, number][]} TokenLogits
 * @typedef {{norms: ?ArrayLike<number>, pair: ?TokenLogits, row: ?TokenLogits, missing: string}} WrittenTokens
 * @typedef {{names: [string, string], pair: TokenLogits, row: ?TokenLogits}} PromotedContent
 */

/**
 * What was recorded of a pair, in a layer that the page has.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {[number, number]} pair
 * @param {SelectionRow} row the query's
 * @returns {?WrittenTokens} null where nothing was recorded
 */
export function writtenTokens(trace, state, [query, key], { weights }) {
  const call = trace.calls[state.layer];
  if (!call.outputs || call.partial || state.aggregate) return null;
  const { norms, keys, rows, scale } = call.headOutputs(state.batch, state.head);
  const names = trace.vocabularies?.[call.outputs.vocabulary ?? -1] ?? [];
  /** @param {{ids: Int32Array, logits: Float32Array, listed: number}} of @param {number} at @param {number} factor @returns {TokenLogits} */
  const listed = ({ ids, logits, listed: count }, at, factor) => {
    const every = Array.from({ length: count }, (_, i) => /** @type {[string, number]} */ ([names[ids[at * count + i]] ?? "", factor * logits[at * count + i]]));
    return every.filter(([, logit]) => logit !== 0); // 0: of a masked key, or a head that is knocked out
  };
  const asItRan = state.temperature === 1 && (state.mask === "model" || !call.live);
  return {
    norms,
    pair: keys && scale && listed(keys, key, weights[key] * scale[query]),
    row: rows && asItRan ? listed(rows, query, 1) : null,
    missing: call.outputs.missing,
  };
}

/**
 * What the card shows of the tokens; null where none are known.
 *
 * @param {?WrittenTokens} found
 * @param {[string, string]} names of query and key
 * @returns {?PromotedContent}
 */
export function promotedContent(found, names) {
  if (!found?.pair) return null;
  const short = (/** @type {TokenLogits} */ list) => list.map(([token, logit]) => /** @type {[string, number]} */ ([shorten(token, 18), logit]));
  return { names, pair: short(found.pair), row: found.row && short(found.row) };
}

/**
 * What is written, after the output projection where its lengths are known.
 *
 * @param {SelectionRow} row
 * @param {?ReturnType<typeof import("../core/pair_numbers.js").writtenOf>} written
 * @param {?WrittenTokens} outputs
 */
export function projected({ weights }, written, outputs) {
  if (written === null || !outputs?.norms) return written;
  const valueNorms = Float64Array.from(outputs.norms);
  return { ...written, valueNorms, norms: valueNorms.map((norm, key) => norm * weights[key]) };
}
