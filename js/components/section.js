import { element } from "./dom.js";
import { withWords } from "./words.js";

/** A numbered part of a card: its title, and beside it what is shown. @param {number} number @param {string} title @param {string} subtitle */
export function section(number, title, subtitle) {
  const made = element("div", "attn-why-section");
  const badge = element("span", "attn-why-badge", String(number));
  badge.setAttribute("aria-hidden", "true");
  const aside = element("small");
  aside.append(...withWords(subtitle));
  made.append(badge, element("h4", "", title), aside);
  return made;
}
