// Two plain traces, held against each other.

import {
  barsDrawing,
  comparisonSentence,
  differenceDrawing,
  headsDrawing,
  mostChanged,
  sideDrawing,
} from "../../js/compare/drawings.js";
import { differenceWords } from "../../js/compare/captions.js";
import { alignTokens, compareHeads, fitCompared, headChangesJob, movedShare } from "../../js/compare/model.js";
import { contrastJob, pairContrast } from "../../js/compare/score_contrast.js";
import { singularTriples } from "../../js/core/singular_values.js";
import { plainCall } from "./drawings.mjs";

export * from "./drawings.mjs";

let twoTraces = null;

/** Shows two other traces from now on. */
export function showTwo(first, second) {
  twoTraces = [first, second].map((data) => {
    const calls = data.calls.map((fields) => ({ ...plainCall(fields), opened: true }));
    return { ...data, calls, tokensOf: (call, batch) => data.tokens[calls.indexOf(call)][batch] };
  });
  return twoTraces.length;
}

export function aligned(first, second) {
  return alignTokens(first, second);
}

export function fittedTwo(state) {
  return fitCompared(twoTraces, state);
}

/** The matrices of both sides and their difference, and what moves of each row. */
export function comparedTwo(state) {
  const compared = compareHeads(twoTraces, fitCompared(twoTraces, state), [{}, {}]);
  const moved = compared.queries.pairs.map((_, row) => movedShare(compared, row));
  return { first: compared.weights[0], second: compared.weights[1], difference: compared.difference, moved };
}

function finished(job) {
  let step = job.next();
  while (!step.done) step = job.next();
  return step.value;
}

export function changesOfTwo(state) {
  return finished(headChangesJob(twoTraces, fitCompared(twoTraces, state)));
}

export function mostOf(changes) {
  return mostChanged([...changes]);
}

export function sentenceOfTwo(state) {
  const fitted = fitCompared(twoTraces, state);
  return comparisonSentence(compareHeads(twoTraces, fitted, [{}, {}]), fitted);
}

/** The components of the difference of both sides' scores, and of the pair of a row and a key. */
export function contrastOfTwo(state) {
  const contrast = finished(contrastJob(twoTraces, fitCompared(twoTraces, state), [{}, {}]));
  return { ...contrast, pair: pairContrast(contrast, state.row, state.key) };
}

export function triplesOf(matrix, rows, columns) {
  return finished(singularTriples(Float64Array.from(matrix), rows, columns));
}

/** What is said of the difference, and the numbers that it is about. */
export function wordsOfTwo(state) {
  const fitted = fitCompared(twoTraces, state);
  const compared = compareHeads(twoTraces, fitted, [{}, {}]);
  const moved = compared.queries.pairs.map((_, row) => movedShare(compared, row));
  return { words: differenceWords(compared), difference: compared.difference, moved };
}

/** Each picture's colours, size and labels. */
export function picturesOfTwo(state) {
  const fitted = fitCompared(twoTraces, state);
  const compared = compareHeads(twoTraces, fitted, [{}, {}]);
  const { palettes, themes } = twoTraces[0];
  return {
    first: sideDrawing(compared, fitted, 0, palettes.light),
    second: sideDrawing(compared, fitted, 1, palettes.light),
    difference: differenceDrawing(compared, fitted, palettes.light),
    bars: barsDrawing(compared, fitted, palettes.light, themes.light),
    heads: headsDrawing(changesOfTwo(state), fitted, palettes.light),
  };
}
