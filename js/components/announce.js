import { element } from "./dom.js";

// Says a text to those who hear a page. The region stands before it is filled: one that is shown with its text is not read.

const PLACE = "attn-announcements";
const UNSEEN = "position: fixed; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;";

/** @type {?HTMLElement} */
let region = null;
/** @type {?ShadowRoot} */
let inside = null;

/**
 * Announces a text once what is being read has ended.
 *
 * @param {string} text
 */
export function announce(text) {
  if (!region?.isConnected) {
    region = element("div", PLACE);
    region.style.cssText = UNSEEN;
    region.setAttribute("role", "status");
    // Closed: the text stands on the page a second time, and a search for it should find what is seen.
    inside = region.attachShadow({ mode: "closed" });
    document.body.append(region);
  }
  region.dataset.said = text;
  if (inside) inside.textContent = text;
}
