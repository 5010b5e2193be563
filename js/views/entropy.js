import { fixed, labelsOf } from "../core/format.js";
import { entropies } from "../core/head_numbers.js";
import { t } from "../core/translate.js";
import { place } from "../explorer/labels.js";
import { lookOf } from "./colours.js";
import { heaviest } from "./row.js";

// Entropy of every row of weights, as bars in front of the largest possible entropy.

const MAX_LABELS = 16;
// The axis ends above the largest possible entropy, log S, with room for a label on the highest bar; it needs a
// positive length even for S <= 1.
const HEADROOM = 1.15;
const SHORTEST = 0.5;
const NO_WEIGHT = "∅";

/**
 * The entropy of each query's row in nats, NaN without weights, and the number of keys it sees.
 *
 * @param {Trace} _trace
 * @param {State} _state
 * @param {HeadSelection} selection
 * @returns {{entropy: Float64Array, seen: Float64Array}}
 */
export function measureEntropy(_trace, _state, { T, S, weights, visible }) {
  const seen = new Float64Array(T);
  for (let i = 0; i < T; i++) for (let j = i * S; j < (i + 1) * S; j++) seen[i] += visible[j];
  return { entropy: entropies(weights, T, S), seen };
}

/**
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} _cache
 * @param {{entropy: Float64Array, seen: Float64Array}} measured by measureEntropy or Python
 * @returns {Drawing}
 */
export function entropyDrawing(trace, state, _cache, { entropy, seen }) {
  const theme = lookOf(trace, state);
  const call = trace.calls[state.layer];
  const tokens = trace.tokensOf(call, state.batch).queries;
  const { length } = entropy;
  const height = entropy.map((nats) => Math.max(nats || 0, 0));
  const widest = new Set(heaviest(height, MAX_LABELS));
  const named = [...height.keys()].filter((query) => Number.isNaN(entropy[query]) || widest.has(query));
  const edge = 0.1 + 0.02 * length;
  const half = length <= 200 ? 0.42 : 0.5;
  const sides = {
    left: Float64Array.from(entropy, (_, query) => query - half),
    bottom: new Float64Array(length),
    right: Float64Array.from(entropy, (_, query) => query + half),
  };
  return {
    sources: {
      "attn:entropy:most": {
        ...sides,
        top: seen.map((keys) => Math.log(Math.max(keys, 1))),
        color: new Array(length).fill(theme.line),
      },
      "attn:entropy": {
        ...sides,
        top: height,
        color: new Array(length).fill(theme.bar),
        token: tokens,
        entropy,
        seen,
        tooltip: Array.from(entropy, (nats, query) => tooltip(nats, seen[query])),
      },
      "attn:entropy:labels": {
        x: Float64Array.from(named),
        y: Float64Array.from(named, (query) => height[query]),
        text: named.map((query) => (Number.isNaN(entropy[query]) ? NO_WEIGHT : fixed(height[query], 2))),
        color: named.map(() => theme.muted),
      },
    },
    x: [-0.5 - edge, length - 0.5 + edge],
    y: [0, top(call)],
    colours: null,
    xLabels: labelsOf(tokens),
    yLabels: null,
    yTicks: Array.from({ length: Math.trunc(Math.log(call.S)) + 1 }, (_, nats) => [nats, String(nats)]),
    outline: tokenOutline(trace, state),
    height: 170,
    masked: null,
  };
}

/** @param {Trace} trace @param {State} state */
export function entropyCaption(trace, state) {
  const call = trace.calls[state.layer];
  return { subtitle: t("{place} · nats; pale: if spread evenly", { place: place(call, state) }) };
}

/**
 * The selected query's column, up to the end of the axis.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {number[]} [left, right, first, last]
 */
export function tokenOutline(trace, state) {
  const query = state.query_index;
  return [query - 0.5, query + 0.5, 0, top(trace.calls[state.layer])];
}

/** @param {Call} call */
function top({ S }) {
  return HEADROOM * Math.max(Math.log(S), SHORTEST);
}

/** @param {number} nats @param {number} seen */
function tooltip(nats, seen) {
  if (Number.isNaN(nats)) return seen === 0 ? t("none: sees no key") : t("none: no weight");
  const amount = t("{number} nats", { number: fixed(Math.abs(nats), 3) });
  if (seen === 0) return t("{amount}, though it sees no key", { amount });
  const most = fixed(Math.log(seen), 3);
  return seen === 1 ? t("{amount}, at most {most} over 1 key", { amount, most }) : t("{amount}, at most {most} over {count} keys", { amount, most, count: seen });
}
