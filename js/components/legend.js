import { colourBar } from "./colour_bar.js";
import { element } from "./dom.js";

/**
 * A colour bar with its numbers, and what else the colours of a picture mean.
 *
 * @param {Props<{ content: Partial<Legend> }>} props
 */
export function render({ model }) {
  const line = element("div", "attn-legend");
  const draw = () => {
    const { gradient, ticks, words, masked } = model.content;
    line.replaceChildren();
    if (!gradient || !ticks) return;
    line.append(colourBar({ gradient, ticks }));
    if (masked) line.append(element("span", "attn-legend-masked", "masked"));
    if (words) line.append(element("span", "attn-legend-words", words));
  };
  model.on("content", draw);
  draw();
  return line;
}
