import { movedShare, places } from "./model.js";
import { fixed, labelsOf } from "../core/format.js";
import { t } from "../core/translate.js";
import { roundUp, weightTicks } from "../views/colours.js";

// Every plot and sentence of a comparison as plain data. Pure: no DOM. Larger weights of the first side are blue and
// of the second orange, in the difference and in the bars.

const FRAME = [-0.5, -0.5];
const ABSENT = "–";
// Bars with a smaller change have no number.
const SMALLEST_CHANGE = 0.02;
// The colours of the difference end no nearer to 0 than a tenth of a point, the smallest change that is written.
const SMALLEST_REACH = 0.001;
const MAX_CHANGES = 14;
// Room for the label of a bar of 1.
const HEADROOM = 1.18;
// Small weights have more of the colours, as in the explorer.
const POWER = 0.5;

// Cache of labels by aligned names, so that equal tokens give the same array.
const SIDE_LABELS = new WeakMap();
const BOTH_LABELS = new WeakMap();

/** @param {(string | null)[]} names @returns {string[]} */
function sideLabels(names) {
  if (!SIDE_LABELS.has(names)) SIDE_LABELS.set(names, labelsOf(names.map((name) => name ?? ABSENT)));
  return SIDE_LABELS.get(names);
}

/** @param {AlignedRows} tokens @returns {string[]} */
function bothLabels({ names: [first, second] }) {
  if (!BOTH_LABELS.has(first)) BOTH_LABELS.set(first, new WeakMap());
  const known = BOTH_LABELS.get(first);
  if (!known.has(second)) known.set(second, labelsOf(first.map((one, at) => pairName(one, second[at]))));
  return known.get(second);
}

/**
 * The label of a pair: “large/small” if the tokens differ, else the one token.
 *
 * @param {?string} one
 * @param {?string} other
 * @returns {string}
 */
export function pairName(one, other) {
  if (one === null || other === null) return one ?? other ?? "";
  return one === other ? one : `${one}/${other}`;
}

/**
 * The colours of both sides, from both ends of the difference's palette.
 *
 * @param {Palettes} palettes
 */
export function sideColours(palettes) {
  const { diverging } = palettes;
  return [diverging[Math.floor(diverging.length * 0.14)], diverging[Math.ceil(diverging.length * 0.86)]];
}

/**
 * One side's weights on the aligned grid, coloured from 0 to 1.
 *
 * @param {ComparedHeads} compared as compareHeads gives it
 * @param {Compared} state
 * @param {number} side
 * @param {Palettes} palettes of the page's theme
 */
export function sideDrawing(compared, state, side, palettes) {
  /** @param {AlignedRows} tokens */
  const labels = (tokens) => sideLabels(tokens.names[side]);
  const colours = { low: 0, high: 1, palette: palettes.sequential["0.5"], power: POWER };
  return gridOf(compared, state, ["first", "second"][side], compared.weights[side], colours, labels);
}

/**
 * The difference, second side minus first, centred at 0.
 *
 * @param {ComparedHeads} compared
 * @param {Compared} state
 * @param {Palettes} palettes
 * @returns {Drawing}
 */
export function differenceDrawing(compared, state, palettes) {
  const reach = roundUp(compared.difference.reduce((most, value) => larger(most, Math.abs(value)), SMALLEST_REACH));
  const colours = { low: -reach, high: reach, palette: palettes.diverging };
  return gridOf(compared, state, "difference", compared.difference, colours, bothLabels);
}

/** @param {number} most @param {number} one */
function larger(most, one) {
  return one > most ? one : most; // NaN compares false
}

/**
 * @param {ComparedHeads} compared
 * @param {Compared} state
 * @param {string} name
 * @param {Float32Array} matrix
 * @param {Drawing["colours"]} colours
 * @param {(tokens: AlignedRows) => string[]} labels
 * @returns {Drawing}
 */
function gridOf({ queries, keys }, state, name, matrix, colours, labels) {
  const [rows, columns] = [queries.pairs.length, keys.pairs.length];
  const edges = { x: [FRAME[0]], y: [FRAME[1]], dw: [columns], dh: [rows] };
  return {
    sources: { [`compare:${name}`]: { image: [matrix], rows, columns, ...edges } },
    x: [-0.5, columns - 0.5],
    y: [rows - 0.5, -0.5],
    colours,
    xLabels: labels(keys),
    yLabels: labels(queries),
    outline: [null, null, state.row - 0.5, state.row + 0.5],
    height: null,
    masked: true,
  };
}

