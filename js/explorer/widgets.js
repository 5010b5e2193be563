import { keepOnPage, showComponents } from "../core/scope.js";
import { t } from "../core/translate.js";
import { readPositions } from "./address.js";
import { sliderLabels } from "./labels.js";
import { SWITCHES, bounds, masksOf, unavailable } from "./rules.js";
import { setIfOther } from "../views/boxes.js";

// Panel's widgets: reading the reader's choices from them, and updating them from the state.

export const GROUPS = ["mask", "align", "empty_rows", "weight_scale"];
export const SLIDERS = ["layer", "head", "batch", "query_index"];

/**
 * The temperature at a number of slider steps above 1.
 *
 * @param {number} steps
 */
export function temperatureAt(steps) {
  return 10 ** (steps * DECADE_STEP);
}

// Step of the temperature's slider, in decades.
export const DECADE_STEP = 0.05;

/**
 * Finds the widgets of the page and listens to them.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export function findWidgets(explorer) {
  const { parameters } = explorer.model.meta.masks;
  /** @param {MaskParameter[]} rows */
  const named = (rows) => rows.map(({ name }) => name);
  explorer.needed = named(parameters);
  explorer.sliders = [...SLIDERS, ...named(parameters.filter(({ positions }) => !positions))];
  for (const name of [...SLIDERS, ...explorer.needed, ...GROUPS, ...SWITCHES, "temperature", "color_seed"]) {
    const widget = explorer.models.get(`attn-control-${name}`)?.[0];
    if (!widget) continue;
    explorer.widgets[name] = widget;
    keepOnPage([widget, ...(widget.format ? [widget.format] : [])]);
    const property = "active" in widget.properties ? "active" : "value";
    widget.properties[property].change.connect(() => readWidget(explorer, name, widget));
  }
}

/**
 * Sets a choice from its widget.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {string} name
 * @param {BokehModel} widget
 */
export function readWidget(explorer, name, widget) {
  if (explorer.updating || explorer.left) return;
  let value = widget.value;
  if (name === "temperature") value = temperatureAt(Math.round(widget.value / DECADE_STEP));
  else if (SWITCHES.has(name)) value = widget.active;
  else if (GROUPS.includes(name)) value = choices(explorer, name)[widget.active ?? optionsOf(widget).indexOf(widget.value)];
  else if (explorer.needed.includes(name) && !explorer.sliders.includes(name)) {
    value = readPositions(widget.value, bounds(explorer.trace, explorer.state)[name]);
    if (value === null) putBack(explorer, name, widget.value);
  }
  if (value === null || value === undefined) return;
  explorer.set({ [name]: value });
}

/**
 * Restores a text field whose text does not apply, and says so.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {string} name
 * @param {string} text
 */
export function putBack(explorer, name, text) {
  explorer.problem = t("{label}: “{text}” does not apply here.", { label: explorer.model.docs[name][0], text: text.slice(0, 40) });
  explorer.changed.add(name);
  explorer.drawSoon();
}

/** @param {import("./controller.js").BrowserExplorer} explorer @param {string} name */
export function choices(explorer, name) {
  return name === "mask" ? masksOf(explorer.trace) : explorer.model.choices[name];
}

/**
 * Updates the widgets from the state.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {AnySelection} selection
 */
export function updateWidgets(explorer, selection) {
  const { trace, state, widgets } = explorer;
  const idle = unavailable(trace, state, selection);
  const limits = bounds(trace, state);
  const labels = sliderLabels(trace, state);
  explorer.updating = true;
  try {
    moveWidgets(explorer, widgets, { idle, limits, labels });
  } finally {
    explorer.updating = false;
  }
  if (JSON.stringify(idle) !== JSON.stringify(explorer.idle)) explorer.write("attn-interaction", { tips: tips(explorer, idle) });
  explorer.idle = idle;
}

/**
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {Record<string, BokehModel>} widgets
 * @param {{idle: Record<string, string>, limits: Record<string, [number, number]>, labels: Record<string, string[]>}} now
 */
export function moveWidgets(explorer, widgets, { idle, limits, labels }) {
  const { state } = explorer;
  for (const [name, widget] of Object.entries(widgets)) {
    /** @type {Record<string, unknown>} */
    const target = { disabled: name in idle };
    if (explorer.sliders.includes(name)) {
      const [start, end] = limits[name];
      Object.assign(target, { start, end: Math.max(end, start + 1), value: state[name] });
    } else if (name === "temperature") target.value = Math.min(Math.max(Math.log10(state[name]), -1), 1);
    else if (SWITCHES.has(name)) target.active = state[name];
    else if (GROUPS.includes(name)) choose(widget, choices(explorer, name).indexOf(state[name]), target);
    else if (explorer.needed.includes(name)) target.value = state[name].join(", ");
    else Object.assign(target, { value: state[name], high: limits[name][1] });
    setIfOther(widget, target);
    if (labels[name] && widget.format?.args && String(widget.format.args.words) !== String(labels[name])) {
      widget.format.setv({ args: { words: labels[name] } });
    }
    showComponents(explorer.models.get(`attn-hides-${name}`), !(name in idle));
  }
}

/**
 * The values of a select's options.
 *
 * @param {BokehModel} select
 * @returns {string[]}
 */
function optionsOf(select) {
  return select.options.map((/** @type {string | [string, string]} */ option) => (Array.isArray(option) ? option[0] : option));
}

/**
 * Brings a group of buttons or a select to one of its choices.
 *
 * @param {BokehModel} widget
 * @param {number} at
 * @param {Record<string, unknown>} target what is set of it
 */
function choose(widget, at, target) {
  if ("active" in widget.properties) target.active = at;
  else if (optionsOf(widget)[at] !== undefined) target.value = optionsOf(widget)[at];
}

/**
 * Each control's label, its tooltip (why it is dimmed, or what it does) and whether it is dimmed.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {Record<string, string>} idle
 */
export function tips(explorer, idle) {
  const docs = Object.entries(explorer.model.docs);
  return Object.fromEntries(docs.map(([name, [label, doc]]) => [name, [label, idle[name] ?? doc, name in idle]]));
}
