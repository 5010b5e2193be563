import { element } from "./dom.js";

const MOST_LETTERS = 20_000;

/**
 * A field for a text that the model in the file is to read; Enter submits it, Shift+Enter begins a line.
 *
 * @param {string} label for those who hear it
 * @param {string} text
 * @param {() => void} submit
 */
export function textField(label, text, submit) {
  const field = element("textarea", "attn-prompt-field");
  Object.assign(field, { rows: 2, value: text, maxLength: MOST_LETTERS, spellcheck: false });
  field.setAttribute("aria-label", label);
  field.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the page's keys are letters
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  return field;
}
