import { t } from "../core/translate.js";
import { element } from "./dom.js";

/**
 * A button that opens and closes the part of a bar that holds the rare controls. What stands in that part and takes the
 * reader elsewhere closes it.
 *
 * @param {(button: HTMLElement) => ?Element} barOf
 * @param {{label?: string, tooltip?: string, tell?: (open: boolean) => void}} [options]
 */
export function moreButton(barOf, { label = "", tooltip = "", tell } = {}) {
  const button = element("button", "attn-plain-button attn-more", label || t("More"));
  if (tooltip) {
    button.title = tooltip;
    button.setAttribute("aria-label", tooltip);
  }
  button.setAttribute("aria-expanded", "false");
  const bar = () => barOf(button);
  const isOpen = () => button.getAttribute("aria-expanded") === "true";
  /** @param {boolean} open */
  const show = (open) => {
    bar()?.classList.toggle("attn-open", open);
    button.setAttribute("aria-expanded", String(open));
    tell?.(open);
  };
  const close = () => {
    show(false);
    button.focus();
  };
  button.addEventListener("click", () => {
    bar()?.addEventListener("keydown", onKey);
    bar()?.addEventListener("click", onPress);
    show(!isOpen());
  });
  /** @param {Event} event */
  const onKey = (event) => {
    if (/** @type {KeyboardEvent} */ (event).key === "Escape" && isOpen()) close();
  };
  /** @param {Event} event */
  const onPress = (event) => {
    // The styles put such a button into that part, behind others, where the page is narrow.
    const leaves = event
      .composedPath()
      .some((node) => node instanceof Element && node.classList.contains("attn-action-button") && getComputedStyle(node).order !== "0");
    if (leaves && isOpen()) close();
  };
  return { button, show };
}

/**
 * For the bar around the component: the host of the shadow root that the component's host stands in.
 *
 * @param {Props<{ label: string, tooltip: string, opened: boolean }>} props
 */
export function render({ model }) {
  /** @param {HTMLElement} button */
  const around = (button) => {
    const { host } = /** @type {ShadowRoot} */ (button.getRootNode());
    return /** @type {ShadowRoot} */ (host?.getRootNode())?.host ?? null;
  };
  const { button, show } = moreButton(around, {
    label: model.label,
    tooltip: model.tooltip,
    tell: (open) => {
      model.opened = open;
    },
  });
  model.on("opened", () => {
    if (String(model.opened) !== button.getAttribute("aria-expanded")) show(model.opened);
  });
  return button;
}
