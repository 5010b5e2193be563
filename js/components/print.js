import { below, findByClass } from "./accessibility.js";
import { element } from "./dom.js";

// Fits a page to paper. Plots are canvases of as many pixels as the window gave them, and what is drawn while a printer
// waits does not reach the paper: so the page keeps its layout and becomes smaller, and its foot says where it comes from.

// Pixels of CSS across an A4 page in landscape between margins of 10 mm, the @page rule of stylesheet.py.
const PAPER_WIDTH = 1046;

/**
 * Prepares a page for the printer whenever it is printed.
 *
 * @param {string} name a class of the page's outermost element, which need not stand yet
 * @returns {() => void} stops that
 */
export function fitToPaper(name) {
  /** @type {?HTMLElement} */
  let place = null;
  /** @type {HTMLElement[]} boxes whose foot would be laid over what a break has pushed down */
  let plots = [];
  const before = () => {
    const root = /** @type {HTMLElement | undefined} */ (findByClass(name));
    if (!root) return;
    const { clientWidth } = root;
    root.style.setProperty("width", `${clientWidth}px`);
    root.style.setProperty("zoom", String(Math.min(1, PAPER_WIDTH / clientWidth)));
    // By a rule of its class, one that is hidden would be shown.
    plots = /** @type {HTMLElement[]} */ ([...below(root)].filter((node) => node.classList.contains("attn-plots") && node.checkVisibility()));
    for (const box of plots) box.style.display = "block";
    place = element("p", "attn-print-place", `${document.title} · ${window.location.href}`);
    root.shadowRoot?.append(place);
  };
  const after = () => {
    const root = /** @type {HTMLElement | undefined} */ (findByClass(name));
    root?.style.removeProperty("zoom");
    root?.style.removeProperty("width");
    for (const box of plots) box.style.removeProperty("display");
    place?.remove();
  };
  window.addEventListener("beforeprint", before);
  window.addEventListener("afterprint", after);
  return () => {
    window.removeEventListener("beforeprint", before);
    window.removeEventListener("afterprint", after);
  };
}
