import { nameFigure } from "../bokeh_patches/accessible_names.js";
import "../bokeh_patches/canvas_edges.js";
import "../bokeh_patches/component_resize.js";
import "../bokeh_patches/image_mapper.js";
import "../bokeh_patches/number_bounds.js";
import { repaint } from "../bokeh_patches/style_cache.js";
import { restUnused } from "../bokeh_patches/unused_glyphs.js";
import { keepOnPage, modelNamed } from "../core/scope.js";
import { moveOutline, moveRings, setIfOther } from "./boxes.js";
import { frameHeight } from "./frame_height.js";

// Finds the explorer's Bokeh plots once and updates them in place, without sending changes to Python.

// Pixels of a plot's width before it is laid out.
const WIDE = 640;
// Pixels that one line of labels takes, and a letter of a label.
const LINE = 13;
const LETTER = 7;
// Pixels between labels of rows and what is beside them.
const GUTTER = 8;
// Pixels that a bar's label of four letters takes.
const LABEL_WIDTH = 28;
// Number of microtasks after which Bokeh has processed a source: it awaits each of a renderer's six glyphs a few times.
const TAKEN_IN = 200;
// Bokeh parses a colour string twice for each of a renderer's six glyphs: some 5 ms a step for 512 bars.
const MANY_COLOURS = 64;

/**
 * Models by each of their CSS classes.
 *
 * @param {Iterable<BokehModel>} models
 * @returns {Map<string, BokehModel[]>}
 */
export function modelsByClass(models) {
  const found = new Map();
  for (const model of models) {
    for (const name of model.css_classes ?? []) {
      if (!found.has(name)) found.set(name, []);
      found.get(name).push(model);
    }
  }
  return found;
}

/**
 * Plots by name: their figures, mapper, boxes and sources.
 *
 * @param {BokehModel[]} models those of one explorer
 * @param {string[]} names
 */
export function findPlots(models, names) {
  /** @type {Record<string, Plot>} */
  const plots = {};
  for (const name of names) {
    const figure = modelNamed(models, `attn:plot:${name}`);
    if (!figure) throw new Error(`the page has no plot ${name}`);
    keepOnPage(figure.references());
    /** @type {Record<string, BokehModel>} */
    const sources = {};
    let mapper = null;
    for (const renderer of figure.renderers) {
      const source = renderer.data_source;
      if (source?.name) sources[source.name] = source;
      mapper = renderer.glyph?.color_mapper ?? mapper;
    }
    /** @param {string} kind */
    const box = (kind) => figure.center.find((/** @type {BokehModel} */ one) => one.name === kind) ?? null;
    const rings = figure.center.filter((/** @type {BokehModel} */ one) => one.name === "attn:ring");
    plots[name] = { figure, sources, mapper, outline: box("attn:outline"), rings, ground: box("attn:masked"), span: "" };
  }
  return plots;
}

/**
 * Writes drawings into their plots; each plot paints once.
 *
 * @param {[Plot, Drawing][]} pairs a plot of findPlots and its drawing
 * @param {[Plot, (number | null)[]][]} moves a plot whose data stays, and its new outline
 * @param {Theme} theme the colours of the page
 * @param {import("./boxes.js").Rings} [rings]
 * @returns {Promise<void>} resolves when they are painted, in the current frame
 */
export async function applyDrawings(pairs, moves, theme, rings = () => []) {
  // All heights first: a new height triggers a layout and paints every plot at once, and a plot that Bokeh has
  // updated only in part throws.
  const frame_height = frameHeight();
  for (const [{ figure }, { height }] of pairs) setIfOther(figure, height === null ? { frame_height } : { height });
  // Bokeh would request another frame, with a second layout of the page.
  const views = [...pairs, ...moves].map(([plot]) => shownView(plot)).filter((view) => view !== null);
  for (const view of views) view.pause();
  try {
    for (const [plot, drawing] of pairs) applyDrawing(plot, drawing, theme);
    for (const [plot, outline] of moves) moveOutline(plot, outline);
    moveRings(rings(), theme);
    for (let tick = 0; tick < TAKEN_IN; tick++) await null;
  } finally {
    for (const view of views) view.unpause(true);
    repaint(views);
  }
  for (const view of views) keepFrame(view);
  for (const view of views) tellFrame(view);
}

/**
 * Gives plots of which one stands below another, or beside, the same room for the labels of their rows.
 *
 * @param {[Plot, Drawing][]} pairs
 */
export function shareGutter(pairs) {
  const gutter = Math.ceil(Math.max(...pairs.map(([{ figure }, { yLabels }]) => widthOf(yLabels ?? [], figure.left[0])))) + GUTTER;
  for (const [{ figure }] of pairs) setIfOther(figure, { min_border_left: gutter });
}

