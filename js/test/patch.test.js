import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { patch } from "../bokeh_patches/patch.js";

/** @param {object} bokeh */
const standIn = (bokeh) => Object.assign(globalThis, { Bokeh: bokeh });
const applied = () => Object.fromEntries(/** @type {any} */ (globalThis)[Symbol.for("attnpanel.patches")] ?? []);

afterEach(() => {
  const page = /** @type {any} */ (globalThis);
  delete page.Bokeh;
  delete page[Symbol.for("attnpanel.patches")];
});

test("a patch is applied once, whichever bundle asks", () => {
  const view = { draw() {} };
  standIn({ view });
  let times = 0;

  for (let bundle = 0; bundle < 2; bundle++) patch("twice", (bokeh) => [[/** @type {any} */ (bokeh).view, "draw"]], () => times++);

  assert.equal(times, 1);
  assert.deepEqual(applied(), { twice: true });
});

test("where a member is missing nothing is patched, and the patch is reported as not applied", () => {
  standIn({ view: { draw() {} } });

  patch("absent", (bokeh) => [[/** @type {any} */ (bokeh).view, "draw", "erase"]], () => assert.fail("patched"));

  assert.deepEqual(applied(), { absent: false });
});

test("where Bokeh has no such module nothing is patched", () => {
  standIn({
    require() {
      throw new Error("no module");
    },
  });

  patch("no_module", (bokeh) => [[bokeh.require("core/gone"), "draw"]], () => assert.fail("patched"));

  assert.deepEqual(applied(), { no_module: false });
});

test("a Worker, which has no Bokeh, patches nothing", () => {
  patch("worker", () => assert.fail("looked"), () => assert.fail("patched"));

  assert.deepEqual(applied(), {});
});
