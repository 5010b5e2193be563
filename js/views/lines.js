import { fixed, general, shorten, twoDigits } from "../core/format.js";
import { t } from "../core/translate.js";
import { headRows } from "../explorer/head_rows.js";
import { headNumbers, layerName } from "../explorer/labels.js";
import { clip, lookOf } from "./colours.js";
import { orZero } from "./row.js";

// Lines from token to token, several heads in colours: attnpanel.explorer.views.lines, whose constants these are.

const MAX_TOKENS = 64;
const MAX_LINES = 200;
const PALE = 0.25;
const SPREAD = 0.6;
const LEAST_WEIGHT = Math.fround(0.01);
const [THINNEST, WIDEST] = [0.5, 4];
const MAX_LABELLED = MAX_TOKENS;
const TOKEN = 20;
const LABEL = 13;
const [SHORTEST, TALLEST, TALLEST_OF_LONG] = [120, 960, 640];
const [NARROW, LETTER, BESIDE] = [274, 7, 8];
const GAP = 0.03;
const [LETTERS, LETTERS_BESIDE_NUMBER, NUMBER] = [10, 6, 5];
const MASKED = "✕ ";
const [HEADS_ABOVE, TOP_ABOVE] = [0.6, 1.2];
const SWATCH = "■";
const [QUERY, KEY] = [0, 1];
const OWN_CHOICES = ["dark", "line_heads", "lines_of_token", "line_token"];
// Possible lines up to which each step of a slider draws them.
const MAX_AT_ONCE = 1000;

/**
 * The heads whose lines are drawn: the chosen ones of the layer, else its first ones.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {number[]}
 */
export function shownHeads(trace, state) {
  const { H } = trace.calls[state.layer];
  const chosen = state.line_heads.filter((head) => head < H);
  return (chosen.length ? chosen : Array.from({ length: H }, (_, head) => head)).slice(0, trace.headColours.length);
}

/**
 * The colour of each shown head: its own, unless the layer has more heads than there are colours.
 *
 * @param {Trace} trace
 * @param {State} state
 */
export function headColours(trace, state) {
  const { headColours: colours } = trace;
  const own = trace.calls[state.layer].H <= colours.length;
  return shownHeads(trace, state).map((head, rank) => colours[own ? head : rank]);
}

/** @param {Call} call */
const isLong = ({ T, S }) => Math.max(T, S) > MAX_TOKENS;
/** @param {Call} call */
const offsetOf = ({ kind, qOffset }) => (kind === "self" ? qOffset : 0);
/** @param {Call} call */
const rowsIn = (call) => Math.max(call.T + offsetOf(call), call.S);

/**
 * The token whose lines alone are drawn, as [side, index]; null draws all.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {?[number, number]}
 */
export function lineFocus(trace, state) {
  const call = trace.calls[state.layer];
  if (state.line_token) {
    const [side, index] = state.line_token;
    const lengths = isLong(call) ? [call.T] : [call.T, call.S];
    if (index >= 0 && index < (lengths[side] ?? 0)) return [side, index];
  }
  return isLong(call) || state.lines_of_token ? [QUERY, state.query_index] : null;
}

/**
 * The token at a position of the plot, as [side, index]; null if there is none.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {number} x
 * @param {number} y
 * @returns {?[number, number]}
 */
export function tokenAt(trace, state, x, y) {
  const call = trace.calls[state.layer];
  const side = x < 0.5 ? QUERY : KEY;
  const index = Math.round(y) - (side === QUERY ? offsetOf(call) : 0);
  return index >= 0 && index < (side === QUERY ? call.T : call.S) ? [side, index] : null;
}

/**
 * @param {Trace} trace
 * @param {State} state
 * @param {SelectionCache} cache
 * @returns {Drawing}
 */