/** @type {WeakMap<string[], number>} */
const WIDTHS = new WeakMap();
/** @type {?OffscreenCanvasRenderingContext2D} */
let measuring = null;

/**
 * Pixels of the widest label of an axis; equal labels of the page are one array.
 *
 * @param {string[]} labels
 * @param {BokehModel} axis
 */
function widthOf(labels, axis) {
  let width = WIDTHS.get(labels);
  if (width === undefined) {
    measuring ??= /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(1, 1).getContext("2d"));
    measuring.font = `${axis.major_label_text_font_size} ${axis.major_label_text_font}`;
    width = 0;
    for (const label of labels) width = Math.max(width, measuring.measureText(label).width);
    WIDTHS.set(labels, width);
  }
  return width;
}

/**
 * Has a plot laid out anew whose labels, which have turned, have taken pixels from its frame.
 *
 * @param {BokehView} view
 */
function keepFrame(view) {
  const { frame_height: wanted, inner_height: is } = view.model;
  if (wanted && Math.abs(wanted - is) > 1) view.invalidate_layout();
}

/**
 * Tells the styles around a plot where its frame begins, so that its colour bar begins there too.
 *
 * @param {BokehView} view
 */
function tellFrame(view) {
  const left = `${Math.round(view.frame.bbox.left)}px`;
  if (view.told_left === left) return;
  view.told_left = left;
  (view.parent?.parent ?? view.parent)?.el.style.setProperty("--frame-left", left);
}

/**
 * The view of a plot; null if it is not on the page or was never painted.
 *
 * @param {Plot} plot
 */
function shownView(plot) {
  const view = viewOf(plot);
  return view?.is_displayed && view.has_finished() ? view : null;
}

/**
 * The view of a plot; null if it is not on the page. Kept: Bokeh looks through all views of the page.
 *
 * @param {Plot} plot
 */
function viewOf(plot) {
  if (!plot.view || plot.view.is_destroyed) {
    plot.view = globalThis.Bokeh.index.find_one(plot.figure);
    if (plot.view) {
      restUnused(plot.view);
      keepThin(plot.figure, plot.view);
    }
  }
  return plot.view;
}

/**
 * Gives plots their names for those who hear a page.
 *
 * @param {Record<string, Plot>} plots
 * @param {Record<string, string>} names by the plot's name
 */
export function namePlots(plots, names) {
  for (const [name, text] of Object.entries(names)) {
    const view = plots[name] && viewOf(plots[name]);
    if (view) nameFigure(view, text);
  }
}

/** @param {Plot} plot @param {Drawing} drawing @param {Theme} theme */
function applyDrawing(plot, drawing, theme) {
  const { figure, mapper } = plot;
  // Silently, and before the data: each change would map the whole image to colours again.
  if (mapper && drawing.colours) {
    const { low, high, palette } = drawing.colours;
    const other = !sameTexts(palette, plot.palette);
    mapper.setv({ low, high, ...(other ? { palette } : {}) }, { silent: true });
    if (other) plot.palette = palette;
  }
  for (const [name, columns] of Object.entries(drawing.sources)) {
    writeSource(plot.sources[name], name.endsWith(":labels") ? apart(columns, plot, drawing.x) : columns);
  }
  const span = JSON.stringify([drawing.x, drawing.y]);
  if (span !== plot.span) {
    for (const [range, [start, end]] of [[figure.x_range, drawing.x], [figure.y_range, drawing.y]]) {
      // Bounds first: Bokeh clips a new range to the current bounds.
      range.setv({ bounds: [Math.min(start, end), Math.max(start, end)] });
      range.setv({ start, end, reset_start: start, reset_end: end });
    }
    plot.span = span;
  }
  const [across, down] = [acrossAxis(figure), figure.left[0]];
  relabel(across, drawing.xLabels);
  relabel(down, drawing.yLabels);
  markTicks(across, drawing.xTicks);
  markTicks(down, drawing.yTicks);
  thinLabels(figure);
  if (drawing.outline) moveOutline(plot, drawing.outline);
  if (plot.outline) setIfOther(plot.outline, { line_color: theme.accent });
  if (plot.ground) {
    const { masked: fill_color, hatch: hatch_color } = theme;
    setIfOther(plot.ground, { fill_color, hatch_color, visible: Boolean(drawing.masked) });
  }
}

/**
 * Removes labels of bars that would overlap the label of a higher bar.
 *
 * @param {Columns} columns
 * @param {Plot} plot
 * @param {number[]} ends
 */
