// Exports one of the lab's models to the tests, and what is computed from its scores.

import { Decoder } from "../../js/live_model/decoder.js";
import { drawToken, likeliest, logProbabilities, losses, randomNumbers, samplingProblem } from "../../js/live_model/next_token.js";
import { PLAIN_LAYERS } from "../../js/live_model/plain_layers.js";
import { readSequence, sequenceText } from "../../js/lab/sequence.js";

let model;
let count;

export function openModel(description, bytes, vocabulary) {
  model = new Decoder(description, bytes.slice().buffer, PLAIN_LAYERS);
  count = vocabulary;
  return true;
}

export function run(ids, without) {
  const { weights, logits } = model.run(ids, new Set(without));
  const logs = logProbabilities(logits, count);
  return { weights, logs, losses: losses(logs, ids, count) };
}

export const timed = (ids, times) => {
  const ms = [];
  for (let i = 0; i < times; i++) {
    const since = performance.now();
    model.run(ids);
    ms.push(performance.now() - since);
  }
  return ms.sort((one, other) => one - other)[times >> 1];
};

export const random = (seed, length) => {
  const next = randomNumbers(seed);
  return Float64Array.from({ length }, next);
};

export const draw = (logs, sampling, numbers) => Array.from(numbers, (number) => drawToken(logs, sampling, number));

export { likeliest, readSequence, samplingProblem, sequenceText };
