// Asks Python for a file and saves it; says that it is being made until it comes.
import { saveFile } from "./save_file.js";

export function render({ model }) {
  const button = document.createElement("button");
  let press = 0;
  const show = (busy) => {
    button.textContent = busy ? `${model.label} …` : model.label;
    button.setAttribute("aria-busy", String(busy));
  };
  button.type = "button";
  button.className = "attn-plain-button";
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-busy") === "true") return; // one at a time
    show(true);
    model.send_msg({ press: ++press });
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
