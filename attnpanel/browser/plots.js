import { DRAWINGS } from "./drawings.js";

// The explorer's Bokeh plots: found once, then written in place. Nothing written here is told to a server.

const UNTOLD = { sync: false };
// Pixels that a matrix and a row of bars surely have in width.
const NARROW = 220;
const WIDE = 640;

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
 * @param {object} look the colours of the page
 */
export function applyDrawings(pairs, look) {
  // All heights first: a new one lays the page out and paints every plot at once, which a plot whose sources
  // are half taken in does not survive.
  for (const [{ figure }, { height }] of pairs) if (height !== null) setIfOther(figure, { height });
  for (const [plot, drawing] of pairs) applyDrawing(plot, drawing, look);
}

function applyDrawing(plot, drawing, look) {
  const { figure, mapper } = plot;
  // Silently, and before the numbers: each would have the whole picture mapped to colours once more.
  if (mapper && drawing.colours) {
    const { low, high, palette } = drawing.colours;
    mapper.setv({ low, high, ...(plot.palette === palette ? {} : { palette }) }, { silent: true });
    plot.palette = palette;
  }
  for (const [name, columns] of Object.entries(drawing.sources)) writeSource(plot.sources[name], columns);
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

/** Puts columns into a source in place: nothing is sent anywhere, one repaint follows. */
function writeSource(source, columns) {
  const { rows, columns: wide, ...data } = columns;
  for (const [name, values] of Object.entries(data)) {
    if (name !== "image" && name !== "exact") {
      source.data[name] = values;
      continue;
    }
    const old = source.data[name]?.[0] ?? source.data.image[0];
    if (source.data[name] && old.length === values[0].length && old.shape[0] === rows) old.set(values[0]);
    else source.data[name] = [new old.constructor(values[0], [rows, wide])];
  }
  if (!("exact" in data)) delete source.data.exact;
  source.change.emit();
}

function relabel(axis, labels, [start, end], room) {
  if (!labels || axis.labelled === labels) return;
  const old = axis.formatter.args.labels;
  axis.labelled = labels;
  if (old.length === labels.length && old.every((label, i) => label === labels[i])) return;
  axis.formatter.setv({ args: { labels } }, UNTOLD);
  const level = room > 0 && labels.length * (Math.max(...labels.map((label) => [...label].length)) * 7 + 8) <= room;
  if (room > 0) axis.setv({ major_label_orientation: level ? 0 : 1.1 }, UNTOLD);
  const length = Math.abs(end - start);
  axis.ticker.setv({ desired_num_ticks: length <= 24 ? 24 : 14 }, UNTOLD);
}

export function moveOutline(plot, [left, right, first, last]) {
  if (!plot.outline) return;
  const sides = { top: last, bottom: first };
  if (left !== null) Object.assign(sides, { left, right });
  plot.outline.setv(sides, UNTOLD);
}