export function linesDrawing(trace, state, cache) {
  const call = trace.calls[state.layer];
  const theme = lookOf(trace, state);
  const { queries: names, keys: keyNames } = trace.tokensOf(call, state.batch);
  const focus = lineFocus(trace, state);
  const heads = call.partial ? [] : shownHeads(trace, state);
  const [start, stop] = focus?.[0] === QUERY ? [focus[1], focus[1] + 1] : [0, call.T];
  const parts = heads.map((head) => headRows(trace, state, cache, head, start, stop));
  const found = linesIn(parts, call, start, focus);
  const own = focus === null ? state.query_index : null;
  const lines = drawn(found, own);
  const { strengths, seen } = ofTokens(parts, call, start, focus);
  const offset = offsetOf(call);
  const rows = rowsIn(call);
  const room = roomFor(names, keyNames);
  const tallest = isLong(call) ? TALLEST_OF_LONG : TALLEST;
  const height = TOKEN + Math.trunc(clip(TOKEN * rows, SHORTEST, tallest));
  const perToken = Math.max(1, (TOKEN * rows) / tallest);
  const [headsAt, top] = [HEADS_ABOVE, TOP_ABOVE].map((above) => -0.5 - above * perToken);
  const gap = rows <= MAX_LABELLED ? 0 : (LABEL * (rows - 0.5 - top)) / height;
  const [colours, numbers] = [headColours(trace, state), headNumbers(call)];
  /** @param {number} rank */
  const beside = (rank) => -SPREAD / 2 + (SPREAD * (rank + 0.5)) / heads.length;
  /** @param {number} side @param {string[]} tokens */
  const labels = (side, tokens) =>
    labelsOf(tokens, {
      side,
      offset: side === QUERY ? offset : 0,
      focus: focus === null ? null : focus[0] === side ? focus[1] : -1,
      strength: strengths[side],
      seen: seen[side],
      gap,
      theme,
    });
  return {
    sources: {
      "attn:lines": {
        left: new Float64Array(lines.length),
        bottom: Float64Array.from(lines, ({ rank, query }) => query + offset + beside(rank)),
        right: new Float64Array(lines.length).fill(1),
        top: Float64Array.from(lines, ({ rank, key }) => key + beside(rank)),
        color: lines.map(({ rank }) => colours[rank]),
        weight: Float32Array.from(lines, ({ weight }) => weight),
        alpha: Float64Array.from(lines, ({ weight, query }) => (own === null || own === query ? 1 : PALE) * weight),
        width: Float64Array.from(lines, ({ weight }) => THINNEST + (WIDEST - THINNEST) * weight),
        head: lines.map(({ rank }) => numbers[heads[rank]]),
        query: lines.map(({ query }) => `${query} · ${names[query]}`),
        key: lines.map(({ key }) => `${key} · ${keyNames[key]}`),
      },
      "attn:lines:queries": labels(QUERY, names),
      "attn:lines:keys": labels(KEY, keyNames),
      "attn:lines:heads": {
        x: Float64Array.from(heads, (_, rank) => -room + ((1 + 2 * room) * (rank + 0.5)) / heads.length),
        y: new Float64Array(heads.length).fill(headsAt),
        text: heads.map((head) => `${SWATCH}${numbers[head]}`),
        color: colours.slice(0, heads.length),
      },
    },
    x: [-room, 1 + room],
    y: [rows - 0.5, top],
    colours: null,
    xLabels: null,
    yLabels: null,
    outline: queryOutline(trace, state),
    height,
    masked: null,
    about: about(call, focus, { found, lines, total: totalOf(parts, call, focus), token: own === null ? null : names[own] }),
    spoken: inWords(trace, state, parts, start, focus?.[0] === QUERY ? focus[1] : state.query_index),
  };
}

/**
 * The box around the selected query's label: [left, right, first, last].
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {number[]}
 */
export function queryOutline(trace, state) {
  const call = trace.calls[state.layer];
  const { queries, keys } = trace.tokensOf(call, state.batch);
  const row = state.query_index + offsetOf(call);
  return [-roomFor(queries, keys), 0, row - 0.5, row + 0.5];
}

/**
 * Whether a change may wait: lines follow the choices of lines at once, and a slider if they are few.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {Set<string>} changed
 */
export function linesWait(trace, state, changed) {
  if (OWN_CHOICES.some((choice) => changed.has(choice))) return false;
  const call = trace.calls[state.layer];
  const rows = lineFocus(trace, state)?.[0] === QUERY ? 1 : call.T;
  return shownHeads(trace, state).length * rows * call.S > MAX_AT_ONCE;
}

