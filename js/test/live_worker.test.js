import assert from "node:assert/strict";
import { test } from "node:test";

// The Worker of a file's model, whose port is this test: a model without layers, of three tokens.

/** @type {any[]} */
const answers = [];
const port = /** @type {any} */ (globalThis);
port.postMessage = (/** @type {any} */ message) => answers.push(message);
await import("../live_model/worker.js");

const LIMIT = 60;
const tensors = [
  { name: "words", dtype: "float16", shape: [3, 1], at: 0 },
  { name: "positions", dtype: "float16", shape: [LIMIT, 1], at: 16 },
  { name: "norm.weight", dtype: "float32", shape: [1], at: 144 },
  { name: "norm.bias", dtype: "float32", shape: [1], at: 160 },
];
const tokenizer = {
  kind: "wordpiece",
  vocabulary: ["[UNK]", "a", "b"],
  addedOnly: [],
  unknown: "[UNK]",
  prefix: "##",
  shown: {},
  longest: 100,
  lowercase: true,
  stripAccents: true,
  added: {},
  before: [],
  after: [],
};
const description = {
  layers: 0,
  heads: 1,
  kvHeads: 1,
  headDim: 1,
  width: 1,
  causal: true,
  normFirst: true,
  norm: "layer",
  activation: "gelu",
  epsilon: 1e-5,
  limit: LIMIT,
  padding: null,
  tensors,
  withoutEmbedding: [],
  bytes: 176,
  tokenizer,
  ends: [],
};
const choices = { count: 50, temperature: 1, topK: 3, seed: 1 };

/** @param {any} data */
const send = (data) => port.onmessage({ data });

/** @param {number} id @returns {Promise<any>} its trace */
async function traceOf(id) {
  for (;;) {
    const found = answers.find((answer) => answer.id === id && answer.kind !== "written");
    if (found) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("a stop that comes before the first token ends the writing after it, and the next writing is whole", async () => {
  send({ kind: "open", description });
  send({ kind: "bytes", base64: Buffer.alloc(176).toString("base64") });
  send({ kind: "start" });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(answers[0].kind, "ready");

  send({ kind: "write", id: 1, text: "a b", choices });
  send({ kind: "stop" });
  assert.equal((await traceOf(1)).tokens.length, 3);

  send({ kind: "write", id: 2, text: "a b", choices });
  assert.equal((await traceOf(2)).tokens.length, 52);
  assert.equal(answers.filter(({ kind, id }) => kind === "written" && id === 2).length, 50);
});

test("a newer text takes the place of what is being written", async () => {
  send({ kind: "write", id: 3, text: "a b", choices });
  send({ kind: "run", id: 4, text: "b" });
  assert.equal((await traceOf(4)).tokens.length, 1);
  assert.equal(answers.some(({ id }) => id === 3), false);
});

test("numbers are given of the text that is asked about, or refused", async () => {
  send({ kind: "run", id: 5, text: "a" });
  assert.equal((await traceOf(5)).run, 5);
  send({ kind: "numbers", id: 6, run: 4 });
  assert.deepEqual(await traceOf(6), { kind: "refused", id: 6, error: "another text was run since" });
  send({ kind: "numbers", id: 7, run: 5 });
  assert.equal((await traceOf(7)).kind, "numbers");
});
