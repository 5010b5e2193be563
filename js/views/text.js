import { fixed } from "../core/format.js";
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
 * @returns {{names: {keys: string[], queries: string[]}, content: {shades: string[], inks: string[],
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
  return {
    names: { keys, queries: queries === keys || equal() ? [] : queries },
    content: {
      shades,
      inks: shades.map(readableOn),
      weights: weights.map((weight) => fixed(weight, 4)),
      selected: state.query_index,
    },
  };
}
