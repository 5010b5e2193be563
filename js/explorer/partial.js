import { keyOf } from "./questions.js";

// Selections of layers too large for the page: Python computes them and answers with pooled matrices and exact
// rows. The page caches the latest answers and asks for missing ones.

// Cached rows, so that going back to a token asks nothing: 5 MB at 8192 keys.
const MAX_ROWS = 64;

/**
 * One query's row of a selection, whole or partial; do not modify.
 *
 * @param {HeadSelection | PartialSelection} selection
 * @param {number} query in a partial selection, one whose row was asked for
 * @returns {SelectionRow}
 */
export function rowOf(selection, query) {
  if ("rows" in selection) return /** @type {SelectionRow} */ (selection.rows.get(query));
  const { S, scores, weights, visible } = selection;
  const [start, stop] = [query * S, (query + 1) * S];
  return {
    weights: weights.subarray(start, stop),
    scores: scores === null ? null : scores.subarray(start, stop),
    visible: visible.subarray(start, stop),
  };
}

/** The latest answers of Python about partial layers. */
export class Parts {
  constructor() {
    /** @type {Record<string, {key: string, answer: Record<string, any>}>} */
    this.latest = {};
    this.rowsOf = "";
    /** @type {Map<number, SelectionRow>} */
    this.rows = new Map();
  }

  /**
   * The questions to ask before `selection` can be called for a state.
   *
   * @param {State} state
   * @returns {[string, State][]} [kind, state to ask about]
   */
  missing(state) {
    const rows = this.rowsFor(state);
    const asked = ["matrices", "colours"].filter((kind) => this.latest[kind]?.key !== keyOf(kind, state));
    /** @type {[string, State][]} */
    const questions = asked.map((kind) => [kind, state]);
    if (!rows.has(state.query_index)) questions.push(["row", state]);
    const pointed = state.pair?.[0] ?? state.query_index;
    if (pointed !== state.query_index && !rows.has(pointed)) {
      questions.push(["pointed", { ...state, query_index: pointed }]);
    }
    return questions;
  }

  /**
   * Caches an answer to one of these questions.
   *
   * @param {string} kind
   * @param {State} state
   * @param {Record<string, any>} answer
   */
  keep(kind, state, answer) {
    if (kind !== "row" && kind !== "pointed") {
      this.latest[kind] = { key: keyOf(kind, state), answer };
      return;
    }
    const rows = this.rowsFor(state);
    rows.set(state.query_index, {
      weights: new Float32Array(answer.weights),
      scores: answer.scores === null ? null : new Float32Array(answer.scores),
      visible: new Uint8Array(answer.visible),
    });
    if (rows.size > MAX_ROWS) rows.delete([...rows.keys()][0]);
  }

  /**
   * @param {State} state for which nothing is missing
   * @returns {PartialSelection}
   */
  selection(state) {
    const { matrices, colours } = this.latest;
    const { T, S, empty, first, heatmaps } = matrices.answer;
    return {
      T,
      S,
      empty: new Uint8Array(empty),
      first,
      heatmaps: Object.fromEntries(Object.entries(heatmaps).map(([view, answered]) => [view, heatmapOf(answered)])),
      rows: new Map(this.rowsFor(state)),
      colours: colours.answer.colours === null ? null : new Float64Array(colours.answer.colours),
    };
  }

  /**
   * The cached rows for the state's head and mask.
   *
   * @param {State} state
   */
  rowsFor(state) {
    const key = keyOf("row", { ...state, query_index: 0 });
    if (this.rowsOf !== key) {
      this.rowsOf = key;
      this.rows = new Map();
    }
    return this.rows;
  }
}

/**
 * @param {{values: ArrayBuffer, rows: number, columns: number, exact?: ArrayBuffer, high: number}} answer
 * @returns {Heatmap}
 */
function heatmapOf({ values, rows, columns, exact, high }) {
  return {
    cells: { values: new Float32Array(values), rows, columns },
    exact: exact === undefined ? null : new Float32Array(exact),
    high,
  };
}
