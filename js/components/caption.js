import { announce } from "./announce.js";
import { element } from "./dom.js";
import { withSymbols } from "./words.js";

// Tones whose texts come without having been asked for.
const URGENT = ["busy", "error"];

/**
 * A title or caption with an optional lighter subtitle; texts are never markup.
 *
 * @param {Props<{ text: string, subtitle: string, hint: string, tone: string, heading: boolean, live: boolean }>} props
 */
export function render({ model }) {
  const line = document.createElement(model.heading ? "h2" : "p");
  line.className = `attn-caption ${model.tone}`;
  let told = "";
  const draw = () => {
    const main = element("span");
    const subtitle = element("small");
    main.textContent = model.text;
    subtitle.append(...withSymbols(model.subtitle));
    if (model.hint) subtitle.append(element("span", "attn-hint", ` · ${model.hint}`));
    line.className = `attn-caption ${model.tone}`;
    line.hidden = model.text === "" && model.subtitle === "";
    if ((model.live || URGENT.includes(model.tone)) && model.text !== told) announce(model.text);
    told = model.text;
    line.replaceChildren(main, " ", subtitle);
  };
  model.on(["text", "subtitle", "hint", "tone"], draw);
  draw();
  return line;
}
