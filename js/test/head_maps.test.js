import assert from "node:assert/strict";
import { test } from "node:test";

import { arrange } from "../components/head_order.js";

const VALUES = [
  [0.2, 0.7, 0.7],
  [null, 0.9, 0.1],
  [null, null, null],
];

test("in model order rows are layers and columns heads", () => {
  const order = [
    [0, [0, 1, 2]],
    [1, [0, 1, 2]],
    [2, [0, 1, 2]],
  ];

  assert.deepEqual(arrange(VALUES, "place"), order);
});

test("the largest number comes first, equal ones in model order, and unknown ones last", () => {
  const order = [
    [1, [1, 2, 0]],
    [0, [1, 2, 0]],
    [2, [0, 1, 2]],
  ];

  assert.deepEqual(arrange(VALUES, "largest"), order);
});

test("the smallest number comes first, and unknown ones still last", () => {
  const order = [
    [1, [2, 1, 0]],
    [0, [0, 1, 2]],
    [2, [0, 1, 2]],
  ];

  assert.deepEqual(arrange(VALUES, "smallest"), order);
});
