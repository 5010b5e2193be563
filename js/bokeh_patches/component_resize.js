// Keep a component's new size from laying out the whole page.
//
// Panel lays out the root and all its plots whenever a JavaScript component changes its size, even by a word:
// seventeen times while a report opens. A component without plots and widgets does not affect Bokeh's layout. Saves
// 300 ms of the opening of the toy's report. Since Panel 1.9.

import { patch } from "./patch.js";

patch(
  "component_resize",
  (bokeh) => [[bokeh.Models.get("panel.models.esm.ReactiveESM")?.prototype.default_view.prototype, "_after_resize"]],
  (view) => {
    const { _after_resize: layOut } = view;
    view._after_resize = function layOutChildren() {
      if (this.child_views.length) layOut.call(this);
    };
  },
);
