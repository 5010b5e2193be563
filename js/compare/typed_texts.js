import { writeComponents } from "../core/scope.js";
import { typedMeta } from "../live_model/typed_meta.js";
import { restore } from "./address.js";

// Two texts that a reader typed, in place of those that the file was made of: the model in it computes their attention.

const SIDES = ["a", "b"];
let shown = 0;

/** @typedef {{prompts: string[], answers: LiveAnswer[], address: string}} TypedTexts what was typed on each side, and a link's other choices */

/**
 * Shows the attention of two typed texts; null goes back to the file's own ones.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {?TypedTexts} typed
 */
export function showTyped(page, typed) {
  const { model } = page;
  const own = (page.own ??= model.given);
  const serial = `typed ${++shown}`;
  page.waiting = false;
  const start = { ...page.state, key: null };
  if (typed === null) {
    writeComponents([model], { given: { ...own, serial, start, address: {} } });
    return;
  }
  const address = Object.fromEntries(SIDES.map((name, side) => [name, typed.prompts[side]]));
  const sides = typed.answers.map((answer, side) => ({
    meta: typedMeta(own.sides[side].meta, { ...answer, trace: `${serial} ${SIDES[side]}` }),
    calls: answer.layers,
  }));
  writeComponents([model], { given: { ...own, serial, start, address, sides } });
  restore(page, typed.address);
}

/**
 * Goes on with what is shown, where a text could not be run.
 *
 * @param {import("./controller.js").ComparisonPage} page
 */
export function keepShown(page) {
  page.waiting = false;
  page.set({});
}

/**
 * Has the texts of a link run, if the file has a model and shows others. A link with one text alone shows the file's own.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {string} address
 * @returns {boolean} whether the link's other choices wait for them
 */
export function openTexts(page, address) {
  if (!page.models.has("attn-prompt-pair")) return false;
  const parameters = new URLSearchParams(address);
  const texts = SIDES.map((name) => parameters.get(name));
  if (!page.waiting && SIDES.every((name, side) => texts[side] === (page.model.given.address?.[name] ?? null))) return false;
  const wanted = texts.includes(null) ? null : texts;
  page.waiting = wanted !== null;
  const lacks = texts.every((text) => text === null) ? null : SIDES[texts.indexOf(null)];
  page.write("attn-prompt-pair", { wanted: { prompts: wanted, lacks, address, number: ++shown } });
  if (wanted === null) showTyped(page, null);
  return wanted !== null;
}
