// What Bokeh's controls leave unsaid to those who hear a page: a slider's value in words, and arrows without a name.

/** Every element below a node, shadow roots included. */
export function* below(node) {
  for (const child of [...(node.shadowRoot?.children ?? []), ...(node.children ?? [])]) {
    yield child;
    yield* below(child);
  }
}

/** The arrows of a number's field are for the mouse: the keyboard has its own, and a stop without a name helps nobody. */
function restArrows(field) {
  for (const arrow of field.closest(".bk-spin-wrapper")?.querySelectorAll(".bk-spin-btn") ?? []) {
    arrow.tabIndex = -1;
    arrow.setAttribute("aria-hidden", "true");
  }
}

/** Have a slider say what its title shows: a temperature, not its logarithm. */
function sayTitle(handle) {
  const title = handle.getRootNode().querySelector(".bk-slider-title");
  if (!title || handle.saysTitle) return;
  handle.saysTitle = true;
  const say = () => {
    const [, words] = title.textContent.match(/^[^:]*:\s*(.*)$/s) ?? [];
    if (words && handle.getAttribute("aria-valuetext") !== words) handle.setAttribute("aria-valuetext", words);
  };
  const watch = new MutationObserver(say);
  watch.observe(handle, { attributeFilter: ["aria-valuetext"] });
  watch.observe(title, { childList: true, characterData: true, subtree: true });
  say();
}

/** Mend the controls below a node; a field that comes later is mended when it is first stepped into. */
export function sayControls(root) {
  for (const node of below(root)) {
    if (node.matches(".bk-spin-wrapper > input")) restArrows(node);
    if (node.matches(".noUi-handle")) sayTitle(node);
  }
}

export const onFocus = (event) => {
  const [node] = event.composedPath();
  if (node instanceof Element && node.closest(".bk-spin-wrapper")) restArrows(node);
};
