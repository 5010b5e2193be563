import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";

/**
 * A button that sends a message of its own.
 *
 * @param {Props<Dispatching<{ label: string, tooltip: string, message: object }>>} props
 */
export function render({ model }) {
  const button = element("button", "attn-plain-button", model.label);
  button.title = model.tooltip;
  if (model.label.length === 1) button.setAttribute("aria-label", model.tooltip); // a sign, not a word
  button.addEventListener("click", () => dispatch(model, model.message));
  return button;
}
