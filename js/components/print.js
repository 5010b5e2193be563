import { below, findByClass } from "./accessibility.js";
import { element } from "./dom.js";

// Fits a page to paper. Plots are canvases of as many pixels as the window gave them, and what is drawn while a printer
// waits does not reach the paper: so the page keeps its layout and becomes smaller, and its foot says where it comes from.

// Pixels of CSS of an A4 page in landscape between margins of 10 mm, the @page rule of stylesheet.py.
const PAPER_WIDTH = 1046;
const PAPER_HEIGHT = 718;

/**
 * Prepares a page for the printer whenever it is printed.
 *
 * @param {string} name a class of the page's outermost element, which need not stand yet
 * @returns {() => void} stops that
 */
export function fitToPaper(name) {
  /** @type {?HTMLElement} */
  let place = null;
  /** @type {[HTMLElement, string][]} what was styled for the paper, and its property */
  let styled = [];
  /** @param {HTMLElement} node @param {string} name @param {string} value */
  const style = (node, name, value) => {
    node.style.setProperty(name, value);
    styled.push([node, name]);
  };
  const before = () => {
    const root = /** @type {HTMLElement | undefined} */ (findByClass(name));
    if (!root) return;
    const { clientWidth } = root;
    const zoom = Math.min(1, PAPER_WIDTH / clientWidth);
    const shown = /** @type {HTMLElement[]} */ ([...below(root)].filter((node) => node.checkVisibility()));
    // What is folded up or empty says nothing on paper, nor does a card of nothing else.
    for (const node of shown) if (node.matches("details:not([open]), .attn-notes-card:not(:has(li))")) style(node, "display", "none");
    for (const node of shown) {
      // By a rule of its class, one that is hidden would be shown.
      if (node.classList.contains("attn-plots")) style(node, "display", "block");
      if (!node.classList.contains("attn-card")) continue;
      const parts = /** @type {HTMLElement[]} */ ([...(node.shadowRoot?.children ?? [])]);
      if (parts.every((part) => !part.offsetHeight)) style(node, "display", "none");
      if (node.offsetHeight * zoom > PAPER_HEIGHT) style(node, "break-inside", "auto"); // it would begin on a sheet of its own
    }
    style(root, "width", `${clientWidth}px`);
    style(root, "zoom", String(zoom));
    place = element("p", "attn-print-place", `${document.title} · ${window.location.href}`);
    root.shadowRoot?.append(place);
  };
  const after = () => {
    for (const [node, name] of styled) node.style.removeProperty(name);
    styled = [];
    place?.remove();
  };
  window.addEventListener("beforeprint", before);
  window.addEventListener("afterprint", after);
  return () => {
    window.removeEventListener("beforeprint", before);
    window.removeEventListener("afterprint", after);
  };
}