function apart(columns, { view }, [start, end]) {
  const width = view?.frame?.bbox.width || WIDE;
  const room = (LABEL_WIDTH * Math.abs(end - start)) / width;
  const { x, y } = columns;
  /** @type {number[]} */
  const kept = [];
  for (const at of [...x.keys()].sort((one, other) => y[other] - y[one])) {
    if (kept.every((other) => Math.abs(x[other] - x[at]) >= room)) kept.push(at);
  }
  kept.sort((one, other) => one - other);
  return Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name, values.constructor.from(kept, (/** @type {number} */ at) => values[at])]),
  );
}

/**
 * Converts colours "#rrggbb" to numbers, which Bokeh uses without parsing.
 *
 * @param {string[]} colours
 */
function packed(colours) {
  const { Uint32NDArray } = globalThis.Bokeh.require("core/util/ndarray");
  /** @param {string} colour */
  const opaque = (colour) => Number.parseInt(colour.slice(1), 16) * 256 + 255;
  return new Uint32NDArray(Uint32Array.from(colours, opaque), [colours.length]);
}

/**
 * Replaces the columns of a source in place: no message to Python, and one repaint.
 *
 * @param {BokehModel} source
 * @param {Columns} columns
 */
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

/**
 * Whether two lists are equal; lists from a Worker are copies.
 *
 * @param {string[]} one
 * @param {string[] | undefined} other
 */
function sameTexts(one, other) {
  return one === other || (one.length === other?.length && one.every((text, at) => text === other[at]));
}

/** @param {BokehModel} figure @returns {BokehModel} */
function acrossAxis(figure) {
  return figure.below[0] ?? figure.above[0];
}

/** @typedef {BokehModel & {labelled?: ?string[], longest?: number}} LabelledAxis */

/**
 * @param {LabelledAxis} axis
 * @param {?string[]} labels
 */
function relabel(axis, labels) {
  if (!labels || axis.labelled === labels) return;
  axis.labelled = labels;
  axis.longest = labels.reduce((longest, label) => Math.max(longest, [...label].length), 0);
  if (!sameTexts(labels, axis.formatter.args.labels)) axis.formatter.setv({ args: { labels } });
}

/**
 * @param {BokehModel} axis
 * @param {?Tick[]} [ticks]
 */
function markTicks(axis, ticks) {
  if (!ticks || String(ticks) === axis.ticked) return;
  axis.ticked = String(ticks);
  axis.setv({ major_label_overrides: new Map(ticks) });
  axis.ticker.setv({ ticks: ticks.map(([position]) => position) });
}

/**
 * Leaves out labels for which there is no room: by the plot's pixels, so that a wider or a zoomed one has more.
 *
 * @param {BokehModel} figure as it is laid out now
 */
export function thinLabels(figure) {
  const { x_range, y_range, inner_width, inner_height } = figure;
  /** @type {[LabelledAxis, BokehModel, number][]} */
  const axes = [[acrossAxis(figure), x_range, inner_width], [figure.left[0], y_range, inner_height]];
  for (const [axis, range, pixels] of axes) {
    if (!axis.labelled || !(pixels > 0)) continue;
    const span = Math.abs(range.end - range.start);
    if (range === x_range) {
      const level = span * ((axis.longest ?? 0) * LETTER + 8) <= pixels;
      setIfOther(axis, { major_label_orientation: level ? 0 : 1.1 });
    }
    setIfOther(axis.ticker, { min_interval: labelStep((span * LINE) / pixels) });
  }
}

/**
 * Thins a plot's labels anew when it is zoomed or gets another size.
 *
 * @param {BokehModel} figure
 * @param {BokehView} view
 */
function keepThin(figure, view) {
  const thin = () => thinLabels(figure);
  const follow = () => {
    if (view.is_destroyed) removeEventListener("resize", follow);
    else setIfOther(figure, { frame_height: frameHeight() });
  };
  if (figure.frame_height !== null) addEventListener("resize", follow);
  for (const range of [figure.x_range, figure.y_range]) range.change.connect(thin);
  // Bokeh says nothing of a frame's new size, which it has by the frame after.
  const laidOut = () => {
    thin();
    tellFrame(view);
  };
  const later = () => requestAnimationFrame(() => requestAnimationFrame(laidOut));
  new ResizeObserver(later).observe(view.el);
}

/**
 * The smallest of 1, 2, 5, 10, 20, … tokens from one label to the next.
 *
 * @param {number} least
 */
export function labelStep(least) {
  for (let power = 1; ; power *= 10) {
    const step = [1, 2, 5].find((digit) => digit * power >= least);
    if (step !== undefined) return step * power;
  }
}
