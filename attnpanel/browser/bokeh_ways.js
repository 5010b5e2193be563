// Where Bokeh and Panel do more, or less, than the page needs. Done when the module is read, before any of the
// page's components is drawn; where there is no Bokeh, as in a Worker, nothing happens.

const { Bokeh: bokeh } = globalThis;
const component = bokeh?.Models.get("panel.models.esm.ReactiveESM")?.prototype.default_view.prototype;
const canvas = bokeh?.require("core/util/canvas").CanvasLayer?.prototype;

// Panel has a component that is written in JavaScript lay out the whole page, plots and all, whenever its own
// size changes, be it by a word. One that holds no plot or widget changes nothing that Bokeh laid out.
if (component && !Object.hasOwn(component, "_after_resize")) {
  const { _after_resize: layOut } = component;
  component._after_resize = function layOutChildren() {
    if (this.child_views.length) layOut.call(this);
  };
}

// Bokeh draws half a pixel to the right and below, and clears there too: lines of older pictures would stay.
if (canvas?.clear && canvas.clear.name !== "clearToTheEdges") {
  canvas.clear = function clearToTheEdges() {
    const { x, y, width, height } = this.bbox;
    this.ctx.clearRect(x - 1, y - 1, width + 2, height + 2);
  };
}
