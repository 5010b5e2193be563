// What Bokeh does with the page's styles while it paints. It writes where each renderer is into a style sheet
// of its own and reads colours between, so that the page's styles would be worked out a dozen times a step.

// Milliseconds after the last paint when the renderers' places are written: nothing is shown there.
const PLACES_WAIT_MS = 150;

let painting = null;
let waits = null;
const unwritten = new Map();

/** Has Bokeh's style sheets and colours go through here; once a page. */
export function keepStyles() {
  const { prototype: sheet } = globalThis.Bokeh.require("core/dom").InlineStyleSheet;
  const { prototype: visual } = globalThis.Bokeh.require("core/visuals/visual").VisualProperties;
  const { _update: write } = sheet;
  const { _get_css_value: read } = visual;
  if (typeof write !== "function" || typeof read !== "function" || write.name === "writeOther") return;
  sheet._update = function writeOther(css) {
    unwritten.delete(this);
    if (this.el.textContent === css) return;
    // The element of a renderer is empty: where it is can wait, what is in the flow of the page can not.
    if (painting && css.includes("position: absolute")) unwritten.set(this, () => write.call(this, css));
    else write.call(this, css);
  };
  visual._get_css_value = function readOnce(name) {
    if (!painting) return read.call(this, name);
    if (this.kept_under !== painting) {
      this.kept_under = painting;
      this.kept = {};
    }
    return (this.kept[name] ??= read.call(this, name));
  };
}

/** Paints plots, with the styles that they were first painted with under the same classes. */
export function repaint(views) {
  try {
    for (const view of views) {
      painting = classesAround(view);
      view.repaint();
    }
  } finally {
    painting = null;
  }
  clearTimeout(waits);
  if (unwritten.size) waits = setTimeout(writePlaces, PLACES_WAIT_MS);
}

/** The classes of a view and all around it: the page's look is one of them. */
function classesAround(view) {
  let classes = "";
  for (let at = view; at; at = at.parent) classes += ` ${at.el.className}`;
  return classes;
}

function writePlaces() {
  for (const write of [...unwritten.values()]) write();
  unwritten.clear();
}
