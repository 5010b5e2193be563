import { t } from "../core/translate.js";
import "../bokeh_patches/accessible_names.js";
import "../bokeh_patches/number_bounds.js";
import { element } from "./dom.js";
import { Attachment } from "../served/attach.js";
import { readForm, writeForm } from "./form_memory.js";

// Says at the window's lower edge that the server does not answer, and what it has refused. While it is away, what
// needs it is inert and everything else goes on; once it answers, the page is loaded anew at its present address.

const RETRY_MS = 1000;
const LOST = t(
  "Not connected: the server does not answer. What is on screen still moves; running, training, uploading and saving " +
    "wait until it is back.",
);
const BACK = t("The server is back, but has lost the file that this page shows. Load the page anew, and choose the file again.");
// Components that ask Python for something; the other components draw.
const ASKING = new Set(["Download", "Upload", "RunList"]);
const WIDGETS = /(Button|TextInput|TextAreaInput|Spinner|Select|RadioButtonGroup|Checkbox)$/;
const OWN_CONTROL = "attn-control";

/**
 * Whether Python has to answer when a reader uses this. The explorer's own controls are the page's.
 *
 * @param {BokehModel} model
 */
export function needsServer(model) {
  if (model.css_classes?.includes(OWN_CONTROL)) return false;
  if (model.class_name === "ThemeButton") return model.data?.driver === "python";
  return ASKING.has(model.class_name) || WIDGETS.test(model.type ?? "");
}

/**
 * Whether the address does not hold what the page shows: of an uploaded file it has no name.
 *
 * @param {string} search the query of the page's address
 */
export function showsUpload(search) {
  const address = new URLSearchParams(search);
  return address.get("source") === "file" && !address.has("trace");
}

/** @param {Props<{ refused: { text?: string, number?: number }, has_session: boolean }>} props */
export function render({ model }) {
  const { document: page } = model;
  const line = element("div", "attn-status");
  const words = element("span");
  line.role = "status";
  line.hidden = true;
  line.append(words);

  /** @param {string} text @param {string} [label] of a button @param {() => void} [act] what that does */
  const say = (text, label, act) => {
    words.textContent = text;
    line.replaceChildren(words);
    line.hidden = text === "";
    if (!label || !act) return;
    const button = element("button", "attn-plain-button", label);
    button.addEventListener("click", act);
    line.append(button);
  };

  if (!model.has_session) {
    /** @param {boolean} on */
    const busy = (on) => line.classList.toggle("attn-busy-line", on);
    const watch = () => {
      if (page.is_idle) new Attachment(page, needsServer, say, busy).watch();
      else setTimeout(watch, 0);
    };
    watch();
    return line;
  }

  /** @param {boolean} away */
  const setAway = (away) => {
    line.classList.toggle("attn-away", away);
    for (const each of page._all_models.values()) {
      if (!needsServer(each)) continue;
      const view = Bokeh.index.find_one(each);
      if (!view?.el) continue;
      view.el.inert = away;
      view.el.style.opacity = away ? "0.45" : "";
    }
  };

  let lost = false;
  const reload = () => {
    writeForm(page);
    window.location.reload();
  };
  const retry = async () => {
    try {
      await fetch("health", { cache: "no-store" });
    } catch {
      setTimeout(retry, RETRY_MS);
      return;
    }
    if (showsUpload(window.location.search)) say(BACK, t("Load anew"), reload);
    // A server disconnects pages that nobody uses: one that nobody sees comes back when somebody does.
    else if (globalThis.document.hidden) globalThis.document.addEventListener("visibilitychange", retry, { once: true });
    else reload();
  };
  const lose = () => {
    if (lost || leaving) return;
    lost = true;
    setAway(true);
    say(LOST);
    setTimeout(retry, RETRY_MS);
  };
  // A page that is being left closes its connection, too.
  let leaving = false;
  window.addEventListener("pagehide", () => (leaving = true));
  window.addEventListener("pageshow", () => (leaving = false));
  page.on_event("connection_lost", lose);
  page.config?.setv({ notify_connection_status: false }, { sync: false });
  model.on("refused", () => {
    if (!lost) say(t("Refused by the server: {reason}", { reason: model.refused.text }), t("Close"), () => say(""));
  });
  readForm(page);
  return line;
}
