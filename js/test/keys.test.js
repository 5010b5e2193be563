import assert from "node:assert/strict";
import { test } from "node:test";

import { KEYS, messageOf, rowsOf } from "../explorer/keys.js";

test("an arrow with Shift moves the key, without it the head", () => {
  assert.deepEqual(messageOf({ key: "ArrowLeft", shiftKey: true }, []), { key_step: -1 });
  assert.deepEqual(messageOf({ key: "ArrowLeft", shiftKey: false }, []), { step: ["head", -1] });
  assert.equal(messageOf({ key: "ArrowUp", shiftKey: true }, []), null);
});

test("a sign that needs Shift on some keyboards is found by itself", () => {
  assert.deepEqual(messageOf({ key: "?", shiftKey: true }, []), { keys: true });
  assert.deepEqual(messageOf({ key: "]", shiftKey: true }, []), { step: ["layer", 1] });
});

test("a page without masks has neither the key nor its line in the list", () => {
  const names = ["token", "keys"];

  assert.equal(messageOf({ key: "m", shiftKey: false }, names), null);
  assert.deepEqual(rowsOf(names).map(({ name }) => name), names);
});

test("every key is listed once, and nothing that Object has is a key", () => {
  const keys = KEYS.flatMap(({ sends }) => Object.keys(sends));

  assert.equal(new Set(keys).size, keys.length);
  assert.equal(messageOf({ key: "toString", shiftKey: false }, []), null);
});
