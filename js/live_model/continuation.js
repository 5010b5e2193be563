import { drawToken, likeliest, logProbabilities, randomNumbers } from "./next_token.js";

/** @typedef {{id: number, chance: number}} Likely a token and its probability */

const MOST_CANDIDATES = 8;

/**
 * Writes on after some tokens: reads them, and then a token at a time, whose keys and values are kept.
 *
 * @param {import("./transformer.js").Transformer} model causal
 * @param {number[]} ids
 * @param {WritingChoices} choices
 * @param {number[]} ends tokens that end a text
 * @param {Set<string>} [without] heads that are knocked out, as "layer.head"
 * @returns {Generator<{token: ?number, candidates: Likely[], run: import("./transformer.js").Run}>} each token that is drawn, the
 *   likeliest ones and it, and the run that has read it; at last null, where the model reads no more or a text has ended
 */
export function* continuation(model, ids, choices, ends, without) {
  const random = randomNumbers(choices.seed);
  let run = model.run(ids, { without });
  for (let written = 0; written < choices.count && run.ids.length < model.description.limit; written++) {
    const logits = model.logits(run);
    const logs = logProbabilities(logits, logits.length);
    const token = drawToken(logs, choices, random());
    const shown = likeliest(logs, MOST_CANDIDATES);
    if (!shown.includes(token)) shown.push(token);
    run = model.run([token], { past: run, without });
    yield { token, candidates: shown.map((id) => ({ id, chance: Math.exp(logs[id]) })), run };
    if (ends.includes(token)) break;
  }
  yield { token: null, candidates: [], run };
}
