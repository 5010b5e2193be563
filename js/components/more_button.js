import { t } from "../core/translate.js";
import { element } from "./dom.js";

/**
 * A button that opens and closes the part of a bar that holds the rare controls.
 *
 * @param {(button: HTMLElement) => ?Element} barOf
 */
export function moreButton(barOf) {
  const button = element("button", "attn-plain-button attn-more", t("More"));
  button.setAttribute("aria-expanded", "false");
  const bar = () => barOf(button);
  /** @param {boolean} open */
  const show = (open) => {
    bar()?.classList.toggle("attn-open", open);
    button.setAttribute("aria-expanded", String(open));
  };
  button.addEventListener("click", () => {
    bar()?.addEventListener("keydown", onKey);
    show(button.getAttribute("aria-expanded") !== "true");
  });
  /** @param {Event} event */
  const onKey = (event) => {
    if (/** @type {KeyboardEvent} */ (event).key !== "Escape" || button.getAttribute("aria-expanded") !== "true") return;
    show(false);
    button.focus();
  };
  return button;
}

/** For the bar around the component: the host of the shadow root that the component's host stands in. */
export function render() {
  return moreButton((button) => {
    const { host } = /** @type {ShadowRoot} */ (button.getRootNode());
    return /** @type {ShadowRoot} */ (host?.getRootNode())?.host ?? null;
  });
}
