// Keyboard, pointer and address bar: what a reader does on the page, told to the explorer's state.
// Plots tell of taps and moves by an "attn:<uid>" event on the document (see explorer.py).
import { below, onFocus, sayControls } from "./controls_said.js";

const STEPS = {
  ArrowUp: ["query_index", -1],
  ArrowDown: ["query_index", 1],
  ArrowLeft: ["head", -1],
  ArrowRight: ["head", 1],
  "[": ["layer", -1],
  "]": ["layer", 1],
};
const NEXT = { m: "mask", f: "skip_first" };
const JUMPS = { Home: ["query_index", "first"], End: ["query_index", "last"] };

const RESTING =
  "The pictures are as they were when the notebook ran: no Python is behind this page, so its controls are at rest. " +
  "Run the notebook to use them; attnpanel.save_report() makes a page whose controls live.";

function typing(path) {
  return path.some(
    (node) =>
      node instanceof Element &&
      (node.matches("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]") ||
        node.getAttribute("role") === "slider"),
  );
}

export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;

  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const path = event.composedPath();
    const inside = path.some((node) => node.classList?.contains(model.root_class));
    // Alone on its page the explorer listens everywhere; beside others only where the focus is.
    if (typing(path) || !(inside || (model.whole_page && path[0] === document.body))) return;
    let message = null;
    if (event.key in STEPS) message = { step: STEPS[event.key] };
    else if (event.key in JUMPS) message = { jump: JUMPS[event.key] };
    else if (event.key in NEXT) message = { next: NEXT[event.key] };
    if (message) {
      event.preventDefault();
      tell(model, message);
    }
  };

  let told = "";
  let timer = null;
  let waiting = null;
  const tellPair = (message) => {
    // At most one pointer message in 40 ms, the last one always: a server answers each.
    waiting = message;
    if (timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      const text = JSON.stringify(waiting);
      if (text !== told) tell(model, waiting);
      told = text;
    }, 40);
  };
  const onPlot = (event) => {
    const { view, kind, x, y } = event.detail;
    if (kind === "leave") {
      // At once: said later, it would undo what the reader does next.
      clearTimeout(timer);
      timer = null;
      told = "";
      tell(model, { pair: null });
    } else if (kind === "tap") tell(model, { tap: [view, x, y] });
    else if (view === "scores" || view === "weights") tellPair({ pair: [Math.round(y), Math.round(x)] });
  };

  const describe = () => {
    const root = [...below(document.body)].find((node) => node.classList.contains(model.root_class));
    if (!root) return;
    for (const node of below(root)) {
      for (const [name, [label, tip]] of Object.entries(model.tips)) {
        if (!node.classList.contains(`attn-control-${name}`)) continue;
        node.title = tip;
        for (const part of below(node)) {
          if (part.matches(".noUi-handle, .bk-btn-group, input[type=checkbox]")) part.setAttribute("aria-label", label);
          if (part.matches(".bk-btn-group")) part.setAttribute("role", "group");
        }
      }
    }
    sayControls(root);
  };
  // A slider shows its value in words that its formatter holds, but does not listen to it.
  const retitle = () => {
    for (const slider of model.document._all_models.values()) {
      const words = slider.format?.properties?.args;
      if (words) words.change.connect(() => slider.properties.title.change.emit());
    }
  };
  // A notebook made into a page has no Python behind it: say so, and let nobody pull at what rests.
  const isStill = () =>
    model.driver === "python" &&
    document.body.classList.contains("jp-Notebook") &&
    Object.keys(window.PyViz?.kernels ?? {}).length === 0;
  const rest = () => {
    const root = [...below(document.body)].find((node) => node.classList.contains(model.root_class));
    const controls = root && [...below(root)].find((node) => node.classList.contains("attn-controls"));
    if (!controls) return; // not laid out yet
    clearInterval(resting);
    const words = document.createElement("p");
    words.textContent = RESTING;
    words.style.cssText = "margin: 0; padding: 8px 14px; font: 13px system-ui, sans-serif; opacity: 0.75";
    root.before(words);
    controls.inert = true;
    controls.style.opacity = 0.6;
  };
  const writeAddress = () => {
    if (!model.writes_address || model.address === "") return;
    const url = new URL(window.location.href);
    url.search = model.address;
    if (url.href !== window.location.href) window.history.replaceState(null, "", url);
  };
  const look = () => {
    if (!model.whole_page) return;
    if (model.asks_theme) return; // not decided yet
    document.documentElement.classList.toggle("attn-dark-page", model.dark);
    document.documentElement.classList.toggle("attn-light-page", !model.dark);
    document.documentElement.style.colorScheme = model.dark ? "dark" : "light";
  };

  document.addEventListener("keydown", onKey);
  document.addEventListener("focusin", onFocus);
  document.addEventListener(`attn:${model.uid}`, onPlot);
  model.on("tips", () => setTimeout(describe, 0));
  model.on(["address", "writes_address"], writeAddress);
  model.on(["dark", "asks_theme"], look);
  model.on("after_render", () => setTimeout(describe, 0));
  model.on("remove", () => {
    clearInterval(asking);
    clearInterval(resting);
    document.removeEventListener("keydown", onKey);
    document.removeEventListener("focusin", onFocus);
    document.removeEventListener(`attn:${model.uid}`, onPlot);
  });
  if (model.whole_page && !document.querySelector("meta[name=viewport]")) {
    const meta = document.createElement("meta"); // or a phone lays the page out 980 px wide
    meta.name = "viewport";
    meta.content = "width=device-width, initial-scale=1";
    document.head.append(meta);
  }
  retitle();
  writeAddress();
  look();
  // Messages sent before the connection stands are lost, so ask again until answered.
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const asking = setInterval(() => {
    if (model.asks_theme) tell(model, { prefers_dark: dark });
    else clearInterval(asking);
  }, 150);
  const resting = isStill() ? setInterval(rest, 150) : null;
  return anchor;
}
