// Asks Python for a file and saves it; says that it is being made until it comes.
import { pngBlob } from "./picture.js";
import { saveFile } from "./save_file.js";

/** Plots as they are shown now, by their names in the document: [name, PNG], in this order. */
function stills(document, names) {
  const plots = names.map((name) => document.get_model_by_name(name)).filter(Boolean);
  return Promise.all(
    plots.map(async (plot) => {
      const png = await pngBlob(document.views_manager.get_one(plot));
      return [plot.name, await png.arrayBuffer()];
    }),
  );
}

export function render({ model }) {
  const button = document.createElement("button");
  let press = 0;
  const show = (busy) => {
    button.textContent = busy ? `${model.label} …` : model.label;
    button.setAttribute("aria-busy", String(busy));
  };
  button.type = "button";
  button.className = "attn-plain-button";
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-busy") === "true") return; // one at a time
    show(true);
    press += 1;
    document.dispatchEvent(new Event("attn:tell")); // what Python has still to hear goes first
    // What can't be drawn stays out: the file comes all the same.
    model.send_msg({ press, pictures: await stills(model.document, model.pictures).catch(() => []) });
  });
  model.on("msg:custom", (data) => {
    // Two windows may show one document: each takes what it asked for itself.
    if (data.press !== press || button.getAttribute("aria-busy") !== "true") return;
    show(false);
    if (data.content) saveFile(data.content, model.filename, "application/octet-stream");
  });
  model.on("label", () => show(false));
  show(false);
  return button;
}
