import { element } from "./dom.js";

/**
 * A colour bar with its numbers.
 *
 * @param {Pick<Legend, "gradient" | "ticks">} legend
 */
export function colourBar({ gradient, ticks }) {
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
  return scale;
}
