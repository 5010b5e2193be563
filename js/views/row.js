import { fixed, labelsOf } from "../core/format.js";
import { rowOf } from "../explorer/partial.js";
import { lookOf, rowEnd, weightTicks } from "./colours.js";

// The selected query's row of weights, as labelled bars.

const MAX_LABELS = 16;
const SMALLEST_LABEL = Math.fround(0.015);
const HEIGHT = 170;
// Room for the label of the highest bar.
const HEADROOM = 1.18;

/**
 * A bar a key with its weight; the largest in the accent colour.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {Drawing}
 */
export function rowDrawing(trace, state, selection) {
  const theme = lookOf(trace, state);
  const tokens = trace.tokensOf(trace.calls[state.layer], state.batch).keys;
  const weights = rowOf(selection, state.query_index).weights.slice();
  const height = weights.map(orZero);
  const length = height.length;
  const color = new Array(length).fill(theme.bar);
  if (height.some(Boolean)) color[height.indexOf(largestOf(height))] = theme.accent;
  const named = heaviest(height, MAX_LABELS).filter((key) => height[key] >= SMALLEST_LABEL);
  const end = rowEnd(trace, state, largestOf(height));
  const edge = 0.1 + 0.02 * length;
  // Gaps would fade a thousand bars.
  const half = length <= 200 ? 0.42 : 0.5;
  return {
    sources: {
      "attn:row": {
        left: Float64Array.from(height, (_, key) => key - half),
        bottom: new Float64Array(length),
        right: Float64Array.from(height, (_, key) => key + half),
        top: height,
        color,
        token: tokens,
        weight: weights,
      },
      "attn:row:labels": {
        x: Float64Array.from(named),
        y: Float64Array.from(named, (key) => height[key]),
        text: named.map((key) => fixed(height[key], 2)),
        color: named.map(() => theme.muted),
      },
    },
    // Room for the label of a bar at the edge.
    x: [-0.5 - edge, length - 0.5 + edge],
    y: [0, HEADROOM * end],
    colours: null,
    xLabels: labelsOf(tokens),
    yLabels: null,
    yTicks: weightTicks(0, end, end),
    outline: null,
    height: HEIGHT,
    masked: null,
  };
}

/** @param {Floats} numbers */
export function largestOf(numbers) {
  let largest = -Infinity;
  for (const number of numbers) largest = Math.max(largest, number);
  return largest;
}

/**
 * Indices of the largest numbers, ascending; of equal ones the earlier.
 *
 * @param {Floats} numbers
 * @param {number} count
 */
export function heaviest(numbers, count) {
  const keys = Array.from(numbers, (_, key) => key);
  keys.sort((one, other) => numbers[other] - numbers[one] || one - other);
  return keys.slice(0, count).sort((one, other) => one - other);
}

/** @param {number} number */
export function orZero(number) {
  return number || 0; // 0 for nan
}
