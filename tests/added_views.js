// Two views added to the page, as their modules in js/views would be: see added_view_rows.py.
import { select } from "../js/explorer/selection.js";
import { sequential, lookOf } from "../js/views/colours.js";
import { downwards, imageColumns, rowOutline } from "../js/views/heatmaps.js";
import { DRAWINGS } from "../js/views/table.js";

export { render } from "../js/explorer/controller.js";

/** The square of every weight. */
function squaresDrawing(trace, state, cache) {
  const { T, S, weights } = select(trace, state, cache);
  const cells = { values: Float32Array.from(weights, (weight) => weight * weight), rows: T, columns: S };
  return {
    sources: { "attn:squares": imageColumns(cells, [-0.5, S - 0.5], [-0.5, T - 0.5]) },
    x: [-0.5, S - 0.5],
    y: downwards(T),
    colours: sequential(trace, state, 1, trace.scales.find(({ power }) => power === 1)),
    xLabels: null,
    yLabels: null,
    outline: rowOutline(trace, state),
    height: null,
    masked: true,
  };
}

/** The sum of the squares of each query's row. */
function sumsDrawing(trace, state, cache, { sum }) {
  const at = Array.from(sum.keys());
  return {
    sources: {
      "attn:sums": {
        left: at.map((query) => query - 0.4),
        bottom: at.map(() => 0),
        right: at.map((query) => query + 0.4),
        top: sum,
        color: at.map(() => lookOf(trace, state).bar),
      },
    },
    x: [-0.5, sum.length - 0.5],
    y: [0, 1],
    colours: null,
    xLabels: null,
    yLabels: null,
    outline: null,
    height: 100,
    masked: null,
  };
}

function measureSums(_trace, _state, { T, S, weights }) {
  const row = (query) => weights.subarray(query * S, (query + 1) * S);
  return { sum: Float64Array.from({ length: T }, (_, query) => row(query).reduce((sum, weight) => sum + weight * weight, 0)) };
}

Object.assign(DRAWINGS, {
  squares: { draw: squaresDrawing, caption: () => ({ subtitle: "of the weights" }), outline: rowOutline },
  sums: { draw: sumsDrawing, measure: measureSums },
});
