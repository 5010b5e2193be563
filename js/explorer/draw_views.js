import { writeLegends, writeLines } from "./captions.js";
import { applyDrawings } from "../views/plots.js";
import { DRAWINGS, isChanged, viewsDrawn } from "../views/table.js";

// The plots that a change redraws at once, and those whose outline it moves.

/**
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {Record<string, Drawing>} made drawings that the Worker made, by view
 * @param {Set<string>} changed
 * @param {Theme} theme
 */
export async function drawViews(explorer, made, changed, theme) {
  const { trace, state, cache, plots, waiting } = explorer;
  /** @type {string[]} */
  const due = [];
  for (const name of viewsDrawn(trace, "at once")) {
    if (!isChanged(trace, name, "depends", changed)) continue;
    if (DRAWINGS[name].waits?.(trace, state, changed)) waiting.add(name);
    else due.push(name);
  }
  /** @param {string} name @returns {Drawing} */
  const drawing = (name) =>
    made[name]
      ? { ...made[name], outline: DRAWINGS[name].outline?.(trace, state) ?? null } // the token may have changed since
      : DRAWINGS[name].draw(trace, state, cache);
  const moved = Object.keys(plots).filter((name) => !due.includes(name) && isChanged(trace, name, "moves", changed));
  const drawn = due.map((name) => /** @type {[string, Drawing]} */ ([name, drawing(name)]));
  for (const name of due) waiting.delete(name);
  // Another trace's layers and heads can be chosen before their tiles are made.
  for (const name of changed.has("trace") ? viewsDrawn(trace, "with the tiles") : []) {
    drawn.push([name, DRAWINGS[name].draw(trace, state, cache, { partial: true })]);
  }
  const moves = moved.map((name) => /** @type {[Plot, number[]]} */ ([plots[name], DRAWINGS[name].outline?.(trace, state) ?? []]));
  await show(explorer, drawn, moves, theme);
}

/**
 * Puts drawings, with their legends and choices, on the page.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {[string, Drawing][]} drawn by view
 * @param {[Plot, number[]][]} moves plots whose data stays, with their new outlines
 * @param {Theme} theme
 */
export async function show(explorer, drawn, moves, theme) {
  writeLegends(explorer, drawn);
  await applyDrawings(drawn.map(([name, drawing]) => [explorer.plots[name], drawing]), moves, theme);
  writeLines(explorer, drawn);
}
