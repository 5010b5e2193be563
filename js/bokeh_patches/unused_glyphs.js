// Skip glyphs that are never visible.
//
// Bokeh has six glyphs a renderer, also for selected, unselected and muted data, and updates each with new data and
// styles. Nothing is selected or muted in the page's plots. Since Bokeh 3.8.

import { patch } from "./patch.js";

const applies = patch(
  "unused_glyphs",
  (bokeh) => [
    [bokeh.require("models/glyphs/glyph").GlyphView?.prototype, "set_data", "set_visuals", "after_visuals", "map_data"],
  ],
  () => {}, // applies to each plot's own glyphs
);

/** @param {BokehView} view a plot's */
export function restUnused(view) {
  if (!applies) return;
  const nothing = () => {};
  for (const { selection_glyph, nonselection_glyph, muted_glyph } of view.computed_renderer_views) {
    for (const glyph of [selection_glyph, nonselection_glyph, muted_glyph].filter(Boolean)) {
      Object.assign(glyph, { set_data: nothing, set_visuals: nothing, after_visuals: nothing, map_data: nothing });
    }
  }
}
