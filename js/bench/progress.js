import { t } from "../core/translate.js";
import { element } from "../components/dom.js";

// Progress of a run: a bar, the current step, and the remaining time.

/** @param {Props<{ done: number, total: number, text: string }>} props */
export function render({ model }) {
  const box = element("div", "bench-progress");
  const bar = element("progress");
  bar.setAttribute("aria-label", t("How far the run is"));
  const words = element("p", "attn-caption");
  const draw = () => {
    box.hidden = model.total === 0 && model.text === "";
    bar.hidden = model.total === 0;
    bar.max = Math.max(1, model.total);
    bar.value = Math.min(model.done, model.total);
    words.textContent = model.text;
  };
  box.append(bar, words);
  model.on(["done", "total", "text"], draw);
  draw();
  return box;
}
