import assert from "node:assert/strict";
import { test } from "node:test";
import { twoDigits } from "../core/format.js";
import { figureCaptions, withheld } from "../explorer/labels.js";

/** @param {Partial<Call>} fields */
const saidOf = (fields) => withheld(/** @type {Call} */ ({ live: true, ...fields }));

test("a layer says which of its arrays are not finite, and nothing if all are", () => {
  assert.equal(saidOf({}), "");
  assert.equal(saidOf({ notFinite: [] }), "");
  assert.match(saidOf({ notFinite: ["query", "value"] }), /not finite \(nan or inf\) in this layer's query, value: cells/);
  assert.match(saidOf({ live: false, notFinite: [] }), /^Only the weights were recorded/);
});

/** @param {string[]} queries @param {string[]} keys @param {Partial<Call>} [fields] @param {object} [chosen] */
function captionsOf(queries, keys, fields, chosen) {
  const call = { live: true, layer: "encoder.layer.3", number: 3, H: 4, B: 1, ...fields };
  const masks = { kinds: [{ kind: "window", label: "window", needs: ["window"] }], parameters: [{ name: "window", label: "Window" }] };
  const trace = { model: "MiniLM", source: "prompt", calls: [call], masks, tokensOf: () => ({ queries, keys }) };
  const state = { layer: 0, head: 1, batch: 0, query_index: 1, mask: "window", window: 3, temperature: 0.5, ...chosen };
  return figureCaptions(/** @type {any} */ (trace), /** @type {any} */ (state));
}

/** @param {Parameters<typeof captionsOf>} given */
const captionOf = (...given) => captionsOf(...given).head;

test("the caption of a figure says what its numbers are and whence", () => {
  const tokens = ["[CLS]", "a", "suit", "##case"];
  assert.equal(
    captionOf(tokens, tokens),
    "MiniLM · “[CLS] a suitcase” · layer 3 (encoder.layer.3), head 1 · mask: window (window 3) · temperature 0.5 · outlined: query 1, “a”",
  );
  assert.match(captionOf(["le", " chat"], ["the", "cat"]), / · queries “le chat”, keys “the cat” · /);
  assert.match(captionOf(["0", "1"], ["0", "1"]), /^MiniLM · layer 3/);
  assert.match(captionOf(tokens, tokens, { live: false, B: 2 }), /sequence 0 · mask: as the model · temperature 1 · /);
  assert.match(captionOf(Array(200).fill("word"), ["x"]), /queries “(word ){17}word…”/);
});

test("a figure of several heads names none, and that of all layers what is outlined in it", () => {
  const { layer, all } = captionsOf(["a", "b"], ["a", "b"]);
  assert.match(layer, / · layer 3 \(encoder.layer.3\) · mask: .* · outlined: query 1, “b”$/);
  assert.match(all, /“a b” · mask: .* · outlined: layer 3 \(encoder.layer.3\), head 1$/);
});

test("a large number of two digits is written out", () => {
  assert.deepEqual([99.96, 99.4, 123, -150, 2e7, 0.0123].map(twoDigits), ["100", "99", "123", "-150", "2e+07", "0.012"]);
});
