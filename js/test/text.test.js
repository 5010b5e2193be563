import assert from "node:assert/strict";
import { test } from "node:test";
import { originNote, originsOf } from "../views/text.js";

const TOKENS = ["[CLS]", "naive", "[UNK]", "##s", " it", "[SEP]"];
const ORIGINS = ["", "naïve", "漢", "s", "it", ""];
const trace = /** @type {any} */ ({ queryTokens: [TOKENS], origins: [ORIGINS], unknownToken: "[UNK]" });
const state = /** @type {any} */ ({ batch: 0 });

test("a token's text is told where it differs from the token", () => {
  assert.deepEqual(originsOf(trace, state, TOKENS), ["", "naïve", "漢", "", "", ""]);
});

test("of other tokens than the prompt's nothing is known", () => {
  assert.deepEqual(originsOf(trace, state, [...TOKENS]), []);
  assert.deepEqual(originsOf({ ...trace, origins: [["a"]] }, state, TOKENS), []);
  assert.deepEqual(originsOf({ ...trace, origins: undefined }, state, TOKENS), []);
});

test("text without a token is listed", () => {
  assert.match(originNote(trace, TOKENS, originsOf(trace, state, TOKENS)), /^\[UNK\] stands for .*: 2 ← “漢”\.$/);
  assert.equal(originNote(trace, ["a"], [""]), "");
});