/**
 * The only side that has the selected token, “A” or “B”; null if both have it.
 *
 * @param {{queries: AlignedRows}} compared
 * @param {Compared} state
 */
export function onlySide({ queries }, state) {
  const [first, second] = queries.names.map((names) => names[state.row]);
  return first === null ? "B" : second === null ? "A" : null;
}

/**
 * The selected row: two bars a key, the first side's left of the second's, and the change in points, which is undefined
 * if one side lacks the row.
 *
 * @param {ComparedHeads} compared
 * @param {Compared} state
 * @param {Palettes} palettes
 * @param {Theme} theme
 * @returns {Drawing}
 */
export function barsDrawing(compared, state, palettes, theme) {
  const { keys, weights } = compared;
  const wide = keys.pairs.length;
  const rows = weights.map((matrix) => Float64Array.from(matrix.subarray(state.row * wide, (state.row + 1) * wide), (w) => w || 0));
  const change = rows[1].map((weight, at) => weight - rows[0][at]);
  const labelled = (onlySide(compared, state) ? [] : places(0, wide)).filter((at) => Math.abs(change[at]) >= SMALLEST_CHANGE);
  labelled.sort((one, other) => Math.abs(change[other]) - Math.abs(change[one]));
  const named = labelled.slice(0, MAX_CHANGES);
  const [blue, orange] = sideColours(palettes);
  const edge = 0.1 + 0.02 * wide;
  return {
    sources: {
      "compare:bars": {
        left: Float64Array.from([...places(0, wide).map((at) => at - 0.4), ...places(0, wide).map((at) => at + 0.02)]),
        bottom: new Float64Array(2 * wide),
        right: Float64Array.from([...places(0, wide).map((at) => at - 0.02), ...places(0, wide).map((at) => at + 0.4)]),
        top: Float64Array.from([...rows[0], ...rows[1]]),
        color: [...new Array(wide).fill(blue), ...new Array(wide).fill(orange)],
        token: [...sideLabels(keys.names[0]), ...sideLabels(keys.names[1])],
        side: [...new Array(wide).fill("A"), ...new Array(wide).fill("B")],
      },
      "compare:bars:labels": {
        x: Float64Array.from(named),
        y: Float64Array.from(named, (at) => Math.max(rows[0][at], rows[1][at])),
        text: named.map((at) => points(change[at])),
        color: named.map(() => theme.muted),
      },
    },
    x: [-0.5 - edge, wide - 0.5 + edge],
    y: [0, HEADROOM],
    colours: null,
    xLabels: bothLabels(keys),
    yLabels: null,
    yTicks: weightTicks(0, 1, 1),
    outline: null,
    height: 210,
    masked: null,
  };
}

/**
 * A change of weight in percentage points, with its sign unless it is written as 0.
 *
 * @param {number} change
 */
export function points(change) {
  const size = fixed(Math.abs(100 * change), Math.abs(change) < 0.0995 ? 1 : 0);
  return Number(size) === 0 ? size : `${change < 0 ? "−" : "+"}${size}`;
}

/**
 * Each head's change as a cell; layers are rows.
 *
 * @param {HeadChange[]} changes
 * @param {Compared} state
 * @param {Palettes} palettes
 */
export function headsDrawing(changes, state, palettes) {
  const rows = Math.max(...changes.map(({ layer }) => layer)) + 1;
  const columns = Math.max(...changes.map(({ head }) => head)) + 1;
  const matrix = new Float32Array(rows * columns).fill(NaN);
  for (const { layer, head, moved } of changes) matrix[layer * columns + head] = moved;
  const high = roundUp(matrix.reduce(larger, 0) || 1);
  const layer = state.layer[1];
  const [from, to] = state.aggregate[1] ? [0, columns - 1] : [state.head[1], state.head[1]];
  return {
    sources: { "compare:heads": { image: [matrix], rows, columns, x: [FRAME[0]], y: [FRAME[1]], dw: [columns], dh: [rows] } },
    x: [-0.5, columns - 0.5],
    y: [rows - 0.5, -0.5],
    colours: { low: 0, high, palette: palettes.sequential["0.5"], power: POWER },
    xLabels: numbers(columns),
    yLabels: numbers(rows),
    outline: [from - 0.5, to + 0.5, layer - 0.5, layer + 0.5],
    height: 42 + Math.trunc(Math.min(Math.max(Math.min(264 / columns, 44) * rows, 40), 420)),
    masked: null,
  };
}

const NUMBERS = new Map();

