import { movedShare, places } from "./comparing.js";
import { fixed, labelsOf } from "./words_of.js";

// Every picture and sentence of a comparison as plain data. Pure: no DOM. What the first side has more of is
// blue and what the second has more of is orange, in the difference as in the bars.

const FRAME = [-0.5, -0.5];
const ABSENT = "–";
// Bars with a smaller change carry no number.
const SMALLEST_CHANGE = 0.02;
const MOST_CHANGES = 14;
const BAR_ENDS = [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1];

// Labels of aligned tokens by the names they are made of, so that the same array stands for the same tokens.
const SIDE_LABELS = new WeakMap();
const BOTH_LABELS = new WeakMap();

function sideLabels(names) {
  if (!SIDE_LABELS.has(names)) SIDE_LABELS.set(names, labelsOf(names.map((name) => name ?? ABSENT)));
  return SIDE_LABELS.get(names);
}

function bothLabels({ names: [first, second] }) {
  if (!BOTH_LABELS.has(first)) BOTH_LABELS.set(first, new WeakMap());
  const known = BOTH_LABELS.get(first);
  if (!known.has(second)) known.set(second, labelsOf(first.map((one, at) => pairName(one, second[at]))));
  return known.get(second);
}

/** “large/small” where a word stands in another's place, else the one word there is. */
export function pairName(one, other) {
  return one === other || other === null ? one : one === null ? other : `${one}/${other}`;
}

/** The colours of both sides: those of less and more in the difference. */
export function sideColours(palettes) {
  const { diverging } = palettes;
  return [diverging[Math.floor(diverging.length * 0.14)], diverging[Math.ceil(diverging.length * 0.86)]];
}

/**
 * One side's weights on the aligned grid, on the colour scale of both.
 *
 * @param {object} compared as compareHeads gives it
 * @param {import("./comparing.js").Compared} state
 * @param {0 | 1} side
 * @param {object} palettes of the page's look
 */
export function sideDrawing(compared, state, side, palettes) {
  const high = compared.weights.reduce((most, weights) => weights.reduce(larger, most), 0) || 1;
  const labels = (tokens) => sideLabels(tokens.names[side]);
  const colours = { low: 0, high, palette: palettes.sequential["0.5"] };
  return gridOf(compared, state, ["first", "second"][side], compared.weights[side], colours, labels);
}

/** What the second side has more of than the first, centred at 0. */
export function differenceDrawing(compared, state, palettes) {
  const reach = compared.difference.reduce((most, one) => larger(most, Math.abs(one)), 0) || 1;
  const colours = { low: -reach, high: reach, palette: palettes.diverging };
  return gridOf(compared, state, "difference", compared.difference, colours, bothLabels);
}

function larger(most, one) {
  return one > most ? one : most; // nan is not larger
}

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

/** The one side that has the token looked at, “A” or “B”; null where both have it. */
export function onlySide({ queries }, state) {
  const [first, second] = queries.names.map((names) => names[state.row]);
  return first === null ? "B" : second === null ? "A" : null;
}

/** The row looked at: two bars a key, the first side's left of the second's, and the change in points. A row that one side lacks changes by
 * nothing that could be said. */
export function barsDrawing(compared, state, palettes, look) {
  const { keys, weights } = compared;
  const wide = keys.pairs.length;
  const rows = weights.map((one) => Float64Array.from(one.subarray(state.row * wide, (state.row + 1) * wide), (w) => w || 0));
  const change = rows[1].map((weight, at) => weight - rows[0][at]);
  const most = rows.reduce((top, row) => row.reduce(larger, top), 0);
  const labelled = (onlySide(compared, state) ? [] : places(0, wide)).filter((at) => Math.abs(change[at]) >= SMALLEST_CHANGE);
  labelled.sort((one, other) => Math.abs(change[other]) - Math.abs(change[one]));
  const named = labelled.slice(0, MOST_CHANGES);
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
        color: named.map(() => look.muted),
      },
    },
    x: [-0.5 - edge, wide - 0.5 + edge],
    y: [0, BAR_ENDS.find((end) => most * 1.12 <= end) ?? 1.15],
    colours: null,
    xLabels: bothLabels(keys),
    yLabels: null,
    outline: null,
    height: 210,
    masked: null,
  };
}

