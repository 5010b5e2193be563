import { t } from "../core/translate.js";
import { element } from "./dom.js";

/** Opens and closes the part of the bar around it that holds the rare controls. */
export function render() {
  const button = element("button", "attn-plain-button", t("More"));
  button.setAttribute("aria-expanded", "false");
  /** @returns {?Element} the bar: the host of the shadow root that this component's host stands in */
  const bar = () => {
    const { host } = /** @type {ShadowRoot} */ (button.getRootNode());
    return /** @type {ShadowRoot} */ (host?.getRootNode())?.host ?? null;
  };
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
