import { ColourBar } from "./colour_bar.js";

/**
 * The colour bar of a plot.
 *
 * @param {Props<{ content: Partial<Legend> }>} props
 */
export function render({ model }) {
  const bar = new ColourBar();
  const draw = () => bar.show(model.content);
  model.on("content", draw);
  model.on("remove", () => bar.resized.disconnect());
  bar.line.className = "attn-legend";
  draw();
  return bar.line;
}
