import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, describeNote, gridMarks, heatmapMarks, mergeNotes } from "../core/notes.js";

const PLACE = { layer: 0, head: 1, batch: 0 };
const SHOWN = { left: -0.5, right: 6.5, top: -0.5, bottom: 4.5 };
const WRITTEN = { text: "", created: "2026-01-31T23:59:00Z" };

/** @param {number} query_index @param {number} key_index @param {Partial<Note>} [fields] @returns {Note} */
const cell = (query_index, key_index, fields = {}) => ({ kind: "cell", ...PLACE, query_index, key_index, ...WRITTEN, ...fields });
/** @param {number} query_index @param {Partial<Note>} [fields] @returns {Note} */
const row = (query_index, fields = {}) => ({ kind: "row", ...PLACE, query_index, ...WRITTEN, ...fields });
/** @param {number} layer @param {?number} head @param {Partial<Note>} [fields] @returns {Note} */
const ofHead = (layer, head, fields = {}) => ({ kind: "head", ...PLACE, layer, head, ...WRITTEN, ...fields });

test("merging adds what is new and keeps the order", () => {
  const [first, other] = [cell(1, 2), cell(1, 2, { text: "other words" })];

  assert.deepEqual(mergeNotes([first, row(3)], [other, first, other]), [first, row(3), other]);
});

test("a note says what it marks and where", () => {
  const described = describeNote(cell(4, 3, { query: "it", key: "trophy", head: null, batch: 2 }));

  assert.deepEqual(described, ["cell", "it → trophy", "layer 0, mean of heads, batch 2"]);
  assert.deepEqual(describeNote(row(4, { query: " \n" })), ["row", "␣\\n", "layer 0, head 1"]);
  assert.deepEqual(describeNote(row(4)), ["row", "4", "layer 0, head 1"]);
  assert.deepEqual(describeNote(ofHead(3, 1)), ["head", "layer 3, head 1", ""]);
});

test("a note's address has its own place, whatever the address it was written under says", () => {
  const note = cell(4, 3, { address: "layer=9&mean=1&head=7&token=9&mask=causal&temperature=0.5" });

  const address = Object.fromEntries(new URLSearchParams(addressOf(note)));

  assert.deepEqual(address, {
    layer: "0",
    mean: "0",
    head: "1",
    token: "4",
    batch: "0",
    mask: "causal",
    temperature: "0.5",
  });
});

test("a cell is outlined and numbered at its corner", () => {
  const marks = heatmapMarks([ofHead(0, 1), cell(2, 3)], PLACE, SHOWN);

  assert.deepEqual([marks.left, marks.right, marks.top, marks.bottom], [[2.5], [3.5], [1.5], [2.5]]);
  assert.deepEqual([marks.x, marks.y, marks.text], [[3.5], [1.5], ["2"]]);
  assert.deepEqual([marks.dx, marks.dy], [[0], [0]]);
});

test("a number at the edge of the plot lies inside it", () => {
  const { dx, dy } = heatmapMarks([cell(0, 6)], PLACE, SHOWN);

  assert.ok(dx[0] < 0 && dy[0] > 0, `to the left of the edge and below the top; got ${dx[0]}, ${dy[0]}`);
});

test("a row is numbered at the end that is on screen", () => {
  const marks = heatmapMarks([row(3)], PLACE, { ...SHOWN, right: 4.25 });

  assert.deepEqual([marks.x, marks.y, marks.text], [[4.25], [3], ["◂ 1"]]);
  assert.deepEqual([marks.left, marks.right, marks.top, marks.bottom], [[NaN], [NaN], [NaN], [NaN]]);
});

test("only the shown layer, head and batch entry are marked", () => {
  const elsewhere = [cell(1, 1, { layer: 1 }), cell(1, 1, { head: null }), cell(1, 1, { batch: 1 })];

  assert.deepEqual(heatmapMarks([...elsewhere, ofHead(0, 1)], PLACE, SHOWN).text, []);
  assert.deepEqual(heatmapMarks(elsewhere, { ...PLACE, head: null }, SHOWN).text, ["2"]);
});

test("notes on one place share a number", () => {
  const marks = heatmapMarks([...Array(2).fill(cell(1, 1)), ...Array(5).fill(row(1))], PLACE, SHOWN);

  assert.deepEqual(marks.text, ["1,2", "◂ 3,4,+3"]);
});

test("heads are numbered on their tiles, and the mean at its row", () => {
  const notes = [ofHead(1, 2), cell(1, 1), ofHead(0, null), ofHead(1, 2, { batch: 1 })];

  const marks = gridMarks(notes, PLACE, SHOWN);

  assert.deepEqual(marks.text, ["1", "mean 3"]);
  assert.deepEqual([marks.x, marks.y], [[1.5, 6.5], [0.5, -0.5]]);
});
