import { DRAWINGS } from "./drawings.js";
import "./bokeh_ways.js";
import "./image_colours.js";
import { keepStyles, repaint } from "./plot_styles.js";

// The explorer's Bokeh plots: found once, then written in place. Nothing written here is told to a server.

const UNTOLD = { sync: false };
// Pixels that a matrix and a row of bars surely have in width.
const NARROW = 220;
const WIDE = 640;
// Pixels that a bar's label of four letters takes.
const LABEL_WIDTH = 28;
// Microtasks in which Bokeh has surely taken in a source: it awaits each of a renderer's six glyphs a few times.
const TAKEN_IN = 200;
// Bokeh reads a colour's text twice for each of a renderer's six glyphs: for 512 bars some 5 ms a step.
const MANY_COLOURS = 64;

/** Every Bokeh model of the page that carries a CSS class, looked up once. */
export function modelsByClass(document) {
  const found = new Map();
  for (const model of document._all_models.values()) {
    for (const name of model.css_classes ?? []) {
      if (!found.has(name)) found.set(name, []);
      found.get(name).push(model);
    }
  }
  return found;
}

/** The plots of the explorer: their figures, mapper, boxes and sources by name. */
export function findPlots(document) {
  keepStyles();
  const plots = {};
  for (const name of Object.keys(DRAWINGS)) {
    const figure = document.get_model_by_name(`attn:plot:${name}`);
    const sources = {};
    let mapper = null;
    for (const renderer of figure.renderers) {
      const source = renderer.data_source;
      if (source?.name) sources[source.name] = source;
      mapper = renderer.glyph?.color_mapper ?? mapper;
    }
    const box = (kind) => figure.center.find((one) => one.name === kind) ?? null;
    plots[name] = { figure, sources, mapper, outline: box("attn:outline"), ground: box("attn:masked"), span: "" };
  }
  return plots;
}

/** Sets those properties that differ. */
export function setIfOther(model, target) {
  const differs = Object.entries(target).filter(([name, value]) => model[name] !== value);
  if (differs.length) model.setv(Object.fromEntries(differs), UNTOLD);
}

/**
 * Writes drawings into the plots that show them; each paints once, whatever changed.
 *
 * @param {Array<[object, object]>} pairs a plot of findPlots and its drawing
 * @param {Array<[object, Array<?number>]>} moves a plot that stays as it is, and where its outline goes
 * @param {object} look the colours of the page
 * @returns {Promise<void>} when they are painted, in the frame that called
 */
export async function applyDrawings(pairs, moves, look) {
  // All heights first: a new one lays the page out and paints every plot at once, which a plot whose sources
  // are half taken in does not survive.
  for (const [{ figure }, { height }] of pairs) if (height !== null) setIfOther(figure, { height });
  // Bokeh would ask for another frame, and with it for a second layout of the page.
  const views = [...pairs, ...moves].map(([plot]) => shownView(plot)).filter((view) => view !== null);
  for (const view of views) view.pause();
  try {
    for (const [plot, drawing] of pairs) applyDrawing(plot, drawing, look);
    for (const [plot, outline] of moves) moveOutline(plot, outline);
    for (let tick = 0; tick < TAKEN_IN; tick++) await null;
  } finally {
    for (const view of views) view.unpause(true);
    repaint(views);
  }
}

/** The view that shows a plot; null where it is not on the page, or was never painted. */
function shownView(plot) {
  if (!plot.view || plot.view.is_destroyed) {
    plot.view = globalThis.Bokeh.index.find_one(plot.figure);
    if (plot.view) restUnseen(plot.view);
  }
  return plot.view?.is_displayed && plot.view.has_finished() ? plot.view : null;
}

/**
 * Has the glyphs rest that are never seen: Bokeh has six for every renderer, of what is selected, not selected
 * or muted too, and gives each the new data and styles. Nothing is selected in the explorer's plots.
 */
function restUnseen(view) {
  const nothing = () => {};
  for (const { selection_glyph, nonselection_glyph, muted_glyph } of view.computed_renderer_views) {
    for (const glyph of [selection_glyph, nonselection_glyph, muted_glyph].filter(Boolean)) {
      Object.assign(glyph, { set_data: nothing, set_visuals: nothing, after_visuals: nothing, map_data: nothing });
    }
  }
}

