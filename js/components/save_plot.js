// Saves one plot as an image; the callback of the toolbar's buttons (see figures.py).
import { ground, pngBlob } from "./snapshot.js";

/**
 * The layer and head in the nearest caption of the row; empty if there is none.
 *
 * @param {?BokehView} view
 * @returns {string}
 */
function place(view) {
  for (let around = view; around; around = around.parent) {
    const waiting = [around];
    for (const candidate of waiting) {
      if (candidate.model.css_classes?.includes("attn-caption-row")) return candidate.model.data.subtitle.split(" · ")[0];
      waiting.push(...(candidate.child_views ?? []));
    }
  }
  return "";
}

/**
 * A part of a file name: letters, digits and hyphens only.
 *
 * @param {string} text
 */
const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

/** @param {BokehView} view @param {string} title */
function svgBlob(view, title) {
  const svg = view.export("svg", false).ctx.get_svg().cloneNode(true);
  /** @param {string} name */
  const make = (name) => svg.ownerDocument.createElementNS(svg.namespaceURI, name);
  const words = make("title");
  words.textContent = title;
  const back = make("rect");
  for (const [name, value] of Object.entries({ width: "100%", height: "100%", fill: ground(view) })) {
    back.setAttribute(name, value);
  }
  svg.prepend(words, back);
  // A heatmap is an image of one pixel a cell, which must not be smoothed.
  for (const image of svg.querySelectorAll("image")) image.setAttribute("style", "image-rendering: pixelated");
  return new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" });
}

/** @param {unknown} _args @param {BokehModel} tool @param {unknown} _data @param {{index: BokehIndex}} page */
export default async (_args, tool, _data, { index }) => {
  const plot = [...tool.document._all_models.values()].find((model) => model.toolbar?.tools?.includes(tool));
  const view = index.find_one(plot);
  if (!plot || !view) return;
  const [format, name] = [tool.name, String(plot.name).replace("attn:plot:", "")];
  const where = place(view);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (format === "svg" ? svgBlob(view, `${name}, ${where}`) : pngBlob(view)));
  link.download = `attnpanel-${[name, where].map(slug).filter(Boolean).join("-")}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
