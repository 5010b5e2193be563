// Saves one plot as a picture, as it is shown now: what the toolbar's buttons do (see driver.py).
import { ground, pngBlob } from "./picture.js";

/** Which layer and head is shown, as the page itself says it; the nearest page part that does. */
function place(view) {
  for (let around = view; around; around = around.parent) {
    const waiting = [around];
    for (const one of waiting) {
      if (one.model.css_classes?.includes("attn-words-row")) return one.model.data.aside.split(" · ")[0];
      waiting.push(...(one.child_views ?? []));
    }
  }
  return "";
}

/** A file name's part: letters and digits, whatever the words hold. */
const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

function svgBlob(view, title) {
  const svg = view.export("svg", false).ctx.get_svg().cloneNode(true);
  const make = (name) => svg.ownerDocument.createElementNS(svg.namespaceURI, name);
  const words = make("title");
  words.textContent = title;
  const back = make("rect");
  for (const [name, value] of Object.entries({ width: "100%", height: "100%", fill: ground(view) })) {
    back.setAttribute(name, value);
  }
  svg.prepend(words, back);
  // A heatmap is an image of one pixel a cell: cells are squares, not a blur.
  for (const image of svg.querySelectorAll("image")) image.setAttribute("style", "image-rendering: pixelated");
  return new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" });
}

export default async (_args, tool, _data, { index }) => {
  const plot = [...tool.document._all_models.values()].find((model) => model.toolbar?.tools?.includes(tool));
  const view = index.find_one(plot);
  const [format, name] = [tool.name, plot.name.replace("attn:plot:", "")];
  const where = place(view);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (format === "svg" ? svgBlob(view, `${name}, ${where}`) : pngBlob(view)));
  link.download = `attnpanel-${[name, where].map(slug).filter(Boolean).join("-")}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