function applyDrawing(plot, drawing, look) {
  const { figure, mapper } = plot;
  // Silently, and before the numbers: each would have the whole picture mapped to colours once more.
  if (mapper && drawing.colours) {
    const { low, high, palette } = drawing.colours;
    const other = !sameTexts(palette, plot.palette);
    mapper.setv({ low, high, ...(other ? { palette } : {}) }, { silent: true });
    if (other) plot.palette = palette;
  }
  for (const [name, columns] of Object.entries(drawing.sources)) {
    writeSource(plot.sources[name], name === "attn:row:labels" ? apart(columns, plot, drawing.x) : columns);
  }
  const span = JSON.stringify([drawing.x, drawing.y]);
  if (span !== plot.span) {
    for (const [range, [start, end]] of [[figure.x_range, drawing.x], [figure.y_range, drawing.y]]) {
      // The bounds first: a range is cut to the bounds it has when it is set.
      range.setv({ bounds: [Math.min(start, end), Math.max(start, end)] }, UNTOLD);
      range.setv({ start, end, reset_start: start, reset_end: end }, UNTOLD);
    }
    plot.span = span;
  }
  relabel(figure.below[0], drawing.xLabels, drawing.x, drawing.height === null ? NARROW : WIDE);
  relabel(figure.left[0], drawing.yLabels, drawing.y, 0);
  if (drawing.outline) moveOutline(plot, drawing.outline);
  if (plot.outline) setIfOther(plot.outline, { line_color: look.accent });
  if (plot.ground) {
    const { masked: fill_color, hatch: hatch_color } = look;
    setIfOther(plot.ground, { fill_color, hatch_color, visible: Boolean(drawing.masked) });
  }
}

/** Labels of bars without those that would lie over the label of a higher bar. */
function apart(columns, { view }, [start, end]) {
  const { width } = view?.frame?.bbox ?? { width: WIDE };
  const room = (LABEL_WIDTH * Math.abs(end - start)) / width;
  const { x, y } = columns;
  const kept = [];
  for (const at of [...x.keys()].sort((one, other) => y[other] - y[one])) {
    if (kept.every((other) => Math.abs(x[other] - x[at]) >= room)) kept.push(at);
  }
  kept.sort((one, other) => one - other);
  return Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name, values.constructor.from(kept, (at) => values[at])]),
  );
}

/** Colours "#rrggbb" as one number each, which Bokeh takes as they are. */
function packed(colours) {
  const { Uint32NDArray } = globalThis.Bokeh.require("core/util/ndarray");
  const opaque = (colour) => Number.parseInt(colour.slice(1), 16) * 256 + 255;
  return new Uint32NDArray(Uint32Array.from(colours, opaque), [colours.length]);
}

/** Puts columns into a source in place: nothing is sent anywhere, one repaint follows. */
function writeSource(source, columns) {
  const { rows, columns: wide, ...data } = columns;
  for (const [name, values] of Object.entries(data)) {
    if (name !== "image" && name !== "exact") {
      source.data[name] = name === "color" && values.length > MANY_COLOURS ? packed(values) : values;
      continue;
    }
    const old = source.data[name]?.[0] ?? source.data.image[0];
    if (source.data[name] && old.length === values[0].length && old.shape[0] === rows) old.set(values[0]);
    else source.data[name] = [new old.constructor(values[0], [rows, wide])];
  }
  if (!("exact" in data)) delete source.data.exact;
  source.change.emit();
}

/** Whether two lists hold the same texts; what comes from a Worker is a copy. */
function sameTexts(one, other) {
  return one === other || (one.length === other?.length && one.every((text, at) => text === other[at]));
}

function relabel(axis, labels, [start, end], room) {
  if (!labels || axis.labelled === labels) return;
  const old = axis.formatter.args.labels;
  axis.labelled = labels;
  if (sameTexts(labels, old)) return;
  axis.formatter.setv({ args: { labels } }, UNTOLD);
  const level = room > 0 && labels.length * (Math.max(...labels.map((label) => [...label].length)) * 7 + 8) <= room;
  if (room > 0) axis.setv({ major_label_orientation: level ? 0 : 1.1 }, UNTOLD);
  const length = Math.abs(end - start);
  axis.ticker.setv({ desired_num_ticks: length <= 24 ? 24 : 14 }, UNTOLD);
}

function moveOutline(plot, [left, right, first, last]) {
  if (!plot.outline) return;
  const sides = { top: last, bottom: first };
  if (left !== null) Object.assign(sides, { left, right });
  plot.outline.setv(sides, UNTOLD);
}
