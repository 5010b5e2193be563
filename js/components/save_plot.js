// Saves one plot as an image, or as a figure of its own; the callback of the toolbar's buttons (see figures.py).
import { openFigureDialog } from "./figure_dialog.js";
import { exported, figureOf, nameOf, place, stepsAround } from "./plot_figure.js";
import { saveFile } from "./save_file.js";
import { ground, pngBlob } from "./snapshot.js";

/**
 * A part of a file name: letters, digits and hyphens only.
 *
 * @param {string} text
 */
const slug = (text) => text.normalize("NFD").replace(/\p{Mn}/gu, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

/** @param {BokehView} view @param {string} title */
function svgBlob(view, title) {
  const svg = exported(view);
  /** @param {string} name */
  const make = (name) => svg.ownerDocument.createElementNS(/** @type {string} */ (svg.namespaceURI), name);
  const words = make("title");
  words.textContent = title;
  const back = make("rect");
  for (const [name, value] of Object.entries({ width: "100%", height: "100%", fill: ground(view) })) {
    back.setAttribute(name, value);
  }
  svg.prepend(words, back);
  return new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" });
}

/** @param {unknown} _args @param {BokehModel} tool @param {unknown} _data @param {{index: BokehIndex}} page */
export default async (_args, tool, _data, { index }) => {
  const plot = [...tool.document._all_models.values()].find((model) => model.toolbar?.tools?.includes(tool));
  const view = index.find_one(plot);
  if (!plot || !view) return;
  const [format, name] = [tool.name, nameOf(plot)];
  const where = place(view);
  const file = `attnpanel-${[name, where].map(slug).filter(Boolean).join("-")}`;
  if (format === "figure") {
    const steps = stepsAround(view);
    /** @param {boolean} several */
    const make = (several) => figureOf(several ? steps : [view]);
    openFigureDialog(view.el.shadowRoot ?? view.el, file, [`${name}, ${where}`, make], steps.length > 1);
    return;
  }
  const blob = await (format === "svg" ? svgBlob(view, `${name}, ${where}`) : pngBlob(view));
  saveFile(blob, `${file}.${format}`, blob.type);
};
