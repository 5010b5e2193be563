import assert from "node:assert/strict";
import { test } from "node:test";
import { gathered, today } from "../compare/stored_words.js";

test("today is that of the reader's calendar", () => {
  assert.equal(today(new Date(2026, 0, 9, 23, 59)), "2026-01-09");
});

test("stored texts are gathered by subject, and no others", () => {
  const stored = [["attnpanel:words:exercise=half", "a"], ["attnpanel:words:name", "b"], ["other", "c"], ["attnpanel:words:exercise=sink", "d".repeat(5000)]];
  const storage = { length: stored.length, key: (/** @type {number} */ at) => stored[at][0], getItem: (/** @type {string} */ key) => new Map(/** @type {[string, string][]} */ (stored)).get(key) ?? null };
  const texts = gathered(/** @type {any} */ (storage), "exercise=");
  assert.deepEqual(Object.keys(texts), ["exercise=half", "exercise=sink"]);
  assert.equal(texts["exercise=half"], "a");
  assert.equal(texts["exercise=sink"].length, 4000);
});
