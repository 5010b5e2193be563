import { fixed, shorten } from "../core/format.js";
import { t } from "../core/translate.js";
import { rowOf } from "../explorer/partial.js";
import { clip, readableOn, roundToEven, scaledFrom, sequential, weightsEnd } from "./colours.js";
import { orZero } from "./row.js";

/**
 * The key tokens shaded by their weight in the selected row, and the query tokens if they differ, as
 * attnpanel.explorer.views.text.shaded_tokens.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {{names: {keys: string[], queries: string[], origins: string[], note: string}, content: {shades: string[], inks: string[],
 *   weights: string[], selected: number}}}
 */
export function shadedTokens(trace, state, selection) {
  const { queries, keys } = trace.tokensOf(trace.calls[state.layer], state.batch);
  const { palette } = sequential(trace, state, 1);
  const weights = Array.from(rowOf(selection, state.query_index).weights, orZero);
  // Absolute shades, so that tokens can be compared; relative if the first token is left out.
  const first = scaledFrom(state, selection);
  const high = first > 0 ? weightsEnd(weights.slice(first).reduce((one, other) => Math.max(one, other), 0), false) : 1;
  /** @param {number} weight */
  const step = (weight) => roundToEven(Math.fround(clip(Math.fround(weight / high), 0, 1) * 255));
  const shades = weights.map((weight) => palette[step(weight)]);
  const equal = () => queries.length === keys.length && queries.every((token, at) => token === keys[at]);
  const origins = originsOf(trace, state, keys);
  return {
    names: { keys, origins, note: originNote(trace, keys, origins), queries: queries === keys || equal() ? [] : queries },
    content: {
      shades,
      inks: shades.map(readableOn),
      weights: weights.map((weight) => fixed(weight, 4)),
      selected: state.query_index,
    },
  };
}

// Tokens that a note lists.
const MOST_NOTED = 6;

/**
 * The text that each of some tokens came from where it differs from the token, else "".
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {string[]} tokens those of the trace's own rows; of others nothing is known
 * @returns {string[]} empty if nothing is known
 */
export function originsOf(trace, { batch }, tokens) {
  const origins = trace.origins?.[batch];
  if (!origins || tokens !== trace.queryTokens[batch] || origins.length !== tokens.length) return [];
  return origins.map((origin, at) => (origin === tokens[at].replace(/^(##| )/, "") || origin === tokens[at] ? "" : origin));
}

/**
 * What stands for text that the model has no token for, and what a tokenizer has changed beyond case, in a sentence.
 *
 * @param {Trace} trace
 * @param {string[]} tokens
 * @param {string[]} origins as of originsOf
 */
export function originNote({ unknownToken }, tokens, origins) {
  /** @param {number} at */
  const said = (at) => `${at} ← “${shorten(origins[at], 18)}”`;
  const unknown = [...origins.keys()].filter((at) => origins[at] !== "" && tokens[at] === unknownToken);
  if (unknown.length === 0) return "";
  const more = unknown.length > MOST_NOTED ? ` ${t("and {count} more", { count: unknown.length - MOST_NOTED })}` : "";
  const places = `${unknown.slice(0, MOST_NOTED).map(said).join(", ")}${more}`;
  return t("{token} stands for text that the model has no token for, and looks the same to it everywhere: {places}.", { token: unknownToken ?? "", places });
}
