// Plots as a figure of its own: what they show, and where it comes from, read from the page around them.
import { t } from "../core/translate.js";
import { figureSvg } from "./figure_svg.js";
import { ground } from "./snapshot.js";

const MARGIN = 6; // CSS pixels above a frame, for half a line of text

/**
 * The data of the nearest component with a CSS class: in the plot's own card, else around it; null if there is none.
 *
 * @param {?BokehView} view
 * @param {string} css
 * @returns {any}
 */
function nearest(view, css) {
  for (let around = view; around; around = around.parent) {
    const waiting = [around];
    for (const candidate of waiting) {
      if (candidate.model.css_classes?.includes(css)) return candidate.model.data;
      waiting.push(...(candidate.child_views ?? []));
    }
  }
  return null;
}

// How js/explorer/labels.js begins a place.
const LAYER = new RegExp(`^${t("layer {number}", { number: "\\d+" })}`);

/**
 * The layer and head in the plot's caption, else in the nearest one of the row; empty if there is none.
 *
 * @param {BokehView} view
 * @returns {string}
 */
export const place = (view) => {
  const subtitles = [nameOf(view.model), "row"].map((name) => nearest(view, `attn-caption-${name}`)?.subtitle ?? "");
  const parts = subtitles.flatMap((/** @type {string} */ text) => text.split(" · "));
  return parts.find((part) => LAYER.test(part)) ?? "";
};

/** @param {BokehView} view @returns {SVGElement} */
export function exported(view) {
  const svg = view.export("svg", false).ctx.get_svg().cloneNode(true);
  // Bokeh clears its canvas in white, whatever the theme.
  svg.querySelector(":scope > rect[x='-1'][y='-1']")?.remove();
  // A heatmap is an image of one pixel a cell, which must not be smoothed.
  for (const image of svg.querySelectorAll("image")) image.setAttribute("style", "image-rendering: pixelated");
  return svg;
}

/** @param {BokehModel} plot */
export const nameOf = (plot) => String(plot.name).replace("attn:plot:", "");

/**
 * One plot of a figure.
 *
 * @param {BokehView} view
 * @returns {import("./figure_svg.js").FigurePart}
 */
function partOf(view) {
  const name = nameOf(view.model);
  const svg = exported(view);
  const [width, height] = ["width", "height"].map((side) => Number(svg.getAttribute(side)));
  const { left, right, top, bottom } = view.frame.bbox;
  /** @type {BokehModel | undefined} */
  const saver = view.model.toolbar.tools.find((/** @type {BokehModel} */ tool) => tool.name === "figure");
  const axes = saver?.tags?.length === 2 ? saver.tags : ["", ""];
  /** @param {number} at @param {BokehModel[]} drawn @param {BokehModel} range @returns {?import("./figure_svg.js").Ends} */
  const unlabelled = (at, drawn, { start, end }) => (axes[at] && !drawn.some(({ visible }) => visible) ? [start, end] : null);
  return {
    svg: new XMLSerializer().serializeToString(svg),
    width,
    height,
    frame: { left, right, top, bottom },
    // Above the frame the toolbar had its place.
    cut: view.model.above.some((/** @type {BokehModel} */ part) => part.axis_label !== undefined && part.visible) ? 0 : Math.max(0, top - MARGIN),
    heading: nearest(view, `attn-caption-${name}`)?.text ?? name,
    axes,
    unlabelled: [unlabelled(0, view.model.below, view.model.x_range), unlabelled(1, view.model.left, view.model.y_range)],
    legend: nearest(view, `attn-legend-${name}`)?.content ?? {},
  };
}

/**
 * The plots of the three steps, if the plot is one of them; else nothing.
 *
 * @param {BokehView} view
 * @returns {BokehView[]}
 */
export function stepsAround(view) {
  for (let around = view.parent; around; around = around.parent) {
    if (!around.model.css_classes?.includes("attn-steps")) continue;
    const waiting = [around];
    for (const candidate of waiting) waiting.push(...(candidate.child_views ?? []));
    return waiting.filter(({ model }) => String(model.name).startsWith("attn:plot:"));
  }
  return [];
}

/** @param {BokehView} view @returns {import("./figure_svg.js").FigureColours} */
function coloursOf(view) {
  const style = getComputedStyle(view.el);
  /** @param {string} name @param {string} otherwise */
  const colour = (name, otherwise) => style.getPropertyValue(`--attn-${name}`).trim() || otherwise;
  return {
    ground: ground(view),
    ink: colour("ink", "#1b2130"),
    muted: colour("muted", "#667085"),
    masked: colour("masked", "#ececec"),
    hatch: colour("muted", "#667085"),
  };
}

/**
 * The figure of some plots, as it will be saved.
 *
 * @param {BokehView[]} views
 * @returns {{text: string, width: number, height: number}}
 */
export function figureOf(views) {
  const parts = views.map(partOf);
  const headings = parts.map(({ heading }) => heading);
  const scope = /** @type {Record<string, string>} */ ({ grid: "all", lines: "layer" })[nameOf(views[0].model)] ?? "head";
  const where = scope === "all" ? "" : place(views[0]);
  const title = where ? `${where[0].toUpperCase()}${where.slice(1)}: ${headings.join(", ")}` : headings.join(", ");
  const caption = nearest(views[0], "attn-caption-provenance")?.about?.[scope] ?? "";
  const context = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
  const name = [...views.map(({ model }) => nameOf(model)), where].filter(Boolean).join(", ");
  return figureSvg(parts, { name, title, caption, colours: coloursOf(views[0]) }, (text, font) => {
    context.font = font;
    return context.measureText(text).width;
  });
}
