import assert from "node:assert/strict";
import { test } from "node:test";

import { putTextsBack } from "../core/common_texts.js";

test("a text that was taken out is put back wherever its mark stands for it", () => {
  const mark = "\0attnpanel-text 1";
  const data = { id: { roots: [{ attributes: { css: mark, text: mark } }, { attributes: { esm: mark, css: "a {}", none: null } }] } };

  const [first, second] = putTextsBack(data, ["no", "yes"]).id.roots;

  assert.deepEqual(first.attributes, { css: "yes", text: mark });
  assert.deepEqual(second.attributes, { esm: "yes", css: "a {}", none: null });
});
