import { t } from "../core/translate.js";
import { outputCaption, rowCaption, scoresCaption, swatchesCaption, tilesCaption, weightsCaption } from "../explorer/labels.js";
import { select } from "../explorer/selection.js";
import { entropyCaption, entropyDrawing, measureEntropy, tokenOutline } from "./entropy.js";
import { outputDrawing, rowOutline, scoresDrawing, weightsDrawing } from "./heatmaps.js";
import { scaleOf } from "./colours.js";
import { legendOf } from "./legend.js";
import { linesCaption, linesDrawing, linesWait, queryOutline } from "./lines.js";
import { gridDrawing, tileOutline } from "./overview.js";
import { rowDrawing } from "./row.js";
import { swatchesDrawing } from "./swatches.js";

// The functions of each view. The rest of its row (title, axes, the choices it depends on, when it is drawn) is in
// attnpanel.explorer.views.VIEWS and comes with the trace as `trace.views`.

/** @param {(trace: Trace, state: State, selection: AnySelection) => Drawing} draw */
const ofSelection = (draw) => (/** @type {Trace} */ trace, /** @type {State} */ state, /** @type {SelectionCache} */ cache) => draw(trace, state, select(trace, state, cache));

/**
 * The functions of each view by name: `draw` returns its drawing; `caption` a title that replaces the row's, or a
 * subtitle; `outline` the outline; `waits` whether it may stay as it is until the reader pauses. A view that is drawn with the numbers has `measure`, which computes arrays by name
 * from a selection, here or in the Worker, and passes them to `draw`.
 *
 * @type {Record<string, ViewFunctions>}
 */
export const DRAWINGS = {
  scores: { draw: ofSelection(scoresDrawing), caption: scoresCaption, outline: rowOutline, legend: signs },
  weights: { draw: ofSelection(weightsDrawing), caption: weightsCaption, outline: rowOutline, legend: weightsLegend },
  output: { draw: ofSelection(outputDrawing), caption: outputCaption, outline: rowOutline, legend: () => ({ ...signs(), pairs: false }) },
  row: { draw: ofSelection(rowDrawing), caption: rowCaption },
  entropy: { draw: entropyDrawing, caption: entropyCaption, outline: tokenOutline, measure: measureEntropy },
  grid: { draw: gridDrawing, caption: tilesCaption, outline: tileOutline, legend: () => ({ words: t("largest weight of each block") }) },
  lines: { draw: linesDrawing, caption: linesCaption, outline: queryOutline, waits: linesWait },
  swatches: { draw: ofSelection(swatchesDrawing), caption: swatchesCaption },
};

/** What the colours of numbers with a sign mean. */
function signs() {
  return { words: t("blue: below 0 · red: above") };
}

/** @param {Trace} trace @param {State} state */
function weightsLegend(trace, state) {
  const relative = scaleOf(trace, state).ends === "row";
  return relative ? { relative, words: t("of the row’s largest") } : {};
}

/**
 * What the colours of a drawing mean; null where it has none.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {string} name of the view
 * @param {Drawing} drawing
 */
export function legend(trace, state, name, drawing) {
  return legendOf(drawing, DRAWINGS[name].legend?.(trace, state));
}

/**
 * Names of the views with this value of `drawn`.
 *
 * @param {Trace} trace
 * @param {ViewRow["drawn"]} drawn
 */
export function viewsDrawn(trace, drawn) {
  return trace.views.filter((view) => view.drawn === drawn).map(({ name }) => name);
}

/**
 * Names of the heatmaps of the selected head, which the Worker draws after computing it.
 *
 * @param {Trace} trace
 */
export function heatmapsOf(trace) {
  return trace.views.filter(({ heatmap }) => heatmap).map(({ name }) => name);
}

/**
 * Whether a change of these choices changes a view's data or outline.
 *
 * @param {Trace} trace
 * @param {string} name
 * @param {"depends" | "moves"} how
 * @param {Set<string>} changed
 */
export function isChanged(trace, name, how, changed) {
  return viewNamed(trace, name)[how].some((choice) => changed.has(choice));
}

/** @param {Trace} trace @param {string} name */
export function viewNamed(trace, name) {
  return /** @type {ViewRow} */ (trace.views.find((view) => view.name === name));
}

/**
 * Each view's title and subtitle.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {Record<string, {text: string, subtitle: string}>}
 */
export function titles(trace, state) {
  /** @param {ViewRow} row */
  const caption = ({ name, title }) => ({ text: title, subtitle: "", ...DRAWINGS[name].caption?.(trace, state) });
  return Object.fromEntries(trace.views.map((view) => [view.name, caption(view)]));
}

/**
 * The measurements of a selection for the views drawn with the numbers.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {HeadSelection} selection
 * @returns {Record<string, Measured>} by view
 */
export function measuredOf(trace, state, selection) {
  const views = viewsDrawn(trace, "with the numbers").filter((name) => DRAWINGS[name].measure);
  return Object.fromEntries(views.map((name) => [name, DRAWINGS[name].measure?.(trace, state, selection) ?? {}]));
}
