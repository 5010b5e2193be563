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
  await show(explorer, drawn, moves, theme, () => ringsOf(explorer));
}

/**
 * The ring around the shown pair in each plot in which it has a place.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @returns {ReturnType<import("../views/boxes.js").Rings>}
 */
export function ringsOf({ trace, state, plots, shownPair }) {
  const [query, key] = /** @type {[number, number]} */ (shownPair);
  const across = [key - 0.5, key + 0.5];
  /** @param {ViewRow} view @returns {?(number | null)[]} */
  const ring = ({ name, x, y }) => {
    if (x === "key" && y === "query") return [...across, query - 0.5, query + 0.5];
    if (query !== state.query_index) return null; // of another row than these show
    if (x === "key") return [...across, 0, plots[name].sources[`attn:${name}`].data.top[key] || 0]; // as high as its bar
    const row = plots[name].sources[`attn:${name}`].data.key_index.indexOf(key);
    return row < 0 ? null : [null, null, row - 0.5, row + 0.5];
  };
  return trace.views.filter(({ name }) => plots[name].rings.length).map((view) => [plots[view.name], ring(view)]);
}

/**
 * Puts drawings, with their legends and choices, on the page.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {[string, Drawing][]} drawn by view
 * @param {[Plot, number[]][]} moves plots whose data stays, with their new outlines
 * @param {Theme} theme
 * @param {import("../views/boxes.js").Rings} [rings]
 */
export async function show(explorer, drawn, moves, theme, rings) {
  writeLegends(explorer, drawn);
  await applyDrawings(drawn.map(([name, drawing]) => [explorer.plots[name], drawing]), moves, theme, rings);
  writeLines(explorer, drawn);
}
