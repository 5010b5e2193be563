import { ColourBar } from "./colour_bar.js";

/**
 * The colour bar of a plot.
 *
 * @param {Props<{ content: Partial<Legend>, mark: ?number }>} props
 */
export function render({ model }) {
  const bar = new ColourBar();
  const draw = () => bar.show(model.content);
  const point = () => bar.point(model.mark);
  model.on("content", draw);
  model.on("mark", point);
  model.on("remove", () => bar.resized.disconnect());
  bar.line.className = "attn-legend";
  draw();
  point();
  return bar.line;
}
