// Accessibility of Bokeh's sliders, which announce their formatted value. Groups, plots and number fields are named by
// bokeh_patches/accessible_names.js.

/**
 * Every element below a node, shadow roots included.
 *
 * @param {Element} node
 * @returns {Generator<Element>}
 */
export function* below(node) {
  for (const child of [...(node.shadowRoot?.children ?? []), ...(node.children ?? [])]) {
    yield child;
    yield* below(child);
  }
}

/**
 * Has a slider announce the value in its title: a temperature, not its logarithm.
 *
 * @param {Element & { announcesTitle?: boolean }} handle
 */
function announceTitle(handle) {
  const title = /** @type {ShadowRoot} */ (handle.getRootNode()).querySelector(".bk-slider-title");
  if (!title || handle.announcesTitle) return;
  handle.announcesTitle = true;
  const announce = () => {
    const [, words] = title.textContent.match(/^[^:]*:\s*(.*)$/s) ?? [];
    if (words && handle.getAttribute("aria-valuetext") !== words) handle.setAttribute("aria-valuetext", words);
  };
  const watch = new MutationObserver(announce);
  watch.observe(handle, { attributeFilter: ["aria-valuetext"] });
  watch.observe(title, { childList: true, characterData: true, subtree: true });
  announce();
}

/**
 * Labels the sliders below a node.
 *
 * @param {Element} root
 */
export function labelSliders(root) {
  for (const node of below(root)) if (node.matches(".noUi-handle")) announceTitle(node);
}