/** @param {number} count */
function numbers(count) {
  if (!NUMBERS.has(count)) NUMBERS.set(count, places(0, count).map(String));
  return NUMBERS.get(count);
}

/**
 * The heads that change most, without those whose change is unknown or 0.
 *
 * @param {HeadChange[]} changes
 * @param {number} [count]
 */
export function mostChanged(changes, count = 6) {
  const known = changes.filter(({ moved }) => moved > 0.0005);
  return known.sort((one, other) => other.moved - one.moved || one.layer - other.layer || one.head - other.head).slice(0, count);
}

/**
 * The key pointed at, or the one whose weight changes most.
 *
 * @param {ComparedHeads} compared
 * @param {Compared} state
 */
export function shownKey({ keys, difference, weights }, state) {
  if (state.key !== null) return state.key;
  const wide = keys.pairs.length;
  let found = 0;
  let most = -1;
  for (let at = 0; at < wide; at++) {
    const cell = state.row * wide + at;
    const change = Math.abs(Number.isNaN(difference[cell]) ? (weights[0][cell] || 0) + (weights[1][cell] || 0) : difference[cell]);
    if (change > most) [found, most] = [at, change];
  }
  return found;
}

/**
 * The ring around the shown pair: in the matrices, and around its bars.
 *
 * @param {Record<string, Plot>} plots
 * @param {ComparedHeads} compared
 * @param {Compared} state
 * @returns {ReturnType<import("../views/boxes.js").Rings>}
 */
export function ringsOf(plots, compared, state) {
  const key = shownKey(compared, state);
  const cell = state.row * compared.keys.pairs.length + key;
  const highest = Math.max(...compared.weights.map((side) => side[cell] || 0)); // the ring of bars is as high as they are
  const hidden = onlySide(compared, state) !== null || emptySide(compared, state) !== null;
  const rows = { first: state.row, second: state.row, difference: state.row, bars: null };
  return Object.entries(rows).map(([name, row]) => {
    const along = row === null ? [0, highest] : [row - 0.5, row + 0.5];
    return [plots[name], hidden ? null : [key - 0.5, key + 0.5, ...along]];
  });
}

/**
 * The change of the shown pair and of the whole row, as pieces [kind, text]; texts are never markup.
 *
 * @param {ComparedHeads} compared
 * @param {Compared} state
 */
export function comparisonSentence(compared, state) {
  const { queries, keys, weights } = compared;
  const [query, other] = queries.names.map((names) => names[state.row]);
  const token = brief(pairName(query, other));
  const where = onlySide(compared, state);
  if (where !== null) {
    return [["pair", token], ["text", t("is in {side} only, so its row has no counterpart to compare with. Choose another token.", { side: where })]];
  }
  const at = shownKey(compared, state);
  const cell = state.row * keys.pairs.length + at;
  const shares = weights.map((side) => (Number.isNaN(side[cell]) ? null : side[cell]));
  const said = shares.map((share, side) => [
    ["text", ["A", "B"][side]],
    ["number", share === null ? t("has no such token") : `${fixed(100 * share, 1)} %`],
    ["text", ["→", "·"][side]],
  ]);
  const empty = emptySide(compared, state);
  if (empty !== null) {
    return [["pair", token], ["text", t("may look at nothing in {side}: its mask hides every key, so there is no row to hold against the other.", { side: empty })]];
  }
  const [first, second] = shares;
  const change = first === null || second === null ? [] : [["result", t("{points} points.", { points: points(second - first) })]];
  return [
    ["pair", `${token} → ${brief(pairName(keys.names[0][at], keys.names[1][at]))}`],
    ...said.flat(),
    ...change,
    ["text", t("In all, “{token}” takes", { token })],
    ["result", `${fixed(100 * movedShare(compared, state.row), 1)} %`],
    ["text", t("of what it becomes from elsewhere.")],
  ];
}

/**
 * The side on which the selected token sees no key, “A”, “B” or “A and B”; null if it sees keys on both.
 *
 * @param {ComparedHeads} compared
 * @param {Compared} state
 */
export function emptySide({ keys, weights }, { row }) {
  const wide = keys.pairs.length;
  const blind = weights.map((side) => side.subarray(row * wide, (row + 1) * wide).every((weight) => !(weight > 0)));
  return blind.includes(true) ? ["A", "B"].filter((_, side) => blind[side]).join(t(" and ")) : null;
}

/** @param {string} token */
function brief(token) {
  return [...token].length <= 32 ? token : `${[...token].slice(0, 31).join("")}…`;
}
