import { apart } from "../core/ticks.js";
import { t } from "../core/translate.js";
import { element } from "./dom.js";

// Pixels of a letter of the bar's numbers; measuring it would have the page laid out at each step of a slider.
const LETTER = 7;

/** A colour bar with its numbers, as many as have room, and what else the colours of a picture mean. */
export class ColourBar {
  line = element("div");
  scale = element("span", "attn-legend-scale");
  bar = element("i");
  mark = element("u");
  numbers = element("span", "attn-legend-ticks");
  /** @type {Partial<Legend>} */
  content = {};
  width = Infinity;

  constructor() {
    this.mark.hidden = true;
    this.scale.append(this.mark, this.bar, this.numbers);
    this.resized = new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width === this.width || contentRect.width === 0) return;
      this.width = contentRect.width;
      this.draw();
    });
    this.resized.observe(this.scale);
  }

  /** @param {Partial<Legend>} content */
  show(content) {
    this.content = content;
    this.draw();
  }

  /** Marks a part of the bar. @param {?number} part from 0 to 1; null for none */
  point(part) {
    this.mark.hidden = part === null;
    if (part !== null) this.mark.style.left = `${100 * part}%`;
  }

  draw() {
    const { gradient, ticks, words, masked } = this.content;
    this.line.replaceChildren();
    if (!gradient || !ticks) return;
    this.line.className = "attn-legend"; // once there is one
    this.bar.style.background = gradient;
    const shown = apart(ticks, this.width, (text) => LETTER * text.length, 0.5).map(([part, text]) => {
      const number = element("span", "", text);
      number.style.left = `${part * 100}%`;
      return number;
    });
    this.numbers.replaceChildren(...shown);
    this.line.append(this.scale);
    if (masked) this.line.append(element("span", "attn-legend-masked", t("masked")));
    if (words) this.line.append(element("span", "attn-legend-words", words));
  }
}