/**
 * What is left out of the picture, in a sentence.
 *
 * @param {Call} call
 * @param {?[number, number]} focus
 * @param {{found: Line[], lines: Line[], total: number, token: ?string}} content the sum of all weights, and the token
 *   all of whose lines are drawn
 */
function about(call, focus, { found, lines, total, token }) {
  if (call.partial) return t("This layer is too large for the page to draw its lines.");
  const said = [];
  if (isLong(call)) said.push(t("Over {count} tokens: the lines of one token at a time.", { count: MAX_TOKENS }));
  if (rowsIn(call) > MAX_LABELLED) said.push(t("Labels where there is room."));
  if (lines.length < found.length) {
    const shown = new Set(lines);
    const hidden = found.filter((line) => !shown.has(line)).map(({ weight }) => weight);
    const share = twoDigits((100 * sum(hidden)) / total);
    said.push(t("Hidden: {count} lines, of weights up to {most}, with {share} % of the attention; fewer heads show more.", { count: hidden.length, most: general(Math.max(...hidden), 2), share }));
  } else said.push(t("Weights below {least} are not drawn.", { least: general(LEAST_WEIGHT, 2) }));
  if (token !== null) said.push(t("Strong: all lines of “{token}”.", { token: shorten(token, 18) }));
  if (focus) said.push(t("Beside a token: its largest weight over these heads."));
  return said.join(" ");
}

/**
 * @typedef {{rank: number, query: number, key: number, weight: number}} Line of the shown head of this rank
 * @typedef {{weights: Floats, visible: Uint8Array}} Rows
 */

/**
 * @param {Rows[]} parts of each head
 * @param {Call} call
 * @param {number} start the first query of the parts
 * @param {?[number, number]} focus
 */
function linesIn(parts, { S }, start, focus) {
  /** @type {Line[]} */
  const lines = [];
  for (const [rank, { weights }] of parts.entries()) {
    for (let at = 0; at < weights.length; at++) {
      const key = at % S;
      if (!(weights[at] >= LEAST_WEIGHT) || (focus?.[0] === KEY && focus[1] !== key)) continue;
      lines.push({ rank, query: start + Math.floor(at / S), key, weight: weights[at] });
    }
  }
  return lines;
}

/**
 * The heaviest lines, then all of a query, if it is one.
 *
 * @param {Line[]} lines
 * @param {?number} own
 * @returns {Line[]} each part in its order
 */
function drawn(lines, own) {
  const order = [...lines.keys()].sort((one, other) => lines[other].weight - lines[one].weight || one - other);
  const heaviest = new Set(order.slice(0, MAX_LINES));
  const isOwn = (/** @type {Line} */ { query }) => query === own;
  return [...lines.filter((line, at) => !isOwn(line) && heaviest.has(at)), ...lines.filter(isOwn)];
}

/** @param {number[]} numbers */
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** @param {Rows[]} parts @param {Call} call @param {?[number, number]} focus */
function totalOf(parts, { S }, focus) {
  let total = 0;
  for (const { weights } of parts) {
    for (let at = 0; at < weights.length; at++) if (focus?.[0] !== KEY || focus[1] === at % S) total += weights[at] || 0;
  }
  return total;
}

/**
 * Of each side: the largest weight of each token in the lines of one of the other side, else null; and which tokens
 * see a key, or are seen.
 *
 * @param {Rows[]} parts
 * @param {Call} call
 * @param {number} start
 * @param {?[number, number]} focus
 */
function ofTokens(parts, { T, S }, start, focus) {
  const lengths = [T, S];
  /** @type {(Float64Array | null)[]} */
  const strengths = [null, null];
  const seen = lengths.map((length) => new Uint8Array(length));
  if (focus) strengths[1 - focus[0]] = new Float64Array(lengths[1 - focus[0]]);
  if (focus?.[0] === QUERY) seen[QUERY].fill(1);
  if (parts.length === 0) for (const side of seen) side.fill(1);
  for (const { weights, visible } of parts) {
    for (let at = 0; at < weights.length; at++) {
      const [query, key] = [start + Math.floor(at / S), at % S];
      if (visible[at]) seen[KEY][key] = 1;
      if (visible[at] && (focus?.[0] !== KEY || focus[1] === key)) seen[QUERY][query] = 1;
      const other = focus?.[0] === QUERY ? key : query;
      const strength = focus && strengths[1 - focus[0]];
      if (strength && (focus[0] === QUERY || focus[1] === key)) strength[other] = Math.max(strength[other], weights[at] || 0);
    }
  }
  return { strengths, seen };
}

