import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";

/**
 * A button that toggles the theme.
 *
 * @param {Props<Dispatching>} props
 */
export function render({ model }) {
  const button = element("button", "attn-plain-button attn-theme-button", "◐");
  button.title = "Light or dark";
  button.setAttribute("aria-label", button.title);
  button.addEventListener("click", () => dispatch(model, { theme: "toggle" }));
  return button;
}
