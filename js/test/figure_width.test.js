import assert from "node:assert/strict";
import { test } from "node:test";
import { inWidth } from "../components/figure_dialog.js";

const TEXT = '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="320" viewBox="0 0 640 320"><rect width="9" height="9"/></svg>';
const figure = { text: TEXT, width: 640, height: 320 };

test("a width on paper is that of the SVG, and its height follows", () => {
  const { text, width, height } = inWidth(figure, 85);

  assert.match(text, /^<svg xmlns="[^"]*" width="85.00mm" height="42.50mm" viewBox="0 0 640 320"><rect width="9" height="9"\/>/);
  assert.ok(Math.abs(width - (85 / 25.4) * 96) < 1e-9);
  assert.equal(height, width / 2);
});

test("as wide as here leaves it as it is", () => {
  assert.deepEqual(inWidth(figure, 0), figure);
});