/** A change of weight in points of a hundred, its sign always written. */
export function points(change) {
  return `${change < 0 ? "−" : "+"}${fixed(Math.abs(100 * change), Math.abs(change) < 0.0995 ? 1 : 0)}`;
}

/**
 * Each head's change as a cell; layers are rows.
 *
 * @param {{layer: number, head: number, moved: number}[]} changes
 * @param {import("./comparing.js").Compared} state
 * @param {object} palettes
 */
export function headsDrawing(changes, state, palettes) {
  const rows = Math.max(...changes.map(({ layer }) => layer)) + 1;
  const columns = Math.max(...changes.map(({ head }) => head)) + 1;
  const matrix = new Float32Array(rows * columns).fill(NaN);
  for (const { layer, head, moved } of changes) matrix[layer * columns + head] = moved;
  const high = matrix.reduce(larger, 0) || 1;
  const layer = state.layer[1];
  const [from, to] = state.aggregate[1] ? [0, columns - 1] : [state.head[1], state.head[1]];
  return {
    sources: { "compare:heads": { image: [matrix], rows, columns, x: [FRAME[0]], y: [FRAME[1]], dw: [columns], dh: [rows] } },
    x: [-0.5, columns - 0.5],
    y: [rows - 0.5, -0.5],
    colours: { low: 0, high, palette: palettes.sequential["0.5"] },
    xLabels: numbers(columns),
    yLabels: numbers(rows),
    outline: [from - 0.5, to + 0.5, layer - 0.5, layer + 0.5],
    height: 42 + Math.trunc(Math.min(Math.max(Math.min(264 / columns, 44) * rows, 40), 420)),
    masked: null,
  };
}

const NUMBERS = new Map();

function numbers(count) {
  if (!NUMBERS.has(count)) NUMBERS.set(count, places(0, count).map(String));
  return NUMBERS.get(count);
}

/** The heads that change most; those whose change is unknown or nothing are left out. */
export function mostChanged(changes, count = 6) {
  const known = changes.filter(({ moved }) => moved > 0.0005);
  return known.sort((one, other) => other.moved - one.moved || one.layer - other.layer || one.head - other.head).slice(0, count);
}

/** The key pointed at, or the one whose weight changes most. */
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
 * What changes for the shown pair, and for the whole row, as pieces [kind, text]; texts are never markup.
 *
 * @param {object} compared
 * @param {import("./comparing.js").Compared} state
 */
export function comparisonSentence(compared, state) {
  const { queries, keys, weights } = compared;
  const [query, other] = queries.names.map((names) => names[state.row]);
  const token = brief(pairName(query, other));
  const where = onlySide(compared, state);
  if (where !== null) {
    return [["pair", token], ["text", `stands in ${where} only, so there is nothing to hold its row against. Choose another token.`]];
  }
  const at = shownKey(compared, state);
  const cell = state.row * keys.pairs.length + at;
  const shares = weights.map((side) => (Number.isNaN(side[cell]) ? null : side[cell]));
  const said = shares.map((share, side) => [
    ["text", ["A", "B"][side]],
    ["number", share === null ? "has no such token" : `${fixed(100 * share, 1)} %`],
    ["text", ["→", "·"][side]],
  ]);
  const empty = emptySide(compared, state);
  if (empty !== null) {
    return [["pair", token], ["text", `may look at nothing in ${empty}: its mask hides every key, so there is no row to hold against the other.`]];
  }
  const change = shares.includes(null) ? [] : [["result", `${points(shares[1] - shares[0])} points.`]];
  return [
    ["pair", `${token} → ${brief(pairName(keys.names[0][at], keys.names[1][at]))}`],
    ...said.flat(),
    ...change,
    ["text", `In all, “${token}” takes`],
    ["result", `${fixed(100 * movedShare(compared, state.row), 1)} %`],
    ["text", "of what it becomes from elsewhere."],
  ];
}

/** The side on which the token looked at sees no key, “A”, “B” or “A and B”; null where both see some. */
function emptySide({ keys, weights }, { row }) {
  const wide = keys.pairs.length;
  const blind = weights.map((side) => side.subarray(row * wide, (row + 1) * wide).every((weight) => !(weight > 0)));
  return blind.includes(true) ? ["A", "B"].filter((_, side) => blind[side]).join(" and ") : null;
}

function brief(token) {
  return [...token].length <= 32 ? token : `${[...token].slice(0, 31).join("")}…`;
}
