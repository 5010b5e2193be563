// Name groups of buttons, checkboxes and plots for those who hear a page, say which button is on, and skip buttons
// without a name.
//
// Bokeh shows the active button of a group by a class alone, gives no name to a group, a plot or a checkbox, and puts a number
// field's arrows, which have none, into the order of the tab key; the arrow keys do the same. A model's name is the tag
// {label: "…"} of attnpanel.ui.fields. Saves no time. Since Bokeh 3.8.

import { patch } from "./patch.js";

/** @param {BokehModel} model */
function labelOf(model) {
  return (model.tags ?? []).map((/** @type {any} */ tag) => (tag instanceof Map ? tag.get("label") : tag?.label)).find(Boolean);
}

/** @param {any} view of a group of buttons */
function nameGroup(view) {
  const buttons = /** @type {HTMLButtonElement[] | undefined} */ (view._buttons);
  for (const button of buttons ?? []) button.setAttribute("aria-pressed", String(button.classList.contains("bk-active")));
  const group = buttons?.[0]?.parentElement;
  if (!group) return;
  group.setAttribute("role", "group");
  const label = labelOf(view.model);
  if (label) group.setAttribute("aria-label", label);
}

/**
 * Labels a plot as one image: its canvas, since the tools beside it are buttons.
 *
 * @param {any} view of a plot
 * @param {string} [label]
 */
export function nameFigure(view, label = labelOf(view.model)) {
  const canvas = view?.canvas_view?.el;
  if (!canvas || !label || canvas.getAttribute("aria-label") === label) return;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
}

/** @param {any} view of a number field */
function hideArrows(view) {
  for (const arrow of view.buttons()) {
    arrow?.setAttribute("tabindex", "-1");
    arrow?.setAttribute("aria-hidden", "true");
  }
}

/** @param {any} view of a checkbox, whose label stands beside it and is not tied to it */
function nameCheckbox({ checkbox_el: box, model }) {
  if (!box?.hasAttribute("aria-label")) box?.setAttribute("aria-label", model.label);
}

// By the type of a model: what is done with its view, and after which of the view's methods.
/** @type {Record<string, [(view: any) => void, string[]]>} */
const NAMED = {
  RadioButtonGroup: [nameGroup, ["render", "_update_active"]],
  CheckboxButtonGroup: [nameGroup, ["render", "_update_active"]],
  Checkbox: [nameCheckbox, ["render"]],
  Figure: [nameFigure, ["render"]],
  Spinner: [hideArrows, ["render"]],
};

/** Patches Bokeh, if the page has it by now, and names what was rendered before. */
export function nameModels() {
  patch(
    "accessible_names",
    (bokeh) => Object.entries(NAMED).map(([type, [, methods]]) => [bokeh.Models.get(type)?.prototype.default_view.prototype, ...methods]),
    (...views) => {
      for (const [at, [name, methods]] of Object.values(NAMED).entries()) {
        for (const method of methods) {
          const { [method]: before } = views[at];
          views[at][method] = function named(/** @type {any[]} */ ...given) {
            before.apply(this, given);
            name(this);
          };
        }
      }
      for (const document of globalThis.Bokeh.documents) {
        for (const model of document._all_models.values()) {
          const row = NAMED[String(model.type)];
          const view = row && globalThis.Bokeh.index.find_one(model);
          if (view) row[0](view);
        }
      }
    },
  );
}

nameModels();