/**
 * The labels of one side; `focus` is its token whose lines are drawn, -1 for one of the other side.
 *
 * @param {string[]} tokens
 * @param {{side: number, offset: number, focus: ?number, strength: ?Float64Array, seen: Uint8Array, gap: number, theme: Theme}} options
 */
function labelsOf(tokens, { side, offset, focus, strength, seen, gap, theme }) {
  let order = [...tokens.keys()];
  if (strength) order.sort((one, other) => strength[other] - strength[one] || one - other);
  else if (focus !== null) order = [focus, ...order.filter((at) => at !== focus)];
  const shown = spaced(order, gap);
  /** @param {number} at */
  const isHeavy = (at) => strength !== null && strength[at] >= LEAST_WEIGHT;
  /** @param {number} at */
  const text = (at) => {
    const name = shorten(tokens[at], isHeavy(at) ? LETTERS_BESIDE_NUMBER : LETTERS);
    const parts = isHeavy(at) ? [fixed(/** @type {Float64Array} */ (strength)[at], 2), name] : [name];
    return (seen[at] ? "" : MASKED) + (side === KEY ? parts : parts.reverse()).join(" ");
  };
  /** @param {number} at */
  const ink = (at) => (focus === at ? theme.accent : seen[at] && (focus === null || isHeavy(at)) ? theme.ink : theme.muted);
  return {
    x: new Float64Array(shown.length).fill(side === QUERY ? -GAP : 1 + GAP),
    y: Float64Array.from(shown, (at) => at + offset),
    text: shown.map(text),
    color: shown.map(ink),
  };
}

/**
 * The room of a label, as a part of the lines' width; it does not change with the focus.
 *
 * @param {string[][]} sides
 */
function roomFor(...sides) {
  let longest = 0;
  for (const tokens of sides) for (const token of tokens) longest = Math.max(longest, [...token].length);
  const letters = Math.max(NUMBER + Math.min(longest, LETTERS_BESIDE_NUMBER), Math.min(longest, LETTERS));
  const pixels = LETTER * letters + BESIDE;
  return pixels / (NARROW - 2 * pixels);
}

/**
 * Those of the positions, first ones first, that stand far enough apart; ascending.
 *
 * @param {number[]} order
 * @param {number} gap
 */
function spaced(order, gap) {
  if (gap === 0) return order.sort((one, other) => one - other);
  /** @type {number[]} */
  const kept = [];
  for (const at of order) if (kept.every((other) => Math.abs(at - other) >= gap)) kept.push(at);
  return kept.sort((one, other) => one - other);
}

/** @param {Trace} trace @param {State} state */
export function linesCaption(trace, state) {
  const call = trace.calls[state.layer];
  const { T, S } = call;
  return { subtitle: `${layerName(call, state)} · ${T === S && call.kind === "self" ? t("query → key") : t("{queries} queries → {keys} keys", { queries: T, keys: S })}` };
}

/**
 * The picture in words: which key each shown head gives the largest weight of a query's row.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {Rows[]} parts
 * @param {number} start
 * @param {number} query
 */
function inWords(trace, state, parts, start, query) {
  const call = trace.calls[state.layer];
  const { queries, keys } = trace.tokensOf(call, state.batch);
  const heads = shownHeads(trace, state);
  const largest = parts.map(({ weights }, rank) => {
    const row = Array.from(weights.subarray((query - start) * call.S, (query - start + 1) * call.S), orZero);
    const best = row.indexOf(Math.max(...row));
    return t("head {head} at “{token}”, {share} %", { head: headNumbers(call)[heads[rank]], token: shorten(keys[best], 18), share: general(100 * row[best], 3) });
  });
  return largest.length ? t("Token “{token}” looks most, in {heads}.", { token: shorten(queries[query], 18), heads: largest.join(t("; in ")) }) : "";
}
