// Exports a model of an offline file to the tests: its tokenizer, its layers, its heads' numbers.

import { readFileSync } from "node:fs";
import { continuation } from "../../js/live_model/continuation.js";
import { headMetrics, inducedKeys } from "../../js/live_model/head_metrics.js";
import { startLayerKernel } from "../../js/live_model/layer_kernels.js";
import { changeOf, readHeads } from "../../js/live_model/knock_out.js";
import { packLayer } from "../../js/live_model/packed_layer.js";
import { Transformer } from "../../js/live_model/transformer.js";
import { makeTokenizer } from "../../js/live_model/tokenizers.js";

let tokenizer;
let model;

export function openTokenizer(settings) {
  tokenizer = makeTokenizer(settings);
  return true;
}

export function openModel(description, path, kernel) {
  const { buffer } = new Uint8Array(readFileSync(path));
  openTokenizer(description.tokenizer);
  model = new Transformer(description, buffer, startLayerKernel([kernel]));
  return true;
}

export const encode = (texts) => texts.map((text) => tokenizer.read(text).ids);

export const origins = (text) => tokenizer.read(text).origins;

export const run = (ids) => model.run(ids).layers;

export const weights = (ids) => run(ids).map((states) => headsOf(states, ids.length));

/** The layers and the scores of the next token, with the tokens read a few at a time. */
export function continued(parts) {
  let past = null;
  for (const ids of parts) past = model.run(ids, { past });
  return { layers: past.layers, logits: model.logits(past) };
}

/** Every head's weights without some heads, and what that changes. */
export function knockedOut(ids, heads, predicts) {
  const after = model.run(ids, { without: readHeads(heads, model.description) });
  const parts = changeOf(model, model.run(ids), after, predicts);
  let part = parts.next();
  while (!part.done) part = parts.next();
  return { weights: after.layers.map((states) => headsOf(states, ids.length)), change: part.value };
}

/** What is drawn after some tokens, the candidates of each, and all tokens read. */
export function write(ids, choices, ends, without = "") {
  const steps = [...continuation(model, ids, choices, ends, readHeads(without, model.description))];
  const { run } = steps[steps.length - 1];
  const drawn = steps.filter(({ token }) => token !== null);
  return { tokens: drawn.map(({ token }) => token), candidates: drawn.map(({ candidates }) => candidates), read: run.ids };
}

const headsOf = (states, T) => Array.from({ length: model.description.heads }, (_, head) => model.weightsOf(states, head, T));

export const numbers = (ids) =>
  run(ids).map((states) => headsOf(states, ids.length).map((matrix) => headMetrics(matrix, ids.length, inducedKeys(ids))));

export const timed = (ids, times) => {
  const ms = [];
  for (let i = 0; i < times; i++) {
    const since = performance.now();
    run(ids).map(({ query, key, value }) => packLayer([query, key, value]));
    ms.push(performance.now() - since);
  }
  return ms.sort((one, other) => one - other)[times >> 1];
};
