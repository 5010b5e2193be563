// Opens a plain trace as trace_data.js does, and asks about it. Run by driver.mjs; see explorers.py.

import { arrange } from "../../js/components/waterfall.js";
import { fromAddress, toAddress } from "../../js/explorer/address.js";
import { cellsOf, headsOnPicture, onPicture, tokenOfCell } from "../../js/explorer/on_picture.js";
import { numbersLine, provenance, sliderLabels } from "../../js/explorer/labels.js";
import { bounds, chooseLayer, fitLayer, fitTrace, masksOf, startState, unavailable } from "../../js/explorer/rules.js";
import { select } from "../../js/explorer/selection.js";
import { sentence, shownPair } from "../../js/explorer/sentence.js";
import { vectorsIn, whyToken } from "../../js/explorer/why_token.js";
import { measureEntropy } from "../../js/views/entropy.js";
import { outputDrawing, rowOutline, scoresDrawing, weightsDrawing } from "../../js/views/heatmaps.js";
import { gridDrawing, overviewJob, tileOutline } from "../../js/views/overview.js";
import { rowDrawing } from "../../js/views/row.js";
import { swatchesDrawing } from "../../js/views/swatches.js";
import { DRAWINGS, measuredOf, titles } from "../../js/views/table.js";
import { shadedTokens } from "../../js/views/text.js";

export { fixed, general, shorten } from "../../js/core/format.js";
export { readableOn } from "../../js/views/colours.js";

const PARTS = {
  select,
  scoresDrawing,
  weightsDrawing,
  outputDrawing,
  rowDrawing,
  swatchesDrawing,
  measureEntropy,
  shadedTokens,
  rowOutline,
  tileOutline,
  masksOf,
  sentence,
  shownPair,
  titles,
  provenance,
  numbersLine,
  unavailable,
  toAddress,
  fromAddress,
  sliderLabels,
  bounds,
  fitTrace,
  fitLayer,
  chooseLayer,
};

let traceOnPage = null;
let cacheOfPage = {};
let queriesRead = 0;

/** A call whose arrays come whole, one after another. */
export function plainCall(fields) {
  const { H, Hkv, T, S, D, Dv } = fields;
  const part = (array, index, length) => array.subarray(index * length, (index + 1) * length);
  const shared = (batch, head) => batch * Hkv + Math.floor(head / (H / Hkv));
  return {
    ...fields,
    query: (batch, head) => {
      queriesRead += 1;
      return part(fields.query, batch * H + head, T * D);
    },
    key: (batch, head) => part(fields.key, shared(batch, head), S * D),
    value: (batch, head) => (fields.value ? part(fields.value, shared(batch, head), S * Dv) : null),
    bias: (batch, head) => (fields.bias ? part(fields.bias, batch * H + head, T * S) : null),
    visible: (batch, head) => part(fields.visible, batch * H + head, T * S),
    headOutputs: (batch, head) => {
      const { listed, arrays } = fields.written;
      const own = (name, length) => arrays[name] && part(arrays[name], batch * H + head, length);
      const tokens = (side, rows) => listed && { ids: own(`${side}_ids`, rows * listed), logits: own(`${side}_logits`, rows * listed), listed };
      return { norms: own("norms", S) ?? null, keys: tokens("key", S), rows: tokens("row", T), scale: listed && part(arrays.final_scale, batch, T) };
    },
    recorded: (batch, head) => part(fields.recorded, batch * H + head, T * S),
    colours: (batch, head, seed) => fields.colours[`${batch} ${head ?? "mean"} ${seed}`] ?? null,
  };
}

/** Shows another trace from now on. */
export function show(data, cache) {
  const calls = data.calls.map(plainCall);
  const tokensOf = (call, batch) => data.tokens[calls.indexOf(call)][batch];
  traceOnPage = { ...data, calls, tokensOf };
  cacheOfPage = cache;
  queriesRead = 0;
  return calls.length;
}

/** What one function says of the trace. */
export function ask(name, ...given) {
  return PARTS[name](traceOnPage, ...given);
}

/** What one function says of the trace and the selection that is computed here. */
export function live(name, state) {
  return PARTS[name](traceOnPage, state, select(traceOnPage, state, cacheOfPage));
}

/** What the card of the picture shows. */
export function onPictureOf(state, direction) {
  const content = onPicture(traceOnPage, state, selected(state), direction);
  return { ...content, heads: headsOnPicture(traceOnPage, state, cacheOfPage, direction).list };
}

/** What the card that explains a weight shows; `answer` is Python's, of a layer too large for the page. */
export function whyTokenOf(state, answer) {
  const answered = answer === null ? null : vectorsIn(answer);
  return whyToken(traceOnPage, state, selected(state), answered);
}

/** The bars of its waterfall. */
export function barsOf(state, order, most) {
  return arrange(whyTokenOf(state, null).channels, order, most).map(({ label, product, of }) => ({ label, product, count: of.length }));
}

/** Where the patches of a sequence lie, and which token of which sequence each patch of the whole is. */
export function placesOf(grid, batch) {
  const cells = cellsOf(grid, batch);
  const [rows, columns] = [grid.rows * grid.windows[0], grid.columns * grid.windows[1]];
  const tokens = Array.from({ length: rows * columns }, (_, cell) => tokenOfCell(grid, batch, cell));
  return { cells: [...cells], tokens: tokens.map(({ batch: sequence, token }) => [sequence, token]) };
}

export function selected(state) {
  return select(traceOnPage, state, cacheOfPage);
}

/** Whether two states have one selection: nothing is computed between them. */
export function sameSelection(one, other) {
  return select(traceOnPage, one, cacheOfPage) === select(traceOnPage, other, cacheOfPage);
}

/** How many heads' queries were read since this was asked last. */
export function queriesReadNow() {
  const read = queriesRead;
  queriesRead = 0;
  return read;
}

export function scoreBytes() {
  return [...cacheOfPage.scores.values()].reduce((bytes, array) => bytes + array.byteLength, 0);
}

export function drawn(name, state, options) {
  const { draw, measure } = DRAWINGS[name];
  const given = measure ? measuredOf(traceOnPage, state, selected(state))[name] : options;
  return draw(traceOnPage, state, cacheOfPage, given);
}

/** The overview after so many steps of its job. */
export function gridAfter(steps, state) {
  const job = overviewJob(traceOnPage, state, cacheOfPage);
  for (let step = 0; step < steps; step++) job.next();
  return gridDrawing(traceOnPage, state, cacheOfPage, { partial: true });
}

/** The views that the page can draw, and those of them whose outline moves by itself. */
export function table() {
  const names = Object.keys(DRAWINGS);
  return { names, outlined: names.filter((name) => DRAWINGS[name].outline) };
}

export function startOf() {
  return startState(traceOnPage);
}
