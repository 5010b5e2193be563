import { element } from "./dom.js";

const ROW = ".attn-steps, .attn-compared";

/**
 * Tabs over pictures that stand side by side: where the page is too narrow for that, the styles make a row of them that
 * is swiped through, one picture as wide as the row. None is hidden, since Bokeh lays a hidden plot out wrongly.
 *
 * @param {Props<{ names: string[], first: number, moved: number }>} props
 */
export function render({ model }) {
  const tabs = element("div", "attn-tabs");
  tabs.setAttribute("role", "group");
  tabs.setAttribute("aria-label", model.names.join(" · "));
  const buttons = model.names.map((name, at) => {
    const button = element("button", "attn-tab", name);
    button.addEventListener("click", () => go(at));
    tabs.append(button);
    return button;
  });
  let shown = model.first;
  /** @type {?HTMLElement} */
  let row = null;
  const pitch = () => (row ? row.clientWidth + parseFloat(getComputedStyle(row).columnGap) : 0);
  const mark = () => buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === shown)));
  /** @param {number} at @param {ScrollBehavior} [behavior] */
  const go = (at, behavior = "auto") => {
    shown = at;
    mark();
    row?.scrollTo({ left: at * pitch(), behavior });
  };
  const scrolled = () => {
    if (!row || row.scrollWidth <= row.clientWidth + 1) return;
    shown = Math.round(row.scrollLeft / pitch());
    mark();
  };
  // A row of another width begins between two pictures.
  const resized = new ResizeObserver(() => go(shown, "instant"));
  const connect = () => {
    const card = /** @type {ShadowRoot} */ (/** @type {ShadowRoot} */ (tabs.getRootNode()).host?.getRootNode());
    row = card?.querySelector?.(ROW) ?? null;
    row?.addEventListener("scroll", scrolled, { passive: true });
    if (row) resized.observe(row);
  };
  // The first picture does not depend on what moved: the next one does.
  model.on("moved", () => {
    if (model.first > 0 && shown < model.first) go(model.first);
  });
  model.on("after_render", () => requestAnimationFrame(connect));
  model.on("remove", () => resized.disconnect());
  mark();
  return tabs;
}
