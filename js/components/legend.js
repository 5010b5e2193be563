import { apart } from "../core/ticks.js";
import { element } from "./dom.js";

// Pixels of a letter of the bar's numbers; measuring it would have the page laid out at each step of a slider.
const LETTER = 7;

/**
 * A colour bar with its numbers, and what else the colours of a picture mean.
 *
 * @param {Props<{ content: Partial<Legend> }>} props
 */
export function render({ model }) {
  const line = element("div", "attn-legend");
  const scale = element("span", "attn-legend-scale");
  const bar = element("i");
  const numbers = element("span", "attn-legend-ticks");
  scale.append(bar, numbers);
  let width = Infinity;
  const draw = () => {
    const { gradient, ticks, words, masked } = model.content;
    line.replaceChildren();
    if (!gradient || !ticks) return;
    bar.style.background = gradient;
    const shown = apart(ticks, width, (text) => LETTER * text.length, 0.5).map(([part, text]) => {
      const number = element("span", "", text);
      number.style.left = `${part * 100}%`;
      return number;
    });
    numbers.replaceChildren(...shown);
    line.append(scale);
    if (masked) line.append(element("span", "attn-legend-masked", "masked"));
    if (words) line.append(element("span", "attn-legend-words", words));
  };
  const resized = new ResizeObserver(([entry]) => {
    if (entry.contentRect.width === width || entry.contentRect.width === 0) return;
    width = entry.contentRect.width;
    draw();
  });
  resized.observe(scale);
  model.on("content", draw);
  model.on("remove", () => resized.disconnect());
  draw();
  return line;
}
