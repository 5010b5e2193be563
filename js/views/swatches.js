import { fixed, shorten } from "../core/format.js";
import { mixColour } from "../core/matrices.js";
import { t } from "../core/translate.js";
import { rowOf } from "../explorer/partial.js";
import { hexColour, lookOf, readableOn, rowEnd, weightTicks } from "./colours.js";
import { heaviest, largestOf, orZero } from "./row.js";

// Paint mixing: the colours of the values, mixed by the selected query's weights.

const MAX_SWATCHES = 20;
const ROW_PIXELS = 17;
const AXIS_PIXELS = 16;
// Columns of the picture, in units of its width.
const SWATCH = [0, 0.1];
const NAME = 0.13;
const BAR = [0.47, 0.82];
const WEIGHT = 1;

/**
 * A swatch, name, bar and weight per token, and below them the mixed colour; beyond 20 tokens the
 * heaviest 19 in order, and the rest as one weighted mean.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {Drawing}
 */
export function swatchesDrawing(trace, state, selection) {
  const theme = lookOf(trace, state);
  const call = trace.calls[state.layer];
  const tokens = trace.tokensOf(call, state.batch);
  const row = Float64Array.from(rowOf(selection, state.query_index).weights);
  const head = state.aggregate ? null : state.head;
  const known = "colours" in selection ? selection.colours : call.colours(state.batch, head, state.color_seed);
  const paints = known ?? new Float64Array(row.length * 3).fill(NaN);
  const { names, weights, colours, keys } = swatchesOf(tokens.keys, row, paints);
  const count = names.length;
  /** @param {number} value */
  const every = (value) => new Float64Array(count).fill(value);
  /** @param {number} by */
  const off = (by) => Float64Array.from(names, (_, at) => at + by);
  /** @param {string} text */
  const same = (text) => new Array(count).fill(text);
  const painted = names.map((_, at) => hexColour(colours.subarray(3 * at, 3 * at + 3)));
  const heights = weights.map(orZero);
  const end = rowEnd(trace, state, largestOf(heights));
  const scale = (BAR[1] - BAR[0]) / end;
  const token = shorten(tokens.queries[state.query_index], 18);
  return {
    sources: {
      "attn:swatches": {
        left: every(SWATCH[0]),
        bottom: off(-0.36),
        right: every(SWATCH[1]),
        top: off(0.36),
        color: painted,
        token: names,
        weight: weights,
        key_index: keys,
      },
      "attn:swatches:tracks": {
        left: every(BAR[0]),
        bottom: off(-0.1),
        right: every(BAR[1]),
        top: off(0.1),
        color: same(theme.line),
      },
      "attn:swatches:bars": {
        left: every(BAR[0]),
        bottom: off(-0.1),
        right: heights.map((height) => BAR[0] + height * scale),
        top: off(0.1),
        color: known === null ? same(theme.bar) : painted,
      },
      "attn:swatches:names": {
        x: every(NAME),
        y: off(0),
        text: names.map((name) => shorten(name, 12)),
        color: same(theme.ink),
      },
      "attn:swatches:weights": {
        x: every(WEIGHT),
        y: off(0),
        text: Array.from(weights, (weight) => fixed(weight, 3)),
        color: same(theme.muted),
      },
      ...mixedSources(mixColour(row, paints), count, token, row.every((weight) => weight === 0), theme),
    },
    x: [0, 1],
    y: [count + 1.4, -0.6],
    colours: null,
    xLabels: null,
    yLabels: null,
    xTicks: weightTicks(BAR[0], BAR[1], end),
    outline: null,
    height: AXIS_PIXELS + ROW_PIXELS * (count + 2),
    masked: null,
  };
}

/**
 * The row's mixed colour below `count` swatches, and its label.
 *
 * @param {Float64Array} mixed
 * @param {number} count
 * @param {string} token
 * @param {boolean} empty
 * @param {Theme} theme
 * @returns {Record<string, Columns>}
 */
function mixedSources(mixed, count, token, empty, theme) {
  // Without weights there is no mixed colour; black would look like one.
  const color = empty ? theme.masked : hexColour(mixed);
  const known = mixed.every(Number.isFinite) ? t("what “{token}” becomes", { token }) : t("what “{token}” becomes is unknown", { token });
  const text = empty ? t("“{token}” becomes nothing", { token }) : known;
  return {
    "attn:mixed": {
      left: [0],
      bottom: [count - 0.1],
      right: [1],
      top: [count + 1.3],
      color: [color],
      red: [mixed[0]],
      green: [mixed[1]],
      blue: [mixed[2]],
    },
    "attn:mixed:name": { x: [0.5], y: [count + 0.6], text: [text], color: [readableOn(color)] },
  };
}

/**
 * The swatches' names, weights, colours (3 numbers each) and keys; key -1 stands for the rest.
 *
 * @param {string[]} tokens
 * @param {Float64Array} row
 * @param {Floats} paints
 */
function swatchesOf(tokens, row, paints) {
  if (tokens.length <= MAX_SWATCHES) {
    return { names: tokens, weights: row, colours: paints, keys: Int32Array.from(tokens, (_, key) => key) };
  }
  const known = row.map(orZero);
  const keep = heaviest(known, MAX_SWATCHES - 1);
  const rest = blendOfRest(known, paints, new Set(keep));
  /** @param {number} key */
  const paint = (key) => [...paints.subarray(3 * key, 3 * key + 3)];
  return {
    names: [...keep.map((key) => tokens[key]), t("{count} others", { count: tokens.length - keep.length })],
    weights: Float64Array.from([...keep.map((key) => row[key]), rest.share]),
    colours: Float64Array.from([...keep.flatMap(paint), ...rest.blend]),
    keys: Int32Array.from([...keep, -1]),
  };
}

/**
 * The weight of all keys except those kept, and their weighted mean colour; the unweighted mean if they have none.
 *
 * @param {Float64Array} known
 * @param {Floats} paints
 * @param {Set<number>} keep
 */
function blendOfRest(known, paints, keep) {
  const rest = Array.from(known, (_, key) => key).filter((key) => !keep.has(key));
  const share = rest.reduce((sum, key) => sum + known[key], 0);
  const blend = [0, 1, 2].map((channel) => {
    /** @param {number} key */
    const part = (key) => (share > 0 ? known[key] : 1) * paints[3 * key + channel];
    return rest.reduce((sum, key) => sum + part(key), 0) / (share > 0 ? share : rest.length);
  });
  return { share, blend };
}
