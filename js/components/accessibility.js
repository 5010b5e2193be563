// Titles of Bokeh's sliders, without the colon that Bokeh writes, and the formatted value as what a slider announces. Groups,
// plots and number fields are named by bokeh_patches/accessible_names.js.

/**
 * Every element below a node in document order, shadow roots before children. Not by nested generators, which hand each
 * element on once a level: a long text has thousands.
 *
 * @param {Element} node
 * @returns {Generator<Element>}
 */
export function* below(node) {
  /** @type {Element[]} */
  const rest = [];
  /** @param {HTMLCollection | undefined} children */
  const put = (children) => {
    for (let at = (children?.length ?? 0) - 1; at >= 0; at--) rest.push(/** @type {HTMLCollection} */ (children)[at]);
  };
  for (let next = /** @type {Element | undefined} */ (node); next !== undefined; next = rest.pop()) {
    if (next !== node) yield next;
    put(next.children);
    put(next.shadowRoot?.children);
  }
}

/**
 * The first element of the page with a class, shadow roots included.
 *
 * @param {string} name
 */
export function findByClass(name) {
  for (const node of below(document.body)) if (node.classList.contains(name)) return node;
  return undefined;
}

/**
 * Has a slider announce the value in its title: a temperature, not its logarithm.
 *
 * @param {Element & { announcesTitle?: boolean }} handle
 */
export function announceTitle(handle) {
  const title = /** @type {ShadowRoot} */ (handle.getRootNode()).querySelector(".bk-slider-title");
  if (!title || handle.announcesTitle) return;
  handle.announcesTitle = true;
  const announce = () => {
    const label = title.firstChild;
    if (label?.nodeValue?.endsWith(": ")) label.nodeValue = label.nodeValue.slice(0, -2);
    const words = title.querySelector(".bk-slider-value")?.textContent;
    if (words && handle.getAttribute("aria-valuetext") !== words) handle.setAttribute("aria-valuetext", words);
  };
  const watch = new MutationObserver(announce);
  watch.observe(handle, { attributeFilter: ["aria-valuetext"] });
  watch.observe(title, { childList: true, characterData: true, subtree: true });
  announce();
}
