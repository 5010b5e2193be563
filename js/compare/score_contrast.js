import { pairName, shownKey } from "./drawings.js";
import { alignedTokens, compareHeads, sharedChoices, sideOf } from "./model.js";
import { inSlices } from "../core/slices.js";
import { fixed, general, shorten, signed } from "../core/format.js";
import { singularTriples, times, timesLeft } from "../core/singular_values.js";
import { t } from "../core/translate.js";
import { select } from "../explorer/selection.js";

// The difference of both sides' scores as a sum of few rank-one components: attnpanel.comparison.score_contrast.

// Beyond it, the decomposition takes more than a second.
const MOST_TOKENS = 256;
const MOST_COMPONENTS = 6;
// Components that would be written as 0.0 % are not shown by themselves.
const SMALLEST_SHARE = 0.0005;
const MOST_LOADINGS = 8;

/**
 * @typedef {{name: string, place: number, a: number, b: number}} Loading of a token; `place` among the aligned ones
 * @typedef {{queries: Loading[], keys: Loading[]}} Loadings in the tokens' order
 * @typedef {import("../core/singular_values.js").SingularTriple & Loadings & {share: number}} ScoreComponent
 * @typedef {{sizes: number[], components: ScoreComponent[], difference: Float64Array, shared: Float64Array, rows: number[], columns: number[]}} ScoreContrast
 *   sizes of all components; the largest ones; what is decomposed, where both sides see it, and the aligned tokens that are its rows and columns
 * @typedef {{place: string, missing: string, components: {share: number, part: ?number, moved: Loadings}[],
 *   sentence: string, left: string, tables: import("../explorer/why_tables.js").NumberTable[][]}} ContrastContent
 */

/**
 * Each side's scores over temperature as the softmax takes them, centred over the pairs that both sides may see.
 *
 * @param {Trace[]} traces
 * @param {Compared} state
 * @param {SelectionCache[]} caches
 * @param {[number, number][]} queries that both sides have
 * @param {[number, number][]} keys
 */
function centredScores(traces, state, caches, queries, keys) {
  const read = traces.map((trace, side) => {
    const { scores, visible, S } = /** @type {HeadSelection} */ (select(trace, sideOf(trace, state, side), caches[side]));
    const cells = new Float64Array(queries.length * keys.length);
    for (const [i, query] of queries.entries()) {
      for (const [j, key] of keys.entries()) {
        const cell = query[side] * S + key[side];
        cells[i * keys.length + j] = visible[cell] ? /** @type {Floats} */ (scores)[cell] / state.temperature[side] : -Infinity;
      }
    }
    return cells;
  });
  const shared = read[0].map((score, at) => Number(Number.isFinite(score) && Number.isFinite(read[1][at])));
  const wide = keys.length;
  for (const scores of read) {
    for (let from = 0; from < scores.length; from += wide) {
      let [sum, count] = [0, 0];
      for (let at = from; at < from + wide; at++) if (shared[at]) [sum, count] = [sum + scores[at], count + 1];
      for (let at = from; at < from + wide; at++) scores[at] = shared[at] ? scores[at] - sum / count : 0;
    }
  }
  return { centred: read, shared };
}

/**
 * @param {Trace[]} traces the shown layers' arrays ready
 * @param {Compared} state
 * @param {SelectionCache[]} caches
 * @returns {Generator<number, ScoreContrast, void>}
 */
export function* contrastJob(traces, state, caches) {
  const compared = compareHeads(traces, state, caches);
  /** @param {AlignedRows} tokens */
  const both = ({ pairs }) => [...pairs.keys()].filter((at) => pairs[at].every((index) => index >= 0));
  const [rows, columns] = [both(compared.queries), both(compared.keys)];
  const { centred, shared } = centredScores(
    traces,
    state,
    caches,
    rows.map((at) => compared.queries.pairs[at]),
    columns.map((at) => compared.keys.pairs[at]),
  );
  const difference = centred[1].map((score, at) => score - centred[0][at]);
  const [n, m] = [rows.length, columns.length];
  const triples = yield* singularTriples(difference, n, m);
  const total = triples.reduce((sum, { size }) => sum + size * size, 0);
  /** @param {AlignedRows} tokens @param {number[]} places @param {Float64Array[]} sides @returns {Loading[]} */
  const loadings = ({ names }, places, [first, second]) =>
    places.map((place, at) => ({ name: pairName(names[0][place], names[1][place]), place, a: first[at], b: second[at] }));
  const shown = triples.filter(({ size }) => size * size >= SMALLEST_SHARE * total).slice(0, MOST_COMPONENTS);
  const components = shown.map(({ size, left, right }) => ({
    ...{ size, left, right },
    share: (size * size) / total,
    queries: loadings(compared.queries, rows, centred.map((scores) => times(scores, right, n, m))),
    keys: loadings(compared.keys, columns, centred.map((scores) => timesLeft(scores, left, n, m))),
  }));
  return { sizes: triples.map(({ size }) => size), components, difference, shared, rows, columns };
}

/**
 * What a pair's scores differ by, and what each component adds to that; null if the two sides don't share the pair.
 *
 * @param {ScoreContrast} contrast
 * @param {number} query among the aligned ones
 * @param {number} key
 */
export function pairContrast({ components, difference, shared, rows, columns }, query, key) {
  const [row, column] = [rows.indexOf(query), columns.indexOf(key)];
  const cell = row * columns.length + column;
  if (row < 0 || column < 0 || !shared[cell]) return null;
  return { difference: difference[cell], parts: components.map(({ size, left, right }) => size * left[row] * right[column]) };
}

