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
    const scale = element("span", "attn-legend-scale");
    const bar = element("i");
    bar.style.background = gradient;
    const numbers = element("span", "attn-legend-ticks");
    for (const [part, text] of ticks) {
      const number = element("span", "", text);
      number.style.left = `${part * 100}%`;
      numbers.append(number);
    }
    scale.append(bar, numbers);
    line.append(scale);
    if (masked) line.append(element("span", "attn-legend-masked", "masked"));
    if (words) line.append(element("span", "attn-legend-words", words));
  };
  model.on("content", draw);
  draw();
  return line;
}
