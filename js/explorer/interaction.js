// Keyboard and pointer: dispatches what a reader does to the explorer. Plots report taps and moves by an
// "attn:<explorer_id>" event on the document (see figures.py).
import { announceTitle, below, findByClass } from "../components/accessibility.js";
import { dispatch } from "../components/dispatch.js";
import { ensureViewport } from "../components/dom.js";
import { showKeys } from "../components/key_list.js";
import { fitToPaper } from "../components/print.js";
import { watchWords } from "../components/words.js";
import { modelsOf } from "../core/scope.js";
import { messageOf, rowsOf } from "./keys.js";

/** @param {EventTarget[]} path */
function typing(path) {
  return path.some(
    (node) =>
      node instanceof Element &&
      (node.matches("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]") ||
        node.getAttribute("role") === "slider"),
  );
}

/**
 * @typedef {{root_class: string, whole_page: boolean, asks_theme: boolean, dark: boolean,
 *   tips: Record<string, [string, string, boolean]>, keys: string[]}} InteractionParameters
 */

// Of the elements of controls: this and the name of the choice.
const CONTROL = "attn-control-";
const MEAN = `${CONTROL}aggregate`;

/** @param {Element} node @param {[string, string, boolean]} tip label, explanation and whether the control is idle */
function describeControl(node, [label, tip, idle]) {
  node.setAttribute("title", tip);
  node.setAttribute("aria-disabled", String(idle));
  for (const part of below(node)) {
    if (part.matches(".noUi-handle, .bk-btn-group, input[type=checkbox], select")) part.setAttribute("aria-label", label);
    if (part.matches(".bk-btn-group")) part.setAttribute("role", "group");
  }
}

/** @param {Props<Dispatching<InteractionParameters>>} props */
export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const path = event.composedPath();
    const inside = path.some((node) => node instanceof Element && node.classList.contains(model.root_class));
    // An explorer alone on its page handles keys pressed anywhere, others only keys pressed inside them.
    if (typing(path) || !(inside || (model.whole_page && path[0] === document.body))) return;
    // Pictures that are on their way are not those that a key would change.
    if (findRoot()?.shadowRoot?.querySelector(".attn-waiting")) return;
    const message = messageOf(event, model.keys);
    if (message) {
      event.preventDefault();
      dispatch(model, message);
    }
  };

  // Whoever comes to the control of the mean is likely to press it.
  const onApproach = () => dispatch(model, { likely: "aggregate" });

  let lastSent = "";
  /** @type {?ReturnType<typeof setTimeout>} */
  let timer = null;
  let waiting = {};
  /** @param {object} message */
  const dispatchPair = (message) => {
    // At most one pointer message in 40 ms, always including the last.
    waiting = message;
    if (timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      const text = JSON.stringify(waiting);
      if (text !== lastSent) dispatch(model, waiting);
      lastSent = text;
    }, 40);
  };
  /** @param {any} event */
  const onPlot = (event) => {
    const { view, kind, x, y } = event.detail;
    if (kind === "leave") {
      // Without delay, or it would undo what the reader does next.
      clearTimeout(timer ?? undefined);
      timer = null;
      lastSent = "";
      dispatch(model, { point: null });
    } else if (kind === "tap") dispatch(model, { tap: [view, x, y] });
    else dispatchPair({ point: [view, Math.round(x), Math.round(y)] });
  };

  const findRoot = () => findByClass(model.root_class);
  /** @param {any} event */
  const onMessage = ({ detail }) => {
    if ("keys" in detail) showKeys(findRoot()?.shadowRoot ?? document.body, rowsOf(model.keys));
  };
  const describe = () => {
    const root = findRoot();
    if (!root) return;
    // By each element's few classes: a long text has thousands of elements, and there are twenty choices.
    for (const node of below(root)) {
      if (node.matches(".noUi-handle")) announceTitle(node);
      for (const css of node.classList) {
        const tip = css.startsWith(CONTROL) ? model.tips[css.slice(CONTROL.length)] : undefined;
        if (tip) describeControl(node, tip);
        if (css === MEAN) for (const approach of ["pointerenter", "focusin"]) node.addEventListener(approach, onApproach);
      }
    }
  };
  // A slider's title depends on its formatter's arguments, but Bokeh does not update it when they change.
  const retitle = () => {
    for (const slider of modelsOf(model)) {
      const labels = slider.format?.properties?.args;
      if (labels) labels.change.connect(() => slider.properties.title.change.emit());
    }
  };
  const applyTheme = () => {
    if (!model.whole_page) return;
    if (model.asks_theme) return; // not decided yet
    document.documentElement.classList.toggle("attn-dark-page", model.dark);
    document.documentElement.classList.toggle("attn-light-page", !model.dark);
    document.documentElement.style.colorScheme = model.dark ? "dark" : "light";
  };

  document.addEventListener("keydown", onKey);
  document.addEventListener(`attn:message:${model.explorer_id}`, onMessage);
  document.addEventListener(`attn:${model.explorer_id}`, onPlot);
  model.on("tips", () => setTimeout(describe, 0));
  model.on(["dark", "asks_theme"], applyTheme);
  model.on("after_render", () => setTimeout(describe, 0));
  model.on("remove", () => {
    clearInterval(asking);
    keepOnScreen();
    document.removeEventListener("keydown", onKey);
    document.removeEventListener(`attn:message:${model.explorer_id}`, onMessage);
    document.removeEventListener(`attn:${model.explorer_id}`, onPlot);
  });
  if (model.whole_page) ensureViewport();
  watchWords();
  const keepOnScreen = model.whole_page ? fitToPaper(model.root_class) : () => {};
  retitle();
  applyTheme();
  // The driver may not listen yet, so repeat until it has set the theme.
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const asking = setInterval(() => {
    if (model.asks_theme) dispatch(model, { prefers_dark: dark });
    else clearInterval(asking);
  }, 150);
  return anchor;
}
