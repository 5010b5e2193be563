// Requests a file from Python and saves it; shows that it is busy meanwhile.
import { CSS_DPI, pngOf } from "./figure_png.js";
import { figureOf, stepsAround } from "./plot_figure.js";
import { saveFile } from "./save_file.js";

const DPI = 2 * CSS_DPI; // as sharp as a screen of two pixels a CSS pixel

/**
 * Figures of plots, by their names in the document: [name, PNG], in this order. That of the scores has all three steps.
 *
 * @param {BokehDocument} document
 * @param {string[]} names
 */
function snapshots(document, names) {
  const plots = names.map((name) => document.get_model_by_name(name)).filter((plot) => plot !== null);
  return Promise.all(
    plots.map(async (plot) => {
      const view = document.views_manager.get_one(plot);
      const views = plot.name === "attn:plot:scores" ? stepsAround(view) : [view];
      const png = await pngOf(figureOf(views), DPI);
      return [plot.name, png.buffer];
    }),
  );
}

/** @param {Props<{ label: string, filename: string, plots: string[], strong: boolean }>} props */
export function render({ model }) {
  const button = document.createElement("button");
  let press = 0;
  /** @param {boolean} busy */
  const show = (busy) => {
    button.textContent = busy ? `${model.label} …` : model.label;
    button.setAttribute("aria-busy", String(busy));
  };
  button.type = "button";
  button.className = `attn-plain-button ${model.strong ? "attn-strong" : "attn-icon-download"}`;
  button.title = model.label;
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-busy") === "true") return; // one at a time
    show(true);
    press += 1;
    document.dispatchEvent(new Event("attn:send-state")); // so that Python has the current state
    if (model.strong) model.send_msg({ press, plots: [] }); // its answer is awaited; the figures follow
    // Without snapshots if they can't be made: the file is saved all the same.
    model.send_msg({ press, plots: await snapshots(model.document, model.plots).catch(() => []), late: model.strong });
  });
  model.on("msg:custom", (data) => {
    // Two windows may show one document: each saves only what it requested itself.
    if (data.press !== press || button.getAttribute("aria-busy") !== "true") return;
    show(false);
    if (data.content) saveFile(data.content, model.filename, "application/octet-stream");
  });
  model.on("label", () => show(false));
  show(false);
  return button;
}