/**
 * Why there is nothing to decompose; "" if there is.
 *
 * @param {Trace[]} traces
 * @param {Compared} state
 * @param {AlignedRows[]} tokens queries and keys
 */
function withoutContrast(traces, state, tokens) {
  if (traces.some((trace, side) => !trace.calls[state.layer[side]].live)) return t("Only the weights were recorded: queries and keys are not in this trace.");
  if (state.aggregate.includes(true)) return t("A mean over heads has no query and key of its own: choose one head.");
  const common = tokens.map(({ pairs }) => pairs.filter((pair) => pair.every((index) => index >= 0)).length);
  if (common.includes(0)) return t("The two sides have no token in common.");
  if (Math.max(...common) > MOST_TOKENS) return t("More than {limit} tokens: attnpanel.comparison.score_contrast decomposes them in Python.", { limit: MOST_TOKENS });
  return "";
}

/**
 * What the card shows of a decomposition.
 *
 * @param {ScoreContrast} contrast
 * @param {string} pair
 * @param {ReturnType<typeof pairContrast>} shown
 * @returns {Pick<ContrastContent, "components" | "sentence" | "left" | "tables">}
 */
function contentOf({ sizes, components }, pair, shown) {
  /** @param {Loading[]} loadings */
  const moved = (loadings) => [...loadings].sort((one, other) => Math.abs(other.b - other.a) - Math.abs(one.b - one.a)).slice(0, MOST_LOADINGS);
  const sentence =
    shown === null
      ? t("“{pair}” is not on both sides, or a mask hides it on one.", { pair })
      : t("“{pair}”: its score differs by {difference} (B − A), once the mean of its row is taken away on both sides.", { pair, difference: signed(shown.difference) });
  const rest = shown?.parts.reduce((rest, part) => rest - part, shown.difference) ?? 0;
  const left = sizes.length === components.length || shown === null ? "" : t("Smaller components add {rest}.", { rest: signed(rest) });
  const sides = [t("A as query"), t("B as query"), t("A as key"), t("B as key")];
  const tables = components.map(({ queries, keys }, at) => {
    const same = queries.length === keys.length && queries.every(({ name }, token) => name === keys[token].name);
    /** @param {Loading[]} loadings */
    const cells = (loadings) => loadings.map(({ name, a, b }) => ({ name: shorten(name, 24), cells: [general(a, 4), general(b, 4)] }));
    const [asQueries, asKeys] = [cells(queries), cells(keys)];
    const caption = t("Component {number}: every token", { number: at + 1 });
    const table = { total: false, left: "" };
    if (same) return [{ ...table, caption, heading: [t("token"), ...sides], rows: asQueries.map(({ name, cells }, token) => ({ name, cells: [...cells, ...asKeys[token].cells] })) }];
    return [
      { ...table, caption, heading: [t("query"), ...sides.slice(0, 2)], rows: asQueries },
      { ...table, caption, heading: [t("key"), ...sides.slice(2)], rows: asKeys },
    ];
  });
  const squares = sizes.reduce((sum, size) => sum + size * size, 0);
  const listed = {
    caption: t("Every component"),
    heading: [t("component"), t("singular value"), t("share")],
    rows: sizes.map((size, at) => ({ name: String(at + 1), cells: [general(size, 4), `${fixed((100 * size * size) / squares, 2)} %`] })),
    total: false,
    left: "",
  };
  return {
    components: components.map(({ share, queries, keys }, at) => ({ share, part: shown?.parts[at] ?? null, moved: { queries: moved(queries), keys: moved(keys) } })),
    sentence,
    left,
    tables: tables.map((table) => [...table, listed]),
  };
}

/**
 * Draws the card, if it is open: of the pair that the sentence is about, which follows the pointer.
 *
 * @param {import("./controller.js").ComparisonPage} page
 */
export async function showContrast(page) {
  const { traces, caches, version, contrasted: opened } = page;
  if (!opened) return page.write("attn-contrast", { opened });
  const { queries, keys } = alignedTokens(traces, page.state);
  const places = traces.map((_, side) => `${t("layer {number}", { number: page.state.layer[side] })}, ${t("head {head}", { head: page.state.head[side] })}`);
  const place = places[0] === places[1] ? places[0] : t("{one} and {other}", { one: places[0], other: places[1] });
  const missing = withoutContrast(traces, page.state, [queries, keys]);
  /** @type {ContrastContent} */
  const empty = { place, missing, components: [], sentence: "", left: "", tables: [] };
  if (missing) return page.write("attn-contrast", { opened, content: empty });
  const choices = JSON.stringify([page.serial, sharedChoices(traces).map((name) => page.state[name])]);
  if (page.contrast?.choices !== choices) {
    const done = await inSlices(contrastJob(traces, page.state, caches), () => version !== page.version || page.left);
    if (done === null) return;
    page.contrast = { choices, contrast: done.result };
  }
  const { contrast } = page.contrast;
  const key = shownKey(compareHeads(traces, page.state, caches), page.state);
  const { row } = page.state;
  const pair = [queries, keys].map(({ names }, at) => shorten(pairName(names[0][[row, key][at]], names[1][[row, key][at]]), 24)).join(" → ");
  const shown = contrast.components.length === 0 ? { missing: t("Both sides have the same scores here.") } : contentOf(contrast, pair, pairContrast(contrast, row, key));
  page.write("attn-contrast", { opened, content: { ...empty, ...shown } });
}
