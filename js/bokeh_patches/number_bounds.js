// Say that a number was refused, and show the one in force.
//
// Bokeh ignores a number outside a field's bounds without a word, and leaves it in the field until the focus goes on.
// Saves no time. Since Bokeh 3.8.

import { patch } from "./patch.js";

/**
 * Why a text is no number for a field; "" if it is one, or none at all.
 *
 * @param {string} text
 * @param {{title: string, low: ?number, high: ?number}} field
 */
export function refusal(text, { title, low, high }) {
  const number = Number(text);
  if (text.trim() === "" || Number.isNaN(number)) return "";
  if ((low ?? -Infinity) <= number && number <= (high ?? Infinity)) return "";
  const bounds = low === null ? `at most ${high}` : high === null ? `at least ${low}` : `from ${low} to ${high}`;
  return `${title} must be ${bounds}; got ${text.slice(0, 20)}.`;
}

/** Patches Bokeh, if the page has it by now. */
export function boundNumbers() {
  patch(
    "number_bounds",
    (bokeh) => [[bokeh.Models.get("Spinner")?.prototype.default_view.prototype, "change_input", "format_value"]],
    (view) => {
      const { change_input: change } = view;
      view.change_input = function changeOrSay() {
        const { input_el: input, model } = this;
        const said = refusal(input.value, model);
        input.setCustomValidity(said);
        if (said) {
          input.value = this.format_value;
          input.addEventListener("input", () => input.setCustomValidity(""), { once: true });
          input.reportValidity(); // the browser's own bubble beside the field, which is read out, too
        } else change.call(this);
      };
    },
  );
}

boundNumbers();
