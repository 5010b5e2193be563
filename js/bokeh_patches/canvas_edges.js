// Clear a plot's canvas to its edges.
//
// Bokeh shifts drawing and clearing by half a pixel to the right and down: lines of an older paint remain at the left
// and upper edge. Saves no time; fixes the image. Since Bokeh 3.8.

import { patch } from "./patch.js";

patch(
  "canvas_edges",
  (bokeh) => [[bokeh.require("core/util/canvas").CanvasLayer?.prototype, "clear"]],
  (layer) => {
    layer.clear = function clearToTheEdges() {
      const { x, y, width, height } = this.bbox;
      this.ctx.clearRect(x - 1, y - 1, width + 2, height + 2);
    };
  },
);
